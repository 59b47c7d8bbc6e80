-- Of transfers by way of the server's store: where it is there, and what opens it.

CREATE TABLE left_files (
    transfer BLOB PRIMARY KEY REFERENCES transfers (id) ON DELETE CASCADE,
    file BLOB NOT NULL,                  -- the server's id; empty before the sender has asked for a place
    key BLOB NOT NULL,                   -- empty once the transfer has ended
    digest BLOB,                         -- BLAKE3 of the whole; the sender knows it when all is uploaded
    expires REAL NOT NULL,               -- seconds since 1970
    falls_back INTEGER NOT NULL          -- out: offered to a device when the server cannot take it
) STRICT;

CREATE TABLE left_offers (               -- came as mail, and are not in the transfers yet
    transfer BLOB NOT NULL,
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    body BLOB NOT NULL,                  -- the signal
    PRIMARY KEY (transfer, user, device)
) STRICT, WITHOUT ROWID;

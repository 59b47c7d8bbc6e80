-- Files kept for people who are away. What is in them lies beside the database, sealed, one file per row under its id.
-- A row whose outcome is set has no file any more; it is there to tell the sender. Times are in seconds since 1970.

CREATE TABLE stored_files (
    id              BLOB PRIMARY KEY,               -- 16 random bytes; in hexadecimal, the file's name
    sender          INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    sender_device   BLOB NOT NULL,
    transfer        BLOB NOT NULL,                  -- by the sender's choice
    recipient       INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    size            INTEGER NOT NULL,               -- sealed bytes, all of which are counted from the beginning on
    committed       INTEGER NOT NULL DEFAULT 0,     -- on the disk
    outcome         TEXT NOT NULL DEFAULT '',       -- fetched, rejected, withdrawn, expired
    created_at      REAL NOT NULL,
    changed_at      REAL NOT NULL,
    expires_at      REAL NOT NULL,
    UNIQUE (sender, sender_device, transfer)
) STRICT, WITHOUT ROWID;

CREATE INDEX stored_files_by_recipient ON stored_files(recipient);
CREATE INDEX stored_files_open ON stored_files(expires_at) WHERE outcome = '';

-- A person's home: one row per message, which is its place in the outbox and in the history at once.

CREATE TABLE messages (
    number INTEGER PRIMARY KEY,          -- the order in which this home came to know them
    id BLOB NOT NULL,                    -- UUIDv7 of the sender
    user TEXT NOT NULL,                  -- the other side
    device BLOB NOT NULL,                -- the sending device; empty for mine
    seq INTEGER NOT NULL,
    text TEXT NOT NULL,
    sent_at INTEGER NOT NULL,            -- milliseconds since 1970, by the sender's clock
    received_at INTEGER,                 -- by the receiver's: for mine, when the receipt came
    read_at INTEGER,
    route TEXT NOT NULL,                 -- demanded while it waits, used once it has arrived
    address TEXT NOT NULL DEFAULT '',
    state TEXT NOT NULL,                 -- mine: waiting, delivered, read, failed; theirs: received, read
    UNIQUE (user, device, id)
) STRICT;

CREATE INDEX history ON messages (user, number);
CREATE INDEX outbox ON messages (user, seq) WHERE state = 'waiting';
CREATE INDEX unread ON messages (user) WHERE state = 'received';

CREATE TABLE sequences (                 -- the last number that was given to a message of mine
    user TEXT PRIMARY KEY,
    last INTEGER NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE arrivals (                  -- the number that comes next from a device
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    expected INTEGER NOT NULL,
    PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;

-- Groups: who is in them, keys of what is said there, and messages on their way to all members.

ALTER TABLE messages ADD COLUMN author TEXT NOT NULL DEFAULT '';  -- in a group: who wrote it

CREATE TABLE groups (                    -- those that I am in, as the server told them last
    name TEXT PRIMARY KEY,               -- without the #
    version INTEGER NOT NULL,
    topic TEXT NOT NULL,
    members BLOB NOT NULL                -- (user, role) pairs in MessagePack
) STRICT, WITHOUT ROWID;

CREATE TABLE group_sessions (            -- Megolm sessions of this device; the newest of a group is the present one
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    id TEXT NOT NULL UNIQUE,
    group_name TEXT NOT NULL,
    pickle TEXT NOT NULL,
    mirror TEXT NOT NULL,                -- the same as others have it, from its beginning
    messages INTEGER NOT NULL,
    made REAL NOT NULL
) STRICT;

CREATE INDEX group_sessions_by_group ON group_sessions (group_name, number);

CREATE TABLE group_shares (              -- who has the key of a session of mine, and from where on
    session TEXT NOT NULL REFERENCES group_sessions (id) ON DELETE CASCADE,
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    idx INTEGER NOT NULL,
    seq INTEGER NOT NULL,
    PRIMARY KEY (session, user, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE group_letters (             -- keys on their way: sealed for one device, sent again until it has them
    session TEXT NOT NULL REFERENCES group_sessions (id) ON DELETE CASCADE,
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    message BLOB NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (session, user, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE group_keys (                -- keys of others' sessions, given by the device that made them
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    session TEXT NOT NULL,
    group_name TEXT NOT NULL,
    pickle TEXT NOT NULL,
    UNIQUE (user, device, session)
) STRICT;

CREATE TABLE group_seen (                -- which message stood at which place of a session
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    session TEXT NOT NULL,
    idx INTEGER NOT NULL,
    message BLOB NOT NULL,
    PRIMARY KEY (user, device, session, idx),
    FOREIGN KEY (user, device, session) REFERENCES group_keys (user, device, session) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE group_waiting (             -- messages whose key has not come
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    session TEXT NOT NULL,
    message BLOB NOT NULL,
    body BLOB NOT NULL,
    route TEXT NOT NULL,
    address TEXT NOT NULL,
    received_at INTEGER NOT NULL,
    UNIQUE (user, device, message)
) STRICT;

CREATE TABLE group_asks (                -- how often a key was asked for
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    session TEXT NOT NULL,
    times INTEGER NOT NULL,
    PRIMARY KEY (user, device, session)
) STRICT, WITHOUT ROWID;

CREATE TABLE group_envelopes (           -- messages of mine that not everybody has: the same envelope for all
    group_name TEXT NOT NULL,
    message BLOB NOT NULL,
    seq INTEGER NOT NULL,
    version INTEGER NOT NULL,            -- of the group for which it is sealed; -1: not sealed yet
    session TEXT NOT NULL,
    sealed BLOB NOT NULL,
    PRIMARY KEY (group_name, message)
) STRICT, WITHOUT ROWID;

CREATE TABLE group_copies (              -- for whom: until all have it
    group_name TEXT NOT NULL,
    message BLOB NOT NULL,
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    state TEXT NOT NULL,                 -- waiting, stored (in the device's mailbox, or confirmed to the server), delivered
    PRIMARY KEY (group_name, message, user, device),
    FOREIGN KEY (group_name, message) REFERENCES group_envelopes (group_name, message) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE group_receipts (            -- how far each member is with a message of mine
    group_name TEXT NOT NULL,
    message BLOB NOT NULL,
    user TEXT NOT NULL,
    state TEXT NOT NULL,                 -- sent, stored, delivered, read
    at INTEGER,                          -- when, in milliseconds since 1970
    PRIMARY KEY (group_name, message, user)
) STRICT, WITHOUT ROWID;

CREATE INDEX group_receipts_by_message ON group_receipts (message);
CREATE INDEX group_envelopes_by_message ON group_envelopes (message);

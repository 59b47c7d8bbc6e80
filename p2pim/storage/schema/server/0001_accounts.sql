-- Accounts, their devices, contacts, blocks, counters, and invitations. Times are in seconds since 1970.

CREATE TABLE accounts (
    id              INTEGER PRIMARY KEY AUTOINCREMENT,
    name            TEXT NOT NULL UNIQUE,           -- canonical
    password        TEXT NOT NULL,                  -- argon2id, with its parameters and salt
    disabled        INTEGER NOT NULL DEFAULT 0,
    created_at      REAL NOT NULL,
    uploads         INTEGER NOT NULL DEFAULT 0,     -- messages sent through the server
    upload_bytes    INTEGER NOT NULL DEFAULT 0,
    last_up         REAL,
    downloads       INTEGER NOT NULL DEFAULT 0,     -- messages received through the server
    download_bytes  INTEGER NOT NULL DEFAULT 0,
    last_down       REAL,
    spliced_bytes   INTEGER NOT NULL DEFAULT 0      -- sent through relayed channels
) STRICT;

CREATE TABLE devices (
    account     INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    id          BLOB NOT NULL,
    name        TEXT NOT NULL,
    token_hash  BLOB,                               -- SHA-256; NULL when signed out
    used_at     REAL NOT NULL,
    PRIMARY KEY (account, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE contacts (
    owner       INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    contact     INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    PRIMARY KEY (owner, contact)
) STRICT, WITHOUT ROWID;

CREATE INDEX contacts_by_contact ON contacts(contact);

CREATE TABLE blocks (
    owner       INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    blocked     INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    PRIMARY KEY (owner, blocked)
) STRICT, WITHOUT ROWID;

CREATE INDEX blocks_by_blocked ON blocks(blocked);

CREATE TABLE invites (
    code_hash   BLOB PRIMARY KEY,                   -- SHA-256 of the invitation's text
    created_at  REAL NOT NULL,
    expires_at  REAL NOT NULL,
    used_by     TEXT
) STRICT, WITHOUT ROWID;

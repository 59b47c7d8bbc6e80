-- Mail that waits for devices. Times are in seconds since 1970.

ALTER TABLE devices ADD COLUMN added_at REAL NOT NULL DEFAULT 0;
UPDATE devices SET added_at = used_at;

CREATE TABLE mailboxes (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    account     INTEGER NOT NULL,
    device      BLOB NOT NULL,
    last        INTEGER NOT NULL DEFAULT 0,         -- the number of its newest mail
    messages    INTEGER NOT NULL DEFAULT 0,         -- what waits
    bytes       INTEGER NOT NULL DEFAULT 0,         -- payloads and overhead
    UNIQUE (account, device),
    FOREIGN KEY (account, device) REFERENCES devices(account, id) ON DELETE CASCADE
) STRICT;

CREATE TABLE mail (
    id          INTEGER PRIMARY KEY,
    mailbox     INTEGER NOT NULL REFERENCES mailboxes(id) ON DELETE CASCADE,
    number      INTEGER NOT NULL,
    sender      TEXT NOT NULL,                      -- canonical
    device      BLOB NOT NULL,                      -- the sender's
    kind        INTEGER NOT NULL,
    message     BLOB NOT NULL,
    at          REAL NOT NULL,
    group_name  TEXT NOT NULL,
    payload     BLOB NOT NULL,
    UNIQUE (mailbox, number)
) STRICT;

CREATE INDEX mail_by_age ON mail(at);

-- The ids of what waits, and of what waited: nothing is put there twice.
CREATE TABLE mail_seen (
    mailbox     INTEGER NOT NULL REFERENCES mailboxes(id) ON DELETE CASCADE,
    key         BLOB NOT NULL,                      -- sender's device, message id, sender
    number      INTEGER NOT NULL,
    at          REAL NOT NULL,
    PRIMARY KEY (mailbox, key)
) STRICT, WITHOUT ROWID;

CREATE INDEX mail_seen_by_number ON mail_seen(mailbox, number);
CREATE INDEX mail_seen_by_age ON mail_seen(at);

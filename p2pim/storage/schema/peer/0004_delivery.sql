-- Copies of messages for devices, order per conversation, and messages that are early.

CREATE TABLE copies (                    -- of messages of mine, one for each device that has not confirmed it
    conversation TEXT NOT NULL,          -- as in messages.user: a user, or #NAME
    user TEXT NOT NULL,                  -- whose device: the other side's, or mine
    device BLOB NOT NULL,
    seq INTEGER NOT NULL,
    message BLOB NOT NULL,
    state TEXT NOT NULL,                 -- waiting, stored (in the device's mailbox)
    sealed BLOB NOT NULL,                -- the envelope: what goes again is the very same
    PRIMARY KEY (conversation, user, device, seq)
) STRICT;

CREATE UNIQUE INDEX copies_of_message ON copies (message, user, device, conversation);

CREATE TABLE arrivals_by_conversation (  -- the number that comes next from a device in a conversation
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    conversation TEXT NOT NULL,          -- as in the message: empty for that of sender and recipient
    expected INTEGER NOT NULL,
    early INTEGER NOT NULL DEFAULT 0,    -- how many rows of early belong to it
    PRIMARY KEY (user, device, conversation)
) STRICT, WITHOUT ROWID;

INSERT INTO arrivals_by_conversation (user, device, conversation, expected)
    SELECT user, device, '', expected FROM arrivals;
DROP TABLE arrivals;
ALTER TABLE arrivals_by_conversation RENAME TO arrivals;

CREATE TABLE early (                     -- messages that came before their turn, and are not shown yet
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    conversation TEXT NOT NULL,
    seq INTEGER NOT NULL,
    id BLOB NOT NULL,
    text TEXT NOT NULL,
    sent_at INTEGER NOT NULL,
    received_at INTEGER NOT NULL,
    route TEXT NOT NULL,
    address TEXT NOT NULL,
    until REAL NOT NULL,                 -- by the clock of the process that put it here
    PRIMARY KEY (user, device, conversation, seq),
    UNIQUE (user, device, id)
) STRICT;

CREATE TABLE own_copies (                -- which messages of my other devices have been taken
    device BLOB NOT NULL,
    id BLOB NOT NULL,
    PRIMARY KEY (device, id)
) STRICT, WITHOUT ROWID;

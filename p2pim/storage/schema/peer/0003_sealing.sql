-- What this device needs to seal and open: see p2pim.core.sealing. Pickles are encrypted with the home's key.

CREATE TABLE sealing_account (
    one INTEGER PRIMARY KEY CHECK (one = 1),
    pickle TEXT NOT NULL,
    fallback_at REAL NOT NULL DEFAULT 0  -- when the fallback key was made, in seconds since 1970
) STRICT;

CREATE TABLE identities (                -- devices of others and my other ones, pinned when they were first seen
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    ed25519 BLOB NOT NULL,
    curve25519 BLOB NOT NULL,
    signature BLOB NOT NULL,
    name TEXT NOT NULL DEFAULT '',
    seen_at REAL NOT NULL DEFAULT 0,     -- when it was pinned, in seconds since 1970
    verified INTEGER NOT NULL DEFAULT 0, -- compared by a person
    accepted INTEGER NOT NULL DEFAULT 1, -- 0: it is new with a verified user, and nobody has looked at it
    gone INTEGER NOT NULL DEFAULT 0,     -- the server does not list it any more
    announced INTEGER NOT NULL DEFAULT 0, -- the person has been told of it
    PRIMARY KEY (user, device)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealing_sessions (          -- Olm sessions; without a pickle: one that was dropped
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    id TEXT NOT NULL,
    lane INTEGER NOT NULL,               -- 0 signals, 1 mail
    pickle TEXT,
    answered INTEGER NOT NULL DEFAULT 0,
    chains BLOB NOT NULL,                -- what comes next under the other side's ratchet keys (MessagePack)
    used INTEGER NOT NULL,               -- the greater, the later
    PRIMARY KEY (user, device, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE sealing_asks (              -- what could not be opened here and was asked for again
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    message BLOB NOT NULL,
    times INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (user, device, message)
) STRICT, WITHOUT ROWID;

CREATE TABLE opened_signals (            -- mail that is no message of a person, lately opened: it may come twice
    number INTEGER PRIMARY KEY,
    user TEXT NOT NULL,
    device BLOB NOT NULL,
    message BLOB NOT NULL,
    UNIQUE (user, device, message)
) STRICT;

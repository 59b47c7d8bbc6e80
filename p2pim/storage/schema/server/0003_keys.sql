-- Public keys of devices, for whoever wants to seal for them. Keys are 32 bytes, signatures 64.

CREATE TABLE identities (
    account             INTEGER NOT NULL,
    device              BLOB NOT NULL,
    ed25519             BLOB NOT NULL,
    curve25519          BLOB NOT NULL,
    signature           BLOB NOT NULL,
    fallback_id         TEXT,                       -- the fallback key, if one was published
    fallback_key        BLOB,
    fallback_signature  BLOB,
    PRIMARY KEY (account, device),
    FOREIGN KEY (account, device) REFERENCES devices(account, id) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;

CREATE TABLE one_time_keys (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,  -- the oldest are handed out first
    account     INTEGER NOT NULL,
    device      BLOB NOT NULL,
    id          TEXT NOT NULL,
    key         BLOB NOT NULL,
    signature   BLOB NOT NULL,
    UNIQUE (account, device, key),
    FOREIGN KEY (account, device) REFERENCES identities(account, device) ON DELETE CASCADE
) STRICT;

-- Keys that were handed out: published again they are not handed out again.
CREATE TABLE spent_keys (
    number      INTEGER PRIMARY KEY,                -- as in one_time_keys
    account     INTEGER NOT NULL,
    device      BLOB NOT NULL,
    key         BLOB NOT NULL,
    UNIQUE (account, device, key),
    FOREIGN KEY (account, device) REFERENCES identities(account, device) ON DELETE CASCADE
) STRICT;

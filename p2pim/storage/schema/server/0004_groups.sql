-- Groups and who is in them. What is said in them is mail.

CREATE TABLE groups (
    id          INTEGER PRIMARY KEY AUTOINCREMENT,
    name        TEXT NOT NULL UNIQUE,               -- canonical
    version     INTEGER NOT NULL,                   -- counts changes, from the milliseconds since 1970 when it was made:
                                                    -- a later group of the same name never has a version of this one
    topic       TEXT NOT NULL DEFAULT ''
) STRICT;

CREATE TABLE group_members (
    number      INTEGER PRIMARY KEY AUTOINCREMENT,  -- the order in which they came
    group_id    INTEGER NOT NULL REFERENCES groups(id) ON DELETE CASCADE,
    account     INTEGER NOT NULL REFERENCES accounts(id) ON DELETE CASCADE,
    role        TEXT NOT NULL,                      -- owner, admin, member
    UNIQUE (group_id, account)
) STRICT;

CREATE INDEX group_members_by_account ON group_members(account);

-- What the operator's page shows of the past, and who may see it. Times are in seconds since 1970.

-- Steps of the last hour and the last day; a step takes the place of the one a whole span ago.
CREATE TABLE series (
    step            INTEGER NOT NULL,               -- seconds; 10 for the hour, 300 for the day
    slot            INTEGER NOT NULL,
    at              INTEGER NOT NULL,               -- when it began
    seconds         REAL NOT NULL,                  -- how much of it was watched
    connections     INTEGER NOT NULL,               -- the most there were
    messages        INTEGER NOT NULL,
    relayed         INTEGER NOT NULL,               -- bytes through the server
    requests        INTEGER NOT NULL,               -- to the P2P server
    direct_messages INTEGER NOT NULL,               -- as peers report
    direct          INTEGER NOT NULL,               -- bytes, as peers report
    PRIMARY KEY (step, slot)
) STRICT, WITHOUT ROWID;

CREATE TABLE operator (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
    password    TEXT NOT NULL                       -- argon2id, with its parameters and salt
) STRICT;

-- Files and folders that are sent or received: one row each, from the offer to long after its end.

CREATE TABLE transfers (
    id BLOB PRIMARY KEY,                 -- made by the sender
    direction TEXT NOT NULL,             -- in, out
    user TEXT NOT NULL,                  -- the other side
    device BLOB NOT NULL,                -- theirs; empty while nobody has accepted
    name TEXT NOT NULL,                  -- as offered
    size INTEGER NOT NULL,               -- bytes of content
    files INTEGER NOT NULL,
    manifest_size INTEGER NOT NULL,      -- bytes before the content; 0 for a single file
    modified_ns INTEGER NOT NULL,
    comment TEXT NOT NULL,
    folder INTEGER NOT NULL,
    executable INTEGER NOT NULL,
    route TEXT NOT NULL,                 -- wanted: auto, direct, relay
    state TEXT NOT NULL,                 -- see p2pim.core.transfer.State
    reason TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    paused_here INTEGER NOT NULL DEFAULT 0,
    paused_there INTEGER NOT NULL DEFAULT 0,
    settled INTEGER NOT NULL DEFAULT 0,  -- the other side knows of the end
    path TEXT NOT NULL DEFAULT '',       -- out: the source; in: where it is, once completed
    directory TEXT NOT NULL DEFAULT '',  -- in: where it goes
    part TEXT NOT NULL DEFAULT '',       -- in: the partial's name there
    final TEXT NOT NULL DEFAULT '',      -- in: the name being given to it
    position INTEGER NOT NULL DEFAULT 0, -- bytes of the stream
    digest BLOB,                         -- BLAKE3 of the whole, once known
    took REAL NOT NULL DEFAULT 0,        -- seconds during which bytes moved
    used_route TEXT NOT NULL DEFAULT '',
    created REAL NOT NULL,               -- seconds since 1970
    changed REAL NOT NULL
) STRICT;

CREATE INDEX transfers_ended ON transfers (changed) WHERE state IN ('completed', 'disrupted');

CREATE TABLE transfer_checkpoints (      -- the journal: prefixes that are on the disk, proved
    transfer BLOB NOT NULL REFERENCES transfers (id) ON DELETE CASCADE,
    position INTEGER NOT NULL,
    digest BLOB NOT NULL,
    PRIMARY KEY (transfer, position)
) STRICT, WITHOUT ROWID;

CREATE TABLE transfer_manifests (        -- of folders being sent
    transfer BLOB PRIMARY KEY REFERENCES transfers (id) ON DELETE CASCADE,
    body BLOB NOT NULL
) STRICT;

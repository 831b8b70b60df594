-- Who belongs to the cluster, who coordinates it, and which node owns which users. A single process (SQLite) has the
-- tables and never touches them. All times here are the database's own.

-- A process renews its row each second. A row is deleted by its own process, or by the coordinator: a process that
-- finds none is out. Ids are never used twice.
CREATE TABLE processes (
    id         BIGINT      NOT NULL PRIMARY KEY,
    kind       TEXT        NOT NULL,                -- gateway, node
    name       TEXT        NOT NULL,                -- the machine's or pod's
    info       TEXT        NOT NULL,                -- for people
    key_name   BIGINT      NOT NULL,                -- of the key with which it proves its messages
    draining   BOOLEAN     NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    renewed_at TIMESTAMPTZ NOT NULL
);

-- One row. Whoever writes as the coordinator names holder and epoch, and writes nothing if they are others by now.
CREATE TABLE coordinator (
    id         INTEGER     NOT NULL PRIMARY KEY,
    holder     BIGINT,
    epoch      BIGINT      NOT NULL,                -- one more with each holder
    renewed_at TIMESTAMPTZ NOT NULL
);
INSERT INTO coordinator (id, epoch, renewed_at) VALUES (1, 0, '1970-01-01T00:00:00+00:00');

-- One row, locked by whoever changes slots or members: changes become visible in the order of these numbers.
CREATE TABLE slot_table (
    id      INTEGER NOT NULL PRIMARY KEY,
    version BIGINT  NOT NULL,                       -- of the slots
    members BIGINT  NOT NULL                        -- of the processes, renewals aside
);
INSERT INTO slot_table (id, version, members) VALUES (1, 0, 0);

CREATE TABLE slots (
    slot      INTEGER NOT NULL PRIMARY KEY,
    owner     BIGINT,                               -- a node; it may be gone
    epoch     BIGINT  NOT NULL,                     -- one more with each owner
    moving_to BIGINT,                               -- the node that the owner shall hand it to
    version   BIGINT  NOT NULL                      -- of the table when the row was last changed
);
CREATE INDEX slots_version ON slots (version);
INSERT INTO slots (slot, epoch, version)
    WITH RECURSIVE numbers (n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < 4095)
    SELECT n, 0, 0 FROM numbers;

-- The slot of the row's user, written by nodes: the hash is the program's, and no SQL knows it. It is read only to
-- put right what a dead node left, so only rows that can be wrong are indexed.
ALTER TABLE devices ADD COLUMN slot INTEGER;
ALTER TABLE streams ADD COLUMN slot INTEGER;
CREATE INDEX devices_online_slot ON devices (slot, id) WHERE is_online;
DROP INDEX devices_online;                          -- the new one serves what it served
CREATE INDEX streams_open_slot   ON streams (slot, id) WHERE ended_at IS NULL;

-- One text for both databases. In SQLite a UUID is a 16-byte blob and a TIMESTAMPTZ is RFC 3339 text in UTC,
-- which sorts as time does; ids and times are made by the program, so nothing here has a computed default.

CREATE TABLE users (
    id            UUID        NOT NULL PRIMARY KEY,
    email         TEXT        NOT NULL UNIQUE,      -- lower case
    password_hash TEXT        NOT NULL,             -- argon2id, or bcrypt of the first Streamz until the next login
    first_name    TEXT,
    last_name     TEXT,
    created_at    TIMESTAMPTZ NOT NULL,
    updated_at    TIMESTAMPTZ NOT NULL
);

CREATE TABLE devices (
    id          UUID        NOT NULL PRIMARY KEY,
    user_id     UUID        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    device_id   TEXT        NOT NULL,               -- chosen by the client
    device_name TEXT        NOT NULL,
    device_type TEXT        NOT NULL,
    is_online   BOOLEAN     NOT NULL,
    last_seen   TIMESTAMPTZ,
    created_at  TIMESTAMPTZ NOT NULL,
    UNIQUE (user_id, device_id)
);
-- Few rows are online compared with all: putting presence right after a crash reads only those.
CREATE INDEX devices_online ON devices (id) WHERE is_online;

CREATE TABLE streams (
    id               UUID        NOT NULL PRIMARY KEY,
    user_id          UUID        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    source_device_id UUID        REFERENCES devices (id) ON DELETE SET NULL,
    target_device_id UUID        REFERENCES devices (id) ON DELETE SET NULL,
    stream_type      TEXT        NOT NULL,
    started_at       TIMESTAMPTZ NOT NULL,
    ended_at         TIMESTAMPTZ,
    end_reason       TEXT,
    connection_type  TEXT,
    quality          TEXT,
    latency_ms       BIGINT
);
-- The pages of a user, of a user's live streams, and of one device, each read newest first (backwards).
CREATE INDEX streams_user_recent ON streams (user_id, started_at, id);
CREATE INDEX streams_user_open   ON streams (user_id, started_at, id) WHERE ended_at IS NULL;
CREATE INDEX streams_source      ON streams (source_device_id, started_at, id);
CREATE INDEX streams_target      ON streams (target_device_id, started_at, id);
-- Retention.
CREATE INDEX streams_started     ON streams (started_at);

-- A sign-in starts a family; each refresh spends one token and adds the next.
CREATE TABLE refresh_families (
    id            UUID        NOT NULL PRIMARY KEY,
    user_id       UUID        NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    created_at    TIMESTAMPTZ NOT NULL,
    expires_at    TIMESTAMPTZ NOT NULL,             -- that of its newest token
    revoked_at    TIMESTAMPTZ,
    revoke_reason TEXT
);
CREATE INDEX refresh_families_user    ON refresh_families (user_id);
CREATE INDEX refresh_families_expires ON refresh_families (expires_at);
CREATE INDEX refresh_families_revoked ON refresh_families (revoked_at, id) WHERE revoked_at IS NOT NULL;

CREATE TABLE refresh_tokens (
    token_hash BYTEA       NOT NULL PRIMARY KEY,    -- the token itself is never stored
    family_id  UUID        NOT NULL REFERENCES refresh_families (id) ON DELETE CASCADE,
    created_at TIMESTAMPTZ NOT NULL,
    expires_at TIMESTAMPTZ NOT NULL,
    spent_at   TIMESTAMPTZ
);
CREATE INDEX refresh_tokens_family  ON refresh_tokens (family_id);
CREATE INDEX refresh_tokens_expires ON refresh_tokens (expires_at);
CREATE INDEX refresh_tokens_spent   ON refresh_tokens (spent_at) WHERE spent_at IS NOT NULL;

-- Failed and pending sign-ins per account and per address, so that the whole fleet counts together.
CREATE TABLE login_counters (
    key_hash          BYTEA       NOT NULL PRIMARY KEY,  -- what people typed is not kept
    window_started_at TIMESTAMPTZ NOT NULL,
    attempts          BIGINT      NOT NULL,
    strikes           BIGINT      NOT NULL,              -- how often the limit was passed: the delay grows with it
    blocked_until     TIMESTAMPTZ,
    updated_at        TIMESTAMPTZ NOT NULL
);
CREATE INDEX login_counters_updated ON login_counters (updated_at);

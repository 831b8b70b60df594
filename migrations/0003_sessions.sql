-- What people see of their sign-ins, and how the sign-ins of an account that is gone stay ended. Only added to: an older
-- program goes on beside it.

ALTER TABLE refresh_families ADD COLUMN user_agent TEXT;    -- what the client called itself

-- The families of a deleted account go with it, but their access tokens are good until they lapse: whoever checks
-- those finds here that they are void.
CREATE TABLE ended_families (
    id         UUID        NOT NULL PRIMARY KEY,
    user_id    UUID        NOT NULL,                -- there is no such user any more
    expires_at TIMESTAMPTZ NOT NULL,
    revoked_at TIMESTAMPTZ NOT NULL
);
CREATE INDEX ended_families_revoked ON ended_families (revoked_at, id);
CREATE INDEX ended_families_expires ON ended_families (expires_at);

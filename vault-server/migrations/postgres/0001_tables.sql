-- Times are in milliseconds since 1970 UTC, sizes in bytes. No column is NULL: 0 and '' stand for none.

CREATE TABLE users (
    user_id BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(user_id) = 16),
    label TEXT NOT NULL,
    quota BIGINT NOT NULL CHECK (quota >= 0),
    used BIGINT NOT NULL CHECK (used >= 0),
    suspended BIGINT NOT NULL CHECK (suspended IN (0, 1)),
    card_seq BIGINT NOT NULL CHECK (card_seq >= 0),
    created_ms BIGINT NOT NULL
);

CREATE TABLE names (
    name TEXT NOT NULL PRIMARY KEY CHECK (length(name) BETWEEN 1 AND 64),
    user_id BYTEA NOT NULL UNIQUE REFERENCES users
);

CREATE TABLE cards (
    user_id BYTEA NOT NULL REFERENCES users,
    seq BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    entry BYTEA NOT NULL CHECK (octet_length(entry) <= 1048576),
    PRIMARY KEY (user_id, seq)
);

CREATE TABLE devices (
    device BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(device) = 16),
    user_id BYTEA NOT NULL REFERENCES users,
    signing_key BYTEA NOT NULL CHECK (octet_length(signing_key) = 32),
    kind BIGINT NOT NULL CHECK (kind IN (0, 1))
);
CREATE INDEX devices_of_user ON devices (user_id);

CREATE TABLE invites (
    invite BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(invite) = 16),
    auth BYTEA NOT NULL CHECK (octet_length(auth) = 32),
    label TEXT NOT NULL,
    quota BIGINT NOT NULL CHECK (quota >= 0),
    created_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    wrong_macs BIGINT NOT NULL,
    used_by BYTEA NOT NULL CHECK (octet_length(used_by) IN (0, 16))
);

CREATE TABLE device_requests (
    request BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(request) = 16),
    signing_key BYTEA NOT NULL CHECK (octet_length(signing_key) = 32),
    recipient TEXT NOT NULL,
    expires_ms BIGINT NOT NULL,
    answer BYTEA NOT NULL CHECK (octet_length(answer) <= 65536),
    consent BYTEA NOT NULL CHECK (octet_length(consent) IN (0, 64))
);
CREATE INDEX device_requests_by_end ON device_requests (expires_ms);

CREATE TABLE vaults (
    vault BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(vault) = 32),
    founder BYTEA NOT NULL REFERENCES users,
    quota BIGINT NOT NULL CHECK (quota >= 0),
    used BIGINT NOT NULL CHECK (used >= 0),
    trashed BIGINT NOT NULL CHECK (trashed >= 0),
    held BIGINT NOT NULL CHECK (held IN (0, 1)),
    head_seq BIGINT NOT NULL CHECK (head_seq >= 0),
    head_hash BYTEA NOT NULL CHECK (octet_length(head_hash) = 32),
    audit_seq BIGINT NOT NULL CHECK (audit_seq >= 0),
    audit_hash BYTEA NOT NULL CHECK (octet_length(audit_hash) = 32),
    created_ms BIGINT NOT NULL
);
CREATE INDEX vaults_of_founder ON vaults (founder);

-- A role of 0, 1, 2 is an owner's, editor's, reader's; 3 is an append-only device.
CREATE TABLE members (
    vault BYTEA NOT NULL REFERENCES vaults,
    member BYTEA NOT NULL CHECK (octet_length(member) = 16),
    role BIGINT NOT NULL CHECK (role BETWEEN 0 AND 3),
    PRIMARY KEY (vault, member)
);
CREATE INDEX vaults_of_member ON members (member);

CREATE TABLE log (
    vault BYTEA NOT NULL REFERENCES vaults,
    seq BIGINT NOT NULL,
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    time_ms BIGINT NOT NULL,
    receipt BYTEA NOT NULL CHECK (octet_length(receipt) = 64),
    statement BYTEA NOT NULL CHECK (octet_length(statement) <= 1048576),
    PRIMARY KEY (vault, seq)
);

-- A state of 0 is reserved, 1 stored, 2 trash, 3 damaged, 4 leaving. Unnamed is 1 for an index object that no statement names, 2 for one
-- that only grants name.
CREATE TABLE objects (
    vault BYTEA NOT NULL REFERENCES vaults,
    name BYTEA NOT NULL CHECK (octet_length(name) BETWEEN 17 AND 33),
    size BIGINT NOT NULL CHECK (size >= 0),
    state BIGINT NOT NULL CHECK (state BETWEEN 0 AND 4),
    stored_ms BIGINT NOT NULL,
    condemned_ms BIGINT NOT NULL,
    checked_ms BIGINT NOT NULL,
    reservation BIGINT NOT NULL,
    unnamed BIGINT NOT NULL CHECK (unnamed IN (0, 1, 2)),
    PRIMARY KEY (vault, name)
);
CREATE INDEX objects_on_the_way ON objects (state, stored_ms) WHERE state IN (0, 4);
CREATE INDEX objects_in_trash ON objects (vault, condemned_ms, size) WHERE state = 2;
CREATE INDEX objects_unnamed ON objects (stored_ms) WHERE unnamed = 1 AND state = 1;
CREATE INDEX objects_to_check ON objects (checked_ms) WHERE state = 1;

-- A token_hash of '' is no link, 0 downloads are any number. Of one that has ended, the rows in the tables below are gone.
CREATE TABLE grants (
    grant_id BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(grant_id) = 16),
    vault BYTEA NOT NULL REFERENCES vaults,
    seq BIGINT NOT NULL,
    sender BYTEA NOT NULL CHECK (octet_length(sender) = 16),
    time_ms BIGINT NOT NULL,
    expires_ms BIGINT NOT NULL,
    ranges BYTEA NOT NULL CHECK (octet_length(ranges) = 32),
    token_hash BYTEA NOT NULL CHECK (octet_length(token_hash) IN (0, 32)),
    downloads BIGINT NOT NULL CHECK (downloads >= 0),
    opened BIGINT NOT NULL CHECK (opened >= 0),
    fetched BIGINT NOT NULL CHECK (fetched >= opened),
    last_ms BIGINT NOT NULL,
    revoked BIGINT NOT NULL CHECK (revoked IN (0, 1)),
    ended BIGINT NOT NULL CHECK (ended IN (0, 1))
);
CREATE INDEX grants_of_vault ON grants (vault, grant_id);
CREATE INDEX grants_by_end ON grants (expires_ms) WHERE ended = 0;

-- Users, and recipients who are none.
CREATE TABLE grant_addressees (
    addressee BYTEA NOT NULL CHECK (octet_length(addressee) = 16),
    grant_id BYTEA NOT NULL REFERENCES grants,
    PRIMARY KEY (addressee, grant_id)
);
CREATE INDEX addressees_of_grant ON grant_addressees (grant_id);

-- The index objects that grants name, and those with their ranges.
CREATE TABLE grant_indexes (
    vault BYTEA NOT NULL REFERENCES vaults,
    name BYTEA NOT NULL CHECK (octet_length(name) = 33),
    grant_id BYTEA NOT NULL REFERENCES grants,
    PRIMARY KEY (vault, name, grant_id)
);
CREATE INDEX indexes_of_grant ON grant_indexes (grant_id);

CREATE TABLE tickets (
    ticket BYTEA NOT NULL PRIMARY KEY CHECK (octet_length(ticket) = 16),
    grant_id BYTEA NOT NULL REFERENCES grants,
    expires_ms BIGINT NOT NULL
);
CREATE INDEX tickets_of_grant ON tickets (grant_id);
CREATE INDEX tickets_by_end ON tickets (expires_ms);

CREATE TABLE nonces (
    device BYTEA NOT NULL CHECK (octet_length(device) = 16),
    nonce BYTEA NOT NULL CHECK (octet_length(nonce) = 16),
    expires_ms BIGINT NOT NULL,
    PRIMARY KEY (device, nonce)
);
CREATE INDEX nonces_by_end ON nonces (expires_ms);

CREATE TABLE audit (
    vault BYTEA NOT NULL REFERENCES vaults,
    seq BIGINT NOT NULL,
    time_ms BIGINT NOT NULL,
    device BYTEA NOT NULL CHECK (octet_length(device) IN (0, 16)),
    action TEXT NOT NULL,
    object TEXT NOT NULL,
    address TEXT NOT NULL,
    prev BYTEA NOT NULL CHECK (octet_length(prev) = 32),
    hash BYTEA NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (vault, seq)
);

CREATE TABLE jobs (
    name TEXT NOT NULL PRIMARY KEY,
    ran_ms BIGINT NOT NULL
);

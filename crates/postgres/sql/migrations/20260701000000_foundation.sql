-- Types and tables of schema `electric`. On a database that a legacy server used, some of them exist already; the
-- next migration brings those into this shape.

DO $$
BEGIN
    IF to_regtype('electric.unbounded_tag') IS NULL THEN
        CREATE TYPE electric.unbounded_tag AS ("timestamp" timestamptz, source_id varchar(255));
    END IF;
    IF to_regtype('electric.tag') IS NULL THEN
        CREATE DOMAIN electric.tag AS electric.unbounded_tag
            CHECK (VALUE IS NOT DISTINCT FROM NULL OR (VALUE)."timestamp" IS NOT NULL);
    END IF;
END
$$;

COMMENT ON DOMAIN electric.tag IS 'Who wrote, and when (exact to the millisecond). No source: Postgres itself.';

-- The registry of synced tables.
CREATE TABLE IF NOT EXISTS electric.electrified (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    schema_name text NOT NULL,
    table_name text NOT NULL,
    oid oid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT current_timestamp,
    shadow oid,
    tag_columns jsonb,
    CONSTRAINT unique_table_name UNIQUE (schema_name, table_name)
);

-- One version for each transaction that migrates (spec 04 §7).
CREATE TABLE IF NOT EXISTS electric.migration_versions (
    txid xid8 NOT NULL,
    txts bigint NOT NULL,
    version text NOT NULL,
    inserted_at timestamptz NOT NULL DEFAULT transaction_timestamp(),
    priority smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (txid, txts),
    CONSTRAINT migration_unique_version UNIQUE (version)
);

-- Written by every transaction that assigns a version: one in REPEATABLE READ that began before another migration
-- committed fails to serialize here, instead of taking a version that does not grow.
CREATE TABLE IF NOT EXISTS electric.migration_head (
    single boolean PRIMARY KEY DEFAULT true CHECK (single),
    version text
);
INSERT INTO electric.migration_head DEFAULT VALUES ON CONFLICT DO NOTHING;

-- What the stream and the start-up loader learn about schema changes: one table's definition per row, written when
-- the migrating transaction commits.
CREATE TABLE IF NOT EXISTS electric.ddl_commands (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid xid8 NOT NULL,
    txts bigint NOT NULL,
    query text,
    version text,
    recorded_at timestamptz NOT NULL DEFAULT transaction_timestamp(),
    snapshot jsonb,
    -- A position before the transaction's commit.
    position pg_lsn NOT NULL DEFAULT pg_current_wal_insert_lsn()
);

-- Tables that the running transaction has changed; always empty for others.
CREATE TABLE IF NOT EXISTS electric.captures (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    txid xid8 NOT NULL,
    table_oid oid NOT NULL,
    UNIQUE (txid, table_oid)
);

-- The last transaction applied for each client, and the client's own clock at it.
CREATE TABLE IF NOT EXISTS electric.acknowledged_client_lsns (
    client_id text PRIMARY KEY,
    lsn bytea NOT NULL,
    ts bigint
);

CREATE TABLE IF NOT EXISTS electric.transaction_marker (
    id varchar(64) PRIMARY KEY,
    content jsonb
);
INSERT INTO electric.transaction_marker (id, content)
VALUES ('cluster_id', to_jsonb(gen_random_uuid()::text))
ON CONFLICT (id) DO NOTHING;

-- Clients, by installation. A row belongs to one user for good.
CREATE TABLE IF NOT EXISTS electric.clients (
    client_id text PRIMARY KEY,
    user_id text NOT NULL,
    pending_last bigint,
    pending_versions text[],
    created_at timestamptz NOT NULL DEFAULT now(),
    seen_at timestamptz NOT NULL DEFAULT now()
);

COMMENT ON COLUMN electric.clients.pending_last IS
    'Position up to which the migrations of an initial sync are announced but not yet confirmed; with pending_versions.';

-- Subscriptions, in the order they were made; gone_at is the stream position at which one was given up.
CREATE TABLE IF NOT EXISTS electric.client_subscriptions (
    client_id text NOT NULL REFERENCES electric.clients ON DELETE CASCADE,
    subscription_id text NOT NULL,
    ord bigint GENERATED ALWAYS AS IDENTITY,
    request bytea NOT NULL,
    gone_at bigint,
    PRIMARY KEY (client_id, subscription_id)
);

SET LOCAL search_path = pg_catalog, pg_temp;
SET LOCAL client_min_messages = warning;
SELECT pg_advisory_xact_lock(7305808, 0);
CREATE SCHEMA IF NOT EXISTS electric;
CREATE TABLE IF NOT EXISTS electric.schema_migrations (
    version bigint PRIMARY KEY,
    inserted_at timestamp NOT NULL DEFAULT localtimestamp
);

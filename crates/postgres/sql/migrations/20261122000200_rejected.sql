-- Client transactions that Postgres refused for good, for the operator to look at (spec 05 §7.6). Values and all: this is the
-- operator's own database. Not published.
CREATE TABLE IF NOT EXISTS electric.rejected_transactions (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    client_id text NOT NULL,
    -- The position in the client's own log.
    lsn bytea NOT NULL,
    -- The client's clock when it committed, in milliseconds since the epoch.
    ts bigint NOT NULL,
    first_seen timestamptz NOT NULL DEFAULT now(),
    last_seen timestamptz NOT NULL DEFAULT now(),
    tries integer NOT NULL DEFAULT 1,
    sqlstate text NOT NULL,
    message text NOT NULL,
    table_name text,
    constraint_name text,
    column_name text,
    -- How many there are; fewer may be stored.
    operation_count integer NOT NULL,
    operations jsonb NOT NULL,
    complete boolean NOT NULL,
    -- waiting: for the client to send it again, or for the operator. applied: the client's later attempt went well. retried: the
    -- operator's did. discarded: by the operator; the client has been moved past it.
    state text NOT NULL DEFAULT 'waiting' CHECK (state IN ('waiting', 'applied', 'retried', 'discarded')),
    settled_at timestamptz,
    UNIQUE (client_id, lsn)
);

COMMENT ON TABLE electric.rejected_transactions IS
    'Client transactions that Postgres refused: see tieline rejected --help';

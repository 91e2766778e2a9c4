-- The running transaction's identity, as recorded beside what it captured.

CREATE OR REPLACE FUNCTION electric.current_xact_id() RETURNS xid8
    LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS $$ SELECT pg_current_xact_id() $$;

-- Microseconds since the epoch at the transaction's start.
CREATE OR REPLACE FUNCTION electric.current_xact_ts() RETURNS bigint
    LANGUAGE sql STABLE PARALLEL RESTRICTED SET search_path = pg_catalog, pg_temp
    AS $$ SELECT (extract(epoch FROM transaction_timestamp()) * 1000000)::bigint $$;

-- An identifier in quotes whatever it holds: generated code never depends on lists of keywords.
CREATE OR REPLACE FUNCTION electric.quoted(name text) RETURNS text
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT '"' || replace(name, '"', '""') || '"' $$;

-- How Postgres prints names depends on the search path. These print what lies in `public` without its schema, as
-- clients need it, and hold nothing but one qualified call, so that nobody's objects in `public` can get in between.

CREATE OR REPLACE FUNCTION electric.type_text(type oid, modifier integer) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, public
    AS $$ SELECT pg_catalog.format_type($1, $2) $$;

CREATE OR REPLACE FUNCTION electric.constraint_text(constraint_oid oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, public
    AS $$ SELECT pg_catalog.pg_get_constraintdef($1, true) $$;

CREATE OR REPLACE FUNCTION electric.index_text(index_oid oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, public
    AS $$ SELECT pg_catalog.pg_get_indexdef($1) $$;

-- Names of the primary key's columns, in the constraint's order; NULL without one.
CREATE OR REPLACE FUNCTION electric.key_columns(relation oid) RETURNS text[]
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT array_agg(a.attname::text ORDER BY k.place)
        FROM pg_constraint c
        CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY AS k (attnum, place)
        JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
        WHERE c.conrelid = $1 AND c.contype = 'p'
    $$;

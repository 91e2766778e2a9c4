-- Taking a table out of the sync (spec 04 §3.3): its data stays as it is, and nothing of ours stays on it.

-- A name without a dot or quotes is taken as it is and resolved along the caller's search path, like electrify's.
CREATE OR REPLACE PROCEDURE electric.disable(table_name text)
    LANGUAGE plpgsql
    AS $$
    DECLARE
        parts pg_catalog.text[];
        named pg_catalog.text;
        relation pg_catalog.regclass;
    BEGIN
        IF table_name IS NULL THEN
            RAISE null_value_not_allowed USING MESSAGE = 'disable needs the name of a table';
        END IF;
        parts := CASE WHEN table_name OPERATOR(pg_catalog.~) '[."]' THEN pg_catalog.parse_ident(table_name) ELSE ARRAY[table_name] END;
        named := (
            SELECT pg_catalog.string_agg(pg_catalog.quote_ident(p.part), '.' ORDER BY p.place)
            FROM pg_catalog.unnest(parts) WITH ORDINALITY p (part, place)
        );
        relation := pg_catalog.to_regclass(named);
        CALL electric.disable_table(
            relation::pg_catalog.oid,
            CASE WHEN pg_catalog.cardinality(parts) OPERATOR(pg_catalog.=) 2 THEN parts[1] ELSE 'public' END,
            parts[pg_catalog.cardinality(parts)]
        );
    END
    $$;

-- Does it for a relation or, where there is none, for what is left of one of that name.
CREATE OR REPLACE PROCEDURE electric.disable_table(relation oid, home text, name text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        registered electric.electrified;
        gone boolean := relation IS NULL;
    BEGIN
        CALL electric.lock_migrations();
        SELECT e.* INTO registered FROM electric.electrified e
            WHERE CASE WHEN relation IS NULL THEN
                    e.schema_name = home AND e.table_name = name AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = e.oid)
                ELSE e.oid = relation END;
        IF registered.oid IS NULL THEN
            IF EXISTS (SELECT FROM electric.suspended_tables() s WHERE s.relation = disable_table.relation) THEN
                -- Out of the sync already, but waiting to come back.
                CALL electric.assign_migration_version(NULL, 0);
                INSERT INTO electric.ddl_commands (txid, txts, version, snapshot)
                    SELECT v.txid, v.txts, v.version, jsonb_build_object('removed', jsonb_build_object(
                        'oid', relation::bigint, 'schema', n.nspname, 'name', c.relname
                    ))
                    FROM electric.migration_versions v, pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
                    WHERE v.txid = electric.current_xact_id() AND v.txts = electric.current_xact_ts() AND c.oid = relation;
                RAISE NOTICE 'table %.% is not synced any more', home, name;
                RETURN;
            ELSIF gone THEN
                RAISE undefined_table USING MESSAGE = format('relation "%s" does not exist', name);
            END IF;
            RAISE NOTICE 'table %.% is not electrified',
                (SELECT c.relnamespace::regnamespace FROM pg_class c WHERE c.oid = relation),
                (SELECT quote_ident(c.relname) FROM pg_class c WHERE c.oid = relation);
            RETURN;
        END IF;
        CALL electric.remove_table(registered.oid);
        RAISE NOTICE 'table %.% is not synced any more; clients keep the rows that they have', registered.schema_name, registered.table_name;
    END
    $$;

-- At commit, for each table that left the sync: nothing that is still synced may refer to it. Tables that leave together
-- may be named in any order.
CREATE OR REPLACE FUNCTION electric.check_departure() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        left_by oid := (NEW.snapshot -> 'removed' ->> 'oid')::oid;
        children text;
        calls text;
    BEGIN
        SELECT string_agg('  ' || r.child, E'\n' ORDER BY r.child), string_agg(format('CALL electric.disable(%L);', r.child), ' ' ORDER BY r.child)
            INTO children, calls
            FROM (
                SELECT DISTINCT electric.relation_text(c.conrelid) AS child
                FROM pg_constraint c JOIN electric.electrified e ON e.oid = c.conrelid
                WHERE c.confrelid = left_by AND c.contype = 'f'
                    AND NOT EXISTS (SELECT FROM electric.electrified p WHERE p.oid = left_by)
            ) r;
        IF children IS NOT NULL THEN
            RAISE EXCEPTION E'Cannot disable % because electrified tables have foreign keys to it:\n%', electric.relation_text(left_by), children
                USING HINT = 'Disable those tables too, before it or in the same transaction: ' || calls;
        END IF;
        RETURN NULL;
    END
    $$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'electric.ddl_commands'::regclass AND tgname = 'check_departure') THEN
        CREATE CONSTRAINT TRIGGER check_departure AFTER INSERT ON electric.ddl_commands
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW WHEN (NEW.snapshot ? 'removed') EXECUTE FUNCTION electric.check_departure();
        ALTER TABLE electric.ddl_commands ENABLE ALWAYS TRIGGER check_departure;
    END IF;
END
$$;

REVOKE ALL ON FUNCTION electric.check_departure() FROM PUBLIC;
GRANT EXECUTE ON PROCEDURE electric.disable(text), electric.disable_table(oid, text, text) TO PUBLIC;

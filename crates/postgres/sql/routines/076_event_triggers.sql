-- The guard's event triggers, where the role may create them (spec 04 §11). They run as the service's role, whoever changes the
-- schema, and cost next to nothing where no synced table is concerned: plans are made once for a session.

-- Before the command locks its table: if it seems to be about a synced one, it waits here for other migrations. Otherwise it
-- would wait with the table locked, perhaps for a migration that needs that table next.
CREATE OR REPLACE FUNCTION electric.guard_command_start() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
    DECLARE
        command text := lower(current_query());
        is_ours boolean;
    BEGIN
        IF to_regclass('electric.electrified') IS NULL THEN
            RETURN;
        ELSIF TG_TAG = 'DROP INDEX' THEN
            is_ours := EXISTS (SELECT FROM electric.electrified e, jsonb_object_keys(e.guarded -> 'indexes') i WHERE strpos(command, lower(i)) > 0);
        ELSIF TG_TAG = 'ALTER TYPE' THEN
            is_ours := EXISTS (SELECT FROM electric.electrified e WHERE e.guarded -> 'enums' <> '{}');
        ELSE
            is_ours := EXISTS (SELECT FROM electric.electrified e WHERE strpos(command, lower(e.table_name)) > 0);
        END IF;
        IF is_ours THEN
            CALL electric.lock_migrations();
        END IF;
    END
    $$;

-- Guards the tables among these that are synced. In a transaction that sees the database as it was before one of them was
-- electrified, nothing is known of it.
CREATE OR REPLACE PROCEDURE electric.guard_these(relations oid[])
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        relation oid;
    BEGIN
        FOR relation IN SELECT e.oid FROM electric.electrified e WHERE e.oid = ANY (relations) ORDER BY e.id LOOP
            CALL electric.guard(relation);
        END LOOP;
        IF current_setting('transaction_isolation') IN ('repeatable read', 'serializable') AND EXISTS (
            SELECT FROM unnest(relations) r
            WHERE to_regproc('electric.native_insert_' || r) IS NOT NULL AND NOT EXISTS (SELECT FROM electric.electrified e WHERE e.oid = r)
        ) THEN
            RAISE serialization_failure USING MESSAGE = 'could not serialize access: the table was electrified meanwhile',
                HINT = 'The transaction might succeed if retried.';
        END IF;
    END
    $$;

-- The synced tables that these objects are, or are part of, or that inherit from them or did so.
CREATE OR REPLACE FUNCTION electric.tables_of(relations oid[], constraints oid[]) RETURNS oid[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        RETURN (WITH RECURSIVE family AS (
            SELECT r.oid FROM (
                SELECT unnest(relations) AS oid
                UNION ALL SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = ANY (relations)
                UNION ALL SELECT h.inhparent FROM pg_inherits h WHERE h.inhrelid = ANY (relations)
                UNION ALL SELECT c.conrelid FROM pg_constraint c WHERE c.oid = ANY (constraints)
            ) r
            UNION SELECT h.inhrelid FROM family f JOIN pg_inherits h ON h.inhparent = f.oid
        )
        SELECT array_agg(f.oid) FROM family f);
    END
    $$;

CREATE OR REPLACE FUNCTION electric.guard_command_end() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
    DECLARE
        touched oid[];
        constraints oid[];
        others oid[];
        types oid[];
        relations oid[];
    BEGIN
        -- Left over from an installation that was taken apart by hand.
        IF to_regclass('electric.electrified') IS NULL THEN
            RETURN;
        END IF;
        SELECT array_agg(d.objid) FILTER (WHERE d.classid = 'pg_class'::regclass),
                array_agg(d.objid) FILTER (WHERE d.classid = 'pg_constraint'::regclass), array_agg(d.objid)
            INTO touched, constraints, others
            FROM pg_event_trigger_ddl_commands() d;

        CASE TG_TAG
            WHEN 'CREATE INDEX', 'ALTER INDEX' THEN
                relations := ARRAY(SELECT i.indrelid FROM pg_index i WHERE i.indexrelid = ANY (touched)) || touched;
            WHEN 'ALTER TYPE', 'ALTER DOMAIN' THEN
                types := ARRAY(
                    WITH RECURSIVE family AS (
                        SELECT unnest(others) AS oid
                        UNION SELECT t.oid FROM family f JOIN pg_type t ON t.typelem = f.oid OR t.typbasetype = f.oid
                    )
                    SELECT f.oid FROM family f
                );
                relations := ARRAY(
                    SELECT DISTINCT e.oid FROM electric.electrified e JOIN pg_attribute a ON a.attrelid = e.oid AND a.atttypid = ANY (types)
                );
            WHEN 'ALTER SCHEMA' THEN
                relations := ARRAY(SELECT e.oid FROM electric.electrified e JOIN pg_class c ON c.oid = e.oid AND c.relnamespace = ANY (others));
            WHEN 'ALTER EXTENSION' THEN
                relations := ARRAY(SELECT e.oid FROM electric.electrified e);
            ELSE
                relations := electric.tables_of(touched, constraints);
        END CASE;
        CALL electric.guard_these(relations);

        IF TG_TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE')
            AND EXISTS (SELECT FROM pg_class c WHERE c.oid = ANY (touched) AND electric.names_framework(c.relname))
        THEN
            CALL electric.watch_frameworks();
        END IF;
    END
    $$;

-- What was dropped, alone or with something else: tables, and parts of tables that stay.
CREATE OR REPLACE FUNCTION electric.guard_dropped() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
    DECLARE
        relations oid[];
    BEGIN
        IF to_regclass('electric.electrified') IS NULL THEN
            RETURN;
        END IF;
        SELECT array_agg(DISTINCT e.oid) INTO relations
            FROM pg_event_trigger_dropped_objects() d
            JOIN electric.electrified e ON CASE
                WHEN d.object_type = 'index' THEN d.schema_name = e.schema_name
                    AND (e.guarded -> 'indexes' ? d.object_name OR e.guarded -> 'constraints' ? d.object_name)
                WHEN d.classid = 'pg_class'::regclass THEN d.objid = e.oid
                WHEN d.object_type IN ('table constraint', 'default value')
                    THEN d.address_names[1] = e.schema_name AND d.address_names[2] = e.table_name
            END
            WHERE NOT d.is_temporary;
        CALL electric.guard_these(relations);
    END
    $$;

-- Before a table is written anew, which can take long: what would be refused after it is refused now. All of the change is in
-- the catalogue by now, but for the owner of a new sequence, so what is wrong with a DEFAULT is told in the end.
CREATE OR REPLACE FUNCTION electric.guard_rewrite() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off SET plan_cache_mode = force_generic_plan
    AS $$
    DECLARE
        relation oid := pg_event_trigger_table_rewrite_oid();
    BEGIN
        IF to_regclass('electric.electrified') IS NULL OR electric.is_bypassed() THEN
            RETURN;
        END IF;
        IF EXISTS (SELECT FROM electric.inspect(relation) i WHERE i.verdict = 'refused' AND i.code <> 'EX006') THEN
            CALL electric.guard(relation);
        END IF;
    END
    $$;

DO $$
DECLARE
    wanted record;
    stale record;
BEGIN
    EXECUTE format(
        'CREATE OR REPLACE FUNCTION electric.names_framework(name) RETURNS boolean LANGUAGE sql IMMUTABLE AS ''SELECT $1 = ANY (%s)''',
        replace(quote_literal(ARRAY(SELECT DISTINCT f.table_name::name FROM electric.frameworks() f ORDER BY 1)::text) || '::name[]', '''', '''''')
    );
    FOR stale IN
        SELECT t.evtname FROM pg_event_trigger t WHERE t.evtname IN ('electric_event_trigger_ddl_end', 'electric_event_trigger_sql_drop')
    LOOP
        EXECUTE format('DROP EVENT TRIGGER %I', stale.evtname);
    END LOOP;
    FOR wanted IN
        SELECT w.name, w.event, w.routine::regproc AS routine, w.tags FROM (VALUES
            ('electric_guard_command_start', 'ddl_command_start', 'electric.guard_command_start',
                ARRAY['ALTER TABLE', 'ALTER TYPE', 'CREATE INDEX', 'DROP INDEX']),
            ('electric_guard_command_end', 'ddl_command_end', 'electric.guard_command_end',
                ARRAY['ALTER TABLE', 'ALTER INDEX', 'ALTER TYPE', 'ALTER DOMAIN', 'ALTER SCHEMA', 'ALTER EXTENSION', 'CREATE INDEX',
                    'CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO']),
            ('electric_guard_dropped', 'sql_drop', 'electric.guard_dropped', NULL),
            ('electric_guard_rewrite', 'table_rewrite', 'electric.guard_rewrite', NULL)
        ) w (name, event, routine, tags)
    LOOP
        IF EXISTS (
            SELECT FROM pg_event_trigger t
            WHERE t.evtname = wanted.name AND (t.evtfoid <> wanted.routine OR t.evttags IS DISTINCT FROM wanted.tags)
        ) THEN
            EXECUTE format('DROP EVENT TRIGGER %I', wanted.name);
        END IF;
        IF NOT EXISTS (SELECT FROM pg_event_trigger t WHERE t.evtname = wanted.name) THEN
            EXECUTE format('CREATE EVENT TRIGGER %I ON %s %s EXECUTE FUNCTION %s()', wanted.name, wanted.event,
                (SELECT 'WHEN TAG IN (' || string_agg(quote_literal(t), ', ') || ')' FROM unnest(wanted.tags) t), wanted.routine);
        END IF;
        -- Also in sessions with the role `replica`.
        EXECUTE format('ALTER EVENT TRIGGER %I ENABLE ALWAYS', wanted.name);
    END LOOP;
EXCEPTION WHEN insufficient_privilege THEN
    NULL;
END
$$;

-- How changes are noticed. 1: by event triggers, whatever way they are made. 2: by the proxy, and by looking from time to time.
CREATE OR REPLACE FUNCTION electric.guard_tier() RETURNS integer
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE WHEN count(*) = 3 THEN 1 ELSE 2 END FROM pg_event_trigger t
        WHERE t.evtname IN ('electric_guard_command_end', 'electric_guard_dropped', 'electric_guard_rewrite') AND t.evtenabled IN ('O', 'A')
    $$;

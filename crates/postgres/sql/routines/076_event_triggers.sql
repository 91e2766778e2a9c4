-- The guard's event triggers, where the role may create them (spec 04 §11). They run as the service's role, whoever changes the
-- schema, and cost next to nothing where no synced table is concerned.

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

-- The relations that a command may have changed: its objects themselves, what they are part of, and what inherits from them.
CREATE OR REPLACE FUNCTION electric.touched_relations(tag text) RETURNS oid[]
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
    BEGIN
        RETURN (WITH RECURSIVE touched AS MATERIALIZED (
            SELECT d.classid, d.objid FROM pg_event_trigger_ddl_commands() d
        ), types AS (
            SELECT t.objid AS oid FROM touched t WHERE t.classid = 'pg_type'::regclass
            UNION SELECT u.oid FROM types y JOIN pg_type u ON u.typelem = y.oid OR u.typbasetype = y.oid
        ), relations AS (
            SELECT r.oid FROM (
                SELECT t.objid AS oid FROM touched t WHERE t.classid = 'pg_class'::regclass
                UNION ALL SELECT i.indrelid FROM touched t JOIN pg_index i ON i.indexrelid = t.objid WHERE t.classid = 'pg_class'::regclass
                UNION ALL SELECT h.inhparent FROM touched t JOIN pg_inherits h ON h.inhrelid = t.objid WHERE t.classid = 'pg_class'::regclass
                UNION ALL SELECT c.conrelid FROM touched t JOIN pg_constraint c ON c.oid = t.objid WHERE t.classid = 'pg_constraint'::regclass
                -- Those that it was a parent of.
                UNION ALL SELECT e.oid FROM touched t JOIN electric.electrified e ON e.guarded -> 'parents' @> to_jsonb(t.objid::bigint)
                    WHERE t.classid = 'pg_class'::regclass
            ) r
            UNION SELECT h.inhrelid FROM relations r JOIN pg_inherits h ON h.inhparent = r.oid
        )
        SELECT array_agg(r.oid) FROM (
            SELECT oid FROM relations
            UNION SELECT a.attrelid FROM electric.electrified e JOIN pg_attribute a ON a.attrelid = e.oid
                WHERE tag IN ('ALTER TYPE', 'ALTER DOMAIN') AND a.atttypid IN (SELECT y.oid FROM types y)
            UNION SELECT e.oid FROM electric.electrified e JOIN pg_class c ON c.oid = e.oid
                WHERE tag = 'ALTER EXTENSION'
                    OR tag = 'ALTER SCHEMA' AND c.relnamespace IN (SELECT t.objid FROM touched t WHERE t.classid = 'pg_namespace'::regclass)
        ) r);
    END
    $$;

CREATE OR REPLACE FUNCTION electric.guard_command_end() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
    BEGIN
        -- Left over from an installation that was taken apart by hand.
        IF to_regclass('electric.electrified') IS NULL THEN
            RETURN;
        END IF;
        CALL electric.guard_these(electric.touched_relations(TG_TAG));
        IF TG_TAG IN ('CREATE TABLE', 'CREATE TABLE AS', 'SELECT INTO', 'ALTER TABLE') AND EXISTS (
            SELECT FROM pg_event_trigger_ddl_commands() d JOIN pg_class c ON c.oid = d.objid JOIN electric.frameworks() f ON f.table_name = c.relname
            WHERE d.classid = 'pg_class'::regclass
        ) THEN
            CALL electric.watch_frameworks();
        END IF;
    END
    $$;

-- What was dropped, alone or with something else: tables, and parts of tables that stay.
CREATE OR REPLACE FUNCTION electric.guard_dropped() RETURNS event_trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
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
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
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
    FOR stale IN
        SELECT t.evtname FROM pg_event_trigger t WHERE t.evtname IN ('electric_event_trigger_ddl_end', 'electric_event_trigger_sql_drop')
    LOOP
        EXECUTE format('DROP EVENT TRIGGER %I', stale.evtname);
    END LOOP;
    FOR wanted IN
        SELECT w.name, w.event, w.routine::regproc AS routine, w.tags FROM (VALUES
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

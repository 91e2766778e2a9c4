-- Electrification itself (spec 04 §5). The public procedures resolve names as their caller, under the caller's search
-- path; this one does the work as the service's role, under a fixed path.
CREATE OR REPLACE PROCEDURE electric.electrify_table(relation oid, shown text)
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        home text;
        name text;
        stale oid;
    BEGIN
        CALL electric.lock_migrations();
        SELECT n.nspname, c.relname INTO STRICT home, name
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation;
        IF EXISTS (SELECT FROM electric.electrified e WHERE e.oid = relation) THEN
            RAISE NOTICE 'table %.% is already electrified', home, name;
            RETURN;
        END IF;

        RAISE NOTICE 'Electrifying table %.%', home, name;
        CALL electric.check_table(relation, shown);

        -- Takes the lock under which nobody changes the table, so what was checked is checked again.
        EXECUTE format('ALTER TABLE ONLY %s REPLICA IDENTITY FULL', relation::regclass);
        CALL electric.check_table(relation, shown);

        -- A dropped table's entry gives its name free.
        SELECT e.oid INTO stale FROM electric.electrified e
            WHERE e.schema_name = home AND e.table_name = name AND NOT EXISTS (SELECT FROM pg_class c WHERE c.oid = e.oid);
        IF stale IS NOT NULL THEN
            CALL electric.remove_table(stale);
        END IF;

        INSERT INTO electric.electrified (schema_name, table_name, oid) VALUES (home, name, relation);
        CALL electric.sync_shadow(relation);
        CALL electric.install_native_triggers(relation);
        CALL electric.repair_publication();
        CALL electric.remember(relation);
        CALL electric.capture(relation);
        CALL electric.warn_of_limits(relation, shown);
    END
    $$;

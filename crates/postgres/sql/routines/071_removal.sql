-- Tables that leave the sync: taken out, dropped, or changed in a way that clients can't follow. The stream carries a
-- row that says so, in the place of a definition; afterwards nothing of ours is left at the table, and it may be electrified
-- anew.

-- `farewell` is the row: {"removed": …} or {"suspended": …}. Nothing happens if the table is not registered.
CREATE OR REPLACE PROCEDURE electric.retire_table(relation oid, farewell jsonb)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        left_over electric.electrified;
        event text;
    BEGIN
        CALL electric.lock_migrations();
        -- From here on the guard lets through whatever happens to the table.
        DELETE FROM electric.electrified e WHERE e.oid = relation RETURNING * INTO left_over;
        IF left_over.oid IS NULL THEN
            RETURN;
        END IF;

        DELETE FROM electric.captures c WHERE c.txid = electric.current_xact_id() AND c.table_oid = relation;
        -- A table that comes and goes in one transaction was never heard of.
        IF EXISTS (SELECT FROM electric.ddl_commands d WHERE d.snapshot -> 'table' -> 'oid' = to_jsonb(relation::bigint)) THEN
            CALL electric.assign_migration_version(NULL, 0);
            INSERT INTO electric.ddl_commands (txid, txts, version, snapshot)
                SELECT v.txid, v.txts, v.version, farewell FROM electric.migration_versions v
                WHERE v.txid = electric.current_xact_id() AND v.txts = electric.current_xact_ts();
        END IF;

        IF EXISTS (SELECT FROM pg_class c WHERE c.oid = relation) THEN
            IF EXISTS (
                SELECT FROM pg_publication_rel r JOIN pg_publication p ON p.oid = r.prpubid
                WHERE p.pubname = 'electric_publication' AND r.prrelid = relation
            ) THEN
                EXECUTE format('ALTER PUBLICATION electric_publication DROP TABLE ONLY %s', relation::regclass);
            END IF;
            FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
                EXECUTE format('DROP TRIGGER IF EXISTS %I ON %s', 'electric_native_' || event, relation::regclass);
            END LOOP;
        END IF;
        FOREACH event IN ARRAY ARRAY['insert', 'update', 'delete', 'truncate'] LOOP
            EXECUTE format('DROP FUNCTION IF EXISTS electric.%I()', format('native_%s_%s', event, relation));
        END LOOP;
        IF (SELECT c.relreplident = 'f' FROM pg_class c WHERE c.oid = relation) THEN
            EXECUTE format('ALTER TABLE ONLY %s REPLICA IDENTITY DEFAULT', relation::regclass);
        END IF;
        IF left_over.shadow IN (SELECT c.oid FROM pg_class c) THEN
            EXECUTE format('DROP TABLE %s', left_over.shadow::regclass);
        END IF;
    END
    $$;

-- Takes a table out of the sync, be it still there or not.
CREATE OR REPLACE PROCEDURE electric.remove_table(relation oid)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        removed electric.electrified;
    BEGIN
        SELECT * INTO removed FROM electric.electrified e WHERE e.oid = relation;
        CALL electric.retire_table(relation, jsonb_build_object('removed', jsonb_build_object(
            'oid', relation::bigint, 'schema', removed.schema_name, 'name', removed.table_name
        )));
    END
    $$;

-- Takes a table out of the sync because clients can't follow what was done to it; `reason` tells what that was.
CREATE OR REPLACE PROCEDURE electric.suspend_table(relation oid, reason text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        suspended electric.electrified;
    BEGIN
        SELECT * INTO suspended FROM electric.electrified e WHERE e.oid = relation;
        IF suspended.oid IS NULL THEN
            RETURN;
        END IF;
        CALL electric.retire_table(relation, jsonb_build_object('suspended', jsonb_build_object(
            'oid', relation::bigint, 'schema', suspended.schema_name, 'name', suspended.table_name, 'reason', reason
        )));
        RAISE WARNING 'electrified table %.% is no longer synced: %',
            electric.quoted(suspended.schema_name), electric.quoted(suspended.table_name), reason
            USING HINT = format('CALL electric.electrify(%L) syncs it anew; clients then load it again.', relation::regclass),
                SCHEMA = suspended.schema_name, TABLE = suspended.table_name;
    END
    $$;

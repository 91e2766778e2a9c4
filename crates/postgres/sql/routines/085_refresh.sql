-- Run at every start: what depends on the code above is made anew, what is missing is put back.

-- Gives the tables that a legacy server electrified the snapshots that it did not keep: each in the migration whose
-- captured text created it.
CREATE OR REPLACE PROCEDURE electric.adopt_legacy_migrations()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        adopted record;
        origin electric.ddl_commands;
    BEGIN
        UPDATE electric.ddl_commands d SET version = v.version, recorded_at = v.inserted_at
            FROM electric.migration_versions v
            WHERE d.version IS NULL AND v.txid = d.txid AND v.txts = d.txts;
        FOR adopted IN
            SELECT e.oid, e.schema_name, e.table_name FROM electric.electrified e JOIN pg_class c ON c.oid = e.oid
            WHERE NOT EXISTS (
                SELECT FROM electric.ddl_commands d WHERE d.snapshot -> 'table' -> 'oid' = to_jsonb(e.oid::bigint)
            )
            ORDER BY e.id
        LOOP
            SELECT d.* INTO origin FROM electric.ddl_commands d
                WHERE d.version IS NOT NULL
                ORDER BY NOT (
                    starts_with(ltrim(d.query, E' \n\t'), format('CREATE TABLE %I (', adopted.table_name))
                    OR starts_with(ltrim(d.query, E' \n\t'), format('CREATE TABLE %I.%I (', adopted.schema_name, adopted.table_name))
                ), d.id
                LIMIT 1;
            IF origin.version IS NULL THEN
                CALL electric.capture(adopted.oid);
            ELSE
                INSERT INTO electric.ddl_commands (txid, txts, version, recorded_at, position, snapshot)
                    VALUES (origin.txid, origin.txts, origin.version, origin.recorded_at, origin.position, electric.table_snapshot(adopted.oid));
            END IF;
        END LOOP;
    END
    $$;

CREATE OR REPLACE PROCEDURE electric.refresh()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        registered electric.electrified;
    BEGIN
        FOR registered IN
            SELECT e.* FROM electric.electrified e JOIN pg_class c ON c.oid = e.oid ORDER BY e.id
        LOOP
            -- One that has changed is left to electric.settle_drift.
            CONTINUE WHEN (SELECT i.verdict <> 'same' FROM electric.inspect(registered.oid) i);
            IF electric.key_columns(registered.oid) IS NULL THEN
                RAISE WARNING 'table %.% has lost its PRIMARY KEY and can''t be synced', registered.schema_name, registered.table_name;
                CONTINUE;
            END IF;
            IF (SELECT c.relreplident <> 'f' FROM pg_class c WHERE c.oid = registered.oid) THEN
                EXECUTE format('ALTER TABLE ONLY %s REPLICA IDENTITY FULL', registered.oid::regclass);
            END IF;
            CALL electric.sync_shadow(registered.oid);
            CALL electric.install_native_triggers(registered.oid);
        END LOOP;
        CALL electric.repair_publication();
        CALL electric.remember_tables();
        CALL electric.adopt_legacy_migrations();
        CALL electric.watch_frameworks();
    END
    $$;

-- Capturing schema changes: noted when they are made, written for the stream when the transaction commits. Then a
-- migration's snapshots show the tables as they are after all of it, under its final version, parents first.

CREATE OR REPLACE PROCEDURE electric.capture(relation oid)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        CALL electric.assign_migration_version(NULL, 0);
        INSERT INTO electric.captures (txid, table_oid) VALUES (electric.current_xact_id(), relation)
            ON CONFLICT (txid, table_oid) DO NOTHING;
    END
    $$;

CREATE OR REPLACE FUNCTION electric.write_captures() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
    DECLARE
        next oid;
        child text;
        parents text;
    BEGIN
        SELECT x.child, x.parents INTO child, parents FROM (
            SELECT c.conrelid::regclass::text AS child,
                string_agg(DISTINCT '  ' || electric.relation_text(c.confrelid), E'\n') AS parents, min(p.id) AS place
            FROM electric.captures p
            -- Those that are electrified now: of others, a parent may have left the sync since.
            JOIN electric.electrified n ON n.oid = p.table_oid AND n.created_at = transaction_timestamp()
            JOIN pg_constraint c ON c.conrelid = p.table_oid AND c.contype = 'f'
            WHERE p.txid = electric.current_xact_id()
                AND NOT EXISTS (SELECT FROM electric.electrified e WHERE e.oid = c.confrelid)
            GROUP BY c.conrelid ORDER BY place LIMIT 1
        ) x;
        IF parents IS NOT NULL THEN
            RAISE EXCEPTION E'Cannot electrify % because it has foreign keys to tables that are not electrified:\n%',
                electric.relation_text(child::regclass), parents
                USING HINT = 'Electrify those tables too, before it or in the same transaction.';
        END IF;

        LOOP
            -- The first whose parents are all written; where they reference each other in a circle, the first.
            SELECT p.table_oid INTO next FROM electric.captures p
                WHERE p.txid = electric.current_xact_id()
                ORDER BY EXISTS (
                    SELECT FROM pg_constraint c JOIN electric.captures q ON q.table_oid = c.confrelid AND q.txid = p.txid
                    WHERE c.conrelid = p.table_oid AND c.contype = 'f' AND c.confrelid <> c.conrelid
                ), p.id
                LIMIT 1;
            EXIT WHEN next IS NULL;
            DELETE FROM electric.captures p WHERE p.table_oid = next AND p.txid = electric.current_xact_id();
            INSERT INTO electric.ddl_commands (txid, txts, version, snapshot)
                SELECT v.txid, v.txts, v.version, s.snapshot
                FROM electric.migration_versions v, electric.table_snapshot(next) s (snapshot)
                WHERE v.txid = electric.current_xact_id() AND v.txts = electric.current_xact_ts() AND s.snapshot IS NOT NULL;
        END LOOP;
        RETURN NULL;
    END
    $$;

-- A table's name without the schema `public`.
CREATE OR REPLACE FUNCTION electric.relation_text(relation oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, public
    AS $$ SELECT $1::pg_catalog.regclass::pg_catalog.text $$;

DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_trigger WHERE tgrelid = 'electric.captures'::regclass AND tgname = 'write_captures') THEN
        CREATE CONSTRAINT TRIGGER write_captures AFTER INSERT ON electric.captures
            DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION electric.write_captures();
        ALTER TABLE electric.captures ENABLE ALWAYS TRIGGER write_captures;
    END IF;
END
$$;

-- Migration versions (spec 04 §7): one for each transaction, growing bytewise in commit order.

-- The next version after `newest`: the wish if it sorts after it, else the newest with a counter.
CREATE OR REPLACE FUNCTION electric.grown_version(newest text, wish text) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE
            WHEN newest IS NULL OR wish COLLATE "C" > newest COLLATE "C" THEN wish
            WHEN newest ~ '_[0-9]{4}$' AND newest !~ '_9999$'
                THEN left(newest, -4) || lpad((right(newest, 4)::integer + 1)::text, 4, '0')
            ELSE newest || '_0001'
        END
    $$;

-- Serialises migrating transactions until the end of the running one. What follows sees what the others committed.
CREATE OR REPLACE PROCEDURE electric.lock_migrations()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock(7305808, 1);
    END
    $$;

-- Gives the running transaction a version, unless it has one of the same or a higher priority.
--
-- 32767: given by hand, taken as it is or refused. 0: the default, which is what a framework wishes for this
-- transaction, or made from the transaction's start. Between: read from a framework's bookkeeping table, taken if it can
-- be.
CREATE OR REPLACE PROCEDURE electric.assign_migration_version(_version text, _priority integer)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET timezone = 'UTC'
    AS $$
    DECLARE
        own electric.migration_versions;
        newest text;
        used boolean;
        stamp text := to_char(transaction_timestamp(), 'YYYYMMDDHH24MISS_MS');
        chosen text := _version;
        by_hand boolean := _priority >= 32767;
    BEGIN
        CALL electric.lock_migrations();
        SELECT * INTO own FROM electric.migration_versions v
            WHERE v.txid = electric.current_xact_id() AND v.txts = electric.current_xact_ts();
        IF own.version IS NOT NULL AND own.priority >= _priority THEN
            IF by_hand AND own.version <> _version THEN
                RAISE NOTICE 'this transaction already has the migration version %', own.version;
            END IF;
            RETURN;
        END IF;
        IF _priority <= 0 THEN
            SELECT w.version, w.priority INTO _version, _priority FROM electric.wished_version() w;
            chosen := _version;
            _priority := coalesce(_priority, 0);
        END IF;
        SELECT max(v.version COLLATE "C"), coalesce(bool_or(v.version = _version), false) INTO newest, used
            FROM electric.migration_versions v
            WHERE NOT (v.txid = electric.current_xact_id() AND v.txts = electric.current_xact_ts());

        IF by_hand THEN
            IF coalesce(_version, '') !~ '^[0-9_]' THEN
                RAISE EXCEPTION 'the migration version "%" does not begin with a digit or an underscore', _version
                    USING HINT = 'Clients need that. A timestamp such as ' || stamp || ' does it.';
            ELSIF length(_version) > 255 THEN
                RAISE EXCEPTION 'the migration version has more than 255 characters'
                    USING HINT = 'A timestamp such as ' || stamp || ' is enough.';
            ELSIF used THEN
                RAISE unique_violation USING
                    MESSAGE = 'duplicate key value violates unique constraint "migration_unique_version"',
                    DETAIL = format('Key (version)=(%s) already exists.', _version),
                    HINT = 'Another migration has this version. Give this one its own.',
                    SCHEMA = 'electric', TABLE = 'migration_versions', CONSTRAINT = 'migration_unique_version';
            ELSIF _version COLLATE "C" < newest COLLATE "C" THEN
                RAISE EXCEPTION 'the migration version "%" sorts before the newest version "%"', _version, newest
                    USING HINT = 'Clients apply migrations in the order of their versions. Give this one a version '
                        || 'that sorts after the newest, such as ' || electric.grown_version(newest, stamp) || '.';
            END IF;
        ELSIF _priority > 0 AND (
            _version IS NULL OR _version !~ '^[0-9_]' OR length(_version) > 255
            OR used OR _version COLLATE "C" < newest COLLATE "C"
        ) THEN
            chosen := electric.grown_version(newest, stamp);
            RAISE WARNING 'the migration version "%" of the migration framework can''t be used for clients; "%" is used',
                coalesce(_version, ''), chosen
                USING HINT = 'Versions have to grow, begin with a digit, and be used once.';
        ELSIF _priority <= 0 THEN
            chosen := electric.grown_version(newest, stamp);
        END IF;

        UPDATE electric.migration_head SET version = chosen;
        INSERT INTO electric.migration_versions AS v (txid, txts, version, priority)
            VALUES (electric.current_xact_id(), electric.current_xact_ts(), chosen, greatest(_priority, 0))
            ON CONFLICT (txid, txts) DO UPDATE SET version = excluded.version, priority = excluded.priority;
        -- Only where SET CONSTRAINTS ALL IMMEDIATE had the rows written before the end.
        UPDATE electric.ddl_commands d SET version = chosen
            WHERE d.txid = electric.current_xact_id() AND d.txts = electric.current_xact_ts();
    END
    $$;

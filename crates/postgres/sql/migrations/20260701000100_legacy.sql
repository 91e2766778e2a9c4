-- Takes over a database that a legacy server used (spec 04 §6): its routines and triggers go, its tables get our shape,
-- and what merging knows of the rows (tags, column tags, tombstones) is kept.

DO $$
DECLARE
    item record;
    shadow_name text;
    tombstone regclass;
    relation oid;
    keys text[];
    image text;
    drops text;
BEGIN
    IF NOT EXISTS (SELECT FROM electric.schema_migrations WHERE version < 20260101000000) THEN
        RETURN;
    END IF;
    SET LOCAL bytea_output = hex;
    SET LOCAL datestyle = 'ISO, DMY';
    SET LOCAL timezone = 'UTC';
    SET LOCAL extra_float_digits = 1;

    FOR item IN
        SELECT evtname FROM pg_event_trigger
        WHERE evtname IN ('electric_event_trigger_ddl_end', 'electric_event_trigger_sql_drop')
    LOOP
        EXECUTE format('DROP EVENT TRIGGER %I', item.evtname);
    END LOOP;

    -- All routines are legacy's at this point. Its triggers, operators and column defaults go with them.
    FOR item IN SELECT p.oid::regprocedure AS routine FROM pg_proc p WHERE p.pronamespace = 'electric'::regnamespace LOOP
        EXECUTE format('DROP ROUTINE IF EXISTS %s CASCADE', item.routine);
    END LOOP;

    ALTER TABLE electric.electrified
        ADD COLUMN IF NOT EXISTS shadow oid,
        ADD COLUMN IF NOT EXISTS tag_columns jsonb,
        ALTER COLUMN created_at SET DEFAULT current_timestamp;
    ALTER TABLE electric.migration_versions
        ALTER COLUMN version TYPE text,
        ALTER COLUMN inserted_at SET DEFAULT transaction_timestamp();
    ALTER TABLE electric.ddl_commands
        DROP CONSTRAINT IF EXISTS ddl_table_unique_migrations,
        DROP COLUMN IF EXISTS query_hash,
        ALTER COLUMN query DROP NOT NULL,
        ADD COLUMN IF NOT EXISTS version text,
        ADD COLUMN IF NOT EXISTS recorded_at timestamptz NOT NULL DEFAULT transaction_timestamp(),
        ADD COLUMN IF NOT EXISTS snapshot jsonb,
        ADD COLUMN IF NOT EXISTS position pg_lsn NOT NULL DEFAULT '0/0';
    ALTER TABLE electric.ddl_commands ALTER COLUMN position SET DEFAULT pg_current_wal_insert_lsn();
    ALTER TABLE electric.acknowledged_client_lsns ADD COLUMN IF NOT EXISTS ts bigint;

    -- What of schema `electric` is published from now on is put back, in its new form, after this.
    FOR item IN
        SELECT r.prrelid::regclass AS member
        FROM pg_publication_rel r
        JOIN pg_publication p ON p.oid = r.prpubid AND p.pubname = 'electric_publication'
        JOIN pg_class c ON c.oid = r.prrelid AND c.relnamespace = 'electric'::regnamespace
    LOOP
        EXECUTE format('ALTER PUBLICATION electric_publication DROP TABLE %s', item.member);
    END LOOP;

    FOR item IN SELECT e.id, e.schema_name, e.table_name FROM electric.electrified e LOOP
        relation := to_regclass(format('%I.%I', item.schema_name, item.table_name));
        CONTINUE WHEN relation IS NULL;
        UPDATE electric.electrified e SET oid = relation WHERE e.id = item.id AND e.oid IS DISTINCT FROM relation;
        -- Postgres cut names that were too long at 63 bytes; a cast to name does the same.
        shadow_name := ('shadow__' || item.schema_name || '__' || item.table_name)::name;
        CONTINUE WHEN to_regclass(format('electric.%I', shadow_name)) IS NULL;
        tombstone := to_regclass(format('electric.%I', ('tombstone__' || item.schema_name || '__' || item.table_name)::name));

        EXECUTE format(
            'ALTER TABLE electric.%I REPLICA IDENTITY DEFAULT, ADD COLUMN IF NOT EXISTS _image jsonb', shadow_name
        );
        EXECUTE format('UPDATE electric.%I SET _tags = ''{}'' WHERE _tags IS NULL', shadow_name);
        EXECUTE format('ALTER TABLE electric.%I ALTER COLUMN _tags SET DEFAULT ''{}'', ALTER COLUMN _tags SET NOT NULL', shadow_name);

        IF tombstone IS NOT NULL THEN
            SELECT array_agg(a.attname::text) INTO keys
                FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
                WHERE c.conrelid = relation AND c.contype = 'p';
            SELECT format('jsonb_object(ARRAY[%s], ARRAY[%s]::text[])',
                    string_agg(quote_literal(a.attname), ', '),
                    string_agg(format(CASE WHEN a.atttypid = 'bool'::regtype THEN 'textin(boolout(t.%I))' ELSE 't.%I::text' END, a.attname), ', '))
                INTO image
                FROM pg_attribute a JOIN pg_attribute b ON b.attrelid = relation AND b.attname = a.attname AND NOT b.attisdropped
                WHERE a.attrelid = tombstone AND a.attnum > 0 AND NOT a.attisdropped;
            EXECUTE format('UPDATE electric.%I s SET _image = %s FROM %s t WHERE s._tags = ''{}'' AND %s', shadow_name, image, tombstone,
                (SELECT string_agg(format('s.%1$I = t.%1$I', k), ' AND ') FROM unnest(keys) k));
            EXECUTE format('DROP TABLE %s', tombstone);
        END IF;

        SELECT string_agg(format('DROP COLUMN %I', s.attname), ', ') INTO drops
            FROM pg_attribute s
            WHERE s.attrelid = format('electric.%I', shadow_name)::regclass AND s.attnum > 0 AND NOT s.attisdropped
                AND NOT EXISTS (SELECT FROM pg_attribute m WHERE m.attrelid = relation AND m.attname = s.attname AND NOT m.attisdropped
                    AND m.attnum = ANY ((SELECT c.conkey FROM pg_constraint c WHERE c.conrelid = relation AND c.contype = 'p')::smallint[]))
                AND (s.attname LIKE '\_\_reordered\_%' OR s.attname IN (
                    '_last_modified', '_is_a_delete_operation', '_observed_tags', '_modified_columns_bit_mask', '_resolved',
                    '_currently_reordering'
                ));
        IF drops IS NOT NULL THEN
            EXECUTE format('ALTER TABLE electric.%I %s', shadow_name, drops);
        END IF;

        UPDATE electric.electrified e SET
            shadow = to_regclass(format('electric.%I', shadow_name)),
            tag_columns = (
                SELECT coalesce(jsonb_object_agg(m.attname, s.attname), '{}')
                FROM pg_attribute m
                JOIN pg_attribute s ON s.attname = ('_tag_' || m.attname)::name AND NOT s.attisdropped
                    AND s.attrelid = format('electric.%I', shadow_name)::regclass
                WHERE m.attrelid = relation AND m.attnum > 0 AND NOT m.attisdropped
            )
            WHERE e.id = item.id;
    END LOOP;
END
$$;

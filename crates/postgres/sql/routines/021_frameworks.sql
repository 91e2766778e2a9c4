-- Versions from the bookkeeping tables of migration frameworks (spec 04 §7).
--
-- Frameworks note each migration in a table of their own. Most do it in the transaction that migrates: a trigger reads
-- the version there, and it is used if that transaction changes a synced table, before or after. Some note it before,
-- in another transaction: theirs is looked up when the first change of a synced table is captured.

-- The frameworks that are known: by the table's name and the columns that it has at least, the more of them the better.
--
--   reading   how the version is made from the column's value, see electric.framework_version
--   applied   what else the row has to say
--   pending   instead of a trigger: the condition of rows whose migration is under way, the newest by `newest` first
CREATE OR REPLACE FUNCTION electric.frameworks() RETURNS TABLE (
    framework text, table_name text, columns text[], version_column text, reading text, applied jsonb, updates boolean,
    pending text, newest text
)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT v.framework, v.table_name, v.columns::text[], v.version_column, v.reading, v.applied::jsonb, v.updates, v.pending, v.newest
        FROM (VALUES
            ('ecto', 'schema_migrations', '{inserted_at,version}', 'version', 'number', '{}', false, NULL, NULL),
            ('rails', 'schema_migrations', '{version}', 'version', 'number', '{}', false, NULL, NULL),
            ('prisma', '_prisma_migrations', '{checksum,finished_at,id,logs,migration_name,rolled_back_at,started_at}',
                'migration_name', 'stem', '{}', false,
                'finished_at IS NULL AND rolled_back_at IS NULL AND coalesce(logs, '''') = ''''', 'started_at'),
            ('golang-migrate', 'schema_migrations', '{dirty,version}', 'version', 'number', '{}', false, 'dirty', 'version'),
            ('databases', 'atdatabases_migrations_applied', '{applied_at,ignored_error,index,name,obsolete,script}',
                'index', 'number', '{}', false, NULL, NULL),
            ('django', 'django_migrations', '{app,applied,id,name}', 'name', 'prefix', '{}', false, NULL, NULL),
            ('alembic', 'alembic_version', '{version_num}', 'version_num', 'revision', '{}', true, NULL, NULL),
            ('flyway', 'flyway_schema_history', '{checksum,installed_rank,script,success,version}', 'version', 'dotted',
                '{"success": true}', false, NULL, NULL),
            ('knex', 'knex_migrations', '{batch,id,migration_time,name}', 'name', 'epoch', '{}', false, NULL, NULL),
            ('drizzle', '__drizzle_migrations', '{created_at,hash,id}', 'created_at', 'epoch', '{}', false, NULL, NULL),
            ('sequelize', 'SequelizeMeta', '{name}', 'name', 'prefix', '{}', false, NULL, NULL),
            ('goose', 'goose_db_version', '{id,is_applied,tstamp,version_id}', 'version_id', 'number',
                '{"is_applied": true}', false, NULL, NULL),
            ('laravel', 'migrations', '{batch,id,migration}', 'migration', 'prefix', '{}', false, NULL, NULL),
            ('typeorm', 'migrations', '{id,name,timestamp}', 'timestamp', 'epoch', '{}', false, NULL, NULL),
            ('node-pg-migrate', 'pgmigrations', '{id,name,run_on}', 'name', 'epoch', '{}', false, NULL, NULL),
            ('sqlx', '_sqlx_migrations', '{checksum,description,installed_on,version}', 'version', 'number', '{}', false, NULL, NULL),
            ('diesel', '__diesel_schema_migrations', '{run_on,version}', 'version', 'number', '{}', false, NULL, NULL),
            ('efcore', '__EFMigrationsHistory', '{MigrationId,ProductVersion}', 'MigrationId', 'prefix', '{}', false, NULL, NULL)
        ) v (framework, table_name, columns, version_column, reading, applied, updates, pending, newest)
    $$;

-- The version that a framework's value stands for: digits and underscores, or NULL if it is no number of any kind.
--
--   number     the value itself
--   stem       what comes before the first underscore: 20240613101112_add_items
--   prefix     the digits and underscores in front: 0002_add_items, 2024_06_13_101112_add_items
--   dotted     numbers with dots: 1.2.10
--   epoch      milliseconds since 1970 in front, as the time that they mean, so that it sorts among timestamps; others as prefix
--   revision   an arbitrary name: only one that is plainly a number, for a random one may consist of digits by chance
--
-- Without a search path of its own, so that it is inlined; those who call it have one.
CREATE OR REPLACE FUNCTION electric.framework_version(reading text, value text) RETURNS text
    LANGUAGE sql IMMUTABLE
    AS $$
        SELECT nullif(CASE
            WHEN length($2) > 255 THEN NULL
            WHEN $1 = 'number' THEN substring($2 FROM '^[0-9][0-9_]*$')
            WHEN $1 = 'stem' THEN substring(split_part($2, '_', 1) FROM '^[0-9]+$')
            WHEN $1 = 'dotted' THEN replace(substring($2 FROM '^[0-9]+(?:[._][0-9]+)*$'), '.', '_')
            WHEN $1 = 'epoch' AND $2 ~ '^1[0-9]{12}(?![0-9])' THEN
                to_char(timestamp '1970-01-01' + left($2, 13)::bigint * interval '1 millisecond', 'YYYYMMDDHH24MISS_MS')
            WHEN $1 IN ('prefix', 'epoch') THEN rtrim(substring($2 FROM '^[0-9][0-9_]*'), '_')
            WHEN $1 = 'revision' AND (length($2) <> 12 OR $2 ~ '^20[0-9]{2}(0[1-9]|1[0-2])([0-2][0-9]|3[01])') THEN
                substring($2 FROM '^[0-9][0-9_]*$')
        END, '')
    $$;

-- The bookkeeping tables of this database: each with the framework that fits best.
CREATE OR REPLACE FUNCTION electric.framework_tables() RETURNS TABLE (relation oid, framework text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT DISTINCT ON (c.oid) c.oid, f.framework
        FROM electric.frameworks() f
        JOIN pg_class c ON c.relname = f.table_name::name AND c.relkind = 'r' AND c.relpersistence <> 't'
        JOIN pg_namespace n ON n.oid = c.relnamespace AND n.nspname NOT IN ('electric', 'information_schema') AND n.nspname !~ '^pg_'
        WHERE f.columns <@ ARRAY(
            SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        )
        ORDER BY c.oid, cardinality(f.columns) DESC, f.framework
    $$;

-- On bookkeeping tables, for each row; with the framework, the version's column, how it is read, and what else the row has to
-- say as arguments. Whatever happens here, the framework's own work goes on.
CREATE OR REPLACE FUNCTION electric.note_framework_version() RETURNS trigger
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
    DECLARE
        noted jsonb := to_jsonb(NEW);
        wish text := electric.framework_version(TG_ARGV[2], noted ->> TG_ARGV[1]);
    BEGIN
        IF wish IS NULL OR NOT noted @> TG_ARGV[3]::jsonb THEN
            RETURN NULL;
        ELSIF EXISTS (
            SELECT FROM electric.migration_versions v
            WHERE v.txid = electric.current_xact_id() AND v.txts = electric.current_xact_ts()
        ) THEN
            CALL electric.assign_migration_version(wish, 4);
        ELSE
            -- For the rest of the transaction, should it migrate.
            PERFORM set_config('electric.framework_version', electric.current_xact_id() || ' ' || wish, true);
        END IF;
        RETURN NULL;
    EXCEPTION WHEN OTHERS THEN
        RAISE WARNING 'the version of this migration could not be read for clients, who get a timestamp instead: %', SQLERRM;
        RETURN NULL;
    END
    $$;

-- Puts the trigger on bookkeeping tables that lack it. Cheap where there are none. Never fails: a table that is busy or
-- belongs to somebody else is left for the next time.
CREATE OR REPLACE PROCEDURE electric.watch_frameworks()
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp SET lock_timeout = '1s' SET jit = off
    AS $$
    DECLARE
        found record;
    BEGIN
        FOR found IN
            SELECT t.relation::regclass AS relation, f.updates, g.oid AS stale, wanted.arguments
            FROM electric.framework_tables() t
            JOIN electric.frameworks() f ON f.framework = t.framework
            LEFT JOIN pg_trigger g ON g.tgrelid = t.relation AND g.tgname = 'electric_framework_version'
            CROSS JOIN LATERAL (
                SELECT CASE WHEN f.pending IS NULL THEN ARRAY[f.framework, f.version_column, f.reading, f.applied::text] END AS arguments
            ) wanted
            WHERE g.tgargs IS DISTINCT FROM (
                    SELECT string_agg(convert_to(a.text, 'UTF8') || '\x00', '' ORDER BY a.place)
                    FROM unnest(wanted.arguments) WITH ORDINALITY a (text, place)
                )
                AND has_table_privilege(t.relation, 'TRIGGER')
        LOOP
            BEGIN
                IF found.stale IS NOT NULL THEN
                    EXECUTE format('DROP TRIGGER electric_framework_version ON %s', found.relation);
                END IF;
                IF found.arguments IS NOT NULL THEN
                    EXECUTE format(
                        'CREATE TRIGGER electric_framework_version AFTER INSERT%s ON %s FOR EACH ROW'
                        ' EXECUTE FUNCTION electric.note_framework_version(%s)',
                        CASE WHEN found.updates THEN ' OR UPDATE' ELSE '' END, found.relation,
                        (SELECT string_agg(quote_literal(a), ', ') FROM unnest(found.arguments) a)
                    );
                END IF;
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'migrations noted in % get timestamps as versions for now: %', found.relation, SQLERRM;
            END;
        END LOOP;
    END
    $$;

-- What a framework wishes for the running transaction: noted in it (priority 4), or before it for a migration that is
-- under way (priority 2). No row if there is nothing.
CREATE OR REPLACE FUNCTION electric.wished_version() RETURNS TABLE (version text, priority integer)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
    DECLARE
        noted text := current_setting('electric.framework_version', true);
        under_way record;
        found record;
        latest text;
    BEGIN
        IF split_part(noted, ' ', 1) = electric.current_xact_id()::text THEN
            version := electric.framework_version('number', split_part(noted, ' ', 2));
            priority := 4;
            IF version IS NOT NULL THEN
                RETURN NEXT;
                RETURN;
            END IF;
        END IF;

        version := NULL;
        priority := 2;
        FOR under_way IN
            SELECT t.relation::regclass AS relation, f.* FROM electric.framework_tables() t
            JOIN electric.frameworks() f ON f.framework = t.framework AND f.pending IS NOT NULL
            WHERE has_table_privilege(t.relation, 'SELECT')
            ORDER BY t.relation
        LOOP
            BEGIN
                EXECUTE format(
                    'SELECT (%I)::text AS value, (%I)::text AS place FROM %s WHERE %s ORDER BY %I DESC LIMIT 1',
                    under_way.version_column, under_way.newest, under_way.relation, under_way.pending, under_way.newest
                ) INTO found;
            EXCEPTION WHEN OTHERS THEN
                RAISE WARNING 'the version of this migration could not be read from %: %', under_way.relation, SQLERRM;
                CONTINUE;
            END;
            IF electric.framework_version(under_way.reading, found.value) IS NOT NULL AND (latest IS NULL OR found.place > latest) THEN
                version := electric.framework_version(under_way.reading, found.value);
                latest := found.place;
            END IF;
        END LOOP;
        IF version IS NOT NULL THEN
            RETURN NEXT;
        END IF;
    END
    $$;

-- What electrification checks, in this order and with these texts (spec 04 §4).

-- Whether one of the session settings that relax a check leaves it on. Anything but a clear "off" does.
CREATE OR REPLACE FUNCTION electric.check_enabled(setting text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT coalesce(lower(current_setting(setting, true)), '') NOT IN ('false', 'off', 'no', '0', 'f', 'n')
    $$;

-- What is wrong with a column's type, as the line to show; NULL if nothing is.
CREATE OR REPLACE FUNCTION electric.unsupported_type(type oid, modifier integer) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE
            WHEN t.typtype = 'e' THEN (
                SELECT format(
                    '%s (enum type %s contains unsupported values %s)',
                    electric.type_text($1, $2), electric.type_text($1, $2),
                    string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                )
                FROM pg_enum e
                WHERE e.enumtypid = t.oid AND e.enumlabel !~* '^[a-z][a-z_0-9]*$'
                HAVING count(*) > 0
            )
            WHEN t.typtype = 'b' AND t.typnamespace = 'pg_catalog'::regnamespace AND (
                t.typname IN (
                    'bool', 'bytea', 'date', 'float4', 'float8', 'int2', 'int4', 'int8', 'jsonb', 'text', 'time',
                    'timestamp', 'timestamptz', 'uuid'
                )
                OR t.typname = 'varchar' AND $2 = -1
            ) THEN NULL
            ELSE electric.type_text($1, $2)
        END
        FROM pg_type t WHERE t.oid = $1
    $$;

-- Raises what keeps the table from being electrified; `shown` is its name as the caller's search path has it.
CREATE OR REPLACE PROCEDURE electric.check_table(relation oid, shown text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        class pg_class;
        schema_name text;
        listed text;
    BEGIN
        SELECT * INTO STRICT class FROM pg_class c WHERE c.oid = relation;
        schema_name := (SELECT n.nspname FROM pg_namespace n WHERE n.oid = class.relnamespace);

        IF class.relkind <> 'r' THEN
            RAISE EXCEPTION '%.% is not an ordinary table', schema_name, class.relname;
        END IF;
        IF class.relpersistence <> 'p' AND schema_name = 'public' THEN
            RAISE EXCEPTION '%.% is not an ordinary table: it is unlogged, so its changes can''t be streamed',
                schema_name, class.relname
                USING HINT = format('ALTER TABLE %s SET LOGGED;', shown);
        END IF;

        IF schema_name <> 'public' AND electric.check_enabled('electric.__schema_validation_enabled') THEN
            RAISE EXCEPTION E'Cannot electrify % because only tables in the default `public` schema can be electrified.\n\n'
                'See https://electric-sql.com/docs/usage/data-modelling/migrations#limitations\n'
                'to learn more about the current limitations of electrified tables.', shown
                USING HINT = format('Move the table first: ALTER TABLE %s SET SCHEMA public;', shown);
        END IF;

        SELECT string_agg(format('    %s %s', a.attname, electric.unsupported_type(a.atttypid, a.atttypmod)), E'\n' ORDER BY a.attnum)
            INTO listed
            FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
                AND electric.unsupported_type(a.atttypid, a.atttypmod) IS NOT NULL;
        IF listed IS NOT NULL THEN
            RAISE EXCEPTION E'Cannot electrify % because some of its columns have types not supported by Electric:\n\n%\n\n'
                'See https://electric-sql.com/docs/usage/data-modelling/types#supported-data-types\n'
                'to learn more about data type support in Electric.', shown, listed
                USING HINT = format('Give them a supported type first, e.g. ALTER TABLE %s ALTER COLUMN … TYPE text;', shown);
        END IF;

        SELECT string_agg('  ' || a.attname, E'\n' ORDER BY a.attnum) INTO listed
            FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.atthasdef;
        IF listed IS NOT NULL THEN
            RAISE EXCEPTION E'Cannot electrify % because some of its columns have DEFAULT expressions which are not currently supported by Electric:\n%',
                shown, listed
                USING HINT = format('Set the values in the application: ALTER TABLE %s ALTER COLUMN … DROP DEFAULT;', shown);
        END IF;

        IF NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = relation AND c.contype = 'p') THEN
            RAISE EXCEPTION 'Cannot electrify % because it doesn''t have a PRIMARY KEY.', shown
                USING HINT = format('ALTER TABLE %s ADD PRIMARY KEY (…);', shown);
        END IF;

        -- Kind 'n' is how Postgres 18 records NOT NULL. A constraint without columns is listed by its own name.
        IF electric.check_enabled('electric.__constraint_validation_enabled') THEN
            SELECT string_agg('  ' || named.name, E'\n' ORDER BY named.place, named.name) INTO listed
                FROM (
                    SELECT DISTINCT coalesce(a.attname, c.conname) AS name, coalesce(a.attnum, 32767) AS place
                    FROM pg_constraint c
                    LEFT JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
                    WHERE c.conrelid = relation AND c.contype NOT IN ('p', 'f', 'n')
                ) named;
            IF listed IS NOT NULL THEN
                RAISE EXCEPTION E'Cannot electrify % because some of its columns have CHECK, UNIQUE, EXCLUDE or user-defined constraints which are not currently supported by Electric:\n%',
                    shown, listed
                    USING HINT = format('Drop them first: ALTER TABLE %s DROP CONSTRAINT …;', shown);
            END IF;
        END IF;

        SELECT string_agg('  ' || k, E'\n') INTO listed
            FROM unnest(electric.key_columns(relation)) k WHERE k IN ('_tags', '_tag', '_base', '_image');
        IF listed IS NOT NULL THEN
            RAISE EXCEPTION E'Cannot electrify % because columns of its PRIMARY KEY have names that are reserved:\n%', shown, listed
                USING HINT = format('ALTER TABLE %s RENAME COLUMN … TO …;', shown);
        END IF;
    END
    $$;

-- Warns of what is accepted but not all clients can take (spec 03 §10.3, B-23).
CREATE OR REPLACE PROCEDURE electric.warn_of_limits(relation oid, shown text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        plain constant text := '^[A-Za-z_][A-Za-z0-9_]*$';
        listed text;
    BEGIN
        IF (SELECT c.relname !~ plain OR lower(c.relname) ~ '^_electric_' FROM pg_class c WHERE c.oid = relation) THEN
            RAISE WARNING 'clients can''t have the table %: its name does not work there', shown
                USING HINT = 'Names of letters, digits and underscores that don''t begin with a digit or _electric_ do. Until then it is kept from clients.';
        END IF;

        SELECT string_agg(DISTINCT quote_ident(a.attname), ', ') INTO listed
            FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey)
            WHERE c.conrelid = relation AND c.contype = 'f' AND a.attname !~ plain;
        IF listed IS NOT NULL THEN
            RAISE WARNING 'clients can''t have the table %: names of foreign-key columns don''t work there: %', shown, listed
                USING HINT = 'Names of letters, digits and underscores do. Until then it is kept from clients.';
        END IF;

        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO listed
            FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND (
                a.attname !~ plain
                OR a.attname <> lower(a.attname)
                OR lower(a.attname) IN (SELECT k.word FROM pg_get_keywords() k WHERE k.catcode IN ('R', 'T'))
                OR upper(a.attname) = ANY (
                    -- What SQLite can't take as a bare column name.
                    '{ADD,ALL,ALTER,AND,AS,AUTOINCREMENT,BETWEEN,CASE,CHECK,COLLATE,COMMIT,CONSTRAINT,CREATE,DEFAULT,
                      DEFERRABLE,DELETE,DISTINCT,DROP,ELSE,ESCAPE,EXCEPT,EXISTS,FOREIGN,FROM,GROUP,HAVING,IN,INDEX,INSERT,
                      INTERSECT,INTO,IS,ISNULL,JOIN,LIMIT,NOT,NOTHING,NOTNULL,NULL,ON,OR,ORDER,PRIMARY,REFERENCES,
                      RETURNING,SELECT,SET,TABLE,THEN,TO,TRANSACTION,UNION,UNIQUE,UPDATE,USING,VALUES,WHEN,WHERE}'::text[]
                )
            );
        IF listed IS NOT NULL THEN
            RAISE WARNING 'apps that subscribe to the table % may fail: clients use its column names without quotes: %', shown, listed
                USING HINT = 'Lower-case names that are no SQL keywords always work.';
        END IF;

        SELECT string_agg(format('%s %s', quote_ident(a.attname), electric.type_text(a.atttypid, a.atttypmod)), ', ' ORDER BY a.attnum)
            INTO listed
            FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
            WHERE a.attrelid = relation AND a.attname = ANY (electric.key_columns(relation))
                AND t.typname IN ('float4', 'float8', 'bytea', 'timestamp', 'timestamptz');
        IF listed IS NOT NULL THEN
            RAISE WARNING 'rows of the table % may appear twice on clients: values of its PRIMARY KEY have several spellings: %', shown, listed
                USING HINT = 'Keys of type uuid, text or integer are safe.';
        END IF;
    END
    $$;

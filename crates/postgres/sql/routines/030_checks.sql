-- What electrification checks, in this order and with these texts (spec 04 §4).

-- Whether one of the session settings that relax a check leaves it on. Anything but a clear "off" does.
CREATE OR REPLACE FUNCTION electric.check_enabled(setting text) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT coalesce(lower(current_setting(setting, true)), '') NOT IN ('false', 'off', 'no', '0', 'f', 'n')
    $$;

-- One ALTER TABLE with a clause for each column; `clause` has %s for its quoted name.
CREATE OR REPLACE FUNCTION electric.alter_hint(shown text, clause text, columns text[]) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT format('ALTER TABLE %s %s;', $1, string_agg(format($2, quote_ident(c.name)), ', ' ORDER BY c.place))
        FROM unnest($3) WITH ORDINALITY c (name, place)
    $$;

-- What to do about a relation that is no ordinary table.
CREATE OR REPLACE FUNCTION electric.kind_hint(relation oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE c.relkind
            WHEN 'p' THEN concat('Electrify its partitions instead, each as a table of its own.', (
                SELECT string_agg(format(' CALL electric.electrify(%L, %L);', n.nspname, p.relname), '' ORDER BY p.relname)
                FROM pg_partition_tree(c.oid) t JOIN pg_class p ON p.oid = t.relid JOIN pg_namespace n ON n.oid = p.relnamespace
                WHERE t.isleaf AND t.level > 0 HAVING count(*) <= 20
            ))
            WHEN 'v' THEN 'A view has no rows of its own to stream: electrify the tables that it reads.'
            WHEN 'm' THEN 'The rows of a materialized view can''t be streamed: electrify the tables that it reads.'
            WHEN 'f' THEN 'The rows of a foreign table are not in this database: electrify the table where it is.'
            ELSE 'It has no rows to sync.'
        END
        FROM pg_class c WHERE c.oid = $1
    $$;

-- How to give a table a primary key: of columns that are unique already, or of a new one.
CREATE OR REPLACE FUNCTION electric.key_hint(relation oid, shown text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT coalesce(
            (
                SELECT format('ALTER TABLE %s ADD PRIMARY KEY (%s);', $2, string_agg(quote_ident(a.attname), ', ' ORDER BY k.place))
                FROM pg_constraint c
                CROSS JOIN LATERAL unnest(c.conkey) WITH ORDINALITY k (attnum, place)
                JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
                WHERE c.conrelid = $1 AND c.contype = 'u'
                GROUP BY c.oid ORDER BY c.oid LIMIT 1
            ),
            (
                SELECT format('ALTER TABLE %s ADD PRIMARY KEY (%I);', $2, a.attname)
                FROM pg_attribute a WHERE a.attrelid = $1 AND a.attname = 'id' AND NOT a.attisdropped
            ),
            format('ALTER TABLE %s ADD COLUMN id uuid PRIMARY KEY DEFAULT gen_random_uuid();', $2)
        )
    $$;

-- Raises what keeps the table from being electrified; `shown` is its name as the caller's search path has it.
--
-- Defaults, and constraints of all kinds, are no obstacle: Postgres checks what clients write, and who breaks a constraint
-- hears of it.
CREATE OR REPLACE PROCEDURE electric.check_table(relation oid, shown text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        class pg_class;
        schema_name text;
        listed text;
        names text[];
        advice text;
    BEGIN
        SELECT * INTO STRICT class FROM pg_class c WHERE c.oid = relation;
        schema_name := (SELECT n.nspname FROM pg_namespace n WHERE n.oid = class.relnamespace);

        IF class.relkind <> 'r' THEN
            RAISE EXCEPTION '%.% is not an ordinary table', schema_name, class.relname
                USING HINT = electric.kind_hint(relation);
        ELSIF class.relpersistence = 'u' THEN
            RAISE EXCEPTION '%.% is not an ordinary table: it is unlogged, so its changes can''t be streamed',
                schema_name, class.relname
                USING HINT = format('ALTER TABLE %s SET LOGGED;', shown);
        ELSIF class.relpersistence = 't' THEN
            RAISE EXCEPTION '%.% is not an ordinary table: it is temporary, so its changes can''t be streamed',
                schema_name, class.relname
                USING HINT = format('Make a lasting one like it: CREATE TABLE public.%I (LIKE %s INCLUDING ALL);', class.relname, shown);
        END IF;

        IF schema_name <> 'public' AND electric.check_enabled('electric.__schema_validation_enabled') THEN
            RAISE EXCEPTION E'Cannot electrify % because only tables in the default `public` schema can be electrified.\n\n'
                'See https://electric-sql.com/docs/usage/data-modelling/migrations#limitations\n'
                'to learn more about the current limitations of electrified tables.', shown
                USING HINT = format('Move the table first: ALTER TABLE %s SET SCHEMA public;', shown);
        END IF;

        SELECT string_agg('    ' || c.line, E'\n' ORDER BY c.place),
                concat_ws(' ', format('ALTER TABLE %s %s;', shown, string_agg(DISTINCT format('ALTER COLUMN %I TYPE %s', a.attname, CASE
                    WHEN t.typcategory = 'A' OR t.typtype = 'c' THEN format('jsonb USING to_jsonb(%I)', a.attname)
                    WHEN t.oid = 'money'::regtype THEN 'numeric'
                    ELSE 'text'
                END), ', ')), string_agg(DISTINCT c.advice, ' '))
            INTO listed, advice
            FROM electric.unsupported_columns(relation) c
            JOIN pg_attribute a ON a.attrelid = relation AND a.attnum = c.place
            JOIN pg_type t ON t.oid = a.atttypid;
        IF listed IS NOT NULL THEN
            RAISE EXCEPTION E'Cannot electrify % because some of its columns have types not supported by Electric:\n\n%\n\n'
                'See https://electric-sql.com/docs/usage/data-modelling/types#supported-data-types\n'
                'to learn more about data type support in Electric.', shown, listed
                USING HINT = advice;
        END IF;

        SELECT string_agg('  ' || a.attname, E'\n' ORDER BY a.attnum), array_agg(a.attname::text ORDER BY a.attnum) INTO listed, names
            FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND a.attgenerated <> '';
        IF listed IS NOT NULL THEN
            RAISE EXCEPTION E'Cannot electrify % because some of its columns have DEFAULT expressions which are not currently supported by Electric:\n%',
                shown, listed
                USING HINT = 'Defaults are supported, but not generated columns: Postgres does not publish them before version 18, so '
                    || 'that clients could not have them. Keep the values by a trigger: '
                    || electric.alter_hint(shown, 'ALTER COLUMN %s DROP EXPRESSION', names);
        END IF;

        IF NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conrelid = relation AND c.contype = 'p') THEN
            RAISE EXCEPTION 'Cannot electrify % because it doesn''t have a PRIMARY KEY.', shown
                USING HINT = electric.key_hint(relation, shown);
        END IF;

        SELECT string_agg('  ' || k.name, E'\n' ORDER BY k.place),
                string_agg(format('ALTER TABLE %s RENAME COLUMN %I TO %I;', shown, k.name, ltrim(k.name, '_')), ' ' ORDER BY k.place)
            INTO listed, advice
            FROM unnest(electric.key_columns(relation)) WITH ORDINALITY k (name, place)
            WHERE k.name IN ('_tags', '_tag', '_base', '_image');
        IF listed IS NOT NULL THEN
            RAISE EXCEPTION E'Cannot electrify % because columns of its PRIMARY KEY have names that are reserved:\n%', shown, listed
                USING HINT = advice;
        END IF;

        -- What is kept of a row beside its values has to fit into one page.
        IF (SELECT count(*) > 400 FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped) THEN
            RAISE EXCEPTION 'Cannot electrify % because it has more than 400 columns.', shown
                USING HINT = format('Move some of them to a second table with the same key: CREATE TABLE %I (LIKE %s);',
                    left(class.relname, 58) || '_more', shown);
        END IF;

        IF row_security_active(relation) THEN
            RAISE EXCEPTION 'Cannot electrify % because its row-level security hides rows from %, the role of the sync service.',
                shown, quote_ident(current_user)
                USING HINT = format(CASE WHEN class.relforcerowsecurity AND pg_has_role(class.relowner, 'USAGE')
                    THEN 'ALTER TABLE %1$s NO FORCE ROW LEVEL SECURITY; or, as superuser: ALTER ROLE %2$I BYPASSRLS;'
                    ELSE 'As superuser: ALTER ROLE %2$I BYPASSRLS;' END, shown, current_user);
        END IF;
    END
    $$;

-- Whether a foreign key refers to the primary key, and not to other columns that are unique: those are unknown to clients.
CREATE OR REPLACE FUNCTION electric.refers_to_key(foreign_key oid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT EXISTS (
            SELECT FROM pg_constraint f
            JOIN pg_constraint k ON k.conrelid = f.confrelid AND k.contype = 'p' AND k.conkey @> f.confkey AND f.confkey @> k.conkey
            WHERE f.oid = $1
        )
    $$;

-- The names of the functions that Postgres clients make for a table's triggers: unquoted, and cut at 63 bytes.
CREATE OR REPLACE FUNCTION electric.client_functions(relation oid) RETURNS SETOF text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT lower(left(f.name, 63) COLLATE "C")
        FROM pg_class c
        CROSS JOIN LATERAL (
            SELECT format(pattern, c.relname) AS name FROM unnest(ARRAY[
                'update_ensure_public_%s_primarykey_function', 'insert_public_%s_into_oplog_function',
                'update_public_%s_into_oplog_function', 'delete_public_%s_into_oplog_function'
            ]) pattern
            UNION ALL
            SELECT format('compensation_%s_public_%s_%s_into_oplog_function', event, c.relname, k.attname)
            FROM unnest(ARRAY['insert', 'update']) event, (
                SELECT DISTINCT a.attname FROM pg_constraint f JOIN pg_attribute a ON a.attrelid = f.conrelid AND a.attnum = f.conkey[1]
                WHERE f.conrelid = c.oid AND f.contype = 'f' AND cardinality(f.conkey) = 1 AND electric.refers_to_key(f.oid)
            ) k
        ) f
        WHERE c.oid = $1
    $$;

-- Why clients can't have the table at all (spec 03 §10.3), as the service's own model has it too; NULL if they can.
CREATE OR REPLACE FUNCTION electric.client_obstacle(relation oid) RETURNS text
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        plain constant text := '^[A-Za-z_][A-Za-z0-9_]*$';
        home text;
        name text;
        culprit text;
    BEGIN
        SELECT n.nspname, c.relname INTO STRICT home, name
            FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE c.oid = relation;
        IF home <> 'public' THEN
            RETURN format('it is in schema %I, and they know no schema but public', home);
        ELSIF name !~ plain THEN
            RETURN 'its name is not made of letters, digits and underscores';
        ELSIF name ~* '^(sqlite_|_electric_)' THEN
            RETURN 'names beginning with sqlite_ or _electric_ are reserved there';
        END IF;

        SELECT e.table_name INTO culprit
            FROM electric.electrified e JOIN pg_class c ON c.oid = e.oid
            WHERE e.oid <> relation AND e.schema_name = 'public' AND lower(e.table_name COLLATE "C") = lower(name COLLATE "C")
            LIMIT 1;
        IF culprit IS NOT NULL THEN
            RETURN format('SQLite does not tell its name from that of table %I', culprit);
        END IF;

        IF (SELECT count(*) > 400 FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped) THEN
            RETURN 'it has more than 400 columns';
        END IF;

        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO culprit
            FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped AND EXISTS (
                SELECT FROM pg_attribute b
                WHERE b.attrelid = relation AND b.attnum > 0 AND NOT b.attisdropped AND b.attnum <> a.attnum
                    AND lower(b.attname COLLATE "C") = lower(a.attname COLLATE "C")
            );
        IF culprit IS NOT NULL THEN
            RETURN format('SQLite does not tell columns apart whose names differ in case only: %s', culprit);
        END IF;

        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO culprit
            FROM pg_attribute a
            WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped
                AND (a.attname ~ E'[''"\r\n]|\\$\\$' OR a.attname ~ '%' AND a.attname = ANY (electric.key_columns(relation)));
        IF culprit IS NOT NULL THEN
            RETURN format('names of its columns break their triggers: %s', culprit);
        END IF;

        SELECT string_agg(DISTINCT quote_ident(a.attname), ', ') INTO culprit
            FROM pg_constraint c JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = c.conkey[1]
            WHERE c.conrelid = relation AND c.contype = 'f' AND cardinality(c.conkey) = 1 AND electric.refers_to_key(c.oid)
                AND a.attname !~ plain;
        IF culprit IS NOT NULL THEN
            RETURN format('names of its foreign-key columns are not made of letters, digits and underscores: %s', culprit);
        END IF;

        IF EXISTS (SELECT FROM electric.client_functions(relation) f (name) GROUP BY f.name HAVING count(*) > 1) THEN
            RETURN 'PGlite does not tell the triggers of its foreign keys apart: the names are too long';
        END IF;
        SELECT e.table_name INTO culprit
            FROM electric.electrified e JOIN pg_class c ON c.oid = e.oid
            WHERE e.oid <> relation AND e.schema_name = 'public' AND octet_length(e.table_name) > 30 AND octet_length(name) > 30
                AND EXISTS (SELECT electric.client_functions(e.oid) INTERSECT SELECT electric.client_functions(relation))
            LIMIT 1;
        IF culprit IS NOT NULL THEN
            RETURN format('PGlite does not tell its triggers from those of table %I: the long names begin alike', culprit);
        END IF;
        RETURN NULL;
    END
    $$;

-- Warns of what is accepted but not all clients can take (spec 03 §10.3, B-23).
CREATE OR REPLACE PROCEDURE electric.warn_of_limits(relation oid, shown text)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    DECLARE
        plain constant text := '^[A-Za-z_][A-Za-z0-9_]*$';
        obstacle text := electric.client_obstacle(relation);
        listed text;
    BEGIN
        IF obstacle IS NOT NULL THEN
            RAISE WARNING 'clients can''t have the table %: %', shown, obstacle
                USING HINT = 'Until that changes it is kept from clients. Short lower-case names of letters, digits and underscores always work.';
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

        IF (SELECT count(*) > 50 FROM pg_attribute a WHERE a.attrelid = relation AND a.attnum > 0 AND NOT a.attisdropped) THEN
            RAISE WARNING 'clients over PGlite can read the table % but not write it: it has more than 50 columns', shown
                USING HINT = 'Clients over SQLite can do both. A second table with the same key could have some of the columns.';
        END IF;

        SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) INTO listed
            FROM pg_attribute a
            LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
            WHERE a.attrelid = relation AND a.attname = ANY (electric.key_columns(relation))
                AND (a.attidentity <> '' OR starts_with(pg_get_expr(d.adbin, d.adrelid), 'nextval('));
        IF listed IS NOT NULL THEN
            RAISE WARNING 'clients choose the values of % in rows that they insert into %: the sequence is not asked, and does not move',
                listed, shown
                USING HINT = 'Two clients that choose the same value write the same row. Keys of type uuid, made in the app, never meet.';
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

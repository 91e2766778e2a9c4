-- What changed between two states of a table (electric.guard_state): what has to be refused, with the codes and texts of spec
-- 04 §8, and what is passed on to clients.

-- The types that an added column may have, as `type` of a state prints them.
CREATE OR REPLACE FUNCTION electric.may_be_added(type text) RETURNS boolean
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT $1 IN (
            'boolean', 'bytea', 'date', 'real', 'double precision', 'smallint', 'integer', 'bigint', 'jsonb', 'text', 'character varying',
            'time without time zone', 'timestamp without time zone', 'timestamp with time zone', 'uuid'
        )
    $$;

-- A column's type in the spelling of refusals: varchar(255), bpchar(1), int4[], uuid[][].
CREATE OR REPLACE FUNCTION electric.spelled_type(state jsonb) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE WHEN n.nspname IN ('pg_catalog', 'public') THEN '' ELSE n.nspname || '.' END
            || element.typname
            || CASE WHEN ($1 ->> 'modifier')::integer < 0 THEN ''
                ELSE coalesce(substring(format_type(element.oid, ($1 ->> 'modifier')::integer) FROM '\([^()]*\)'), '') END
            || CASE WHEN listed.oid IS NULL THEN '' ELSE repeat('[]', greatest(($1 ->> 'dimensions')::integer, 1)) END
        FROM pg_type named
        LEFT JOIN pg_type listed ON listed.oid = named.oid AND listed.typcategory = 'A' AND listed.typelem <> 0
        JOIN pg_type element ON element.oid = coalesce(listed.typelem, named.oid)
        JOIN pg_namespace n ON n.oid = element.typnamespace
        WHERE named.oid = ($1 ->> 'type_oid')::oid
    $$;

-- A table's name as refusals and notices have it.
CREATE OR REPLACE FUNCTION electric.shown_name(state jsonb) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT electric.quoted($1 ->> 'schema') || '.' || electric.quoted($1 ->> 'name') $$;

-- Columns that are not as they were; `old` is NULL for added ones, `new` for dropped ones.
CREATE OR REPLACE FUNCTION electric.changed_columns(before jsonb, after jsonb) RETURNS TABLE (attnum integer, old jsonb, new jsonb)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT k.number::integer, before -> 'columns' -> k.number, after -> 'columns' -> k.number
        FROM (SELECT jsonb_object_keys(before -> 'columns') UNION SELECT jsonb_object_keys(after -> 'columns')) k (number)
        WHERE before -> 'columns' -> k.number IS DISTINCT FROM after -> 'columns' -> k.number
    $$;

-- Constraints that are not as they were.
CREATE OR REPLACE FUNCTION electric.changed_constraints(before jsonb, after jsonb) RETURNS TABLE (name text, old jsonb, new jsonb)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT k.name, c.old, c.new
        FROM (SELECT jsonb_object_keys(before -> 'constraints') UNION SELECT jsonb_object_keys(after -> 'constraints')) k (name),
            LATERAL (SELECT before -> 'constraints' -> k.name AS old, after -> 'constraints' -> k.name AS new) c
        WHERE c.old IS NULL OR c.new IS NULL OR c.new ->> 'type' <> c.old ->> 'type'
            -- What it says may only read otherwise, because something that it names was renamed.
            OR c.new -> 'definition' <> c.old -> 'definition' AND (c.old ->> 'tree' IS NULL OR c.new -> 'tree' <> c.old -> 'tree')
    $$;

-- Indexes that are not as they were. One that was rebuilt, or got other storage parameters, is.
CREATE OR REPLACE FUNCTION electric.changed_indexes(before jsonb, after jsonb) RETURNS TABLE (name text, old jsonb, new jsonb)
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT k.name, i.old, i.new
        FROM (SELECT jsonb_object_keys(before -> 'indexes') UNION SELECT jsonb_object_keys(after -> 'indexes')) k (name),
            LATERAL (SELECT before -> 'indexes' -> k.name AS old, after -> 'indexes' -> k.name AS new) i
        WHERE i.old IS NULL OR i.new IS NULL OR i.old -> 'definition' <> i.new -> 'definition' AND i.old -> 'oid' <> i.new -> 'oid'
    $$;

-- Enumerations whose labels are not as they were: labels that came, each with the statement that adds it. `kept` is false if
-- the others are not what they were.
CREATE OR REPLACE FUNCTION electric.changed_enums(before jsonb, after jsonb)
    RETURNS TABLE (enum text, kept boolean, added text[], statements text[])
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT o.key, change.kept, change.added, change.statements
        FROM jsonb_each(before -> 'enums') o
        CROSS JOIN LATERAL (
            WITH label AS (
                SELECT l.name, l.place, o.value ? l.name AS known
                FROM jsonb_array_elements_text(after -> 'enums' -> o.key) WITH ORDINALITY l (name, place)
            )
            SELECT o.value = coalesce(jsonb_agg(l.name ORDER BY l.place) FILTER (WHERE l.known), '[]') AS kept,
                array_agg(l.name ORDER BY l.place) FILTER (WHERE NOT l.known) AS added,
                array_agg(format('ALTER TYPE %s ADD VALUE %L', o.key, l.name) || coalesce(format(' BEFORE %L', (
                    SELECT f.name FROM label f WHERE f.known AND f.place > l.place ORDER BY f.place LIMIT 1
                )), '') ORDER BY l.place) FILTER (WHERE NOT l.known) AS statements
            FROM label l
        ) change
        WHERE after -> 'enums' ? o.key AND after -> 'enums' -> o.key <> o.value
    $$;

-- All that has to be refused. `reason` tells what was done, for a table that is taken out of the sync because of it.
CREATE OR REPLACE FUNCTION electric.refusals(before jsonb, after jsonb)
    RETURNS TABLE (place integer, code text, message text, reason text, hint text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        WITH shown AS (
            SELECT electric.shown_name(before) AS name
        ), changed AS (
            SELECT c.*, coalesce(electric.quoted(c.old ->> 'name'), '') AS was, electric.quoted(c.new ->> 'name') AS becomes
            FROM electric.changed_columns(before, after) c
        ), entries AS (
            SELECT e.* FROM electric.changed_constraints(before, after) e
        ), renamed AS (
            SELECT o.name AS was, n.name AS becomes
            FROM entries o JOIN entries n ON o.new IS NULL AND n.old IS NULL AND o.old = n.new
        ), added_constraints AS (
            -- Those that came with a column.
            SELECT e.name, (SELECT min(c.attnum) FROM changed c WHERE c.old IS NULL AND e.new -> 'columns' @> to_jsonb(c.attnum)) AS attnum,
                CASE e.new ->> 'type' WHEN 'c' THEN 'CHECK' WHEN 'u' THEN 'UNIQUE' WHEN 'p' THEN 'PRIMARY KEY' WHEN 'f' THEN 'FOREIGN KEY'
                    ELSE 'EXCLUDE' END AS kind
            FROM entries e WHERE e.old IS NULL
        )
        SELECT 1, 'EX002', format('Cannot move electrified table %s to another schema', s.name),
            format('it was moved to schema %I', after ->> 'schema'),
            'Clients know the table as one of this schema. A view in the other schema can show the same rows.'
        FROM shown s WHERE before ->> 'schema' <> after ->> 'schema'

        UNION ALL SELECT 2, 'EX002', format('Cannot rename electrified table %s', s.name),
            format('it was renamed to %I', after ->> 'name'),
            'Clients know the table by this name. A view of the other name can show the same rows.'
        FROM shown s WHERE before ->> 'name' <> after ->> 'name'

        UNION ALL SELECT 3, 'EX010', format('Cannot drop column %s of electrified table %s', c.was, s.name),
            format('column %s was dropped', c.was),
            'Clients keep the column. Leave it unused, or move its data to a new column.'
        FROM changed c, shown s WHERE c.new IS NULL

        UNION ALL SELECT 4, 'EX008', format('Cannot rename column %s of electrified table %s', c.was, s.name),
            format('column %s was renamed to %s', c.was, c.becomes),
            format('Add a new column and migrate the data: ALTER TABLE %s ADD COLUMN %s %s;', s.name, c.becomes, c.old ->> 'type')
        FROM changed c, shown s WHERE c.old ->> 'name' <> c.new ->> 'name'

        UNION ALL SELECT 5, 'EX003', format('Cannot rename property of electrified table %s', s.name),
            format('the type %s of column %s was renamed to %s', c.old ->> 'type', c.was, c.new ->> 'type'),
            'Clients know the type by this name.'
        FROM changed c, shown s
        WHERE c.old ->> 'type' <> c.new ->> 'type' AND c.old -> 'type_oid' = c.new -> 'type_oid' AND c.old -> 'modifier' = c.new -> 'modifier'

        UNION ALL SELECT 6, 'EX009', format('Cannot change type of column %s of electrified table %s', c.was, s.name),
            format('the type of column %s was changed', c.was),
            format('Add a new column of the other type and migrate the data: ALTER TABLE %s ADD COLUMN … %s;', s.name, c.new ->> 'type')
        FROM changed c, shown s
        WHERE c.old ->> 'type' <> c.new ->> 'type' AND (c.old -> 'type_oid' <> c.new -> 'type_oid' OR c.old -> 'modifier' <> c.new -> 'modifier')
            OR c.old IS NOT NULL AND c.new IS NOT NULL AND c.old -> 'collation' <> c.new -> 'collation'

        UNION ALL SELECT 7, 'EX009', format('Cannot change type of column %s of electrified table %s', electric.quoted(c.value ->> 'name'), s.name),
            format('labels of its enumeration %s were renamed or removed', e.enum),
            format('Clients hold rows with the old labels. Add a new one instead: ALTER TYPE %s ADD VALUE …;', e.enum)
        FROM electric.changed_enums(before, after) e JOIN jsonb_each(before -> 'columns') c ON c.value ->> 'enum' = e.enum, shown s
        WHERE NOT e.kept

        UNION ALL SELECT 8, 'EX005', format('Cannot electrify column of type "%s"', electric.spelled_type(c.value)),
            format('its enumeration %s has labels that clients can''t have', e.enum),
            'Clients'' code takes labels of letters, digits and underscores that begin with a letter.'
        FROM electric.changed_enums(before, after) e JOIN jsonb_each(before -> 'columns') c ON c.value ->> 'enum' = e.enum
        WHERE EXISTS (SELECT FROM unnest(e.added) l WHERE l !~* '^[a-z][a-z_0-9]*$')

        UNION ALL SELECT 9, 'EX012', format('Cannot rename constraint %s of electrified table %s', electric.quoted(r.was), s.name),
            format('constraint %I was renamed to %I', r.was, r.becomes),
            'Clients know the constraint by this name.'
        FROM renamed r, shown s

        UNION ALL SELECT 10, 'EX003', format('Cannot rename property of electrified table %s', s.name),
            format('index %I was renamed to %I', o.name, n.name),
            format('Clients know the index by this name. Make another one and drop this one: DROP INDEX %s.%s;',
                electric.quoted(before ->> 'schema'), electric.quoted(o.name))
        FROM electric.changed_indexes(before, after) o
        JOIN electric.changed_indexes(before, after) n ON o.new IS NULL AND n.old IS NULL AND o.old -> 'oid' = n.new -> 'oid',
        shown s

        UNION ALL SELECT 100 + 10 * c.attnum, r.code, r.message, format('column %s was added in a way that clients can''t have', c.becomes), r.hint
        FROM changed c, shown s, LATERAL (
            SELECT 1, 'EX005', format('Cannot electrify column of type "%s"', coalesce(c.new ->> 'serial', electric.spelled_type(c.new))), CASE
                WHEN c.new ? 'serial' AND c.new ->> 'serial' IS NOT NULL
                    THEN 'Clients have to make values of their own: a uuid works everywhere. Or have a new table with this column, and electrify that.'
                WHEN c.new ->> 'enum' IS NOT NULL
                    THEN 'Add it as text. A table may have columns of an enumeration only from the moment that it is electrified.'
                ELSE 'Added columns may be of type bool, bytea, date, float4, float8, int2, int4, int8, jsonb, text, time, timestamp, timestamptz, '
                    'uuid or varchar, without a length or precision.'
            END
            WHERE NOT electric.may_be_added(c.new ->> 'type') OR c.new ->> 'serial' IS NOT NULL
            UNION ALL SELECT 2, 'EX006', 'Cannot electrify column with DEFAULT clause',
                'Leave the DEFAULT out and set the value in the application, and in existing rows with an UPDATE.'
            WHERE c.new ->> 'default' IS NOT NULL AND c.new ->> 'generated' = ''
            UNION ALL SELECT 3, 'EX011', 'Cannot electrify column with GENERATED constraint',
                'Compute the value in the application or in a view.'
            WHERE c.new ->> 'generated' <> '' OR c.new ->> 'identity' <> ''
            UNION ALL SELECT 4, 'EX011', format('Cannot electrify column with %s constraint', a.kind),
                'Constraints can be on a new table that is not electrified yet. Here, leave it out.'
            FROM added_constraints a WHERE a.attnum = c.attnum
            ORDER BY 1
        ) r (rank, code, message, hint)
        WHERE c.old IS NULL

        UNION ALL SELECT 100000, 'EX007', format('Cannot alter column %s of electrified table %s', c.was, s.name),
            format('column %s was altered', c.was),
            CASE
                WHEN c.old -> 'not_null' <> c.new -> 'not_null' THEN
                    'Clients have the column as it was. Check values in the application or with a trigger.'
                ELSE 'Clients have the column as it was. Set values in the application or with a trigger.'
            END
        FROM changed c, shown s
        WHERE c.old IS NOT NULL AND c.new IS NOT NULL AND (
            c.old -> 'not_null' <> c.new -> 'not_null' OR c.old -> 'identity' <> c.new -> 'identity' OR c.old -> 'generated' <> c.new -> 'generated'
            OR c.old -> 'default' <> c.new -> 'default' AND c.old -> 'default_tree' <> c.new -> 'default_tree'
        )

        UNION ALL SELECT 100001, 'EX007', format('Cannot alter column "" of electrified table %s', s.name),
            format('constraint %I was %s', e.name, CASE WHEN e.old IS NULL THEN 'added' WHEN e.new IS NULL THEN 'dropped' ELSE 'changed' END),
            'Have constraints before the table is electrified. Until then, check values in the application or with a trigger.'
        FROM entries e, shown s

        UNION ALL SELECT 100002, 'EX007', format('Cannot alter column "" of electrified table %s', s.name), p.what, p.hint
        FROM shown s, (VALUES
            (ARRAY['row_security', 'forced_row_security'], 'row-level security was switched on or off',
                'Row-level security does not apply to clients. Take the table out of the sync first: CALL electric.disable(…);'),
            (ARRAY['replica_identity'], 'its REPLICA IDENTITY was changed', 'Clients need the old values of changed rows: it has to be FULL.'),
            (ARRAY['persistence'], 'it was made LOGGED or UNLOGGED', 'Changes of an unlogged table can''t be streamed.'),
            (ARRAY['tablespace'], 'it was moved to another tablespace', 'For maintenance: SET electric.bypass_guards = on;'),
            (ARRAY['parents', 'partition', 'of_type', 'kind'], 'its place in an inheritance tree or its kind was changed',
                'Clients have the table as one on its own.')
        ) p (keys, what, hint)
        WHERE EXISTS (SELECT FROM unnest(p.keys) k WHERE before -> k <> after -> k)

        UNION ALL SELECT 100003, 'EX007', format('Cannot alter column "" of electrified table %s', s.name), 'the index that it is clustered by was changed',
            'The statement CLUSTER … USING … orders the rows just as well.'
        FROM shown s
        WHERE before -> 'clustered' <> after -> 'clustered' AND CASE
            WHEN after ->> 'clustered' IS NOT NULL THEN (after ->> 'clustered_now')::boolean
            -- Without an index that was dropped, there is nothing to be clustered by.
            ELSE after -> 'indexes' ? (before ->> 'clustered') OR after -> 'constraints' ? (before ->> 'clustered')
        END
    $$;

-- What clients are told of: one statement for each change, as if it had been written so.
CREATE OR REPLACE FUNCTION electric.additions(before jsonb, after jsonb) RETURNS text[]
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT array_agg(a.statement ORDER BY a.place, a.within)
        FROM (
            SELECT 1 AS place, e.enum || l.place AS within, l.statement
            FROM electric.changed_enums(before, after) e, unnest(e.statements) WITH ORDINALITY l (statement, place)
            UNION ALL
            SELECT 2, '', format('ALTER TABLE %s %s', electric.shown_name(after), string_agg(
                format('ADD COLUMN %s %s%s%s', electric.quoted(c.new ->> 'name'), c.new ->> 'type',
                    ' COLLATE ' || nullif(c.new ->> 'collation', 'pg_catalog."default"'),
                    CASE WHEN (c.new ->> 'not_null')::boolean THEN ' NOT NULL' END), ', ' ORDER BY c.attnum))
            FROM electric.changed_columns(before, after) c WHERE c.old IS NULL
            HAVING count(*) > 0
            UNION ALL
            SELECT 3, i.name, format('DROP INDEX %s.%s', electric.quoted(after ->> 'schema'), electric.quoted(i.name))
            FROM electric.changed_indexes(before, after) i WHERE i.old IS NOT NULL
            UNION ALL
            SELECT 4, i.name, i.new ->> 'definition'
            FROM electric.changed_indexes(before, after) i WHERE i.new IS NOT NULL
        ) a
    $$;

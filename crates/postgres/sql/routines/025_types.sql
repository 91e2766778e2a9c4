-- Which types columns can have (spec 03 §2). What is here has been seen to make the round trip through clients of both
-- dialects; docs/types.md says how each type fares, and why the others are refused.

-- The type that a column's values are of: a domain stands for what it is a domain over, with the domain's modifier.
CREATE OR REPLACE FUNCTION electric.base_type(type oid, modifier integer, OUT base oid, OUT base_modifier integer)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        WITH RECURSIVE layers AS (
            SELECT t.oid, $2 AS modifier, t.typtype, t.typbasetype, t.typtypmod FROM pg_type t WHERE t.oid = $1
            UNION ALL
            SELECT t.oid, l.typtypmod, t.typtype, t.typbasetype, t.typtypmod
            FROM layers l JOIN pg_type t ON t.oid = l.typbasetype
            WHERE l.typtype = 'd'
        )
        SELECT l.oid, l.modifier FROM layers l WHERE l.typtype <> 'd'
    $$;

-- The name of a type that can be synced, as relations carry it; `enum` for every enumeration; NULL for all other types.
-- A domain has that of what it is a domain over.
CREATE OR REPLACE FUNCTION electric.synced_type(type oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE
            -- Clients would have to be told of labels that are added to it, and a domain hides whose they are.
            WHEN t.typtype = 'e' THEN CASE WHEN t.oid = $1 THEN 'enum' END
            WHEN t.typtype <> 'b' THEN NULL
            WHEN t.typnamespace = 'pg_catalog'::regnamespace AND t.typname IN (
                'bool', 'bpchar', 'bytea', 'cidr', 'date', 'float4', 'float8', 'inet', 'int2', 'int4', 'int8', 'interval', 'json',
                'jsonb', 'numeric', 'text', 'time', 'timestamp', 'timestamptz', 'timetz', 'uuid', 'varchar'
            ) THEN t.typname::text
            WHEN t.typname = 'citext' AND EXISTS (
                SELECT FROM pg_depend d JOIN pg_extension x ON x.oid = d.refobjid
                WHERE d.classid = 'pg_type'::regclass AND d.objid = t.oid AND d.refclassid = 'pg_extension'::regclass
                    AND d.deptype = 'e' AND x.extname = 'citext'
            ) THEN 'citext'
        END
        FROM electric.base_type($1, -1) b JOIN pg_type t ON t.oid = b.base
    $$;

-- What is wrong with a column's type, as the line to show; NULL if nothing is.
CREATE OR REPLACE FUNCTION electric.unsupported_type(type oid, modifier integer) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE electric.synced_type($1)
            WHEN 'enum' THEN (
                SELECT format(
                    '%s (enum type %s contains unsupported values %s)',
                    electric.type_text($1, $2), electric.type_text($1, $2),
                    string_agg(quote_literal(e.enumlabel), ', ' ORDER BY e.enumsortorder)
                )
                FROM pg_enum e
                WHERE e.enumtypid = $1 AND e.enumlabel !~* '^[a-z][a-z_0-9]*$'
                HAVING count(*) > 0
            )
            ELSE CASE WHEN electric.synced_type($1) IS NULL THEN electric.type_text($1, $2) END
        END
    $$;

-- Whether values of the type can stand in a key: clients compare keys as texts, so equal values must have one text. Types that
-- could always be keys still can; of some of them `electric.warn_of_limits` warns.
CREATE OR REPLACE FUNCTION electric.can_be_key(type oid) RETURNS boolean
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT coalesce(electric.synced_type($1) NOT IN (
            'bpchar', 'cidr', 'citext', 'inet', 'interval', 'json', 'numeric', 'timetz'
        ), false)
    $$;

-- The columns of a table that keep it from being synced, and how to say so: one line for each, as the list of check 3 has them.
-- `advice` is what to do about it.
CREATE OR REPLACE FUNCTION electric.unsupported_columns(relation oid)
    RETURNS TABLE (place smallint, line text, advice text)
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT a.attnum, format('%s %s', a.attname, electric.unsupported_type(a.atttypid, a.atttypmod)), CASE
                WHEN t.typcategory = 'A' THEN 'Clients read and write an array as if it were one value: make it jsonb (USING to_jsonb(…)).'
                WHEN t.typtype = 'd' AND electric.synced_type(b.base) = 'enum'
                    THEN 'Labels added to an enumeration can''t be told through a domain: use the enumeration itself.'
                WHEN t.typtype = 'e' THEN 'Clients'' code takes labels of letters, digits and underscores that begin with a letter.'
                WHEN t.typtype = 'c' THEN 'Clients can''t hold a composite: make it jsonb, or several columns.'
                WHEN b.base = 'money'::regtype THEN 'How money is printed depends on a setting of each database: make it numeric.'
            END
        FROM pg_attribute a
        JOIN pg_type t ON t.oid = a.atttypid
        CROSS JOIN LATERAL electric.base_type(a.atttypid, a.atttypmod) b
        WHERE a.attrelid = $1 AND a.attnum > 0 AND NOT a.attisdropped
            AND electric.unsupported_type(a.atttypid, a.atttypmod) IS NOT NULL
        UNION ALL
        SELECT k.attnum, format('%s %s (in a key, and clients compare keys as texts: equal values of this type can differ in text)',
                k.attname, electric.type_text(k.atttypid, k.atttypmod)),
            'Keys of type uuid, text, varchar or of an integer type work everywhere.'
        FROM (
            SELECT DISTINCT a.attnum, a.attname, a.atttypid, a.atttypmod
            FROM pg_constraint c
            CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS pair (own, other)
            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = pair.own
            LEFT JOIN pg_attribute p ON p.attrelid = c.confrelid AND p.attnum = pair.other
            WHERE c.conrelid = $1 AND c.contype IN ('p', 'f')
                AND (NOT electric.can_be_key(a.atttypid) OR p.attnum IS NOT NULL AND NOT electric.can_be_key(p.atttypid))
        ) k
        WHERE electric.unsupported_type(k.atttypid, k.atttypmod) IS NULL
    $$;

-- A value as the output function of its type prints it, which is what replication sends: SQL for that, given SQL for the value. The
-- cast to text says the same for all types but these.
CREATE OR REPLACE FUNCTION electric.printed(type oid, value text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT CASE b.base
            WHEN 'bool'::regtype THEN format('textin(boolout(%s))', $2)
            WHEN 'bpchar'::regtype THEN format('textin(bpcharout(%s))', $2)
            WHEN 'inet'::regtype THEN format('textin(inet_out(%s))', $2)
            WHEN 'cidr'::regtype THEN format('textin(cidr_out(%s))', $2)
            ELSE format('%s::text', $2)
        END
        FROM electric.base_type($1, -1) b
    $$;

-- Whether two values of one column print differently, as SQL on SQL for both. Equality of many types is coarser than that, and
-- json has none.
CREATE OR REPLACE FUNCTION electric.prints_differently(type oid, one text, other text) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT format(CASE
                WHEN t.typtype = 'e' OR t.typname IN (
                    'bool', 'bytea', 'date', 'int2', 'int4', 'int8', 'time', 'timestamp', 'timestamptz', 'uuid'
                ) THEN '%s IS DISTINCT FROM %s'
                WHEN t.typname IN ('text', 'varchar') THEN '%s COLLATE "C" IS DISTINCT FROM %s COLLATE "C"'
                ELSE 'record_image_ne(ROW(%s), ROW(%s))'
            END, $2, $3)
        FROM electric.base_type($1, -1) b JOIN pg_type t ON t.oid = b.base
    $$;

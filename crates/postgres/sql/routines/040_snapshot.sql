-- A column's default as Postgres prints it; NULL without one. Constants in it are printed as values are streamed, whatever the
-- session's settings.
CREATE OR REPLACE FUNCTION electric.default_text(relation oid, attnum smallint) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, public SET bytea_output = hex SET datestyle = 'ISO, DMY' SET timezone = 'UTC'
    SET intervalstyle = postgres SET extra_float_digits = 1 SET standard_conforming_strings = on
    AS $$ SELECT pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d WHERE d.adrelid = $1 AND d.adnum = $2 $$;

-- The definition of an electrified table as clients, the decoder and the start-up loader need it. `new` marks the
-- enumerations that no earlier migration has announced.
CREATE OR REPLACE FUNCTION electric.table_snapshot(relation oid) RETURNS jsonb
    LANGUAGE sql STABLE SET search_path = pg_catalog, pg_temp
    AS $$
        SELECT jsonb_build_object(
            'enums', coalesce((
                SELECT jsonb_agg(jsonb_build_object(
                    'schema', e.schema_name, 'name', e.type_name, 'labels', e.labels,
                    'new', NOT EXISTS (
                        SELECT FROM electric.ddl_commands d
                        WHERE d.snapshot -> 'enums' @> jsonb_build_array(
                            jsonb_build_object('schema', e.schema_name, 'name', e.type_name)
                        )
                    )
                ) ORDER BY e.place)
                FROM (
                    SELECT n.nspname AS schema_name, t.typname AS type_name, min(a.attnum) AS place, (
                        SELECT jsonb_agg(l.enumlabel ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = t.oid
                    ) AS labels
                    FROM pg_attribute a
                    JOIN pg_type t ON t.oid = a.atttypid AND t.typtype = 'e'
                    JOIN pg_namespace n ON n.oid = t.typnamespace
                    WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
                    GROUP BY t.oid, n.nspname, t.typname
                ) e
            ), '[]'),
            'table', jsonb_build_object(
                'oid', r.oid::bigint, 'schema', n.nspname, 'name', r.relname,
                'columns', (
                    SELECT jsonb_agg(jsonb_build_object(
                        'attnum', a.attnum, 'name', a.attname,
                        'type', t.typname, 'type_schema', tn.nspname, 'typtype', t.typtype::text, 'typmod', b.base_modifier,
                        'sql_type', electric.type_text(b.base, b.base_modifier), 'not_null', a.attnotnull,
                        'collation', CASE WHEN a.attcollation <> t.typcollation THEN (
                            SELECT CASE WHEN cn.nspname = 'pg_catalog' THEN '' ELSE quote_ident(cn.nspname) || '.' END
                                || quote_ident(c.collname)
                            FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace
                            WHERE c.oid = a.attcollation
                        ) END,
                        'default', electric.default_text(a.attrelid, a.attnum), 'identity', nullif(a.attidentity::text, '')
                    ) ORDER BY a.attnum)
                    FROM pg_attribute a
                    -- A column of a domain is one of what it is a domain over: clients don't have domains.
                    CROSS JOIN LATERAL electric.base_type(a.atttypid, a.atttypmod) b
                    JOIN pg_type t ON t.oid = b.base
                    JOIN pg_namespace tn ON tn.oid = t.typnamespace
                    WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
                ),
                'primary_key', (
                    SELECT jsonb_build_object('name', c.conname, 'columns', to_jsonb(electric.key_columns(r.oid)))
                    FROM pg_constraint c WHERE c.conrelid = r.oid AND c.contype = 'p'
                ),
                'foreign_keys', coalesce((
                    SELECT jsonb_agg(jsonb_build_object(
                        'name', c.conname,
                        'columns', (
                            SELECT jsonb_agg(a.attname ORDER BY k.place)
                            FROM unnest(c.conkey) WITH ORDINALITY k (attnum, place)
                            JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum
                        ),
                        'table', jsonb_build_object('oid', p.oid::bigint, 'schema', pn.nspname, 'name', p.relname),
                        'referenced', (
                            SELECT jsonb_agg(a.attname ORDER BY k.place)
                            FROM unnest(c.confkey) WITH ORDINALITY k (attnum, place)
                            JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum
                        ),
                        'to_key', electric.refers_to_key(c.oid),
                        'on_delete', c.confdeltype::text, 'on_update', c.confupdtype::text,
                        'definition', electric.constraint_text(c.oid)
                    ) ORDER BY c.conname COLLATE "C")
                    FROM pg_constraint c
                    JOIN pg_class p ON p.oid = c.confrelid
                    JOIN pg_namespace pn ON pn.oid = p.relnamespace
                    WHERE c.conrelid = r.oid AND c.contype = 'f'
                ), '[]'),
                'indexes', coalesce((
                    SELECT jsonb_agg(jsonb_build_object(
                        'name', x.relname, 'unique', i.indisunique, 'definition', electric.index_text(i.indexrelid)
                    ) ORDER BY x.relname COLLATE "C")
                    FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                    WHERE i.indrelid = r.oid AND i.indisvalid AND NOT EXISTS (
                        SELECT FROM pg_constraint c
                        WHERE c.conindid = i.indexrelid AND c.conrelid = r.oid AND c.contype IN ('p', 'u', 'x')
                    )
                ), '[]'),
                'shadow', (
                    SELECT jsonb_build_object('oid', s.oid::bigint, 'name', s.relname, 'tag_columns', g.tag_columns)
                    FROM electric.electrified g JOIN pg_class s ON s.oid = g.shadow WHERE g.oid = r.oid
                )
            )
        )
        FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
        WHERE r.oid = $1
    $$;

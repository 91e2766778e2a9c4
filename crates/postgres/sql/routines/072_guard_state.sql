-- What the guard compares: a synced table as the catalogue has it, less what clients don't depend on (spec 04 §11).
--
-- Not in it: owner, grants, policies, triggers, comments, statistics, storage and its parameters, the access method, and of
-- constraints whether they are deferrable or valid. Object identifiers are in it to tell renamed things from other
-- things, and don't count otherwise.

-- An expression of the catalogue. The tree it is printed from stays the same when something that it names is renamed.
CREATE OR REPLACE FUNCTION electric.expression_text(tree pg_node_tree, relation oid) RETURNS text
    LANGUAGE sql STABLE SET search_path = pg_catalog, public
    AS $$ SELECT pg_catalog.pg_get_expr($1, $2) $$;

CREATE OR REPLACE FUNCTION electric.tree_hash(tree pg_node_tree) RETURNS text
    LANGUAGE sql IMMUTABLE SET search_path = pg_catalog, pg_temp
    AS $$ SELECT encode(sha256(convert_to($1::text, 'UTF8')), 'base64') $$;

-- The state of a table; NULL if there is none.
--
--   columns      by number
--   constraints  by name; those of triggers are triggers, and NOT NULL is the column's (Postgres 18 has it here)
--   indexes      by name: valid ones that are not a constraint's
--   enums        by name as the columns show it
--   clustered    `clustered_now` says whether the running transaction may have made it so; the statement CLUSTER may do
--                that, too, and is nobody's concern
CREATE OR REPLACE FUNCTION electric.guard_state(relation oid) RETURNS jsonb
    LANGUAGE plpgsql STABLE SET search_path = pg_catalog, pg_temp SET jit = off
    AS $$
    BEGIN
        RETURN (SELECT jsonb_build_object(
            'schema', n.nspname, 'name', r.relname, 'kind', r.relkind::text, 'persistence', r.relpersistence::text,
            'replica_identity', r.relreplident::text, 'row_security', r.relrowsecurity, 'forced_row_security', r.relforcerowsecurity,
            'tablespace', r.reltablespace::bigint, 'of_type', r.reloftype::bigint, 'partition', r.relispartition,
            'parents', coalesce((
                SELECT jsonb_agg(h.inhparent::bigint ORDER BY h.inhseqno) FROM pg_inherits h WHERE h.inhrelid = r.oid
            ), '[]'),
            'is_parent', EXISTS (SELECT FROM pg_inherits h WHERE h.inhparent = r.oid),
            'clustered', (
                SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = r.oid AND i.indisclustered
            ),
            'clustered_now', coalesce((
                SELECT age(i.xmin) <= 0 FROM pg_index i WHERE i.indrelid = r.oid AND i.indisclustered
            ), false),
            'columns', coalesce((
                SELECT jsonb_object_agg(a.attnum, jsonb_build_object(
                    'name', a.attname, 'type', electric.type_text(a.atttypid, a.atttypmod),
                    'type_oid', a.atttypid::bigint, 'modifier', a.atttypmod,
                    'dimensions', a.attndims,
                    'enum', CASE WHEN t.typtype = 'e' THEN electric.type_text(a.atttypid, -1) END,
                    'collation', (
                        SELECT quote_ident(cn.nspname) || '.' || quote_ident(c.collname)
                        FROM pg_collation c JOIN pg_namespace cn ON cn.oid = c.collnamespace WHERE c.oid = a.attcollation
                    ),
                    'not_null', a.attnotnull, 'identity', a.attidentity::text, 'generated', a.attgenerated::text,
                    'default', CASE WHEN d.oid IS NOT NULL THEN electric.expression_text(d.adbin, r.oid) END,
                    'default_tree', CASE WHEN d.oid IS NOT NULL THEN electric.tree_hash(d.adbin) END,
                    'serial', CASE WHEN d.oid IS NOT NULL AND a.attidentity = '' AND EXISTS (
                        SELECT FROM pg_depend s JOIN pg_class q ON q.oid = s.objid AND q.relkind = 'S'
                        WHERE s.classid = 'pg_class'::regclass AND s.refclassid = 'pg_class'::regclass
                            AND s.refobjid = r.oid AND s.refobjsubid = a.attnum AND s.deptype = 'a'
                            AND EXISTS (
                                SELECT FROM pg_depend u
                                WHERE u.classid = 'pg_attrdef'::regclass AND u.objid = d.oid AND u.refobjid = q.oid
                            )
                    ) THEN CASE t.typname WHEN 'int2' THEN 'smallserial' WHEN 'int4' THEN 'serial' WHEN 'int8' THEN 'bigserial' END END
                ))
                FROM pg_attribute a
                JOIN pg_type t ON t.oid = a.atttypid
                LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
                WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
            ), '{}'),
            'constraints', coalesce((
                SELECT jsonb_object_agg(c.conname, jsonb_build_object(
                    'type', c.contype::text, 'columns', to_jsonb(c.conkey), 'tree', CASE WHEN c.conbin IS NOT NULL THEN electric.tree_hash(c.conbin) END,
                    'definition', regexp_replace(
                        electric.constraint_text(c.oid), '( NOT DEFERRABLE| DEFERRABLE| INITIALLY DEFERRED| INITIALLY IMMEDIATE| NOT VALID)+$', ''
                    )
                ))
                FROM pg_constraint c WHERE c.conrelid = r.oid AND c.contype NOT IN ('t', 'n')
            ), '{}'),
            'indexes', coalesce((
                SELECT jsonb_object_agg(x.relname, jsonb_build_object(
                    'oid', x.oid::bigint, 'definition', electric.index_text(x.oid)
                ))
                FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid
                WHERE i.indrelid = r.oid AND i.indisvalid AND NOT EXISTS (
                    SELECT FROM pg_constraint c
                    WHERE c.conindid = i.indexrelid AND c.conrelid = r.oid AND c.contype IN ('p', 'u', 'x')
                )
            ), '{}'),
            'enums', coalesce((
                SELECT jsonb_object_agg(electric.type_text(e.oid, -1), (
                    SELECT jsonb_agg(l.enumlabel ORDER BY l.enumsortorder) FROM pg_enum l WHERE l.enumtypid = e.oid
                ))
                FROM pg_type e
                WHERE e.typtype = 'e' AND e.oid IN (
                    SELECT a.atttypid FROM pg_attribute a WHERE a.attrelid = r.oid AND a.attnum > 0 AND NOT a.attisdropped
                )
            ), '{}')
        )
        FROM pg_class r JOIN pg_namespace n ON n.oid = r.relnamespace
        WHERE r.oid = relation);
    END
    $$;

-- Makes the present state of a table the one that changes are compared with.
CREATE OR REPLACE PROCEDURE electric.remember(relation oid)
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        UPDATE electric.electrified e SET guarded = electric.guard_state(e.oid) WHERE e.oid = relation;
    END
    $$;

-- Does so for the tables that were electrified before there was a guard.
CREATE OR REPLACE PROCEDURE electric.remember_tables()
    LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp
    AS $$
    BEGIN
        UPDATE electric.electrified e SET guarded = electric.guard_state(e.oid) WHERE e.guarded IS NULL;
    END
    $$;

//! What Prisma's engines ask for, by the names of the columns (spec 04 §9.7): as version 4.8 does it, and what 5.2 adds.

pub const VERSION: &str = "SELECT version()";

pub const SERVER: &str = "
    SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace WHERE nspname = $1), version(),
        current_setting('server_version_num')::int4 AS numeric_version";

pub const NAMESPACES: &str =
    "SELECT nspname AS namespace_name FROM pg_catalog.pg_namespace WHERE nspname = ANY ($1) ORDER BY 1";

pub const TABLES: [&str; 2] = [
    "SELECT c.relname AS table_name, n.nspname AS namespace
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY ($1) ORDER BY 2, 1",
    "SELECT c.relname AS table_name, n.nspname AS namespace, c.relispartition AS is_partition,
        c.relhassubclass AS has_subclass, c.relrowsecurity AS has_row_level_security, c.reloptions,
        pg_catalog.obj_description(c.oid, 'pg_class') AS description
     FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
     WHERE c.relkind IN ('r', 'p') AND n.nspname = ANY ($1) ORDER BY 2, 1",
];

pub const CONSTRAINTS: &str = "
    SELECT n.nspname AS namespace, c.relname AS table_name, k.conname AS constraint_name, k.contype AS constraint_type,
        pg_catalog.pg_get_constraintdef(k.oid) AS constraint_definition, k.condeferrable AS is_deferrable,
        k.condeferred AS is_deferred
    FROM pg_catalog.pg_constraint k JOIN pg_catalog.pg_class c ON c.oid = k.conrelid
    JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = ANY ($1) AND k.contype IN ('c', 'x') ORDER BY 1, 2, 3";

pub const VIEWS: [&str; 2] = [
    "SELECT viewname AS view_name, definition AS view_sql, schemaname AS namespace
     FROM pg_catalog.pg_views WHERE schemaname = ANY ($1)",
    "SELECT v.viewname AS view_name, v.definition AS view_sql, v.schemaname AS namespace, NULL::text AS description
     FROM pg_catalog.pg_views v WHERE v.schemaname = ANY ($1)",
];

pub const ENUMS: [&str; 2] = [
    "SELECT t.typname AS name, e.enumlabel AS value, n.nspname AS namespace
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid
     JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     WHERE n.nspname = ANY ($1) ORDER BY 3, 1, e.enumsortorder",
    "SELECT t.typname AS name, e.enumlabel AS value, n.nspname AS namespace,
        pg_catalog.obj_description(t.oid, 'pg_type') AS description
     FROM pg_catalog.pg_type t JOIN pg_catalog.pg_enum e ON e.enumtypid = t.oid
     JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace
     WHERE n.nspname = ANY ($1) ORDER BY 3, 1, e.enumsortorder",
];

macro_rules! columns {
    ($schema:literal, $description:literal) => {
        concat!(
            "SELECT oid.namespace, info.table_name, info.column_name,
                pg_catalog.format_type(att.atttypid, att.atttypmod) AS formatted_type, info.numeric_precision,
                info.numeric_scale, info.numeric_precision_radix, info.datetime_precision, info.data_type,",
            $schema,
            "info.udt_name AS full_data_type, pg_catalog.pg_get_expr(def.adbin, def.adrelid) AS column_default,
                info.is_nullable, info.is_identity, info.character_maximum_length",
            $description,
            " FROM information_schema.columns info
            JOIN pg_catalog.pg_attribute att ON att.attname = info.column_name
            JOIN (
                SELECT c.oid, c.relname, n.nspname AS namespace
                FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
            ) oid ON oid.oid = att.attrelid AND oid.relname = info.table_name AND oid.namespace = info.table_schema
            LEFT JOIN pg_catalog.pg_attrdef def ON def.adrelid = att.attrelid AND def.adnum = att.attnum
            WHERE oid.namespace = ANY ($1) ORDER BY 1, 2, info.ordinal_position"
        )
    };
}

pub const COLUMNS: [&str; 2] = [
    columns!("", ""),
    columns!(
        "info.udt_schema AS type_schema_name,",
        ", pg_catalog.col_description(att.attrelid, att.attnum) AS description"
    ),
];

macro_rules! foreign_keys {
    ($deferral:literal) => {
        concat!(
            "SELECT con.oid AS con_id, att2.attname AS child_column, cl.relname AS parent_table, att.attname AS parent_column,
                con.confdeltype, con.confupdtype, rn.nspname AS referenced_schema_name, con.conname AS constraint_name,
                con.child, con.parent, con.table_name, con.namespace",
            $deferral,
            " FROM (
                SELECT unnest(k.conkey) AS parent, unnest(k.confkey) AS child, k.oid, k.conname, k.confrelid, k.conrelid,
                    k.confdeltype, k.confupdtype, k.condeferrable, k.condeferred, c.relname AS table_name,
                    n.nspname AS namespace
                FROM pg_catalog.pg_class c JOIN pg_catalog.pg_constraint k ON k.conrelid = c.oid AND k.contype = 'f'
                JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
                WHERE n.nspname = ANY ($1)
            ) con
            JOIN pg_catalog.pg_attribute att ON att.attrelid = con.confrelid AND att.attnum = con.child
            JOIN pg_catalog.pg_class cl ON cl.oid = con.confrelid
            JOIN pg_catalog.pg_namespace rn ON rn.oid = cl.relnamespace
            JOIN pg_catalog.pg_attribute att2 ON att2.attrelid = con.conrelid AND att2.attnum = con.parent
            ORDER BY con.namespace, con.table_name, con.conname, con.oid, con.parent"
        )
    };
}

pub const FOREIGN_KEYS: [&str; 2] =
    [foreign_keys!(""), foreign_keys!(", con.condeferrable, con.condeferred")];

macro_rules! indexes {
    ($more:literal) => {
        concat!(
            "SELECT n.nspname AS namespace, x.relname AS index_name, c.relname AS table_name, a.attname AS column_name,
                i.indisunique AS is_unique, i.indisprimary AS is_primary_key, k.place::int4 - 1 AS column_index,
                o.opcname AS opclass, o.opcdefault, m.amname AS index_algo,
                CASE k.option & 1 WHEN 1 THEN 'DESC' ELSE 'ASC' END AS column_order",
            $more,
            " FROM pg_catalog.pg_index i
            JOIN pg_catalog.pg_class x ON x.oid = i.indexrelid JOIN pg_catalog.pg_class c ON c.oid = i.indrelid
            JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace JOIN pg_catalog.pg_am m ON m.oid = x.relam
            CROSS JOIN LATERAL unnest(i.indkey, i.indoption, i.indclass) WITH ORDINALITY k (attnum, option, class, place)
            LEFT JOIN pg_catalog.pg_constraint q ON q.conindid = i.indexrelid AND q.contype IN ('p', 'u', 'x')
            LEFT JOIN pg_catalog.pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum AND k.attnum > 0
            LEFT JOIN pg_catalog.pg_opclass o ON o.oid = k.class
            WHERE n.nspname = ANY ($1) ORDER BY 1, 3, 2, k.place"
        )
    };
}

pub const INDEXES: [&str; 2] = [
    indexes!(""),
    indexes!(
        ", k.option & 2 = 2 AS nulls_first, coalesce(q.condeferrable, false) AS condeferrable, coalesce(q.condeferred, false) AS condeferred"
    ),
];

pub const FUNCTIONS: &str = "
    SELECT p.proname AS name, n.nspname AS namespace, pg_catalog.pg_get_functiondef(p.oid) AS definition
    FROM pg_catalog.pg_proc p JOIN pg_catalog.pg_namespace n ON n.oid = p.pronamespace
    WHERE n.nspname = ANY ($1) AND p.prokind = 'f'";

pub const EXTENSIONS: &str = "
    SELECT e.extname AS extension_name, e.extversion AS extension_version, e.extrelocatable AS extension_relocatable,
        n.nspname AS extension_schema
    FROM pg_catalog.pg_extension e JOIN pg_catalog.pg_namespace n ON n.oid = e.extnamespace ORDER BY 1";

pub const SEQUENCES: &str = "
    SELECT s.sequencename AS sequence_name, s.schemaname AS namespace, s.start_value, s.min_value, s.max_value,
        s.increment_by, s.cycle, s.cache_size
    FROM pg_catalog.pg_sequences s WHERE s.schemaname = ANY ($1)";

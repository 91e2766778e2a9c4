//! Names and literals in SQL text.

/// A name for SQLite: always in double quotes, embedded ones doubled (spec 03 §12).
#[must_use]
pub fn quote_sqlite(name: &str) -> String {
    wrap(name, '"')
}

/// A name for Postgres: in double quotes only if necessary, like Postgres' own `quote_identifier`. Words that are
/// keywords in any supported release are quoted in all.
#[must_use]
pub fn quote_postgres(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_');
    if plain && POSTGRES_KEYWORDS.binary_search(&name).is_err() { name.to_owned() } else { wrap(name, '"') }
}

/// Whether clients may write the name without quotes: `[A-Za-z_][A-Za-z0-9_]*` (spec 03 §10.3).
#[must_use]
pub fn is_plain_identifier(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// A string literal in either dialect.
pub(crate) fn quote_literal(text: &str) -> String {
    wrap(text, '\'')
}

fn wrap(text: &str, quote: char) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push(quote);
    for c in text.chars() {
        if c == quote {
            out.push(quote);
        }
        out.push(c);
    }
    out.push(quote);
    out
}

/// Keywords that Postgres does not take as a column name unquoted everywhere, so that `quote_identifier` quotes them:
/// all but the unreserved ones of releases 12 to 18. Sorted.
const POSTGRES_KEYWORDS: &[&str] = &[
    "all",
    "analyse",
    "analyze",
    "and",
    "any",
    "array",
    "as",
    "asc",
    "asymmetric",
    "authorization",
    "between",
    "bigint",
    "binary",
    "bit",
    "boolean",
    "both",
    "case",
    "cast",
    "char",
    "character",
    "check",
    "coalesce",
    "collate",
    "collation",
    "column",
    "concurrently",
    "constraint",
    "create",
    "cross",
    "current_catalog",
    "current_date",
    "current_role",
    "current_schema",
    "current_time",
    "current_timestamp",
    "current_user",
    "dec",
    "decimal",
    "default",
    "deferrable",
    "desc",
    "distinct",
    "do",
    "else",
    "end",
    "except",
    "exists",
    "extract",
    "false",
    "fetch",
    "float",
    "for",
    "foreign",
    "freeze",
    "from",
    "full",
    "grant",
    "greatest",
    "group",
    "grouping",
    "having",
    "ilike",
    "in",
    "initially",
    "inner",
    "inout",
    "int",
    "integer",
    "intersect",
    "interval",
    "into",
    "is",
    "isnull",
    "join",
    "json",
    "json_array",
    "json_arrayagg",
    "json_exists",
    "json_object",
    "json_objectagg",
    "json_query",
    "json_scalar",
    "json_serialize",
    "json_table",
    "json_value",
    "lateral",
    "leading",
    "least",
    "left",
    "like",
    "limit",
    "localtime",
    "localtimestamp",
    "merge_action",
    "national",
    "natural",
    "nchar",
    "none",
    "normalize",
    "not",
    "notnull",
    "null",
    "nullif",
    "numeric",
    "offset",
    "on",
    "only",
    "or",
    "order",
    "out",
    "outer",
    "overlaps",
    "overlay",
    "placing",
    "position",
    "precision",
    "primary",
    "real",
    "references",
    "returning",
    "right",
    "row",
    "select",
    "session_user",
    "setof",
    "similar",
    "smallint",
    "some",
    "substring",
    "symmetric",
    "system_user",
    "table",
    "tablesample",
    "then",
    "time",
    "timestamp",
    "to",
    "trailing",
    "treat",
    "trim",
    "true",
    "union",
    "unique",
    "user",
    "using",
    "values",
    "varchar",
    "variadic",
    "verbose",
    "when",
    "where",
    "window",
    "with",
    "xmlattributes",
    "xmlconcat",
    "xmlelement",
    "xmlexists",
    "xmlforest",
    "xmlnamespaces",
    "xmlparse",
    "xmlpi",
    "xmlroot",
    "xmlserialize",
    "xmltable",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keywords_are_sorted() {
        assert!(POSTGRES_KEYWORDS.is_sorted());
    }

    #[test]
    fn quotes_for_postgres_only_when_necessary() {
        for plain in ["items", "_x", "a1_b", "name", "data", "action"] {
            assert_eq!(quote_postgres(plain), plain);
        }
        for quoted in
            ["Items", "my table", "1a", "", "käse", "order", "user", "between", "left", "json_table", "a$"]
        {
            assert_eq!(quote_postgres(quoted), format!("\"{quoted}\""));
        }
        assert_eq!(quote_postgres(r#"a"b"#), r#""a""b""#);
        assert_eq!(quote_sqlite(r#"a"b"#), r#""a""b""#);
        assert_eq!(quote_literal("it's"), "'it''s'");
    }
}

//! Whatever the names are, SQLite accepts what is rendered and understands it as it was meant.

use std::collections::BTreeSet;

use proptest::prelude::*;
use schema::Schema;

use crate::{
    local::sqlite_with,
    support::{TableJson, migrate, table, try_migrate},
};

const TYPES: [(&str, &str); 16] = [
    ("bool", "INTEGER"),
    ("int2", "INTEGER"),
    ("int4", "INTEGER"),
    ("int8", "INTEGER"),
    ("float4", "REAL"),
    ("float8", "REAL"),
    ("text", "TEXT"),
    ("varchar", "TEXT"),
    ("uuid", "TEXT"),
    ("date", "TEXT"),
    ("time(2)", "TEXT(2)"),
    ("timestamp", "TEXT"),
    ("timestamptz", "TEXT"),
    ("timestamptz(6)", "TEXT(6)"),
    ("jsonb", "TEXT_JSON"),
    ("bytea", "BLOB"),
];

#[derive(Debug, Clone)]
struct Case {
    name: String,
    columns: Vec<(String, usize, bool)>,
    key: Vec<usize>,
}

/// Anything that Postgres takes for a name.
fn awkward_name() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-zA-Z_][a-zA-Z0-9_]{0,8}",
        "[ \"'`\\[\\].,;()%$-]{1,5}",
        "order|select|INDEX|rowid|oid",
        "[^\\x00]{1,8}"
    ]
}

fn case() -> impl Strategy<Value = Case> {
    let columns = prop::collection::vec((awkward_name(), 0..TYPES.len(), any::<bool>()), 1..8);
    ("[a-zA-Z][a-zA-Z0-9_]{0,8}", columns, any::<prop::sample::Index>(), any::<prop::sample::Index>())
        .prop_map(|(name, mut columns, first, second)| {
            let mut seen = BTreeSet::new();
            columns.retain(|(name, ..)| seen.insert(name.to_ascii_lowercase()));
            let mut key = vec![first.index(columns.len()), second.index(columns.len())];
            key.dedup();
            Case { name, columns, key }
        })
}

fn build(case: &Case, columns: usize) -> TableJson {
    let name = |i: &usize| case.columns[*i].0.as_str();
    let mut built = table(1, &case.name);
    for (name, ty, not_null) in &case.columns[..columns] {
        built = built.column(name, &format!("{}{}", TYPES[*ty].0, if *not_null { "!" } else { "" }));
    }
    built.key(&case.key.iter().map(name).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn tables_with_awkward_names(case in case()) {
        prop_assume!(!case.name.to_ascii_lowercase().starts_with("sqlite_"));
        // The columns behind the last one of the key are added later.
        let at_first = case.key.iter().max().unwrap() + 1;
        let (first, schema) = migrate(&[&build(&case, at_first)], &Schema::default());
        let breaks = |i: usize| {
            let name = &case.columns[i].0;
            name.contains(['\'', '"', '\n', '\r']) || name.contains("$$") || (name.contains('%') && case.key.contains(&i))
        };
        let held_back = schema.table_named(&case.name).unwrap().held_back.clone();
        prop_assert_eq!(held_back.is_some(), (0..at_first).any(breaks), "{:?}", held_back);
        prop_assume!(held_back.is_none());
        let second = try_migrate(&[&build(&case, case.columns.len())], &schema);
        prop_assert_eq!(second.is_err(), (at_first..case.columns.len()).any(breaks), "{:?}", second);
        prop_assume!(second.is_ok());
        let (second, _) = second.unwrap();
        let db = sqlite_with(&[&first, &second]);

        let mut query = db.prepare("SELECT name, type, \"notnull\", pk FROM pragma_table_info(?1) ORDER BY cid").unwrap();
        let found: Vec<(String, String, bool, i64)> = query
            .query_map([&case.name], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)))
            .unwrap()
            .collect::<Result<_, _>>()
            .unwrap();
        let expected: Vec<(String, String, bool, i64)> = case
            .columns
            .iter()
            .enumerate()
            .map(|(i, (name, ty, not_null))| {
                let place = case.key.iter().position(|k| *k == i).map_or(0, |at| at as i64 + 1);
                let not_null = place > 0 || (*not_null && i < at_first);
                (name.clone(), TYPES[*ty].1.to_owned(), not_null, place)
            })
            .collect();
        prop_assert_eq!(found, expected);
    }
}

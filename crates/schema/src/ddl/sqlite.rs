//! Tables for SQLite clients (spec 03 §8.3).

use super::default;
use crate::{Column, ForeignKey, ForeignKeyAction, Table, identifier::quote_sqlite};

/// Columns in table order, then foreign keys, then the primary key. Ends with a line break.
pub(super) fn create_table(table: &Table) -> String {
    let columns = table.columns.iter().map(|column| {
        let default = default::literal(column).map(|literal| format!(" DEFAULT {}", literal.sqlite()));
        let not_null = if column.not_null { " NOT NULL" } else { "" };
        format!(
            "{} {}{}{not_null}",
            quote_sqlite(&column.name),
            column.sqlite_type(),
            default.unwrap_or_default()
        )
    });
    let mut keys: Vec<&ForeignKey> = table.client_foreign_keys().collect();
    keys.sort_by_cached_key(|fk| (is_deferrable(fk), local_columns(table, fk), fk.name.clone()));
    let foreign_keys = keys.into_iter().map(|fk| {
        format!(
            "CONSTRAINT {} FOREIGN KEY ({}) {}",
            quote_sqlite(&fk.name),
            quoted_list(&local_columns(table, fk)),
            references(fk)
        )
    });
    let key: Vec<&str> =
        table.primary_key.iter().filter_map(|i| table.columns.get(*i)).map(|c| c.name.as_str()).collect();
    let primary_key =
        format!("CONSTRAINT {} PRIMARY KEY ({})", quote_sqlite(&table.primary_key_name), quoted_list(&key));
    let definitions: Vec<String> = columns.chain(foreign_keys).chain([primary_key]).collect();
    format!("CREATE TABLE {} (\n  {}\n);\n", quote_sqlite(&table.name), definitions.join(",\n  "))
}

pub(super) fn drop_table(name: &str) -> String {
    format!("DROP TABLE IF EXISTS {};\n", quote_sqlite(name))
}

/// Until the transaction ends.
pub(super) const DEFER_FOREIGN_KEYS: &str = "PRAGMA defer_foreign_keys = ON;\n";

pub(super) fn drop_index(name: &str) -> String {
    format!("DROP INDEX IF EXISTS {};\n", quote_sqlite(name))
}

pub(super) fn add_column(table: &Table, column: &Column, foreign_key: Option<&ForeignKey>) -> String {
    let foreign_key = foreign_key
        .map_or_else(String::new, |fk| format!(" CONSTRAINT {} {}", quote_sqlite(&fk.name), references(fk)));
    format!(
        "ALTER TABLE {} ADD COLUMN {} {}{foreign_key};\n",
        quote_sqlite(&table.name),
        quote_sqlite(&column.name),
        column.sqlite_type()
    )
}

fn references(fk: &ForeignKey) -> String {
    format!(
        "REFERENCES {} ({}){}{}",
        quote_sqlite(&fk.referenced_table),
        quoted_list(&fk.referenced_columns),
        action(" ON DELETE", fk.on_delete),
        action(" ON UPDATE", fk.on_update)
    )
}

fn action(event: &str, action: ForeignKeyAction) -> String {
    let action = match action {
        ForeignKeyAction::NoAction => return String::new(),
        ForeignKeyAction::Restrict => "RESTRICT",
        ForeignKeyAction::Cascade => "CASCADE",
        ForeignKeyAction::SetNull => "SET NULL",
        ForeignKeyAction::SetDefault => "SET DEFAULT",
    };
    format!("{event} {action}")
}

fn local_columns(table: &Table, fk: &ForeignKey) -> Vec<String> {
    fk.columns.iter().filter_map(|i| table.columns.get(*i)).map(|c| c.name.clone()).collect()
}

fn quoted_list(names: &[impl AsRef<str>]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| quote_sqlite(name.as_ref())).collect();
    quoted.join(", ")
}

/// Postgres prints `DEFERRABLE` behind the actions and before the validity; what comes before ends with `)` or with an
/// action, so that a name can't be mistaken for it.
fn is_deferrable(fk: &ForeignKey) -> bool {
    let mut rest = fk.definition.trim_end();
    for suffix in [" NOT ENFORCED", " NOT VALID", " INITIALLY DEFERRED"] {
        rest = rest.strip_suffix(suffix).unwrap_or(rest);
    }
    rest.ends_with(" DEFERRABLE")
}

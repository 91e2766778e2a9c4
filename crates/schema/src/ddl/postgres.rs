//! Tables and types for Postgres clients, as the catalogue functions would print them (spec 03 §8.2).

use super::default;
use crate::{
    Column, EnumType, ForeignKey, Table,
    identifier::{quote_literal, quote_postgres},
};

/// Four spaces of indent, the primary key before the foreign keys, these by name. No `;` and no line break at the end.
pub(super) fn create_table(table: &Table, deferred: impl Fn(&ForeignKey) -> bool) -> String {
    let columns = table.columns.iter().map(|column| {
        let default = default::literal(column).map(|literal| format!(" DEFAULT {}", literal.postgres()));
        let not_null = if column.not_null { " NOT NULL" } else { "" };
        format!("{}{}{not_null}", definition(column), default.unwrap_or_default())
    });
    let key: Vec<String> = table
        .primary_key
        .iter()
        .filter_map(|i| table.columns.get(*i))
        .map(|c| quote_postgres(&c.name))
        .collect();
    let primary_key =
        format!("CONSTRAINT {} PRIMARY KEY ({})", quote_postgres(&table.primary_key_name), key.join(", "));
    let foreign_keys = table.client_foreign_keys().filter(|fk| !deferred(fk)).map(constraint);
    let definitions: Vec<String> = columns.chain([primary_key]).chain(foreign_keys).collect();
    format!("CREATE TABLE {} (\n    {}\n)", quote_postgres(&table.name), definitions.join(",\n    "))
}

pub(super) fn add_column(table: &Table, column: &Column, foreign_key: Option<&ForeignKey>) -> String {
    let inline = foreign_key.and_then(|fk| {
        let prefix = format!("FOREIGN KEY ({}) ", quote_postgres(&column.name));
        let references = fk.definition.strip_prefix(&prefix)?;
        Some(format!(" CONSTRAINT {} {references}", quote_postgres(&fk.name)))
    });
    format!(
        "ALTER TABLE {} ADD COLUMN {}{}",
        quote_postgres(&table.name),
        definition(column),
        inline.unwrap_or_default()
    )
}

pub(super) fn add_foreign_key(table: &Table, fk: &ForeignKey) -> String {
    format!("ALTER TABLE {} ADD {}", quote_postgres(&table.name), constraint(fk))
}

pub(super) fn drop_table(name: &str) -> String {
    format!("DROP TABLE IF EXISTS {} CASCADE", quote_postgres(name))
}

pub(super) fn drop_index(name: &str) -> String {
    format!("DROP INDEX IF EXISTS {}", quote_postgres(name))
}

/// One after the other, so that each may be placed before a label that is there by then.
pub(super) fn add_labels(old: &EnumType, new: &EnumType) -> Vec<String> {
    let is_new = |label: &&String| !old.labels.contains(label);
    let statement = |(at, label): (usize, &String)| {
        let next = new.labels.iter().skip(at + 1).find(|label| !is_new(label));
        let place = next.map_or_else(String::new, |next| format!(" BEFORE {}", quote_literal(next)));
        format!("ALTER TYPE {} ADD VALUE {}{place}", enum_name(new), quote_literal(label))
    };
    new.labels.iter().enumerate().filter(|(_, label)| is_new(label)).map(statement).collect()
}

pub(super) fn drop_enum(ty: &EnumType) -> String {
    format!("DROP TYPE IF EXISTS {} CASCADE", enum_name(ty))
}

pub(super) fn create_enum(ty: &EnumType) -> String {
    let labels: Vec<String> = ty.labels.iter().map(|label| format!("\n {}", quote_literal(label))).collect();
    format!("CREATE TYPE {} AS ENUM ({}\n)", enum_name(ty), labels.join(","))
}

fn definition(column: &Column) -> String {
    let ty = column.ty.as_enum().map_or_else(|| column.postgres_type().to_owned(), |ty| enum_name(ty));
    let collation = column.collation.as_ref().map_or_else(String::new, |name| format!(" COLLATE {name}"));
    format!("{} {ty}{collation}", quote_postgres(&column.name))
}

fn constraint(fk: &ForeignKey) -> String {
    format!("CONSTRAINT {} {}", quote_postgres(&fk.name), fk.definition)
}

/// The model joins schema and name with a dot, which a bare name hardly ever has.
fn enum_name(ty: &EnumType) -> String {
    match ty.name.split_once('.') {
        Some((schema, name)) => format!("{}.{}", quote_postgres(schema), quote_postgres(name)),
        None => quote_postgres(&ty.name),
    }
}

//! References to columns: `this.column` and nothing else (spec 06 §3.2).

use schema::{Column, ColumnType, Table};

use super::{ClauseError, Type, error::excerpt};

/// The place and the type of the column that is meant.
///
/// # Errors
/// There is none of that name; the message says what to write if only `this.` is missing.
pub(super) fn resolve(at: usize, names: &[Box<str>], table: &Table) -> Result<(usize, Type), ClauseError> {
    let find = |name: &str| table.columns.iter().position(|c| c.name == name);
    let found = match names {
        [this, column] if &**this == "this" => find(column),
        _ => None,
    };
    if let Some((place, column)) = found.and_then(|place| Some((place, table.columns.get(place)?))) {
        return Ok((place, type_of(column)));
    }
    let mut message = format!("unknown reference {}", display(names));
    if let [name] = names
        && find(name).is_some()
    {
        message += &format!(" - did you mean `this.{}`?", written(name));
    }
    Err(ClauseError::at(at, message))
}

/// A reference as messages show it.
pub(super) fn display(names: &[Box<str>]) -> String {
    excerpt(&names.join("."))
}

/// An identifier as it has to be written.
fn written(name: &str) -> String {
    let plain = |c: char| c.is_ascii_lowercase() || c == '_' || c.is_ascii_digit();
    if name.chars().all(plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn type_of(column: &Column) -> Type {
    match &column.ty {
        ColumnType::Bool => Type::Bool,
        ColumnType::Int2 => Type::Int2,
        ColumnType::Int4 => Type::Int4,
        ColumnType::Int8 => Type::Int8,
        ColumnType::Float4 => Type::Float4,
        ColumnType::Float8 => Type::Float8,
        ColumnType::Text => Type::Text,
        ColumnType::Varchar => Type::Varchar,
        ColumnType::Bpchar => Type::Bpchar,
        ColumnType::Numeric => Type::Numeric,
        ColumnType::Uuid => Type::Uuid,
        ColumnType::Date => Type::Date,
        ColumnType::Time => Type::Time,
        ColumnType::Timestamp => Type::Timestamp,
        ColumnType::Timestamptz => Type::Timestamptz,
        ColumnType::Jsonb => Type::Jsonb,
        ColumnType::Bytea => Type::Bytea,
        ColumnType::Enum(ty) => Type::Enum(ty.clone()),
        ColumnType::Citext => Type::Other("citext"),
        ColumnType::Timetz => Type::Other("timetz"),
        ColumnType::Interval => Type::Other("interval"),
        ColumnType::Json => Type::Other("json"),
        ColumnType::Inet => Type::Other("inet"),
        ColumnType::Cidr => Type::Other("cidr"),
    }
}

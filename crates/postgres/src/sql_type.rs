//! The types of columns, as SQL that does not depend on the search path.

use std::borrow::Cow;

use schema::{Column, ColumnType};

/// The type to cast to, without modifiers: an explicit cast to `varchar(3)` would cut silently.
pub(crate) fn cast(column: &Column) -> Cow<'_, str> {
    Cow::Borrowed(match &column.ty {
        ColumnType::Bool => "bool",
        ColumnType::Int2 => "int2",
        ColumnType::Int4 => "int4",
        ColumnType::Int8 => "int8",
        ColumnType::Float4 => "float4",
        ColumnType::Float8 => "float8",
        ColumnType::Text => "text",
        ColumnType::Varchar => "varchar",
        ColumnType::Uuid => "uuid",
        ColumnType::Date => "date",
        ColumnType::Time => "time",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Timestamptz => "timestamptz",
        ColumnType::Jsonb => "jsonb",
        ColumnType::Bytea => "bytea",
        ColumnType::Enum(_) => return full_cast(column),
    })
}

/// The type with its modifiers. The catalogue prints a type of schema `public` bare; what the session's search path
/// would make of that is nothing to rely on.
pub(crate) fn full_cast(column: &Column) -> Cow<'_, str> {
    let outside_quotes = column.sql_type.split('"').step_by(2);
    match &column.ty {
        ColumnType::Enum(_) if !outside_quotes.clone().any(|part| part.contains('.')) => {
            Cow::Owned(format!("public.{}", column.sql_type))
        }
        _ => Cow::Borrowed(&column.sql_type),
    }
}

//! The types of columns, as SQL that does not depend on the search path.

use std::borrow::Cow;

use schema::{Column, ColumnType};

/// The type to cast to, without modifiers: an explicit cast to `varchar(3)` would cut silently, while assignment to the
/// column refuses. For a domain it is what it is a domain over; assignment checks the domain's constraints.
pub(crate) fn cast(column: &Column) -> Cow<'_, str> {
    Cow::Borrowed(match &column.ty {
        ColumnType::Bool => "bool",
        ColumnType::Int2 => "int2",
        ColumnType::Int4 => "int4",
        ColumnType::Int8 => "int8",
        ColumnType::Float4 => "float4",
        ColumnType::Float8 => "float8",
        ColumnType::Numeric => "numeric",
        // The extension may be in any schema, and text becomes citext by assignment.
        ColumnType::Text | ColumnType::Citext => "text",
        ColumnType::Varchar => "varchar",
        ColumnType::Bpchar => "bpchar",
        ColumnType::Uuid => "uuid",
        ColumnType::Date => "date",
        ColumnType::Time => "time",
        ColumnType::Timetz => "timetz",
        ColumnType::Timestamp => "timestamp",
        ColumnType::Timestamptz => "timestamptz",
        ColumnType::Interval => "interval",
        ColumnType::Json => "json",
        ColumnType::Jsonb => "jsonb",
        ColumnType::Bytea => "bytea",
        ColumnType::Inet => "inet",
        ColumnType::Cidr => "cidr",
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
        ColumnType::Citext => Cow::Borrowed("text"),
        _ => Cow::Borrowed(&column.sql_type),
    }
}

/// A value of a column as its type's output function prints it, which is what replication sends. The cast to text says the
/// same for all types but these.
pub(crate) fn printed(value: &str, column: &Column) -> String {
    match column.ty {
        ColumnType::Bool => format!("textin(boolout({value}))"),
        ColumnType::Bpchar => format!("textin(bpcharout({value}))"),
        ColumnType::Inet => format!("textin(inet_out({value}))"),
        ColumnType::Cidr => format!("textin(cidr_out({value}))"),
        _ => format!("{value}::text"),
    }
}

//! The column types and their names in the catalogue, on the wire and in SQLite (spec 03 §2.1).

use std::sync::Arc;

use crate::{Column, ColumnType, EnumType};

impl ColumnType {
    /// A base type by its name in `pg_catalog`; `None` for one that can't be synced.
    #[must_use]
    pub fn from_typname(name: &str) -> Option<ColumnType> {
        Some(match name {
            "bool" => ColumnType::Bool,
            "int2" => ColumnType::Int2,
            "int4" => ColumnType::Int4,
            "int8" => ColumnType::Int8,
            "float4" => ColumnType::Float4,
            "float8" => ColumnType::Float8,
            "text" => ColumnType::Text,
            "varchar" => ColumnType::Varchar,
            "uuid" => ColumnType::Uuid,
            "date" => ColumnType::Date,
            "time" => ColumnType::Time,
            "timestamp" => ColumnType::Timestamp,
            "timestamptz" => ColumnType::Timestamptz,
            "jsonb" => ColumnType::Jsonb,
            "bytea" => ColumnType::Bytea,
            _ => return None,
        })
    }

    /// The name that relations and `pg_type` carry: the internal one, or the enumeration's (spec 03 §5.2).
    #[must_use]
    pub fn type_name(&self) -> &str {
        match self {
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
            ColumnType::Enum(ty) => &ty.name,
        }
    }

    /// The declared type in SQLite, without modifiers.
    #[must_use]
    pub fn sqlite_name(&self) -> &'static str {
        match self {
            ColumnType::Bool | ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8 => "INTEGER",
            ColumnType::Float4 | ColumnType::Float8 => "REAL",
            ColumnType::Jsonb => "TEXT_JSON",
            ColumnType::Bytea => "BLOB",
            ColumnType::Text
            | ColumnType::Varchar
            | ColumnType::Uuid
            | ColumnType::Date
            | ColumnType::Time
            | ColumnType::Timestamp
            | ColumnType::Timestamptz
            | ColumnType::Enum(_) => "TEXT",
        }
    }

    /// The enumeration, if it is one.
    #[must_use]
    pub fn as_enum(&self) -> Option<&Arc<EnumType>> {
        match self {
            ColumnType::Enum(ty) => Some(ty),
            _ => None,
        }
    }

    /// Whether every value has one text form wherever it is written, so that it is safe in a key (spec 03 §11.4).
    pub(crate) fn is_canonical(&self) -> bool {
        matches!(
            self,
            ColumnType::Uuid
                | ColumnType::Text
                | ColumnType::Varchar
                | ColumnType::Int2
                | ColumnType::Int4
                | ColumnType::Int8
                | ColumnType::Date
                | ColumnType::Enum(_)
        )
    }
}

impl Column {
    /// The declared type in SQLite: `TEXT`, `TEXT(3)`.
    #[must_use]
    pub fn sqlite_type(&self) -> String {
        let name = self.ty.sqlite_name();
        if self.modifiers.is_empty() {
            return name.to_owned();
        }
        let modifiers: Vec<String> = self.modifiers.iter().map(ToString::to_string).collect();
        format!("{name}({})", modifiers.join(", "))
    }
}

impl EnumType {
    /// Schema and name of the type; an enumeration of schema `public` has a bare name.
    pub(crate) fn schema_and_name(schema: &str, name: &str) -> String {
        if schema == "public" { name.to_owned() } else { format!("{schema}.{name}") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_base_types_round_trip() {
        let names =
            "bool int2 int4 int8 float4 float8 text varchar uuid date time timestamp timestamptz jsonb bytea";
        for name in names.split(' ') {
            assert_eq!(ColumnType::from_typname(name).unwrap().type_name(), name);
        }
        for name in
            ["json", "numeric", "bpchar", "char", "timetz", "interval", "_int4", "name", "oid", "TEXT", ""]
        {
            assert_eq!(ColumnType::from_typname(name), None, "{name}");
        }
    }
}

//! The column types and their names in the catalogue, on the wire and in clients' databases (spec 03 §2.1).

use std::sync::Arc;

use crate::{Column, ColumnType, EnumType};

/// Every type that has a name of its own, with its name in the catalogue.
const BASE_TYPES: [(&str, ColumnType); 23] = [
    ("bool", ColumnType::Bool),
    ("int2", ColumnType::Int2),
    ("int4", ColumnType::Int4),
    ("int8", ColumnType::Int8),
    ("float4", ColumnType::Float4),
    ("float8", ColumnType::Float8),
    ("numeric", ColumnType::Numeric),
    ("text", ColumnType::Text),
    ("varchar", ColumnType::Varchar),
    ("bpchar", ColumnType::Bpchar),
    ("citext", ColumnType::Citext),
    ("uuid", ColumnType::Uuid),
    ("date", ColumnType::Date),
    ("time", ColumnType::Time),
    ("timetz", ColumnType::Timetz),
    ("timestamp", ColumnType::Timestamp),
    ("timestamptz", ColumnType::Timestamptz),
    ("interval", ColumnType::Interval),
    ("json", ColumnType::Json),
    ("jsonb", ColumnType::Jsonb),
    ("bytea", ColumnType::Bytea),
    ("inet", ColumnType::Inet),
    ("cidr", ColumnType::Cidr),
];

impl ColumnType {
    /// A base type by its internal name; `None` for one that can't be synced.
    #[must_use]
    pub fn from_typname(name: &str) -> Option<ColumnType> {
        BASE_TYPES.iter().find(|(known, _)| *known == name).map(|(_, ty)| ty.clone())
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
            ColumnType::Numeric => "numeric",
            ColumnType::Text => "text",
            ColumnType::Varchar => "varchar",
            ColumnType::Bpchar => "bpchar",
            ColumnType::Citext => "citext",
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
            ColumnType::Enum(ty) => &ty.name,
        }
    }

    /// The declared type in SQLite, without modifiers. Its affinity must leave values as they are: `numeric` is text there,
    /// which is exact, and no name may hold the letters `INT`.
    #[must_use]
    pub fn sqlite_name(&self) -> &'static str {
        match self {
            ColumnType::Bool | ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8 => "INTEGER",
            ColumnType::Float4 | ColumnType::Float8 => "REAL",
            ColumnType::Json | ColumnType::Jsonb => "TEXT_JSON",
            ColumnType::Bytea => "BLOB",
            ColumnType::Numeric
            | ColumnType::Text
            | ColumnType::Varchar
            | ColumnType::Bpchar
            | ColumnType::Citext
            | ColumnType::Uuid
            | ColumnType::Date
            | ColumnType::Time
            | ColumnType::Timetz
            | ColumnType::Timestamp
            | ColumnType::Timestamptz
            | ColumnType::Interval
            | ColumnType::Inet
            | ColumnType::Cidr
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

    /// What clients are told of a modifier as the catalogue stores it. `None` if the type has none.
    pub(crate) fn modifiers(&self, typmod: i32) -> Option<Vec<i32>> {
        /// Postgres counts a length word in.
        const HEADER: i32 = 4;
        if typmod < 0 {
            return Some(Vec::new());
        }
        match self {
            ColumnType::Time | ColumnType::Timetz | ColumnType::Timestamp | ColumnType::Timestamptz => {
                Some(vec![typmod])
            }
            ColumnType::Varchar | ColumnType::Bpchar => Some(vec![typmod - HEADER]),
            ColumnType::Numeric => {
                let packed = typmod - HEADER;
                // The scale has eleven bits, the first of them for the sign.
                let scale = ((packed & 0x7FF) ^ 0x400) - 0x400;
                Some(vec![(packed >> 16) & 0xFFFF, scale])
            }
            // Which fields it has stands above its precision, all bits of which are set if it has none.
            ColumnType::Interval => Some(match typmod & 0xFFFF {
                0xFFFF => Vec::new(),
                precision => vec![precision],
            }),
            _ => None,
        }
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

    /// The type for Postgres clients, which a bare Postgres has: enumerations apart, those come with the migrations.
    ///
    /// `citext` is an extension. `timetz` is text because the client writes such values without their offset, which a column of
    /// that type would take for the session's own. `json` is `jsonb`, as which the client logs it anyway: the client's own code
    /// compares columns, and `json` has no equality.
    #[must_use]
    pub fn postgres_type(&self) -> &str {
        match self.ty {
            ColumnType::Citext | ColumnType::Timetz => "text",
            ColumnType::Json => "jsonb",
            _ => &self.sql_type,
        }
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
        for (name, ty) in BASE_TYPES {
            assert_eq!(ColumnType::from_typname(name), Some(ty.clone()));
            assert_eq!(ty.type_name(), name);
        }
        for name in ["char", "_int4", "name", "oid", "money", "xml", "bit", "macaddr", "TEXT", ""] {
            assert_eq!(ColumnType::from_typname(name), None, "{name}");
        }
    }

    #[test]
    fn sqlite_takes_no_name_for_another_kind() {
        for (name, ty) in BASE_TYPES {
            let declared = ty.sqlite_name();
            assert_eq!(declared.contains("INT"), matches!(name, "bool" | "int2" | "int4" | "int8"), "{name}");
        }
    }

    #[test]
    fn modifiers_are_unpacked() {
        for (ty, typmod, expected) in [
            (ColumnType::Varchar, 24, Some(vec![20])),
            (ColumnType::Bpchar, 5, Some(vec![1])),
            (ColumnType::Numeric, 655_366, Some(vec![10, 2])),
            (ColumnType::Numeric, -1, Some(vec![])),
            // numeric(2,-3) and numeric(3,5)
            (ColumnType::Numeric, 133_121, Some(vec![2, -3])),
            (ColumnType::Numeric, 196_617, Some(vec![3, 5])),
            (ColumnType::Interval, 2_147_418_115, Some(vec![3])),
            // interval year to month
            (ColumnType::Interval, 458_751, Some(vec![])),
            (ColumnType::Timetz, 0, Some(vec![0])),
            (ColumnType::Text, 7, None),
        ] {
            assert_eq!(ty.modifiers(typmod), expected, "{ty:?} {typmod}");
        }
    }
}

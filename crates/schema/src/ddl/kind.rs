//! Kinds of value, as far as the difference between Postgres and SQLite goes.

use crate::ColumnType;

/// What an expression gives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Real,
    /// An exact number, which SQLite has as text.
    Decimal,
    Text,
    Uuid,
    Enum,
    Date,
    /// Times and timestamps, whose texts differ between client and server in small ways.
    Moment(&'static str),
    Json,
    Blob,
    /// A constant that takes the type of what it meets.
    Literal,
    /// Unknown, or of a type whose texts alone don't say what is equal.
    Other,
}

impl Kind {
    pub(super) fn of_column(ty: &ColumnType) -> Kind {
        match ty {
            ColumnType::Enum(_) => Kind::Enum,
            ColumnType::Numeric => Kind::Decimal,
            ColumnType::Bpchar
            | ColumnType::Citext
            | ColumnType::Interval
            | ColumnType::Inet
            | ColumnType::Cidr => Kind::Other,
            ty => Kind::of_type_name(ty.type_name()),
        }
    }

    /// By any of a type's names, with or without modifiers. A name that is no base type is taken for an enumeration.
    pub(super) fn of_type_name(name: &str) -> Kind {
        let name = name.to_ascii_lowercase();
        let name = name.strip_prefix("pg_catalog.").unwrap_or(&name);
        if name.contains('[') {
            return Kind::Json;
        }
        let base = match (name.split_once('('), name.split_once(')')) {
            (Some((before, _)), Some((_, after))) => format!("{before}{after}"),
            _ => name.to_owned(),
        };
        match base.as_str() {
            "bool" | "boolean" => Kind::Bool,
            "int2" | "int4" | "int8" | "smallint" | "integer" | "int" | "bigint" => Kind::Int,
            "float4" | "float8" | "real" | "double precision" | "double" | "float" => Kind::Real,
            "numeric" | "decimal" | "dec" | "money" => Kind::Real,
            "text" | "varchar" | "character varying" | "bpchar" | "char" | "character" => Kind::Text,
            "uuid" => Kind::Uuid,
            "date" => Kind::Date,
            "time" | "time without time zone" => Kind::Moment("time"),
            "timetz" | "time with time zone" => Kind::Moment("timetz"),
            "timestamp" | "timestamp without time zone" => Kind::Moment("timestamp"),
            "timestamptz" | "timestamp with time zone" => Kind::Moment("timestamptz"),
            "json" | "jsonb" => Kind::Json,
            "bytea" => Kind::Blob,
            _ => Kind::Enum,
        }
    }

    /// What a cast to it names in SQLite.
    pub(super) fn sqlite_type(self) -> &'static str {
        match self {
            Kind::Bool | Kind::Int => "INTEGER",
            Kind::Real => "REAL",
            Kind::Json => "TEXT_JSON",
            Kind::Blob => "BLOB",
            Kind::Text
            | Kind::Decimal
            | Kind::Uuid
            | Kind::Enum
            | Kind::Date
            | Kind::Moment(_)
            | Kind::Literal
            | Kind::Other => "TEXT",
        }
    }

    pub(super) fn is_number(self) -> bool {
        matches!(self, Kind::Int | Kind::Real)
    }

    /// Whether both print a value of this kind alike.
    pub(super) fn has_same_text(self) -> bool {
        matches!(self, Kind::Int | Kind::Text | Kind::Uuid | Kind::Enum | Kind::Date | Kind::Literal)
    }

    /// Whether both give the same answer when such a value is compared with one of the `other` kind.
    pub(super) fn compares_alike(self, other: Kind, ordered: bool) -> bool {
        let one_kind = self == other || (self.is_number() && other.is_number());
        let kind = match (self, other) {
            (Kind::Literal, kind) | (kind, Kind::Literal) => kind,
            (kind, _) if one_kind => kind,
            _ => return false,
        };
        match kind {
            Kind::Bool | Kind::Int | Kind::Real | Kind::Uuid => true,
            // The order of texts is a matter of collation, that of enumerations of their labels' order.
            Kind::Text | Kind::Enum | Kind::Date | Kind::Blob | Kind::Literal => !ordered,
            Kind::Moment(_) | Kind::Json | Kind::Decimal | Kind::Other => false,
        }
    }

    /// Whether a cast from this kind gives the same in both.
    pub(super) fn casts_alike(self, target: Kind) -> bool {
        (target == Kind::Text && self.has_same_text()) || (self == Kind::Bool && target == Kind::Int)
    }
}

//! Keys: which operations are on one row.

use std::borrow::Cow;

use bytes::Bytes;
use schema::{Column, ColumnType, Table};

/// A row's key, in the order of the constraint, as the text that Postgres prints for it.
pub type Key = Vec<Bytes>;

/// Whether equal values of the column can have texts that only Postgres can tell to be equal.
fn needs_postgres(column: &Column) -> bool {
    match &column.ty {
        // It cuts spaces that are too many.
        ColumnType::Varchar => !column.modifiers.is_empty(),
        ColumnType::Bool
        | ColumnType::Int2
        | ColumnType::Int4
        | ColumnType::Int8
        | ColumnType::Text
        | ColumnType::Uuid
        | ColumnType::Bytea
        | ColumnType::Enum(_) => false,
        ColumnType::Float4
        | ColumnType::Float8
        | ColumnType::Date
        | ColumnType::Time
        | ColumnType::Timestamp
        | ColumnType::Timestamptz
        | ColumnType::Jsonb => true,
        // No keys are made of these (docs/types.md).
        ColumnType::Numeric
        | ColumnType::Bpchar
        | ColumnType::Citext
        | ColumnType::Timetz
        | ColumnType::Interval
        | ColumnType::Json
        | ColumnType::Inet
        | ColumnType::Cidr => true,
    }
}

/// Whether Postgres has to be asked for the canonical text of the table's keys.
pub fn ask_postgres(table: &Table) -> bool {
    table.primary_key.iter().filter_map(|column| table.columns.get(*column)).any(needs_postgres)
}

/// The one text for all spellings of a key value: `+5` and `05` are `5`. What is not understood is left as it is, for
/// Postgres to judge.
pub fn canonical(value: &Bytes, ty: &ColumnType) -> Bytes {
    match ty {
        ColumnType::Int2 | ColumnType::Int4 | ColumnType::Int8 => {
            let number = std::str::from_utf8(value).ok().and_then(|text| text.trim().parse::<i64>().ok());
            number.map_or_else(|| value.clone(), |number| keep(value, number.to_string().into_bytes().into()))
        }
        ColumnType::Uuid | ColumnType::Bytea => keep(value, value.to_ascii_lowercase().into()),
        ColumnType::Bool => match value.to_ascii_lowercase().as_slice() {
            b"t" | b"true" => Bytes::from_static(b"t"),
            b"f" | b"false" => Bytes::from_static(b"f"),
            _ => value.clone(),
        },
        _ => value.clone(),
    }
}

/// `value` itself where it is canonical already, to share its buffer.
fn keep(value: &Bytes, canonical: Cow<'_, [u8]>) -> Bytes {
    if *value == *canonical { value.clone() } else { Bytes::from(canonical.into_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_key_are_one() {
        let of = |text: &'static str, ty: &ColumnType| canonical(&Bytes::from_static(text.as_bytes()), ty);
        for text in ["5", "+5", "005", " 5 "] {
            assert_eq!(of(text, &ColumnType::Int4), "5", "{text:?}");
        }
        assert_eq!(of("-0", &ColumnType::Int8), "0");
        assert_eq!(of("-9223372036854775808", &ColumnType::Int8), "-9223372036854775808");
        assert_eq!(of("99999999999999999999", &ColumnType::Int8), "99999999999999999999");
        assert_eq!(of("A0EE", &ColumnType::Uuid), "a0ee");
        assert_eq!(of("\\xAB", &ColumnType::Bytea), "\\xab");
        assert_eq!(of("TRUE", &ColumnType::Bool), "t");
        assert_eq!(of("+5", &ColumnType::Text), "+5");
    }
}

//! Values from clients: what is accepted for each type, and how it becomes Postgres text (spec 03 §3, §6.2).

mod character;
mod float;
mod integer;
mod json;
mod numeric;
mod temporal;

use bytes::Bytes;
use schema::{Column, ColumnType};

/// A value is refused. The text goes to the client that sent the value, which it may quote; it must not be logged.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Refusal(pub(crate) String);

/// Longest part of a value, in characters, that a refusal quotes.
const QUOTE_LEN: usize = 200;

/// Checks one value that is not NULL.
pub(crate) fn check(column: &Column, value: &[u8]) -> Result<(), Refusal> {
    if let ColumnType::Bytea = column.ty {
        return Ok(());
    }
    let name = column.ty.type_name();
    let text = text(name, value)?;
    match &column.ty {
        // Postgres itself judges intervals and addresses, of which it takes more spellings than are worth knowing here: what it
        // refuses is told to the author alone.
        ColumnType::Bytea
        | ColumnType::Text
        | ColumnType::Citext
        | ColumnType::Interval
        | ColumnType::Inet
        | ColumnType::Cidr => Ok(()),
        ColumnType::Varchar | ColumnType::Bpchar => character::check(name, text, &column.modifiers),
        ColumnType::Bool if matches!(text, "t" | "f" | "1" | "0") => Ok(()),
        ColumnType::Bool => Err(unexpected(name, text)),
        ColumnType::Int2 => integer::check(name, text, i16::MIN.into(), i16::MAX.into()),
        ColumnType::Int4 => integer::check(name, text, i32::MIN.into(), i32::MAX.into()),
        ColumnType::Int8 => integer::check(name, text, i64::MIN, i64::MAX),
        ColumnType::Float4 => float::check_float4(text),
        ColumnType::Float8 => float::check_float8(text),
        ColumnType::Numeric => numeric::check(text, &column.modifiers),
        ColumnType::Uuid if is_uuid(text.as_bytes()) => Ok(()),
        ColumnType::Uuid => Err(unexpected(name, text)),
        ColumnType::Date => temporal::check_date(text),
        ColumnType::Time => temporal::check_time(text),
        ColumnType::Timetz => temporal::check_timetz(text),
        ColumnType::Timestamp => temporal::check_timestamp(text),
        ColumnType::Timestamptz => temporal::check_timestamptz(text),
        ColumnType::Json | ColumnType::Jsonb => json::check(text)
            .map_err(|detail| Refusal(format!("Invalid JSON found in {name} column: {detail}"))),
        ColumnType::Enum(ty) if ty.labels.iter().any(|label| label == text) => Ok(()),
        ColumnType::Enum(_) => {
            Err(Refusal(format!("Unexpected value {} for enum type {name}", inspect(text))))
        }
    }
}

/// Checks what holds for every value, also for one that is passed through unchanged: whatever travels as text is UTF-8
/// without U+0000, which Postgres can't hold (spec 03 §3.5).
pub(crate) fn check_text(column: &Column, value: &[u8]) -> Result<(), Refusal> {
    match column.ty {
        ColumnType::Bytea => Ok(()),
        _ => text(column.ty.type_name(), value).map(drop),
    }
}

/// The value as Postgres text. Undoes what encoding for clients does, so that a value that comes back unchanged is
/// the text that Postgres printed; values of one text compare equal. Does not check.
pub(crate) fn to_postgres(ty: &ColumnType, value: Bytes) -> Bytes {
    match (ty, &value[..]) {
        (ColumnType::Bool, b"1") => Bytes::from_static(b"t"),
        (ColumnType::Bool, b"0") => Bytes::from_static(b"f"),
        (ColumnType::Uuid, text) if text.iter().any(u8::is_ascii_uppercase) => {
            text.to_ascii_lowercase().into()
        }
        (ColumnType::Timetz, text) => temporal::timetz_to_postgres(text).map_or(value, Bytes::from),
        (ColumnType::Timestamptz, [local @ .., b'Z']) => [local, b"+00"].concat().into(),
        (ColumnType::Bytea, bytes) => hex(bytes).into(),
        _ => value,
    }
}

fn text<'a>(type_name: &str, value: &'a [u8]) -> Result<&'a str, Refusal> {
    match std::str::from_utf8(value) {
        Ok(text) if !text.contains('\0') => Ok(text),
        Ok(_) => {
            Err(Refusal(format!("Value for {type_name} column holds U+0000, which Postgres can't store")))
        }
        Err(_) => Err(Refusal(format!("Value for {type_name} column is not valid UTF-8"))),
    }
}

fn hex(bytes: &[u8]) -> Vec<u8> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = Vec::with_capacity(2 + 2 * bytes.len());
    text.extend(b"\\x");
    for byte in bytes {
        text.extend([DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 0xF)]]);
    }
    text
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(i, byte)| match i {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_hexdigit(),
        })
}

fn unexpected(type_name: &str, value: &str) -> Refusal {
    Refusal(format!("Unexpected value for {type_name} column: {}", inspect(value)))
}

/// The value in double quotes with escapes, cut if it is long.
fn inspect(value: &str) -> String {
    let mut quoted = String::from("\"");
    for c in value.chars().take(QUOTE_LEN) {
        match c {
            '"' => quoted.push_str("\\\""),
            c if c.is_control() || c == '\\' => quoted.extend(c.escape_default()),
            c => quoted.push(c),
        }
    }
    quoted.push_str(if value.chars().nth(QUOTE_LEN).is_some() { "…\"" } else { "\"" });
    quoted
}

/// The value without quotes, cut if it is long.
fn bare(value: &str) -> String {
    match value.char_indices().nth(QUOTE_LEN) {
        None => value.to_owned(),
        Some((end, _)) => format!("{}…", &value[..end]),
    }
}

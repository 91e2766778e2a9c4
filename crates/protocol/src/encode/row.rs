//! `SatOpRow`: the null bitmask and one value per column (spec 02 §8.3, 03 §4).

use schema::{Column, ColumnType, Table};

use super::{EncodeError, put};

/// How a column's Postgres text becomes its wire value (spec 03 §3.1).
#[derive(Clone, Copy)]
enum Wire {
    Same,
    /// A trailing `+00` becomes `Z`; whatever ends otherwise (`infinity`, `… BC`) stays.
    Timestamptz,
    /// The client takes the first `+00` out, wherever it stands: an offset of less than an hour is written `+0:30`.
    Timetz,
    /// `\x` and hex digits become bytes.
    Bytea,
}

impl Wire {
    fn of(column: &Column) -> Wire {
        match column.ty {
            ColumnType::Timestamptz => Wire::Timestamptz,
            ColumnType::Timetz => Wire::Timetz,
            ColumnType::Bytea => Wire::Bytea,
            _ => Wire::Same,
        }
    }
}

/// Appends a whole row.
pub(super) fn put_row<'a>(
    out: &mut Vec<u8>,
    table: &Table,
    values: impl IntoIterator<Item = Option<&'a [u8]>>,
) -> Result<(), EncodeError> {
    let count_error = || EncodeError::ColumnCount { table: table.name.clone(), columns: table.columns.len() };
    let mask = put_mask(out, table.columns.len());
    let mut values = values.into_iter();
    for (i, column) in table.columns.iter().enumerate() {
        match values.next().ok_or_else(count_error)? {
            None => put_null(out, mask, i),
            Some(value) => put_value(out, table, column, value)?,
        }
    }
    if values.next().is_some() { Err(count_error()) } else { Ok(()) }
}

/// Appends a row of full width with nothing but the key; `key` gives the value of a column of the key.
pub(super) fn put_key<'a>(
    out: &mut Vec<u8>,
    table: &Table,
    key: impl Fn(usize) -> Option<&'a [u8]>,
) -> Result<(), EncodeError> {
    let mask = put_mask(out, table.columns.len());
    for (i, column) in table.columns.iter().enumerate() {
        match key(i) {
            None => put_null(out, mask, i),
            Some(value) => put_value(out, table, column, value)?,
        }
    }
    Ok(())
}

/// Appends a bitmask for so many columns, all bits clear; returns where it begins. Without columns there is none.
fn put_mask(out: &mut Vec<u8>, columns: usize) -> usize {
    let len = columns.div_ceil(8);
    if len > 0 {
        put::prefix(out, 1, len);
    }
    let start = out.len();
    out.resize(start + len, 0);
    start
}

fn put_null(out: &mut Vec<u8>, mask: usize, column: usize) {
    if let Some(byte) = out.get_mut(mask + column / 8) {
        *byte |= 0x80 >> (column % 8);
    }
    put::prefix(out, 2, 0);
}

fn put_value(out: &mut Vec<u8>, table: &Table, column: &Column, value: &[u8]) -> Result<(), EncodeError> {
    match Wire::of(column) {
        Wire::Same => put::bytes(out, 2, value),
        Wire::Timestamptz => match value.strip_suffix(b"+00") {
            None => put::bytes(out, 2, value),
            Some(utc) => {
                put::prefix(out, 2, utc.len() + 1);
                out.extend_from_slice(utc);
                out.push(b'Z');
            }
        },
        Wire::Timetz => match value.windows(4).position(|bytes| bytes == b"+00:") {
            None => put::bytes(out, 2, value),
            Some(at) => {
                let (local, offset) = value.split_at(at);
                put::prefix(out, 2, value.len() - 1);
                out.extend_from_slice(local);
                out.extend_from_slice(b"+0");
                out.extend_from_slice(offset.get(3..).unwrap_or_default());
            }
        },
        Wire::Bytea => put_hex(out, value)
            .ok_or_else(|| EncodeError::NotHex { table: table.name.clone(), column: column.name.clone() })?,
    }
    Ok(())
}

/// Appends what `\x…` stands for; `None` if `text` has another form.
fn put_hex(out: &mut Vec<u8>, text: &[u8]) -> Option<()> {
    let (pairs, odd) = text.strip_prefix(b"\\x")?.as_chunks::<2>();
    if !odd.is_empty() {
        return None;
    }
    put::prefix(out, 2, pairs.len());
    out.reserve(pairs.len());
    for [high, low] in pairs {
        out.push(nibble(*high)? << 4 | nibble(*low)?);
    }
    Some(())
}

fn nibble(digit: u8) -> Option<u8> {
    match NIBBLES[digit as usize] {
        0xFF => None,
        value => Some(value),
    }
}

/// The value of each hex digit, 0xFF for all other bytes.
const NIBBLES: [u8; 256] = {
    let mut table = [0xFF; 256];
    let mut i = 0;
    while i < 16 {
        table[b"0123456789abcdef"[i] as usize] = i as u8;
        table[b"0123456789ABCDEF"[i] as usize] = i as u8;
        i += 1;
    }
    table
};

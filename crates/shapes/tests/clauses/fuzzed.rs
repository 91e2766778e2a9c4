//! What a fuzzer does with arbitrary bytes as a where-clause and rows to judge by it; shared with `fuzz/`.

use std::sync::Arc;

use change::UserId;
use shapes::{Clause, Filter};

use super::everything;

/// Values as Postgres prints them, of one type or another.
const VALUES: [&str; 32] = [
    "",
    "0",
    "1",
    "-1",
    "42",
    "32767",
    "-2147483648",
    "9223372036854775807",
    "1.5",
    "-0",
    "NaN",
    "Infinity",
    "1e308",
    "t",
    "f",
    "x",
    "%_\\",
    "it's",
    "\u{e9}\u{301}",
    "sad",
    "ok",
    "2024-02-29",
    "infinity",
    "0001-01-01 BC",
    "24:00:00",
    "12:30:00.5",
    "2024-02-29 12:30:00.000001",
    "294276-12-31 23:59:59.999999",
    "2024-02-29 12:30:00+00",
    "{\"a\": [1, null]}",
    "\\xdeadbeef",
    "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
];

/// A clause up to the first NUL, then rows: a byte for each column, which names a value. A byte of 254 has the value itself after
/// it: its length, and its bytes. 255 and what is missing are NULL.
pub fn clause(data: &[u8]) {
    let (text, mut rest) = match data.iter().position(|byte| *byte == 0) {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    let Ok(text) = std::str::from_utf8(text) else { return };
    let table = everything();
    let clause = match Clause::parse(text, &table) {
        Ok(clause) => clause,
        Err(error) => {
            let message = error.to_string();
            assert!(!message.is_empty() && message.len() < 1_000, "a short message");
            return;
        }
    };
    if let Ok(same) = Clause::parse(&format!("({text}\n)"), &table) {
        assert_eq!(same, clause, "parentheses change nothing");
    }
    assert!(clause.columns().iter().all(|column| *column < table.columns.len()));
    if let Some(sql) = clause.sql(&table, "t") {
        assert!(!sql.is_empty() && !sql.contains('\0'));
    }
    let filter = Filter::new(Some(Arc::new(clause.clone())), &table, &UserId::new("u"));
    let _ = filter.route();
    for _ in 0..4 {
        let mut row: Vec<Option<&[u8]>> = Vec::with_capacity(table.columns.len());
        for _ in &table.columns {
            row.push(value(&mut rest));
        }
        let passes = clause.matches(row.as_slice());
        assert_eq!(filter.matches(row.as_slice()), passes, "nobody owns a row of this table");
        if rest.is_empty() {
            return;
        }
    }
}

fn value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (first, tail) = rest.split_first()?;
    *rest = tail;
    match *first {
        255 => None,
        254 => {
            let (length, tail) = rest.split_first()?;
            let (value, tail) = tail.split_at(usize::from(*length).min(tail.len()));
            *rest = tail;
            Some(value)
        }
        n => Some(VALUES[usize::from(n) % VALUES.len()].as_bytes()),
    }
}

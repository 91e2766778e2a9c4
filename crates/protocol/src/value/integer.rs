//! `int2`, `int4`, `int8` (spec 03 §3.3).

use super::{Refusal, bare};

/// An optional sign and one or more ASCII digits, within the type's range.
pub(super) fn check(type_name: &str, text: &str, min: i64, max: i64) -> Result<(), Refusal> {
    let (negative, digits) = match text.as_bytes() {
        [b'-', digits @ ..] => (true, digits),
        [b'+', digits @ ..] => (false, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Refusal(format!("Non-integer value given for {type_name} column: {}", bare(text))));
    }
    let limit = if negative { min.unsigned_abs() } else { max.unsigned_abs() };
    let magnitude =
        digits.iter().try_fold(0u64, |n, digit| n.checked_mul(10)?.checked_add(u64::from(digit - b'0')));
    match magnitude {
        Some(n) if n <= limit => Ok(()),
        _ => Err(Refusal(format!("Value out of range for {type_name} column: {}", bare(text)))),
    }
}

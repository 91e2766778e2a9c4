//! `float4` and `float8` (spec 03 §3.4).

use super::{Refusal, bare, unexpected};

pub(super) fn check_float8(text: &str) -> Result<(), Refusal> {
    match parse::<f64>(text) {
        Some(Number::Special) => Ok(()),
        Some(Number::Finite { value, zero }) if value.is_finite() && (zero || value != 0.0) => Ok(()),
        _ => Err(unexpected("float8", text)),
    }
}

pub(super) fn check_float4(text: &str) -> Result<(), Refusal> {
    match parse::<f32>(text) {
        None => Err(unexpected("float4", text)),
        Some(Number::Special) => Ok(()),
        Some(Number::Finite { value, zero }) if value.is_finite() && (zero || value != 0.0) => Ok(()),
        Some(_) => Err(Refusal(format!("Value for float4 column out of range: {}", bare(text)))),
    }
}

enum Number<F> {
    /// An infinity or not a number, said so in words.
    Special,
    /// Digits; `zero` if all of them are 0, before the exponent.
    Finite { value: F, zero: bool },
}

/// `None` for what does not follow the grammar. The language's own parser takes more (`.5`, `33.`, `+inf`), so it only
/// sees what has passed.
fn parse<F: std::str::FromStr>(text: &str) -> Option<Number<F>> {
    let words = ["inf", "infinity", "-inf", "-infinity", "nan"];
    if words.iter().any(|word| word.eq_ignore_ascii_case(text)) {
        return Some(Number::Special);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent.strip_prefix(['-', '+']).unwrap_or(exponent))),
        None => (unsigned, None),
    };
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !fraction.is_none_or(digits) || !exponent.is_none_or(digits) {
        return None;
    }
    let zero = mantissa.bytes().all(|b| matches!(b, b'0' | b'.'));
    text.parse().ok().map(|value| Number::Finite { value, zero })
}

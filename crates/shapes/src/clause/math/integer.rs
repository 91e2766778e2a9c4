//! `int2`, `int4`, `int8`: computed in 64 bits, then fitted.

use crate::clause::{Value, catalogue::Body, function::Raised, value::View};

/// A width of integers.
pub(in crate::clause) trait Width: TryFrom<i64> + Into<i64> {}
impl Width for i16 {}
impl Width for i32 {}
impl Width for i64 {}

/// Reads a literal: a sign, digits, blanks around.
pub(in crate::clause) fn parse<W: Width>(text: &str) -> Option<i64> {
    let text = super::trim(text);
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let number = (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())).then_some(text)?;
    fit::<W>(number.parse().ok()).ok()
}

/// Reads what Postgres prints.
#[inline]
pub(in crate::clause) fn read(bytes: &[u8]) -> Option<i64> {
    let (negative, digits) = match bytes {
        [b'-', digits @ ..] => (true, digits),
        digits => (false, digits),
    };
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    let mut number = 0_u64;
    for byte in digits {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        number = number * 10 + u64::from(digit);
    }
    if negative { 0_i64.checked_sub_unsigned(number) } else { i64::try_from(number).ok() }
}

fn fit<W: Width>(number: Option<i64>) -> Result<i64, Raised> {
    number.and_then(|n| W::try_from(n).ok()).map(W::into).ok_or(Raised)
}

fn binary<W: Width>(arguments: &[View<'_>], f: impl Fn(i64, i64) -> Option<i64>) -> Result<Value, Raised> {
    let [View::Int(a), View::Int(b)] = *arguments else { return Err(Raised) };
    fit::<W>(f(a, b)).map(Value::Int)
}

fn unary<W: Width>(arguments: &[View<'_>], f: impl Fn(i64) -> Option<i64>) -> Result<Value, Raised> {
    let [View::Int(a)] = *arguments else { return Err(Raised) };
    fit::<W>(f(a)).map(Value::Int)
}

/// The operators that there are between different widths, too; `W` is the wider. Division goes towards zero.
pub(in crate::clause) fn operators<W: Width>() -> [(&'static str, Body); 4] {
    [
        ("+", |a| binary::<W>(a, i64::checked_add)),
        ("-", |a| binary::<W>(a, i64::checked_sub)),
        ("*", |a| binary::<W>(a, i64::checked_mul)),
        ("/", |a| binary::<W>(a, i64::checked_div)),
    ]
}

/// The operators that there are within one width only.
pub(in crate::clause) fn bits<W: Width>() -> [(&'static str, Body); 4] {
    [
        ("&", |a| binary::<W>(a, |a, b| Some(a & b))),
        ("|", |a| binary::<W>(a, |a, b| Some(a | b))),
        ("#", |a| binary::<W>(a, |a, b| Some(a ^ b))),
        ("%", |a| binary::<W>(a, |a, b| if b == -1 { Some(0) } else { a.checked_rem(b) })),
    ]
}

pub(in crate::clause) fn negate<W: Width>(arguments: &[View<'_>]) -> Result<Value, Raised> {
    unary::<W>(arguments, i64::checked_neg)
}

pub(in crate::clause) fn abs<W: Width>(arguments: &[View<'_>]) -> Result<Value, Raised> {
    unary::<W>(arguments, i64::checked_abs)
}

pub(in crate::clause) fn from_bool(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let [View::Bool(value)] = *arguments else { return Err(Raised) };
    Ok(Value::Int(value.into()))
}

pub(in crate::clause) fn to_bool(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let [View::Int(value)] = *arguments else { return Err(Raised) };
    Ok(Value::Bool(value != 0))
}

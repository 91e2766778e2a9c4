//! `float4`, `float8`: read, printed and computed as Postgres does it, which raises where IEEE 754 would go on with an infinity
//! or with nothing.

use std::{
    cmp::Ordering,
    hash::{Hash, Hasher},
};

use crate::clause::{Value, catalogue::Body, function::Raised, value::View};

/// A `float8`, or a `float4` widened. In Postgres' order: NaN is equal to itself and greater than all else, −0 is equal to 0.
#[derive(Clone, Copy)]
pub struct Float(pub(in crate::clause) f64);

impl Float {
    /// Reads a `float8`.
    pub(in crate::clause) fn parse(text: &str) -> Option<Float> {
        let number = number(text)?;
        let value: f64 = number.parse().ok()?;
        (!is_lost(number, value.is_infinite(), value == 0.0)).then_some(Float(value))
    }

    /// Reads a `float4`.
    pub(in crate::clause) fn parse_single(text: &str) -> Option<Float> {
        let number = number(text)?;
        let value: f32 = number.parse().ok()?;
        (!is_lost(number, value.is_infinite(), value == 0.0)).then_some(Float(value.into()))
    }

    /// As `float8out` does: the shortest text that is read as the same number.
    pub(in crate::clause) fn print(self) -> String {
        let read = |text: &str| text.parse::<f64>().ok().map(f64::to_bits);
        let shortest =
            shortest(&|digits| scientific(self.0, digits), |text| read(text) == Some(self.0.to_bits()));
        print(self.0, &shortest, 15)
    }

    /// As `float4out` does.
    pub(in crate::clause) fn print_single(self) -> String {
        let single = narrow(self.0);
        let read = |text: &str| text.parse::<f32>().ok().map(f32::to_bits);
        let shortest =
            shortest(&|digits| scientific(single, digits), |text| read(text) == Some(single.to_bits()));
        print(self.0, &shortest, 6)
    }
}

/// A number in scientific notation with so many digits, or as few as tell it from others.
fn scientific(number: impl std::fmt::LowerExp, digits: Option<usize>) -> String {
    match digits {
        Some(digits) => format!("{number:.*e}", digits.saturating_sub(1)),
        None => format!("{number:e}"),
    }
}

/// The shortest scientific notation that is read as the number, and is still if it is a trifle more or less: Postgres does
/// not count on readers that round halves to even.
fn shortest(written: &dyn Fn(Option<usize>) -> String, is_read: impl Fn(&str) -> bool) -> String {
    let is_safe = |text: &str| {
        let (mantissa, exponent) = text.split_once('e').unwrap_or((text, "0"));
        let Some(last @ b'1'..=b'9') = mantissa.bytes().last() else {
            return matches!(mantissa, "0" | "-0" | "inf" | "-inf" | "NaN");
        };
        let point = if mantissa.contains('.') { "" } else { "." };
        let less =
            format!("{}{}{point}{}e{exponent}", &mantissa[..mantissa.len() - 1], last - b'1', "9".repeat(30));
        let more = format!("{mantissa}{point}{}1e{exponent}", "0".repeat(30));
        is_read(&less) && is_read(&more)
    };
    let first = written(None);
    let digits = first.bytes().take_while(|b| *b != b'e').filter(u8::is_ascii_digit).count();
    // Written anew with as many digits, as a tie between two goes to the even one then, if that one is safe.
    let even = std::iter::once(written(Some(digits)));
    let longer = (digits + 1..=17).map(|digits| written(Some(digits)));
    even.chain(std::iter::once(first.clone())).chain(longer).find(|text| is_safe(text)).unwrap_or(first)
}

impl Ord for Float {
    fn cmp(&self, other: &Float) -> Ordering {
        self.0.partial_cmp(&other.0).unwrap_or_else(|| self.0.is_nan().cmp(&other.0.is_nan()))
    }
}

impl PartialOrd for Float {
    fn partial_cmp(&self, other: &Float) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Float {
    fn eq(&self, other: &Float) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Float {}

impl Hash for Float {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let canonical = if self.0.is_nan() {
            f64::NAN
        } else if self.0 == 0.0 {
            0.0
        } else {
            self.0
        };
        canonical.to_bits().hash(state);
    }
}

/// The number in a literal, if it is one that Rust and Postgres read alike. Postgres knows hexadecimal ones, too; they are refused.
fn number(text: &str) -> Option<&str> {
    let text = super::trim(text);
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let named = ["nan", "inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    let numeral = unsigned.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-'));
    (named || numeral).then_some(text)
}

/// Whether a number was too great or too small for the type.
fn is_lost(number: &str, infinite: bool, zero: bool) -> bool {
    let mantissa = number.split(['e', 'E']).next().unwrap_or_default();
    (infinite && number.bytes().any(|b| b.is_ascii_digit()))
        || (zero && mantissa.bytes().any(|b| matches!(b, b'1'..=b'9')))
}

/// Lays out `d.ddde±x` as Postgres does, which writes an exponent below -4 and from `precision` on.
fn print(value: f64, scientific: &str, precision: i32) -> String {
    if value.is_nan() {
        return "NaN".to_owned();
    }
    if value.is_infinite() {
        return if value > 0.0 { "Infinity" } else { "-Infinity" }.to_owned();
    }
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let (sign, mantissa) = mantissa.strip_prefix('-').map_or(("", mantissa), |m| ("-", m));
    if !(-4..precision).contains(&exponent) {
        let exponent_sign = if exponent < 0 { '-' } else { '+' };
        return format!("{sign}{mantissa}e{exponent_sign}{:02}", exponent.abs());
    }
    let digits = mantissa.replace('.', "");
    let mut text = sign.to_owned();
    match usize::try_from(exponent) {
        Ok(exponent) => {
            let whole = exponent + 1;
            text.extend(digits.chars().chain(std::iter::repeat('0')).take(whole));
            if let Some(fraction) = digits.get(whole..).filter(|f| !f.is_empty()) {
                text.push('.');
                text.push_str(fraction);
            }
        }
        Err(_) => {
            text.push_str("0.");
            text.extend(std::iter::repeat_n('0', usize::try_from(-exponent - 1).unwrap_or(0)));
            text.push_str(&digits);
        }
    }
    text
}

/// To the nearest `float4`.
#[expect(clippy::cast_possible_truncation, reason = "rounding is what is wanted")]
fn narrow(value: f64) -> f32 {
    value as f32
}

/// The nearest `float8` of an integer.
#[expect(clippy::cast_precision_loss, reason = "rounding is what is wanted")]
fn widen(value: i64) -> f64 {
    value as f64
}

type Operation = fn(f64, f64) -> Result<f64, Raised>;

/// Raises if a finite computation had a result too great.
fn fitting(result: f64, finite: bool) -> Result<f64, Raised> {
    if result.is_infinite() && finite { Err(Raised) } else { Ok(result) }
}

fn finite(a: f64, b: f64) -> bool {
    !a.is_infinite() && !b.is_infinite()
}

/// For sums and differences of `float4` there is one rounding more, and so one more chance to be too great.
fn binary(arguments: &[View<'_>], single: bool, f: Operation) -> Result<Value, Raised> {
    let [View::Float(a), View::Float(b)] = *arguments else { return Err(Raised) };
    let result = f(a.0, b.0)?;
    if !single {
        return Ok(Value::Float(Float(result)));
    }
    let rounded = f64::from(narrow(result));
    let lost = (rounded.is_infinite() && !result.is_infinite()) || (rounded == 0.0 && result != 0.0);
    if lost { Err(Raised) } else { Ok(Value::Float(Float(rounded))) }
}

fn add(a: f64, b: f64) -> Result<f64, Raised> {
    fitting(a + b, finite(a, b))
}

fn subtract(a: f64, b: f64) -> Result<f64, Raised> {
    fitting(a - b, finite(a, b))
}

/// As `float8mul` does.
pub(in crate::clause) fn multiply(a: f64, b: f64) -> Result<f64, Raised> {
    let result = a * b;
    if result == 0.0 && a != 0.0 && b != 0.0 { Err(Raised) } else { fitting(result, finite(a, b)) }
}

fn divide(a: f64, b: f64) -> Result<f64, Raised> {
    let result = a / b;
    let underflow = result == 0.0 && a != 0.0 && !b.is_infinite();
    if (b == 0.0 && !a.is_nan()) || underflow { Err(Raised) } else { fitting(result, !a.is_infinite()) }
}

/// The operators of two `float4`. Computed in 64 bits and rounded once more, which gives the same as computing in 32.
pub(in crate::clause) fn single() -> [(&'static str, Body); 4] {
    [
        ("+", |a| binary(a, true, add)),
        ("-", |a| binary(a, true, subtract)),
        ("*", |a| binary(a, true, multiply)),
        ("/", |a| binary(a, true, divide)),
    ]
}

/// The operators with a `float8` on one side at least.
pub(in crate::clause) fn double() -> [(&'static str, Body); 4] {
    [
        ("+", |a| binary(a, false, add)),
        ("-", |a| binary(a, false, subtract)),
        ("*", |a| binary(a, false, multiply)),
        ("/", |a| binary(a, false, divide)),
    ]
}

fn unary(arguments: &[View<'_>], f: impl Fn(f64) -> Result<f64, Raised>) -> Result<Value, Raised> {
    let [View::Float(a)] = *arguments else { return Err(Raised) };
    Ok(Value::Float(Float(f(a.0)?)))
}

pub(in crate::clause) fn negate(arguments: &[View<'_>]) -> Result<Value, Raised> {
    unary(arguments, |a| Ok(-a))
}

pub(in crate::clause) fn abs(arguments: &[View<'_>]) -> Result<Value, Raised> {
    unary(arguments, |a| Ok(a.abs()))
}

/// `|/`
pub(in crate::clause) fn square_root(arguments: &[View<'_>]) -> Result<Value, Raised> {
    unary(arguments, |a| if a < 0.0 { Err(Raised) } else { Ok(a.sqrt()) })
}

/// `^`
pub(in crate::clause) fn power(arguments: &[View<'_>]) -> Result<Value, Raised> {
    binary(arguments, false, |a, b| {
        if a.is_nan() || b.is_nan() {
            return Ok(if a == 1.0 || b == 0.0 { 1.0 } else { f64::NAN });
        }
        if (a == 0.0 && b < 0.0) || (a < 0.0 && b.is_finite() && b != b.floor()) {
            return Err(Raised);
        }
        let result = a.powf(b);
        if !finite(a, b) {
            // Postgres takes every infinite exponent of a negative base for an even one, as C does.
            return Ok(result);
        }
        if result == 0.0 && a != 0.0 { Err(Raised) } else { fitting(result, true) }
    })
}

pub(in crate::clause) fn from_integer(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let [View::Int(a)] = *arguments else { return Err(Raised) };
    Ok(Value::Float(Float(widen(a))))
}

#[expect(clippy::cast_precision_loss, reason = "rounding is what is wanted")]
pub(in crate::clause) fn from_integer_single(arguments: &[View<'_>]) -> Result<Value, Raised> {
    let [View::Int(a)] = *arguments else { return Err(Raised) };
    Ok(Value::Float(Float((a as f32).into())))
}

fn from_text(arguments: &[View<'_>], parse: fn(&str) -> Option<Float>) -> Result<Value, Raised> {
    let [View::Numeric(a)] = *arguments else { return Err(Raised) };
    parse(&a.to_string()).map(Value::Float).ok_or(Raised)
}

pub(in crate::clause) fn from_numeric(arguments: &[View<'_>]) -> Result<Value, Raised> {
    from_text(arguments, Float::parse)
}

pub(in crate::clause) fn from_numeric_single(arguments: &[View<'_>]) -> Result<Value, Raised> {
    from_text(arguments, Float::parse_single)
}

#[cfg(test)]
mod tests {
    use super::Float;

    #[test]
    fn the_shortest_text_is_not_halfway_to_another_number() {
        for (text, printed) in [
            ("90071199254740993", "9.007119925474099e+16"),
            ("0.1", "0.1"),
            ("-0", "-0"),
            ("5e-324", "5e-324"),
            ("1e15", "1e+15"),
            ("123456789012345", "123456789012345"),
            ("0.0001", "0.0001"),
            ("0.00001", "1e-05"),
            ("100", "100"),
            ("810.69732666015625", "810.6973266601562"),
            ("5.9604644775390625e-08", "5.960464477539063e-08"),
        ] {
            assert_eq!(Float::parse(text).map(Float::print).as_deref(), Some(printed), "{text}");
        }
        for (text, printed) in
            [("16777217", "1.6777216e+07"), ("0.1", "0.1"), ("123456", "123456"), ("1e6", "1e+06")]
        {
            assert_eq!(
                Float::parse_single(text).map(Float::print_single).as_deref(),
                Some(printed),
                "{text}"
            );
        }
    }
}

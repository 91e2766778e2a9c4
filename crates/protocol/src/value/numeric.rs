//! `numeric`, as Postgres reads it: decimal digits in any of the spellings that clients' languages print.

use super::{Refusal, bare, unexpected};

/// Digits that Postgres can hold before the decimal point of an undeclared precision, and behind it.
const MAX_WHOLE_DIGITS: i64 = 131_072;
const MAX_FRACTION_DIGITS: i64 = 16_383;
/// Exponents of this size are refused even on zero.
const MAX_EXPONENT: i64 = (i32::MAX / 2) as i64;

/// `modifiers` are precision and scale, or nothing. What has more digits behind the point than the scale is rounded by
/// Postgres; what has too many before it is refused, as Postgres does.
pub(super) fn check(text: &str, modifiers: &[i32]) -> Result<(), Refusal> {
    let number = parse(text).ok_or_else(|| unexpected("numeric", text))?;
    let fits = match (number, modifiers) {
        (Number::NaN, _) | (Number::Infinite, []) => true,
        (Number::Infinite, _) => false,
        (Number::Finite(decimal), [precision, scale]) => {
            decimal.whole_digits(i64::from(*scale)) <= i64::from(precision - scale)
        }
        (Number::Finite(_), _) => true,
    };
    if fits {
        return Ok(());
    }
    let declared: Vec<String> = modifiers.iter().map(ToString::to_string).collect();
    Err(Refusal(format!("Value out of range for numeric({}) column: {}", declared.join(","), bare(text))))
}

enum Number<'a> {
    NaN,
    Infinite,
    Finite(Decimal<'a>),
}

/// Digits with a point somewhere.
struct Decimal<'a> {
    whole: &'a [u8],
    fraction: &'a [u8],
    /// How many places the point is to be moved to the right.
    exponent: i64,
}

/// `None` for what Postgres can't read, or can't hold whatever the column's precision.
fn parse(text: &str) -> Option<Number<'_>> {
    let text = text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c']);
    if text.eq_ignore_ascii_case("nan") {
        return Some(Number::NaN);
    }
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    if ["inf", "infinity"].iter().any(|word| word.eq_ignore_ascii_case(unsigned)) {
        return Some(Number::Infinite);
    }
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
        None => (unsigned, 0),
    };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    if !digits(whole) || !digits(fraction) || (whole.is_empty() && fraction.is_empty()) {
        return None;
    }
    let decimal = Decimal { whole: whole.as_bytes(), fraction: fraction.as_bytes(), exponent };
    decimal.can_be().then_some(Number::Finite(decimal))
}

fn parse_exponent(text: &str) -> Option<i64> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    text.parse().ok().filter(|exponent: &i64| exponent.abs() < MAX_EXPONENT)
}

impl Decimal<'_> {
    fn digits(&self) -> impl Iterator<Item = u8> {
        self.whole.iter().chain(self.fraction).map(|digit| digit - b'0')
    }

    /// How many digits stand before the point from the first that is not zero; of 0.01 that is -1. `None` for zero.
    fn magnitude(&self) -> Option<i64> {
        let zeros = self.digits().position(|digit| digit != 0)? as i64;
        Some(self.whole.len() as i64 - zeros + self.exponent)
    }

    fn can_be(&self) -> bool {
        self.magnitude().is_none_or(|digits| digits <= MAX_WHOLE_DIGITS)
            && self.fraction.len() as i64 - self.exponent <= MAX_FRACTION_DIGITS
    }

    /// The digits before the point once the number is rounded to `scale` digits behind it, halves away from zero; counted as
    /// [`Decimal::magnitude`] does, the least possible for zero.
    fn whole_digits(&self, scale: i64) -> i64 {
        let Some(magnitude) = self.magnitude() else { return i64::MIN };
        let kept = magnitude + scale;
        if kept < 0 {
            return i64::MIN;
        }
        let mut significant = self.digits().skip_while(|digit| *digit == 0);
        let kept = usize::try_from(kept).unwrap_or(usize::MAX);
        // What is dropped carries over into the digit before all others if these are nines.
        let carries =
            significant.by_ref().take(kept).fold((0, true), |(n, nines), digit| (n + 1, nines && digit == 9));
        let rounds_up = significant.next().is_some_and(|digit| digit >= 5);
        match carries {
            (count, true) if count == kept && rounds_up => magnitude + 1,
            _ if kept == 0 => i64::MIN,
            _ => magnitude,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accepts(text: &str, modifiers: &[i32]) -> bool {
        check(text, modifiers).is_ok()
    }

    #[test]
    fn takes_what_languages_print() {
        for good in [
            "0",
            "-0",
            "+1",
            "1.50",
            ".5",
            "5.",
            "1e+21",
            "1e-7",
            "-1.5E3",
            "NaN",
            "nan",
            "Infinity",
            "-inf",
            "+Infinity",
            "Inf",
            " 1 ",
            "00012",
            "1e131071",
            "0e999999",
            "0e-16383",
            "123456789012345678901234567890.123456789",
        ] {
            assert!(accepts(good, &[]), "{good}");
        }
        for bad in [
            "",
            " ",
            ".",
            "-",
            "e5",
            "1e",
            "1e+",
            "1.2.3",
            "1,5",
            "0x1F",
            "1_000",
            "--1",
            "1 2",
            "infinit",
            "-nan",
            "१",
            "1e131072",
            "1e-16384",
            "1e99999999999999999999",
            "0e1073741824",
            "NULL",
            "1;",
        ] {
            assert!(!accepts(bad, &[]), "{bad}");
        }
    }

    #[test]
    fn keeps_to_precision_and_scale() {
        for (good, modifiers) in [
            ("99999999.99", [10, 2]),
            ("-99999999.994999", [10, 2]),
            ("0.001", [10, 2]),
            ("1e-300", [10, 2]),
            ("99499", [2, -3]),
            ("0.00099", [2, 5]),
            ("0.000994", [2, 5]),
            ("NaN", [10, 2]),
            ("00000000000000.1", [2, 1]),
        ] {
            assert!(accepts(good, &modifiers), "{good} {modifiers:?}");
        }
        for (bad, modifiers) in [
            ("100000000", [10, 2]),
            ("99999999.995", [10, 2]),
            ("1e8", [10, 2]),
            ("0.5", [0, 0]),
            ("99500", [2, -3]),
            ("0.000995", [2, 5]),
            ("Infinity", [10, 2]),
            ("0.95", [1, 1]),
        ] {
            assert!(!accepts(bad, &modifiers), "{bad} {modifiers:?}");
        }
    }
}

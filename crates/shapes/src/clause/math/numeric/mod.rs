//! `numeric`: exact decimals with a display scale, NaN and infinities.
//!
//! Postgres computes with up to 131072 digits before the point; here a number has at most [`DIGITS`] digits before and after it
//! (as many as a declared precision can have), so that no clause can make a row expensive. Greater ones are refused in
//! literals and raise in evaluation. A column's values are compared whatever their size; only computing with them raises.

mod arithmetic;
mod power;

pub(in crate::clause) use arithmetic::{abs, from_integer, negate, operators};

use std::{cmp::Ordering, fmt};

use num_bigint::{BigInt, BigUint, Sign};

/// At most so many digits before, and so many after the point.
pub(super) const DIGITS: u32 = 1000;

/// A `numeric`. Equal ones of different display scale are told apart by `==`, and are next to each other in order.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Numeric(pub(super) Kind);

#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    NegativeInfinity,
    Finite(Decimal),
    Infinity,
    NaN,
}

/// `unscaled / 10^scale`
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Decimal {
    pub(super) unscaled: BigInt,
    pub(super) scale: u32,
}

impl Numeric {
    /// Reads what Postgres printed, of whatever size.
    pub(in crate::clause) fn read(text: &str) -> Option<Numeric> {
        let unsigned = text.strip_prefix('-').unwrap_or(text);
        match Decimal::read(unsigned) {
            Some(decimal) if unsigned.len() < text.len() => {
                Some(Numeric(Kind::Finite(Decimal { unscaled: -decimal.unscaled, ..decimal })))
            }
            Some(decimal) => Some(Numeric(Kind::Finite(decimal))),
            None => Numeric::parse(text),
        }
    }

    /// Whether it may be computed with.
    pub(super) fn is_fitting(&self) -> bool {
        match &self.0 {
            Kind::Finite(decimal) => decimal.is_fitting(),
            _ => true,
        }
    }

    /// Reads a literal: digits with a point and an exponent, `NaN`, `Infinity`, `inf`; blanks around.
    pub(in crate::clause) fn parse(text: &str) -> Option<Numeric> {
        let text = super::trim(text);
        if text.eq_ignore_ascii_case("nan") {
            return Some(Numeric(Kind::NaN));
        }
        let (negative, unsigned) = match text.as_bytes().first()? {
            b'-' => (true, &text[1..]),
            b'+' => (false, &text[1..]),
            _ => (false, text),
        };
        if ["inf", "infinity"].iter().any(|name| unsigned.eq_ignore_ascii_case(name)) {
            return Some(Numeric(if negative { Kind::NegativeInfinity } else { Kind::Infinity }));
        }
        let decimal = Decimal::parse(unsigned)?;
        let unscaled = if negative { -decimal.unscaled } else { decimal.unscaled };
        Decimal { unscaled, ..decimal }.fitting().map(|d| Numeric(Kind::Finite(d)))
    }

    /// Postgres' order: by number, NaN greatest.
    pub(in crate::clause) fn order(&self, other: &Numeric) -> Ordering {
        match (&self.0, &other.0) {
            (Kind::Finite(a), Kind::Finite(b)) => a.order(b),
            (a, b) => a.rank().cmp(&b.rank()),
        }
    }
}

impl Kind {
    fn rank(&self) -> u8 {
        match self {
            Kind::NegativeInfinity => 0,
            Kind::Finite(_) => 1,
            Kind::Infinity => 2,
            Kind::NaN => 3,
        }
    }
}

impl Decimal {
    pub(super) fn zero(scale: u32) -> Decimal {
        Decimal { unscaled: BigInt::ZERO, scale }
    }

    /// Reads digits with a point among them, of any number.
    fn read(text: &str) -> Option<Decimal> {
        let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
        let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
        if whole.is_empty() || !digits(whole) || !digits(fraction) {
            return None;
        }
        let unscaled = match text.len() {
            ..=18 => {
                BigInt::from(whole.parse::<i64>().ok()? * 10_i64.pow(u32::try_from(fraction.len()).ok()?))
                    + fraction.parse::<i64>().unwrap_or(0)
            }
            _ => BigInt::parse_bytes([whole, fraction].concat().as_bytes(), 10)?,
        };
        Some(Decimal { unscaled, scale: u32::try_from(fraction.len()).ok()? })
    }

    /// Reads digits, at least one, with at most one point, and an exponent. Postgres wants a digit right after the `e`'s sign.
    fn parse(text: &str) -> Option<Decimal> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let digits = [whole, fraction].concat();
        if digits.is_empty()
            || digits.len() > 4 * DIGITS as usize
            || !digits.bytes().all(|b| b.is_ascii_digit())
        {
            return None;
        }
        let mut unscaled = BigInt::parse_bytes(digits.as_bytes(), 10)?;
        let scale = i32::try_from(fraction.len()).ok()? - exponent;
        if scale < 0 {
            unscaled *= ten_to(scale.unsigned_abs());
        }
        Some(Decimal { unscaled, scale: u32::try_from(scale).unwrap_or(0) })
    }

    /// The number, unless it has too many digits.
    pub(super) fn fitting(self) -> Option<Decimal> {
        self.is_fitting().then_some(self)
    }

    fn is_fitting(&self) -> bool {
        self.scale <= DIGITS && digits(self.unscaled.magnitude()) <= DIGITS + self.scale
    }

    pub(super) fn is_zero(&self) -> bool {
        self.unscaled.sign() == Sign::NoSign
    }

    pub(super) fn is_negative(&self) -> bool {
        self.unscaled.sign() == Sign::Minus
    }

    /// The same number, or with a smaller scale the nearest, halves away from zero.
    pub(super) fn rescaled(&self, scale: u32) -> Decimal {
        let unscaled = match scale.checked_sub(self.scale) {
            Some(0) => self.unscaled.clone(),
            Some(more) => &self.unscaled * ten_to(more),
            None => divide_rounding(&self.unscaled, &ten_to(self.scale - scale)),
        };
        Decimal { unscaled, scale }
    }

    pub(super) fn order(&self, other: &Decimal) -> Ordering {
        let scale = self.scale.max(other.scale);
        if self.scale == other.scale {
            self.unscaled.cmp(&other.unscaled)
        } else {
            self.rescaled(scale).unscaled.cmp(&other.rescaled(scale).unscaled)
        }
    }
}

fn parse_exponent(text: &str) -> Option<i32> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let exponent: i32 = digits.bytes().all(|b| b.is_ascii_digit()).then(|| text.parse().ok())??;
    (exponent.unsigned_abs() <= 2 * DIGITS).then_some(exponent)
}

/// How many decimal digits a number has; none if it is zero.
pub(super) fn digits(number: &BigUint) -> u32 {
    // One short at most: the number of bits is rounded down.
    let Some(bits) = u32::try_from(number.bits()).ok().and_then(|bits| bits.checked_sub(1)) else { return 0 };
    let at_least = u32::try_from(u64::from(bits) * 30_103 / 100_000).unwrap_or(u32::MAX);
    (at_least..=at_least + 2).find(|&n| number < ten_to(n).magnitude()).unwrap_or(at_least + 3)
}

pub(super) fn ten_to(exponent: u32) -> BigInt {
    BigInt::from(10).pow(exponent)
}

/// The quotient, halves away from zero. The divisor is not zero.
pub(super) fn divide_rounding(dividend: &BigInt, divisor: &BigInt) -> BigInt {
    let negative = (dividend.sign() == Sign::Minus) != (divisor.sign() == Sign::Minus);
    let (dividend, divisor) = (dividend.magnitude(), divisor.magnitude());
    let quotient = (dividend * 2_u32 + divisor) / (divisor * 2_u32);
    BigInt::from_biguint(if negative { Sign::Minus } else { Sign::Plus }, quotient)
}

impl Ord for Numeric {
    fn cmp(&self, other: &Numeric) -> Ordering {
        let scale = |n: &Numeric| if let Kind::Finite(d) = &n.0 { d.scale } else { 0 };
        self.order(other).then_with(|| scale(self).cmp(&scale(other)))
    }
}

impl PartialOrd for Numeric {
    fn partial_cmp(&self, other: &Numeric) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// As `numeric_out` does: as many digits after the point as its scale.
impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimal = match &self.0 {
            Kind::NegativeInfinity => return f.write_str("-Infinity"),
            Kind::Infinity => return f.write_str("Infinity"),
            Kind::NaN => return f.write_str("NaN"),
            Kind::Finite(decimal) => decimal,
        };
        let scale = decimal.scale as usize;
        let digits = decimal.unscaled.magnitude().to_string();
        let digits = format!("{digits:0>width$}", width = scale + 1);
        let (whole, fraction) = digits.split_at(digits.len() - scale);
        let sign = if decimal.is_negative() { "-" } else { "" };
        let point = if scale > 0 { "." } else { "" };
        write!(f, "{sign}{whole}{point}{fraction}")
    }
}

/// Values are the users' own and are not printed.
impl fmt::Debug for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Numeric")
    }
}

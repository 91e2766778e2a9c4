//! `numeric ^ numeric`: exact where that is cheap, else by logarithm and exponential in fixed point, with digits to spare.

use num_bigint::{BigInt, Sign};

use super::{
    DIGITS, Decimal, Kind,
    arithmetic::{SIGNIFICANT, quotient, result_scale},
    digits, divide_rounding, ten_to,
};
use crate::clause::function::Raised;

/// An exact power is computed if it has no more digits than this.
const EXACT_DIGITS: u64 = 4000;

const LOG10_E: f64 = std::f64::consts::LOG10_E;

/// As POSIX has it for NaN and infinities, but raises for zero to a negative power, and for roots of negative numbers.
pub(super) fn power(base: &Kind, exponent: &Kind) -> Result<Kind, Raised> {
    let one = || Kind::Finite(Decimal { unscaled: BigInt::from(1), scale: 0 });
    let is_one = |kind: &Kind| matches!(kind, Kind::Finite(d) if d.order(&Decimal { unscaled: BigInt::from(1), scale: 0 }).is_eq());
    let special = |kind: &Kind| !matches!(kind, Kind::Finite(_));
    if special(base) || special(exponent) {
        if (exponent.sign() == 0) || is_one(base) {
            return Ok(one());
        }
        if *base == Kind::NaN || *exponent == Kind::NaN {
            return Ok(Kind::NaN);
        }
    }
    if (base.sign() == 0 && exponent.sign() < 0) || (base.sign() < 0 && !is_integral(exponent)) {
        return Err(Raised);
    }
    match (base, exponent) {
        (Kind::Finite(base), Kind::Finite(exponent)) => finite(base, exponent).map(Kind::Finite),
        (Kind::Finite(base), infinity) => {
            let magnitude = Decimal { unscaled: base.unscaled.magnitude().clone().into(), scale: base.scale };
            let order = magnitude.order(&Decimal { unscaled: BigInt::from(1), scale: 0 });
            Ok(match order {
                std::cmp::Ordering::Equal => one(),
                order if order.is_gt() == (infinity.sign() > 0) => Kind::Infinity,
                _ => Kind::Finite(Decimal::zero(0)),
            })
        }
        _ if exponent.sign() < 0 => Ok(Kind::Finite(Decimal::zero(0))),
        _ if base.sign() < 0 && is_odd(exponent) => Ok(Kind::NegativeInfinity),
        _ => Ok(Kind::Infinity),
    }
}

fn is_integral(kind: &Kind) -> bool {
    match kind {
        Kind::Finite(d) => (&d.unscaled % ten_to(d.scale)).sign() == Sign::NoSign,
        _ => true,
    }
}

fn is_odd(kind: &Kind) -> bool {
    matches!(kind, Kind::Finite(d) if (&d.unscaled / ten_to(d.scale)).bit(0))
}

fn finite(base: &Decimal, exponent: &Decimal) -> Result<Decimal, Raised> {
    let integral = is_integral(&Kind::Finite(exponent.clone()));
    let whole = integral.then(|| i32::try_from(&exponent.unscaled / ten_to(exponent.scale)).ok()).flatten();
    if base.is_zero() {
        let scale =
            result_scale(SIGNIFICANT, if whole.is_some() { [base.scale, exponent.scale] } else { [0, 0] });
        let unscaled = if exponent.is_zero() { ten_to(scale) } else { BigInt::ZERO };
        return Ok(Decimal { unscaled, scale });
    }
    let weight = estimated_weight(base, exponent)?;
    if weight + 1.0 < -f64::from(DIGITS) {
        return Ok(Decimal::zero(DIGITS));
    }
    #[expect(
        clippy::cast_possible_truncation,
        reason = "towards zero is what is wanted; its bounds were checked"
    )]
    let weight = weight as i32;
    let scale = result_scale(SIGNIFICANT - weight, [base.scale, exponent.scale]);
    if let Some(power) = whole.and_then(|whole| exact(base, whole, scale)) {
        return Ok(power);
    }
    let negative = base.is_negative() && is_odd(&Kind::Finite(exponent.clone()));
    let significant = u32::try_from(i64::from(scale) + i64::from(weight) + 2).unwrap_or(0);
    let power = transcendental(base, exponent, significant, scale);
    Ok(Decimal { unscaled: if negative { -power.unscaled } else { power.unscaled }, scale })
}

/// About the decimal logarithm of the result, if that is not too great.
fn estimated_weight(base: &Decimal, exponent: &Decimal) -> Result<f64, Raised> {
    let exponent: f64 = decimal_text(exponent).parse().unwrap_or(f64::NAN);
    let bits = precision(20 + digits(base.unscaled.magnitude()).max(base.scale));
    let ln = ln(base, bits);
    // The logarithm of a number near one is near zero: all of its own digits are wanted.
    let shift = ln.magnitude().bits().saturating_sub(60);
    let leading: f64 = (&ln >> shift).to_string().parse().unwrap_or(f64::NAN);
    let ln = leading * 2_f64.powi(i32::try_from(shift).unwrap_or(0) - i32::try_from(bits).unwrap_or(0));
    let weight = exponent * ln * LOG10_E;
    if weight.is_nan() || weight > f64::from(DIGITS) { Err(Raised) } else { Ok(weight) }
}

fn decimal_text(number: &Decimal) -> String {
    format!("{}e-{}", number.unscaled, number.scale)
}

/// The power by multiplication, if there are not too many digits in it.
fn exact(base: &Decimal, exponent: i32, scale: u32) -> Option<Decimal> {
    let times = exponent.unsigned_abs();
    let size = u64::from(digits(base.unscaled.magnitude()).max(base.scale)) * u64::from(times);
    if size > EXACT_DIGITS {
        return None;
    }
    let power = Decimal { unscaled: base.unscaled.pow(times), scale: base.scale * times };
    Some(if exponent < 0 {
        quotient(&Decimal { unscaled: BigInt::from(1), scale: 0 }, &power, scale)
    } else {
        power.rescaled(scale)
    })
}

/// `e ^ (exponent * ln |base|)`, exact to so many significant digits.
fn transcendental(base: &Decimal, exponent: &Decimal, significant: u32, scale: u32) -> Decimal {
    let of_base = digits(base.unscaled.magnitude()).max(base.scale);
    let bits = precision(significant + digits(exponent.unscaled.magnitude()) + of_base + 20);
    let logarithm = ln(base, bits) * &exponent.unscaled / ten_to(exponent.scale);
    let power = exp(&BigInt::from(logarithm.magnitude().clone()), bits);
    let one = BigInt::from(1) << bits;
    let unscaled = if logarithm.sign() == Sign::Minus {
        divide_rounding(&(ten_to(scale) * one), &power)
    } else {
        divide_rounding(&(power * ten_to(scale)), &one)
    };
    Decimal { unscaled, scale }
}

/// Bits for so many decimal digits.
fn precision(digits: u32) -> u64 {
    u64::from(digits) * 10 / 3 + 32
}

/// The natural logarithm of the magnitude, in units of `2^-bits`.
fn ln(number: &Decimal, bits: u64) -> BigInt {
    let fixed = (BigInt::from(number.unscaled.magnitude().clone()) << (2 * bits)) / ten_to(number.scale);
    // number = fraction * 2^exponent, with a fraction from 1/2 to 1.
    let length = fixed.magnitude().bits();
    let exponent = BigInt::from(length) - BigInt::from(2 * bits);
    let fraction = if length >= bits { fixed >> (length - bits) } else { fixed << (bits - length) };
    let one = BigInt::from(1) << bits;
    let two = BigInt::from(2) << bits;
    ln_near_one(&fraction, &one, bits) + exponent * ln_near_one(&two, &one, bits)
}

/// `ln x = 2 artanh((x - 1) / (x + 1))`, for x from 1/2 to 2.
fn ln_near_one(x: &BigInt, one: &BigInt, bits: u64) -> BigInt {
    let z = ((x - one) << bits) / (x + one);
    let square = (&z * &z) >> bits;
    let (mut sum, mut term, mut n) = (z.clone(), z, 1_u32);
    while term.sign() != Sign::NoSign {
        term = (&term * &square) / one;
        n += 2;
        sum += &term / n;
    }
    sum * 2
}

/// `e^x` of a fixed-point number that is not negative: the series of `x / 2^n`, squared n times.
fn exp(x: &BigInt, bits: u64) -> BigInt {
    let halvings = x.magnitude().bits().saturating_sub(bits) + 8;
    let bits_within = bits + 2 * halvings;
    let one = BigInt::from(1) << bits_within;
    let reduced = (x << (bits_within - bits)) >> halvings;
    let (mut sum, mut term, mut n) = (one.clone(), one, 0_u32);
    while term.sign() != Sign::NoSign {
        n += 1;
        term = ((&term * &reduced) >> bits_within) / n;
        sum += &term;
    }
    for _ in 0..halvings {
        sum = (&sum * &sum) >> bits_within;
    }
    sum >> (bits_within - bits)
}

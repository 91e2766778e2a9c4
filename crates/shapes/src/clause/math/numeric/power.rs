//! `numeric ^ numeric`: exact where that is cheap, else by logarithm and exponential in fixed point, with digits to spare.

use std::f64::consts::LOG10_E;

use num_bigint::{BigInt, Sign};

use super::{
    DIGITS, Decimal, Kind,
    arithmetic::{SIGNIFICANT, quotient, result_scale},
    digits, divide_rounding, ten_to,
};
use crate::clause::function::Raised;

/// An exact power is computed if it has no more digits than this.
const EXACT_DIGITS: u64 = 4000;

/// Otherwise the operands may have so many digits, and the power be so great or small: what takes longer raises.
const OPERAND_DIGITS: u32 = 100;
const MAGNITUDE: f64 = 300.0;

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
    let of_whole = result_scale(SIGNIFICANT, [base.scale, 0]);
    if base.is_zero() {
        let scale = if whole.is_some() { of_whole } else { SIGNIFICANT.unsigned_abs() };
        let unscaled = if exponent.is_zero() { ten_to(scale) } else { BigInt::ZERO };
        return Ok(Decimal { unscaled, scale });
    }
    let Some(whole) = whole else { return root(base, exponent) };
    let weight = f64::from(whole) * log10(base);
    if weight > f64::from(DIGITS) {
        return Err(Raised);
    }
    // To a whole power, Postgres before version 16 gives as many digits after the point whatever the magnitude.
    match exact(base, whole, of_whole) {
        Some(power) => Ok(power),
        None if weight + 1.0 < -f64::from(of_whole) => Ok(Decimal::zero(of_whole)),
        None => transcendental(base, exponent, weight, of_whole),
    }
}

/// A power that is not whole, or out of reach.
fn root(base: &Decimal, exponent: &Decimal) -> Result<Decimal, Raised> {
    check_size(base, exponent)?;
    let weight = estimated_weight(base, exponent);
    if weight + 1.0 < -f64::from(DIGITS) {
        return Ok(Decimal::zero(DIGITS));
    }
    let scale = result_scale(SIGNIFICANT - towards_zero(weight), [base.scale, exponent.scale]);
    transcendental(base, exponent, weight, scale)
}

fn check_size(base: &Decimal, exponent: &Decimal) -> Result<(), Raised> {
    let size = |number: &Decimal| digits(number.unscaled.magnitude()).max(number.scale);
    if size(base).max(size(exponent)) > OPERAND_DIGITS { Err(Raised) } else { Ok(()) }
}

#[expect(clippy::cast_possible_truncation, reason = "that is what is wanted")]
fn towards_zero(number: f64) -> i32 {
    number as i32
}

/// About the decimal logarithm of the magnitude, which is not zero.
fn log10(number: &Decimal) -> f64 {
    let leading = digits(number.unscaled.magnitude()).saturating_sub(17);
    let mantissa = to_f64(&Decimal { unscaled: &number.unscaled / ten_to(leading), scale: 0 });
    mantissa.abs().log10() + f64::from(leading) - f64::from(number.scale)
}

/// About the decimal logarithm of a power. It decides how many digits the power has, so it is rounded where Postgres rounds.
fn estimated_weight(base: &Decimal, exponent: &Decimal) -> f64 {
    let own_digits = digits(base.unscaled.magnitude()).max(base.scale);
    let bits = precision(20 + own_digits);
    let ln = ln(base, bits);
    let scale = u32::try_from(8 - ln_weight(base, &ln, bits)).unwrap_or(0).min(DIGITS);
    let ln = Decimal { unscaled: divide_rounding(&(ln * ten_to(scale)), &(BigInt::from(1) << bits)), scale };
    let product = Decimal { unscaled: ln.unscaled * &exponent.unscaled, scale: scale + exponent.scale };
    to_f64(&product.rescaled(scale)) * LOG10_E
}

/// The decimal exponent of the logarithm, of which near one the number itself tells.
fn ln_weight(base: &Decimal, ln: &BigInt, bits: u64) -> i32 {
    let tenths = |unscaled: i32| Decimal { unscaled: BigInt::from(unscaled), scale: 1 };
    let magnitude = Decimal { unscaled: base.unscaled.magnitude().clone().into(), scale: base.scale };
    if magnitude.order(&tenths(9)).is_ge() && magnitude.order(&tenths(11)).is_le() {
        let distance = magnitude.unscaled - ten_to(base.scale);
        let exponent = i64::from(digits(distance.magnitude())) - 1 - i64::from(base.scale);
        return if distance.sign() == Sign::NoSign { 0 } else { i32::try_from(exponent).unwrap_or(0) };
    }
    let shift = bits.saturating_sub(60);
    let ln = to_f64(&Decimal { unscaled: ln >> shift, scale: 0 });
    towards_zero((ln.abs() / 2_f64.powi(i32::try_from(bits - shift).unwrap_or(0))).log10())
}

fn to_f64(number: &Decimal) -> f64 {
    format!("{}e-{}", number.unscaled, number.scale).parse().unwrap_or(f64::NAN)
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

/// `e ^ (exponent * ln |base|)`, with the sign of the power; its decimal logarithm is about `weight`.
fn transcendental(base: &Decimal, exponent: &Decimal, weight: f64, scale: u32) -> Result<Decimal, Raised> {
    check_size(base, exponent)?;
    if weight.is_nan() || weight.abs() > MAGNITUDE {
        return Err(Raised);
    }
    let significant = u32::try_from(i64::from(scale) + i64::from(towards_zero(weight)) + 2).unwrap_or(0);
    let of_base = digits(base.unscaled.magnitude()).max(base.scale);
    let bits = precision(significant + digits(exponent.unscaled.magnitude()) + of_base + 20);
    let logarithm = ln(base, bits) * &exponent.unscaled / ten_to(exponent.scale);
    let power = exp(&BigInt::from(logarithm.magnitude().clone()), bits);
    let one = BigInt::from(1) << bits;
    let magnitude = if logarithm.sign() == Sign::Minus {
        divide_rounding(&(ten_to(scale) * one), &power)
    } else {
        divide_rounding(&(power * ten_to(scale)), &one)
    };
    let negative = base.is_negative() && is_odd(&Kind::Finite(exponent.clone()));
    Ok(Decimal { unscaled: if negative { -magnitude } else { magnitude }, scale })
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
    // Of the magnitude, for a shift of what is negative never becomes zero.
    let (sign, mut term) = z.into_parts();
    let square = (&term * &term) >> bits;
    let (mut sum, mut n) = (term.clone(), 1_u32);
    while term.bits() > 0 {
        term = (&term * &square) >> bits;
        n += 2;
        sum += &term / n;
    }
    BigInt::from_biguint(sign, sum * 2_u32)
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

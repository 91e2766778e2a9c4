//! The operators of `numeric`. The scales of results are Postgres' own: they show when a result is printed, and decide how
//! exact a quotient is.

use num_bigint::BigInt;

use super::{Decimal, Kind, Numeric, digits, divide_rounding, power, ten_to};
use crate::clause::{Value, catalogue::Body, function::Raised, value::View};

/// Quotients and powers have at least so many significant digits.
pub(super) const SIGNIFICANT: i32 = 16;

type Result<T, E = Raised> = std::result::Result<T, E>;

fn binary(arguments: &[View<'_>], f: impl Fn(&Kind, &Kind) -> Result<Kind>) -> Result<Value> {
    let [View::Numeric(a), View::Numeric(b)] = *arguments else { return Err(Raised) };
    if !a.is_fitting() || !b.is_fitting() {
        return Err(Raised);
    }
    fitting(f(&a.0, &b.0)?)
}

fn fitting(kind: Kind) -> Result<Value> {
    let kind = match kind {
        Kind::Finite(decimal) => Kind::Finite(decimal.fitting().ok_or(Raised)?),
        special => special,
    };
    Ok(Value::Numeric(Numeric(kind)))
}

/// `+ - * / % ^`
pub(in crate::clause) fn operators() -> [(&'static str, Body); 6] {
    [
        ("+", |a| binary(a, |a, b| Ok(add(a, b)))),
        ("-", |a| binary(a, |a, b| Ok(add(a, &negated(b))))),
        ("*", |a| binary(a, |a, b| Ok(multiply(a, b)))),
        ("/", |a| binary(a, divide)),
        ("%", |a| binary(a, remainder)),
        ("^", |a| binary(a, power::power)),
    ]
}

pub(in crate::clause) fn negate(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Numeric(a)] = *arguments else { return Err(Raised) };
    fitting(negated(&a.0))
}

/// `@`
pub(in crate::clause) fn abs(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Numeric(a)] = *arguments else { return Err(Raised) };
    fitting(if a.0.sign() < 0 { negated(&a.0) } else { a.0.clone() })
}

pub(in crate::clause) fn from_integer(arguments: &[View<'_>]) -> Result<Value> {
    let [View::Int(a)] = *arguments else { return Err(Raised) };
    fitting(Kind::Finite(Decimal { unscaled: BigInt::from(a), scale: 0 }))
}

impl Kind {
    /// -1, 0 or 1; that of NaN does not matter.
    pub(super) fn sign(&self) -> i32 {
        match self {
            Kind::NegativeInfinity => -1,
            Kind::Infinity | Kind::NaN => 1,
            Kind::Finite(d) if d.is_zero() => 0,
            Kind::Finite(d) => {
                if d.is_negative() {
                    -1
                } else {
                    1
                }
            }
        }
    }

    /// The infinity of a sign; of no sign at all, NaN.
    fn infinite(sign: i32) -> Kind {
        match sign {
            0 => Kind::NaN,
            1.. => Kind::Infinity,
            _ => Kind::NegativeInfinity,
        }
    }
}

fn negated(a: &Kind) -> Kind {
    match a {
        Kind::NegativeInfinity => Kind::Infinity,
        Kind::Infinity => Kind::NegativeInfinity,
        Kind::NaN => Kind::NaN,
        Kind::Finite(d) => Kind::Finite(Decimal { unscaled: -&d.unscaled, scale: d.scale }),
    }
}

fn add(a: &Kind, b: &Kind) -> Kind {
    match (a, b) {
        (Kind::Finite(a), Kind::Finite(b)) => {
            let scale = a.scale.max(b.scale);
            let unscaled = a.rescaled(scale).unscaled + b.rescaled(scale).unscaled;
            Kind::Finite(Decimal { unscaled, scale })
        }
        (Kind::NaN, _) | (_, Kind::NaN) => Kind::NaN,
        (Kind::Finite(_), infinity) | (infinity, Kind::Finite(_)) => infinity.clone(),
        (a, b) => {
            if a == b {
                a.clone()
            } else {
                Kind::NaN
            }
        }
    }
}

fn multiply(a: &Kind, b: &Kind) -> Kind {
    match (a, b) {
        (Kind::Finite(a), Kind::Finite(b)) => {
            Kind::Finite(Decimal { unscaled: &a.unscaled * &b.unscaled, scale: a.scale + b.scale })
        }
        (Kind::NaN, _) | (_, Kind::NaN) => Kind::NaN,
        (a, b) => Kind::infinite(a.sign() * b.sign()),
    }
}

fn divide(a: &Kind, b: &Kind) -> Result<Kind> {
    Ok(match (a, b) {
        (Kind::NaN, _) | (_, Kind::NaN) => Kind::NaN,
        (_, b) if b.sign() == 0 => return Err(Raised),
        (Kind::Finite(a), Kind::Finite(b)) => Kind::Finite(quotient(a, b, quotient_scale(a, b))),
        (Kind::Finite(_), _) => Kind::Finite(Decimal::zero(0)),
        (a, Kind::Finite(_)) => Kind::infinite(a.sign() * b.sign()),
        _ => Kind::NaN,
    })
}

fn remainder(a: &Kind, b: &Kind) -> Result<Kind> {
    Ok(match (a, b) {
        (Kind::NaN, _) | (_, Kind::NaN) => Kind::NaN,
        (_, b) if b.sign() == 0 => return Err(Raised),
        (Kind::Finite(a), Kind::Finite(b)) => {
            let scale = a.scale.max(b.scale);
            let unscaled = a.rescaled(scale).unscaled % b.rescaled(scale).unscaled;
            Kind::Finite(Decimal { unscaled, scale })
        }
        (Kind::Finite(_), _) => a.clone(),
        _ => Kind::NaN,
    })
}

/// The quotient with so many digits after the point. The divisor is not zero.
pub(super) fn quotient(a: &Decimal, b: &Decimal, scale: u32) -> Decimal {
    let unscaled = match (scale + b.scale).checked_sub(a.scale) {
        Some(shift) => divide_rounding(&(&a.unscaled * ten_to(shift)), &b.unscaled),
        None => divide_rounding(&a.unscaled, &(&b.unscaled * ten_to(a.scale - scale - b.scale))),
    };
    Decimal { unscaled, scale }
}

/// The scale of a quotient: enough for [`SIGNIFICANT`] digits by an estimate in groups of four digits, and not less than the
/// operands'.
fn quotient_scale(a: &Decimal, b: &Decimal) -> u32 {
    let ((weight_a, first_a), (weight_b, first_b)) = (leading_group(a), leading_group(b));
    let weight = weight_a - weight_b - i32::from(first_a <= first_b);
    result_scale(SIGNIFICANT - 4 * weight, [a.scale, b.scale])
}

/// A scale within bounds: not less than any of the operands', not more than a number can have.
pub(super) fn result_scale(wanted: i32, operands: [u32; 2]) -> u32 {
    let least = operands.into_iter().max().unwrap_or(0);
    u32::try_from(wanted).unwrap_or(0).max(least).min(super::DIGITS)
}

/// Of a number written in groups of four digits from the point on: the place of the first group that is not zero (0 is right
/// before the point), and its value.
fn leading_group(number: &Decimal) -> (i32, u32) {
    let count = digits(number.unscaled.magnitude());
    if count == 0 {
        return (0, 0);
    }
    let place =
        i32::try_from(count).unwrap_or(i32::MAX) - 1 - i32::try_from(number.scale).unwrap_or(i32::MAX);
    let weight = place.div_euclid(4);
    // So many digits of the number are in its first group.
    let within = u32::try_from(place.rem_euclid(4)).unwrap_or(0) + 1;
    let group = if count >= within {
        number.unscaled.magnitude() / ten_to(count - within).magnitude()
    } else {
        number.unscaled.magnitude() * ten_to(within - count).magnitude()
    };
    (weight, u32::try_from(group).unwrap_or(0))
}

//! Evaluation in memory: three-valued logic, and errors besides.
//!
//! An error of a part is one of the whole, which so is not true, unless the rest decides: FALSE AND error is FALSE, TRUE OR
//! error is TRUE, in whatever order they stand. Postgres, which goes from left to right, raises in some of these cases and so
//! has no answer; where it has one, it is the same. And no conjunct that is false can be outweighed, so Postgres may test any
//! of them beforehand ([`super::Clause::sql`]).

use super::{
    Expr, Truth, Type, Value,
    function::{Function, Raised},
    value::View,
};
use crate::Values;

type Evaluated<T> = Result<Option<T>, Raised>;

/// Whether the expression is true of a row.
pub(super) fn matches<V: Values + ?Sized>(expr: &Expr, row: &V) -> bool {
    truth(expr, row) == Ok(Some(true))
}

/// What an expression is.
enum Operand<'a> {
    /// It stands in the row or in the clause.
    Borrowed(View<'a>),
    Computed(Value),
}

impl Operand<'_> {
    #[inline]
    fn view(&self) -> View<'_> {
        match self {
            Operand::Borrowed(view) => *view,
            Operand::Computed(value) => value.view(),
        }
    }
}

/// The value of a boolean expression; `None` is NULL.
fn truth<V: Values + ?Sized>(expr: &Expr, row: &V) -> Evaluated<bool> {
    match expr {
        Expr::And(operands) => junction(operands, row, false),
        Expr::Or(operands) => junction(operands, row, true),
        Expr::Not(operand) => Ok(truth(operand, row)?.map(|value| !value)),
        Expr::IsNull(operand) => is_null(operand, row).map(Some),
        Expr::Is(wanted, operand) => {
            let value = truth(operand, row)?;
            Ok(Some(match wanted {
                Truth::True => value == Some(true),
                Truth::False => value == Some(false),
                Truth::Unknown => value.is_none(),
            }))
        }
        Expr::Distinct(equal, left, right) => distinct(*equal, left, right, row).map(Some),
        Expr::In { needle, list, or_null } => {
            let Some(needle) = value(needle, row)? else { return Ok(None) };
            let found = list.binary_search_by(|value| value.view().order(needle.view())).is_ok();
            Ok(if !found && *or_null { None } else { Some(found) })
        }
        Expr::Const(..) | Expr::Column(..) | Expr::Call(..) => match value(expr, row)? {
            None => Ok(None),
            Some(operand) => match operand.view() {
                View::Bool(value) => Ok(Some(value)),
                _ => Err(Raised),
            },
        },
    }
}

/// AND, which FALSE decides, or OR, which TRUE does.
fn junction<V: Values + ?Sized>(operands: &[Expr], row: &V, decisive: bool) -> Evaluated<bool> {
    let mut otherwise = Ok(Some(!decisive));
    for operand in operands {
        match truth(operand, row) {
            Ok(Some(value)) if value == decisive => return Ok(Some(decisive)),
            Ok(Some(_)) => {}
            Ok(None) => otherwise = otherwise.and(Ok(None)),
            Err(raised) => otherwise = Err(raised),
        }
    }
    otherwise
}

/// For a column it is not looked at what the value is: any type will do.
fn is_null<V: Values + ?Sized>(operand: &Expr, row: &V) -> Result<bool, Raised> {
    match operand {
        Expr::Column(column, _) => Ok(row.value(*column).is_none()),
        Expr::Const(value, _) => Ok(value.is_none()),
        Expr::Call(..) => Ok(value(operand, row)?.is_none()),
        _ => Ok(truth(operand, row)?.is_none()),
    }
}

fn distinct<V: Values + ?Sized>(equal: Function, left: &Expr, right: &Expr, row: &V) -> Result<bool, Raised> {
    match (value(left, row)?, value(right, row)?) {
        (Some(left), Some(right)) => match equal.call_views(&[left.view(), right.view()])? {
            Value::Bool(equal) => Ok(!equal),
            _ => Err(Raised),
        },
        (left, right) => Ok(left.is_some() != right.is_some()),
    }
}

/// The value of an expression; `None` is NULL.
fn value<'a, V: Values + ?Sized>(expr: &'a Expr, row: &'a V) -> Evaluated<Operand<'a>> {
    match expr {
        Expr::Const(value, _) => Ok(value.as_ref().map(|value| Operand::Borrowed(value.view()))),
        Expr::Column(column, ty) => row.value(*column).map(|bytes| column_value(bytes, ty)).transpose(),
        Expr::Call(function, arguments) => call(*function, arguments, row),
        _ => Ok(truth(expr, row)?.map(|value| Operand::Borrowed(View::Bool(value)))),
    }
}

/// A value that can't be read is as good as an error: no comparison with it is true, nor is its negation.
#[inline]
fn column_value<'a>(bytes: &'a [u8], ty: &Type) -> Result<Operand<'a>, Raised> {
    match ty {
        Type::Numeric => Value::read(bytes, ty).map(Operand::Computed).ok_or(Raised),
        _ => View::read(bytes, ty).map(Operand::Borrowed).ok_or(Raised),
    }
}

/// All arguments are evaluated, as in Postgres, also after one that is NULL.
fn call<'a, V: Values + ?Sized>(
    function: Function,
    arguments: &'a [Expr],
    row: &'a V,
) -> Evaluated<Operand<'a>> {
    let computed = match arguments {
        [argument] => match value(argument, row)? {
            Some(argument) => function.call_views(&[argument.view()]),
            None => return Ok(None),
        },
        [left, right] => match (value(left, row)?, value(right, row)?) {
            (Some(left), Some(right)) => function.call_views(&[left.view(), right.view()]),
            _ => return Ok(None),
        },
        _ => Err(Raised),
    };
    computed.map(|value| Some(Operand::Computed(value)))
}

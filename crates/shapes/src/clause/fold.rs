//! Makes expressions in canonical form: constants folded, truth simplified by Kleene's rules, operands in order.
//!
//! Whatever is made selects the same rows as what was asked for. Only where a part would raise an error may less be raised than
//! as it was written, which Postgres' own planner takes the liberty of, too.

use std::collections::BTreeMap;

use super::{
    Expr, Truth, Type, Value,
    function::{Function, Raised, equality, operators},
};

/// A call.
///
/// # Errors
/// All arguments are constants and Postgres would raise an error.
pub(super) fn call(function: Function, arguments: Vec<Expr>) -> Result<Expr, Raised> {
    let result = &function.signature().result;
    if arguments.iter().any(|a| matches!(a, Expr::Const(None, _))) {
        return Ok(Expr::Const(None, result.clone()));
    }
    if let Some(values) = constants(&arguments) {
        return Ok(Expr::Const(Some(function.call(&values)?), result.clone()));
    }
    Ok(match <[Expr; 2]>::try_from(arguments) {
        Ok([left, right]) => comparison(function, left, right),
        Err(arguments) => Expr::Call(function, arguments),
    })
}

/// The values, if all are constants and none is NULL.
fn constants(arguments: &[Expr]) -> Option<Vec<Value>> {
    let value = |argument: &Expr| if let Expr::Const(value, _) = argument { value.clone() } else { None };
    arguments.iter().map(value).collect()
}

/// A call with two arguments. Comparisons have a constant to the right, and else their operands in order.
fn comparison(function: Function, left: Expr, right: Expr) -> Expr {
    let swap = match (&left, &right) {
        (Expr::Const(..), _) => true,
        (_, Expr::Const(..)) => false,
        _ => right < left,
    };
    let (function, left, right) = match function.commuted() {
        Some(commuted) if swap => (commuted, right, left),
        Some(_) => (function, left, right),
        None => return Expr::Call(function, vec![left, right]),
    };
    match &right {
        Expr::Const(Some(value), ty) => match narrowed(function, &left, value, ty) {
            Some((function, operand, constant)) => Expr::Call(function, vec![operand, constant]),
            None => Expr::Call(function, vec![left, right]),
        },
        _ => Expr::Call(function, vec![left, right]),
    }
}

/// A comparison of an integer with a number of another type that is a value of the integer's own: as one of that type.
/// So `this.a = 5`, `this.a = 5.0` and `this.a = 5::int8` are the same whatever integer `this.a` is.
fn narrowed(function: Function, operand: &Expr, value: &Value, ty: &Type) -> Option<(Function, Expr, Expr)> {
    let operand = match operand {
        Expr::Call(cast, inner) if *ty == Type::Numeric => {
            inner.first().filter(|_| is_numeric_of_integer(*cast))?
        }
        other => other,
    };
    let own = operand.ty();
    if !is_integer(&own) || own == *ty || !(is_integer(ty) || *ty == Type::Numeric) {
        return None;
    }
    let printed = value.print(ty);
    let whole = match printed.split_once('.') {
        Some((whole, fraction)) => Some(whole).filter(|_| fraction.bytes().all(|b| b == b'0'))?,
        None => &printed,
    };
    let value = Value::parse(whole, &own).ok()?;
    let wanted = [own.clone(), own.clone()];
    let function = operators(function.signature().name, 2).find(|f| f.signature().arguments == wanted)?;
    Some((function, operand.clone(), Expr::Const(Some(value), own)))
}

fn is_integer(ty: &Type) -> bool {
    matches!(ty, Type::Int2 | Type::Int4 | Type::Int8)
}

fn is_numeric_of_integer(cast: Function) -> bool {
    let signature = cast.signature();
    signature.name == "numeric" && matches!(signature.arguments, [ty] if is_integer(ty))
}

const fn boolean(value: bool) -> Expr {
    Expr::Const(Some(Value::Bool(value)), Type::Bool)
}

/// What a boolean constant is; `None` for other expressions.
fn constant_truth(expr: &Expr) -> Option<Truth> {
    match expr {
        Expr::Const(Some(Value::Bool(true)), _) => Some(Truth::True),
        Expr::Const(Some(Value::Bool(false)), _) => Some(Truth::False),
        Expr::Const(None, _) => Some(Truth::Unknown),
        _ => None,
    }
}

/// NOT.
pub(super) fn not(operand: Expr) -> Expr {
    match (constant_truth(&operand), operand) {
        (Some(Truth::True), _) => boolean(false),
        (Some(Truth::False), _) => boolean(true),
        (_, Expr::Not(inner)) => *inner,
        (Some(Truth::Unknown), unknown) => unknown,
        (None, other) => Expr::Not(Box::new(other)),
    }
}

/// AND of all.
pub(super) fn and(operands: Vec<Expr>) -> Expr {
    let mut all = Vec::with_capacity(operands.len());
    for operand in operands {
        match operand {
            Expr::And(inner) => all.extend(inner),
            other => all.push(other),
        }
    }
    if all.iter().any(|e| constant_truth(e) == Some(Truth::False)) {
        return boolean(false);
    }
    all.retain(|e| constant_truth(e) != Some(Truth::True));
    joined(all, Expr::And, true)
}

/// OR of all. Equalities of one operand with constants become one `In`.
pub(super) fn or(operands: Vec<Expr>) -> Expr {
    let mut disjunction = Disjunction::default();
    operands.into_iter().for_each(|operand| disjunction.add(operand));
    disjunction.into_expr()
}

/// Distinct operands in order; the only one alone; without any, a constant.
fn joined(mut operands: Vec<Expr>, join: fn(Vec<Expr>) -> Expr, empty: bool) -> Expr {
    operands.sort_unstable();
    operands.dedup();
    match operands.len() {
        0 => boolean(empty),
        1 => operands.pop().unwrap_or(boolean(empty)),
        _ => join(operands),
    }
}

/// The operands of an OR.
#[derive(Default)]
struct Disjunction {
    /// One is true.
    certain: bool,
    /// One is NULL.
    null: bool,
    /// What is looked for, and the constants that it may equal.
    lists: BTreeMap<Expr, Vec<Value>>,
    others: Vec<Expr>,
}

impl Disjunction {
    fn add(&mut self, operand: Expr) {
        match (constant_truth(&operand), operand) {
            (Some(Truth::True), _) => self.certain = true,
            (Some(Truth::False), _) => {}
            (Some(Truth::Unknown), _) => self.null = true,
            (None, Expr::Or(inner)) => inner.into_iter().for_each(|operand| self.add(operand)),
            (None, Expr::In { needle, list, or_null }) => {
                self.null |= or_null;
                self.lists.entry(*needle).or_default().extend(list);
            }
            (None, other) => match as_member(other) {
                Ok((needle, value)) => self.lists.entry(needle).or_default().push(value),
                Err(other) => self.others.push(other),
            },
        }
    }

    fn into_expr(mut self) -> Expr {
        if self.certain {
            return boolean(true);
        }
        let or_null = self.null && self.others.is_empty() && self.lists.len() == 1;
        if self.null && !or_null {
            self.others.push(Expr::Const(None, Type::Bool));
        }
        let lists = std::mem::take(&mut self.lists);
        self.others.extend(lists.into_iter().map(|(needle, list)| contained(needle, list, or_null)));
        joined(self.others, Expr::Or, false)
    }
}

/// What an equality with a constant looks for, and the constant, if it can be one of a list.
fn as_member(operand: Expr) -> Result<(Expr, Value), Expr> {
    let Expr::Call(function, arguments) = operand else { return Err(operand) };
    let listable = match &arguments[..] {
        [needle, Expr::Const(Some(_), ty)] => compared_as(needle) == *ty && equality(ty) == Some(function),
        _ => false,
    };
    if !listable {
        return Err(Expr::Call(function, arguments));
    }
    match <[Expr; 2]>::try_from(arguments) {
        Ok([needle, Expr::Const(Some(value), _)]) => Ok((needle, value)),
        Ok(others) => Err(Expr::Call(function, others.into())),
        Err(others) => Err(Expr::Call(function, others)),
    }
}

/// The type as which it is looked for in a list.
fn compared_as(needle: &Expr) -> Type {
    match needle.ty() {
        Type::Varchar => Type::Text,
        other => other,
    }
}

fn contained(needle: Expr, mut list: Vec<Value>, or_null: bool) -> Expr {
    list.sort_unstable();
    list.dedup();
    let ty = compared_as(&needle);
    match (equality(&ty), list.len()) {
        (Some(equal), 1) if !or_null => {
            let constants = list.into_iter().map(|value| Expr::Const(Some(value), ty.clone()));
            Expr::Call(equal, std::iter::once(needle).chain(constants).collect())
        }
        _ => Expr::In { needle: Box::new(needle), list, or_null },
    }
}

/// IS NULL.
pub(super) fn is_null(operand: Expr) -> Expr {
    match operand {
        Expr::Const(value, _) => boolean(value.is_none()),
        // NULL alone has no negation.
        Expr::Not(inner) => Expr::IsNull(inner),
        other => Expr::IsNull(Box::new(other)),
    }
}

/// IS TRUE, IS FALSE, IS UNKNOWN.
pub(super) fn is(truth: Truth, operand: Expr) -> Expr {
    match constant_truth(&operand) {
        Some(found) => boolean(found == truth),
        None => Expr::Is(truth, Box::new(operand)),
    }
}

/// IS DISTINCT FROM, by this equality.
///
/// # Errors
/// As of [`call`].
pub(super) fn distinct(equal: Function, left: Expr, right: Expr) -> Result<Expr, Raised> {
    Ok(match (left, right) {
        (Expr::Const(None, _), other) | (other, Expr::Const(None, _)) => not(is_null(other)),
        (left @ Expr::Const(..), right @ Expr::Const(..)) => not(call(equal, vec![left, right])?),
        (left, right) => match comparison(equal, left, right) {
            Expr::Call(equal, operands) => match <[Expr; 2]>::try_from(operands) {
                Ok([left, right]) => Expr::Distinct(equal, Box::new(left), Box::new(right)),
                Err(operands) => Expr::Call(equal, operands),
            },
            other => other,
        },
    })
}

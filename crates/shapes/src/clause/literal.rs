//! Constants: what numbers and strings are (spec 06 §3.3).

use super::{ClauseError, Expr, Type, Value};

/// A number, perhaps after a minus sign: `int4` if it is one, else `numeric`.
///
/// # Errors
/// It has more digits than a `numeric`.
pub(super) fn number(at: usize, text: &str) -> Result<(Value, Type), ClauseError> {
    if let Ok(value) = Value::parse(text, &Type::Int4) {
        return Ok((value, Type::Int4));
    }
    let value = Value::parse(text, &Type::Numeric).map_err(|_| ClauseError::invalid(at, "numeric", text))?;
    Ok((value, Type::Numeric))
}

/// A string constant or NULL, as a value of the type that it turns out to have.
///
/// # Errors
/// It is no value of that type, or clauses don't know the type's values.
pub(super) fn constant(at: usize, text: Option<&str>, ty: &Type) -> Result<Expr, ClauseError> {
    let value = match text {
        None => None,
        Some(_) if matches!(ty, Type::Bytea | Type::Jsonb) => {
            return Err(ClauseError::at(at, format!("unsupported type {}", ty.name())));
        }
        Some(text) => Some(Value::parse(text, ty).map_err(|_| ClauseError::invalid(at, ty.name(), text))?),
    };
    Ok(Expr::Const(value, ty.clone()))
}

//! Expressions while their types are found: operators and functions are chosen, literals and casts take effect.

use super::{
    ClauseError, Expr, Type, Value,
    error::excerpt,
    fold,
    function::{self, Cast, Function, explicit_cast, functions, implicit_cast, operators},
    literal,
    overload::{self, Known},
    syntax::TypeName,
};

/// An expression whose type may still depend on what it is used for.
#[derive(Clone, Debug)]
pub(super) struct Typed {
    /// The byte that messages name.
    pub(super) at: usize,
    pub(super) term: Term,
}

/// An expression as far as its type is known.
#[derive(Clone, Debug)]
pub(super) enum Term {
    /// Of this type; the expression itself may be of one that is only called otherwise.
    Known(Expr, Type),
    /// A string constant or NULL.
    Unknown(Option<Box<str>>),
}

impl Typed {
    pub(super) fn known(at: usize, expr: Expr, ty: Type) -> Typed {
        Typed { at, term: Term::Known(expr, ty) }
    }

    pub(super) fn ty(&self) -> Known<'_> {
        if let Term::Known(_, ty) = &self.term { Some(ty) } else { None }
    }

    pub(super) fn type_name(&self) -> &str {
        self.ty().map_or("unknown", Type::name)
    }

    /// The nodes of the expression.
    pub(super) fn size(&self) -> usize {
        if let Term::Known(expr, _) = &self.term { expr.size() } else { 1 }
    }

    pub(super) fn is_null(&self) -> bool {
        matches!(self.term, Term::Unknown(None))
    }

    /// Whatever its type; a literal of none is text.
    pub(super) fn into_any(self) -> Expr {
        match self.term {
            Term::Known(expr, _) => expr,
            Term::Unknown(text) => Expr::Const(text.map(Value::Text), Type::Text),
        }
    }
}

/// An operator with its operands.
pub(super) fn operation(at: usize, name: &str, operands: Vec<Typed>) -> Result<Typed, ClauseError> {
    let (function, operands) = select_operator(at, name, operands)?;
    let ty = function.signature().result.clone();
    let expr = match function.negated() {
        Some(positive) => fold::call(positive, operands).map(fold::not),
        None => fold::call(function, operands),
    };
    expr.map(|expr| Typed::known(at, expr, ty)).map_err(|_| failed(at))
}

/// The operator that is meant, and the operands as it takes them.
pub(super) fn select_operator(
    at: usize,
    name: &str,
    operands: Vec<Typed>,
) -> Result<(Function, Vec<Expr>), ClauseError> {
    if !function::is_operator(name, operands.len()) {
        let kind = if operands.len() == 1 { "unary" } else { "binary" };
        return Err(ClauseError::at(at, format!("unknown {kind} operator \"{}\"", excerpt(name))));
    }
    let known: Vec<Known<'_>> = operands.iter().map(Typed::ty).collect();
    if let Some(labels) = enumeration(&known).cloned() {
        let function = compare_labels(name, &labels).ok_or_else(|| no_operator(at))?;
        return Ok((function, implicit_all(operands, |_| &labels)?));
    }
    let candidates: Vec<Function> = operators(name, operands.len()).collect();
    let function = overload::operator(&candidates, &known).ok_or_else(|| no_operator(at))?;
    let wanted = function.signature().arguments;
    Ok((function, implicit_all(operands, |place| wanted.get(place).unwrap_or(&Type::Text))?))
}

/// The operator, if values of the enumeration can be compared by it.
fn compare_labels(name: &str, labels: &Type) -> Option<Function> {
    let equal = function::equality(labels)?;
    match name {
        "=" => Some(equal),
        "<>" => operators(name, 2).find(|f| f.negated() == Some(equal)),
        _ => None,
    }
}

/// The enumeration to which all operands belong that are not literals; `None` if there is none among them, or another type.
fn enumeration<'a>(known: &[Known<'a>]) -> Option<&'a Type> {
    let mut types = known.iter().copied().flatten();
    let first = types.next().filter(|ty| matches!(ty, Type::Enum(_)))?;
    types.all(|ty| ty == first).then_some(first)
}

pub(super) fn call(at: usize, name: &str, arguments: Vec<Typed>) -> Result<Typed, ClauseError> {
    let candidates: Vec<Function> = functions(name, arguments.len()).collect();
    if candidates.is_empty() {
        let message = format!("unknown or unsupported function {}/{}", excerpt(name), arguments.len());
        return Err(ClauseError::at(at, message));
    }
    let known: Vec<Known<'_>> = arguments.iter().map(Typed::ty).collect();
    let Some(function) = overload::function(&candidates, &known) else {
        let types: Vec<_> = arguments.iter().map(Typed::type_name).collect();
        let message = format!("Could not select a function overload for {name}({})", types.join(", "));
        return Err(ClauseError::at(at, message));
    };
    let signature = function.signature();
    let arguments = implicit_all(arguments, |place| signature.arguments.get(place).unwrap_or(&Type::Text))?;
    let expr = fold::call(function, arguments).map_err(|_| failed(at))?;
    Ok(Typed::known(at, expr, signature.result.clone()))
}

/// A cast that is written.
pub(super) fn cast(at: usize, operand: Typed, target: &TypeName) -> Result<Typed, ClauseError> {
    let to = target.resolve()?;
    let (expr, from) = match operand.term {
        Term::Unknown(text) => {
            let expr = literal::constant(operand.at, text.as_deref(), &to)?;
            return Ok(Typed::known(at, expr, to));
        }
        Term::Known(expr, from) if from == to => return Ok(Typed::known(at, expr, to)),
        Term::Known(expr, from) => (expr, from),
    };
    let cast = explicit_cast(&from, &to).ok_or_else(|| {
        ClauseError::at(at, format!("unknown cast from type {} to type {}", from.name(), to.name()))
    })?;
    let printed = match &expr {
        Expr::Const(Some(value), ty) => value.print(ty),
        _ => String::new(),
    };
    let expr = apply(cast, expr, &to).map_err(|_| {
        let (value, from, to) = (excerpt(&printed), from.name(), to.name());
        ClauseError::at(at, format!("could not cast value {value} from {from} to {to}"))
    })?;
    Ok(Typed::known(at, expr, to))
}

fn implicit_all<'t>(
    operands: Vec<Typed>,
    wanted: impl Fn(usize) -> &'t Type,
) -> Result<Vec<Expr>, ClauseError> {
    operands.into_iter().enumerate().map(|(place, operand)| implicit(operand, wanted(place))).collect()
}

/// An operand as one of this type, which its own becomes without being told.
pub(super) fn implicit(operand: Typed, to: &Type) -> Result<Expr, ClauseError> {
    let at = operand.at;
    match operand.term {
        Term::Unknown(text) => literal::constant(at, text.as_deref(), to),
        Term::Known(expr, from) if from == *to => Ok(expr),
        Term::Known(expr, from) => {
            let cast = implicit_cast(&from, to).ok_or_else(|| no_operator(at))?;
            apply(cast, expr, to).map_err(|_| failed(at))
        }
    }
}

fn apply(cast: Cast, expr: Expr, to: &Type) -> Result<Expr, function::Raised> {
    match (cast, expr) {
        (Cast::By(function), expr) => fold::call(function, vec![expr]),
        (Cast::Relabel, Expr::Const(value, _)) => Ok(Expr::Const(value, to.clone())),
        (Cast::Relabel, expr) => Ok(expr),
    }
}

pub(super) fn no_operator(at: usize) -> ClauseError {
    ClauseError::at(at, "Could not select an operator overload")
}

pub(super) fn failed(at: usize) -> ClauseError {
    ClauseError::at(at, "Failed to apply function to constant arguments")
}

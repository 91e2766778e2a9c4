//! The catalogue of operators, functions and casts (spec 06 §3.5–3.7).

use super::{Type, Value};

/// An entry of the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Function(pub(super) u16);

/// What an entry takes and returns.
#[derive(Debug)]
pub struct Signature {
    /// The operator, or the function's name.
    pub name: &'static str,
    /// What it takes.
    pub arguments: &'static [Type],
    /// What it returns.
    pub result: Type,
}

/// Evaluation raised an error, where Postgres would: overflow, division by zero, a text that can't be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Raised;

/// How a value of one type becomes one of another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cast {
    /// It is one already: nothing is to be done but to call it so.
    Relabel,
    /// By this function.
    By(Function),
}

/// Operators of this spelling (`=`, `<>`, `~~`, …) with one or two operands.
pub fn operators(name: &str, arity: usize) -> impl Iterator<Item = Function> {
    let _ = (name, arity);
    std::iter::empty()
}

/// Whether there is an operator of this spelling at all.
#[must_use]
pub fn is_operator(name: &str, arity: usize) -> bool {
    operators(name, arity).next().is_some()
}

/// Functions of this name that can be called by it.
pub fn functions(name: &str, arity: usize) -> impl Iterator<Item = Function> {
    let _ = (name, arity);
    std::iter::empty()
}

/// The cast that Postgres makes by itself (spec 06 §3.5).
#[must_use]
pub fn implicit_cast(from: &Type, to: &Type) -> Option<Cast> {
    let _ = (from, to);
    todo!()
}

/// The cast that `::` asks for, implicit ones included (spec 06 §3.6).
#[must_use]
pub fn explicit_cast(from: &Type, to: &Type) -> Option<Cast> {
    let _ = (from, to);
    todo!()
}

/// `=` of two operands of this type; also of enumerations.
#[must_use]
pub fn equality(ty: &Type) -> Option<Function> {
    let _ = ty;
    todo!()
}

impl Function {
    /// What it takes and returns.
    #[must_use]
    pub fn signature(self) -> &'static Signature {
        todo!()
    }

    /// Calls it.
    ///
    /// # Errors
    /// [`Raised`], where Postgres raises.
    pub fn call(self, arguments: &[Value]) -> Result<Value, Raised> {
        let _ = arguments;
        todo!()
    }
}

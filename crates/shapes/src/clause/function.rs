//! The catalogue of operators, functions and casts (spec 06 §3.5–3.7), as the parser looks things up in it.
//!
//! Its entries are Postgres' own, with the operators between different types that the specification leaves out (`int4 = int8`,
//! `float4 + float8`, `date < timestamp`): without them overload resolution would end elsewhere than in Postgres.

use std::fmt;

use super::{
    Type, Value,
    catalogue::{self, CATALOGUE, Entry},
    value::View,
};

/// An entry of the catalogue.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
pub fn operators(name: &str, arity: usize) -> impl Iterator<Item = Function> + use<> {
    CATALOGUE.operators(name, arity).iter().copied()
}

/// Whether there is an operator of this spelling at all.
#[must_use]
pub fn is_operator(name: &str, arity: usize) -> bool {
    operators(name, arity).next().is_some()
}

/// Functions of this name that can be called by it.
pub fn functions(name: &str, arity: usize) -> impl Iterator<Item = Function> + use<> {
    CATALOGUE.functions(name, arity).iter().copied()
}

/// The cast that Postgres makes by itself (spec 06 §3.5); of a type to itself, too.
#[must_use]
pub fn implicit_cast(from: &Type, to: &Type) -> Option<Cast> {
    if from == to { Some(Cast::Relabel) } else { CATALOGUE.implicit_cast(from, to) }
}

/// The cast that `::` asks for, implicit ones included (spec 06 §3.6).
#[must_use]
pub fn explicit_cast(from: &Type, to: &Type) -> Option<Cast> {
    implicit_cast(from, to).or_else(|| CATALOGUE.explicit_cast(from, to))
}

/// `=` of two operands of this type. Enumerations are compared by their labels, so by `=` of `text`: that entry's signature
/// says `text`, and no cast is wanted.
#[must_use]
pub fn equality(ty: &Type) -> Option<Function> {
    let compared = if matches!(ty, Type::Enum(_)) { &Type::Text } else { ty };
    operators("=", 2).find(|f| f.signature().arguments.iter().all(|a| a == compared))
}

impl Function {
    /// What it takes and returns.
    #[must_use]
    pub fn signature(self) -> &'static Signature {
        &self.entry().signature
    }

    /// Calls it with values of the types it takes.
    ///
    /// # Errors
    /// [`Raised`], where Postgres raises.
    pub fn call(self, arguments: &[Value]) -> Result<Value, Raised> {
        match arguments {
            [a] => self.call_views(&[a.view()]),
            [a, b] => self.call_views(&[a.view(), b.view()]),
            _ => Err(Raised),
        }
    }

    /// For `<>`, `!~~` and `!~~*`: the function whose result they negate.
    #[must_use]
    pub fn negated(self) -> Option<Function> {
        let signature = self.signature();
        let name = match signature.name {
            "<>" => "=",
            "!~~" => "~~",
            "!~~*" => "~~*",
            _ => return None,
        };
        operators(name, 2).find(|f| f.signature().arguments == signature.arguments)
    }

    /// For a comparison: the one that gives the same with its operands exchanged.
    #[must_use]
    pub fn commuted(self) -> Option<Function> {
        let signature = self.signature();
        let name = match signature.name {
            "<" => ">",
            ">" => "<",
            "<=" => ">=",
            ">=" => "<=",
            symmetric @ ("=" | "<>") => symmetric,
            _ => return None,
        };
        let [left, right] = signature.arguments else { return None };
        operators(name, 2).find(|f| f.signature().arguments == [right.clone(), left.clone()])
    }

    /// Calls it with borrowed values.
    pub(super) fn call_views(self, arguments: &[View<'_>]) -> Result<Value, Raised> {
        (self.entry().body)(arguments)
    }

    pub(super) fn entry(self) -> &'static Entry {
        catalogue::entry(self)
    }
}

impl fmt::Debug for Function {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Signature { name, arguments, .. } = self.signature();
        write!(f, "{name}{arguments:?}")
    }
}

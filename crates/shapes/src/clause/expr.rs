//! The typed tree of a where-clause.

use std::sync::Arc;

use schema::EnumType;

use super::{function::Function, value::Value};

/// The types of expressions (spec 06 §3.4).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are Postgres' own")]
pub enum Type {
    Bool,
    Int2,
    Int4,
    Int8,
    Numeric,
    Float4,
    Float8,
    Text,
    Varchar,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Bytea,
    Jsonb,
    Enum(Arc<EnumType>),
}

/// A typed expression. Depth is bounded where it is made.
///
/// Canonical: constants are folded; the operands of `And`, `Or` and the values of `In` are sorted and distinct; `And` and `Or`
/// are flat with at least two operands; negation of a comparison stays a `Not`; `<>` is `Not(=)`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Expr {
    /// A constant; `None` is NULL.
    Const(Option<Value>, Type),
    /// A column of the table, by its place.
    Column(usize, Type),
    /// A strict, immutable function, operator or cast: NULL if an argument is.
    Call(Function, Vec<Expr>),
    /// Kleene's AND of all.
    And(Vec<Expr>),
    /// Kleene's OR of all.
    Or(Vec<Expr>),
    /// Kleene's NOT.
    Not(Box<Expr>),
    /// `IS NULL`.
    IsNull(Box<Expr>),
    /// `IS TRUE`, `IS FALSE`, `IS UNKNOWN` of a boolean.
    Is(Truth, Box<Expr>),
    /// `IS DISTINCT FROM`, of operands that `=` (the function) compares.
    Distinct(Function, Box<Expr>, Box<Expr>),
    /// Whether one of the constants equals the operand; NULL if none does and the operand is NULL or `or_null`.
    In {
        /// What is looked for.
        needle: Box<Expr>,
        /// Of the operand's own type, not NULL, sorted, distinct.
        list: Vec<Value>,
        /// Whether NULL is in the list.
        or_null: bool,
    },
}

/// What `IS` asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are SQL's own")]
pub enum Truth {
    True,
    False,
    Unknown,
}

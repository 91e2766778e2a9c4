//! The typed tree of a where-clause.

use std::{collections::BTreeSet, sync::Arc};

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
    Bpchar,
    Date,
    Time,
    Timestamp,
    Timestamptz,
    Interval,
    Uuid,
    Bytea,
    Jsonb,
    Enum(Arc<EnumType>),
    /// A column's that clauses know nothing of but whether it is NULL.
    Other(&'static str),
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

impl Type {
    /// As messages show it: Postgres' own short name.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Type::Bool => "bool",
            Type::Int2 => "int2",
            Type::Int4 => "int4",
            Type::Int8 => "int8",
            Type::Numeric => "numeric",
            Type::Float4 => "float4",
            Type::Float8 => "float8",
            Type::Text => "text",
            Type::Varchar => "varchar",
            Type::Bpchar => "bpchar",
            Type::Date => "date",
            Type::Time => "time",
            Type::Timestamp => "timestamp",
            Type::Timestamptz => "timestamptz",
            Type::Interval => "interval",
            Type::Uuid => "uuid",
            Type::Bytea => "bytea",
            Type::Jsonb => "jsonb",
            Type::Enum(ty) => &ty.name,
            Type::Other(name) => name,
        }
    }
}

impl Truth {
    /// The word after `IS`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Truth::True => "TRUE",
            Truth::False => "FALSE",
            Truth::Unknown => "UNKNOWN",
        }
    }
}

impl Expr {
    /// Its type, as far as nothing around it calls it otherwise (`text` for a `varchar`).
    #[must_use]
    pub fn ty(&self) -> Type {
        match self {
            Expr::Const(_, ty) | Expr::Column(_, ty) => ty.clone(),
            Expr::Call(function, _) => function.signature().result.clone(),
            Expr::And(_)
            | Expr::Or(_)
            | Expr::Not(_)
            | Expr::IsNull(_)
            | Expr::Is(..)
            | Expr::Distinct(..)
            | Expr::In { .. } => Type::Bool,
        }
    }

    /// The nodes it consists of; a list is one.
    pub(super) fn size(&self) -> usize {
        1 + self.children().map(Expr::size).sum::<usize>()
    }

    /// Notes the columns it looks at.
    pub(super) fn columns_into(&self, columns: &mut BTreeSet<usize>) {
        if let Expr::Column(column, _) = self {
            columns.insert(*column);
        }
        self.children().for_each(|child| child.columns_into(columns));
    }

    /// What it is directly made of.
    fn children(&self) -> impl Iterator<Item = &Expr> {
        let (two, all): ([Option<&Expr>; 2], &[Expr]) = match self {
            Expr::Const(..) | Expr::Column(..) => ([None, None], &[]),
            Expr::Call(_, all) | Expr::And(all) | Expr::Or(all) => ([None, None], all),
            Expr::Not(inner) | Expr::IsNull(inner) | Expr::Is(_, inner) | Expr::In { needle: inner, .. } => {
                ([Some(inner), None], &[])
            }
            Expr::Distinct(_, left, right) => ([Some(left), Some(right)], &[]),
        };
        two.into_iter().flatten().chain(all)
    }
}

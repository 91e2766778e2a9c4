//! The where-clause language (spec 06 §3): text to one typed tree, and from that tree both a predicate in memory and SQL.

mod catalogue;
mod check;
mod error;
mod eval;
mod expr;
mod fold;
pub mod function;
mod keyword;
mod like;
mod literal;
mod math;
mod operand;
mod overload;
mod parse;
mod precedence;
mod reference;
mod sql;
mod syntax;
mod temporal;
mod text;
mod token;
mod type_name;
mod typed;
mod uuid;
mod value;

pub use expr::{Expr, Truth, Type};
pub use math::{Float, Numeric};
pub use temporal::Interval;
pub use value::{InvalidText, Value};

use std::collections::BTreeSet;

use schema::Table;

use crate::Values;

/// A where-clause: a boolean expression over the columns of one table, in canonical form. Equal clauses select equal rows.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Clause {
    expr: Expr,
}

/// Why a where-clause is refused: the message of its `ShapeReqError` (spec 06 §3.8).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ClauseError(pub(crate) String);

impl Clause {
    /// Reads a clause for the columns of `table`.
    ///
    /// # Errors
    /// [`ClauseError`], its text as spec 06 §3.8 words it.
    pub fn parse(text: &str, table: &Table) -> Result<Clause, ClauseError> {
        let expr = check::check(&parse::parse(text)?, table)?;
        Ok(Clause { expr })
    }

    /// The tree.
    #[must_use]
    pub fn expr(&self) -> &Expr {
        &self.expr
    }

    /// Whether a row of the table is selected: the value is true. False, NULL and an error of evaluation all leave it out.
    #[must_use]
    pub fn matches<V: Values + ?Sized>(&self, row: &V) -> bool {
        eval::matches(&self.expr, row)
    }

    /// A condition that is true of every row that [`Clause::matches`], for Postgres to leave out others early: those conjuncts
    /// that Postgres decides in exactly the same way and that can't raise. Columns are written `alias."name"`; constants
    /// as typed literals. `None` if no conjunct is of that kind.
    #[must_use]
    pub fn sql(&self, table: &Table, alias: &str) -> Option<String> {
        sql::condition(&self.expr, table, alias)
    }

    /// The columns it looks at, sorted.
    #[must_use]
    pub fn columns(&self) -> Vec<usize> {
        let mut columns = BTreeSet::new();
        self.expr.columns_into(&mut columns);
        columns.into_iter().collect()
    }
}

//! What a row of a layer has to pass: where ∧ owner (spec 06 §9).

use std::sync::Arc;

use change::UserId;
use schema::Table;

use crate::{Clause, Route, Values};

/// The where-clause and the owner's test, as one condition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Filter {
    clause: Option<Arc<Clause>>,
    /// The column `electric_user_id` and who may see its rows.
    owner: Option<(usize, UserId)>,
}

impl Filter {
    /// For rows of `table` as `user` may see them: its own, and those whose owner is NULL or empty.
    #[must_use]
    pub fn new(clause: Option<Arc<Clause>>, table: &Table, user: &UserId) -> Filter {
        let _ = (clause, table, user);
        todo!()
    }

    /// Whether every row passes.
    #[must_use]
    pub fn is_all(&self) -> bool {
        todo!()
    }

    /// Whether a row of the table passes.
    #[must_use]
    pub fn matches<V: Values + ?Sized>(&self, row: &V) -> bool {
        let _ = row;
        todo!()
    }

    /// A condition for Postgres that is true of every row that passes, as [`Clause::sql`] makes it.
    #[must_use]
    pub fn sql(&self, table: &Table, alias: &str) -> Option<String> {
        let _ = (table, alias);
        todo!()
    }

    /// The columns it looks at, sorted.
    #[must_use]
    pub fn columns(&self) -> Vec<usize> {
        todo!()
    }

    /// Where the routing index files it.
    #[must_use]
    pub fn route(&self) -> Route {
        todo!()
    }
}

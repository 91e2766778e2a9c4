//! Which filters can one changed row concern? By value for equality and IN, by bounds for ranges, the rest in a list
//! (spec 06 §14.4).

use std::ops::Bound;

use change::{RelationId, RowChange};

use crate::clause::{Type, Value};

/// Where a filter is filed: what must be true of the old or the new image of a row for the filter to pass one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Route {
    /// One of these values, as Postgres prints them, stands in the column; `None` is NULL.
    Equal(usize, Vec<Option<Box<[u8]>>>),
    /// The column's value lies between.
    Range(usize, Type, Bound<Value>, Bound<Value>),
    /// Anything may pass.
    Any,
    /// Nothing ever passes.
    Never,
}

/// Who is filed under which route of which table. `T` names whoever is to be told, cheap to clone and compare.
#[derive(Debug)]
pub struct RoutingIndex<T> {
    _subscribers: Vec<T>,
}

impl<T> Default for RoutingIndex<T> {
    fn default() -> RoutingIndex<T> {
        RoutingIndex { _subscribers: Vec::new() }
    }
}

impl<T: Clone + Ord> RoutingIndex<T> {
    /// Files `who`. The same may be filed under many routes, and several times under one.
    pub fn insert(&mut self, relation: RelationId, route: &Route, who: T) {
        let _ = (relation, route, who);
        todo!()
    }

    /// Takes out what one call of [`RoutingIndex::insert`] put in.
    pub fn remove(&mut self, relation: RelationId, route: &Route, who: &T) {
        let _ = (relation, route, who);
        todo!()
    }

    /// Hands everyone whom a change of a row may concern to `found`, each possibly several times.
    pub fn concerned(&self, relation: RelationId, change: &RowChange, found: impl FnMut(&T)) {
        let _ = (relation, change, found);
        todo!()
    }

    /// Whether nobody is filed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        todo!()
    }
}

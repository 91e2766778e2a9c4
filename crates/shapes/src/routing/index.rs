//! The index: a few probes per changed row, however many are filed.

use std::{
    collections::{BTreeMap, HashMap},
    fmt,
};

use change::{RelationId, RowChange};

use super::{
    Route,
    bounds::{self, High, Low},
    extract::read,
    intervals::Intervals,
    members::Members,
};
use crate::clause::Type;

/// Who is filed under which route of which table. `T` names whoever is to be told, cheap to clone and compare.
///
/// A change costs a probe for each column under which something is filed, and what is found.
pub struct RoutingIndex<T> {
    relations: HashMap<RelationId, Relation<T>>,
}

/// What is filed under one table. No place in it is empty.
struct Relation<T> {
    columns: BTreeMap<usize, Column<T>>,
    /// Whom every change concerns.
    any: Members<T>,
}

/// What is filed under one column.
struct Column<T> {
    values: HashMap<Box<[u8]>, Members<T>>,
    null: Members<T>,
    /// By the type as which the column is read; hardly ever more than one.
    ranges: BTreeMap<Type, Intervals<T>>,
}

impl<T> Default for RoutingIndex<T> {
    fn default() -> RoutingIndex<T> {
        RoutingIndex { relations: HashMap::new() }
    }
}

impl<T> Default for Relation<T> {
    fn default() -> Relation<T> {
        Relation { columns: BTreeMap::new(), any: Members::default() }
    }
}

impl<T> Default for Column<T> {
    fn default() -> Column<T> {
        Column { values: HashMap::new(), null: Members::default(), ranges: BTreeMap::new() }
    }
}

impl<T: Clone + Ord> RoutingIndex<T> {
    /// Files `who`. The same may be filed under many routes, and several times under one.
    pub fn insert(&mut self, relation: RelationId, route: &Route, who: T) {
        if never_admits(route) {
            return;
        }
        let relation = self.relations.entry(relation).or_default();
        match route {
            Route::Equal(column, values) => {
                let column = relation.columns.entry(*column).or_default();
                for value in values {
                    column.members(value.as_deref()).insert(who.clone());
                }
            }
            Route::Range(column, ty, low, high) => {
                let column = relation.columns.entry(*column).or_default();
                let ranges = column.ranges.entry(ty.clone()).or_default();
                ranges.insert(Low::from(low), High::from(high), who);
            }
            Route::Any => relation.any.insert(who),
            Route::Never => {}
        }
    }

    /// Takes out what one call of [`RoutingIndex::insert`] put in.
    pub fn remove(&mut self, relation: RelationId, route: &Route, who: &T) {
        let Some(filed) = self.relations.get_mut(&relation) else { return };
        match route {
            Route::Equal(column, values) => filed.edit(*column, |column| {
                for value in values {
                    column.remove(value.as_deref(), who);
                }
            }),
            Route::Range(column, ty, low, high) => filed.edit(*column, |column| {
                if let Some(ranges) = column.ranges.get_mut(ty) {
                    ranges.remove(&low.into(), &high.into(), who);
                    if ranges.is_empty() {
                        column.ranges.remove(ty);
                    }
                }
            }),
            Route::Any => filed.any.remove(who),
            Route::Never => {}
        }
        if filed.columns.is_empty() && filed.any.is_empty() {
            self.relations.remove(&relation);
        }
    }

    /// Hands everyone whom a change of a row may concern to `found`, each possibly several times.
    pub fn concerned(&self, relation: RelationId, change: &RowChange, mut found: impl FnMut(&T)) {
        let Some(relation) = self.relations.get(&relation) else { return };
        relation.any.each(&mut found);
        let images = (change.before(), change.after());
        for (at, column) in &relation.columns {
            match images {
                (Some(old), Some(new)) => {
                    let (old, new) = (old.get(*at), new.get(*at));
                    column.probe(new, &mut found);
                    if old != new {
                        column.probe(old, &mut found);
                    }
                }
                (one, other) => {
                    if let Some(row) = one.or(other) {
                        column.probe(row.get(*at), &mut found);
                    }
                }
            }
        }
    }

    /// Whether nobody is filed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.relations.is_empty()
    }
}

/// Nothing is made for those.
fn never_admits(route: &Route) -> bool {
    match route {
        Route::Equal(_, values) => values.is_empty(),
        Route::Range(_, _, low, high) => bounds::is_empty(&low.into(), &high.into()),
        Route::Any => false,
        Route::Never => true,
    }
}

impl<T: Ord> Relation<T> {
    fn edit(&mut self, column: usize, change: impl FnOnce(&mut Column<T>)) {
        if let Some(filed) = self.columns.get_mut(&column) {
            change(filed);
            if filed.is_empty() {
                self.columns.remove(&column);
            }
        }
    }
}

impl<T: Ord> Column<T> {
    fn members(&mut self, value: Option<&[u8]>) -> &mut Members<T> {
        match value {
            None => &mut self.null,
            Some(value) => self.values.entry(value.into()).or_default(),
        }
    }

    fn remove(&mut self, value: Option<&[u8]>, who: &T) {
        match value {
            None => self.null.remove(who),
            Some(value) => {
                if let Some(members) = self.values.get_mut(value) {
                    members.remove(who);
                    if members.is_empty() {
                        self.values.remove(value);
                    }
                }
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.values.is_empty() && self.null.is_empty() && self.ranges.is_empty()
    }

    fn probe(&self, value: Option<&[u8]>, found: &mut impl FnMut(&T)) {
        let Some(bytes) = value else { return self.null.each(found) };
        if let Some(members) = self.values.get(bytes) {
            members.each(found);
        }
        for (ty, ranges) in &self.ranges {
            if let Some(value) = read(bytes, ty) {
                ranges.around(&value, found);
            }
        }
    }
}

/// What is filed are users' own values, which are not printed.
impl<T> fmt::Debug for RoutingIndex<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RoutingIndex({} tables)", self.relations.len())
    }
}

//! Which filters can one changed row concern? By value for equality and IN, by bounds for ranges, the rest in a list
//! (spec 06 §14.4).

mod bounds;
mod extract;
mod index;
mod intervals;
mod members;
mod prefix;

use std::{fmt, ops::Bound};

pub(crate) use extract::route;
pub use index::RoutingIndex;

use crate::{
    Values,
    clause::{Type, Value},
};

/// Where a filter is filed: what must be true of the old or the new image of a row for the filter to pass one of them.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Route {
    /// One of these values, as Postgres prints them, stands in the column; `None` is NULL.
    Equal(usize, Vec<Option<Box<[u8]>>>),
    /// The column's value, read as the type, lies between.
    Range(usize, Type, Bound<Value>, Bound<Value>),
    /// Anything may pass.
    Any,
    /// Nothing ever passes.
    Never,
}

impl Route {
    /// Whether a filter with this route may pass the row: it does wherever the filter passes it.
    #[must_use]
    pub fn admits<V: Values + ?Sized>(&self, row: &V) -> bool {
        match self {
            Route::Equal(column, values) => {
                let value = row.value(*column);
                values.iter().any(|known| known.as_deref() == value)
            }
            Route::Range(column, ty, low, high) => {
                let value = row.value(*column).and_then(|bytes| extract::read(bytes, ty));
                value.is_some_and(|value| {
                    bounds::Low::from(low).admits(&value) && bounds::High::from(high).admits(&value)
                })
            }
            Route::Any => true,
            Route::Never => false,
        }
    }
}

/// Values are the users' own and are not printed.
impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Route::Equal(column, values) => write!(f, "Equal({column}, {} values)", values.len()),
            Route::Range(column, ty, ..) => write!(f, "Range({column}, {ty:?})"),
            Route::Any => f.write_str("Any"),
            Route::Never => f.write_str("Never"),
        }
    }
}

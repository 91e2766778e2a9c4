//! Rows as this crate looks at them.

use change::Row;

/// A row's values in table column order, as Postgres prints them.
pub trait Values {
    /// The value of a column; `None` for NULL and for a column the row does not have.
    fn value(&self, column: usize) -> Option<&[u8]>;
}

impl Values for Row {
    fn value(&self, column: usize) -> Option<&[u8]> {
        self.get(column)
    }
}

impl Values for [Option<&[u8]>] {
    fn value(&self, column: usize) -> Option<&[u8]> {
        self.get(column).copied().flatten()
    }
}

impl<V: Values + ?Sized> Values for &V {
    fn value(&self, column: usize) -> Option<&[u8]> {
        (**self).value(column)
    }
}

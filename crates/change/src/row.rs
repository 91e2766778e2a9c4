//! Rows: one buffer, and where each column's value lies in it.

use std::{fmt, sync::Arc};

use bytes::{BufMut, Bytes, BytesMut};

/// A row's values in table column order, as Postgres prints them (spec 03 §1), or NULL. Cheap to clone: two reference
/// counts. Never printed: [`fmt::Debug`] shows the number of columns only, since values are the users' own.
#[derive(Clone)]
pub struct Row {
    data: Bytes,
    spans: Arc<[Span]>,
}

/// Rows are equal if their values are, wherever those lie.
impl PartialEq for Row {
    fn eq(&self, other: &Row) -> bool {
        self.len() == other.len() && self.iter().eq(other.iter())
    }
}

impl Eq for Row {}

/// Where a value lies in the row's buffer. NULL has the length `u32::MAX`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Span {
    start: u32,
    len: u32,
}

const NULL: Span = Span { start: 0, len: u32::MAX };

impl Row {
    /// Number of columns.
    #[must_use]
    pub fn len(&self) -> usize {
        self.spans.len()
    }

    /// Whether the row has no columns at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.spans.is_empty()
    }

    /// The value of a column; `None` for NULL and for a column the row does not have.
    #[must_use]
    pub fn get(&self, column: usize) -> Option<&[u8]> {
        let span = *self.spans.get(column)?;
        if span == NULL {
            return None;
        }
        let start = span.start as usize;
        self.data.get(start..start + span.len as usize)
    }

    /// All values in column order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Option<&[u8]>> {
        (0..self.len()).map(|column| self.get(column))
    }

    /// Bytes of all values together: what the row weighs in memory, but for the fixed part.
    #[must_use]
    pub fn weight(&self) -> usize {
        self.data.len() + self.spans.len() * size_of::<Span>()
    }
}

impl<'a> FromIterator<Option<&'a [u8]>> for Row {
    fn from_iter<I: IntoIterator<Item = Option<&'a [u8]>>>(values: I) -> Row {
        let mut builder = RowBuilder::default();
        for value in values {
            builder.push(value);
        }
        builder.finish()
    }
}

impl fmt::Debug for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Row({} columns)", self.len())
    }
}

/// Builds a [`Row`], either by copying values or by pointing into a buffer that holds them already.
#[derive(Default)]
pub struct RowBuilder {
    data: BytesMut,
    spans: Vec<Span>,
}

impl RowBuilder {
    /// Appends a value by copying it. A value whose end would pass 4 GiB is taken as NULL; Postgres' own limit for one
    /// row is 1 GiB.
    pub fn push(&mut self, value: Option<&[u8]>) {
        let start = self.data.len();
        match value {
            Some(bytes) if start + bytes.len() < u32::MAX as usize => {
                self.spans.push(Span { start: start as u32, len: bytes.len() as u32 });
                self.data.put_slice(bytes);
            }
            _ => self.spans.push(NULL),
        }
    }

    /// The finished row.
    #[must_use]
    pub fn finish(self) -> Row {
        Row { data: self.data.freeze(), spans: self.spans.into() }
    }

    /// A row whose values are the given ranges of `data`, in column order; nothing is copied.
    ///
    /// Returns `None` if a range does not lie in `data`.
    #[must_use]
    pub fn point_into(
        data: Bytes,
        ranges: impl IntoIterator<Item = Option<std::ops::Range<usize>>>,
    ) -> Option<Row> {
        let spans = ranges
            .into_iter()
            .map(|range| match range {
                None => Some(NULL),
                Some(r) if r.start <= r.end && r.end <= data.len() && r.end < u32::MAX as usize => {
                    Some(Span { start: r.start as u32, len: (r.end - r.start) as u32 })
                }
                Some(_) => None,
            })
            .collect::<Option<Arc<[Span]>>>()?;
        Some(Row { data, spans })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn holds_what_was_put_in(values: Vec<Option<Vec<u8>>>) {
            let row: Row = values.iter().map(Option::as_deref).collect();
            prop_assert_eq!(row.len(), values.len());
            prop_assert!(row.iter().eq(values.iter().map(Option::as_deref)));
        }
    }

    #[test]
    fn points_into_a_buffer_without_going_past_it() {
        let data = Bytes::from_static(b"abcdef");
        let row = RowBuilder::point_into(data.clone(), [Some(0..2), None, Some(6..6)]).unwrap();
        assert!(row.iter().eq([Some(b"ab".as_slice()), None, Some(b"".as_slice())]));
        assert!(RowBuilder::point_into(data.clone(), [Some(5..7)]).is_none());
        #[expect(clippy::reversed_empty_ranges, reason = "that is what is tried")]
        let reversed = RowBuilder::point_into(data, [Some(3..2)]);
        assert!(reversed.is_none());
    }

    #[test]
    fn equal_values_make_equal_rows() {
        let data = Bytes::from_static(b"_a_a");
        let first = RowBuilder::point_into(data.clone(), [Some(1..2), None]).unwrap();
        let second = RowBuilder::point_into(data.clone(), [Some(3..4), None]).unwrap();
        let other = RowBuilder::point_into(data, [Some(1..1), None]).unwrap();
        assert!(first == second && first != other);
    }

    #[test]
    fn never_prints_values() {
        let row: Row = [Some(b"secret".as_slice())].into_iter().collect();
        assert_eq!(format!("{row:?}"), "Row(1 columns)");
    }
}

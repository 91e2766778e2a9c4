//! Rows as they stand in a message.

use std::ops::Range;

use super::{Malformed, Reader};

/// A row in a message. Checked when the message is read, walked when it is used.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Tuple<'a> {
    columns: u16,
    data: &'a [u8],
}

/// One value of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Datum<'a> {
    /// NULL.
    Null,
    /// A large value that the update did not touch, and that is not repeated.
    Unchanged,
    /// The value, as Postgres prints it.
    Text(&'a [u8]),
}

/// Where one value of a row lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Nowhere: NULL.
    Null,
    /// Nowhere: a large value that the update did not touch.
    Unchanged,
    /// In [`Tuple::data`].
    At(Range<usize>),
}

impl<'a> Tuple<'a> {
    pub(super) fn read(reader: &mut Reader<'a>) -> Result<Tuple<'a>, Malformed> {
        let columns = reader.u16()?;
        let start = reader.rest();
        for _ in 0..columns {
            match reader.u8()? {
                b'n' | b'u' => {}
                b't' => {
                    let length = reader.u32()?;
                    reader.bytes(length as usize)?;
                }
                b'b' => return Err(Malformed("row: a value is binary")),
                _ => return Err(Malformed("row")),
            }
        }
        let length = start.len() - reader.remaining();
        Ok(Tuple { columns, data: start.get(..length).unwrap_or_default() })
    }

    /// The number of values.
    #[must_use]
    pub fn len(&self) -> usize {
        usize::from(self.columns)
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.columns == 0
    }

    /// The bytes that hold the values.
    #[must_use]
    pub fn data(&self) -> &'a [u8] {
        self.data
    }

    /// Where the values lie, in order.
    pub fn places(&self) -> impl Iterator<Item = Place> + use<'a> {
        let total = self.data.len();
        let mut reader = Reader::new(self.data);
        (0..self.columns).map_while(move |_| {
            Some(match reader.u8().ok()? {
                b'n' => Place::Null,
                b'u' => Place::Unchanged,
                _ => {
                    let length = reader.u32().ok()? as usize;
                    let start = total - reader.remaining();
                    reader.bytes(length).ok()?;
                    Place::At(start..start + length)
                }
            })
        })
    }

    /// The values in order.
    pub fn iter(&self) -> impl Iterator<Item = Datum<'a>> + use<'a> {
        let data = self.data;
        self.places().map(move |place| match place {
            Place::Null => Datum::Null,
            Place::Unchanged => Datum::Unchanged,
            Place::At(range) => Datum::Text(data.get(range).unwrap_or_default()),
        })
    }
}

/// Values are the users' own and are not printed.
impl std::fmt::Debug for Tuple<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Tuple({} columns)", self.columns)
    }
}

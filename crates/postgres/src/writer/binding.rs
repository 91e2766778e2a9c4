//! Parameters: a column of values, one per row.

use std::{error::Error, fmt};

use bytes::{BufMut, BytesMut};
use postgres_protocol::{
    IsNull as Nullness,
    types::{ArrayDimension, array_to_sql},
};
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// Anything that can be bound.
pub type Parameter<'a> = Box<dyn ToSql + Sync + Send + 'a>;

/// The `text` or `bytea` values of a column, one per row; `None` is NULL. Bound as an array, or, where the statement asks for
/// that, the first as a plain value.
pub struct Values<T>(pub Vec<Option<T>>);

/// The driver prints parameters in its debug log; values are the users' own.
impl<T> fmt::Debug for Values<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} values", self.0.len())
    }
}

impl<T: AsRef<[u8]>> ToSql for Values<T> {
    fn to_sql(&self, ty: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        let element = match *ty {
            Type::TEXT_ARRAY => Type::TEXT,
            Type::BYTEA_ARRAY => Type::BYTEA,
            _ => {
                return Ok(match self.0.first() {
                    Some(Some(value)) => {
                        out.put_slice(value.as_ref());
                        IsNull::No
                    }
                    _ => IsNull::Yes,
                });
            }
        };
        let len = i32::try_from(self.0.len())?;
        let write = |value: &Option<T>, out: &mut BytesMut| {
            Ok(match value {
                None => Nullness::Yes,
                Some(value) => {
                    out.put_slice(value.as_ref());
                    Nullness::No
                }
            })
        };
        array_to_sql([ArrayDimension { len, lower_bound: 1 }], element.oid(), &self.0, write, out)?;
        Ok(IsNull::No)
    }

    fn accepts(ty: &Type) -> bool {
        matches!(*ty, Type::TEXT | Type::BYTEA | Type::TEXT_ARRAY | Type::BYTEA_ARRAY)
    }

    to_sql_checked!();
}

/// A set of column numbers, as `get_bit` of Postgres reads a `bytea`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mask(Vec<u8>);

impl Mask {
    /// For columns below `columns`; none is in it.
    pub fn new(columns: usize) -> Mask {
        Mask(vec![0; columns.div_ceil(8)])
    }

    /// Puts a column in.
    pub fn set(&mut self, column: usize) {
        if let Some(byte) = self.0.get_mut(column / 8) {
            *byte |= 1 << (column % 8);
        }
    }
}

impl AsRef<[u8]> for Mask {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_count_from_the_least_of_the_first_byte() {
        let mut mask = Mask::new(9);
        mask.set(0);
        mask.set(8);
        mask.set(99);
        assert_eq!(mask.as_ref(), [1, 1]);
    }
}

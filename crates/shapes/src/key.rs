//! Values of some columns taken together: what names a row, or ties it to another.

use std::fmt;

use crate::Values;

/// The values of one or several columns, none of them NULL. Compared bytewise, as Postgres prints the values. Cheap to hash; one
/// allocation.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Box<[u8]>);

impl Key {
    /// The key of a row; `None` if one of the columns is NULL.
    ///
    /// A single value stands as it is; of several, each but the last follows its length.
    #[must_use]
    pub fn of<V: Values + ?Sized>(row: &V, columns: &[usize]) -> Option<Key> {
        let mut bytes = Vec::new();
        Key::write(row, columns, &mut bytes).then(|| Key(bytes.into()))
    }

    /// Like [`Key::of`], into a buffer that is used again; whether no column is NULL.
    pub fn write<V: Values + ?Sized>(row: &V, columns: &[usize], into: &mut Vec<u8>) -> bool {
        into.clear();
        for (at, column) in columns.iter().enumerate() {
            let Some(value) = row.value(*column) else { return false };
            if at + 1 < columns.len() {
                // A value is shorter than 1 GiB.
                into.extend_from_slice(&(value.len() as u32).to_be_bytes());
            }
            into.extend_from_slice(value);
        }
        true
    }

    /// The values, given how many they are.
    pub fn values(&self, count: usize) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.0;
        (0..count).map(move |at| {
            if at + 1 == count {
                return std::mem::take(&mut rest);
            }
            let Some((len, tail)) = rest.split_first_chunk::<4>() else { return Default::default() };
            let len = (u32::from_be_bytes(*len) as usize).min(tail.len());
            let (value, tail) = tail.split_at(len);
            rest = tail;
            value
        })
    }

    /// From the bytes that [`Key::write`] makes.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Key {
        Key(bytes.into())
    }

    /// The bytes that [`Key::write`] makes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl std::borrow::Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

/// Keys are the users' own and are not printed.
impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({} bytes)", self.0.len())
    }
}

//! Values of expressions.

use std::fmt;

use super::Type;

/// A value of some [`Type`], not NULL. Equality, order and hash are those of Postgres' default operators for the type (text
/// bytewise, NaN equal to itself and greatest, −0 equal to 0, `1 day` equal to `24 hours`); values of different types are
/// not to be compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// `bool`
    Bool(bool),
    /// `int2`, `int4`, `int8`
    Int(i64),
    /// `text`, `varchar`, the label of an enumeration
    Text(Box<str>),
}

/// A text is not a value of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidText;

impl Value {
    /// Reads a literal as Postgres' input function of the type does in a session with `DateStyle='ISO, DMY'`, `TimeZone='UTC'`.
    ///
    /// # Errors
    /// [`InvalidText`]; also for types without a reader here (bytea, jsonb).
    pub fn parse(text: &str, ty: &Type) -> Result<Value, InvalidText> {
        let _ = (text, ty);
        todo!()
    }

    /// Reads what Postgres printed. `None` if it can't be read; no error is shown for it, the value just equals nothing.
    #[must_use]
    pub fn read(bytes: &[u8], ty: &Type) -> Option<Value> {
        let _ = (bytes, ty);
        todo!()
    }

    /// As Postgres prints it under the same settings.
    #[must_use]
    pub fn print(&self, ty: &Type) -> String {
        let _ = ty;
        todo!()
    }
}

/// Values are the users' own and are not printed.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}

//! Values of expressions.

use std::{cmp::Ordering, fmt};

use super::{
    Type,
    math::{Float, Numeric, integer},
    temporal::{self, Interval},
    text, uuid,
};

/// A value of some [`Type`], not NULL.
///
/// Equality, order and hash are those of Postgres' default operators for the type (text bytewise, NaN equal to itself and
/// greatest, −0 equal to 0), but for `numeric` and `interval`: equal ones that print differently (`1.0` and `1.00`, `1 mon` and
/// `30 days`) behave differently in a clause and so are told apart, next to each other. Values of different types are not to be compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Value {
    /// `bool`
    Bool(bool),
    /// `int2`, `int4`, `int8`
    Int(i64),
    /// `numeric`
    Numeric(Numeric),
    /// `float4`, `float8`
    Float(Float),
    /// `text`, `varchar`, the label of an enumeration, `char(n)` without the spaces that it ends with
    Text(Box<str>),
    /// `date`: days since 2000-01-01; the least and the greatest number are the infinities.
    Date(i32),
    /// `time`: microseconds since midnight, 24:00 included.
    Time(i64),
    /// `timestamp`, `timestamptz`: microseconds since 2000-01-01, infinities as of dates.
    Timestamp(i64),
    /// `interval`
    Interval(Interval),
    /// `uuid`
    Uuid([u8; 16]),
}

/// A text is not a value of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidText;

/// A value as functions look at it: text is borrowed, so that what stands in a row or in the clause need not be copied.
#[derive(Clone, Copy)]
pub(super) enum View<'a> {
    Bool(bool),
    Int(i64),
    Numeric(&'a Numeric),
    Float(Float),
    Text(&'a str),
    Date(i32),
    Time(i64),
    Timestamp(i64),
    Interval(Interval),
    Uuid([u8; 16]),
}

impl Value {
    /// Reads a literal as Postgres' input function of the type does in a session with `DateStyle='ISO, DMY'`, `TimeZone='UTC'`.
    /// Some rare spellings that Postgres knows are refused (other orders than ISO of the parts of a date, names of time zones);
    /// none is read differently.
    ///
    /// # Errors
    /// [`InvalidText`]; also for types without a reader here (bytea, jsonb and those that clauses don't know).
    pub fn parse(text: &str, ty: &Type) -> Result<Value, InvalidText> {
        let value = match ty {
            Type::Bool => text::parse_bool(text).map(Value::Bool),
            Type::Int2 => integer::parse::<i16>(text).map(Value::Int),
            Type::Int4 => integer::parse::<i32>(text).map(Value::Int),
            Type::Int8 => integer::parse::<i64>(text).map(Value::Int),
            Type::Numeric => Numeric::parse(text).map(Value::Numeric),
            Type::Float4 => Float::parse_single(text).map(Value::Float),
            Type::Float8 => Float::parse(text).map(Value::Float),
            Type::Text | Type::Varchar => (!text.contains('\0')).then(|| Value::Text(text.into())),
            Type::Bpchar => (!text.contains('\0')).then(|| Value::Text(text.trim_end_matches(' ').into())),
            Type::Date => temporal::parse_date(text).map(Value::Date),
            Type::Time => temporal::parse_time(text).map(Value::Time),
            Type::Timestamp => temporal::parse_timestamp(text).map(Value::Timestamp),
            Type::Timestamptz => temporal::parse_timestamptz(text).map(Value::Timestamp),
            Type::Interval => Interval::parse(text).map(Value::Interval),
            Type::Uuid => uuid::parse(text).map(Value::Uuid),
            Type::Enum(ty) => ty.labels.iter().any(|label| label == text).then(|| Value::Text(text.into())),
            Type::Bytea | Type::Jsonb | Type::Other(_) => None,
        };
        value.ok_or(InvalidText)
    }

    /// Reads what Postgres printed. `None` if it can't be read; no error is shown for it, the value just equals nothing.
    #[must_use]
    pub fn read(bytes: &[u8], ty: &Type) -> Option<Value> {
        match ty {
            // The labels of an enumeration may have changed since.
            Type::Enum(_) => Some(Value::Text(std::str::from_utf8(bytes).ok()?.into())),
            Type::Numeric => Numeric::read(std::str::from_utf8(bytes).ok()?).map(Value::Numeric),
            _ => View::read(bytes, ty)
                .map(View::to_value)
                .or_else(|| Value::parse(std::str::from_utf8(bytes).ok()?, ty).ok()),
        }
    }

    /// As Postgres prints it under the same settings.
    #[must_use]
    pub fn print(&self, ty: &Type) -> String {
        self.view().print(ty)
    }

    pub(super) fn view(&self) -> View<'_> {
        match self {
            Value::Bool(value) => View::Bool(*value),
            Value::Int(value) => View::Int(*value),
            Value::Numeric(value) => View::Numeric(value),
            Value::Float(value) => View::Float(*value),
            Value::Text(value) => View::Text(value),
            Value::Date(value) => View::Date(*value),
            Value::Time(value) => View::Time(*value),
            Value::Timestamp(value) => View::Timestamp(*value),
            Value::Interval(value) => View::Interval(*value),
            Value::Uuid(value) => View::Uuid(*value),
        }
    }
}

impl<'a> View<'a> {
    /// Reads what Postgres printed, if that takes no memory of its own.
    #[inline]
    pub(super) fn read(bytes: &'a [u8], ty: &Type) -> Option<View<'a>> {
        match ty {
            Type::Bool => match bytes {
                b"t" => Some(View::Bool(true)),
                b"f" => Some(View::Bool(false)),
                _ => None,
            },
            Type::Int2 | Type::Int4 | Type::Int8 => integer::read(bytes).map(View::Int),
            Type::Text | Type::Varchar | Type::Enum(_) => std::str::from_utf8(bytes).ok().map(View::Text),
            Type::Bpchar => {
                let text = std::str::from_utf8(bytes).ok()?;
                Some(View::Text(text.trim_end_matches(' ')))
            }
            Type::Uuid => uuid::read(bytes).map(View::Uuid),
            _ => {
                let text = std::str::from_utf8(bytes).ok()?;
                match ty {
                    Type::Float4 => Float::parse_single(text).map(View::Float),
                    Type::Float8 => Float::parse(text).map(View::Float),
                    Type::Date => temporal::parse_date(text).map(View::Date),
                    Type::Time => temporal::parse_time(text).map(View::Time),
                    Type::Timestamp => temporal::parse_timestamp(text).map(View::Timestamp),
                    Type::Timestamptz => temporal::parse_timestamptz(text).map(View::Timestamp),
                    _ => None,
                }
            }
        }
    }

    pub(super) fn to_value(self) -> Value {
        match self {
            View::Bool(value) => Value::Bool(value),
            View::Int(value) => Value::Int(value),
            View::Numeric(value) => Value::Numeric(value.clone()),
            View::Float(value) => Value::Float(value),
            View::Text(value) => Value::Text(value.into()),
            View::Date(value) => Value::Date(value),
            View::Time(value) => Value::Time(value),
            View::Timestamp(value) => Value::Timestamp(value),
            View::Interval(value) => Value::Interval(value),
            View::Uuid(value) => Value::Uuid(value),
        }
    }

    /// Postgres' order of the type, and of dates among timestamps. Of values that are never compared it says anything.
    #[inline]
    pub(super) fn order(self, other: View<'_>) -> Ordering {
        match (self, other) {
            (View::Int(a), View::Int(b))
            | (View::Time(a), View::Time(b))
            | (View::Timestamp(a), View::Timestamp(b)) => a.cmp(&b),
            (View::Text(a), View::Text(b)) => a.cmp(b),
            (View::Uuid(a), View::Uuid(b)) => a.cmp(&b),
            (View::Bool(a), View::Bool(b)) => a.cmp(&b),
            (View::Float(a), View::Float(b)) => a.cmp(&b),
            (View::Numeric(a), View::Numeric(b)) => a.order(b),
            (View::Date(a), View::Date(b)) => a.cmp(&b),
            (View::Interval(a), View::Interval(b)) => a.order(b),
            (View::Date(a), View::Timestamp(b)) => temporal::order_date_timestamp(a, b),
            (View::Timestamp(a), View::Date(b)) => temporal::order_date_timestamp(b, a).reverse(),
            _ => Ordering::Equal,
        }
    }

    pub(super) fn print(self, ty: &Type) -> String {
        match self {
            View::Bool(value) => if value { "t" } else { "f" }.to_owned(),
            View::Int(value) => value.to_string(),
            View::Numeric(value) => value.to_string(),
            View::Float(value) if *ty == Type::Float4 => value.print_single(),
            View::Float(value) => value.print(),
            View::Text(value) => value.to_owned(),
            View::Date(value) => temporal::print_date(value),
            View::Time(value) => temporal::print_time(value),
            View::Timestamp(value) => temporal::print_timestamp(value, *ty == Type::Timestamptz),
            View::Interval(value) => value.to_string(),
            View::Uuid(value) => uuid::print(&value),
        }
    }
}

/// Values are the users' own and are not printed.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Value")
    }
}

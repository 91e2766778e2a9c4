//! stub
use std::cmp::Ordering;
use std::fmt;
/// stub
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Numeric(i64);
impl Numeric {
    pub(in crate::clause) fn parse(text: &str) -> Option<Numeric> {
        text.parse().ok().map(Numeric)
    }
    pub(in crate::clause) fn order(&self, other: &Numeric) -> Ordering {
        self.cmp(other)
    }
}
impl fmt::Display for Numeric {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}
use crate::clause::{Value, catalogue::Body, function::Raised, value::View};
pub(in crate::clause) fn negate(_: &[View<'_>]) -> Result<Value, Raised> {
    Err(Raised)
}
pub(in crate::clause) fn abs(_: &[View<'_>]) -> Result<Value, Raised> {
    Err(Raised)
}
pub(in crate::clause) fn from_integer(_: &[View<'_>]) -> Result<Value, Raised> {
    Err(Raised)
}
pub(in crate::clause) fn operators() -> [(&'static str, Body); 6] {
    let f: Body = |_| Err(Raised);
    [("+", f), ("-", f), ("*", f), ("/", f), ("%", f), ("^", f)]
}

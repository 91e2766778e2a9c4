//! Numbers: what is read, printed and computed as Postgres does it.

pub(super) mod float;
pub(super) mod integer;
pub(super) mod numeric;

pub use float::Float;
pub use numeric::Numeric;

use super::{Value, function::Raised, value::View};

/// What it is given: unary plus, and casts that change nothing.
pub(super) fn same(arguments: &[View<'_>]) -> Result<Value, Raised> {
    arguments.first().map(|view| view.to_value()).ok_or(Raised)
}

/// The characters around a number that Postgres skips.
fn trim(text: &str) -> &str {
    text.trim_matches([' ', '\t', '\n', '\r', '\x0b', '\x0c'])
}

//! Shape definitions and membership: which rows a client is to have.
//!
//! A client asks for shapes ([`ShapeDef`]); [`Shape::new`] checks a request against the schema. The shapes that a client
//! watches together are its [`ShapeSet`], which says what a change means to it ([`Outcome`]). Rows are never stored
//! here: the images before and after a change decide (spec 06 §14.3).
//!
//! Shapes are whole tables for now. A where-clause will become part of [`Shape`] and a conjunct of the visibility test
//! in [`ShapeSet`]; included tables will add relations to it. Both are refused with their own error until then.

mod definition;
mod error;
mod set;
mod shape;

pub use definition::{RelationDef, SelectDef, ShapeDef};
pub use error::{ShapeError, ShapeErrorCode};
pub use set::{Outcome, ShapeKey, ShapeSet};
pub use shape::Shape;

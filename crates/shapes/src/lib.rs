//! Shape definitions and membership: which rows a client is to have.

pub mod clause;
mod definition;
mod error;
mod filter;
mod graph;
mod key;
mod limits;
mod plan;
mod relation;
mod request;
mod routing;
mod shape;
mod values;

pub use clause::{Clause, ClauseError};
pub use definition::{RelationDef, SelectDef, ShapeDef};
pub use error::{ShapeError, ShapeErrorCode};
pub use filter::Filter;
pub use graph::{Delta, Graph, Moved, Pass, Purpose, Taken, Want, WantedRows};
pub use key::Key;
pub use limits::ShapeLimits;
pub use plan::{Direction, Layer, Link, Plan};
pub use routing::{Route, RoutingIndex};
pub use shape::Shape;
pub use values::Values;

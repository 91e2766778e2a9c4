//! Initial data: what the tables held at one moment, tied to a position of the stream (spec 06 §5.5).
//!
//! [`SnapshotPool::open`] takes the moment, cheaply and at once; [`OpenSnapshot::read`] reads tables as they were then, as
//! slowly as the receiver likes. The rows come as `COPY` prints them and are looked at where they lie.

mod keys;
mod pool;
mod query;
mod rows;

pub use keys::Keys;
pub use pool::{OpenSnapshot, SnapshotError, SnapshotPool, SnapshotSettings};
pub use query::{ALIAS, ReadQuery, Wanted};
pub use rows::{MalformedRow, RowStream};

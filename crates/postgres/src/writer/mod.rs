//! Client transactions on their way into Postgres (spec 05 §7).
//!
//! Each client transaction becomes one Postgres transaction. One that only makes rows which are new as far as its author knows, and
//! changes or deletes rows which are there as far as its author knows, is sent at once, mostly as a single statement (see [`whole`]),
//! in the hope that they are. All others, and those for which that hope was wrong, go the long way, in two flushes whatever their size:
//!
//! 1. `BEGIN`; the acknowledgement row, which also skips duplicates; the rows of the tables and of their shadows, locked in
//!    the order of table and key, a table before its shadow.
//! 2. what [`merge`] makes of them, as a handful of set-based statements per table, parents before children; `COMMIT`.
//!
//! Transactions of one client that follow each other are applied as a [`run`]: sent one behind the other, durable together.
//!
//! A transaction that breaks a constraint only because of that order is applied in its author's order instead, step by step.
//!
//! A [`WriterPool`] spreads clients over connections. Postgres away, deadlocks and races with native writes are waited out;
//! what Postgres refuses for good is rolled back, reported to its author alone, and leaves no trace.

mod apply;
mod batch;
mod binding;
mod failpoints;
mod failure;
mod in_order;
mod job;
mod key;
mod limits;
mod mend;
mod pipeline;
mod pool;
mod quick;
pub mod rejected;
mod rows;
mod run;
mod session;
mod statements;
mod tags;
mod whole;

pub use failure::{About, Refused};
pub use limits::Limits;
pub use pool::WriterPool;

/// What became of a client transaction that was not refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Applied {
    /// It is committed.
    Committed,
    /// It had been before: its position is not above the acknowledged one. Nothing was done (spec 05 §7.3).
    Duplicate,
}

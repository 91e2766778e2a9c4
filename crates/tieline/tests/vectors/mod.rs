//! The shapes' specification as tests: every vector of spec 06 §13 by its number, and what follows from the text around them,
//! against the real service and a real Postgres, with a client that checks the protocol's rules all the while.
//!
//! Services are shared by the tests, one at a time ([`Rig`]); rows are named by a letter and a number ([`notation`]).

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod clauses;
mod closure;
mod includes;
mod interleaving;
mod keys;
mod notation;
mod overlapping;
mod ownership;
mod refusals;
mod resuming;
mod rig;
mod single;
mod unsubscribing;
mod viewer;

use rig::Rig;
use testkit::satellite::Select;
use viewer::Viewer;

/// All rows of a table.
fn all(table: &str) -> Select {
    Select::from(table)
}

//! The schema crate seen from outside: snapshots in, statements out, run by a real SQLite.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod evolution;
mod examples;
mod indexes;
mod local;
mod migrations;
mod random;
mod snapshots;
mod sqlite_accepts;
mod support;

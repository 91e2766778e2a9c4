//! The shapes crate seen from outside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod clauses;
mod closure;
mod filters;
mod graph;
mod plans;
mod requests;
mod routes;
mod routing;
mod support;

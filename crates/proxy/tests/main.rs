//! The proxy in front of a real Postgres, with real drivers.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod ddlx;
mod differential;
mod driver;
mod flow;
mod harness;
mod introspection;
mod login;
mod never_panics;
mod psql;
mod raw;
mod shadow;
mod support;
mod upstream;

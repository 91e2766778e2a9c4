//! The proxy in front of a real Postgres, with real drivers.

mod ddlx;
mod harness;
mod introspection;
mod login;
mod never_panics;
mod psql;
mod shadow;
mod support;

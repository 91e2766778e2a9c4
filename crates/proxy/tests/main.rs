//! The proxy in front of a real Postgres, with real drivers.

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

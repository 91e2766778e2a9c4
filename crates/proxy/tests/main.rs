//! The proxy in front of a real Postgres, with real drivers.

mod ddlx;
mod introspection;
mod login;
mod psql;
mod support;

//! The proxy in front of a real Postgres, with real drivers.

mod introspection;
mod login;
mod psql;
mod support;

//! The proxy in front of a real Postgres, with real drivers.

mod login;
mod psql;
mod support;

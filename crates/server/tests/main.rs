//! The crate's tests against a real Postgres.

mod service;

//! A private Postgres cluster: for development and tests.

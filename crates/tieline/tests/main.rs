//! The binary from outside: its command line, and end to end with a real Postgres and the real client.

mod cli;
mod e2e;
mod types;
mod vectors;

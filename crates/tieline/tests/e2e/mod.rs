//! End to end: the real binary, a real Postgres, the real npm client.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod app;
mod auth;
mod between;
mod deploy;
mod evolution;
mod failover;
mod garbage;
mod generate;
pub mod http;
mod load;
mod migrations_api;
mod node_postgres;
mod pglite;
mod prisma;
mod rejected;
mod restart;
pub mod service;
mod shapes;
mod switch;
mod sync;
mod tables;
mod torture;
mod types;

use std::path::PathBuf;

/// The folder of the client's script and its npm packages.
fn scripts() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../e2e").canonicalize().expect("the folder e2e")
}

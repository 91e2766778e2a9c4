//! Test equipment: private Postgres databases, and a scripted Satellite client that checks the rules the real one insists on.

mod database;
mod encrypted;
#[cfg(feature = "satellite")]
pub mod satellite;

pub use cluster::{Binaries, Cluster, Options};
pub use database::{Database, shared_cluster, unguarded};
pub use encrypted::{CERTIFICATE, CERTIFICATE_KEY, encrypted_cluster};
#[cfg(feature = "satellite")]
pub use satellite::{Satellite, unsigned_token};

//! Test equipment: private Postgres databases, a proxy that misbehaves on demand, and a scripted Satellite client that checks the
//! rules the real one insists on.

mod database;
mod encrypted;
mod fault_proxy;
#[cfg(feature = "satellite")]
pub mod satellite;

pub use cluster::{Binaries, Cluster, Options};
pub use database::{Database, shared_cluster, unguarded};
pub use encrypted::{CERTIFICATE, CERTIFICATE_KEY, encrypted_cluster};
pub use fault_proxy::FaultProxy;
#[cfg(feature = "satellite")]
pub use satellite::{Satellite, unsigned_token};

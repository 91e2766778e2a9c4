//! The journal on disk: what is written is read back, whatever happens in between.

#![expect(clippy::unwrap_used, reason = "a test that fails says where")]

mod arbitrary;
mod endure;
mod failing;
mod full;
mod kill;
mod model;
mod reading;
mod recovery;
mod support;
mod tampering;

//! The crate's behaviour from outside.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod encoding;
mod frames;
mod harness;
mod inbound;
mod inbound_refused;
mod migrations;
mod never_panics;
mod relations;
mod support;
mod vectors;

//! The crate's behaviour from outside.

mod encoding;
mod frames;
mod harness;
mod inbound;
mod migrations;
mod never_panics;
mod relations;
mod support;
mod vectors;

//! Sessions from outside: inputs in, outputs out, no sockets, no clock.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod authentication;
mod catching_up;
mod client;
mod evolution;
mod garbage;
mod harness;
mod model;
mod naive;
mod properties;
mod resuming;
mod shapes;
mod simulator;
mod streaming;
mod subscribing;
mod tables;
mod writing;

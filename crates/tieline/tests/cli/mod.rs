//! The commands: keys, tokens, and the service as a process.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod command;
mod keys;
mod rejected;
mod serve;
mod token;

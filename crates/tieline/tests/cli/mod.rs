//! The commands that need no service: keys and tokens.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod command;
mod keys;
mod token;

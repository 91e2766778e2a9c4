//! What the crate promises, through its public interface.
#![allow(clippy::unwrap_used, reason = "a failed expectation is a failed test")]

mod claims;
mod config;
mod keys;
mod oracle;
mod properties;
mod support;
mod tokens;
mod vectors;
mod wycheproof_sets;

//! The shapes crate seen from outside.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod requests;
mod sets;
mod support;

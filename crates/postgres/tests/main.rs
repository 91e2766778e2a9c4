//! What talks to Postgres, tested against a private cluster.

#[expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]
mod evolution;
mod fuzzed;
mod install;
/// Histories that the crate `schema` makes up for its own tests, and what they are made of.
#[expect(clippy::unwrap_used, reason = "shared by tests of another crate")]
#[path = "../../schema/tests/random.rs"]
mod random;
mod stream;
#[expect(clippy::unwrap_used, dead_code, reason = "shared by tests of another crate")]
#[path = "../../schema/tests/support.rs"]
mod support;
mod value_oracle;
mod where_oracle;
mod writer;

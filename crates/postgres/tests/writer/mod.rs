//! The writer against a real Postgres.

mod bulk;
mod fixture;
mod foreign_keys;
mod keys;
mod locks;
mod refusals;

#[path = "../../../merge/tests/model.rs"]
mod model;
#[path = "../../../merge/tests/script.rs"]
mod script;
#[path = "../../../merge/tests/vectors.rs"]
mod vectors;

mod replay;

use replay::play;

//! The writer against a real Postgres.

mod bulk;
mod constraints;
mod defaults;
mod failpoints;
mod fixture;
mod foreign_keys;
mod keys;
mod kinds;
mod locks;
mod patience;
mod refusals;
mod rejected;
mod revivals;
mod rig;
mod runs;
mod triggers;
mod wire;

#[path = "../../../merge/tests/model.rs"]
mod model;
#[path = "../../../merge/tests/script.rs"]
mod script;
#[path = "../../../merge/tests/vectors.rs"]
mod vectors;

mod replay;

use replay::play;

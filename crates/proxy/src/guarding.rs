//! Who watches changes of the schema.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// Whether changes of the schema are to be watched from here, because the database can't do it by itself (tier 2, spec 04
/// §11). Shared between the proxy, whose sessions look at it with every statement, and whoever finds out; clones are the same
/// thing. At first they are not.
#[derive(Clone, Debug, Default)]
pub struct Guarding(Arc<AtomicBool>);

impl Guarding {
    /// Says whether it is so.
    pub fn set(&self, needed: bool) {
        self.0.store(needed, Ordering::Relaxed);
    }

    /// Whether it is so.
    #[must_use]
    pub fn is_needed(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

//! Shapes with joins, followed once for all who watch them (spec 06 §14.2).
//!
//! An [`Instance`] knows which rows were in a shape at every position from its base to its head, and what each transaction in
//! between did. It is moved on by those who ask it: whoever wants to know a position takes the instance there, transaction by
//! transaction, as long as nothing has to be read for it. If rows have to be read, a [`job`] does that, and whoever asks in the
//! meantime is woken.
//!
//! [`Instances`] finds the instance for a shape, makes it if there is none, and keeps it for a while when nobody watches it any more.

mod history;
mod instance;
mod job;
mod membership;
mod reading;
mod registry;
mod shelf;
#[cfg(test)]
pub(crate) mod tests;
mod watch;
mod world;

use std::time::Duration;

pub use registry::Instances;
pub use world::SharedWorld;

/// Bounds on instances.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// Bytes of moves that an instance holds for those who lag behind.
    pub moves: usize,
    /// Bytes of instances that are kept while nobody watches them.
    pub kept: usize,
    /// How long those are kept at most.
    pub keep_for: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { moves: 16 << 20, kept: 64 << 20, keep_for: Duration::from_secs(180) }
    }
}

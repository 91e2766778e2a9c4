//! The window of committed transactions that clients can resume from: bounded, in commit order, read by many at once.
//!
//! This form lives in memory; what it drops can't be resumed from, and what it holds is held back in Postgres' slot too, so
//! that a restart fills it again. A reader owns nothing but a position, however slow it is.

mod window;

pub use window::{Entry, Journal, Limits, Trimmed};

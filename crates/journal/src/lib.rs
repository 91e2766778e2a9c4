//! The window of committed transactions that clients can resume from: bounded, in commit order, read by many at once.
//!
//! A reader owns nothing but a position, however slow it is.

mod entry;
mod files;
mod miss;
mod state;
mod window;

pub use entry::{Entry, Record, RecordRef};
pub use files::{FileLimits, Files, Identity, OpenError, Recovered};
pub use miss::{Miss, Trimmed};
pub use state::{DiskState, Trouble};
pub use window::{Journal, Limits, Loaded, Stalled};

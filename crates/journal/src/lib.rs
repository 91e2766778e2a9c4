//! The window of committed transactions that clients can resume from: bounded, in commit order, read by many at once.
//!
//! The newest part is in memory. With a data directory all of it is in files, too: a thread writes what is appended, and what leaves
//! memory is read back when somebody asks for it. A reader owns nothing but a position, however slow it is.
//!
//! What may be counted on:
//!
//! * The order is that of the commits; nothing is torn, nothing left out: resuming strictly after any position of the window gives everything
//!   since. What can't be read any more moves the beginning of the window, and is said in plain words.
//! * What [`Journal::durable_position`] has passed survives a crash of the process and of the machine. What it has not is still in
//!   Postgres, since the slot is confirmed only up to there; and it is in memory, whatever the disk does.
//! * What is appended is durable at the latest 100 ms later: it is written and synced (`fdatasync`) in groups, at once before a hand-over
//!   ([`Journal::flush`], [`Journal::close`]), at the end of a segment, and when memory is needed. The folder is synced (`fsync`) whenever a
//!   segment comes or goes. Clients may see a transaction before it is durable.
//! * Memory and files are bounded ([`Limits`], [`FileLimits`]). Only an unwritable disk can make the stream wait ([`Journal::has_room`]).

mod bell;
mod chunks;
mod disk;
mod entry;
mod files;
mod format;
mod journal;
mod miss;
mod state;
mod trip;
mod window;
mod writer;

pub use entry::{Entry, Record, RecordRef};
pub use files::{FileLimits, Files, Identity, OpenError, Recovered};
pub use journal::{Journal, Loaded, Stalled};
pub use miss::{Miss, Trimmed};
pub use state::{DiskState, Trouble};
pub use window::Limits;

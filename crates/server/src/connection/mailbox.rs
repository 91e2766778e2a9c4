//! How the rest of the service reaches a connection.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Wake,
};

use change::{ClientLsn, Lsn, Snapshot};
use journal::Loaded;
use parking_lot::Mutex;
use session::{Input, SnapshotId};
use tokio::sync::Notify;

use crate::{backend::OpenSnapshot, registry::Hold};

/// A part of the stream from disk, at hand for as long as this is held.
pub struct Part(#[expect(dead_code, reason = "holding it is all that it is for")] pub(super) Loaded);

impl fmt::Debug for Part {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Part").finish_non_exhaustive()
    }
}

/// What is left for a connection.
#[derive(Debug)]
pub enum Letter {
    /// For the session as it stands.
    Input(Input),
    /// The client is this connection's now.
    Admitted {
        /// As long as this lives.
        hold: Hold,
        /// The last of the client's own transactions that Postgres has.
        acknowledged: Option<ClientLsn>,
    },
    /// A snapshot is open.
    Opened {
        /// Which one.
        id: SnapshotId,
        /// To be read.
        open: OpenSnapshot,
        /// What it sees.
        snapshot: Snapshot,
        /// The position at its first statement.
        lsn: Lsn,
    },
    /// What the connection has to read next was brought from disk, or is not in the window any more.
    Brought(Option<Part>),
}

/// What waits for a connection's attention. It holds answers to what its session asked for, so it is bounded by what a session
/// may ask at once, and it is empty and without memory of its own while the connection is idle.
#[derive(Debug, Default)]
pub struct Mailbox {
    letters: Mutex<Vec<Letter>>,
    bell: Notify,
    closed: AtomicBool,
}

impl Mailbox {
    /// A fresh one.
    #[must_use]
    pub fn new() -> Arc<Mailbox> {
        Arc::default()
    }

    /// Leaves something for the session.
    pub fn post(&self, input: Input) {
        self.leave(Letter::Input(input));
    }

    /// Leaves something for the connection. Once that has ended, it is dropped.
    pub fn leave(&self, letter: Letter) {
        if !self.is_closed() {
            self.letters.lock().push(letter);
            self.bell.notify_one();
        }
    }

    /// Makes the connection look at the stream.
    pub fn wake(&self) {
        self.bell.notify_one();
    }

    /// Everything that was left, in order.
    #[must_use]
    pub fn collect(&self) -> Vec<Letter> {
        std::mem::take(&mut *self.letters.lock())
    }

    /// Waits for the bell. It rings once for everything that came before.
    pub async fn rung(&self) {
        self.bell.notified().await;
    }

    /// The connection has ended; nobody collects any more.
    pub fn close(&self) {
        self.closed.store(true, Ordering::Release);
        drop(self.collect());
    }

    /// Whether the connection has ended.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Acquire)
    }
}

/// Whoever makes the connection wait rings its bell.
impl Wake for Mailbox {
    fn wake(self: Arc<Self>) {
        self.bell.notify_one();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        self.bell.notify_one();
    }
}

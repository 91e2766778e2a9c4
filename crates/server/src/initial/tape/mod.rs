//! What a read yields, written once and taken by any number of readers, each at its own pace (spec 06 §14.7).
//!
//! A tape begins in memory, where every reader finds it from its beginning on. What does not fit there goes one of two ways. With one
//! reader, that one is written for directly: what it has taken is forgotten, and the writer waits for it. With several, all goes
//! to a file, so that neither Postgres nor any reader waits for the slowest.

mod budget;
mod player;
mod recorder;
mod spool;

use std::{collections::VecDeque, io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use change::{Lsn, Snapshot};
use parking_lot::Mutex;
use session::SnapshotFailure;
use tokio::sync::watch;

pub(super) use self::{
    budget::Budget,
    player::Player,
    recorder::{Interrupted, Recorder},
};
use self::{budget::Share, spool::Spool};

/// Bytes of one tape in memory before it goes one of the two ways.
const MEMORY: usize = 4 << 20;

/// Bytes that wait for the only reader before its writer does.
const AHEAD: usize = 512 * 1024;

/// Bytes that are written to a file at a time.
const PIECE: usize = 256 * 1024;

/// A whole message with rows, and the index of the read that they belong to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    pub(super) read: usize,
    pub(super) message: Bytes,
}

impl Frame {
    /// Bytes that it takes on the tape, and in a file.
    pub(super) fn len(&self) -> usize {
        Frame::HEAD + self.message.len()
    }

    /// What precedes the message in a file: `read` and the message's length.
    pub(super) const HEAD: usize = 8;
}

/// What comes off a tape, in this order; [`Played::Failed`] at any time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Played {
    /// The snapshot is open.
    Opened(Snapshot, Lsn),
    /// Rows.
    Frame(Frame),
    /// That was all.
    Done,
    /// There is no more.
    Failed(SnapshotFailure),
}

/// Nobody reads the tape any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Abandoned;

/// See the [module](self).
pub(super) struct Tape {
    state: Mutex<State>,
    /// Something was written.
    written: watch::Sender<()>,
    /// Something was taken, or a reader came to need something, or has left.
    taken: watch::Sender<()>,
}

struct State {
    opened: Option<(Snapshot, Lsn)>,
    /// Whether a reader wants the rows.
    is_wanted: bool,
    end: Option<Result<(), SnapshotFailure>>,
    /// Those there are, and whether there have been several at a time.
    readers: usize,
    was_shared: bool,
    /// What is in memory, and how many bytes that is.
    frames: VecDeque<(u64, Frame)>,
    held: usize,
    /// Where the next frame goes.
    len: u64,
    form: Form,
}

enum Form {
    /// All of it is in memory.
    Memory(Share),
    /// What the only reader has not taken yet is.
    Direct,
    /// What is not in the file yet is.
    File(Arc<Spool>, u64),
}

impl State {
    fn is_abandoned(&self) -> bool {
        self.readers == 0
    }
}

impl Tape {
    /// An empty tape and its first reader.
    pub(super) fn blank(budget: &Arc<Budget>, directory: PathBuf) -> (Recorder, Player) {
        let state = State {
            opened: None,
            is_wanted: false,
            end: None,
            readers: 1,
            was_shared: false,
            frames: VecDeque::new(),
            held: 0,
            len: 0,
            form: Form::Memory(budget.share()),
        };
        let tape = Arc::new(Tape {
            state: Mutex::new(state),
            written: watch::Sender::new(()),
            taken: watch::Sender::new(()),
        });
        (Recorder { tape: tape.clone(), directory }, Player::new(tape))
    }

    /// Another reader, who gets everything from the beginning on, if that is still to be had. `is_current` judges the snapshot.
    pub(super) fn join(self: &Arc<Tape>, is_current: impl FnOnce(&Snapshot, Lsn) -> bool) -> Option<Player> {
        let mut state = self.state.lock();
        let is_current = state.opened.as_ref().is_none_or(|(snapshot, lsn)| is_current(snapshot, *lsn));
        let is_whole = !matches!(state.form, Form::Direct);
        let is_alive = match state.end {
            None => !state.is_abandoned(),
            Some(end) => end.is_ok(),
        };
        if !(is_current && is_whole && is_alive) {
            return None;
        }
        state.readers += 1;
        state.was_shared |= state.readers > 1;
        drop(state);
        Some(Player::new(self.clone()))
    }

    /// Whether it has had several readers at a time.
    pub(super) fn was_shared(&self) -> bool {
        self.state.lock().was_shared
    }

    /// Waits until nobody reads it any more.
    pub(super) async fn abandoned(&self) {
        self.until(|state| state.is_abandoned().then_some(())).await;
    }

    /// Waits for something that readers do.
    async fn until<T>(&self, mut look: impl FnMut(&mut State) -> Option<T>) -> T {
        let mut taken = self.taken.subscribe();
        loop {
            if let Some(found) = look(&mut self.state.lock()) {
                return found;
            }
            // The sender lives in `self`, so waiting can't fail.
            let _ = taken.changed().await;
        }
    }
}

/// What is to be done about a tape that is too long for memory.
enum Excess {
    /// Nothing, or no more.
    Settled,
    /// It needs a file.
    NeedsFile,
    /// This has to be written to the file.
    Unwritten(Arc<Spool>, u64, Vec<Frame>),
}

impl State {
    /// What has to be done for what is held in memory not to be too much.
    fn excess(&mut self, piece: usize) -> Excess {
        match &mut self.form {
            Form::Memory(share) => {
                if self.held <= MEMORY && share.resize(self.held) {
                    return Excess::Settled;
                }
                if self.readers > 1 {
                    return Excess::NeedsFile;
                }
                self.form = Form::Direct;
                Excess::Settled
            }
            Form::Direct => Excess::Settled,
            Form::File(..) if self.held < piece => Excess::Settled,
            Form::File(spool, written) => {
                let mut bytes = 0;
                let some = self.frames.iter().map(|(_, frame)| frame).take_while(|frame| {
                    let fits = bytes < PIECE;
                    bytes += frame.len();
                    fits
                });
                Excess::Unwritten(spool.clone(), *written, some.cloned().collect())
            }
        }
    }

    /// The file has everything before `end`.
    fn is_in_file(&mut self, end: u64) {
        self.forget(end);
        if let Form::File(_, written) = &mut self.form {
            *written = end;
        }
    }

    fn forget(&mut self, end: u64) {
        while let Some((_, frame)) = self.frames.pop_front_if(|(at, _)| *at < end) {
            self.held -= frame.len();
        }
    }
}

/// Does what may block elsewhere.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

#[cfg(test)]
mod tests;

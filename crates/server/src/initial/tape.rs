//! What a read yields, written once and taken by any number of readers, each at its own pace (spec 06 §14.7).
//!
//! A tape begins in memory, where every reader finds it from its beginning on. What does not fit there goes one of two ways. With one
//! reader, that one is written for directly: what it has taken is forgotten, and the writer waits for it. With several, all goes
//! to a file, so that neither Postgres nor any reader waits for the slowest.

use std::{collections::VecDeque, io, path::PathBuf, sync::Arc};

use bytes::Bytes;
use change::{Lsn, Snapshot};
use parking_lot::Mutex;
use session::SnapshotFailure;
use tokio::sync::watch;

use super::{
    budget::{Budget, Share},
    spool::{Chunk, Spool},
};

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
    pub(super) fn new(budget: &Arc<Budget>, directory: PathBuf) -> (Recorder, Player) {
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

/// Writes a tape. A tape whose recorder is dropped before its end has failed.
pub(super) struct Recorder {
    tape: Arc<Tape>,
    directory: PathBuf,
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

impl Recorder {
    pub(super) fn tape(&self) -> &Arc<Tape> {
        &self.tape
    }

    /// Tells which snapshot it is.
    pub(super) fn opened(&self, snapshot: Snapshot, lsn: Lsn) {
        self.tape.state.lock().opened = Some((snapshot, lsn));
        self.tape.written.send_replace(());
    }

    /// Waits until a reader wants the rows.
    ///
    /// # Errors
    /// [`Abandoned`].
    pub(super) async fn wanted(&self) -> Result<(), Abandoned> {
        let look = |state: &mut State| match state.is_wanted {
            true => Some(Ok(())),
            false => state.is_abandoned().then_some(Err(Abandoned)),
        };
        self.tape.until(look).await
    }

    /// Appends frames, and waits until there is room for more.
    ///
    /// # Errors
    /// [`Interrupted`]; the tape can't be gone on with.
    pub(super) async fn write(&self, frames: impl Iterator<Item = Frame>) -> Result<(), Interrupted> {
        let excess = {
            let mut state = self.tape.state.lock();
            for frame in frames {
                let (at, len) = (state.len, frame.len());
                state.held += len;
                state.len += len as u64;
                state.frames.push_back((at, frame));
            }
            state.excess(PIECE)
        };
        self.tape.written.send_replace(());
        self.settle(excess, PIECE).await?;
        let look = |state: &mut State| match state.form {
            _ if state.is_abandoned() => Some(Err(Abandoned)),
            Form::Direct if state.held > AHEAD => None,
            _ => Some(Ok(())),
        };
        Ok(self.tape.until(look).await?)
    }

    /// It is complete.
    ///
    /// # Errors
    /// [`Interrupted`]; it is not.
    pub(super) async fn finish(&self) -> Result<(), Interrupted> {
        let excess = self.tape.state.lock().excess(1);
        self.settle(excess, 1).await?;
        self.end(Ok(()));
        Ok(())
    }

    /// There is no more of it.
    pub(super) fn fail(&self, why: SnapshotFailure) {
        self.end(Err(why));
    }

    fn end(&self, end: Result<(), SnapshotFailure>) {
        self.tape.state.lock().end.get_or_insert(end);
        self.tape.written.send_replace(());
    }

    /// Gets out of memory what is too much for it; from `piece` bytes on that is worth a write.
    async fn settle(&self, mut excess: Excess, piece: usize) -> Result<(), Interrupted> {
        loop {
            match excess {
                Excess::Settled => return Ok(()),
                Excess::NeedsFile => {
                    let directory = self.directory.clone();
                    let spool = blocking(move || Spool::create(&directory)).await?;
                    self.tape.state.lock().form = Form::File(Arc::new(spool), 0);
                }
                Excess::Unwritten(spool, at, frames) => {
                    let end = at + frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
                    blocking(move || spool.write(at, &frames)).await?;
                    self.tape.state.lock().is_in_file(end);
                }
            }
            excess = self.tape.state.lock().excess(piece);
        }
    }
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

impl Drop for Recorder {
    fn drop(&mut self) {
        self.fail(SnapshotFailure::Unavailable);
    }
}

/// A tape can't be written any more.
#[derive(Debug, thiserror::Error)]
pub(super) enum Interrupted {
    /// Nobody wants it.
    #[error("nobody wants the rows any more")]
    Abandoned,
    /// The file can't be written.
    #[error(
        "what several clients wait for can't be kept in a file; make room there, or set TIELINE_SPOOL_DIR: {0}"
    )]
    File(#[from] io::Error),
}

impl From<Abandoned> for Interrupted {
    fn from(_: Abandoned) -> Interrupted {
        Interrupted::Abandoned
    }
}

/// Does what may block elsewhere.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}

/// Reads a tape. It is not read any more when this is dropped.
pub(super) struct Player {
    tape: Arc<Tape>,
    written: watch::Receiver<()>,
    is_told: bool,
    /// What comes next lies here.
    at: u64,
    /// What has been read from the file, beginning at `at`.
    chunk: Chunk,
}

/// What a reader finds.
enum Found {
    Played(Played),
    InFile(Arc<Spool>, u64),
    Nothing,
}

impl Player {
    fn new(tape: Arc<Tape>) -> Player {
        let written = tape.written.subscribe();
        Player { tape, written, is_told: false, at: 0, chunk: Chunk::default() }
    }

    /// Says that the rows are wanted.
    pub(super) fn begin(&self) {
        self.tape.state.lock().is_wanted = true;
        self.tape.taken.send_replace(());
    }

    /// What comes next. Nothing follows [`Played::Done`] and [`Played::Failed`]; those come again. Nothing is lost if the future
    /// is dropped.
    pub(super) async fn next(&mut self) -> Played {
        loop {
            if let Some(frame) = self.chunk.next() {
                self.at += frame.len() as u64;
                return Played::Frame(frame);
            }
            self.written.mark_unchanged();
            match self.look() {
                Found::Played(played) => return played,
                Found::InFile(spool, written) => {
                    let at = self.at;
                    match blocking(move || spool.read(at, written)).await {
                        Ok(chunk) => self.chunk = chunk,
                        Err(error) => {
                            tracing::warn!(%error, "what was kept in a file for several clients can't be read back");
                            return Played::Failed(SnapshotFailure::Unavailable);
                        }
                    }
                }
                // The sender lives in the tape, so waiting can't fail.
                Found::Nothing => drop(self.written.changed().await),
            }
        }
    }

    fn look(&mut self) -> Found {
        let state = &mut *self.tape.state.lock();
        if let Some(Err(why)) = state.end {
            return Found::Played(Played::Failed(why));
        }
        if !self.is_told {
            let Some((snapshot, lsn)) = state.opened.clone() else { return Found::Nothing };
            self.is_told = true;
            return Found::Played(Played::Opened(snapshot, lsn));
        }
        match &state.form {
            Form::File(spool, written) if self.at < *written => {
                return Found::InFile(spool.clone(), *written);
            }
            _ => {}
        }
        let place = state.frames.partition_point(|(at, _)| *at < self.at);
        match state.frames.get(place).map(|(_, frame)| frame.clone()) {
            Some(frame) => {
                self.at += frame.len() as u64;
                if matches!(state.form, Form::Direct) {
                    state.forget(self.at);
                    self.tape.taken.send_replace(());
                }
                Found::Played(Played::Frame(frame))
            }
            None if state.end.is_some() => Found::Played(Played::Done),
            None => Found::Nothing,
        }
    }
}

impl Drop for Player {
    fn drop(&mut self) {
        self.tape.state.lock().readers -= 1;
        self.tape.taken.send_replace(());
    }
}

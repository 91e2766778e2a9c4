//! Writing a tape.

use std::{io, path::PathBuf, sync::Arc};

use change::{Lsn, Snapshot};
use session::SnapshotFailure;

use super::{AHEAD, Abandoned, Excess, Form, Frame, PIECE, State, Tape, blocking, spool::Spool};

/// Writes a tape. A tape whose recorder is dropped before its end has failed.
pub(in crate::initial) struct Recorder {
    pub(super) tape: Arc<Tape>,
    pub(super) directory: PathBuf,
}

impl Recorder {
    pub(in crate::initial) fn tape(&self) -> &Arc<Tape> {
        &self.tape
    }

    /// Tells which snapshot it is.
    pub(in crate::initial) fn opened(&self, snapshot: Snapshot, lsn: Lsn) {
        self.tape.state.lock().opened = Some((snapshot, lsn));
        self.tape.written.send_replace(());
    }

    /// Waits until a reader wants the rows.
    ///
    /// # Errors
    /// [`Abandoned`].
    pub(in crate::initial) async fn wanted(&self) -> Result<(), Abandoned> {
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
    pub(in crate::initial) async fn write(
        &self,
        frames: impl Iterator<Item = Frame>,
    ) -> Result<(), Interrupted> {
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
    pub(in crate::initial) async fn finish(&self) -> Result<(), Interrupted> {
        let excess = self.tape.state.lock().excess(1);
        self.settle(excess, 1).await?;
        self.end(Ok(()));
        Ok(())
    }

    /// There is no more of it.
    pub(in crate::initial) fn fail(&self, why: SnapshotFailure) {
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

impl Drop for Recorder {
    fn drop(&mut self) {
        self.fail(SnapshotFailure::Unavailable);
    }
}

/// A tape can't be written any more.
#[derive(Debug, thiserror::Error)]
pub(in crate::initial) enum Interrupted {
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

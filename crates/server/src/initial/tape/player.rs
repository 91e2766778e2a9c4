//! Reading a tape.

use std::sync::Arc;

use session::SnapshotFailure;
use tokio::sync::watch;

use super::{
    Form, Played, Tape, blocking,
    spool::{Chunk, Spool},
};

/// Reads a tape. It is not read any more when this is dropped.
pub(in crate::initial) struct Player {
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
    pub(super) fn new(tape: Arc<Tape>) -> Player {
        let written = tape.written.subscribe();
        Player { tape, written, is_told: false, at: 0, chunk: Chunk::default() }
    }

    /// Says that the rows are wanted.
    pub(in crate::initial) fn begin(&self) {
        self.tape.state.lock().is_wanted = true;
        self.tape.taken.send_replace(());
    }

    /// What comes next. Nothing follows [`Played::Done`] and [`Played::Failed`]; those come again. Nothing is lost if the future
    /// is dropped.
    pub(in crate::initial) async fn next(&mut self) -> Played {
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

//! Before something is called unknown: is the stream as far as the database is? A migration is committed a moment before the
//! stream brings it, and what was read in between may speak of it already.

use change::Lsn;

use crate::{Millis, Now, Output, Unavailable, World, context::Context};

/// A wait until the stream has handed on everything that was committed when the wait began. The stream of all sessions
/// counts, not how far this one has read: it may be suspended by its client.
#[derive(Debug)]
pub(crate) struct CatchUp {
    step: Step,
    /// It is over by then, whatever has come of it.
    until: Millis,
}

#[derive(Debug)]
enum Step {
    /// Postgres is asked where its log ends.
    Asking,
    /// Postgres could not be asked; it is again at this moment.
    Pausing(Millis),
    /// The stream is to reach this position.
    Reaching(Lsn),
}

/// Between two tries to ask Postgres.
const PAUSE: Millis = 100;

impl CatchUp {
    pub(crate) fn begin(until: Millis, cx: &mut Context<'_>) -> CatchUp {
        cx.ask_wal_end();
        CatchUp { step: Step::Asking, until }
    }

    /// The answer to its question.
    pub(crate) fn wal_end(&mut self, end: Result<Lsn, Unavailable>, cx: &mut Context<'_>) {
        if !matches!(self.step, Step::Asking) {
            return;
        }
        self.step = match end {
            Ok(end) => {
                if cx.world.position() < end {
                    cx.out.push(Output::Reach(end));
                }
                Step::Reaching(end)
            }
            Err(Unavailable) => Step::Pausing(cx.now.mono_ms.saturating_add(PAUSE)),
        };
    }

    /// Does what is due; whether the wait is over: the stream is there, or it took too long.
    pub(crate) fn is_over(&mut self, cx: &mut Context<'_>) -> bool {
        match self.step {
            _ if cx.now.mono_ms >= self.until => return true,
            Step::Reaching(end) => return cx.world.position() >= end,
            Step::Pausing(at) if cx.now.mono_ms >= at => {
                cx.ask_wal_end();
                self.step = Step::Asking;
            }
            Step::Asking | Step::Pausing(_) => {}
        }
        false
    }

    /// When to look again: at once if the stream is there.
    pub(crate) fn deadline(&self, now: Now, world: &dyn World) -> Millis {
        match self.step {
            Step::Reaching(end) if world.position() >= end => now.mono_ms,
            Step::Pausing(at) => at.min(self.until),
            Step::Asking | Step::Reaching(_) => self.until,
        }
    }
}

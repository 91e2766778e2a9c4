//! Moving an instance on where rows have to be read for it. There is one job for an instance at a time.

use std::{sync::Arc, task::Waker, time::Duration};

use change::Lsn;
use schema::Table;
use session::Image;
use shapes::{Key, Plan, Purpose, Taken, Values, Want};
use tokio::time::{sleep, timeout};

use super::{
    instance::{Instance, Progress, State, wake},
    reading::{Failure, Occasion, Reading},
};
use crate::walk::{Needed, Receiver, Seen, Target, drive};

/// Between tries while Postgres is away.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// Moves an instance on until it is where those want it who watch it, or nobody watches it any more.
pub(super) async fn run(instance: Arc<Instance>) {
    let mut underway = Underway { instance: &instance, has_ended: false };
    let mut reading = None;
    let mut pause = FIRST_PAUSE;
    // Held while it is gone on with.
    let mut brought = None;
    while let Some(next) = go_on(&instance, reading.as_ref()) {
        drop(brought.take());
        let at = match next {
            Next::Read(at) => at,
            Next::Yield => {
                tokio::task::yield_now().await;
                continue;
            }
            Next::Bring(from) => {
                // If it is not in the window any more, that shows when it is gone on with.
                brought = instance.source.stream.load(from).await.ok();
                continue;
            }
            Next::Wait(at) => {
                // Now and then somebody should look whether it is wanted still.
                let _ = timeout(LONGEST_PAUSE, instance.source.stream.reached(at)).await;
                continue;
            }
        };
        match step(&instance, &mut reading, at).await {
            Ok(()) => pause = FIRST_PAUSE,
            Err(Failure::Trimmed) => {
                end(&instance, State::lose);
                break;
            }
            Err(Failure::Abandoned) => reading = None,
            Err(Failure::Snapshot(error)) if error.is_mismatch() && instance.is_outdated() => {
                let table = root_of(&instance);
                tracing::warn!(
                    table,
                    "a shape is given up, since a table of it is not synced any more: {error}"
                );
                end(&instance, State::give_up);
                break;
            }
            Err(error) => {
                reading = None;
                if matches!(&error, Failure::Snapshot(error) if error.is_mismatch()) {
                    // If nobody has said yet that a table was dropped or changed, it will be found now.
                    instance.source.suspect();
                }
                report(&instance, &error, pause);
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }
    underway.has_ended = true;
    if let Some(reading) = reading {
        reading.open.finish().await;
    }
}

/// What a job has to do next.
enum Next {
    /// Let others have a turn.
    Yield,
    /// Read for the step to this position.
    Read(Lsn),
    /// Bring what follows this position from disk.
    Bring(Lsn),
    /// Wait for the stream to come to this position.
    Wait(Lsn),
}

/// Goes on without reading as far as possible; `None` if the job has ended with that.
fn go_on(instance: &Instance, reading: Option<&Reading>) -> Option<Next> {
    let mut state = instance.lock();
    let wanted = state.wanted;
    // What the snapshot serves is done with it, also if it is not asked for yet; but not so much that the moves that are asked for
    // next have to go again.
    let reading = reading.filter(|_| !state.membership.is_far_ahead(wanted));
    let progress = if instance.is_watched() {
        let until = reading.map_or(wanted, |reading| reading.open.lsn.max(wanted));
        instance.advance(&mut state, until)
    } else {
        Progress::Reached
    };
    let serves = |at| at <= wanted || reading.is_some_and(|reading| reading.serves(at));
    let (next, awake) = match progress {
        Progress::Turn => (Some(Next::Yield), state.reached()),
        Progress::Disk(from) => (Some(Next::Bring(from)), state.reached()),
        Progress::Stream(head) => (Some(Next::Wait(Lsn(head.0 + 1))), state.reached()),
        Progress::Rows(at) if serves(at) => (Some(Next::Read(at)), state.reached()),
        Progress::Rows(_) | Progress::Reached => (None, state.rest()),
        Progress::Lost => (None, state.lose()),
    };
    drop(state);
    wake(awake);
    next
}

fn end(instance: &Instance, how: impl FnOnce(&mut State) -> Vec<Waker>) {
    let awake = how(&mut instance.lock());
    wake(awake);
}

/// Reads what the step to `at` wants, and ends it.
async fn step(instance: &Instance, reading: &mut Option<Reading>, at: Lsn) -> Result<(), Failure> {
    let reading = match reading.take() {
        Some(fit) if fit.serves(at) => reading.insert(fit),
        unfit => {
            if let Some(unfit) = unfit {
                unfit.open.finish().await;
            }
            let is_filled = instance.lock().membership.head().is_some();
            let occasion = if is_filled { Occasion::Lookup } else { Occasion::Fill };
            instance.counters.count(occasion);
            reading.insert(instance.source.open(occasion, &instance.plan(), &instance.relations, at).await?)
        }
    };
    reading.advance(&instance.source, &instance.relations, at).await?;
    let mut target = Shared { instance, is_fresh: true };
    let mut keeper = Keeper { instance };
    drive(&mut reading.open, &mut target, &reading.past, Needed::Membership, &mut keeper).await?;
    let mut state = instance.lock();
    state.membership.finish();
    let awake = state.reached();
    drop(state);
    wake(awake);
    Ok(())
}

/// The name of the root's table.
fn root_of(instance: &Instance) -> String {
    instance.plan().root().map(|root| root.table.name.clone()).unwrap_or_default()
}

fn report(instance: &Instance, error: &Failure, pause: Duration) {
    let table = root_of(instance);
    if pause == LONGEST_PAUSE {
        tracing::warn!(table, "rows of a shape can't be read, its clients have to wait: {error}");
    } else {
        tracing::debug!(table, "rows of a shape can't be read; once more in {pause:?}: {error}");
    }
}

/// An instance's graph in the midst of a step, locked for each row.
struct Shared<'a> {
    instance: &'a Instance,
    /// What was being read when an earlier try failed has to be read again.
    is_fresh: bool,
}

impl Target for Shared<'_> {
    fn plan(&self) -> Arc<Plan> {
        self.instance.plan()
    }

    fn next(&mut self) -> Option<Want> {
        let mut state = self.instance.lock();
        if std::mem::take(&mut self.is_fresh) {
            state.membership.wanted()
        } else {
            state.membership.wanted_next()
        }
    }

    fn take<V: Values + ?Sized>(&mut self, want: &Want, row: &V) -> Taken {
        self.instance.lock().membership.take(want, row)
    }
}

/// Keeps what is to be sent of rows.
struct Keeper<'a> {
    instance: &'a Instance,
}

impl Receiver for Keeper<'_> {
    type Error = Failure;

    fn row(&mut self, want: &Want, taken: Taken, table: &Arc<Table>, seen: Option<Seen<'_>>) {
        let (Taken::New, Some(seen)) = (taken, seen) else { return };
        if want.purpose == Purpose::Fill {
            return;
        }
        let Some(key) = Key::of(seen.values, &table.primary_key) else { return };
        let row = seen.values.iter().copied().collect();
        let image = Image { relation: table.id, key, row, tags: seen.tags.clone() };
        self.instance.lock().membership.keep(want.purpose, image);
    }

    async fn pause(&mut self) -> Result<(), Failure> {
        if !self.instance.is_watched() {
            return Err(Failure::Abandoned);
        }
        tokio::task::yield_now().await;
        Ok(())
    }
}

/// Sees to it that nobody waits for a job that was cut off.
struct Underway<'a> {
    instance: &'a Instance,
    has_ended: bool,
}

impl Drop for Underway<'_> {
    fn drop(&mut self) {
        if !self.has_ended {
            end(self.instance, State::lose);
        }
    }
}

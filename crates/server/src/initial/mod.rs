//! Initial data on its way from Postgres to connections: the rows of shapes in one snapshot, encoded to whole messages as they
//! arrive (spec 06 §5.5, §14.7).
//!
//! Clients that ask for the same at the same time share one snapshot and one read of it. Whatever the size of a table and however
//! many ask, a bounded part of it is in memory.

mod encode;
mod job;
mod read;
mod size;
mod tape;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use change::{Lsn, Snapshot};
use parking_lot::Mutex;
use postgres::{replication::Control, snapshot::SnapshotPool};
use session::ReadRequest;
use tokio::sync::{mpsc, oneshot};

use self::tape::{Budget, Played, Player, Recorder, Tape};
use crate::{
    backend::{OpenSnapshot, SnapshotPart},
    config::InitialLimits,
    stream::Stream,
};

/// Messages that wait for one connection to take them.
const QUEUE: usize = 4;

/// How long what has been read is kept for others to ask for.
const KEEP: Duration = Duration::from_secs(1);

/// What several clients ask for is not read anew more often than this. Whoever asks in between shares the next read.
const PACE: Duration = Duration::from_millis(50);

/// Reads initial data. One for all connections; cheap to clone.
#[derive(Clone)]
pub struct Initial(Arc<Inner>);

struct Inner {
    pool: SnapshotPool,
    stream: Arc<Stream>,
    control: Control,
    limits: InitialLimits,
    budget: Arc<Budget>,
    flights: Mutex<HashMap<Arc<ReadRequest>, Flight>>,
}

/// A read that others may join.
struct Flight {
    tape: Arc<Tape>,
    begun: Instant,
}

impl Initial {
    /// Reads by connections of `pool`. `control` is that of the replication stream that `stream` is fed from.
    #[must_use]
    pub fn new(pool: SnapshotPool, stream: Arc<Stream>, control: Control, limits: InitialLimits) -> Initial {
        let (budget, flights) = (Budget::new(limits.memory), Mutex::default());
        Initial(Arc::new(Inner { pool, stream, control, limits, budget, flights }))
    }

    /// Takes a snapshot for a request, or joins those who have one for the same that is still good, and reads it once told to.
    pub fn open(&self, request: Arc<ReadRequest>) -> OpenSnapshot {
        let (sender, parts) = mpsc::channel(QUEUE);
        let (begin, begun) = oneshot::channel();
        tokio::spawn(hand_on(self.player(request), begun, sender));
        OpenSnapshot { begin: Some(begin), parts }
    }

    fn player(&self, request: Arc<ReadRequest>) -> Player {
        let mut flights = self.0.flights.lock();
        let earlier = flights.get(&request);
        let is_current = |snapshot: &Snapshot, lsn| self.0.is_current(snapshot, lsn);
        if let Some(player) = earlier.and_then(|flight| flight.tape.join(is_current)) {
            return player;
        }
        let delay = match earlier.filter(|flight| flight.tape.was_shared()) {
            Some(flight) => PACE.saturating_sub(flight.begun.elapsed()),
            None => Duration::ZERO,
        };
        let (recorder, player) = Tape::blank(&self.0.budget, self.0.limits.spool.clone());
        let flight = Flight { tape: recorder.tape().clone(), begun: Instant::now() + delay };
        flights.insert(request.clone(), flight);
        drop(flights);
        tokio::spawn(self.clone().record(request, recorder, delay));
        player
    }

    /// Does what a flight is for, and stays for a while.
    async fn record(self, request: Arc<ReadRequest>, recorder: Recorder, delay: Duration) {
        tokio::time::sleep(delay).await;
        let tape = recorder.tape().clone();
        let outcome = tokio::select! {
            biased;
            outcome = job::run(&self.0, &request, &recorder) => outcome,
            () = tape.abandoned() => Err(job::Failure::Abandoned),
        };
        match outcome {
            Ok(()) => tokio::time::sleep(KEEP).await,
            Err(failure) => {
                if failure.is_mismatch() {
                    self.0.control.suspect();
                }
                job::report(&request, &failure);
                recorder.fail(failure.why());
            }
        }
        let mut flights = self.0.flights.lock();
        if flights.get(&request).is_some_and(|flight| Arc::ptr_eq(&flight.tape, &tape)) {
            flights.remove(&request);
        }
    }
}

impl Inner {
    /// Whether the stream has handed on nothing that the snapshot does not see. What lies after its position, it does not see.
    fn is_current(&self, snapshot: &Snapshot, lsn: Lsn) -> bool {
        self.stream.newest_transaction() <= lsn && !self.stream.passed_unseen(snapshot, lsn)
    }
}

/// Hands what comes off a tape to a connection, as fast as that takes it.
async fn hand_on(mut player: Player, begun: oneshot::Receiver<()>, sender: mpsc::Sender<SnapshotPart>) {
    let mut begun = Some(begun);
    loop {
        let played = tokio::select! {
            biased;
            played = player.next() => played,
            () = sender.closed() => return,
        };
        let (part, is_last) = match played {
            Played::Opened(snapshot, lsn) => (SnapshotPart::Opened { snapshot, lsn }, false),
            Played::Frame(frame) => (SnapshotPart::Frame { read: frame.read, frame: frame.message }, false),
            Played::Done => (SnapshotPart::Done, true),
            Played::Failed(why) => (SnapshotPart::Failed(why), true),
        };
        if sender.send(part).await.is_err() || is_last {
            return;
        }
        if let Some(begun) = begun.take() {
            if begun.await.is_err() {
                return;
            }
            player.begin();
        }
    }
}

#[cfg(test)]
mod tests;

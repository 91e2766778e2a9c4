//! Snapshots that rows are read from as they were at a position of the stream (spec 06 §5.5).

use std::{sync::Arc, time::Duration};

use change::{Lsn, RelationId};
use journal::{Loaded, Miss, Trimmed};
use postgres::{
    connection::ConnectConfig,
    replication::Control,
    snapshot::{OpenSnapshot, SnapshotError, SnapshotPool, SnapshotSettings},
};
use shapes::Plan;
use tokio::{
    task::yield_now,
    time::{sleep, timeout},
};

use crate::{
    stream::{Batch, Stream},
    walk::Past,
};

/// A commit becomes visible to queries a moment after it reaches the stream: how often that is waited for, and for how long.
const LOOKS: u32 = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(4);

/// The stream reaches a snapshot's position within milliseconds, if it is connected. A snapshot is not held open for longer.
const STALL: Duration = Duration::from_secs(5);

/// Transactions taken from the stream at a time, before others get a turn.
const BATCH: usize = 1024;

/// Where instances read from: the stream, and Postgres by connections of their own. Neither do lookups wait for the filling of
/// other graphs, nor either of them for what clients read.
pub(super) struct Source {
    pub(super) stream: Arc<Stream>,
    control: Control,
    fills: SnapshotPool,
    lookups: SnapshotPool,
}

/// What rows are read for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Occasion {
    /// A graph is filled.
    Fill,
    /// A graph is moved on.
    Lookup,
}

/// Rows can't be read now.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// The position has fallen out of the retained history: never.
    #[error("the transactions since then are not in the retained history any more")]
    Trimmed,
    /// Postgres is not there, or refuses.
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    /// Queries don't see what the stream has passed.
    #[error("transactions that the stream has passed stay invisible to queries")]
    Unseen,
    /// The stream is not connected.
    #[error("the stream does not get to the position of the snapshot")]
    Stalled,
    /// The rows are not wanted any more.
    #[error("nobody watches the shape any more")]
    Abandoned,
}

impl From<Trimmed> for Failure {
    fn from(_: Trimmed) -> Failure {
        Failure::Trimmed
    }
}

/// An open snapshot, and what it sees of the time after a position.
pub(super) struct Reading {
    pub(super) open: OpenSnapshot,
    pub(super) past: Past,
    /// The position that `past` has come to.
    passed: Lsn,
    /// The first transaction on the shape's tables that it does not see.
    unseen: Option<Lsn>,
}

impl Source {
    /// Connects to nothing until something has to be read.
    pub(super) fn new(config: &ConnectConfig, stream: Arc<Stream>, control: Control) -> Source {
        // Waiting for a connection takes as long as what others read.
        let pool = || {
            let settings = SnapshotSettings {
                connections: 2,
                patience: Duration::from_secs(30),
                ..SnapshotSettings::default()
            };
            SnapshotPool::new(config.clone(), settings)
        };
        Source { stream, control, fills: pool(), lookups: pool() }
    }

    /// Takes a snapshot that rows of the shape's tables (`relations`, sorted) can be read from as of `at`.
    pub(super) async fn open(
        &self,
        occasion: Occasion,
        plan: &Plan,
        relations: &[RelationId],
        at: Lsn,
    ) -> Result<Reading, Failure> {
        let open = self.take(occasion, at).await?;
        self.control.reach(open.lsn);
        if timeout(STALL, self.stream.reached(open.lsn)).await.is_err() {
            open.finish().await;
            return Err(Failure::Stalled);
        }
        let mut past = Past::new(plan);
        match self.look_back(&open, relations, at, &mut past).await {
            Ok(unseen) => Ok(Reading { open, past, passed: at, unseen }),
            Err(Trimmed) => {
                open.finish().await;
                Err(Failure::Trimmed)
            }
        }
    }

    /// A table is not as it should be.
    pub(super) fn suspect(&self) {
        self.control.suspect();
    }

    async fn take(&self, occasion: Occasion, at: Lsn) -> Result<OpenSnapshot, Failure> {
        let pool = match occasion {
            Occasion::Fill => &self.fills,
            Occasion::Lookup => &self.lookups,
        };
        for look in 0..LOOKS {
            if look > 0 {
                sleep(LOOK_AGAIN).await;
            }
            let open = pool.open().await?;
            if open.lsn >= at && !self.stream.passed_unseen(&open.snapshot, at) {
                return Ok(open);
            }
            open.finish().await;
        }
        Err(Failure::Unseen)
    }

    /// Notes the transactions after `at` that the snapshot sees. The answer is the first that it does not.
    async fn look_back(
        &self,
        open: &OpenSnapshot,
        relations: &[RelationId],
        at: Lsn,
        past: &mut Past,
    ) -> Result<Option<Lsn>, Trimmed> {
        let mut unseen = None;
        let mut cursor = at;
        while cursor < open.lsn {
            let (found, reached) = self.touching(relations, cursor, open.lsn).await?;
            cursor = reached;
            for delivery in found {
                if open.snapshot.sees(delivery.transaction.xid) {
                    past.push(&delivery.transaction);
                } else {
                    unseen.get_or_insert(delivery.transaction.lsn);
                }
            }
            yield_now().await;
        }
        Ok(unseen)
    }

    /// The next transactions on these tables, from memory or from disk.
    async fn touching(&self, relations: &[RelationId], cursor: Lsn, until: Lsn) -> Result<Batch, Trimmed> {
        let mut brought: Option<Loaded> = None;
        loop {
            let found = self.stream.touching(relations, cursor, until, BATCH);
            drop(brought.take());
            match found {
                Ok(found) => return Ok(found),
                Err(Miss::Cold(from)) => brought = Some(self.stream.load(from).await?),
                Err(Miss::Trimmed) => return Err(Trimmed),
            }
        }
    }
}

impl Reading {
    /// Up to where rows can be read as of a position: before the first transaction that the snapshot does not see.
    pub(super) fn serves(&self, at: Lsn) -> bool {
        at <= self.open.lsn && self.unseen.is_none_or(|unseen| at < unseen)
    }

    /// Moves the position on that rows are read as of; before the first transaction that the snapshot does not see.
    pub(super) async fn advance(
        &mut self,
        source: &Source,
        relations: &[RelationId],
        at: Lsn,
    ) -> Result<(), Trimmed> {
        while self.passed < at {
            let (found, reached) = source.touching(relations, self.passed, at).await?;
            found.iter().for_each(|delivery| self.past.pass(&delivery.transaction));
            self.passed = reached;
        }
        Ok(())
    }
}

//! Connections for snapshots: a bounded number, given out in the order of asking.

use std::{mem, sync::Arc, time::Duration};

use bytes::BytesMut;
use change::{Lsn, Snapshot};
use parking_lot::Mutex;
use postgres_protocol::message::frontend;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::timeout,
};

use super::{
    query::{ReadQuery, Wanted},
    rows::{MalformedRow, RowReader, RowStream},
};
use crate::{
    connection::{ConnectConfig, ConnectError, Purpose},
    wire::{Wire, WireError},
};

/// Bounds of a pool.
#[derive(Clone, Copy, Debug)]
pub struct SnapshotSettings {
    /// How many snapshots may be open at a time; each takes a connection.
    pub connections: usize,
    /// How long [`SnapshotPool::open`] may take (spec 06 §5.1: 1 s).
    pub patience: Duration,
    /// How long one read may take, the waiting for a slow receiver included; zero for any time.
    pub statement_timeout: Duration,
}

impl Default for SnapshotSettings {
    fn default() -> SnapshotSettings {
        SnapshotSettings {
            connections: 8,
            patience: Duration::from_secs(1),
            statement_timeout: Duration::ZERO,
        }
    }
}

/// A snapshot can't be had, or can't be read.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// All connections were in use for too long, or Postgres did not answer in time.
    #[error("no snapshot could be opened in time")]
    TooLate,
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or Postgres refused the read.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// Postgres' answer is not what was asked for.
    #[error(transparent)]
    Malformed(#[from] MalformedRow),
    /// An earlier read was not read to its end, or failed.
    #[error("the snapshot is spent: an earlier read failed or was given up")]
    Spent,
}

impl SnapshotError {
    /// Whether Postgres does not find what is to be read: a table or a column is gone, or is another one. Another try finds it
    /// no more than this one.
    #[must_use]
    pub fn is_mismatch(&self) -> bool {
        // Undefined table, column, function or operator; no such schema; no table; types that don't fit.
        const CODES: [&str; 6] = ["42P01", "42703", "42883", "3F000", "42809", "42804"];
        matches!(self, SnapshotError::Wire(error) if error.code().is_some_and(|code| CODES.contains(&code)))
    }
}

/// Gives out snapshots. Cheap to clone.
#[derive(Clone)]
pub struct SnapshotPool {
    inner: Arc<Inner>,
}

struct Inner {
    config: ConnectConfig,
    settings: SnapshotSettings,
    /// Waiters are served first come, first served.
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Wire>>,
}

impl SnapshotPool {
    /// A pool that connects when it has to.
    #[must_use]
    pub fn new(config: ConnectConfig, settings: SnapshotSettings) -> SnapshotPool {
        let permits = Arc::new(Semaphore::new(settings.connections.max(1)));
        SnapshotPool { inner: Arc::new(Inner { config, settings, permits, idle: Mutex::default() }) }
    }

    /// Takes a snapshot now.
    ///
    /// # Errors
    /// [`SnapshotError::TooLate`] after [`SnapshotSettings::patience`], or what else went wrong.
    pub async fn open(&self) -> Result<OpenSnapshot, SnapshotError> {
        let opened = timeout(self.inner.settings.patience, self.take());
        opened.await.unwrap_or(Err(SnapshotError::TooLate))
    }

    async fn take(&self) -> Result<OpenSnapshot, SnapshotError> {
        let permit = Arc::clone(&self.inner.permits).acquire_owned().await;
        let permit = permit.map_err(|_| SnapshotError::TooLate)?;
        // A connection that broke while it was idle is no reason to fail.
        loop {
            let kept = self.inner.idle.lock().pop();
            let is_fresh = kept.is_none();
            let mut wire = match kept {
                Some(wire) => wire,
                None => Wire::log_in(&self.inner.config, Purpose::Snapshot, &[]).await?,
            };
            match self.begin(&mut wire).await {
                Ok((snapshot, lsn)) => {
                    let state = State::Ready(wire);
                    return Ok(OpenSnapshot {
                        snapshot,
                        lsn,
                        state,
                        pool: Arc::clone(&self.inner),
                        _permit: permit,
                    });
                }
                Err(error) if is_fresh => return Err(error),
                Err(_) => {}
            }
        }
    }

    async fn begin(&self, wire: &mut Wire) -> Result<(Snapshot, Lsn), SnapshotError> {
        let begin = format!(
            "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; \
             SET LOCAL statement_timeout = {}; SET LOCAL row_security = off; \
             SELECT pg_current_snapshot(), pg_current_wal_insert_lsn()",
            self.inner.settings.statement_timeout.as_millis()
        );
        let rows = wire.query(&begin).await?;
        let mut row = rows.into_iter().next().unwrap_or_default().into_iter().flatten();
        let snapshot = row.next().and_then(|text| text.parse().ok()).ok_or(MalformedRow)?;
        let lsn = row.next().and_then(|text| text.parse().ok()).ok_or(MalformedRow)?;
        Ok((snapshot, lsn))
    }
}

/// A moment of the database, held until it is finished or dropped. What is dropped in the middle of a read costs its
/// connection.
pub struct OpenSnapshot {
    /// Which transactions it sees.
    pub snapshot: Snapshot,
    /// The position that it belongs to: every transaction that it sees committed before it.
    pub lsn: Lsn,
    state: State,
    pool: Arc<Inner>,
    _permit: OwnedSemaphorePermit,
}

enum State {
    /// Nothing is being read.
    Ready(Wire),
    /// A read is under way.
    Reading(Wire),
    /// A read failed.
    Spent,
}

impl OpenSnapshot {
    /// Reads a table as it was at that moment. One read at a time, each to its end.
    ///
    /// # Errors
    /// [`SnapshotError`]; an error of Postgres' shows when rows are asked for.
    pub async fn read(&mut self, query: ReadQuery<'_>) -> Result<RowStream<'_>, SnapshotError> {
        let State::Ready(wire) = mem::replace(&mut self.state, State::Spent) else {
            return Err(SnapshotError::Spent);
        };
        let mut message = BytesMut::new();
        frontend::query(&query.sql(), &mut message).map_err(WireError::from)?;
        self.state = State::Reading(wire);
        self.wire()?.send(&message).await.map_err(WireError::from)?;
        let reader = RowReader::new(query.table.columns.len(), query.columns(), query.wanted == Wanted::Rows);
        Ok(RowStream::new(self, reader))
    }

    /// How many rows there are, counted up to `limit`: no more than that many are looked for.
    ///
    /// # Errors
    /// [`SnapshotError`]; the snapshot is of no use any more.
    pub async fn count(&mut self, query: ReadQuery<'_>, limit: u64) -> Result<u64, SnapshotError> {
        let State::Ready(mut wire) = mem::replace(&mut self.state, State::Spent) else {
            return Err(SnapshotError::Spent);
        };
        let rows = wire.query(&query.count_sql(limit)).await?;
        self.state = State::Ready(wire);
        let count = rows.into_iter().flatten().flatten().next();
        count.and_then(|text| text.parse().ok()).ok_or(SnapshotError::Malformed(MalformedRow))
    }

    /// Ends it and gives the connection back.
    pub async fn finish(mut self) {
        let State::Ready(mut wire) = mem::replace(&mut self.state, State::Spent) else { return };
        let ended = timeout(Duration::from_secs(5), wire.query("COMMIT")).await;
        if let Ok(Ok(_)) = ended {
            self.pool.idle.lock().push(wire);
        }
    }

    pub(super) fn wire(&mut self) -> Result<&mut Wire, SnapshotError> {
        match &mut self.state {
            State::Reading(wire) => Ok(wire),
            State::Ready(_) | State::Spent => Err(SnapshotError::Spent),
        }
    }

    /// A failed read has aborted the transaction: the moment is lost with it.
    pub(super) fn read_is_over(&mut self, is_good: bool) {
        self.state = match mem::replace(&mut self.state, State::Spent) {
            State::Reading(wire) if is_good => State::Ready(wire),
            _ => State::Spent,
        };
    }
}

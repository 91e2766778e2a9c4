//! Before the stream: a connection that has logged in, has made sure that nobody else follows the database, and has looked at
//! what there is. Nothing is changed until that has been judged.

use change::{Lsn, Xid};

use super::{
    resume::{Identity, Situation},
    slot::{self, Slot},
    stream::StreamError,
    timeline::Timelines,
};
use crate::{
    connection::{ConnectConfig, Purpose},
    wire::{Wire, WireError},
};

/// The advisory lock of whoever follows a database, held for as long as its replication connection lives. The slot alone would do
/// once it is being read from; this keeps two instances apart before that.
const FOLLOWING: &str = "7305808, 2";

/// A replication connection that does not stream yet.
pub struct Arrival {
    pub(super) wire: Wire,
    database: String,
    id: u32,
    /// The next transaction id when the connection was made.
    pub(super) next_xid: Xid,
    process: Process,
}

/// A server process, told from a later one with the same id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    id: i32,
    started: String,
}

impl Process {
    /// Its id, as `pg_stat_activity` shows it.
    #[must_use]
    pub fn id(&self) -> i32 {
        self.id
    }
}

impl Arrival {
    /// Logs in.
    ///
    /// # Errors
    /// [`StreamError`]; [`StreamError::is_pooler`] if the other end does not know replication.
    pub async fn log_in(config: &ConnectConfig) -> Result<Arrival, StreamError> {
        fail::fail_point!("stream::connect", |what| super::stream::tripped(what.as_deref()));
        let mut wire = Wire::log_in(config, Purpose::Replication, &[("replication", "database")]).await?;
        let sql = "SELECT d.datname, d.oid, pg_snapshot_xmax(pg_current_snapshot()), a.backend_start \
                   FROM pg_database d, pg_stat_activity a \
                   WHERE d.datname = current_database() AND a.pid = pg_backend_pid()";
        let rows = wire.query(sql).await?;
        let mut row = rows.into_iter().next().unwrap_or_default().into_iter();
        let mut text = |what| row.next().flatten().ok_or(WireError::Protocol(what));
        let database = text("it does not say what the database is called")?;
        let id = text("the database has no object id")?;
        let next_xid = text("it has no transaction ids")?;
        let started = text("it does not say since when its process runs")?;
        let process = Process { id: wire.process_id(), started };
        Ok(Arrival {
            database,
            id: id.parse().map_err(|_| WireError::Protocol("the database's object id is none"))?,
            next_xid: next_xid
                .parse()
                .map(Xid)
                .map_err(|_| WireError::Protocol("it has no transaction ids"))?,
            process,
            wire,
        })
    }

    /// Which database this is.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn identity(&mut self) -> Result<Identity, StreamError> {
        Ok(self.identify().await?.0)
    }

    /// Which database this is, its timeline, and the end of what is flushed of its log.
    async fn identify(&mut self) -> Result<(Identity, u32, Lsn), StreamError> {
        let row = self.wire.query("IDENTIFY_SYSTEM").await?.into_iter().next().unwrap_or_default();
        let mut row = row.into_iter();
        let mut text = || row.next().flatten();
        let system = text().ok_or(WireError::Protocol("IDENTIFY_SYSTEM has no answer"))?;
        let timeline = text().and_then(|timeline| timeline.parse().ok());
        let timeline = timeline.ok_or(WireError::Protocol("IDENTIFY_SYSTEM names no timeline"))?;
        let flushed = text().and_then(|lsn| lsn.parse().ok());
        let flushed = flushed.ok_or(WireError::Protocol("IDENTIFY_SYSTEM names no position"))?;
        Ok((Identity { system, database: self.id }, timeline, flushed))
    }

    /// All transactions before this one were over or under way when the connection was made.
    #[must_use]
    pub fn next_xid(&self) -> Xid {
        self.next_xid
    }

    /// The server process at the other end.
    #[must_use]
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Tries to become the one that follows the database; whether that is so. It remains so until the connection ends.
    /// `predecessor` is the server process of an earlier connection of ours: if it has not noticed yet that we are gone, it
    /// is ended. Anybody else's is waited for: call again.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn claim(&mut self, predecessor: Option<&Process>) -> Result<bool, StreamError> {
        if let Some(Process { id, started }) = predecessor {
            // The text is Postgres' own, of a timestamp.
            let started = started.replace('\'', "");
            let sql = format!(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                 WHERE pid = {id} AND backend_start = '{started}' AND usename = current_user"
            );
            self.wire.query(&sql).await?;
        }
        let rows = self.wire.query(&format!("SELECT pg_try_advisory_lock({FOLLOWING})")).await?;
        Ok(rows.into_iter().next().and_then(|row| row.into_iter().next().flatten()).as_deref() == Some("t"))
    }

    /// Looks at everything that decides whether a stream can be continued.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn look(&mut self) -> Result<Situation, StreamError> {
        let (identity, timeline, wal_end) = self.identify().await?;
        let timelines = self.timelines(timeline).await?;
        let slot = slot::find(&mut self.wire, &self.database, self.id, self.next_xid).await?;
        Ok(Situation { identity, timelines, wal_end, slot })
    }

    async fn timelines(&mut self, present: u32) -> Result<Timelines, StreamError> {
        if present <= 1 {
            return Ok(Timelines::without_past(present));
        }
        match self.wire.query(&format!("TIMELINE_HISTORY {present}")).await {
            Ok(rows) => {
                let text = rows.into_iter().next().and_then(|row| row.into_iter().nth(1).flatten());
                Ok(Timelines::parse(present, &text.unwrap_or_default()))
            }
            Err(WireError::Server(error)) => {
                tracing::warn!(
                    "Postgres does not say where its timeline {present} comes from: {error}. A stream of an earlier timeline can't be \
                     continued without that"
                );
                Ok(Timelines::without_past(present))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The slot: made if it is missing, made anew if it was invalidated.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn slot(&mut self, situation: &Situation) -> Result<Slot, StreamError> {
        let slot = slot::ensure(&mut self.wire, situation.slot.clone(), self.next_xid).await?;
        fail::fail_point!("stream::slot_made", |what| super::stream::tripped(what.as_deref()));
        Ok(slot)
    }
}

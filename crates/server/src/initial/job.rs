//! One read: a snapshot, what has to be known before it can be read, the rows.

use std::{future::poll_fn, time::Duration};

use change::Lsn;
use postgres::snapshot::{OpenSnapshot, SnapshotError, SnapshotPool};
use protocol::EncodeError;
use session::{Known, Lost, ReadRequest, SnapshotFailure};
use tokio::time::timeout;

use super::{
    Inner, read, size,
    tape::{Abandoned, Interrupted, Recorder},
};

/// How often a snapshot is tried to be taken, and the pause between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// The stream reaches the snapshot's position within milliseconds, if it is connected; those who follow other shapes are there
/// soon after. A snapshot is not held for longer than this without being read.
const STALL: Duration = Duration::from_secs(30);

/// The rows can't be had.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    #[error("it has more than the {rows} rows that TIELINE_SHAPE_MAX_ROWS allows")]
    TooLarge { rows: u64 },
    #[error(
        "what the client has already can't be told: the stream does not get to the position of the snapshot"
    )]
    Stalled,
    #[error("what the client has already can't be told: it has fallen out of the retained history")]
    Lost,
    #[error("{0}")]
    Spool(std::io::Error),
    #[error("nobody wants the rows any more")]
    Abandoned,
}

impl Failure {
    /// Whether a table is not as its definition says.
    pub(super) fn is_mismatch(&self) -> bool {
        matches!(self, Failure::Snapshot(error) if error.is_mismatch())
    }

    /// What those are told who wait.
    pub(super) fn why(&self) -> SnapshotFailure {
        match self {
            Failure::TooLarge { rows } => SnapshotFailure::TooLarge { rows: *rows },
            _ => SnapshotFailure::Unavailable,
        }
    }
}

impl From<Abandoned> for Failure {
    fn from(_: Abandoned) -> Failure {
        Failure::Abandoned
    }
}

impl From<Lost> for Failure {
    fn from(_: Lost) -> Failure {
        Failure::Lost
    }
}

impl From<Interrupted> for Failure {
    fn from(interrupted: Interrupted) -> Failure {
        match interrupted {
            Interrupted::Abandoned => Failure::Abandoned,
            Interrupted::File(error) => Failure::Spool(error),
        }
    }
}

/// Logs a failure, unless nobody cares.
pub(super) fn report(request: &ReadRequest, failure: &Failure) {
    if !matches!(failure, Failure::Abandoned) {
        let roots = request.reads.iter().filter_map(|read| read.plan.root());
        let tables: Vec<&str> = roots.map(|layer| layer.table.name.as_str()).collect();
        tracing::warn!(?tables, "initial data can't be read: {failure}");
    }
}

/// Takes a snapshot, tells of it, and once somebody wants them writes its rows.
pub(super) async fn run(shared: &Inner, request: &ReadRequest, tape: &Recorder) -> Result<(), Failure> {
    let mut open = take(&shared.pool).await?;
    if let Some(limit) = shared.limits.rows {
        size::check(&mut open, request, limit).await?;
    }
    tape.opened(open.snapshot.clone(), open.lsn);
    if tape.wanted().await.is_err() {
        open.finish().await;
        return Err(Failure::Abandoned);
    }
    let at = open.lsn;
    match timeout(STALL, reach(shared, &request.known, at)).await {
        Ok(reached) => reached?,
        Err(_) => return Err(Failure::Stalled),
    }
    read::all(&mut open, request, tape).await?;
    tape.finish().await?;
    open.finish().await;
    Ok(())
}

async fn take(pool: &SnapshotPool) -> Result<OpenSnapshot, SnapshotError> {
    let mut tries = 1;
    loop {
        match pool.open().await {
            Err(error) if tries < TRIES && !matches!(error, SnapshotError::TooLate) => {
                tracing::debug!(%error, "a snapshot can't be taken; once more");
                tries += 1;
                tokio::time::sleep(PAUSE).await;
            }
            outcome => return outcome,
        }
    }
}

/// Makes sure that those who follow other shapes can tell what was in them at a position.
async fn reach(shared: &Inner, known: &Known, at: Lsn) -> Result<(), Lost> {
    if known.trackers.is_empty() {
        return Ok(());
    }
    shared.control.reach(at);
    shared.stream.reached(at).await;
    for tracker in &known.trackers {
        poll_fn(|cx| tracker.poll_reach(at, cx)).await?;
    }
    Ok(())
}

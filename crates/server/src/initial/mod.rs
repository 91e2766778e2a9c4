//! Initial data on its way from Postgres to a connection: rows of a snapshot, encoded to whole messages as they arrive, handed
//! on through a short queue. Whatever the size of a table, a few frames of it are in memory.

use std::time::Duration;

use bytes::Bytes;
use change::Tags;
use postgres::snapshot::{self, ReadQuery, SnapshotError, SnapshotPool, Wanted};
use protocol::{EncodeError, GoneEncoder, InsertEncoder};
use session::{Read, ReadKind};
use tokio::sync::{mpsc, oneshot};

use crate::backend::{OpenSnapshot, SnapshotPart};

/// Messages that wait for a client to take them.
const QUEUE: usize = 8;

/// Rows taken apart and encoded before anybody else gets a turn.
const BATCH: usize = 1000;

/// How often a snapshot is tried to be taken, and the pause between.
const TRIES: u32 = 3;
const PAUSE: Duration = Duration::from_millis(100);

/// The rows can't be had.
#[derive(Debug, thiserror::Error)]
enum ReadError {
    #[error(transparent)]
    Snapshot(#[from] SnapshotError),
    #[error(transparent)]
    Encode(#[from] EncodeError),
    /// The connection has ended or wants nothing more.
    #[error("nobody wants the rows any more")]
    Abandoned,
}

/// Takes a snapshot and reads it once told to, by a task of its own that ends with the answer.
pub fn open(pool: SnapshotPool, reads: Vec<Read>) -> OpenSnapshot {
    let (sender, parts) = mpsc::channel(QUEUE);
    let (begin, begun) = oneshot::channel();
    tokio::spawn(async move {
        match run(&pool, &reads, &sender, begun).await {
            Ok(()) | Err(ReadError::Abandoned) => {}
            Err(error) => {
                let tables: Vec<&str> = reads.iter().map(|read| read.table.name.as_str()).collect();
                tracing::warn!(?tables, "initial data can't be read: {error}");
            }
        }
    });
    OpenSnapshot { begin: Some(begin), parts }
}

async fn run(
    pool: &SnapshotPool,
    reads: &[Read],
    sender: &mpsc::Sender<SnapshotPart>,
    begun: oneshot::Receiver<()>,
) -> Result<(), ReadError> {
    let mut open = tokio::select! {
        open = take(pool) => open?,
        () = sender.closed() => return Err(ReadError::Abandoned),
    };
    send(sender, SnapshotPart::Opened { snapshot: open.snapshot.clone(), lsn: open.lsn }).await?;
    if begun.await.is_err() {
        open.finish().await;
        return Err(ReadError::Abandoned);
    }
    for (index, read) in reads.iter().enumerate() {
        read_table(&mut open, index, read, sender).await?;
    }
    send(sender, SnapshotPart::Done).await?;
    open.finish().await;
    Ok(())
}

async fn take(pool: &SnapshotPool) -> Result<snapshot::OpenSnapshot, SnapshotError> {
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

async fn read_table(
    open: &mut snapshot::OpenSnapshot,
    index: usize,
    read: &Read,
    sender: &mpsc::Sender<SnapshotPart>,
) -> Result<(), ReadError> {
    let mut encoder = Encoder::new(read);
    let wanted = match read.kind {
        ReadKind::Rows => Wanted::Rows,
        ReadKind::Keys => Wanted::Keys,
    };
    let owner = read.owner.as_ref().map(change::UserId::as_str);
    let mut rows = open.read(ReadQuery { table: &read.table, wanted, owner }).await?;
    let mut frames = Vec::new();
    loop {
        let mut failure = None;
        let received = rows.next_rows(BATCH, |values, tags| match encoder.push(values, tags) {
            Ok(frame) => frames.extend(frame),
            Err(error) => failure = failure.take().or(Some(error)),
        });
        let count = tokio::select! {
            biased;
            count = received => count?,
            () = sender.closed() => return Err(ReadError::Abandoned),
        };
        if let Some(error) = failure {
            return Err(error.into());
        }
        if count == 0 {
            frames.extend(encoder.finish());
        }
        for frame in frames.drain(..) {
            send(sender, SnapshotPart::Frame { read: index, frame }).await?;
        }
        if count == 0 {
            return Ok(());
        }
    }
}

async fn send(sender: &mpsc::Sender<SnapshotPart>, part: SnapshotPart) -> Result<(), ReadError> {
    sender.send(part).await.map_err(|_| ReadError::Abandoned)
}

/// Rows or keys to messages.
enum Encoder {
    Rows(InsertEncoder),
    Keys(GoneEncoder, Vec<usize>),
}

impl Encoder {
    fn new(read: &Read) -> Encoder {
        match read.kind {
            ReadKind::Rows => Encoder::Rows(InsertEncoder::new(read.table.clone())),
            ReadKind::Keys => {
                Encoder::Keys(GoneEncoder::new(read.table.clone()), read.table.primary_key.clone())
            }
        }
    }

    fn push(&mut self, values: &[Option<&[u8]>], tags: &Tags) -> Result<Option<Bytes>, EncodeError> {
        match self {
            Encoder::Rows(rows) => rows.push(values.iter().copied(), tags),
            Encoder::Keys(keys, columns) => {
                keys.push(columns.iter().filter_map(|column| values.get(*column).copied().flatten()))
            }
        }
    }

    fn finish(&mut self) -> Option<Bytes> {
        match self {
            Encoder::Rows(rows) => rows.finish(),
            Encoder::Keys(keys, _) => keys.finish(),
        }
    }
}

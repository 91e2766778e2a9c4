//! What connections need from Postgres, as a seam: the real thing is in [`crate::database`], a small one in tests.

use std::{future::Future, pin::Pin, sync::Arc};

use bytes::Bytes;
use change::{ClientId, ClientLsn, ClientTransaction, Lsn, RefusedTransaction, Snapshot, UserId};
use session::{ClientUpdate, ReadRequest, SnapshotFailure, StoredClient, Unavailable, WriteOutcome};
use tokio::sync::{mpsc, oneshot};

/// An answer that takes a while.
pub type Pending<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Whom a client id belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Binding {
    /// To the user that asked, from now on if not before.
    Own {
        /// The last of the client's own transactions that Postgres has.
        acknowledged: Option<ClientLsn>,
    },
    /// To somebody else.
    OtherUser,
}

/// Postgres, as connections see it. No call blocks; each answers when it can, or says that Postgres can't be asked.
pub trait Backend: Send + Sync + 'static {
    /// Binds a client id to a user, if it is not bound yet, and looks up how far the client's own writes are in.
    fn bind(&self, client: ClientId, user: UserId) -> Pending<Result<Binding, Unavailable>>;
    /// What is stored about a client.
    fn load(&self, client: ClientId) -> Pending<Result<StoredClient, Unavailable>>;
    /// Changes what is stored about a client. Answers when it is durable.
    fn store(&self, client: ClientId, updates: Vec<ClientUpdate>) -> Pending<Result<(), Unavailable>>;
    /// `pg_current_wal_insert_lsn()`.
    fn wal_end(&self) -> Pending<Result<Lsn, Unavailable>>;
    /// Applies transactions of one client that follow each other, or the first ones of them, at least one, and says what became of
    /// those: as soon as the next one would have to wait for something. Nothing after a refused one is applied. What is done is
    /// durable.
    fn write_run(
        &self,
        transactions: Vec<Arc<ClientTransaction>>,
    ) -> Pending<Result<Vec<WriteOutcome>, Unavailable>>;
    /// Puts a transaction among the rejected that was refused before it came to Postgres, if that can be done now: the client sends it
    /// again when it is started again.
    fn keep_rejected(&self, transaction: Box<RefusedTransaction>) -> Pending<()>;
    /// Makes sure that the stream will soon be known to have reached a position.
    fn reach(&self, position: Lsn);
    /// Takes a snapshot to read this in, or shares one with others who ask for the same, and holds it. It ends when the answer is
    /// dropped.
    fn snapshot(&self, request: Arc<ReadRequest>) -> OpenSnapshot;
}

/// A snapshot on its way: opened by a task of its own, read once it is told to, given up when this is dropped.
#[derive(Debug)]
pub struct OpenSnapshot {
    /// Sending begins the reads.
    pub begin: Option<oneshot::Sender<()>>,
    /// In order: [`SnapshotPart::Opened`], frames, [`SnapshotPart::Done`]; [`SnapshotPart::Failed`] at any time, after which
    /// nothing follows.
    pub parts: mpsc::Receiver<SnapshotPart>,
}

/// What a snapshot yields.
#[derive(Debug)]
pub enum SnapshotPart {
    /// It is open, and sees this much.
    Opened {
        /// Which transactions it sees.
        snapshot: Snapshot,
        /// `pg_current_wal_insert_lsn()` at its first statement.
        lsn: Lsn,
    },
    /// A whole `SatOpLog` message with rows of one read.
    Frame {
        /// Index into the reads.
        read: usize,
        /// The message.
        frame: Bytes,
    },
    /// All reads are complete.
    Done,
    /// It can't be had, or not to its end.
    Failed(SnapshotFailure),
}

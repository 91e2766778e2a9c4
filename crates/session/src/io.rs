//! What goes into a session and what comes out.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use change::{
    ClientId, ClientLsn, ClientTransaction, Lsn, RefusedTransaction, RelationId, Snapshot, SubscriptionId,
    UserId,
};
use schema::{Migration, Schema};
use shapes::{Plan, Route};

use crate::{Delivery, ReadRequest, Tracker};

/// Milliseconds: since the Unix epoch for wall-clock time, by a monotonic clock for deadlines.
pub type Millis = u64;

/// The moment of an input, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// Since the Unix epoch: what the times in tokens are compared with.
    pub wall_ms: Millis,
    /// By a clock that never goes back: what deadlines are measured with.
    pub mono_ms: Millis,
}

/// What a session may look up at any moment without waiting. The driver's side is shared by all sessions.
pub trait World: Send + Sync {
    /// The schema at the newest position of the stream. A migration shows here and in [`World::migrations`] before
    /// [`World::position`] reaches it, never after.
    fn schema(&self) -> Arc<Schema>;
    /// All migrations that the stream has reached, oldest first.
    fn migrations(&self) -> Arc<Vec<Arc<Migration>>>;
    /// How far the stream is known to have been decoded: everything committed at or before it has been handed on.
    fn position(&self) -> Lsn;
    /// Where the retained history begins: resuming strictly after any position from here to `position` is exact.
    fn history_start(&self) -> Lsn;
    /// Of the transactions that the stream handed on recently, the one with this id, as its position.
    fn recently_passed(&self, xid: change::Xid) -> Option<Lsn>;
    /// Follows the membership of a shape from a position on that the stream has passed and that is in the retained history.
    /// Everyone who follows the same shape shares one tracker where possible.
    fn track(&self, plan: &Arc<Plan>, from: Lsn) -> Arc<dyn Tracker>;
    /// Whether a transaction that the stream handed on at or before `until` is not in the snapshot: a commit can reach
    /// the stream a moment before queries see it (spec 06 §5.5 step 2).
    ///
    /// As provided, it looks up the ids that were in progress and the first few from `xmax` on: there are seldom more
    /// commits under way at a time.
    fn passed_unseen(&self, snapshot: &Snapshot, until: Lsn) -> bool {
        const COMMITS_UNDER_WAY: u64 = 64;
        let started_later = (0..COMMITS_UNDER_WAY).map(|n| change::Xid(snapshot.xmax.0.saturating_add(n)));
        snapshot
            .in_progress
            .iter()
            .copied()
            .chain(started_later)
            .any(|xid| self.recently_passed(xid).is_some_and(|lsn| lsn <= until))
    }
    /// Whether the snapshot sees a transaction and not one before it in the log, of those that the stream handed on at or before
    /// `until`: commits show to queries in another order than they have in the log. Then it shows no moment of the stream.
    ///
    /// As provided, any that it does not see counts.
    fn is_torn(&self, snapshot: &Snapshot, until: Lsn) -> bool {
        self.passed_unseen(snapshot, until)
    }
}

/// Names one snapshot of a session; chosen by the session, counting up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SnapshotId(pub u64);

/// What is stored about a client between connections (schema `electric`, 02 §11).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredClient {
    /// Subscriptions, whether delivered or not.
    pub subscriptions: Vec<StoredSubscription>,
    /// Migrations of an initial sync that may have been cut off.
    pub pending_migrations: Option<PendingMigrations>,
    /// Transactions whose additional data the client has said to have seen, the last time that it said so (02 §11.3).
    pub observed: Vec<u64>,
}

/// A stored subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSubscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The shape requests: an encoded `SatSubsReq`.
    pub request: Bytes,
    /// Where the gone batch was placed, if it has been ended.
    pub gone_at: Option<Lsn>,
}

/// The migrations sent in an initial sync: the i-th of k has the position `last − (k − i)` (02 §6.3.1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMigrations {
    /// The position of the last.
    pub last: Lsn,
    /// Their versions, in order.
    pub versions: Vec<String>,
}

/// A change of what is stored about a client. Applied in order, at least once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientUpdate {
    /// Forget everything but the binding to its user and the position of its own writes.
    Clear,
    /// The initial sync sends these.
    MigrationsSent(PendingMigrations),
    /// The client has passed them.
    MigrationsSeen,
    /// The client has seen the additional data of these transactions; replaces what it said before.
    Observed(Vec<u64>),
    /// A subscription was accepted.
    Subscribed(StoredSubscription),
    /// The gone batch of these stands at this position.
    Gone(Vec<SubscriptionId>, Lsn),
    /// Nothing more need be known of these.
    Forget(Vec<SubscriptionId>),
}

/// The answer to [`Output::Admit`].
#[derive(Clone, Debug)]
pub enum Admission {
    /// The client id belongs to this user, older connections of it are closed. `acknowledged` is the last of the
    /// client's own transactions that Postgres has.
    Admitted {
        /// `None` if there is none yet.
        acknowledged: Option<ClientLsn>,
    },
    /// The client id belongs to another user: refused like a bad token.
    OtherUser,
    /// Too many takeovers in a short time, or Postgres can't be asked: closed without a message, so that the client backs off.
    NotNow,
}

/// The answer to [`Output::Write`].
#[derive(Clone, Debug)]
pub enum WriteOutcome {
    /// It is committed, or had been before.
    Done,
    /// Postgres refused it for good; `message` may be shown to the author.
    Refused {
        /// What an app developer needs to know.
        message: String,
    },
}

/// What happens to a session.
#[derive(Debug)]
pub enum Input {
    /// A whole binary WebSocket message.
    Message(Bytes),
    /// A text message.
    Text,
    /// Before authentication, a message over the bound; its payload was dropped.
    Oversized,
    /// Any sign of life from the peer that is not a message: ping or pong.
    Alive,
    /// The peer's answer to [`Output::Probe`]: it has received everything up to there.
    Probed(u64),
    /// The answer to [`Output::Admit`].
    Admission(Admission),
    /// The answer to [`Output::LoadClient`]; `Err` if Postgres can't be asked.
    Client(Result<StoredClient, Unavailable>),
    /// The answer to [`Output::QueryWalEnd`].
    WalEnd(Result<Lsn, Unavailable>),
    /// The next transactions after [`super::World`]'s order, strictly after the session's cursor, and how far the stream
    /// is known to be decoded: with no transactions, the stream is idle up to `reached`. While
    /// [`super::Session::is_selective`], transactions that don't concern it may be left out.
    Stream {
        /// In order, without gaps.
        deliveries: Vec<Arc<Delivery>>,
        /// At or after the last of them.
        reached: Lsn,
    },
    /// The cursor has fallen out of the retained history.
    StreamLost,
    /// The answer to [`Output::OpenSnapshot`].
    SnapshotOpened {
        /// Which one.
        id: SnapshotId,
        /// What it sees.
        snapshot: Snapshot,
        /// `pg_current_wal_insert_lsn()` at its first statement.
        lsn: Lsn,
    },
    /// A frame of the snapshot: a whole `SatOpLog` message.
    SnapshotFrame {
        /// Which one.
        id: SnapshotId,
        /// Index into the reads.
        read: usize,
        /// The message.
        frame: Bytes,
    },
    /// All reads of the snapshot are complete.
    SnapshotDone {
        /// Which one.
        id: SnapshotId,
    },
    /// The snapshot can't be had, after the driver's own tries.
    SnapshotFailed {
        /// Which one.
        id: SnapshotId,
        /// Why.
        why: SnapshotFailure,
    },
    /// The answer to [`Output::Write`], in the order of those.
    Written(WriteOutcome),
    /// The answer to [`Output::Store`] with the same number.
    Stored(u64),
    /// Time has passed; nothing else has happened.
    Tick,
    /// Another connection of the same client and user has taken over.
    Replaced,
    /// The service stops.
    Shutdown,
}

/// Postgres could not be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

/// What the driver has to do for a session, in order.
#[derive(Debug)]
pub enum Output {
    /// Send one binary message.
    Send(Bytes),
    /// Send several binary messages; shared between sessions.
    SendAll(Arc<[Bytes]>),
    /// Send an empty WebSocket ping.
    Ping,
    /// Send a WebSocket ping that carries this number, and hand the number in when it comes back.
    Probe(u64),
    /// Everything before must reach the peer, as one write, before anything after is handed to the socket (02 §10.4).
    Flush,
    /// Send a close frame and end; no output follows. Whatever the session had open (snapshots, questions) is dropped.
    Close {
        /// The code.
        code: CloseCode,
        /// The reason text, at most 123 bytes.
        reason: &'static str,
    },
    /// An attempt to authenticate failed. Follows nothing, precedes the refusal's own message: the driver logs it once,
    /// counts it, and may delay the outputs behind it by up to a second.
    Refused {
        /// Why.
        kind: RefusalKind,
        /// The text for the log: what the client is told, and how its token is called there.
        reason: String,
    },
    /// A token was accepted: bind the client id to the user, close older connections of it, look up its position.
    Admit {
        /// The client.
        client: ClientId,
        /// The user of its token.
        user: UserId,
    },
    /// Read what is stored about the client.
    LoadClient,
    /// Ask Postgres for `pg_current_wal_insert_lsn()`.
    QueryWalEnd,
    /// Change what is stored about the client; answer with the number when it is durable.
    Store {
        /// Names the answer.
        number: u64,
        /// In order.
        updates: Vec<ClientUpdate>,
    },
    /// Take a snapshot (06 §5.5) for these reads. It is held open until it is read or dropped.
    OpenSnapshot {
        /// Its name.
        id: SnapshotId,
        /// What will be read; nothing is read before [`Output::ReadSnapshot`].
        request: Arc<ReadRequest>,
    },
    /// Start the snapshot's reads now. Frames are handed in as [`super::Session::wants_snapshot_frames`] allows.
    ReadSnapshot {
        /// Which one.
        id: SnapshotId,
    },
    /// The snapshot is not wanted any more.
    DropSnapshot {
        /// Which one.
        id: SnapshotId,
    },
    /// Make sure that the stream will be known to have reached this position soon, also on an idle database (06 §5.5 step 6, 7),
    /// and look at the session again when [`World::position`] is there, whether it reads the stream or not: its
    /// [`super::Session::next_deadline`] may have come with that.
    Reach(Lsn),
    /// Apply a client transaction, after all earlier ones of this session; not at all after one that was refused, nor where one
    /// before it is given up because the session has ended. So many may be unanswered as
    /// [`crate::SessionLimits::queued_transactions`] and one message allow.
    Write(ClientTransaction),
    /// What the client wrote was refused before it reached the writer; to be logged. Holds no values. The refusal's message
    /// and the end of the connection follow, once what came before it is written.
    WriteRejected {
        /// The transaction's position in the author's log, if it had begun.
        position: Option<u64>,
        /// What is wrong.
        reason: String,
    },
    /// Put a transaction that was refused in this way among the rejected: everything that the client wrote before it has been applied.
    KeepRejected(Box<RefusedTransaction>),
    /// From now on, wake this session for transactions that one of these may be concerned with, that carry a migration or that
    /// come from its client. It has to be fed from its cursor also at each [`super::Session::next_deadline`], so that
    /// its position moves on.
    Watch(Arc<[Interest]>),
}

/// Which transactions concern a session: those with a change that the routing index finds here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Interest {
    /// The table.
    pub relation: RelationId,
    /// Which of its rows.
    pub route: Route,
}

/// Why a snapshot can't be had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SnapshotFailure {
    /// Postgres does not answer, or not in time.
    Unavailable,
    /// A shape has more rows than this deployment lets one have.
    TooLarge {
        /// How many it may have.
        rows: u64,
    },
}

/// Why authentication failed: the metric label and what the log says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum RefusalKind {
    Token,
    OtherUser,
    Malformed,
    TooLarge,
    NotAuthenticated,
    Timeout,
}

/// WebSocket close codes in use (02 §2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are RFC 6455's, or say it")]
pub enum CloseCode {
    Normal = 1000,
    GoingAway = 1001,
    UnsupportedData = 1003,
    InvalidPayload = 1007,
    PolicyViolation = 1008,
    MessageTooBig = 1009,
    InternalError = 1011,
    TokenExpired = 4000,
    Replaced = 4001,
}

impl fmt::Display for Unavailable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Postgres can't be asked")
    }
}

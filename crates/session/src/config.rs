//! What one deployment sets for all its sessions.

use crate::Millis;

/// Bounds and periods of a session. Durations are milliseconds.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// The server's id in `SatAuthResp`; clients ignore it.
    pub instance_id: String,
    /// Transactions on the wire that the client need not have acknowledged; announced to it, at least 1 (spec 02 §6.8).
    pub unacked_window: u32,
    /// A connection that has not authenticated by then is closed (spec 01 §6).
    pub auth_deadline: Millis,
    /// Silence after which the peer is pinged; after as much again it counts as dead (spec 02 §2.4).
    pub ping_interval: Millis,
    /// Least time between the reply to `subscribe` and its data (spec 02 §10.4).
    pub subscription_delay: Millis,
    /// Longest wait, on top of that, for the client to have taken in the reply: a busy one may take both at once, and then fails.
    pub subscription_patience: Millis,
    /// The same for a client that has answered such a question before on its connection: it will, unless it is dead. One that takes in
    /// the data of another subscription may be busy for long.
    pub proven_patience: Millis,
    /// Longest wait for a snapshot before `subscribe` is answered with an error (spec 06 §2.3).
    pub snapshot_timeout: Millis,
    /// Longest wait for the stream to come as far as the database before `subscribe` is refused for an unknown table. Together
    /// with `snapshot_timeout` less than the 3 s after which clients stop waiting (spec 02 §5.3).
    pub catch_up_timeout: Millis,
    /// Longest time between a `startReplication` request and its reply, less than the 3 s after which clients stop waiting.
    pub start_timeout: Millis,
    /// When a request that was not answered by then has its connection closed, without an answer: not before the client has stopped
    /// waiting, which would leave it without a connection and believing that it has one (spec 02 §7.1, §10.4).
    pub unanswered_start: Millis,
    /// For how long after its authentication a client that has not asked for its stream yet is still waited for when the service
    /// stops, for the same reason.
    pub start_patience: Millis,
    /// Age of the client's stored position after which an empty transaction moves it on (spec 02 §15, item 17).
    pub heartbeat_interval: Millis,
    /// Distance in bytes of write-ahead log after which that is done at once; a fraction of the resumable window.
    pub heartbeat_distance: u64,
    /// The most rows that leave in one gone batch; more leave by a transaction (spec 02 §9.2).
    pub gone_batch: usize,
    /// Bounds on what one client may have the service hold.
    pub limits: SessionLimits,
    /// Bounds on one shape.
    pub shapes: shapes::ShapeLimits,
}

/// What one client may have the service hold.
#[derive(Clone, Debug)]
pub struct SessionLimits {
    /// Subscriptions at a time.
    pub subscriptions: usize,
    /// Shape requests in one subscription.
    pub requests: usize,
    /// Bytes of one client transaction.
    pub transaction_bytes: usize,
    /// Operations of one client transaction.
    pub transaction_ops: usize,
    /// Client transactions that may be with the writer before no more is read from the socket.
    pub queued_transactions: usize,
    /// Requests, blocks and stores under way before no more requests are looked at.
    pub queued_requests: usize,
}

impl Default for SessionConfig {
    fn default() -> SessionConfig {
        SessionConfig {
            instance_id: "tieline".to_owned(),
            unacked_window: 30,
            auth_deadline: 10_000,
            ping_interval: 20_000,
            subscription_delay: 30,
            subscription_patience: 2_000,
            proven_patience: 20_000,
            snapshot_timeout: 1_000,
            catch_up_timeout: 1_000,
            start_timeout: 2_500,
            unanswered_start: 3_500,
            start_patience: 3_000,
            heartbeat_interval: 300_000,
            heartbeat_distance: 64 << 20,
            gone_batch: 500,
            limits: SessionLimits::default(),
            shapes: shapes::ShapeLimits::default(),
        }
    }
}

impl Default for SessionLimits {
    fn default() -> SessionLimits {
        SessionLimits {
            subscriptions: 1_000,
            requests: 1_000,
            transaction_bytes: 64 << 20,
            transaction_ops: 1_000_000,
            queued_transactions: 512,
            queued_requests: 64,
        }
    }
}

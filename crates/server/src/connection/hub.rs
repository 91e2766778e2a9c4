//! What all connections share.

use std::{
    net::IpAddr,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::{Instant, SystemTime},
};

use session::{RefusalKind, SessionConfig, World};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    backend::Backend,
    config::ClientLimits,
    gate::{Failure, Failures, Gate},
    registry::Registry,
    stream::Stream,
    watchers::ConnectionId,
};

/// What all connections share.
pub struct Hub {
    /// The same for all sessions.
    pub session: Arc<SessionConfig>,
    /// Judges tokens.
    pub verifier: Arc<auth::Verifier>,
    /// The transactions, and where they have come to.
    pub stream: Arc<Stream>,
    /// The same as sessions see it, with the shapes that are followed along it.
    pub world: Arc<dyn World>,
    /// Postgres.
    pub backend: Arc<dyn Backend>,
    /// Which client has which connection.
    pub registry: Arc<Registry>,
    /// Places for connections that have not authenticated.
    pub gate: Gate,
    /// Failed attempts by address.
    pub failures: Failures,
    /// Bounds on clients.
    pub limits: ClientLimits,
    /// Everything that must come to an end before the process does.
    pub tasks: TaskTracker,
    /// Cancelled when connections are to be closed.
    pub closing: CancellationToken,
    /// The name of the replication slot that the stream is read from.
    pub slot: OnceLock<String>,
    /// When and why the stream began anew, if clients had to load their data again for it.
    pub begun_anew: OnceLock<BegunAnew>,
    connections: AtomicU64,
}

/// A stream that could not be continued.
#[derive(Clone, Debug)]
pub struct BegunAnew {
    /// Since when there is another one.
    pub at: SystemTime,
    /// Why, in words for whoever runs the service.
    pub why: String,
}

impl Hub {
    /// Puts the parts together.
    #[must_use]
    pub fn new(
        session: SessionConfig,
        verifier: auth::Verifier,
        stream: Arc<Stream>,
        world: Arc<dyn World>,
        backend: Arc<dyn Backend>,
        limits: ClientLimits,
    ) -> Arc<Hub> {
        Arc::new(Hub {
            session: Arc::new(session),
            verifier: Arc::new(verifier),
            stream,
            world,
            backend,
            registry: Arc::default(),
            gate: Gate::new(limits.unauthenticated),
            failures: Failures::new(limits.failure_burst, limits.failure_rate),
            limits,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
            slot: OnceLock::new(),
            begun_anew: OnceLock::new(),
            connections: AtomicU64::new(1),
        })
    }

    /// A name for another connection.
    pub(super) fn name_connection(&self) -> ConnectionId {
        ConnectionId(self.connections.fetch_add(1, Ordering::Relaxed))
    }

    /// Counts and logs a failed attempt to authenticate. Whether its answer is to be delayed.
    pub(super) fn note_refusal(&self, peer: IpAddr, kind: RefusalKind, reason: &str) -> bool {
        match self.failures.note(peer, Instant::now()) {
            Failure::Ordinary { folded: 0 } => {
                tracing::warn!(%peer, kind = ?kind, "Client WebSocket connection failed with reason: {reason}");
                false
            }
            Failure::Ordinary { folded } => {
                tracing::warn!(%peer, kind = ?kind, folded, "Client WebSocket connection failed with reason: {reason} (and {folded} more before it)");
                false
            }
            Failure::Limited => true,
        }
    }

    /// Logs the refusals that were folded since the last time; called now and then.
    pub fn log_folded_refusals(&self) {
        for (peer, folded) in self.failures.take_folded(Instant::now()) {
            tracing::warn!(%peer, folded, "authentication refused {folded} more times; their answers were delayed");
        }
    }
}

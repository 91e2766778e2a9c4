//! Two helpers of the stream that use ordinary connections: one writes a mark into the log so that a position is reached,
//! the other looks whether a silent server is still there.

use std::time::Duration;

use tokio::{
    task::JoinHandle,
    time::{Instant, timeout},
};
use tokio_postgres::Client;

use crate::connection::{ConnectConfig, Purpose, connect};

/// Flushes the log and makes the stream say so: a transaction with nothing but a message (spec 06 §5.5 step 7).
const MARK: &str = "BEGIN; SET LOCAL synchronous_commit = local; \
                    SELECT pg_logical_emit_message(true, 'electric.mark', ''); COMMIT";

/// How long a probe may take.
const PROBE_TIME: Duration = Duration::from_secs(3);

/// How long a mark may take.
const MARK_TIME: Duration = Duration::from_secs(5);

/// Writes marks, one at a time, on a connection of its own.
pub(super) struct Marker {
    config: ConnectConfig,
    running: Option<JoinHandle<()>>,
    client: std::sync::Arc<tokio::sync::Mutex<Option<Client>>>,
}

impl Marker {
    pub(super) fn new(config: ConnectConfig) -> Marker {
        Marker { config, running: None, client: std::sync::Arc::default() }
    }

    /// Writes a mark, unless one is being written. Says whether it does.
    pub(super) fn run(&mut self) -> bool {
        if self.running.as_ref().is_some_and(|task| !task.is_finished()) {
            return false;
        }
        let (config, client) = (self.config.clone(), std::sync::Arc::clone(&self.client));
        self.running = Some(tokio::spawn(async move {
            let mut slot = client.lock().await;
            match timeout(MARK_TIME, mark(&config, &mut slot)).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    *slot = None;
                    tracing::warn!(error, "could not write a mark into the log; it is tried again");
                }
                Err(_) => {
                    *slot = None;
                    tracing::warn!("Postgres did not write a mark into the log in time; it is tried again");
                }
            }
        }));
        true
    }
}

impl Drop for Marker {
    fn drop(&mut self) {
        if let Some(task) = self.running.take() {
            task.abort();
        }
    }
}

async fn mark(config: &ConnectConfig, slot: &mut Option<Client>) -> Result<(), String> {
    if slot.as_ref().is_none_or(Client::is_closed) {
        let client = connect(config, Purpose::Service).await.map_err(|error| error.to_string())?;
        *slot = Some(client);
    }
    let Some(client) = slot else { return Ok(()) };
    client.batch_execute(MARK).await.map_err(|error| crate::connection::chain(&error))
}

/// Looks whether the server process of the stream is still there. A server that decodes a huge transaction without
/// anything for us may be silent for long, and must not be cut off.
pub(super) struct Probe {
    config: ConnectConfig,
    process_id: i32,
    running: Option<JoinHandle<bool>>,
    alive_at: Option<Instant>,
}

impl Probe {
    pub(super) fn new(config: ConnectConfig, process_id: i32) -> Probe {
        Probe { config, process_id, running: None, alive_at: None }
    }

    /// Whether the server is known to be gone. Looks anew when the last look is older than `every`.
    pub(super) fn has_failed(&mut self, now: Instant, every: Duration) -> bool {
        use futures_util::FutureExt;

        if let Some(task) = &mut self.running {
            match task.now_or_never() {
                None => return false,
                Some(outcome) => {
                    self.running = None;
                    if !outcome.unwrap_or(false) {
                        return true;
                    }
                    self.alive_at = Some(now);
                }
            }
        }
        if self.alive_at.is_none_or(|at| now >= at + every) {
            let look = is_alive(self.config.clone(), self.process_id);
            self.running =
                Some(tokio::spawn(async move { timeout(PROBE_TIME, look).await.unwrap_or(false) }));
        }
        false
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        if let Some(task) = self.running.take() {
            task.abort();
        }
    }
}

async fn is_alive(config: ConnectConfig, process_id: i32) -> bool {
    match connect(&config, Purpose::Service).await {
        Ok(client) => {
            let query = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE pid = $1)";
            let row = client.query_one(query, &[&process_id]).await;
            row.and_then(|row| row.try_get(0)).unwrap_or(false)
        }
        // Too many connections, for instance: whoever refuses is there.
        Err(error) => error.code().is_some(),
    }
}

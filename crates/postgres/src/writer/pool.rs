//! The connections of the writer, shared by all clients.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use change::ClientTransaction;
use parking_lot::Mutex;
use schema::Schema;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
use tokio_postgres::error::SqlState;

use super::{
    Applied,
    apply::attempt,
    failure::{Failure, Refused},
    session::Session,
};
use crate::connection::{self, ConnectConfig};

/// How often an attempt is repeated that lost a race to another session.
const RACES: u32 = 30;

/// How long a cancelled session may take before it is asked again: a request that comes between two statements does nothing.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Applies client transactions over a fixed number of connections, opened when first needed.
///
/// Any connection serves any client, so a client that waits for a row lock holds up nobody while a connection is free.
/// Those that wait for a connection are served in the order they came.
pub struct WriterPool {
    schema: Box<dyn Fn() -> Arc<Schema> + Send + Sync>,
    free: Arc<Semaphore>,
    sessions: Arc<Sessions>,
}

impl WriterPool {
    /// Connections unless there is a reason for another number.
    pub const DEFAULT_SIZE: usize = 8;

    /// A pool of at most `size` connections (at least one). `schema` gives the newest schema; it is asked anew for each
    /// attempt. Nothing is connected yet.
    pub fn new(
        config: ConnectConfig,
        schema: impl Fn() -> Arc<Schema> + Send + Sync + 'static,
        size: usize,
    ) -> WriterPool {
        let sessions = Sessions { config, idle: Mutex::new(Vec::new()), away: AtomicBool::new(false) };
        WriterPool {
            schema: Box::new(schema),
            free: Arc::new(Semaphore::new(size.clamp(1, Semaphore::MAX_PERMITS))),
            sessions: Arc::new(sessions),
        }
    }

    /// Applies a transaction. Returns when it is committed, was found to have been before, or is refused for good. Waits for
    /// a connection, for row locks, and for Postgres to come back, without a limit; the caller sees to it that each client
    /// has only one transaction here at a time.
    ///
    /// May be dropped: the transaction is then applied as a whole or not at all.
    ///
    /// # Errors
    /// [`Refused`]: nothing of the transaction was applied, and the client's position has not moved.
    pub async fn apply(&self, tx: &ClientTransaction) -> Result<Applied, Refused> {
        let (mut races, mut pauses) = (0, 0);
        loop {
            if let Some(mut lease) = self.lease().await
                && let Some(session) = &mut lease.session
            {
                let schema = (self.schema)();
                let result = attempt(session, tx, &schema).await;
                lease.give_back();
                match result {
                    Ok(applied) => return Ok(applied),
                    Err(Failure::Permanent(refused)) => return Err(refused),
                    Err(Failure::Transient(error)) => tell_retry(tx, &error),
                    Err(Failure::Race(error)) if races == RACES => return Err(Refused::unending(&error)),
                    Err(Failure::Race(error)) => {
                        tell_retry(tx, &error);
                        races += 1;
                    }
                }
            }
            pause(&mut pauses).await;
        }
    }

    /// A connection; `None` if Postgres can't be reached now.
    async fn lease(&self) -> Option<Lease> {
        let permit = self.free.clone().acquire_owned().await.ok()?;
        let session = self.sessions.take().await?;
        Some(Lease { session: Some(session), permit: Some(permit), sessions: self.sessions.clone() })
    }
}

/// The sessions that are not in use, and how to get more.
struct Sessions {
    config: ConnectConfig,
    idle: Mutex<Vec<Session>>,
    away: AtomicBool,
}

impl Sessions {
    async fn take(&self) -> Option<Session> {
        loop {
            let idle = self.idle.lock().pop();
            match idle {
                Some(session) if session.is_usable() => return Some(session),
                Some(_) => {}
                None => break,
            }
        }
        match Session::open(&self.config).await {
            Ok(session) => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("Postgres takes client transactions again");
                }
                Some(session)
            }
            Err(error) => {
                // Said once per outage.
                if !self.away.swap(true, Ordering::Relaxed) {
                    let error = connection::chain(&error);
                    tracing::warn!(
                        error,
                        "client transactions wait: the writer can't get a connection to Postgres"
                    );
                }
                None
            }
        }
    }

    /// Takes back a session that is outside of any transaction.
    fn give_back(&self, session: Session) {
        if session.is_usable() {
            self.idle.lock().push(session);
        }
    }

    /// Brings a session that was abandoned in the middle of something out of it: whatever it waits for is cancelled.
    async fn recover(&self, mut session: Session) {
        let token = session.client().cancel_token();
        {
            let mut rolled_back = pin!(session.roll_back());
            loop {
                // If the request can't be delivered, the connection is going too.
                let _ = connection::cancel(&self.config, &token).await;
                if timeout(CANCEL_AGAIN, rolled_back.as_mut()).await.is_ok() {
                    break;
                }
            }
        }
        self.give_back(session);
    }
}

/// A session in use. Dropped in the middle of something, it is recovered, and counts as in use until it is.
struct Lease {
    session: Option<Session>,
    permit: Option<OwnedSemaphorePermit>,
    sessions: Arc<Sessions>,
}

impl Lease {
    /// After an attempt that was seen to its end.
    fn give_back(mut self) {
        if let Some(session) = self.session.take() {
            self.sessions.give_back(session);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let (Some(session), Ok(runtime)) = (self.session.take(), Handle::try_current()) else { return };
        let (sessions, permit) = (self.sessions.clone(), self.permit.take());
        runtime.spawn(async move {
            sessions.recover(session).await;
            drop(permit);
        });
    }
}

fn tell_retry(tx: &ClientTransaction, error: &tokio_postgres::Error) {
    let sqlstate = error.code().map(SqlState::code);
    tracing::debug!(client = %tx.client, lsn = %tx.lsn, sqlstate, "a client's transaction will be tried again");
}

/// Waits for the 1st, 2nd, … time: 5 ms, 10 ms, … up to [`LONGEST_PAUSE`].
async fn pause(count: &mut u32) {
    let pause = Duration::from_millis(5 << (*count).min(12)).min(LONGEST_PAUSE);
    *count += 1;
    sleep(pause).await;
}

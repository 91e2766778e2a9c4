//! The connections of the writer, shared by all clients.

use std::{
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
    sync::{Semaphore, SemaphorePermit},
    time::sleep,
};

use super::{
    Applied,
    apply::attempt,
    failure::{Failure, Refused},
    session::{OpenError, Session},
};
use crate::connection::{self, ConnectConfig};

/// How often an attempt is repeated that lost a race to another session.
const RACES: u32 = 30;

/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Applies client transactions over a fixed number of connections, opened when first needed.
///
/// Any connection serves any client, so a client that waits for a row lock holds up nobody while a connection is free.
/// Those that wait for a connection are served in the order they came.
pub struct WriterPool {
    config: ConnectConfig,
    schema: Box<dyn Fn() -> Arc<Schema> + Send + Sync>,
    free: Semaphore,
    idle: Mutex<Vec<Session>>,
    away: AtomicBool,
}

/// A session in use. Given back only when it is outside of any transaction; dropped otherwise, which ends its connection
/// and rolls back what it was doing.
struct Lease<'a> {
    session: Session,
    _permit: SemaphorePermit<'a>,
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
        WriterPool {
            config,
            schema: Box::new(schema),
            free: Semaphore::new(size.clamp(1, Semaphore::MAX_PERMITS)),
            idle: Mutex::new(Vec::new()),
            away: AtomicBool::new(false),
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
            let Some(mut lease) = self.lease().await else {
                pause(&mut pauses).await;
                continue;
            };
            let schema = (self.schema)();
            let result = attempt(&mut lease.session, tx, &schema).await;
            match result {
                Ok(applied) => {
                    self.give_back(lease);
                    return Ok(applied);
                }
                Err(Failure::Permanent(refused)) => {
                    self.give_back(lease);
                    tracing::warn!(client = %tx.client, lsn = %tx.lsn, sqlstate = refused.sqlstate, reason = refused.message,
                        "a client's transaction is refused");
                    return Err(refused);
                }
                Err(Failure::Transient(error)) => {
                    tracing::debug!(client = %tx.client, lsn = %tx.lsn, sqlstate = error.code().map(|code| code.code()),
                        "a client's transaction will be tried again");
                    self.give_back(lease);
                    pause(&mut pauses).await;
                }
                Err(Failure::Race(error)) => {
                    lease.session.forget_statements_if_stale(&error);
                    self.give_back(lease);
                    races += 1;
                    if races > RACES {
                        return Err(Refused::unending(&error));
                    }
                    pause(&mut pauses).await;
                }
            }
        }
    }

    /// `None` if Postgres can't be reached now.
    async fn lease(&self) -> Option<Lease<'_>> {
        let permit = self.free.acquire().await.ok()?;
        loop {
            let idle = self.idle.lock().pop();
            match idle {
                Some(session) if session.client().is_closed() => {}
                Some(session) => return Some(Lease { session, _permit: permit }),
                None => break,
            }
        }
        match Session::open(&self.config).await {
            Ok(session) => {
                if self.away.swap(false, Ordering::Relaxed) {
                    tracing::info!("Postgres takes client transactions again");
                }
                Some(Lease { session, _permit: permit })
            }
            Err(error) => {
                self.tell_away(&error);
                None
            }
        }
    }

    /// Said once per outage.
    fn tell_away(&self, error: &OpenError) {
        if !self.away.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                error = connection::chain(error),
                "client transactions wait: the writer has no connection to Postgres"
            );
        }
    }

    fn give_back(&self, lease: Lease<'_>) {
        let Lease { session, _permit } = lease;
        if !session.client().is_closed() {
            self.idle.lock().push(session);
        }
    }
}

/// Waits for the 1st, 2nd, … time: 5 ms, 10 ms, … up to [`LONGEST_PAUSE`].
async fn pause(count: &mut u32) {
    let pause = Duration::from_millis(5 << (*count).min(12)).min(LONGEST_PAUSE);
    *count += 1;
    sleep(pause).await;
}

//! The connections of the writer, shared by all clients.

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use change::{ClientId, ClientLsn, ClientTransaction, RefusedTransaction};
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
    failpoints::strike,
    failure::{Failure, Refused},
    limits::Limits,
    rejected::{self, Hint, Rejected},
    run::Run,
    session::Session,
};
use crate::connection::{self, ConnectConfig};

/// How often an attempt is repeated that lost a race to another session.
const RACES: u32 = 30;

/// How often an attempt is made in which a statement takes too long.
const OVERRUNS: u32 = 3;

/// The attempt in a row that meets a lock, at which it is said that a client waits, and after so many more again.
const TELL_LOCKED: u32 = 15;

/// How long a cancelled session may take before it is asked again: a request that comes between two statements does nothing.
const CANCEL_AGAIN: Duration = Duration::from_millis(500);

/// The longest pause between attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(3);

/// Applies client transactions over a fixed number of connections, opened when first needed.
///
/// Any connection serves any client. Those that wait for a connection are served in the order they came. An attempt that meets a
/// lock gives its connection back before long, and those that have met one share half of the connections: however many clients
/// wait for a row, the others get through.
pub struct WriterPool {
    schema: Box<dyn Fn() -> Arc<Schema> + Send + Sync>,
    free: Arc<Semaphore>,
    /// For clients that have met a lock.
    patient: Arc<Semaphore>,
    sessions: Arc<Sessions>,
    rejected: Hint,
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
        let limits = Limits::default();
        let sessions =
            Sessions { config, limits, idle: Mutex::new(Vec::new()), away: AtomicBool::new(false) };
        let size = size.clamp(1, Semaphore::MAX_PERMITS);
        WriterPool {
            schema: Box::new(schema),
            free: Arc::new(Semaphore::new(size)),
            patient: Arc::new(Semaphore::new(size.div_ceil(2))),
            sessions: Arc::new(sessions),
            rejected: Hint::default(),
        }
    }

    /// The same with other bounds for each attempt. For a pool that is not in use yet.
    #[must_use]
    pub fn with_limits(mut self, limits: Limits) -> WriterPool {
        if let Some(sessions) = Arc::get_mut(&mut self.sessions) {
            sessions.limits = limits;
        }
        self
    }

    /// Applies a transaction: a run of one, see [`WriterPool::apply_run`].
    ///
    /// # Errors
    /// [`Refused`]: nothing of the transaction was applied, and the client's position has not moved.
    pub async fn apply(&self, tx: &ClientTransaction) -> Result<Applied, Refused> {
        let applied = self.apply_run(&[tx]).await?;
        Ok(applied.first().copied().unwrap_or(Applied::Duplicate))
    }

    /// Applies transactions of one client that follow each other, in their order, or the first ones of them: what became of those is
    /// returned, at least of one, as soon as the next one would have to wait for something. Each is committed, and durable, or was
    /// found to have been before. Waits for a connection, for row locks, and for Postgres to come back, without a limit; the
    /// caller sees to it that each client has only one run here at a time.
    ///
    /// May be dropped: each transaction is then applied as a whole or not at all, and none if one before it is not.
    ///
    /// # Errors
    /// [`Refused`]: the first transaction is refused for good. Nothing of it, nor of what follows, was applied, and the client's
    /// position has not moved.
    pub async fn apply_run(&self, transactions: &[&ClientTransaction]) -> Result<Vec<Applied>, Refused> {
        let Some(tx) = transactions.first() else { return Ok(Vec::new()) };
        let mut run = Run::new(transactions);
        let (mut races, mut overruns, mut locked, mut pauses) = (0, 0, 0, 0);
        loop {
            let patience = match locked {
                0 => None,
                _ => self.patient.acquire().await.ok(),
            };
            if let Some(mut lease) = self.lease().await
                && let Some(session) = &mut lease.session
            {
                let schema = (self.schema)();
                let begun = Instant::now();
                let (pulse, silence) = (session.pulse(), self.sessions.limits.silence());
                let Some(result) =
                    pulse.while_heard(silence, self.attempt(session, tx, &mut run, &schema)).await
                else {
                    tracing::warn!(
                        client = %tx.client,
                        lsn = %tx.lsn,
                        "nothing has been heard for {} s on a connection that a client's transaction was sent on: it is sent again on \
                         another one",
                        silence.as_secs()
                    );
                    lease.give_up();
                    continue;
                };
                let overrun = begun.elapsed() >= self.sessions.limits.statement;
                let refused = match result {
                    Ok(applied) => {
                        lease.give_back();
                        return Ok(applied);
                    }
                    Err(Failure::Permanent(refused)) => Some(refused),
                    Err(Failure::Race(error)) if races == RACES => Some(Refused::unending(&error)),
                    Err(Failure::Race(error)) => {
                        tell_retry(tx, &error);
                        races += 1;
                        None
                    }
                    Err(Failure::Transient(error)) => {
                        tell_retry(tx, &error);
                        overruns += u32::from(overrun && error.code() == Some(&SqlState::QUERY_CANCELED));
                        if error.code() == Some(&SqlState::LOCK_NOT_AVAILABLE) {
                            locked += 1;
                            tell_locked(tx, locked);
                        }
                        (overruns == OVERRUNS).then(|| Refused::endless(self.sessions.limits.statement))
                    }
                };
                if let Some(refused) = refused {
                    // What an operator has discarded is still wrong when it is sent again.
                    let noted = async {
                        let passed = rejected::is_passed(session.client(), &tx.client, &tx.lsn).await;
                        let passed = passed.unwrap_or(false);
                        if !passed {
                            self.reject(session, tx, &schema, &refused).await;
                        }
                        passed
                    };
                    let Some(passed) = pulse.while_heard(silence, noted).await else {
                        lease.give_up();
                        continue;
                    };
                    lease.give_back();
                    return if passed { Ok(vec![Applied::Duplicate]) } else { Err(refused) };
                }
                lease.give_back();
            }
            drop(patience);
            pause(&mut pauses).await;
        }
    }

    /// One attempt, by which an entry among the rejected is settled if there is one.
    async fn attempt(
        &self,
        session: &mut Session,
        tx: &ClientTransaction,
        run: &mut Run<'_>,
        schema: &Schema,
    ) -> Result<Vec<Applied>, Failure> {
        let may_wait = match self.rejected.may_wait(session.client(), &tx.client).await {
            Ok(may_wait) => may_wait,
            Err(error) => {
                // Its table may have been dropped: then there is nothing to settle.
                tracing::debug!(error = connection::chain(&error), "the rejected transactions can't be read");
                false
            }
        };
        run.may_settle = may_wait;
        let result = run.attempt(session, schema).await;
        if may_wait && matches!(&result, Ok(applied) if applied.contains(&Applied::Committed)) {
            self.rejected.remove(&tx.client);
        }
        result
    }

    /// Keeps a refused transaction for the operator. If that can't be done, the client sends it again all the same.
    async fn reject(&self, session: &Session, tx: &ClientTransaction, schema: &Schema, refused: &Refused) {
        self.rejected.add(&tx.client);
        let recorded = async {
            strike(session.client(), "writer::rejected").await?;
            rejected::record(session.client(), &Rejected::by_postgres(tx, schema, refused)).await
        };
        if let Err(error) = recorded.await {
            tell_unkept(&tx.client, &tx.lsn, &error);
        }
    }

    /// Puts a transaction among the rejected that was refused before it came here, once everything before it has been applied. Does so
    /// at once or not at all.
    pub async fn keep_rejected(&self, tx: &RefusedTransaction) {
        let Some(mut lease) = self.lease().await else { return };
        let Some(session) = &mut lease.session else { return };
        let (pulse, silence) = (session.pulse(), self.sessions.limits.silence());
        let kept = async {
            if rejected::is_passed(session.client(), &tx.client, &tx.lsn).await? {
                return Ok(());
            }
            self.rejected.add(&tx.client);
            rejected::record(session.client(), &Rejected::before_postgres(tx)).await
        };
        match pulse.while_heard(silence, kept).await {
            Some(kept) => {
                if let Err(error) = kept {
                    tell_unkept(&tx.client, &tx.lsn, &error);
                }
                lease.give_back();
            }
            None => lease.give_up(),
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
    limits: Limits,
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
        match Session::open(&self.config, self.limits).await {
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
        let pulse = session.pulse();
        let recovered = async {
            let mut rolled_back = pin!(session.roll_back());
            loop {
                // If the request can't be delivered, the connection is going too.
                let _ = connection::cancel(&self.config, &token).await;
                if timeout(CANCEL_AGAIN, rolled_back.as_mut()).await.is_ok() {
                    break;
                }
            }
        };
        if pulse.while_heard(self.limits.silence(), recovered).await.is_some() {
            self.give_back(session);
        }
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

    /// After the connection was cut.
    fn give_up(mut self) {
        self.session = None;
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

/// Says, now and then, that a client waits for what another session of Postgres holds.
fn tell_locked(tx: &ClientTransaction, times: u32) {
    if times.is_multiple_of(TELL_LOCKED) {
        tracing::warn!(
            client = %tx.client,
            lsn = %tx.lsn,
            "a client's transaction still waits for rows that another session of Postgres holds locked; pg_locks tells which"
        );
    }
}

fn tell_unkept(client: &ClientId, lsn: &ClientLsn, error: &tokio_postgres::Error) {
    let error = connection::chain(error);
    tracing::warn!(
        %client,
        %lsn,
        error,
        "a refused transaction can't be put into electric.rejected_transactions"
    );
}

/// Waits for the 1st, 2nd, … time: 5 ms, 10 ms, … up to [`LONGEST_PAUSE`].
async fn pause(count: &mut u32) {
    let pause = Duration::from_millis(5 << (*count).min(12)).min(LONGEST_PAUSE);
    *count += 1;
    sleep(pause).await;
}

//! What is stored about clients between their connections (spec 02 §11, 06 §11): whose they are, how far their own writes
//! are in, what they subscribe to, which migrations of an initial sync they may not have seen, and which additional data
//! they have.
//!
//! All callers share one connection and don't wait for each other: questions are sent as they come, answers come back in
//! order. A broken connection is made anew by whoever needs it next, with a growing pause while that fails.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use change::{ClientId, ClientLsn, Lsn, SubscriptionId, UserId};
use futures_util::future::{try_join, try_join_all};
use tokio::{
    sync::Mutex,
    time::{Instant, timeout},
};
use tokio_postgres::{Client, Statement, types::ToSql};

use crate::connection::{ConnectConfig, ConnectError, Purpose, chain, connect};

/// How long an answer may take before the connection is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// The pauses between attempts to connect.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// Whose a client is, and how far it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Admitted {
    /// The user that the client id is bound to; the one who asks, unless another one came first.
    pub user: UserId,
    /// The last of the client's own transactions that Postgres has.
    pub acknowledged: Option<ClientLsn>,
}

/// What is stored about a client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoredClient {
    /// Subscriptions, in the order they were made.
    pub subscriptions: Vec<StoredSubscription>,
    /// Migrations of an initial sync that the client may not have seen.
    pub pending_migrations: Option<PendingMigrations>,
    /// Transactions whose additional data the client has said to have seen.
    pub observed: Vec<u64>,
}

/// A stored subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSubscription {
    /// Its id.
    pub id: SubscriptionId,
    /// The encoded request.
    pub request: Bytes,
    /// Where the gone batch was placed, if it has been ended.
    pub gone_at: Option<Lsn>,
}

/// Migrations sent in an initial sync.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PendingMigrations {
    /// The position of the last.
    pub last: Lsn,
    /// Their versions, in order.
    pub versions: Vec<String>,
}

/// A change of what is stored. Doing it again changes nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// Forget everything but the binding to the user and the position of the client's writes.
    Clear,
    /// An initial sync sends these.
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

/// Postgres could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The last attempt to connect failed a moment ago.
    #[error("Postgres could not be reached a moment ago; it is tried again in a while")]
    Pausing,
    /// No answer in time.
    #[error("Postgres did not answer a question about a client in time")]
    TimedOut,
    /// Postgres refused, or the connection broke.
    #[error("a question about a client failed: {}", chain(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// What is stored is not of its form.
    #[error("what is stored about a client is malformed: {0}")]
    Malformed(&'static str),
}

/// Keeps what is known of clients in schema `electric`. Cheap to clone.
#[derive(Clone)]
pub struct ClientStore {
    inner: Arc<Inner>,
}

struct Inner {
    config: ConnectConfig,
    link: Mutex<Link>,
}

/// The shared connection.
#[derive(Default)]
struct Link {
    session: Option<Arc<Session>>,
    pause: Duration,
    retry_at: Option<Instant>,
}

struct Session {
    client: Client,
    statements: Vec<Statement>,
    /// Up to where the log is known to be durable.
    durable: Mutex<i64>,
}

/// The statements, prepared on each connection.
#[derive(Clone, Copy)]
enum Sql {
    Admit,
    Flush,
    Subscriptions,
    Progress,
    ClearSubscriptions,
    SetMigrations,
    SetObserved,
    Subscribe,
    SetGone,
    Forget,
}

/// Most clients are known: then nothing is written, but once a day.
const SQL: [&str; 10] = [
    "WITH bound AS (
        INSERT INTO electric.clients AS c (client_id, user_id) VALUES ($1, $2)
        ON CONFLICT (client_id) DO UPDATE SET seen_at = now()
            WHERE c.user_id = excluded.user_id AND c.seen_at < now() - interval '1 day'
        RETURNING user_id
    )
    SELECT coalesce((SELECT user_id FROM bound), (SELECT user_id FROM electric.clients WHERE client_id = $1)),
           (SELECT lsn FROM electric.acknowledged_client_lsns WHERE client_id = $1),
           (pg_current_wal_insert_lsn() - '0/0')::bigint",
    FLUSH,
    "SELECT subscription_id, request, gone_at FROM electric.client_subscriptions WHERE client_id = $1 ORDER BY ord",
    "SELECT pending_last, pending_versions, observed FROM electric.clients WHERE client_id = $1",
    "DELETE FROM electric.client_subscriptions WHERE client_id = $1",
    "UPDATE electric.clients SET pending_last = $2, pending_versions = $3
     WHERE client_id = $1 AND (pending_last, pending_versions) IS DISTINCT FROM ($2, $3)",
    "UPDATE electric.clients SET observed = $2 WHERE client_id = $1 AND observed <> $2",
    "INSERT INTO electric.client_subscriptions (client_id, subscription_id, request, gone_at) VALUES ($1, $2, $3, $4)
     ON CONFLICT (client_id, subscription_id) DO UPDATE SET request = excluded.request, gone_at = excluded.gone_at",
    "UPDATE electric.client_subscriptions SET gone_at = $3 WHERE client_id = $1 AND subscription_id = ANY ($2)",
    "DELETE FROM electric.client_subscriptions WHERE client_id = $1 AND subscription_id = ANY ($2)",
];

/// A transaction without any effect but that it, and so all that was committed before it, is durable when it is done.
/// Answers up to where the log is durable then, at least.
pub(crate) const FLUSH: &str = "SELECT (pg_logical_emit_message(true, 'electric.flush', '') - '0/0')::bigint";

/// Forgets of all clients what [`Update::Clear`] forgets of one, in one statement: their positions are those of another history.
///
/// # Errors
/// If Postgres can't be asked. Nothing is forgotten then.
pub async fn forget_all(client: &Client) -> Result<(), tokio_postgres::Error> {
    client
        .batch_execute(
            "WITH ended AS (DELETE FROM electric.client_subscriptions)
             UPDATE electric.clients SET pending_last = NULL, pending_versions = NULL, observed = '{}'
             WHERE pending_last IS NOT NULL OR observed <> '{}'",
        )
        .await
}

type Parameter = Box<dyn ToSql + Sync + Send>;

type Command = (Sql, Vec<Parameter>);

impl ClientStore {
    /// A store that connects when it is first asked.
    #[must_use]
    pub fn new(config: ConnectConfig) -> ClientStore {
        ClientStore { inner: Arc::new(Inner { config, link: Mutex::default() }) }
    }

    /// Binds a client id to the user of an accepted token, if it is bound to nobody yet, and says to whom it is bound and
    /// how far the client's own writes are in. One round trip.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn admit(&self, client: &ClientId, user: &UserId) -> Result<Admitted, StoreError> {
        self.run(|session| session.admit(client.clone(), user.clone())).await
    }

    /// Reads what is stored about a client.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load(&self, client: &ClientId) -> Result<StoredClient, StoreError> {
        self.run(|session| session.load(client.clone())).await
    }

    /// Applies changes in order; they are durable when this returns. After an error some of them may have been applied.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn apply(&self, client: &ClientId, updates: &[Update]) -> Result<(), StoreError> {
        // Sent one after the other without waiting; Postgres executes them in that order.
        let commands: Arc<[Command]> = updates.iter().flat_map(|update| update.commands(client)).collect();
        self.run(|session| session.execute(Arc::clone(&commands))).await
    }

    /// Asks on the shared connection; once more on a new one if it breaks meanwhile.
    async fn run<T, F>(&self, ask: impl Fn(Arc<Session>) -> F) -> Result<T, StoreError>
    where
        F: Future<Output = Result<T, StoreError>>,
    {
        let mut is_first = true;
        loop {
            let session = self.session().await?;
            let answer = timeout(PATIENCE, ask(Arc::clone(&session))).await;
            match answer {
                Err(_) => {
                    self.give_up(&session).await;
                    return Err(StoreError::TimedOut);
                }
                Ok(Err(StoreError::Postgres(_))) if is_first && session.client.is_closed() => {
                    is_first = false;
                }
                Ok(answer) => return answer,
            }
        }
    }

    async fn session(&self) -> Result<Arc<Session>, StoreError> {
        let mut link = self.inner.link.lock().await;
        if let Some(session) = link.session.as_ref().filter(|session| !session.client.is_closed()) {
            return Ok(Arc::clone(session));
        }
        link.session = None;
        if link.retry_at.is_some_and(|at| Instant::now() < at) {
            return Err(StoreError::Pausing);
        }
        match Session::open(&self.inner.config).await {
            Ok(session) => {
                *link = Link { session: Some(Arc::clone(&session)), ..Link::default() };
                Ok(session)
            }
            Err(error) => {
                link.pause = (link.pause * 2).clamp(PAUSES.0, PAUSES.1);
                link.retry_at = Some(Instant::now() + link.pause);
                Err(error)
            }
        }
    }

    async fn give_up(&self, session: &Arc<Session>) {
        let mut link = self.inner.link.lock().await;
        if link.session.as_ref().is_some_and(|current| Arc::ptr_eq(current, session)) {
            link.session = None;
        }
    }
}

impl Session {
    async fn open(config: &ConnectConfig) -> Result<Arc<Session>, StoreError> {
        let client = connect(config, Purpose::Clients).await?;
        let statements = try_join_all(SQL.iter().map(|sql| client.prepare(sql))).await?;
        Ok(Arc::new(Session { client, statements, durable: Mutex::new(0) }))
    }

    async fn admit(self: Arc<Session>, client: ClientId, user: UserId) -> Result<Admitted, StoreError> {
        let parameters: [&(dyn ToSql + Sync); 2] = [&client.as_str(), &user.as_str()];
        loop {
            let row = self.client.query_one(self.statement(Sql::Admit)?, &parameters).await?;
            // Somebody else bound it in this very moment: then it shows at the second look.
            let Some(bound) = row.try_get::<_, Option<&str>>(0)? else { continue };
            let acknowledged = match row.try_get::<_, Option<&[u8]>>(1)? {
                None => None,
                Some(lsn) => Some(
                    ClientLsn::new(Bytes::copy_from_slice(lsn))
                        .map_err(|_| StoreError::Malformed("acknowledged_client_lsns.lsn"))?,
                ),
            };
            if acknowledged.is_some() {
                self.flushed(row.try_get(2)?).await?;
            }
            return Ok(Admitted { user: UserId::new(bound), acknowledged });
        }
    }

    /// Waits until the log is durable up to a position that it had when something was read. The writer commits transactions before
    /// they are durable; a client that is told of one never sends it again.
    async fn flushed(&self, position: i64) -> Result<(), StoreError> {
        // Whoever waits here is served by the flush of another, if that begins after the position was read.
        let mut durable = self.durable.lock().await;
        if *durable < position {
            *durable = self.client.query_one(self.statement(Sql::Flush)?, &[]).await?.try_get(0)?;
        }
        Ok(())
    }

    async fn load(self: Arc<Session>, client: ClientId) -> Result<StoredClient, StoreError> {
        let parameters: [&(dyn ToSql + Sync); 1] = [&client.as_str()];
        let (subscriptions, progress) = try_join(
            self.client.query(self.statement(Sql::Subscriptions)?, &parameters),
            self.client.query_opt(self.statement(Sql::Progress)?, &parameters),
        )
        .await?;
        let mut stored = StoredClient::default();
        for row in subscriptions {
            stored.subscriptions.push(StoredSubscription {
                id: SubscriptionId::new(row.try_get(0)?),
                request: Bytes::copy_from_slice(row.try_get(1)?),
                gone_at: row.try_get::<_, Option<i64>>(2)?.map(|lsn| Lsn(lsn as u64)),
            });
        }
        if let Some(row) = progress {
            let pending = (row.try_get::<_, Option<i64>>(0)?, row.try_get::<_, Option<Vec<String>>>(1)?);
            if let (Some(last), Some(versions)) = pending {
                stored.pending_migrations = Some(PendingMigrations { last: Lsn(last as u64), versions });
            }
            stored.observed = row.try_get::<_, Vec<i64>>(2)?.into_iter().map(|id| id as u64).collect();
        }
        Ok(stored)
    }

    async fn execute(self: Arc<Session>, commands: Arc<[Command]>) -> Result<(), StoreError> {
        let sent = commands.iter().map(|command| self.execute_one(command));
        try_join_all(sent).await.map(drop)
    }

    async fn execute_one(&self, (sql, parameters): &Command) -> Result<(), StoreError> {
        let parameters: Vec<&(dyn ToSql + Sync)> =
            parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect();
        self.client.execute(self.statement(*sql)?, &parameters).await?;
        Ok(())
    }

    fn statement(&self, sql: Sql) -> Result<&Statement, StoreError> {
        self.statements.get(sql as usize).ok_or(StoreError::Malformed("a statement is missing"))
    }
}

impl Update {
    fn commands(&self, client: &ClientId) -> Vec<Command> {
        let client = || Box::new(client.to_string()) as Parameter;
        let ids = |ids: &[SubscriptionId]| {
            Box::new(ids.iter().map(ToString::to_string).collect::<Vec<String>>()) as Parameter
        };
        let position = |lsn: Option<Lsn>| Box::new(lsn.map(|lsn| lsn.0 as i64)) as Parameter;
        let no_migrations =
            || (Sql::SetMigrations, vec![client(), position(None), Box::new(None::<Vec<String>>)]);
        let observed = |ids: &[u64]| {
            let ids: Vec<i64> = ids.iter().map(|id| *id as i64).collect();
            (Sql::SetObserved, vec![client(), Box::new(ids)])
        };
        match self {
            Update::Clear => {
                vec![(Sql::ClearSubscriptions, vec![client()]), no_migrations(), observed(&[])]
            }
            Update::MigrationsSent(PendingMigrations { last, versions }) => {
                let versions = Box::new(Some(versions.clone()));
                vec![(Sql::SetMigrations, vec![client(), position(Some(*last)), versions])]
            }
            Update::MigrationsSeen => vec![no_migrations()],
            Update::Observed(ids) => vec![observed(ids)],
            Update::Subscribed(StoredSubscription { id, request, gone_at }) => {
                let (id, request) = (Box::new(id.to_string()), Box::new(request.to_vec()));
                vec![(Sql::Subscribe, vec![client(), id, request, position(*gone_at)])]
            }
            Update::Gone(gone, lsn) => {
                vec![(Sql::SetGone, vec![client(), ids(gone), position(Some(*lsn))])]
            }
            Update::Forget(forgotten) => vec![(Sql::Forget, vec![client(), ids(forgotten)])],
        }
    }
}

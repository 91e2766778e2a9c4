//! Postgres as connections use it: the pools, and the answers in their terms.

use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwapOption;
use change::{ClientId, ClientTransaction, Lsn, RefusedTransaction, UserId};
use postgres::{
    clients::{ClientStore, StoreError},
    connection::{ConnectConfig, Purpose, connect},
    replication::Control,
    snapshot::SnapshotPool,
    writer::{Limits, WriterPool},
};
use session::{ClientUpdate, ReadRequest, StoredClient, Unavailable, WriteOutcome};
use tokio::time::timeout;
use tokio_postgres::Client;

use crate::{
    backend::{Backend, Binding, OpenSnapshot, Pending},
    config::ShapeConfig,
    initial::Initial,
    records,
    stream::Stream,
};

/// How long Postgres may take to say where its log ends.
const PATIENCE: Duration = Duration::from_secs(10);

/// All connections to Postgres but the stream's.
pub struct Database {
    control: Control,
    writer: Arc<WriterPool>,
    positions: Arc<Positions>,
    clients: ClientStore,
    initial: Initial,
}

impl Database {
    /// Connects to nothing until it is asked for something.
    #[must_use]
    pub fn new(
        config: &ConnectConfig,
        (shapes, limits): (&ShapeConfig, Limits),
        stream: &Arc<Stream>,
        control: Control,
    ) -> Database {
        let snapshots = SnapshotPool::new(config.clone(), shapes.snapshots);
        let initial = Initial::new(snapshots, stream.clone(), control.clone(), shapes.initial.clone());
        let schema = {
            let stream = stream.clone();
            move || stream.schema()
        };
        Database {
            control,
            writer: Arc::new(
                WriterPool::new(config.clone(), schema, WriterPool::DEFAULT_SIZE).with_limits(limits),
            ),
            positions: Arc::new(Positions { config: config.clone(), client: ArcSwapOption::empty() }),
            clients: ClientStore::new(config.clone()),
            initial,
        }
    }
}

/// A connection that is only asked where the log ends; shared, since questions on it can overlap.
struct Positions {
    config: ConnectConfig,
    client: ArcSwapOption<Client>,
}

impl Positions {
    async fn wal_end(&self) -> Result<Lsn, Unavailable> {
        let client = self.client().await?;
        let asked = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]);
        let Ok(row) = timeout(PATIENCE, asked).await else {
            // Nobody need wait on this connection any more.
            self.client.store(None);
            tracing::debug!("Postgres did not say in time where the log ends");
            return Err(Unavailable);
        };
        let row = row.map_err(|error| {
            tracing::debug!(%error, "the end of the log can't be asked for");
            Unavailable
        })?;
        let text: &str = row.try_get(0).map_err(|_| Unavailable)?;
        text.parse().map_err(|_| Unavailable)
    }

    async fn client(&self) -> Result<Arc<Client>, Unavailable> {
        if let Some(client) = self.client.load_full().filter(|client| !client.is_closed()) {
            return Ok(client);
        }
        let client = connect(&self.config, Purpose::Service).await.map_err(|error| {
            tracing::debug!(%error, "no connection to ask for the end of the log");
            Unavailable
        })?;
        let client = Arc::new(client);
        self.client.store(Some(client.clone()));
        Ok(client)
    }
}

fn unavailable(error: &StoreError) -> Unavailable {
    tracing::debug!(%error, "what is stored about a client can't be read or changed");
    Unavailable
}

impl Backend for Database {
    fn bind(&self, client: ClientId, user: UserId) -> Pending<Result<Binding, Unavailable>> {
        let clients = self.clients.clone();
        Box::pin(async move {
            let admitted = clients.admit(&client, &user).await.map_err(|error| unavailable(&error))?;
            Ok(if admitted.user == user {
                Binding::Own { acknowledged: admitted.acknowledged }
            } else {
                Binding::OtherUser
            })
        })
    }

    fn load(&self, client: ClientId) -> Pending<Result<StoredClient, Unavailable>> {
        let clients = self.clients.clone();
        Box::pin(async move {
            clients.load(&client).await.map(records::loaded).map_err(|error| unavailable(&error))
        })
    }

    fn store(&self, client: ClientId, updates: Vec<ClientUpdate>) -> Pending<Result<(), Unavailable>> {
        let clients = self.clients.clone();
        Box::pin(async move {
            let updates: Vec<_> = updates.into_iter().map(records::update).collect();
            clients.apply(&client, &updates).await.map_err(|error| unavailable(&error))
        })
    }

    fn wal_end(&self) -> Pending<Result<Lsn, Unavailable>> {
        let positions = self.positions.clone();
        Box::pin(async move { positions.wal_end().await })
    }

    fn write_run(
        &self,
        transactions: Vec<Arc<ClientTransaction>>,
    ) -> Pending<Result<Vec<WriteOutcome>, Unavailable>> {
        let writer = self.writer.clone();
        Box::pin(async move {
            let run: Vec<&ClientTransaction> =
                transactions.iter().map(|transaction| &**transaction).collect();
            let refused = match writer.apply_run(&run).await {
                Ok(applied) => return Ok(applied.into_iter().map(|_| WriteOutcome::Done).collect()),
                Err(refused) => refused,
            };
            if let Some(transaction) = run.first() {
                tracing::warn!(
                    client = %transaction.client,
                    lsn = %transaction.lsn,
                    sqlstate = refused.sqlstate,
                    "a client's transaction was refused, see tieline rejected: {}",
                    refused.message
                );
            }
            Ok(vec![WriteOutcome::Refused { message: refused.message }])
        })
    }

    fn keep_rejected(&self, transaction: Box<RefusedTransaction>) -> Pending<()> {
        let writer = self.writer.clone();
        Box::pin(async move { writer.keep_rejected(&transaction).await })
    }

    fn reach(&self, position: Lsn) {
        self.control.reach(position);
    }

    fn snapshot(&self, request: Arc<ReadRequest>) -> OpenSnapshot {
        self.initial.open(request)
    }
}

//! One connection of the writer, with its statements.

use std::{collections::HashMap, sync::Arc};

use change::{ClientId, ClientLsn, RelationId};
use schema::Table;
use tokio_postgres::{Client, Error, Statement, error::SqlState};

use super::{
    limits::Limits,
    statements::{self, Arity, Kind},
    whole,
};
use crate::{
    connection::{self, ConnectConfig, ConnectError, Purpose},
    pulse::Pulse,
};

/// What a session needs. The first line keeps the triggers of native writes quiet. Read-committed is enough under the locks
/// that are taken (spec 05 §7.7). Rows that a policy hides from the service's role make it fail rather than miss them. The
/// others fix the plans: each statement is planned once, to reach each row through the
/// index of the key, however small a table was when first seen.
const SETTINGS: &str = "\
    SET electric.session_replication_role = 'replica'; \
    SET default_transaction_isolation = 'read committed'; \
    SET default_transaction_read_only = off; \
    SET row_security = off; \
    SET plan_cache_mode = force_generic_plan; \
    SET enable_seqscan = off; \
    SET enable_hashjoin = off; \
    SET enable_mergejoin = off; \
    SET jit = off";

/// What is good to have, where the role may set it and the server knows it: a deadlock with a native session is resolved at
/// our cost, a backend that waits for a lock notices that we have gone, and waiting has no limit.
const WISHES: [&str; 3] = [
    "SET deadlock_timeout = '100ms'",
    "SET client_connection_check_interval = '2s'",
    "SET transaction_timeout = 0",
];

/// The position of a client: `(client)`.
const POSITION: &str = "SELECT lsn FROM electric.acknowledged_client_lsns WHERE client_id = $1";

/// One connection.
pub struct Session {
    client: Client,
    pulse: Pulse,
    tables: HashMap<RelationId, Prepared>,
    acknowledge: Statement,
    acknowledge_once: Statement,
    acknowledge_next: Statement,
    position: Statement,
    stuck: bool,
}

/// The statements of a table, as long as its definition stays.
struct Prepared {
    table: Arc<Table>,
    statements: HashMap<(Kind, Arity, Vec<usize>), Statement>,
    watched: Option<bool>,
}

/// The most statements of a table that are kept: omitted columns differ with the versions that clients have.
const MOST_STATEMENTS: usize = 64;

/// No session could be had.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// It could not be prepared.
    #[error("{}", connection::chain(.0))]
    Prepare(#[from] Error),
}

impl Session {
    /// Connects.
    pub async fn open(config: &ConnectConfig, limits: Limits) -> Result<Session, OpenError> {
        let (client, pulse) = connection::connect_with_pulse(config, Purpose::Writer).await?;
        let prepared = pulse.clone();
        let prepared = prepared.while_heard(limits.silence(), Session::prepare(client, pulse, limits)).await;
        prepared.unwrap_or_else(|| Err(ConnectError::TimedOut { host: config.host.clone() }.into()))
    }

    async fn prepare(client: Client, pulse: Pulse, limits: Limits) -> Result<Session, OpenError> {
        client.batch_execute(SETTINGS).await?;
        client.batch_execute(&limits.settings()).await?;
        for wish in WISHES {
            if let Err(error) = client.batch_execute(wish).await
                && error.as_db_error().is_none()
            {
                return Err(error.into());
            }
        }
        let acknowledge = client.prepare(statements::ACKNOWLEDGE).await?;
        let acknowledge_once = client.prepare(statements::ACKNOWLEDGE_ONCE).await?;
        let acknowledge_next = client.prepare(whole::ACKNOWLEDGE_NEXT).await?;
        let position = client.prepare(POSITION).await?;
        let tables = HashMap::new();
        Ok(Session {
            client,
            pulse,
            tables,
            acknowledge,
            acknowledge_once,
            acknowledge_next,
            position,
            stuck: false,
        })
    }

    /// The connection.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Whether anything is heard on the connection.
    pub fn pulse(&self) -> Pulse {
        self.pulse.clone()
    }

    /// Whether it is good for another transaction.
    pub fn is_usable(&self) -> bool {
        !self.stuck && !self.client.is_closed()
    }

    /// Ends a transaction in whatever state it is. A request to cancel, meant for what came before, may strike this instead;
    /// so it is tried more than once, and a session that can't be brought out is not used again.
    pub async fn roll_back(&mut self) {
        for _ in 0..3 {
            if self.client.batch_execute("ROLLBACK").await.is_ok() {
                return;
            }
        }
        self.stuck = true;
    }

    /// [`statements::ACKNOWLEDGE`].
    pub fn acknowledge(&self) -> &Statement {
        &self.acknowledge
    }

    /// [`statements::ACKNOWLEDGE_ONCE`], or [`whole::ACKNOWLEDGE_NEXT`] behind another transaction.
    pub fn acknowledge_or_fail(&self, next: bool) -> &Statement {
        if next { &self.acknowledge_next } else { &self.acknowledge_once }
    }

    /// The number of the last transaction of a client that was applied; it may not be durable yet.
    pub async fn position(&self, client: &ClientId) -> Result<u64, Error> {
        let row = self.client.query_opt(&self.position, &[&client.as_str()]).await?;
        let stored =
            row.map(|row| row.try_get::<_, &[u8]>(0).map(bytes::Bytes::copy_from_slice)).transpose()?;
        Ok(stored.and_then(|bytes| ClientLsn::new(bytes).ok()).map_or(0, |lsn| lsn.position()))
    }

    /// Returns when all that has been committed so far, by anybody, is durable.
    pub async fn flush(&self) -> Result<(), Error> {
        self.client.batch_execute(crate::clients::FLUSH).await
    }

    /// Whether a table has triggers of the users' own that come after its rows are written, or rules.
    pub async fn is_watched(&mut self, table: &Arc<Table>) -> Result<bool, Error> {
        if let Some(watched) = self.prepared(table).watched {
            return Ok(watched);
        }
        let sql = format!(
            "SELECT {} OR EXISTS (SELECT FROM pg_catalog.pg_rewrite r WHERE r.ev_class = $1)",
            whole::IS_WATCHED
        );
        let watched = self.client.query_one(&sql, &[&table.id.0]).await?.try_get(0)?;
        self.prepared(table).watched = Some(watched);
        Ok(watched)
    }

    /// What [`Session::is_watched`] has said may not be true any more.
    pub fn forget_watched(&mut self) {
        self.tables.values_mut().for_each(|prepared| prepared.watched = None);
    }

    fn prepared(&mut self, table: &Arc<Table>) -> &mut Prepared {
        self.tables
            .entry(table.id)
            .and_modify(|prepared| {
                if !Arc::ptr_eq(&prepared.table, table) && prepared.table != *table {
                    prepared.statements.clear();
                    prepared.watched = None;
                }
                prepared.table = table.clone();
            })
            .or_insert_with(|| Prepared { table: table.clone(), statements: HashMap::new(), watched: None })
    }

    /// A table's statement for so many rows, prepared when first asked for and again when the table has changed.
    pub async fn statement(
        &mut self,
        kind: Kind,
        rows: usize,
        table: &Arc<Table>,
    ) -> Result<Statement, Error> {
        self.statement_without(&[], kind, rows, table).await
    }

    /// The same, with columns that it leaves to their defaults.
    pub async fn statement_without(
        &mut self,
        omitted: &[usize],
        kind: Kind,
        rows: usize,
        table: &Arc<Table>,
    ) -> Result<Statement, Error> {
        let prepared = self.prepared(table);
        let key = (kind, Arity::of(rows), omitted.to_vec());
        if let Some(statement) = prepared.statements.get(&key) {
            return Ok(statement.clone());
        }
        if prepared.statements.len() >= MOST_STATEMENTS {
            prepared.statements.clear();
        }
        let statement = self.client.prepare(&statements::sql(kind, key.1, table, omitted)).await?;
        self.prepared(table).statements.insert(key, statement.clone());
        Ok(statement)
    }

    /// After a lost race: what was prepared may be out of date, unless the race was for a row.
    pub fn forget_statements_if_stale(&mut self, error: &Error) {
        if error.code() != Some(&SqlState::UNIQUE_VIOLATION) {
            self.tables.clear();
        }
    }
}

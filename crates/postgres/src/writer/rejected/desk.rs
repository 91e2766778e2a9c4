//! What an operator can do about rejected transactions.

use std::time::{Duration, Instant};

use bytes::Bytes;
use change::{ClientId, ClientLsn, ClientOp, ClientTransaction, Field};
use schema::Schema;
use tokio::time::sleep;
use tokio_postgres::{Row, error::SqlState};

use super::{Rejected, Settled, form, record};
use crate::{
    catalogue,
    connection::{ConnectConfig, chain},
    writer::{
        Applied, Limits,
        apply::attempt,
        failure::{Failure, Refused},
        job::Job,
        session::{OpenError, Session},
    },
};

/// A rejected transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its number.
    pub id: i64,
    /// Who sent it.
    pub client: String,
    /// Whose client that is, if it is known.
    pub user: Option<String>,
    /// Its position in the client's own log.
    pub lsn: u64,
    /// The client's clock when it committed, in milliseconds since the epoch.
    pub timestamp_ms: i64,
    /// When it was first refused: RFC 3339, UTC.
    pub first_seen: String,
    /// When it was last refused.
    pub last_seen: String,
    /// How often it was refused.
    pub tries: i32,
    /// Postgres' code for why.
    pub sqlstate: String,
    /// Why, in words.
    pub message: String,
    /// The table that it is about.
    pub table: Option<String>,
    /// The constraint that it is about.
    pub constraint: Option<String>,
    /// The column that it is about.
    pub column: Option<String>,
    /// How many operations it has.
    pub operation_count: i32,
    /// Whether all of them are stored.
    pub complete: bool,
    /// `waiting`, `applied`, `retried`, `discarded`; or `passed`: the client's position is beyond it all the same.
    pub state: String,
    /// Since when it is no longer waiting.
    pub settled_at: Option<String>,
    /// What is stored of the operations, as JSON; only where one entry was asked for.
    pub operations: Option<String>,
}

/// Why an operator's wish can't be granted.
#[derive(Debug, thiserror::Error)]
pub enum DeskError {
    /// Postgres can't be reached.
    #[error("Postgres can't be reached: {0}")]
    Connect(Box<OpenError>),
    /// No service has been here yet, or an old one.
    #[error(
        "the database has no table electric.rejected_transactions: has this release of the service ever run on it?"
    )]
    NotInstalled,
    /// Postgres refused something else.
    #[error("Postgres: {}", chain(.0))]
    Postgres(tokio_postgres::Error),
    /// The schema can't be read.
    #[error("the schema can't be read: {0}")]
    Catalogue(String),
    /// There is no such entry.
    #[error("there is no rejected transaction {0}; tieline rejected list shows those that there are")]
    Unknown(i64),
    /// It was settled before.
    #[error("the transaction was {0} already")]
    Settled(String),
    /// The client is beyond it.
    #[error("the client has got past this transaction meanwhile; nothing was done")]
    Passed,
    /// Not all of it is stored.
    #[error(
        "the transaction is too large to be stored as a whole, so it can't be retried here. Remove the cause, and the client \
         sends it again when the app is started; or discard it"
    )]
    Cut,
    /// Its tables are other ones now.
    #[error("tables or columns that the transaction writes are gone. Put them back, or discard it")]
    Changed,
    /// It is refused still.
    #[error("{}", .0.message)]
    Refused(Box<Refused>),
    /// It takes too long.
    #[error("gave up after {} s, for the time being: {reason}. Nothing was done", .after.as_secs())]
    Busy {
        /// How long it was tried.
        after: Duration,
        /// What was in the way.
        reason: String,
    },
}

/// How long a retry or discard is tried while something is in the way that goes away by itself.
const PATIENCE: Duration = Duration::from_secs(30);

/// A connection for an operator.
pub struct Desk {
    config: ConnectConfig,
    session: Session,
    limits: Limits,
}

const COLUMNS: &str = "\
    r.id, r.client_id, c.user_id, r.lsn, r.ts, \
    to_char(r.first_seen, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), to_char(r.last_seen, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"'), \
    r.tries, r.sqlstate, r.message, r.table_name, r.constraint_name, r.column_name, r.operation_count, r.complete, \
    CASE WHEN r.state = 'waiting' AND lpad(encode(a.lsn, 'hex'), 16, '0') COLLATE \"C\" \
        >= lpad(encode(r.lsn, 'hex'), 16, '0') COLLATE \"C\" THEN 'passed' ELSE r.state END, \
    to_char(r.settled_at, 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')";

const FROM: &str = "\
    FROM electric.rejected_transactions r \
    LEFT JOIN electric.clients c USING (client_id) LEFT JOIN electric.acknowledged_client_lsns a USING (client_id)";

impl Desk {
    /// Connects. `limits` bound each statement, as they do for the service.
    ///
    /// # Errors
    /// [`DeskError::Connect`].
    pub async fn open(config: ConnectConfig, limits: Limits) -> Result<Desk, DeskError> {
        let session = Session::open(&config, limits).await.map_err(|error| match error {
            OpenError::Prepare(error) => not_installed(error),
            error => DeskError::Connect(Box::new(error)),
        })?;
        Ok(Desk { config, session, limits })
    }

    /// The entries, the last seen first; only those that nobody has settled, unless `all` is asked for.
    ///
    /// # Errors
    /// [`DeskError`].
    pub async fn list(&self, all: bool) -> Result<Vec<Entry>, DeskError> {
        let sql = format!("SELECT {COLUMNS} {FROM} ORDER BY r.last_seen DESC, r.id DESC");
        let rows = self.session.client().query(&sql, &[]).await.map_err(not_installed)?;
        let entries = rows.iter().map(Entry::read).collect::<Result<Vec<_>, _>>()?;
        Ok(entries.into_iter().filter(|entry| all || entry.state == "waiting").collect())
    }

    /// One entry with its operations.
    ///
    /// # Errors
    /// [`DeskError::Unknown`] and others.
    pub async fn show(&self, id: i64) -> Result<Entry, DeskError> {
        let sql = format!("SELECT {COLUMNS}, r.operations::text {FROM} WHERE r.id = $1");
        let row = self.session.client().query_opt(&sql, &[&id]).await.map_err(not_installed)?;
        let row = row.ok_or(DeskError::Unknown(id))?;
        let mut entry = Entry::read(&row)?;
        entry.operations = row.try_get(17)?;
        Ok(entry)
    }

    /// Applies the transaction now, with its own tag and position, as the service would if the client sent it again.
    ///
    /// # Errors
    /// [`DeskError::Refused`] if Postgres still refuses it, and others.
    pub async fn retry(&mut self, id: i64) -> Result<Entry, DeskError> {
        let (entry, lsn) = self.waiting(id).await?;
        if !entry.complete {
            return Err(DeskError::Cut);
        }
        let schema = self.schema().await?;
        let ops = form::read(entry.operations.as_deref().unwrap_or_default(), &schema);
        let tx = transaction(&entry, lsn, ops.ok_or(DeskError::Changed)?)?;
        match self.work(Job { tx: &tx, settles: Some(Settled::Retried), hasty: false }, &schema).await? {
            Ok(()) => self.show(id).await,
            Err(refused) => {
                record(self.session.client(), &Rejected::by_postgres(&tx, &schema, &refused)).await?;
                Err(DeskError::Refused(Box::new(refused)))
            }
        }
    }

    /// Has the transaction skipped: the client's position moves past it, nothing of it is written, and the client is told how the
    /// rows are that it believed to have changed.
    ///
    /// # Errors
    /// [`DeskError::Passed`] and others.
    pub async fn discard(&mut self, id: i64) -> Result<Entry, DeskError> {
        let (entry, lsn) = self.waiting(id).await?;
        let schema = self.schema().await?;
        let ops = form::read_known(entry.operations.as_deref().unwrap_or_default(), &schema);
        // The client hears of each row as well as may be: with the values it had in mind, or else by its key, or not at all.
        let keys_only = ops.iter().map(|op| key_of(op, &schema)).collect();
        for ops in [ops, keys_only, Vec::new()] {
            let tx = transaction(&entry, lsn.clone(), ops)?;
            if self
                .work(Job { tx: &tx, settles: Some(Settled::Discarded), hasty: false }, &schema)
                .await?
                .is_ok()
            {
                break;
            }
        }
        self.show(id).await
    }

    /// An entry that waits, and its position.
    async fn waiting(&self, id: i64) -> Result<(Entry, ClientLsn), DeskError> {
        let entry = self.show(id).await?;
        match entry.state.as_str() {
            "waiting" => {}
            "passed" => return Err(DeskError::Passed),
            state => return Err(DeskError::Settled(state.to_owned())),
        }
        let sql = "SELECT lsn FROM electric.rejected_transactions WHERE id = $1";
        let row = self.session.client().query_opt(sql, &[&id]).await?.ok_or(DeskError::Unknown(id))?;
        let lsn = ClientLsn::new(Bytes::copy_from_slice(row.try_get(0)?)).map_err(|_| DeskError::Changed)?;
        Ok((entry, lsn))
    }

    async fn schema(&self) -> Result<Schema, DeskError> {
        let catalogue = catalogue::load(self.session.client()).await;
        catalogue.map(|catalogue| catalogue.schema).map_err(|error| DeskError::Catalogue(chain(&error)))
    }

    /// Does it, however often that takes. The inner error is Postgres' final word.
    async fn work(&mut self, job: Job<'_>, schema: &Schema) -> Result<Result<(), Refused>, DeskError> {
        let begun = Instant::now();
        loop {
            let error = match attempt(&mut self.session, job, schema).await {
                Ok(Applied::Committed) => return Ok(Ok(())),
                Ok(Applied::Duplicate) => return Err(DeskError::Passed),
                Err(Failure::Permanent(refused)) => return Ok(Err(refused)),
                Err(Failure::Transient(error) | Failure::Race(error)) => error,
            };
            if begun.elapsed() > PATIENCE {
                return Err(DeskError::Busy { after: begun.elapsed(), reason: chain(&error) });
            }
            sleep(Duration::from_millis(100)).await;
            if !self.session.is_usable()
                && let Ok(session) = Session::open(&self.config, self.limits).await
            {
                self.session = session;
            }
        }
    }
}

impl From<tokio_postgres::Error> for DeskError {
    fn from(error: tokio_postgres::Error) -> DeskError {
        DeskError::Postgres(error)
    }
}

fn not_installed(error: tokio_postgres::Error) -> DeskError {
    match error.code() {
        Some(code) if *code == SqlState::UNDEFINED_TABLE => DeskError::NotInstalled,
        _ => DeskError::Postgres(error),
    }
}

fn transaction(entry: &Entry, lsn: ClientLsn, ops: Vec<ClientOp>) -> Result<ClientTransaction, DeskError> {
    Ok(ClientTransaction {
        client: ClientId::new(&entry.client).map_err(|_| DeskError::Changed)?,
        lsn,
        timestamp_ms: u64::try_from(entry.timestamp_ms).map_err(|_| DeskError::Changed)?,
        ops,
    })
}

/// An operation without values but its key.
fn key_of(op: &ClientOp, schema: &Schema) -> ClientOp {
    let mut op = op.clone();
    if let Some(table) = schema.table(op.relation) {
        for (n, value) in op.values.iter_mut().enumerate().filter(|(n, _)| !table.primary_key.contains(n)) {
            let _ = n;
            *value = Field::Absent;
        }
    }
    op
}

impl Entry {
    fn read(row: &Row) -> Result<Entry, tokio_postgres::Error> {
        let lsn: &[u8] = row.try_get(3)?;
        Ok(Entry {
            id: row.try_get(0)?,
            client: row.try_get(1)?,
            user: row.try_get(2)?,
            lsn: lsn.iter().fold(0, |n, byte| n << 8 | u64::from(*byte)),
            timestamp_ms: row.try_get(4)?,
            first_seen: row.try_get(5)?,
            last_seen: row.try_get(6)?,
            tries: row.try_get(7)?,
            sqlstate: row.try_get(8)?,
            message: row.try_get(9)?,
            table: row.try_get(10)?,
            constraint: row.try_get(11)?,
            column: row.try_get(12)?,
            operation_count: row.try_get(13)?,
            complete: row.try_get(14)?,
            state: row.try_get(15)?,
            settled_at: row.try_get(16)?,
            operations: None,
        })
    }
}

//! From messages of the stream to transactions: relations are matched to the schema, the changes of a transaction folded
//! to one net change per row, tags joined in from the shadow tables, migrations recognised (spec 05 §7.4, 06 §6.6).
//!
//! Pure: it sees bytes and positions, nothing else. A transaction's messages are only collected until its commit, and
//! read then, with the schema as it is after the transaction.

mod history;
mod migration;
mod net;
mod relation;

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use change::{ClientId, Lsn, Origin, Transaction, Xid};
use schema::{Migration, Schema};

pub use history::{History, Step};
pub use migration::{RecordedSnapshot, migrate};

use crate::{
    assemble::{
        history::Progress,
        migration::DdlRows,
        net::Net,
        relation::{Kind, Role},
    },
    pgoutput::{Begin, Commit, Datum, Malformed, Message, Tuple},
};

/// Microseconds from the Unix epoch to 2000-01-01, where Postgres counts from.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// The stream can't be understood, and must not go on past this point.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// Bytes that are no message.
    #[error(transparent)]
    Malformed(#[from] Malformed),
    /// Messages in an order that can't be.
    #[error("the replication stream is out of order: {0}")]
    OutOfOrder(&'static str),
    /// Old rows are missing.
    #[error(
        "table {table:?} has lost its REPLICA IDENTITY FULL, so that its changes since then can't be passed on. Restore it \
         with ALTER TABLE … REPLICA IDENTITY FULL, then drop the replication slot so that clients load their data again"
    )]
    IdentityLost {
        /// The table.
        table: String,
    },
    /// A relation of schema `electric` is not as it was installed.
    #[error("table electric.{table} is not as it should be: {problem}. Was it changed by hand?")]
    Bookkeeping {
        /// The table.
        table: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// A transaction for clients.
#[derive(Clone, Debug, PartialEq)]
pub struct Committed {
    /// Its net changes; none if it is only an echo for its author, or a migration.
    pub transaction: Transaction,
    /// The schema before it.
    pub before: Arc<Schema>,
    /// The schema after it, which its rows are to be read with.
    pub schema: Arc<Schema>,
    /// The migration that it is, too.
    pub migration: Option<Arc<Migration>>,
}

/// What a message led to.
#[derive(Clone, Debug, PartialEq)]
pub enum Assembled {
    /// Nothing yet.
    Pending,
    /// A transaction that clients may have to see.
    Transaction(Box<Committed>),
    /// A transaction without anything for clients. It ended here.
    Empty(Lsn),
}

/// Puts the stream's messages together.
#[derive(Debug)]
pub struct Assembler {
    progress: Progress,
    relations: HashMap<u32, Arc<Role>>,
    reference: Xid,
    begun: Option<Begin>,
    records: Vec<Record>,
    size: usize,
    has_ddl: bool,
    /// Relations of the open transaction that are not as the schema says.
    suspects: Vec<u32>,
    /// Whether one of them still was not at its end.
    is_suspicious: bool,
}

/// A message of the open transaction that is read at its commit.
#[derive(Debug)]
enum Record {
    /// An insert, update or delete.
    Row(Arc<Role>, Bytes),
    /// Relations were emptied.
    Truncate(Vec<u32>),
}

impl Assembler {
    /// Starts with the schema's history as known when the stream starts.
    #[must_use]
    pub fn new(history: History) -> Assembler {
        Assembler {
            progress: Progress::new(history),
            relations: HashMap::new(),
            reference: Xid::default(),
            begun: None,
            records: Vec::new(),
            size: 0,
            has_ddl: false,
            suspects: Vec::new(),
            is_suspicious: false,
        }
    }

    /// A new connection begins: it will say everything about relations again, and a transaction that was under way comes
    /// again whole. `reference` is any recent 64-bit transaction id. All transactions before `settled` were over when the
    /// position was fixed that the stream starts from.
    pub fn restart(&mut self, reference: Xid, settled: Xid) {
        self.relations.clear();
        self.close();
        self.reference = reference;
        self.progress.settle(settled);
    }

    /// The schema at this point of the stream.
    #[must_use]
    pub fn schema(&self) -> &Arc<Schema> {
        self.progress.schema()
    }

    /// Bytes of the transaction under way.
    #[must_use]
    pub fn pending_size(&self) -> usize {
        self.size
    }

    /// Whether a transaction is under way.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.begun.is_some()
    }

    /// Whether a table turned out to have other columns than is known, since this was last asked: it was changed behind
    /// everybody's back, or a migration about it is yet to come.
    pub fn take_suspicion(&mut self) -> bool {
        std::mem::take(&mut self.is_suspicious)
    }

    /// Everything up to `position` has been handed in.
    pub fn reached(&mut self, position: Lsn) {
        if self.progress.pass(position) {
            self.reclassify();
        }
    }

    /// Takes the next message of the stream.
    ///
    /// # Errors
    /// [`AssembleError`]; the assembler is of no use after that until [`Assembler::restart`].
    pub fn message(&mut self, bytes: Bytes) -> Result<Assembled, AssembleError> {
        match bytes.first() {
            Some(b'I' | b'U' | b'D') => self.row(bytes)?,
            _ => match Message::parse(&bytes)? {
                Message::Begin(_) if self.begun.is_some() => {
                    return Err(AssembleError::OutOfOrder("a transaction begins inside another"));
                }
                Message::Begin(begin) => self.begun = Some(begin),
                Message::Commit(commit) => return self.commit(commit),
                Message::Relation(relation) => {
                    let under_way = self.begun.map(|begin| Xid::extend(begin.xid, self.reference));
                    if self.progress.reveal(&relation, under_way) {
                        self.reclassify();
                    }
                    if relation::differs(&relation, self.progress.schema()) {
                        self.suspects.push(relation.id);
                    }
                    let role = Role::new(relation, self.progress.schema())?;
                    self.relations.insert(role.relation.id, Arc::new(role));
                }
                Message::Truncate(relations) => self.records.push(Record::Truncate(relations)),
                _ => {}
            },
        }
        Ok(Assembled::Pending)
    }

    /// Keeps a row's message for the commit. It is read in full only then.
    fn row(&mut self, bytes: Bytes) -> Result<(), AssembleError> {
        let id = bytes.get(1..5).and_then(|id| id.try_into().ok()).map(u32::from_be_bytes);
        let role = id.and_then(|id| self.relations.get(&id));
        let role = role.ok_or(AssembleError::OutOfOrder("a row comes before its relation"))?;
        match role.kind {
            Kind::Ignored => return Ok(()),
            Kind::Ddl(_) => self.has_ddl = true,
            _ => {}
        }
        self.size += bytes.len();
        self.records.push(Record::Row(Arc::clone(role), bytes));
        Ok(())
    }

    fn close(&mut self) {
        self.begun = None;
        self.records.clear();
        self.records.shrink_to(1024);
        self.size = 0;
        self.has_ddl = false;
        self.suspects.clear();
    }

    fn commit(&mut self, commit: Commit) -> Result<Assembled, AssembleError> {
        let begin = self.begun.ok_or(AssembleError::OutOfOrder("a transaction ends that did not begin"))?;
        let xid = Xid::extend(begin.xid, self.reference);
        self.reference = self.reference.max(xid);
        let before = Arc::clone(self.progress.schema());
        let migration = if self.has_ddl { self.apply_ddl(xid)? } else { None };
        let schema = self.progress.schema();
        let suspects = self.suspects.iter().filter_map(|id| self.relations.get(id));
        self.is_suspicious |= suspects.into_iter().any(|role| relation::differs(&role.relation, schema));
        let mut net = Net::new(self.records.len());
        let mut author = None;
        for record in &self.records {
            match record {
                Record::Truncate(relations) => net.truncate(relations),
                Record::Row(role, bytes) => match &role.kind {
                    Kind::Table(table) => net.table_row(role, table, bytes)?,
                    Kind::Shadow(shadow) => net.shadow_row(role, shadow, bytes)?,
                    Kind::Acknowledgement(columns) => {
                        author = read_author(columns, bytes)?.or(author);
                    }
                    Kind::Ddl(_) | Kind::Unsynced | Kind::Ignored => {}
                },
            }
        }
        let commit_us = commit.commit_us.saturating_add(POSTGRES_EPOCH_US);
        let commit_ms = u64::try_from(commit_us / 1000).unwrap_or(0);
        let native_ms = net.newest_native_ms().and_then(|ms| u64::try_from(ms).ok());
        let (origin, commit_ms) = match author {
            Some((client, ms)) => (Origin::Client(client), ms.unwrap_or(commit_ms)),
            None => (Origin::Postgres, native_ms.unwrap_or(commit_ms)),
        };
        let changes = net.finish()?;
        self.close();
        if changes.is_empty() && migration.is_none() && origin == Origin::Postgres {
            return Ok(Assembled::Empty(commit.end_lsn));
        }
        Ok(Assembled::Transaction(Box::new(Committed {
            transaction: Transaction { lsn: commit.end_lsn, xid, commit_ms, origin, changes },
            before,
            schema: Arc::clone(self.progress.schema()),
            migration,
        })))
    }

    /// Finds the migration in the transaction, and reads its rows anew with the schema after it.
    fn apply_ddl(&mut self, xid: Xid) -> Result<Option<Arc<Migration>>, AssembleError> {
        let mut rows = DdlRows::default();
        for record in &self.records {
            if let Record::Row(role, bytes) = record
                && let Kind::Ddl(columns) = &role.kind
            {
                rows.add(columns, bytes)?;
            }
        }
        let mut own = None;
        for recorded in rows.finish() {
            let author = recorded.xid.unwrap_or(xid);
            let migration = self.progress.migration(&recorded.version, author, &recorded.snapshots);
            if author == xid {
                own = Some(migration);
            }
        }
        self.reclassify();
        Ok(own)
    }

    /// Matches the relations to a schema that has changed.
    fn reclassify(&mut self) {
        let schema = Arc::clone(self.progress.schema());
        for role in self.relations.values_mut() {
            *role = Arc::new(role.reclassified(&schema));
        }
        let mut seen: Vec<(Arc<Role>, Arc<Role>)> = Vec::new();
        for record in &mut self.records {
            let Record::Row(role, _) = record else { continue };
            match seen.iter().find(|(old, _)| Arc::ptr_eq(old, role)) {
                Some((_, new)) => *role = Arc::clone(new),
                None => {
                    let new = Arc::new(role.reclassified(&schema));
                    seen.push((Arc::clone(role), Arc::clone(&new)));
                    *role = new;
                }
            }
        }
    }
}

/// Client and time of a client's transaction, from the row it leaves in `acknowledged_client_lsns`.
fn read_author(
    columns: &relation::AcknowledgementColumns,
    bytes: &[u8],
) -> Result<Option<(ClientId, Option<u64>)>, AssembleError> {
    let Some(new) = new_tuple(bytes)? else { return Ok(None) };
    let text = |column: Option<usize>| match column.and_then(|column| new.iter().nth(column)) {
        Some(Datum::Text(text)) => std::str::from_utf8(text).ok(),
        _ => None,
    };
    let client = text(Some(columns.client)).and_then(|id| ClientId::new(id).ok());
    let client = client.ok_or(AssembleError::Bookkeeping {
        table: "acknowledged_client_lsns".to_owned(),
        problem: "a row has no proper client_id",
    })?;
    Ok(Some((client, text(columns.ts).and_then(|ts| ts.parse().ok()))))
}

/// The row after an insert or update.
fn new_tuple(bytes: &[u8]) -> Result<Option<Tuple<'_>>, Malformed> {
    Ok(match Message::parse(bytes)? {
        Message::Insert { new, .. } | Message::Update { new, .. } => Some(new),
        _ => None,
    })
}

#[cfg(test)]
mod tests;

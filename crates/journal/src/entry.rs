//! What the journal holds: entries in memory, records on disk.

use change::{Lsn, Transaction, Xid};

/// What the journal needs to know of its entries.
pub trait Entry: Send + Sync + 'static {
    /// The end of its commit record; unique.
    fn lsn(&self) -> Lsn;
    /// Its transaction id.
    fn xid(&self) -> Xid;
    /// Roughly the memory that it occupies, in bytes.
    fn weight(&self) -> usize;
    /// What of it has to be written to disk for it to be made again.
    fn record(&self) -> RecordRef<'_>;
}

/// A transaction as it is read from disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// Its net changes.
    pub transaction: Transaction,
    /// The version of the migration that it carries, if it carries one.
    pub migration: Option<String>,
    /// The version of the schema after it. Mostly that of the migration carried last, but not always: a service that was late learns
    /// of earlier ones between two transactions. Written only where it differs from the one before.
    pub schema: Option<String>,
}

/// A transaction as it is written to disk.
#[derive(Clone, Copy, Debug)]
pub struct RecordRef<'a> {
    /// Its net changes.
    pub transaction: &'a Transaction,
    /// The version of the migration that it carries, if it carries one.
    pub migration: Option<&'a str>,
    /// The version of the schema after it.
    pub schema: Option<&'a str>,
}

impl Record {
    /// The same, borrowed.
    #[must_use]
    pub fn as_ref(&self) -> RecordRef<'_> {
        RecordRef {
            transaction: &self.transaction,
            migration: self.migration.as_deref(),
            schema: self.schema.as_deref(),
        }
    }
}

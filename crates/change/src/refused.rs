//! Transactions of clients that are refused before Postgres is asked.

use std::fmt;

use crate::{ClientId, ClientLsn, ClientOpKind, Field, Tags};

/// One transaction of a client that no valid transaction can be made of, for what it says of its rows; as far as an operator needs it to
/// decide what becomes of it (spec 05 §7.6).
#[derive(Clone, PartialEq, Eq)]
pub struct RefusedTransaction {
    /// The authenticated author.
    pub client: ClientId,
    /// Where it ends in the author's log.
    pub lsn: ClientLsn,
    /// Milliseconds since the Unix epoch by the author's clock.
    pub timestamp_ms: u64,
    /// In the author's order; the first ones of `count`, if all are too large.
    pub ops: Vec<RefusedOp>,
    /// How many there are.
    pub count: usize,
    /// The SQLSTATE that Postgres would give.
    pub sqlstate: &'static str,
    /// Why. It may quote values: not for logs.
    pub message: String,
    /// The table that it is about.
    pub table: String,
    /// The column that it is about, if it is one.
    pub column: Option<String>,
}

/// An operation by the names of its table and columns, which need not be those of a table that is synced now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedOp {
    /// What the client did.
    pub kind: ClientOpKind,
    /// The table.
    pub table: String,
    /// The columns that it carries, in the client's order; values as Postgres text, as far as they can be.
    pub row: Vec<(String, Field)>,
    /// The columns that count as written.
    pub wrote: Vec<String>,
    /// The tags that the author had seen on the row.
    pub saw: Tags,
}

/// Values are the users' own and are not printed.
impl fmt::Debug for RefusedTransaction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RefusedTransaction")
            .field("client", &self.client)
            .field("lsn", &self.lsn)
            .field("count", &self.count)
            .field("sqlstate", &self.sqlstate)
            .finish_non_exhaustive()
    }
}

//! Transactions on their way from a client to Postgres.

use std::fmt;

use bytes::Bytes;

use crate::{ClientId, RelationId, Tags};

/// A position in a client's own log: 1 to 8 bytes, big-endian, unsigned; in practice the 4-byte rowid of its last
/// entry (spec 02 §7.2). Stored and returned byte for byte, compared as a number: leading zeros don't count.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ClientLsn(Bytes);

/// A client position has 1 to 8 bytes.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a client position has 1 to 8 bytes")]
pub struct MalformedClientLsn;

impl ClientLsn {
    /// Checks the length.
    ///
    /// # Errors
    /// [`MalformedClientLsn`] for no bytes or more than eight.
    pub fn new(bytes: Bytes) -> Result<ClientLsn, MalformedClientLsn> {
        if (1..=8).contains(&bytes.len()) { Ok(ClientLsn(bytes)) } else { Err(MalformedClientLsn) }
    }

    /// The bytes as the client sent them.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// The number they stand for.
    #[must_use]
    pub fn position(&self) -> u64 {
        self.0.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))
    }
}

/// The number, as log lines and messages show it.
impl fmt::Display for ClientLsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.position().fmt(f)
    }
}

/// One transaction of a client, decoded and checked against the schema, not yet merged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientTransaction {
    /// The authenticated author.
    pub client: ClientId,
    /// Where it ends in the author's log.
    pub lsn: ClientLsn,
    /// Milliseconds since the Unix epoch by the author's clock, echoed exactly. Its tag is `(timestamp_ms, client)`.
    pub timestamp_ms: u64,
    /// In the author's order; one row may occur several times.
    pub ops: Vec<ClientOp>,
}

/// One operation on one row (spec 05 §1.3).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOp {
    /// The table.
    pub relation: RelationId,
    /// What the client did.
    pub kind: ClientOpKind,
    /// In table column order: the new row for an insert or update, the old row for a delete, the key for a compensation.
    pub values: Vec<Field>,
    /// In table column order: the columns that count as written. None but non-key columns ever are.
    pub written: Vec<bool>,
    /// The tags that the author had seen on the row.
    pub clear: Tags,
}

/// What a client did to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientOpKind {
    /// Made it.
    Insert,
    /// Changed some of its columns.
    Update,
    /// Removed it.
    Delete,
    /// Asked that it be kept alive, for rows that refer to it.
    Compensation,
}

/// A value from a client, as Postgres text.
#[derive(Clone, PartialEq, Eq)]
pub enum Field {
    /// The client does not know the column (its schema is older), or the operation does not carry it.
    Absent,
    /// NULL.
    Null,
    /// A value that Postgres' input function for the column's type takes.
    Value(Bytes),
}

impl Field {
    /// The bytes of a value.
    #[must_use]
    pub fn value(&self) -> Option<&[u8]> {
        match self {
            Field::Value(bytes) => Some(bytes),
            Field::Absent | Field::Null => None,
        }
    }
}

/// Values are the users' own and are not printed.
impl fmt::Debug for Field {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Field::Absent => "Absent",
            Field::Null => "Null",
            Field::Value(_) => "Value(…)",
        })
    }
}

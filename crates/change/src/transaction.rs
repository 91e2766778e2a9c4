//! Transactions on their way from Postgres to clients.

use crate::{Lsn, Origin, RelationId, Row, Tags, Xid};

/// One committed Postgres transaction, reduced to its net changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transaction {
    /// The end of the commit record; unique, and the order of everything.
    pub lsn: Lsn,
    /// 64-bit id of the top-level transaction.
    pub xid: Xid,
    /// Milliseconds since the Unix epoch. A client's own number, exactly as it sent it, when the origin is a client.
    pub commit_ms: u64,
    /// Who wrote it.
    pub origin: Origin,
    /// At most one net change per row (spec 05 §4.3 rule 5), in the order of each row's last change (spec 06 §6.6).
    pub changes: Vec<Change>,
}

/// A net change of one row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The table.
    pub relation: RelationId,
    /// What became of the row.
    pub row: RowChange,
    /// Whether the client that wrote it did so without knowing how the row stood: others had deleted it or written to it, and what
    /// has come of it need not be what the client believes. Nobody but the author is concerned.
    pub blind: bool,
}

/// What became of a row. Rows are full images in table column order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowChange {
    /// It exists now and did not before.
    Insert {
        /// The row after the transaction.
        new: Row,
        /// All tags of the row after the transaction.
        tags: Tags,
    },
    /// It existed before and does now; old and new may be equal when only tags changed.
    Update {
        /// The row before the transaction.
        old: Row,
        /// The row after it.
        new: Row,
        /// All tags of the row after the transaction.
        tags: Tags,
    },
    /// It existed before and no longer does.
    Delete {
        /// The row before the transaction.
        old: Row,
    },
}

impl RowChange {
    /// The image before, if the row existed.
    #[must_use]
    pub fn before(&self) -> Option<&Row> {
        match self {
            RowChange::Insert { .. } => None,
            RowChange::Update { old, .. } | RowChange::Delete { old } => Some(old),
        }
    }

    /// The image after, if the row still exists.
    #[must_use]
    pub fn after(&self) -> Option<&Row> {
        match self {
            RowChange::Insert { new, .. } | RowChange::Update { new, .. } => Some(new),
            RowChange::Delete { .. } => None,
        }
    }
}

impl Transaction {
    /// Roughly what it occupies in memory, in bytes.
    #[must_use]
    pub fn weight(&self) -> usize {
        let row = |row: Option<&Row>| row.map_or(0, Row::weight);
        let changes =
            self.changes.iter().map(|c| size_of::<Change>() + row(c.row.before()) + row(c.row.after()));
        size_of::<Transaction>() + changes.sum::<usize>()
    }
}

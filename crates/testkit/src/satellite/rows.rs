//! Rows and transactions as a client sees them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use bytes::Bytes;
use protocol::wire::{SatOpBegin, SatOpMigrate, SatOpRow, SatRelation};

/// A row by column name; `None` is NULL. Values are what was on the wire.
pub type Row = BTreeMap<String, Option<Bytes>>;

/// One operation, decoded with the relation that was announced for it.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named after the operations of spec 02 §8.5")]
pub enum Op {
    Insert { table: String, new: Row, tags: Vec<String> },
    Update { table: String, old: Option<Row>, new: Row, tags: Vec<String> },
    Delete { table: String, old: Row, tags: Vec<String> },
    Gone { table: String, key: Row },
    Migrate(SatOpMigrate),
}

impl Op {
    /// The row's table and values, as they are after it or, of a row that leaves, before; nothing of a migration.
    #[must_use]
    pub fn row(&self) -> Option<(&str, &Row)> {
        match self {
            Op::Insert { table, new: row, .. }
            | Op::Update { table, new: row, .. }
            | Op::Delete { table, old: row, .. }
            | Op::Gone { table, key: row } => Some((table, row)),
            Op::Migrate(_) => None,
        }
    }
}

/// The rows of one shape request.
#[derive(Clone, Debug, PartialEq)]
pub struct ShapeData {
    /// The request.
    pub request: String,
    /// Its inserts.
    pub ops: Vec<Op>,
}

/// Something whole that a client applies at once.
#[derive(Clone, Debug, PartialEq)]
pub enum Received {
    /// A transaction.
    Transaction {
        /// How it began: position, origin, time, id, whether additional data belongs to it.
        begin: SatOpBegin,
        /// Its operations in order.
        ops: Vec<Op>,
    },
    /// The data of a subscription.
    Data {
        /// The subscription.
        subscription: String,
        /// The position that the client stores.
        lsn: Bytes,
        /// The rows, by request, in the order in which the requests came.
        shapes: Vec<ShapeData>,
    },
    /// Rows that were there before and became visible by a transaction.
    Additional {
        /// What the transaction announced.
        reference: u64,
        /// Its inserts.
        ops: Vec<Op>,
    },
    /// The end of subscriptions.
    Gone {
        /// The subscriptions.
        subscriptions: Vec<String>,
        /// The position that the client stores.
        lsn: Bytes,
        /// The keys of rows to remove.
        ops: Vec<Op>,
    },
}

/// A row of the wire by the names of its relation: exactly one value per column, NULLs by the mask, most significant bit first.
pub(super) fn named(relation: &SatRelation, row: Option<SatOpRow>) -> Result<Row> {
    let row = row.context("an operation without its row")?;
    ensure!(
        row.values.len() == relation.columns.len(),
        "{} values for {} columns",
        row.values.len(),
        relation.columns.len()
    );
    ensure!(row.nulls_bitmask.len() == relation.columns.len().div_ceil(8), "a mask of the wrong length");
    let columns = relation.columns.iter().zip(row.values).enumerate();
    Ok(columns
        .map(|(i, (column, value))| {
            let null = row.nulls_bitmask[i / 8] & (0x80 >> (i % 8)) != 0;
            (column.name.clone(), (!null).then_some(value))
        })
        .collect())
}

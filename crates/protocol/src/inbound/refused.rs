//! What is kept of a transaction that is refused for what it says of its rows (spec 05 §7.6): read again, without judging it.
//!
//! A message that breaks the protocol leaves nothing that could be kept: its operations can't be told.

use std::collections::HashMap;

use bytes::Bytes;
use change::{ClientId, ClientLsn, ClientOpKind, Field, RefusedOp, RefusedTransaction, Tags};

use super::{
    InboundRelation,
    operation::{self, Kind},
    rejection::RejectionReason,
    relation::Announced,
};
use crate::{
    op_log::{Op, OpLog, RowOp, WireRow},
    value,
};

/// Bytes of operations after which the others are only counted.
const MOST_BYTES: usize = 1 << 20;

/// Reads a transaction again.
pub(super) struct Reader<'a> {
    pub(super) client: &'a ClientId,
    pub(super) relations: &'a HashMap<u32, Announced>,
    pub(super) log: &'a OpLog,
}

impl Reader<'_> {
    /// The transaction that ends at a position, if what is wrong with it is a matter of its rows, and if it is in the log from its begin
    /// to its commit. `message` is what the client is told.
    pub(super) fn read(
        &self,
        at: &ClientLsn,
        reason: &RejectionReason,
        message: &str,
    ) -> Option<RefusedTransaction> {
        let (sqlstate, table, column) = about(reason)?;
        let reason = reason.to_string();
        let message = if message == reason { reason } else { format!("{reason}: {message}") };
        let mut refused = None;
        let mut bytes: usize = 0;
        for op in self.log.ops() {
            let (kind, op) = match (op.ok()?, &mut refused) {
                (Op::Begin { commit_timestamp, lsn }, None) if lsn == &at.as_bytes()[..] => {
                    refused = Some(RefusedTransaction {
                        client: self.client.clone(),
                        lsn: at.clone(),
                        timestamp_ms: commit_timestamp,
                        ops: Vec::new(),
                        count: 0,
                        sqlstate,
                        message: message.clone(),
                        table: table.to_owned(),
                        column: column.map(str::to_owned),
                    });
                    continue;
                }
                (_, None) => continue,
                (Op::Commit, Some(_)) => return refused,
                (Op::Insert(op), _) => (Kind::Insert, op),
                (Op::Update(op), _) => (Kind::Update, op),
                (Op::Delete(op), _) => (Kind::Delete, op),
                (Op::Compensation(op), _) => (Kind::Compensation, op),
                (Op::Begin { .. } | Op::ServerOnly(_) | Op::Unknown, Some(_)) => return None,
            };
            let Some(refused) = &mut refused else { continue };
            let relation = self.relations.get(&op.relation)?.known()?;
            bytes = bytes.saturating_add(operation::weight(relation, &op));
            if bytes > MOST_BYTES {
                refused.count += 1;
                continue;
            }
            let ops = tell(kind, &op, relation, self.log.as_bytes())?;
            refused.count += ops.len();
            refused.ops.extend(ops);
        }
        None
    }
}

/// The SQLSTATE, the table and the column of what is a matter of the rows; `None` for what breaks the protocol.
fn about(reason: &RejectionReason) -> Option<(&'static str, &str, Option<&str>)> {
    Some(match reason {
        RejectionReason::Value { table, column } => ("22P02", table, Some(column)),
        RejectionReason::Null { table, column } => ("23502", table, Some(column)),
        RejectionReason::ImmutableKey { table } => ("0A000", table, None),
        RejectionReason::NotSynced { table } => ("42P01", table, None),
        RejectionReason::StaleRelation(table) => ("42703", table, None),
        _ => return None,
    })
}

/// What an operation comes to, by names: mostly one; for an update that changes the key, what it amounts to.
fn tell(kind: Kind, op: &RowOp<'_>, relation: &InboundRelation, payload: &Bytes) -> Option<Vec<RefusedOp>> {
    let saw: Tags = op.tags().map(str::parse).collect::<Result<_, _>>().ok()?;
    let names = |row: &[Told], which: &dyn Fn(&Told) -> bool| -> Vec<String> {
        row.iter().filter(|told| which(told)).map(|told| told.name.clone()).collect()
    };
    let make = |kind, row: Vec<Told>, wrote| RefusedOp {
        kind,
        table: relation.table().name.clone(),
        row: row.into_iter().map(|told| (told.name, told.value)).collect(),
        wrote,
        saw: saw.clone(),
    };
    let read = |row| told(row, relation, payload);
    Some(match (kind, op.new, op.old) {
        (Kind::Insert, Some(new), _) => {
            let new = read(new)?;
            let wrote = names(&new, &|told| !told.is_key);
            vec![make(ClientOpKind::Insert, new, wrote)]
        }
        (Kind::Update, Some(new), Some(old)) => {
            let (new, old) = (read(new)?, read(old)?);
            if new.iter().zip(&old).any(|(new, old)| new.is_key && new.value != old.value) {
                let wrote = names(&new, &|told| !told.is_key);
                let deleted = make(ClientOpKind::Delete, old, Vec::new());
                vec![deleted, make(ClientOpKind::Insert, new, wrote)]
            } else {
                let wrote = new.iter().zip(&old).filter(|(new, old)| new.value != old.value);
                let wrote = wrote.map(|(new, _)| new.name.clone()).collect();
                vec![make(ClientOpKind::Update, new, wrote)]
            }
        }
        (Kind::Delete, _, Some(old)) => vec![make(ClientOpKind::Delete, read(old)?, Vec::new())],
        (Kind::Compensation | Kind::Update, Some(row), None) => {
            let key: Vec<Told> = read(row)?.into_iter().filter(|told| told.is_key).collect();
            match key.iter().all(|told| told.value != Field::Null) {
                true => vec![make(ClientOpKind::Compensation, key, Vec::new())],
                false => Vec::new(),
            }
        }
        _ => return None,
    })
}

/// A column with its value.
struct Told {
    name: String,
    is_key: bool,
    value: Field,
}

/// A row by the names of its columns; `None` if it has not one value for each.
fn told(row: WireRow<'_>, relation: &InboundRelation, payload: &Bytes) -> Option<Vec<Told>> {
    let columns = relation.columns();
    if row.len != columns.len() {
        return None;
    }
    let table = relation.table();
    let cells = columns.iter().zip(row.values()).enumerate();
    let told = cells.map(|(n, (column, value))| {
        let index = column.index;
        let column = table.columns.get(index)?;
        let value = match row.is_null(n)? {
            true => Field::Null,
            false => Field::Value(value::to_postgres(&column.ty, payload.slice_ref(value))),
        };
        Some(Told { name: column.name.clone(), is_key: table.primary_key.contains(&index), value })
    });
    told.collect()
}

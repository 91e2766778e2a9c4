//! A client transaction taken apart: its operations by table and row.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use change::{ClientOp, ClientTransaction, Field, RelationId};
use schema::{Schema, Table};
use tokio_postgres::error::SqlState;

use super::{
    failure::Refused,
    key::{self, Key},
};

/// The operations on one table.
#[derive(Debug)]
pub struct Batch<'a> {
    /// The table.
    pub table: Arc<Table>,
    /// One entry per row, in the order of each row's first operation.
    pub rows: Vec<RowOps<'a>>,
}

/// The operations on one row.
#[derive(Debug)]
pub struct RowOps<'a> {
    /// Its key.
    pub key: Key,
    /// In the author's order.
    pub ops: Vec<&'a ClientOp>,
}

/// Takes a transaction apart. Tables come in the order of their ids, which is the order of locking.
pub fn split<'a>(tx: &'a ClientTransaction, schema: &Schema) -> Result<Vec<Batch<'a>>, Refused> {
    let mut by_table: BTreeMap<RelationId, Vec<&'a ClientOp>> = BTreeMap::new();
    for op in &tx.ops {
        by_table.entry(op.relation).or_default().push(op);
    }
    by_table
        .into_iter()
        .map(|(id, ops)| {
            let table = table_of(id, schema)?;
            let rows = ops.into_iter().map(|op| Ok((key_of(op, table)?, op)));
            Ok(Batch { table: table.clone(), rows: group(rows)? })
        })
        .collect()
}

/// Takes a transaction apart into runs: operations of one kind on rows of one table, none twice, that follow each other. What
/// the runs do one after the other is what the author did.
pub fn runs<'a>(tx: &'a ClientTransaction, schema: &Schema) -> Result<Vec<Batch<'a>>, Refused> {
    let mut runs: Vec<Batch<'a>> = Vec::new();
    let mut seen: HashSet<Key> = HashSet::new();
    let mut kind = None;
    for op in &tx.ops {
        let table = table_of(op.relation, schema)?;
        let key = key_of(op, table)?;
        match runs.last_mut() {
            Some(run) if run.table.id == op.relation && kind == Some(op.kind) && !seen.contains(&key) => {
                seen.insert(key.clone());
                run.rows.push(RowOps { key, ops: vec![op] });
            }
            _ => {
                seen = HashSet::from([key.clone()]);
                kind = Some(op.kind);
                runs.push(Batch { table: table.clone(), rows: vec![RowOps { key, ops: vec![op] }] });
            }
        }
    }
    Ok(runs)
}

fn table_of(id: RelationId, schema: &Schema) -> Result<&Arc<Table>, Refused> {
    schema.table(id).ok_or_else(|| {
        Refused::new(&SqlState::UNDEFINED_TABLE, "the transaction writes a table that is not synced any more")
    })
}

impl Batch<'_> {
    /// Puts the keys that Postgres has made canonical in place, in order, and brings rows together that turn out to be one.
    pub fn rekey(&mut self, keys: impl Iterator<Item = Key>) {
        let rows = std::mem::take(&mut self.rows);
        let mut places: HashMap<Key, usize> = HashMap::with_capacity(rows.len());
        for (row, key) in rows.into_iter().zip(keys) {
            match places.get(&key).and_then(|place| self.rows.get_mut(*place)) {
                Some(same) => same.ops.extend(row.ops),
                None => {
                    places.insert(key.clone(), self.rows.len());
                    self.rows.push(RowOps { key, ops: row.ops });
                }
            }
        }
    }
}

fn group<'a>(
    ops: impl Iterator<Item = Result<(Key, &'a ClientOp), Refused>>,
) -> Result<Vec<RowOps<'a>>, Refused> {
    let mut places: HashMap<Key, usize> = HashMap::new();
    let mut rows: Vec<RowOps<'a>> = Vec::new();
    for op in ops {
        let (key, op) = op?;
        match places.get(&key).and_then(|place| rows.get_mut(*place)) {
            Some(row) => row.ops.push(op),
            None => {
                places.insert(key.clone(), rows.len());
                rows.push(RowOps { key, ops: vec![op] });
            }
        }
    }
    Ok(rows)
}

fn key_of(op: &ClientOp, table: &Table) -> Result<Key, Refused> {
    if op.values.len() > table.columns.len() {
        return Err(Refused::new(
            &SqlState::UNDEFINED_COLUMN,
            format!("an operation has more values than table {:?} has columns", table.name),
        )
        .about_table(table));
    }
    let value = |column: &usize| -> Option<Bytes> {
        let ty = &table.columns.get(*column)?.ty;
        match op.values.get(*column)? {
            Field::Value(bytes) => Some(key::canonical(bytes, ty)),
            Field::Null | Field::Absent => None,
        }
    };
    table.primary_key.iter().map(value).collect::<Option<Key>>().ok_or_else(|| {
        Refused::new(
            &SqlState::NOT_NULL_VIOLATION,
            format!("an operation on table {:?} lacks a value of the primary key", table.name),
        )
        .about_table(table)
    })
}

/// An order of tables in which each comes after those it refers to, as indexes into `tables`. Among the tables of a circle,
/// and where it does not matter, the order is that of the ids: circles need deferrable constraints (spec 05 §7.5).
pub fn parents_first(tables: &[&Table]) -> Vec<usize> {
    let refers = |child: usize, parent: usize| {
        let parent = tables.get(parent).map(|table| table.id);
        child_refers(tables.get(child).copied(), parent)
    };
    let mut left: Vec<usize> = (0..tables.len()).collect();
    left.sort_by_key(|n| tables.get(*n).map(|table| table.id));
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let free = left.iter().position(|n| !left.iter().any(|other| other != n && refers(*n, *other)));
        order.push(left.remove(free.unwrap_or(0)));
    }
    order
}

fn child_refers(child: Option<&Table>, parent: Option<RelationId>) -> bool {
    child.is_some_and(|child| child.foreign_keys.iter().any(|key| Some(key.references) == parent))
}

/// Whether rows of the table refer to rows of the same table.
pub fn refers_to_itself(table: &Table) -> bool {
    child_refers(Some(table), Some(table.id))
}

//! Foreign keys that don't hold at first (spec 05 §7.5).
//!
//! A transaction that Postgres refuses for a foreign key is looked at once more, as a whole, against what Postgres has by then:
//!
//! * a row that lives by this transaction refers to one that is dead but remembered: its author had not heard of the delete, and
//!   has not sent a compensation. The transaction gets one, as if the author had sent it. Adding wins.
//! * a row that this transaction deletes is referred to by one that lives: the author had not heard of that one. The delete
//!   becomes a touch: what it has seen goes from the tags, its own tag comes in, and the row stays.
//!
//! Either may lead to the next, up through the generations, so this is done until nothing more is found. What foreign keys do
//! themselves, CASCADE and SET NULL, is left to Postgres. What then still does not hold never will: the row referred to never
//! was, or its table is not synced.
//!
//! Transactions that Postgres takes cost nothing of this.

mod constraints;
mod deletes;
mod questions;

use std::{
    collections::{HashMap, HashSet},
    ptr,
    sync::Arc,
};

use bytes::Bytes;
use change::{ClientOp, ClientOpKind, ClientTransaction, Field, RelationId, Tag, Tags};
use schema::{Schema, Table};
use tokio_postgres::Error;

use self::constraints::{Constraint, OnDelete};
use super::{
    apply::{Locked, canonicalise, key_arrays, merge, parameters, references},
    batch::{self, Batch},
    failure::Refused,
    job::Manner,
    key::Key,
    rows::Merged,
    session::Session,
    statements::Kind,
};

/// Generations that are followed; no sound schema has as many.
const GENERATIONS: usize = 64;

/// A table with what becomes of its rows in a transaction.
struct Touched {
    table: Arc<Table>,
    rows: Vec<TouchedRow>,
}

struct TouchedRow {
    merged: Merged,
    /// Its operations, as indexes into the transaction's.
    ops: Vec<usize>,
}

/// What a transaction needs.
#[derive(Debug, Default)]
struct Needs {
    /// Operations on rows that have to stay, of which deletes become touches; as indexes.
    touches: HashSet<usize>,
    /// Rows that have to come back.
    revivals: HashSet<(RelationId, Key)>,
}

/// Where a row is: its table's id and its place.
type Place = (u32, String);

/// The transaction with all that it needs. Within a Postgres transaction, which is for the caller to end.
pub async fn mend(
    session: &mut Session,
    tx: &ClientTransaction,
    schema: &Schema,
) -> Result<Result<ClientTransaction, Refused>, Error> {
    let mut tx = tx.clone();
    let constraints = constraints::load(session.client()).await?;
    for _ in 0..GENERATIONS {
        let touched = match touch(session, &tx, schema).await? {
            Ok(touched) => touched,
            Err(refused) => return Ok(Err(refused)),
        };
        let mut needs = look(session, &touched, &constraints, schema).await?;
        needs.touches.retain(|n| tx.ops.get(*n).is_some_and(|op| op.kind == ClientOpKind::Delete));
        if needs.touches.is_empty() && needs.revivals.is_empty() {
            break;
        }
        for n in &needs.touches {
            if let Some(op) = tx.ops.get_mut(*n) {
                op.kind = ClientOpKind::Compensation;
            }
        }
        // Parents before the rows that need them, also where the order counts.
        let revivals =
            needs.revivals.iter().filter_map(|(table, key)| compensation(schema.table(*table)?, key));
        tx.ops.splice(0..0, revivals.collect::<Vec<_>>());
    }
    Ok(Ok(tx))
}

/// As if the author had sent it (spec 05 §1.7).
fn compensation(table: &Table, key: &[Bytes]) -> Option<ClientOp> {
    let mut values = vec![Field::Absent; table.columns.len()];
    for (column, value) in table.primary_key.iter().zip(key) {
        *values.get_mut(*column)? = Field::Value(value.clone());
    }
    Some(ClientOp {
        relation: table.id,
        kind: ClientOpKind::Compensation,
        written: vec![false; values.len()],
        values,
        clear: Tags::new(),
    })
}

/// Locks the rows of the transaction and finds out what becomes of them.
async fn touch(
    session: &mut Session,
    tx: &ClientTransaction,
    schema: &Schema,
) -> Result<Result<Vec<Touched>, Refused>, Error> {
    let batches = match batch::split(tx, schema) {
        Ok(batches) => batches,
        Err(refused) => return Ok(Err(refused)),
    };
    let tag = Tag::client(&tx.client, tx.timestamp_ms as i64);
    let numbers: HashMap<usize, usize> =
        tx.ops.iter().enumerate().map(|(n, op)| (ptr::from_ref(op).addr(), n)).collect();
    let mut touched = Vec::with_capacity(batches.len());
    for mut batch in batches {
        canonicalise(session, &mut batch).await?;
        touched.push(touch_table(session, batch, &tag, &numbers).await?);
    }
    Ok(Ok(touched))
}

async fn touch_table(
    session: &mut Session,
    batch: Batch<'_>,
    tag: &Tag,
    numbers: &HashMap<usize, usize>,
) -> Result<Touched, Error> {
    let table = batch.table.clone();
    let lock_rows = session.statement(Kind::LockRows, batch.rows.len(), &table).await?;
    let lock_shadows = session.statement(Kind::LockShadows, batch.rows.len(), &table).await?;
    let locked = {
        let keys = key_arrays(&table, &batch.rows.iter().map(|row| row.key.as_slice()));
        let live = session.client().query(&lock_rows, &references(&keys)).await?;
        Locked { live, shadows: session.client().query(&lock_shadows, &references(&keys)).await? }
    };
    let number = |op: &&ClientOp| numbers.get(&ptr::from_ref::<ClientOp>(op).addr()).copied();
    let ops: Vec<Vec<usize>> =
        batch.rows.iter().map(|row| row.ops.iter().filter_map(number).collect()).collect();
    let merged = merge(session, &table, batch, &locked, &lock_rows, (tag, Manner::Apply)).await?;
    let rows = merged.into_iter().zip(ops).map(|(merged, ops)| TouchedRow { merged, ops }).collect();
    Ok(Touched { table, rows })
}

/// What is missing for every foreign key to hold.
async fn look(
    session: &Session,
    touched: &[Touched],
    constraints: &[Constraint],
    schema: &Schema,
) -> Result<Needs, Error> {
    let doomed = deletes::doomed(session, touched, constraints).await?;
    let mut needs = Needs::default();
    let keep = |needs: &mut Needs, row: (usize, usize)| {
        let row = touched.get(row.0).and_then(|table| table.rows.get(row.1));
        needs.touches.extend(row.iter().flat_map(|row| &row.ops).copied());
    };
    for root in &doomed.kept {
        keep(&mut needs, *root);
    }
    let rows: HashMap<(RelationId, &Key), (usize, usize)> = touched
        .iter()
        .enumerate()
        .flat_map(|(t, table)| {
            let id = table.table.id;
            table.rows.iter().enumerate().map(move |(r, row)| ((id, &row.merged.key), (t, r)))
        })
        .collect();
    for Touched { table, rows: children } in touched {
        let living: Vec<&Merged> = children.iter().map(|row| &row.merged).filter(|row| row.lives()).collect();
        for constraint in constraints.iter().filter(|c| c.child == table.id.0 && !living.is_empty()) {
            for found in parents(session, table, constraint, &living, schema).await? {
                if let Some(at) = found.lives_at
                    && matches!(constraint.on_delete, OnDelete::NoAction | OnDelete::Restrict)
                {
                    for root in doomed.roots_of(&(constraint.parent, at)) {
                        keep(&mut needs, root);
                    }
                }
                if found.dead {
                    let parent = (RelationId(constraint.parent), found.key);
                    match rows.get(&(parent.0, &parent.1)) {
                        // It comes back by this transaction.
                        Some((t, r)) if touched[*t].rows[*r].merged.lives() => {}
                        Some(row) => keep(&mut needs, *row),
                        None => {
                            needs.revivals.insert(parent);
                        }
                    }
                }
            }
        }
    }
    Ok(needs)
}

/// A row that is referred to.
struct Parent {
    lives_at: Option<String>,
    /// Dead, but remembered.
    dead: bool,
    /// Its key, if its table is synced.
    key: Key,
}

/// The rows that rows of `table` will refer to by `constraint`; not those of which nothing is known.
async fn parents(
    session: &Session,
    table: &Table,
    constraint: &Constraint,
    living: &[&Merged],
    schema: &Schema,
) -> Result<Vec<Parent>, Error> {
    let parent = schema.table(RelationId(constraint.parent)).map(|parent| &**parent);
    let Some(sql) = questions::references(table, constraint, parent) else { return Ok(Vec::new()) };
    // The tag is not among the parameters of this kind.
    let values = parameters(Kind::Update, table, &Tag::EPOCH, living);
    let rows = session.client().query(&sql, &references(&values)).await?;
    let read = |row: &tokio_postgres::Row| {
        let key = (2..row.len()).map(|n| row.try_get::<_, Option<String>>(n));
        let key: Vec<Option<String>> = key.collect::<Result<_, _>>()?;
        Ok(Parent {
            lives_at: row.try_get(0)?,
            dead: row.try_get(1)?,
            key: key.into_iter().flatten().map(Bytes::from).collect(),
        })
    };
    rows.iter().map(read).collect()
}

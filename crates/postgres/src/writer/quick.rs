//! Transactions that need no look beforehand: the fast way for most of what apps write.
//!
//! A row that its author has just made has a key that nobody else has thought of, and a row that its author changes or deletes is
//! there as a rule. So everything can be sent at once, as statements that fail if that is not so: see [`super::whole`]. Then nothing has
//! happened, and the transaction goes the long way.

use std::sync::Arc;

use change::{ClientOpKind, ClientTransaction, Tag};
use schema::{Schema, Table};
use tokio_postgres::Error;

use super::{
    apply::{Write, plan_writes, prepare, references},
    batch::{self, Batch, RowOps, parents_first},
    binding::Parameter,
    failpoints::strike,
    job::Manner,
    key,
    pipeline::{self, Pending},
    rows::{FoundRows, Merged},
    session::Session,
    statements::{self, Kind},
    tags::LAST_MS,
    whole::Place,
};

/// The most new rows that are written together with their shadows in one statement: which belongs to which is found by comparing.
const MOST_FRESH: usize = 20;

/// A transaction that may go this way.
pub struct Quick<'a> {
    pub tx: &'a ClientTransaction,
    /// Roughly the bytes that it takes to bind.
    pub weight: usize,
    tag: Tag,
    /// Parents before their children.
    tables: Vec<QuickTable>,
}

/// What becomes of the rows of a table.
struct QuickTable {
    table: Arc<Table>,
    /// Rows that are made.
    fresh: Vec<Merged>,
    /// Rows that are changed.
    live: Vec<Merged>,
    /// Rows that are deleted.
    gone: Vec<Merged>,
}

impl<'a> Quick<'a> {
    /// `None` for a transaction that can't go this way: it makes or changes rows and
    /// deletes them as well, or has keys that Postgres must be asked about.
    pub fn new(tx: &'a ClientTransaction, schema: &Schema) -> Option<Quick<'a>> {
        if tx.timestamp_ms > LAST_MS || tx.ops.is_empty() {
            return None;
        }
        let tag = Tag::client(&tx.client, tx.timestamp_ms as i64);
        let batches = batch::split(tx, schema).ok()?;
        let tables = batches.into_iter().map(|batch| QuickTable::new(batch, &tag));
        let mut tables = tables.collect::<Option<Vec<QuickTable>>>()?;
        let order = parents_first(&tables.iter().map(|table| &*table.table).collect::<Vec<_>>());
        let order: Vec<_> = order.iter().filter_map(|n| Some(tables.get(*n)?.table.id)).collect();
        tables.sort_by_key(|table| order.iter().position(|id| *id == table.table.id));
        let rows = tables.iter().flat_map(QuickTable::rows);
        Some(Quick { tx, weight: rows.map(Merged::weight).sum(), tag, tables })
    }
}

impl QuickTable {
    fn new(batch: Batch<'_>, tag: &Tag) -> Option<QuickTable> {
        if key::ask_postgres(&batch.table) {
            return None;
        }
        let table = batch.table;
        let (mut fresh, mut live, mut gone) = (Vec::new(), Vec::new(), Vec::new());
        for row in batch.rows {
            let is_made =
                row.ops.first().is_some_and(|op| op.kind == ClientOpKind::Insert && op.clear.is_empty());
            let mut changes = row.ops.iter().skip(usize::from(is_made)).map(|op| op.kind);
            if matches!(&*row.ops, [only] if only.kind == ClientOpKind::Delete) {
                gone.push(row);
            } else if !changes.all(|kind| matches!(kind, ClientOpKind::Update | ClientOpKind::Compensation)) {
                return None;
            } else if is_made {
                fresh.push(row);
            } else {
                live.push(row);
            }
        }
        let unseen = |rows: Vec<RowOps<'_>>| FoundRows::unseen(rows).merge(&table, tag, Manner::Apply);
        let in_place = |rows: Vec<RowOps<'_>>| {
            rows.into_iter().map(|row| Merged::in_place(row, &table)).collect::<Vec<Merged>>()
        };
        let (live, gone) = (in_place(live), in_place(gone));
        Some(QuickTable { fresh: unseen(fresh), live, gone, table })
    }

    /// What does all of it in one statement, if anything can: the kind, the columns that it omits, and the rows.
    fn as_one(&self, place: Place) -> Option<(Kind, Vec<usize>, &[Merged])> {
        match (&*self.fresh, &*self.live, &*self.gone) {
            ([], live, []) => Some((Kind::Live(place), Vec::new(), live)),
            ([], [], gone) => Some((Kind::Gone(place), Vec::new(), gone)),
            (fresh @ [first, ..], [], []) if fresh.len() <= MOST_FRESH => {
                let omitted = first.omitted(&self.table);
                let alike = fresh.iter().all(|row| row.omitted(&self.table) == omitted);
                alike.then_some((Kind::Fresh(place), omitted, fresh))
            }
            _ => None,
        }
    }

    fn rows(&self) -> impl Iterator<Item = &Merged> {
        self.fresh.iter().chain(&self.live).chain(&self.gone)
    }
}

/// A transaction ready to be sent.
pub enum Ready<'a> {
    /// As one statement, which answers how many were acknowledged.
    One(Write<'a>),
    /// As statements between `BEGIN` and `COMMIT`, which fail if it is not to be applied.
    Several(&'a Quick<'a>, Start<'a>, Vec<Write<'a>>),
}

/// How a transaction of several statements begins.
pub struct Start<'a> {
    after: Option<&'a ClientTransaction>,
    hasty: bool,
}

impl<'a> Ready<'a> {
    /// Prepares the statements. `after` is the transaction that must have been the last one, if it is sent before that is known; a
    /// hasty one does not wait until it is durable. `None` if it can't go this way after all.
    pub async fn new(
        quick: &'a Quick<'a>,
        session: &mut Session,
        (after, hasty): (Option<&'a ClientTransaction>, bool),
    ) -> Result<Option<Ready<'a>>, Error> {
        let mut watched = false;
        for QuickTable { table, live, gone, .. } in &quick.tables {
            let is_watched = session.is_watched(table).await?;
            if is_watched && !(live.is_empty() && gone.is_empty()) {
                return Ok(None);
            }
            watched |= is_watched;
        }
        let place = if after.is_some() { Place::Next } else { Place::First };
        let mut writes = Vec::new();
        if let [only] = &*quick.tables
            && !watched
            && let Some((kind, omitted, rows)) = only.as_one(place)
        {
            prepare(session, &mut writes, (kind, &omitted), &only.table, &quick.tag, rows.iter()).await?;
            if writes.len() == 1
                && let Some(mut write) = writes.pop()
            {
                write.parameters.extend(acknowledgement(quick.tx, after, hasty));
                return Ok(Some(Ready::One(write)));
            }
            writes.clear();
        }
        for QuickTable { table, fresh, live, .. } in &quick.tables {
            let (tables, tag) = (std::slice::from_ref(table), &quick.tag);
            writes.extend(plan_writes(session, tag, tables, std::slice::from_ref(fresh)).await?);
            let kind = (Kind::Live(Place::Within), &[] as &[usize]);
            prepare(session, &mut writes, kind, table, tag, live.iter()).await?;
        }
        for QuickTable { table, gone, .. } in quick.tables.iter().rev() {
            let kind = (Kind::Gone(Place::Within), &[] as &[usize]);
            prepare(session, &mut writes, kind, table, &quick.tag, gone.iter()).await?;
        }
        Ok(Some(Ready::Several(quick, Start { after, hasty }, writes)))
    }

    /// Sends all of it when first polled. Whether it is applied; otherwise it has been before, or its predecessor has not.
    pub async fn send(&self, session: &Session) -> Result<bool, Error> {
        let client = session.client();
        strike(client, "writer::begin").await?;
        strike(client, "writer::before_commit").await?;
        let applied = match self {
            Ready::One(write) => {
                let answer = client.query_one(&write.statement, &references(&write.parameters)).await?;
                answer.try_get::<_, i64>(0)? > 0
            }
            Ready::Several(quick, start, writes) => {
                let statement = session.acknowledge_or_fail(start.after.is_some());
                let mut acknowledgement = acknowledgement(quick.tx, start.after, start.hasty);
                acknowledgement.pop();
                let mut pending: Vec<Pending<'_, ()>> = Vec::with_capacity(writes.len() + 3);
                pending.push(Box::pin(client.batch_execute(statements::begin(start.hasty))));
                pending.push(Box::pin(async move {
                    client.query(statement, &references(&acknowledgement)).await.map(drop)
                }));
                for write in writes {
                    pending.push(Box::pin(write.send(client)));
                }
                pending.push(Box::pin(client.batch_execute("COMMIT")));
                pipeline::all(pending).await?;
                true
            }
        };
        strike(client, "writer::after_commit").await?;
        Ok(applied)
    }
}

/// The parameters of an acknowledgement: see [`Place`].
fn acknowledgement<'a>(
    tx: &'a ClientTransaction,
    after: Option<&'a ClientTransaction>,
    hasty: bool,
) -> Vec<Parameter<'a>> {
    let mut parameters: Vec<Parameter<'a>> =
        vec![Box::new(tx.client.as_str()), Box::new(&**tx.lsn.as_bytes()), Box::new(tx.timestamp_ms as i64)];
    if let Some(after) = after {
        parameters.push(Box::new(&**after.lsn.as_bytes()));
    }
    parameters.push(Box::new(hasty.then_some("off")));
    parameters
}

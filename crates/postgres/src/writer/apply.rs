//! One client transaction, applied once.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use change::{ClientTransaction, Tag};
use merge::Effect;
use schema::{Schema, Table};
use tokio::time::sleep;
use tokio_postgres::{Client, Error, Row, Statement, error::SqlState, types::ToSql};

use super::{
    Applied,
    batch::{self, Batch, parents_first, refers_to_itself},
    binding::{Parameter, Values},
    failpoints::strike,
    failure::{Failure, Refused},
    in_order,
    job::{Job, Manner},
    key, mend,
    pipeline::{self, Pending},
    rejected,
    rows::{FoundRows, Merged},
    session::Session,
    statements::{Kind, begin},
    tags::{LAST_MS, OwnTag},
};

/// The most bytes of values in one statement.
const STATEMENT_BYTES: usize = 8 << 20;

/// The same where rows of one statement may refer to each other; Postgres takes messages of up to 1 GiB.
const SELF_REFERRING_BYTES: usize = 512 << 20;

/// How often a transaction is mended before it counts that it can't be.
const MENDINGS: u32 = 16;

/// The longest pause between two of these.
const LONGEST_REST: Duration = Duration::from_millis(8);

/// Tries to apply `tx`. The session is outside of any transaction afterwards, or not usable.
pub async fn attempt(session: &mut Session, job: Job<'_>, schema: &Schema) -> Result<Applied, Failure> {
    let tx = job.tx;
    let batches = batch::split(tx, schema).map_err(Failure::Permanent)?;
    if tx.timestamp_ms > LAST_MS {
        let message =
            "the transaction's commit_timestamp is beyond the year 275760: check the device's clock";
        return Err(Failure::Permanent(Refused::new(&SqlState::DATETIME_FIELD_OVERFLOW, message)));
    }
    let tables = tables_of(&batches);
    let refused = match transaction(session, job, batches, &tables).await {
        Ok(applied) => return Ok(applied),
        Err(error) => undo(session, error, &tables).await.of_the_rows()?,
    };
    if job.is_withdrawal() {
        return Err(Failure::Permanent(refused));
    }
    if refused.is_of_a_reference() {
        return mended(session, job, schema, refused).await;
    }
    in_order(session, job, schema, refused).await
}

/// The tables of a transaction, in the order of its batches.
fn tables_of(batches: &[Batch<'_>]) -> Vec<Arc<Table>> {
    batches.iter().map(|batch| batch.table.clone()).collect()
}

/// Tries a transaction again that a foreign key has stopped, with what it needs (spec 05 §7.5). What it needs may change while
/// others write, so there is more than one try as long as that goes on.
async fn mended(
    session: &mut Session,
    job: Job<'_>,
    schema: &Schema,
    mut refused: Refused,
) -> Result<Applied, Failure> {
    let mut last: Option<ClientTransaction> = None;
    for attempt in 0..MENDINGS {
        let plan = match mend_within(session, job.tx, schema).await {
            Ok(plan) => plan.map_err(Failure::Permanent)?,
            Err(error) => return Err(undo(session, error, &[]).await),
        };
        if last.as_ref() == Some(&plan) {
            // It was found to need nothing else: either nothing helps, or somebody has written between the look and the attempt.
            sleep(Duration::from_millis(1 << attempt.min(6)).min(LONGEST_REST)).await;
        }
        let batches = batch::split(&plan, schema).map_err(Failure::Permanent)?;
        let tables = tables_of(&batches);
        match transaction(session, job.with(&plan), batches, &tables).await {
            Ok(applied) => return Ok(applied),
            Err(error) => refused = undo(session, error, &tables).await.of_the_rows()?,
        }
        last = Some(plan);
        if !refused.is_of_a_reference() {
            break;
        }
    }
    in_order(session, job.with(last.as_ref().unwrap_or(job.tx)), schema, refused).await
}

/// What a transaction needs, found out in a Postgres transaction that leaves nothing.
async fn mend_within(
    session: &mut Session,
    tx: &ClientTransaction,
    schema: &Schema,
) -> Result<Result<ClientTransaction, Refused>, Error> {
    session.client().batch_execute(begin(false)).await?;
    let plan = mend::mend(session, tx, schema).await?;
    session.roll_back().await;
    Ok(plan)
}

/// Tries a transaction in its author's order if that may be why it was refused.
async fn in_order(
    session: &mut Session,
    job: Job<'_>,
    schema: &Schema,
    refused: Refused,
) -> Result<Applied, Failure> {
    let tx = job.tx;
    if !refused.may_be_of_order() || tx.ops.len() < 2 {
        return Err(Failure::Permanent(refused));
    }
    let runs = batch::runs(tx, schema).map_err(Failure::Permanent)?;
    let tables: Vec<Arc<Table>> = runs.iter().map(|run| run.table.clone()).collect();
    match in_order::transaction(session, job, runs).await {
        Ok(applied) => Ok(applied),
        Err(error) => Err(undo(session, error, &tables).await),
    }
}

/// Brings the session out of a transaction that failed, and judges the error.
pub(super) async fn undo(session: &mut Session, error: Error, tables: &[Arc<Table>]) -> Failure {
    session.roll_back().await;
    let failure = Failure::of(error, tables.iter().map(|table| &**table));
    if let Failure::Race(error) = &failure {
        session.forget_statements_if_stale(error);
    }
    failure
}

async fn transaction(
    session: &mut Session,
    job: Job<'_>,
    mut batches: Vec<Batch<'_>>,
    tables: &[Arc<Table>],
) -> Result<Applied, Error> {
    strike(session.client(), "writer::begin").await?;
    let mut locks = Vec::with_capacity(batches.len());
    for batch in &mut batches {
        canonicalise(session, batch).await?;
        let rows = session.statement(Kind::LockRows, batch.rows.len(), &batch.table).await?;
        let shadows = session.statement(Kind::LockShadows, batch.rows.len(), &batch.table).await?;
        locks.push((rows, shadows));
    }
    let tag = Tag::client(&job.tx.client, job.tx.timestamp_ms as i64);

    let Some(locked) = acknowledge_and_lock(session, job, &batches, &locks).await? else {
        session.roll_back().await;
        return Ok(Applied::Duplicate);
    };
    strike(session.client(), "writer::acknowledged").await?;
    let mut merged = Vec::with_capacity(batches.len());
    for (((batch, locked), table), (lock_rows, _)) in batches.into_iter().zip(locked).zip(tables).zip(&locks)
    {
        merged.push(merge(session, table, batch, &locked, lock_rows, (&tag, job.manner())).await?);
    }
    strike(session.client(), "writer::before_commit").await?;
    write(session, &tag, tables, &merged, true).await?;
    strike(session.client(), "writer::after_commit").await?;
    Ok(Applied::Committed)
}

/// What Postgres has of a table's rows.
pub(super) struct Locked {
    pub(super) live: Vec<Row>,
    pub(super) shadows: Vec<Row>,
}

/// What becomes of the rows of a batch.
pub(super) async fn merge(
    session: &Session,
    table: &Table,
    batch: Batch<'_>,
    locked: &Locked,
    lock_rows: &Statement,
    (tag, manner): (&Tag, Manner),
) -> Result<Vec<Merged>, Error> {
    let mut found = FoundRows::read(batch, &locked.live, &locked.shadows)?;
    if found.is_torn() {
        let live = {
            let keys = key_arrays(table, &found.keys());
            session.client().query(lock_rows, &references(&keys)).await?
        };
        found.look_again(&live)?;
    }
    Ok(found.merge(table, tag, manner))
}

/// The first flush. `None` for a duplicate.
async fn acknowledge_and_lock(
    session: &Session,
    job: Job<'_>,
    batches: &[Batch<'_>],
    locks: &[(Statement, Statement)],
) -> Result<Option<Vec<Locked>>, Error> {
    let client = session.client();
    let tx = job.tx;
    let lsn: &[u8] = tx.lsn.as_bytes();
    let (author, ms) = (tx.client.as_str(), tx.timestamp_ms as i64);
    let keys: Vec<Vec<Parameter<'_>>> = batches
        .iter()
        .map(|batch| key_arrays(&batch.table, &batch.rows.iter().map(|row| row.key.as_slice())))
        .collect();
    let keys: Vec<Vec<&(dyn ToSql + Sync)>> = keys.iter().map(|keys| references(keys)).collect();
    let acknowledgement: [&(dyn ToSql + Sync); 3] = [&author, &lsn, &ms];

    let mut pending: Vec<Pending<'_, Answer>> = Vec::with_capacity(2 + 2 * locks.len());
    pending.push(Box::pin(async { client.batch_execute(begin(job.hasty)).await.map(|()| Answer::Count(0)) }));
    pending.push(Box::pin(async {
        client.execute(session.acknowledge(), &acknowledgement).await.map(Answer::Count)
    }));
    for ((rows, shadows), keys) in locks.iter().zip(&keys) {
        pending.push(Box::pin(async { client.query(rows, keys).await.map(Answer::Rows) }));
        pending.push(Box::pin(async { client.query(shadows, keys).await.map(Answer::Rows) }));
    }
    let mut answers = pipeline::all(pending).await?.into_iter().skip(1);
    if matches!(answers.next(), Some(Answer::Count(0))) {
        return Ok(None);
    }
    if let Some(how) = job.settles {
        rejected::settle(client, tx, how).await?;
    }
    let mut rows = || answers.next().map_or_else(Vec::new, Answer::into_rows);
    Ok(Some(batches.iter().map(|_| Locked { live: rows(), shadows: rows() }).collect()))
}

/// What a statement answers.
enum Answer {
    Count(u64),
    Rows(Vec<Row>),
}

impl Answer {
    fn into_rows(self) -> Vec<Row> {
        match self {
            Answer::Rows(rows) => rows,
            Answer::Count(_) => Vec::new(),
        }
    }
}

/// Has Postgres make the keys canonical where their types need it, so that one row is not taken for two.
pub(super) async fn canonicalise(session: &mut Session, batch: &mut Batch<'_>) -> Result<(), Error> {
    if !key::ask_postgres(&batch.table) {
        return Ok(());
    }
    let statement = session.statement(Kind::CanonicalKeys, batch.rows.len(), &batch.table).await?;
    let keys = key_arrays(&batch.table, &batch.rows.iter().map(|row| row.key.as_slice()));
    let rows = session.client().query(&statement, &references(&keys)).await?;
    drop(keys);
    let texts = rows.iter().map(|row| {
        (0..row.len())
            .map(|n| row.try_get::<_, &str>(n).map(|text| bytes::Bytes::copy_from_slice(text.as_bytes())))
            .collect::<Result<Vec<_>, Error>>()
    });
    let texts = texts.collect::<Result<Vec<_>, Error>>()?;
    batch.rekey(texts.into_iter());
    Ok(())
}

/// A statement with its parameters.
pub struct Write<'a> {
    pub(super) statement: Statement,
    pub(super) parameters: Vec<Parameter<'a>>,
}

impl Write<'_> {
    /// Has it done.
    pub(super) async fn send(&self, client: &Client) -> Result<(), Error> {
        client.execute(&self.statement, &references(&self.parameters)).await.map(drop)
    }
}

/// The statements that write: rows come into being and change parents first, go children first.
pub(super) async fn plan_writes<'a>(
    session: &mut Session,
    tag: &'a Tag,
    tables: &[Arc<Table>],
    merged: &'a [Vec<Merged>],
) -> Result<Vec<Write<'a>>, Error> {
    let definitions: Vec<&Table> = tables.iter().map(|table| &**table).collect();
    let order = parents_first(&definitions);
    let mut writes = Vec::new();
    let touched = |n: &usize| Some((tables.get(*n)?, merged.get(*n)?));
    for (table, rows) in order.iter().filter_map(touched) {
        let insert = |row: &&Merged| row.effect == Effect::Insert && !row.from_tombstone;
        let revive = |row: &&Merged| row.effect == Effect::Insert && row.from_tombstone;
        let update = |row: &&Merged| row.effect == Effect::Update;
        let lives = |row: &Merged| matches!(row.effect, Effect::Insert | Effect::Update);
        let fresh = |row: &&Merged| {
            !row.has_shadow && matches!(row.effect, Effect::Insert | Effect::Update | Effect::Delete)
        };
        let known = |row: &&Merged| row.has_shadow && lives(row);
        for omitted in rows.iter().filter(insert).map(|row| row.omitted(table)).collect::<BTreeSet<_>>() {
            let alike = rows.iter().filter(insert).filter(|row| row.omitted(table) == omitted);
            let kind = (Kind::Insert, omitted.as_slice());
            prepare(session, &mut writes, kind, table, tag, alike).await?;
        }
        prepare(session, &mut writes, (Kind::Revive, &[]), table, tag, rows.iter().filter(revive)).await?;
        prepare(session, &mut writes, (Kind::Update, &[]), table, tag, rows.iter().filter(update)).await?;
        prepare(session, &mut writes, (Kind::InsertShadows, &[]), table, tag, rows.iter().filter(fresh))
            .await?;
        prepare(session, &mut writes, (Kind::UpdateShadows, &[]), table, tag, rows.iter().filter(known))
            .await?;
    }
    for (table, rows) in order.iter().rev().filter_map(touched) {
        let delete = |row: &&Merged| row.effect == Effect::Delete;
        let bury = |row: &&Merged| row.effect == Effect::Bury && !row.withdrawn;
        let withdraw = |row: &&Merged| row.effect == Effect::Bury && row.withdrawn;
        for kind in [Kind::Entomb, Kind::Delete, Kind::CheckGone] {
            prepare(session, &mut writes, (kind, &[]), table, tag, rows.iter().filter(delete)).await?;
        }
        prepare(session, &mut writes, (Kind::Bury, &[]), table, tag, rows.iter().filter(bury)).await?;
        prepare(session, &mut writes, (Kind::Withdraw, &[]), table, tag, rows.iter().filter(withdraw))
            .await?;
    }
    Ok(writes)
}

/// The second flush, which also commits if it is said to.
pub(super) async fn write(
    session: &mut Session,
    tag: &Tag,
    tables: &[Arc<Table>],
    merged: &[Vec<Merged>],
    commit: bool,
) -> Result<(), Error> {
    let writes = plan_writes(session, tag, tables, merged).await?;
    let client = session.client();
    let mut pending: Vec<Pending<'_, ()>> = Vec::with_capacity(writes.len() + 1);
    for write in &writes {
        pending.push(Box::pin(write.send(client)));
    }
    if commit {
        pending.push(Box::pin(client.batch_execute("COMMIT")));
    }
    pipeline::all(pending).await.map(drop)
}

/// Adds the statements that do `kind` to `rows`, which leave the `omitted` columns to their defaults: none for no rows, several for
/// very many bytes.
pub(super) async fn prepare<'a>(
    session: &mut Session,
    writes: &mut Vec<Write<'a>>,
    (kind, omitted): (Kind, &[usize]),
    table: &Arc<Table>,
    tag: &'a Tag,
    rows: impl Iterator<Item = &'a Merged>,
) -> Result<(), Error> {
    let most = if refers_to_itself(table) { SELF_REFERRING_BYTES } else { STATEMENT_BYTES };
    let mut chunks: Vec<Vec<&'a Merged>> = Vec::new();
    let mut weight = most;
    for row in rows {
        weight = weight.saturating_add(row.weight());
        match chunks.last_mut() {
            Some(chunk) if weight <= most => chunk.push(row),
            _ => {
                chunks.push(vec![row]);
                weight = row.weight();
            }
        }
    }
    for chunk in chunks {
        let statement = session.statement_without(omitted, kind, chunk.len(), table).await?;
        writes.push(Write { statement, parameters: parameters(kind, table, tag, &chunk) });
    }
    Ok(())
}

/// The parameters that the kind's documentation names.
pub(super) fn parameters<'a>(
    kind: Kind,
    table: &Table,
    tag: &'a Tag,
    rows: &[&'a Merged],
) -> Vec<Parameter<'a>> {
    let mut parameters: Vec<Parameter<'a>> = Vec::with_capacity(table.columns.len() + 4);
    let tagged = matches!(
        kind,
        Kind::Entomb | Kind::InsertShadows | Kind::UpdateShadows | Kind::Bury | Kind::Withdraw
    );
    if tagged || matches!(kind, Kind::Fresh(_) | Kind::Live(_) | Kind::Gone(_)) {
        parameters.push(Box::new(OwnTag(tag)));
    }
    let given = |rows: &[&'a Merged]| Values(rows.iter().map(|row| Some(&row.given)).collect());
    let marked = |rows: &[&'a Merged]| Values(rows.iter().map(|row| Some(&row.marked)).collect());
    let tags = |rows: &[&'a Merged]| Values(rows.iter().map(|row| row.tags.as_ref()).collect());
    match kind {
        Kind::Delete | Kind::CheckGone => {
            parameters.extend(key_arrays(table, &rows.iter().map(|row| row.key.as_slice())));
        }
        Kind::Gone(_) => {
            parameters.extend(key_arrays(table, &rows.iter().map(|row| row.key.as_slice())));
            parameters.push(Box::new(tags(rows)));
        }
        Kind::InsertShadows | Kind::UpdateShadows => {
            parameters.extend(key_arrays(table, &rows.iter().map(|row| row.key.as_slice())));
            parameters.push(Box::new(tags(rows)));
            parameters.push(Box::new(marked(rows)));
        }
        _ => {
            for column in 0..table.columns.len() {
                parameters.push(Box::new(Values(rows.iter().map(|row| row.value(column)).collect())));
            }
            if !matches!(kind, Kind::Insert | Kind::Fresh(_)) {
                parameters.push(Box::new(given(rows)));
            }
            if matches!(kind, Kind::Entomb | Kind::Bury | Kind::Withdraw | Kind::Fresh(_)) {
                parameters.push(Box::new(marked(rows)));
            }
            if matches!(kind, Kind::Live(_)) {
                parameters.push(Box::new(tags(rows)));
            }
        }
    }
    parameters
}

/// One array per key column.
pub(super) fn key_arrays<'a>(
    table: &Table,
    keys: &(impl Iterator<Item = &'a [bytes::Bytes]> + Clone),
) -> Vec<Parameter<'a>> {
    let column = |n: usize| Values(keys.clone().map(|key| key.get(n)).collect());
    (0..table.primary_key.len()).map(|n| Box::new(column(n)) as Parameter<'a>).collect()
}

pub(super) fn references<'a>(parameters: &'a [Parameter<'_>]) -> Vec<&'a (dyn ToSql + Sync)> {
    parameters.iter().map(|parameter| &**parameter as &(dyn ToSql + Sync)).collect()
}

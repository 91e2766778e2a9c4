//! Rows that are new: the fast way for most of what apps write.
//!
//! A row that its author has just made has a key that nobody else has thought of. Then there is nothing to lock and to merge
//! with, and all that is to be done can be sent at once. If the row, or what is remembered of a dead one, is there after all, or
//! the transaction has been applied before, Postgres says so, nothing has happened, and it goes the long way.

use std::sync::Arc;

use change::{ClientOpKind, ClientTransaction, Tag};
use schema::Table;
use tokio_postgres::Error;

use super::{
    apply::write,
    batch::Batch,
    failpoints::strike,
    job::{Job, Manner},
    key,
    rows::FoundRows,
    session::Session,
};

/// Whether all rows of a transaction look new: made by it, each once, with nothing seen of them before.
pub fn is_likely(job: Job<'_>, batches: &[Batch<'_>]) -> bool {
    let is_new = |batch: &Batch<'_>| {
        let once = batch.rows.iter().all(|row| {
            let [op] = row.ops.as_slice() else { return false };
            op.kind == ClientOpKind::Insert && op.clear.is_empty()
        });
        once && !key::ask_postgres(&batch.table)
    };
    job.settles.is_none() && !batches.is_empty() && batches.iter().all(is_new)
}

/// Applies a transaction for which [`is_likely`] holds. After an error the session may still be inside the transaction.
pub async fn transaction(
    session: &mut Session,
    tx: &ClientTransaction,
    batches: Vec<Batch<'_>>,
    tables: &[Arc<Table>],
) -> Result<(), Error> {
    strike(session.client(), "writer::begin").await?;
    let tag = Tag::client(&tx.client, tx.timestamp_ms as i64);
    let mut merged = Vec::with_capacity(batches.len());
    for (batch, table) in batches.into_iter().zip(tables) {
        merged.push(FoundRows::read(batch, &[], &[])?.merge(table, &tag, Manner::Apply));
    }
    strike(session.client(), "writer::before_commit").await?;
    write(session, &tag, tables, &merged, (Some(tx), true)).await?;
    strike(session.client(), "writer::after_commit").await
}

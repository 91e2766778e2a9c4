//! A client transaction in its author's order, step by step: the slow way, for those that the fast one can't do.
//!
//! What a transaction comes to as a whole is written at once, new rows before old ones go, parents before children. That may
//! break a constraint that holds at the end and held after each step of the author's: a unique value that moves from one row
//! to another, two rows that refer to each other. So a transaction that fails in that way is tried once more like this, and
//! only then refused. It is still one transaction in Postgres, with the same outcome.

use change::Tag;
use tokio_postgres::Error;

use super::{
    Applied,
    apply::{Locked, canonicalise, key_arrays, merge, references, write},
    batch::Batch,
    job::{Job, Manner},
    rejected,
    session::Session,
    statements::{Kind, begin},
};

/// Applies the runs of a transaction. After an error the session is still inside the transaction.
pub(super) async fn transaction(
    session: &mut Session,
    job: Job<'_>,
    runs: Vec<Batch<'_>>,
) -> Result<Applied, Error> {
    let tx = job.tx;
    let tag = Tag::client(&tx.client, tx.timestamp_ms as i64);
    let (author, ms) = (tx.client.as_str(), tx.timestamp_ms as i64);
    let lsn: &[u8] = tx.lsn.as_bytes();
    session.client().batch_execute(begin(job.hasty)).await?;
    if session.client().execute(session.acknowledge(), &[&author, &lsn, &ms]).await? == 0 {
        session.roll_back().await;
        return Ok(Applied::Duplicate);
    }
    if let Some(how) = job.settles {
        rejected::settle(session.client(), tx, how).await?;
    }
    for run in runs {
        apply(session, run, &tag).await?;
    }
    session.client().batch_execute("COMMIT").await?;
    Ok(Applied::Committed)
}

async fn apply(session: &mut Session, mut run: Batch<'_>, tag: &Tag) -> Result<(), Error> {
    canonicalise(session, &mut run).await?;
    let table = run.table.clone();
    let lock_rows = session.statement(Kind::LockRows, run.rows.len(), &table).await?;
    let lock_shadows = session.statement(Kind::LockShadows, run.rows.len(), &table).await?;
    let locked = {
        let keys = key_arrays(&table, &run.rows.iter().map(|row| row.key.as_slice()));
        let live = session.client().query(&lock_rows, &references(&keys)).await?;
        Locked { live, shadows: session.client().query(&lock_shadows, &references(&keys)).await? }
    };
    let merged = merge(session, &table, run, &locked, &lock_rows, (tag, Manner::Apply)).await?;
    write(session, tag, &[table], &[merged], false).await
}

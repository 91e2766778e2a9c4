//! Transactions that were refused for good, by Postgres or for values that it would not take (spec 05 §7.6): kept in
//! `electric.rejected_transactions` with the reason and the operations, until they get through after all or an operator decides.
//!
//! There is one entry per client and position, however often the client tries. What is kept is bounded: by the size of one
//! entry, the number of one client's and the number of all.

mod desk;
mod form;
mod hint;

use change::{ClientId, ClientLsn, ClientTransaction, RefusedTransaction};
use schema::Schema;
use tokio_postgres::{Client, Error};

pub use desk::{Desk, DeskError, Entry};
pub use form::MAX_BYTES;
pub use hint::Hint;

use self::form::Stored;
use super::failure::Refused;

/// The most entries that are kept. Of more, the oldest go, settled ones first.
pub const MAX_ENTRIES: i64 = 1000;

/// The most entries of one client. A sound client has one that is not settled: it sends nothing after it.
pub const MAX_OF_CLIENT: i64 = 20;

/// How an entry was settled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// A later attempt of the client's went well.
    Applied,
    /// An operator applied it.
    Retried,
    /// An operator had it skipped.
    Discarded,
}

impl Settled {
    fn as_str(self) -> &'static str {
        match self {
            Settled::Applied => "applied",
            Settled::Retried => "retried",
            Settled::Discarded => "discarded",
        }
    }
}

const RECORD: &str = "\
    INSERT INTO electric.rejected_transactions AS r \
        (client_id, lsn, ts, sqlstate, message, table_name, constraint_name, column_name, operation_count, operations, complete) \
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10::text::jsonb, $11) \
    ON CONFLICT (client_id, lsn) DO UPDATE SET last_seen = now(), tries = r.tries + 1, ts = excluded.ts, \
        sqlstate = excluded.sqlstate, message = excluded.message, table_name = excluded.table_name, \
        constraint_name = excluded.constraint_name, column_name = excluded.column_name, \
        operation_count = excluded.operation_count, operations = excluded.operations, complete = excluded.complete, \
        state = 'waiting', settled_at = NULL \
    RETURNING tries";

const PRUNE: &str = "\
    DELETE FROM electric.rejected_transactions WHERE id IN ( \
        (SELECT id FROM electric.rejected_transactions ORDER BY state = 'waiting' DESC, last_seen DESC, id DESC OFFSET $2) \
        UNION ALL \
        (SELECT id FROM electric.rejected_transactions WHERE client_id = $1 \
            ORDER BY state = 'waiting' DESC, last_seen DESC, id DESC OFFSET $3))";

/// A rejected transaction as it is kept.
pub(super) struct Rejected<'a> {
    client: &'a ClientId,
    lsn: &'a ClientLsn,
    timestamp_ms: u64,
    sqlstate: &'a str,
    message: &'a str,
    table: Option<&'a str>,
    constraint: Option<&'a str>,
    column: Option<&'a str>,
    count: usize,
    stored: Stored,
}

impl<'a> Rejected<'a> {
    /// One that Postgres refused.
    pub(super) fn by_postgres(
        tx: &'a ClientTransaction,
        schema: &Schema,
        refused: &'a Refused,
    ) -> Rejected<'a> {
        Rejected {
            client: &tx.client,
            lsn: &tx.lsn,
            timestamp_ms: tx.timestamp_ms,
            sqlstate: &refused.sqlstate,
            message: &refused.message,
            table: refused.about.table.as_deref(),
            constraint: refused.about.constraint.as_deref(),
            column: refused.about.column.as_deref(),
            count: tx.ops.len(),
            stored: form::store(tx, schema),
        }
    }

    /// One that was refused before Postgres was asked.
    pub(super) fn before_postgres(tx: &'a RefusedTransaction) -> Rejected<'a> {
        Rejected {
            client: &tx.client,
            lsn: &tx.lsn,
            timestamp_ms: tx.timestamp_ms,
            sqlstate: tx.sqlstate,
            message: &tx.message,
            table: Some(&tx.table),
            constraint: None,
            column: tx.column.as_deref(),
            count: tx.count,
            stored: form::store_refused(tx),
        }
    }
}

/// Puts a transaction among the rejected, in a Postgres transaction of its own.
pub(super) async fn record(client: &Client, rejected: &Rejected<'_>) -> Result<(), Error> {
    let Rejected { sqlstate, table, constraint, column, stored, .. } = rejected;
    let (author, lsn) = (rejected.client.as_str(), rejected.lsn.as_bytes().as_ref());
    let ms = i64::try_from(rejected.timestamp_ms).unwrap_or(i64::MAX);
    let count = i32::try_from(rejected.count).unwrap_or(i32::MAX);
    // What a text of Postgres' can't hold may be quoted from what the client sent.
    let message = rejected.message.replace('\0', "\u{FFFD}");
    let row = client
        .query_one(
            RECORD,
            &[
                &author,
                &lsn,
                &ms,
                sqlstate,
                &message,
                table,
                constraint,
                column,
                &count,
                &stored.text,
                &stored.complete,
            ],
        )
        .await?;
    if row.try_get::<_, i32>(0)? == 1 {
        client.execute(PRUNE, &[&author, &MAX_ENTRIES, &MAX_OF_CLIENT]).await?;
    }
    Ok(())
}

const IS_PASSED: &str = "\
    SELECT FROM electric.acknowledged_client_lsns WHERE client_id = $1 \
        AND lpad(encode(lsn, 'hex'), 16, '0') COLLATE \"C\" >= lpad(encode($2::bytea, 'hex'), 16, '0') COLLATE \"C\"";

/// Whether the client is beyond a transaction: what is wrong with it does not matter then.
pub(super) async fn is_passed(client: &Client, author: &ClientId, lsn: &ClientLsn) -> Result<bool, Error> {
    let (author, lsn) = (author.as_str(), lsn.as_bytes().as_ref());
    Ok(client.query_opt(IS_PASSED, &[&author, &lsn]).await?.is_some())
}

const SETTLE: &str = "\
    UPDATE electric.rejected_transactions SET state = $3, settled_at = now() \
    WHERE client_id = $1 AND lsn = $2 AND state = 'waiting'";

/// Settles the entry of a transaction, if it has one that waits. Within the Postgres transaction that does so.
pub(super) async fn settle(client: &Client, tx: &ClientTransaction, how: Settled) -> Result<(), Error> {
    let (author, lsn) = (tx.client.as_str(), tx.lsn.as_bytes().as_ref());
    client.execute(SETTLE, &[&author, &lsn, &how.as_str()]).await.map(drop)
}

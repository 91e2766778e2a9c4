//! Writers and readers in Postgres itself.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result};
use serde_json::Value;
use tokio_postgres::Client;

use crate::{
    history::{Outcome, Transaction},
    notes::Notes,
    plan::{Plan, Planner},
    rig::Rig,
};

/// One of so many transactions empties a table.
const EMPTYING: u32 = 25;
/// So many of them only read, and add rows.
const READING: u32 = 12;

/// Works until told to stop, whatever happens to its connections.
pub(crate) async fn work(
    rig: Arc<Rig>,
    mut planner: Planner,
    notes: Notes,
    pauses: (f64, fastrand::Rng),
    stop: Arc<AtomicBool>,
) {
    let (pause, mut rng) = pauses;
    let mut connection: Option<Client> = None;
    while !stop.load(Ordering::Relaxed) {
        tokio::time::sleep(Duration::from_secs_f64(pause * 2.0 * rng.f64())).await;
        let Some(client) = connection.take().filter(|client| !client.is_closed()) else {
            connection = rig.connect().await.ok();
            continue;
        };
        let (plan, isolation) = match rng.u32(0..EMPTYING) {
            0 => (planner.native_emptier(), "READ COMMITTED"),
            1..=READING => (planner.native_reader(), "REPEATABLE READ"),
            _ => (planner.native_writer(), "READ COMMITTED"),
        };
        let (author, asked, sql) = (planner.author(), notes.now(), plan.changes());
        let (outcome, steps) = match transact(&client, isolation, &plan).await {
            Ok(rows) => (Outcome::Committed, planner.steps(plan, &rows)),
            Err(error) => {
                let outcome = if refused(&error) { Outcome::Failed } else { Outcome::Unknown };
                if outcome == Outcome::Failed {
                    let _ = client.batch_execute("ROLLBACK").await;
                }
                notes.event("native transaction failed", &format!("{author} {outcome:?}: {error:#}"));
                (outcome, plan.writes())
            }
        };
        notes.transaction(Transaction { author, asked, ended: notes.now(), outcome, steps, sql });
        connection = Some(client);
    }
}

/// Whether Postgres has refused for sure: it said so itself, and not because it was ending.
fn refused(error: &anyhow::Error) -> bool {
    let error = error.chain().find_map(|cause| cause.downcast_ref::<tokio_postgres::Error>());
    let code = error.and_then(tokio_postgres::Error::code);
    code.is_some_and(|code| !code.code().starts_with("57P"))
}

/// Runs a plan as one transaction; the answer is the rows that each statement returns.
pub(crate) async fn transact(client: &Client, isolation: &str, plan: &Plan) -> Result<Vec<Value>> {
    let mut results = Vec::new();
    client.batch_execute(&format!("BEGIN ISOLATION LEVEL {isolation}")).await?;
    for sql in &plan.statements {
        let rows = if sql.starts_with("SELECT") {
            let sql = format!("SELECT coalesce(json_agg(selected), '[]')::text FROM ({sql}) selected");
            let row = client.query_one(&sql, &[]).await.with_context(|| sql.clone())?;
            serde_json::from_str(row.get(0))?
        } else {
            client.batch_execute(sql).await.with_context(|| sql.clone())?;
            Value::Array(Vec::new())
        };
        results.push(rows);
    }
    client.batch_execute("COMMIT").await.context("COMMIT")?;
    Ok(results)
}

//! After the faults: waiting until everybody has everything, and reading what they have.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio_postgres::{Client, SimpleQueryMessage};

use crate::{
    app::App,
    check::{Replica, Rows},
    notes::Notes,
    tables::{Table, condition},
};

/// How long a client may stand still before it has sent and received everything: then its app connects it anew; then its app is
/// started anew; then it has failed.
const PATIENCE: [Duration; 3] = [Duration::from_secs(12), Duration::from_secs(24), Duration::from_secs(60)];

/// Waits until every client has sent everything, then until everything has come to every client.
pub(crate) async fn settle(apps: &[Arc<App>], postgres: &Client, notes: &Notes) -> Result<()> {
    for (phase, what) in [(1, "sends what it wrote"), (2, "receives what was sent")] {
        postgres.batch_execute(&format!("UPDATE fences SET number = {phase} WHERE id = 0")).await?;
        let waits = apps.iter().map(|app| {
            let (app, notes) = (app.clone(), notes.clone());
            tokio::spawn(async move { wait(&app, phase, what, &notes).await })
        });
        for wait in waits.collect::<Vec<_>>() {
            wait.await??;
        }
    }
    Ok(())
}

/// Waits for one client. The client library may stop for good at a connection that breaks in the wrong moment; what an app would do then
/// is done here, and counted.
async fn wait(app: &App, phase: i64, what: &str, notes: &Notes) -> Result<()> {
    let mut standing = Instant::now();
    let mut before = None;
    let mut measures = 0;
    loop {
        let progress = app.progress().await.ok();
        if progress.as_ref().is_some_and(|progress| progress.waiting == 0 && progress.fence >= phase) {
            return Ok(());
        }
        if progress.is_some() && progress != before {
            standing = Instant::now();
            before = progress;
        }
        // Whoever loads everything again has nothing to show before it is there.
        let late = if app.is_loading() { standing.elapsed() / 2 } else { standing.elapsed() };
        if late > PATIENCE[2] {
            bail!("{} {what} no more: {before:?}", app.name());
        } else if late > PATIENCE[1] && measures == 1 {
            measures = 2;
            notes.event("app started anew to settle", &format!("{}: {before:?}", app.name()));
            app.kill().await?;
        } else if late > PATIENCE[0] && measures == 0 {
            measures = 1;
            notes.event("app connected anew to settle", &format!("{}: {before:?}", app.name()));
            app.go_offline().await;
            app.go_online().await;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// What Postgres holds of the tables that a client has: of those that it has by shapes, the rows that the shape's SQL selects.
pub(crate) async fn expected(postgres: &Client, tables: &[Table], app: Option<&App>) -> Result<Replica> {
    let mut replica = Replica { name: "Postgres".into(), ..Replica::default() };
    for table in tables {
        let condition =
            app.filter(|_| !table.whole).map_or("true".into(), |a| condition(a.process().0, table.name));
        let columns: Vec<_> = table.columns.iter().map(|(name, _)| format!("{name}::text")).collect();
        let tags = format!(
            "SELECT json_agg(coalesce((t).source_id, 'postgres_1') || '@' || round(extract(epoch FROM (t).\"timestamp\") * 1000)::bigint)
             FROM electric.shadow__public__{0} s, unnest(s._tags) t WHERE s.id = {0}.id",
            table.name
        );
        let sql =
            format!("SELECT ({tags})::text, {} FROM {} WHERE {condition}", columns.join(", "), table.name);
        let mut rows = Rows::new();
        for message in postgres.simple_query(&sql).await.with_context(|| sql.clone())? {
            let SimpleQueryMessage::Row(row) = message else { continue };
            let tags: Option<BTreeSet<String>> = row.get(0).and_then(|tags| serde_json::from_str(tags).ok());
            let values: Vec<_> = (1..row.len()).map(|column| row.get(column).map(str::to_owned)).collect();
            let key = values.first().cloned().flatten().unwrap_or_default();
            rows.insert(key, (values, tags));
        }
        replica.tables.insert(table.name.to_owned(), rows);
    }
    Ok(replica)
}

/// What a client holds.
pub(crate) async fn actual(app: &App, tables: &[Table]) -> Result<Replica> {
    let client = app.client().await?;
    let mut replica = Replica { name: app.name(), ..Replica::default() };
    let sql = "SELECT tablename AS name, \"primaryKey\" AS key, tags FROM _electric_shadow".to_owned();
    let shadows = client.transact(&[sql]).await?.into_iter().next().unwrap_or_default();
    for table in tables {
        let columns: Vec<_> = table.columns.iter().map(|(name, _)| name.as_str()).collect();
        let sql = format!("SELECT {} FROM {}", columns.join(", "), table.name);
        let mut rows = Rows::new();
        let found = client.transact(&[sql]).await?.into_iter().next().unwrap_or_default();
        for row in found.as_array().into_iter().flatten() {
            let values: Vec<_> = columns.iter().map(|column| text(&row[*column])).collect();
            let key = values.first().cloned().flatten().unwrap_or_default();
            rows.insert(key, (values, None));
        }
        for shadow in shadows.as_array().into_iter().flatten().filter(|shadow| shadow["name"] == table.name) {
            let key = shadow["key"].as_str().and_then(|key| serde_json::from_str::<Value>(key).ok());
            let key = key.and_then(|key| text(&key["id"])).unwrap_or_default();
            let tags = shadow["tags"].as_str().and_then(|tags| serde_json::from_str(tags).ok());
            if let Some(row) = rows.get_mut(&key) {
                row.1 = tags;
            }
        }
        replica.tables.insert(table.name.to_owned(), rows);
    }
    Ok(replica)
}

fn text(value: &Value) -> Option<String> {
    match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

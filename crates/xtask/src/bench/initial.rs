//! The first rows of a subscription: to one client, and to a thousand that come at once.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use futures_util::future::try_join_all;
use testkit::{Satellite, satellite::Select};

use super::{baseline, clients, report::Report, rig::Rig};

pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    for rows in [100_000, 1_000_000] {
        let table = format!("initial_{rows}");
        fill(rig, &table, rows).await?;
        one(rig, report, &table, rows, None).await?;
    }
    // True of every row, and tested for each.
    let clause = "this.id > 0 AND this.content LIKE 'content of%'";
    one(rig, report, "initial_1000000", 1_000_000, Some(clause)).await
}

async fn fill(rig: &Rig, table: &str, rows: usize) -> Result<()> {
    clients::make_table(rig, table).await?;
    let admin = rig.connect().await?;
    let insert =
        format!("INSERT INTO {table} SELECT i, 'content of row ' || i FROM generate_series(1, {rows}) i");
    admin.batch_execute(&insert).await?;
    Ok(admin.batch_execute(&format!("VACUUM ANALYZE {table}, electric.shadow__public__{table}")).await?)
}

async fn one(rig: &Rig, report: &mut Report, table: &str, rows: usize, clause: Option<&str>) -> Result<()> {
    let condition = clause.map(|clause| format!(" WHERE {}", clause.replace("this.", "")));
    let query = format!("SELECT id, content FROM {table}{}", condition.unwrap_or_default());
    let limit = baseline::copy_out(rig, &query).await?;
    // What was written has to have passed through the service first: that is another measurement.
    rig.settle(&rig.connect().await?).await?;
    let mut client = clients::connect(rig, 2).await?;
    clients::catch_up(rig, &mut client).await?;
    let before = rig.memory()?.resident;
    rig.forget_peak()?;
    let started = Instant::now();
    let shape = Select::from(table).filter(clause.unwrap_or_default());
    clients::request(&mut client, clients::SUBSCRIPTION, vec![shape]).await?;
    let received = clients::count_data(&mut client).await?;
    let rate = rows as f64 / started.elapsed().as_secs_f64();
    ensure!(received == rows, "{received} rows of {rows} came");
    let peak = rig.memory()?.peak;
    client.close().await;
    let with = if clause.is_some() { " with a where-clause" } else { "" };
    report.row(
        &format!("initial sync of {rows} rows{with} to one client"),
        format!("{rate:.0} rows/s, memory {} → {} MiB", before / 1024, peak / 1024),
        format!("COPY TO STDOUT: {limit:.0} rows/s"),
        Some(rate / limit),
    );
    Ok(())
}

const RUSH: u32 = 1000;
const RUSH_ROWS: usize = 10_000;

/// A thousand clients that want the same shape at the same moment.
pub(super) async fn rush(rig: &mut Rig, report: &mut Report) -> Result<()> {
    fill(rig, "rush", RUSH_ROWS).await?;
    let mut first = clients::crowd(rig, 1, 50_000, None).await?;
    clients::catch_up(rig, &mut first[0]).await?;
    let alone = load(&mut first).await?;
    close(first).await;
    let queries_before = queries(rig).await?;
    let mut all = clients::crowd(rig, RUSH, 51_000, None).await?;
    let before = rig.memory()?.resident;
    rig.forget_peak()?;
    let together = load(&mut all).await?;
    let peak = rig.memory()?.peak;
    close(all).await;
    let queries = queries(rig).await? - queries_before;
    report.row(
        "1,000 clients subscribing to the same 10,000 rows at once",
        format!("{together:.2?}, {queries} queries, memory {} → {} MiB", before / 1024, peak / 1024),
        format!("one client: {alone:.2?}"),
        None,
    );
    Ok(())
}

/// Subscribes everyone to the same at once; how long it takes until all of them have it.
async fn load(all: &mut [Satellite]) -> Result<Duration> {
    let started = Instant::now();
    let each = all.iter_mut().map(|client| async move {
        let shape = Select::from("rush").filter("this.id > 0");
        clients::request(client, clients::SUBSCRIPTION, vec![shape]).await?;
        let rows = clients::count_data(client).await?;
        ensure!(rows == RUSH_ROWS, "{rows} rows came");
        Ok(())
    });
    try_join_all(each).await?;
    Ok(started.elapsed())
}

async fn close(all: Vec<Satellite>) {
    for client in all {
        client.close().await;
    }
}

/// How often the table has been read so far. Postgres is sure to have counted a connection's reads when that has ended, so the
/// service is started anew.
async fn queries(rig: &mut Rig) -> Result<i64> {
    rig.stop_service()?;
    let query = "SELECT seq_scan + coalesce(idx_scan, 0) FROM pg_stat_user_tables WHERE relname = 'rush'";
    let count = rig.connect().await?.query_one(query, &[]).await?.get(0);
    rig.start_service().await?;
    Ok(count)
}

//! Transactions of clients, applied to Postgres and echoed.

use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use testkit::Satellite;

use super::{
    baseline,
    clients::{self, Tally},
    report::Report,
    rig::Rig,
};

const CLIENTS: u32 = 8;
const EACH: usize = 1500;

pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    clients::make_table(rig, "writes").await?;
    let admin = rig.connect().await?;
    admin
        .batch_execute(
            "DROP TABLE IF EXISTS plain; CREATE TABLE plain (id int8 PRIMARY KEY, content text NOT NULL)",
        )
        .await?;
    let script = "INSERT INTO plain VALUES ((random() * 1e18)::int8, 'content of a row of plain inserts')";
    let limit = baseline::pgbench(rig, script, CLIENTS, 5)?;
    let mut all = Vec::new();
    for number in 0..CLIENTS {
        let mut client = clients::connect(rig, 100 + number).await?;
        client.announce(0, "writes", &["id", "content"]).await?;
        all.push(client);
    }
    let started = Instant::now();
    try_join_all(all.iter_mut().enumerate().map(|(number, client)| write(number, client))).await?;
    let rate = f64::from(CLIENTS) * EACH as f64 / started.elapsed().as_secs_f64();
    let count: i64 = admin.query_one("SELECT count(*) FROM writes", &[]).await?.get(0);
    anyhow::ensure!(count == i64::from(CLIENTS) * EACH as i64, "{count} rows arrived");
    for client in all {
        client.close().await;
    }
    report.row(
        "client transactions applied and echoed (8 clients, one row each)",
        format!("{rate:.0} /s"),
        format!("pgbench plain inserts, 8 connections: {limit:.0}/s"),
        Some(rate / limit),
    );
    Ok(())
}

/// Sends transactions, a few ahead of their echoes, until all have come back.
async fn write(number: usize, client: &mut Satellite) -> Result<()> {
    const AHEAD: usize = 16;
    let mut tally = Tally::default();
    for sent in 0..EACH {
        while sent >= tally.echoes + AHEAD {
            tally.receive(client).await?;
        }
        let id = (number * 1_000_000 + sent).to_string();
        let row = [Some(id.as_bytes()), Some(b"content of a row of a client".as_slice())];
        // Timestamps of one client differ, as the real client's do.
        let timestamp = 1_700_000_000_000 + sent as u64;
        client.write_at(sent as u32 + 1, timestamp, vec![Satellite::insert(0, &row, &[])]).await?;
    }
    while tally.echoes < EACH {
        tally.receive(client).await?;
    }
    Ok(())
}

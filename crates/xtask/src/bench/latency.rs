//! How much later than Postgres a client knows.

use std::time::{Duration, Instant};

use anyhow::Result;

use super::{
    baseline,
    clients::{self, Tally},
    report::Report,
    rig::Rig,
};

const ROUNDS: usize = 300;

pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    clients::make_table(rig, "latency").await?;
    let admin = rig.connect().await?;
    let insert = admin.prepare("INSERT INTO latency VALUES ($1, 'one change')").await?;
    let mut client = clients::connect(rig, 3).await?;
    clients::subscribe(&mut client, "latency").await?;
    let mut tally = Tally::default();
    let (mut own, mut beyond) = (Vec::with_capacity(ROUNDS), Vec::with_capacity(ROUNDS));
    for round in 1..=ROUNDS {
        let started = Instant::now();
        let arrived = async {
            while tally.rows < round {
                tally.receive(&mut client).await?;
            }
            anyhow::Ok(Instant::now())
        };
        let inserted = async {
            admin.execute(&insert, &[&(round as i64)]).await?;
            anyhow::Ok(Instant::now())
        };
        let (inserted, arrived) = tokio::try_join!(inserted, arrived)?;
        own.push(inserted - started);
        beyond.push(arrived.saturating_duration_since(inserted));
    }
    client.close().await;
    let (own, median) = (baseline::median(&mut own), baseline::median(&mut beyond));
    let worst: Duration = beyond[beyond.len() * 99 / 100];
    report.row(
        "live latency beyond the INSERT's own time (median, 99 %)",
        format!("{median:.2?}, {worst:.2?}"),
        format!("the INSERT itself: {own:.2?}"),
        None,
    );
    Ok(())
}

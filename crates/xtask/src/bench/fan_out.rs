//! One change to a thousand clients.

use std::time::Instant;

use anyhow::Result;
use futures_util::{StreamExt, stream::FuturesUnordered};

use super::{
    baseline,
    clients::{self, Tally},
    report::Report,
    rig::Rig,
};

const CLIENTS: u32 = 1000;
const ROUNDS: usize = 40;
/// Bytes of a frame with one inserted row of the measured table.
const FRAME: usize = 180;

pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    let limit = baseline::broadcast(CLIENTS as usize, FRAME, ROUNDS).await?;
    clients::make_table(rig, "fan_out").await?;
    let admin = rig.connect().await?;
    let insert = admin.prepare("INSERT INTO fan_out VALUES ($1, 'one change to a thousand clients')").await?;
    let clients = clients::crowd(rig, CLIENTS, 10_000, Some("fan_out")).await?;
    let mut clients: Vec<_> = clients.into_iter().map(|client| (client, Tally::default())).collect();
    let mut times = Vec::with_capacity(ROUNDS);
    for round in 1..=ROUNDS {
        let started = Instant::now();
        admin.execute(&insert, &[&(round as i64)]).await?;
        let mut waiting: FuturesUnordered<_> = clients
            .iter_mut()
            .map(|(client, tally)| async move {
                while tally.rows < round {
                    tally.receive(client).await?;
                }
                anyhow::Ok(())
            })
            .collect();
        while let Some(done) = waiting.next().await {
            done?;
        }
        drop(waiting);
        times.push(started.elapsed());
    }
    let time = baseline::median(&mut times);
    for (client, _) in clients {
        client.close().await;
    }
    report.row(
        "one change to 1,000 clients of one table, INSERT included (median)",
        format!("{time:.1?}"),
        format!("bare WebSocket broadcast: {limit:.1?}"),
        Some(time.as_secs_f64() / limit.as_secs_f64()),
    );
    Ok(())
}

//! One change while many different shapes are live: only those that it concerns should cost anything.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::{StreamExt, TryStreamExt, stream};
use testkit::{Satellite, satellite::Select};

use super::{
    baseline,
    clients::{self, Tally},
    report::Report,
    rig::Rig,
};

/// Each has [`EACH`] shapes, no two alike.
const CLIENTS: u32 = 1000;
const EACH: u32 = 10;
const WARM_UP: usize = 200;
const ROUNDS: usize = 3000;
/// Changes whose cost is taken together; the median of these counts, since the machine's speed comes and goes.
const BLOCK: usize = 100;

pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    rig.connect()
        .await?
        .batch_execute(
            "DROP TABLE IF EXISTS owned;
             CREATE TABLE owned (id int8 PRIMARY KEY, user_id text NOT NULL, content text NOT NULL);
             CALL electric.electrify('owned')",
        )
        .await?;
    let mut first = subscriber(rig, 0).await?;
    let mut tally = Tally::default();
    run(rig, &mut first, &mut tally, WARM_UP).await?;
    let few = run(rig, &mut first, &mut tally, ROUNDS).await?;
    let others: Vec<Satellite> = stream::iter(1..CLIENTS)
        .map(|number| subscriber(rig, number))
        .buffer_unordered(32)
        .try_collect()
        .await?;
    run(rig, &mut first, &mut tally, WARM_UP).await?;
    let many = run(rig, &mut first, &mut tally, ROUNDS).await?;
    for client in others.into_iter().chain([first]) {
        client.close().await;
    }
    report.row(
        "one change with 10,000 distinct `user_id = …` shapes live: the service's processor time (INSERT to client, median)",
        format!("{:.1?} ({:.1?})", many.cost, many.latency),
        format!("with 10 such shapes: {:.1?} ({:.1?}); at most 1.2 × the time", few.cost, few.latency),
        Some(many.cost.as_secs_f64() / few.cost.as_secs_f64()),
    );
    Ok(())
}

/// A client with its shapes.
async fn subscriber(rig: &Rig, number: u32) -> Result<Satellite> {
    let mut client = clients::connect(rig, 60_000 + number).await?;
    let owner = |shape: u32| format!("user-{}", number * EACH + shape);
    let shapes =
        (0..EACH).map(|shape| Select::from("owned").filter(format!("this.user_id = '{}'", owner(shape))));
    clients::request(&mut client, clients::SUBSCRIPTION, shapes.collect()).await?;
    client.data_of(clients::SUBSCRIPTION).await?;
    Ok(client)
}

/// What one change costs.
struct Cost {
    cost: Duration,
    latency: Duration,
}

/// Inserts rows, one after the other, into the first client's shapes.
async fn run(rig: &Rig, client: &mut Satellite, tally: &mut Tally, rounds: usize) -> Result<Cost> {
    let admin = rig.connect().await?;
    let insert = admin.prepare("INSERT INTO owned VALUES ($1, $2, 'content of a row')").await?;
    let mut latencies = Vec::with_capacity(rounds);
    let mut costs = Vec::with_capacity(rounds / BLOCK);
    let mut before = rig.processor_time()?;
    for round in 1..=rounds {
        let row = tally.rows as i64;
        let owner = format!("user-{}", row % i64::from(EACH));
        let started = Instant::now();
        admin.execute(&insert, &[&row, &owner]).await?;
        while tally.rows as i64 <= row {
            tally.receive(client).await?;
        }
        latencies.push(started.elapsed());
        if round.is_multiple_of(BLOCK) {
            let now = rig.processor_time()?;
            costs.push((now - before) / BLOCK as u32);
            before = now;
        }
    }
    Ok(Cost { cost: baseline::median(&mut costs), latency: baseline::median(&mut latencies) })
}

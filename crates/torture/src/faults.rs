//! What is done to the service, to Postgres, to the network and to the clients.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use fastrand::Rng;

use crate::{app::App, notes::Notes, rig::Rig, tables::ROWS};

/// How long the service may take to stop when it is asked to.
const STOP: Duration = Duration::from_secs(30);

/// Does things to the service and to Postgres, one after the other, until told to stop; Postgres fails over at the given moments.
/// Everything runs and is whole afterwards.
pub(crate) async fn upon_service(
    rig: Arc<Rig>,
    notes: Notes,
    mut rng: Rng,
    mut failovers: VecDeque<Instant>,
    stop: Arc<AtomicBool>,
) {
    while !stop.load(Ordering::Relaxed) {
        pause(&mut rng, 0.5, 4.0).await;
        if let Some(status) = rig.service_died().await {
            notes.failure(format!("the service ended by itself ({status})"));
        }
        let fault = match failovers.pop_front_if(|moment| *moment <= Instant::now()) {
            Some(_) => failover(&rig, &notes, &mut rng).await,
            None => service_fault(&rig, &notes, &mut rng).await,
        };
        if let Err(error) = fault {
            notes.failure(format!("{error:#}"));
        }
        rig.proxy.heal();
        if let Err(error) = rig.start_service().await {
            notes.failure(format!("{error:#}"));
        }
        // Now and then the next fault hits a service that is not up yet.
        if rng.u32(0..4) > 0
            && let Err(error) = rig.ready(Duration::from_secs(60)).await
        {
            notes.failure(format!("{error:#}"));
        }
    }
}

async fn failover(rig: &Rig, notes: &Notes, rng: &mut Rng) -> Result<()> {
    let (crash, pause) = (rng.bool(), length(rng, 0.2, 2.0));
    notes.event("failover of Postgres", if crash { "after a crash" } else { "after a stop in good order" });
    rig.fail_over(crash, pause).await?;
    notes.event("standby promoted", "");
    Ok(())
}

async fn service_fault(rig: &Rig, notes: &Notes, rng: &mut Rng) -> Result<()> {
    match rng.u32(0..20) {
        0..4 => {
            notes.event("kill -9 of the service", "");
            rig.kill_service().await?;
            pause(rng, 0.0, 1.5).await;
        }
        4..6 => {
            notes.event("restart of the service", "");
            rig.stop_service(STOP).await?;
            pause(rng, 0.0, 0.5).await;
        }
        6 => {
            notes.event("fast restart of Postgres", "");
            rig.restart_postgres(false, length(rng, 0.0, 2.0)).await?;
        }
        7 => {
            notes.event("crash of Postgres", "");
            rig.restart_postgres(true, length(rng, 0.0, 2.0)).await?;
        }
        8..10 => {
            notes.event("walsender terminated", "");
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_replication";
            rig.connect().await?.batch_execute(sql).await?;
        }
        10..12 => {
            notes.event("backends terminated", "");
            let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND random() < 0.6";
            rig.connect().await?.batch_execute(sql).await?;
        }
        12 => {
            notes.event("connections to Postgres severed", "");
            rig.proxy.sever();
        }
        13..15 => {
            let bytes = rng.u32(1..60_000);
            notes.event("connections to Postgres cut amid a message", &format!("after {bytes} bytes"));
            rig.proxy.sever_after(bytes);
            pause(rng, 0.2, 2.0).await;
        }
        15 => {
            notes.event("connections to Postgres stalled", "");
            rig.proxy.stall();
            pause(rng, 0.5, 5.0).await;
        }
        16 => {
            notes.event("connections to Postgres delayed", "");
            rig.proxy.delay(length(rng, 0.005, 0.15));
            pause(rng, 1.0, 4.0).await;
        }
        17 => {
            notes.event("Postgres out of reach", "");
            rig.proxy.refuse();
            pause(rng, 0.5, 4.0).await;
        }
        18 => {
            notes.event("rows locked", "");
            let client = rig.connect().await?;
            let row = rng.u32(0..ROWS);
            let sql = format!(
                "BEGIN; SELECT FROM shared WHERE id = {row} FOR UPDATE; SELECT FROM registers WHERE id = {row} FOR UPDATE"
            );
            client.batch_execute(&sql).await?;
            pause(rng, 0.5, 4.0).await;
            client.batch_execute("ROLLBACK").await?;
        }
        _ => {
            notes.event("long transaction", "");
            let client = rig.connect().await?;
            let (from, to) = (rng.u32(0..ROWS), rng.u32(0..ROWS));
            let take = format!("BEGIN; UPDATE accounts SET balance = balance - 7 WHERE id = {from}");
            client.batch_execute(&take).await?;
            pause(rng, 0.5, 4.0).await;
            let give = format!("UPDATE accounts SET balance = balance + 7 WHERE id = {to}; COMMIT");
            // A deadlock ends it like a rollback, which is as good.
            let _ = client.batch_execute(&give).await;
        }
    }
    Ok(())
}

/// Does things to clients and their connections, one client after the other, until told to stop; everything is whole afterwards.
pub(crate) async fn upon_clients(apps: Vec<Arc<App>>, notes: Notes, mut rng: Rng, stop: Arc<AtomicBool>) {
    while !stop.load(Ordering::Relaxed) {
        pause(&mut rng, 0.2, 2.5).await;
        let Some(app) = rng.choice(&apps) else { return };
        if let Err(error) = client_fault(app, &notes, &mut rng).await {
            notes.failure(format!("{error:#}"));
        }
        app.proxy.heal();
    }
}

async fn client_fault(app: &App, notes: &Notes, rng: &mut Rng) -> Result<()> {
    let name = app.name();
    match rng.u32(0..12) {
        0..2 => {
            notes.event("client severed", &name);
            app.proxy.sever();
        }
        2..4 => {
            let bytes = rng.u32(1..20_000);
            notes.event("client cut amid a message", &format!("{name} after {bytes} bytes"));
            app.proxy.sever_after(bytes);
            pause(rng, 0.2, 2.0).await;
        }
        4..6 => {
            notes.event("client stalled", &name);
            app.proxy.stall();
            pause(rng, 0.5, 4.0).await;
        }
        6 => {
            notes.event("client delayed", &name);
            app.proxy.delay(length(rng, 0.01, 0.3));
            pause(rng, 1.0, 4.0).await;
        }
        7 => {
            notes.event("service out of a client's reach", &name);
            app.proxy.refuse();
            pause(rng, 0.5, 4.0).await;
        }
        8..10 => {
            notes.event("client offline", &name);
            app.go_offline().await;
            pause(rng, 0.2, 5.0).await;
            app.go_online().await;
        }
        _ => {
            notes.event("kill -9 of a client", &name);
            app.kill().await?;
        }
    }
    Ok(())
}

fn length(rng: &mut Rng, least: f64, most: f64) -> Duration {
    Duration::from_secs_f64(least + (most - least) * rng.f64())
}

async fn pause(rng: &mut Rng, least: f64, most: f64) {
    tokio::time::sleep(length(rng, least, most)).await;
}

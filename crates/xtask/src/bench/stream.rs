//! A stream of single-row transactions, from Postgres to one client.

use std::{path::Path, time::Instant};

use anyhow::Result;

use super::{
    baseline,
    clients::{self, Tally},
    report::Report,
    rig::Rig,
};

const TRANSACTIONS: u64 = 20_000;
const ROUNDS: usize = 5;
const SLOT: &str = "bench_baseline";

pub(super) async fn measure(log: &Path, report: &mut Report) -> Result<()> {
    let (mut kept, mut in_memory) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        for (data_dir, rounds) in [(None, &mut kept), (Some("none"), &mut in_memory)] {
            // A cluster of its own for each: a starting service may read all that is still in its window.
            let mut rig = Rig::new(log).await?;
            rig.data_dir = data_dir;
            rig.start_service().await?;
            clients::make_table(&rig, "stream").await?;
            rounds.push(round(&mut rig).await?);
        }
    }
    let ((rate, limit), (without, _)) = (middle(&mut kept), middle(&mut in_memory));
    report.row(
        "20,000 single-row transactions, from the start of the service to the last at one client (median of 5)",
        format!("{rate:.0} rows/s"),
        format!("pg_recvlogical of the same: {limit:.0}/s"),
        Some(rate / limit),
    );
    report.row(
        "the same, against the window in memory only",
        format!("{rate:.0} rows/s"),
        format!("TIELINE_DATA_DIR=none: {without:.0}/s; the journal costs 10 % at most"),
        Some(rate / without),
    );
    Ok(())
}

/// The round with the median ratio: both of its rates were measured within two seconds of each other.
fn middle(rounds: &mut [(f64, f64)]) -> (f64, f64) {
    rounds.sort_by(|(rate, limit), (other_rate, other_limit)| {
        (rate / limit).total_cmp(&(other_rate / other_limit))
    });
    rounds[rounds.len() / 2]
}

/// Rows per second through the service, and transactions per second of the baseline.
async fn round(rig: &mut Rig) -> Result<(f64, f64)> {
    let admin = rig.connect().await?;
    let mut client = clients::connect(rig, 1).await?;
    clients::subscribe(&mut client, "stream").await?;
    let slot = format!("SELECT pg_create_logical_replication_slot('{SLOT}', 'pgoutput')");
    admin.batch_execute(&slot).await?;
    // The service is down while the transactions pile up, so that its own speed is measured and not Postgres' at writing.
    // Its start is part of the time.
    let resume = client.lsn.clone();
    client.close().await;
    rig.stop_service()?;
    // Statements of their own: a block that commits may not stand in a batch with others.
    admin.batch_execute("SET synchronous_commit = off").await?;
    let fill = format!(
        "DO $$ BEGIN FOR i IN 1..{TRANSACTIONS} LOOP \
         INSERT INTO stream VALUES (i, 'content of row ' || i); COMMIT; END LOOP; END $$"
    );
    admin.batch_execute(&fill).await?;
    admin.batch_execute("SET synchronous_commit = on").await?;
    admin.batch_execute("SELECT pg_logical_emit_message(true, 'bench', '')").await?;
    let end: String = admin.query_one("SELECT pg_current_wal_lsn()::text", &[]).await?.get(0);
    let started = Instant::now();
    rig.start_service().await?;
    let mut client = clients::sign_in(rig, 1).await?;
    client.lsn = resume;
    client.start(&[clients::SUBSCRIPTION.to_owned()]).await?;
    let mut tally = Tally::default();
    while tally.rows < TRANSACTIONS as usize {
        tally.receive(&mut client).await?;
    }
    let rate = TRANSACTIONS as f64 / started.elapsed().as_secs_f64();
    client.close().await;
    let limit = baseline::pg_recvlogical(rig, SLOT, &end, TRANSACTIONS)?;
    admin.batch_execute(&format!("SELECT pg_drop_replication_slot('{SLOT}')")).await?;
    Ok((rate, limit))
}

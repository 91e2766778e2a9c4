//! The first rows of a subscription.

use std::time::Instant;

use anyhow::{Result, bail};
use protocol::Message;
use testkit::satellite::Incoming;

use super::{baseline, clients, report::Report, rig::Rig};

pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    for rows in [100_000u64, 1_000_000] {
        let table = format!("initial_{rows}");
        clients::make_table(rig, &table).await?;
        let admin = rig.connect().await?;
        let fill =
            format!("INSERT INTO {table} SELECT i, 'content of row ' || i FROM generate_series(1, {rows}) i");
        admin.batch_execute(&fill).await?;
        admin.batch_execute(&format!("VACUUM ANALYZE {table}, electric.shadow__public__{table}")).await?;
        let limit = baseline::copy_out(rig, &format!("SELECT id, content FROM {table}")).await?;
        // What was written has to have passed through the service first: that is another measurement.
        let mut client = clients::connect(rig, 2).await?;
        clients::catch_up(rig, &mut client).await?;
        let before = rig.memory()?.resident;
        rig.forget_peak()?;
        let started = Instant::now();
        client.subscribe(clients::SUBSCRIPTION, &[&table]).await?;
        let (mut received, mut begun) = (0usize, false);
        loop {
            match client.socket().receive().await? {
                Incoming::Message(Message::SubsDataBegin(_)) => begun = true,
                // Counting operations is cheap and decoding them is not what is measured.
                Incoming::Message(Message::OpLog(log)) if begun => received += log.count(),
                Incoming::Message(Message::SubsDataEnd(_)) => break,
                Incoming::Message(_) => {}
                Incoming::Closed(closed) => bail!("the service closed: {closed:?}"),
            }
        }
        let rate = rows as f64 / started.elapsed().as_secs_f64();
        anyhow::ensure!(received as u64 == rows, "{received} rows of {rows} came");
        let peak = rig.memory()?.peak;
        client.close().await;
        report.row(
            &format!("initial sync of {rows} rows to one client"),
            format!("{rate:.0} rows/s, memory {} → {} MiB", before / 1024, peak / 1024),
            format!("COPY TO STDOUT: {limit:.0} rows/s"),
            Some(rate / limit),
        );
    }
    Ok(())
}

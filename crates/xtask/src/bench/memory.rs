//! Memory of the process, and of each client it holds.

use anyhow::Result;
use futures_util::future::try_join_all;

use super::{clients, report::Report, rig::Rig};

const CLIENTS: u32 = 1000;

pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    let idle = rig.memory()?.resident;
    report.row("memory, idle", format!("{:.1} MiB", idle as f64 / 1024.0), "30 MB at most", None);
    clients::make_table(rig, "memory").await?;
    // The first client warms up what all share.
    let first = clients::crowd(rig, 1, 20_000, Some("memory")).await?;
    let before = rig.memory()?.resident;
    let mut all = clients::crowd(rig, CLIENTS, 30_000, None).await?;
    let connected = rig.memory()?.resident;
    for group in all.chunks_mut(32) {
        try_join_all(group.iter_mut().map(|client| clients::subscribe(client, "memory"))).await?;
    }
    let subscribed = rig.memory()?.resident;
    let each = |kib: u64| kib.saturating_sub(before) as f64 / f64::from(CLIENTS);
    report.row("memory per connected client", format!("{:.1} KiB", each(connected)), "", None);
    report.row(
        "memory per subscribed client",
        format!("{:.1} KiB", each(subscribed)),
        "30 KiB at most",
        None,
    );
    for client in all.into_iter().chain(first) {
        client.close().await;
    }
    Ok(())
}

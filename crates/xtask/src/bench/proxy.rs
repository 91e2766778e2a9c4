//! `pgbench` through the migrations proxy, against the same straight to Postgres.

use anyhow::Result;

use super::{
    baseline::{self, Way},
    report::Report,
    rig::Rig,
};

const CLIENTS: u32 = 8;
const SECONDS: u32 = 4;
const ROUNDS: usize = 3;

/// What is run: what a line of the report calls it, how `pgbench` sends it, and the script (none: its own).
const RUNS: [(&str, &str, Option<&str>); 3] = [
    ("its own script, simple protocol", "simple", None),
    ("its own script, prepared statements", "prepared", None),
    (
        "one SELECT of one row, prepared",
        "prepared",
        Some("SELECT abalance FROM pgbench_accounts WHERE aid = 1"),
    ),
];

/// Rounds alternate; the medians are compared.
pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    baseline::pgbench_tables(rig)?;
    for (what, protocol, script) in RUNS {
        let (mut direct, mut proxied) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            direct.push(baseline::pgbench_over(rig, Way::Direct, protocol, script, CLIENTS, SECONDS)?);
            proxied.push(baseline::pgbench_over(rig, Way::Proxy, protocol, script, CLIENTS, SECONDS)?);
        }
        let (direct, proxied) = (middle(&mut direct), middle(&mut proxied));
        report.row(
            &format!("pgbench through the proxy, {CLIENTS} connections: {what} (median of {ROUNDS})"),
            format!("{proxied:.0} /s"),
            match script {
                None => format!("direct: {direct:.0}/s; at most 1.25 × its time"),
                // Nothing but round trips: what the way alone costs.
                Some(_) => format!("direct: {direct:.0}/s"),
            },
            Some(direct / proxied),
        );
    }
    Ok(())
}

fn middle(rates: &mut [f64]) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

//! `pgbench` through the migrations proxy, against the same straight to Postgres and through a relay that only copies bytes.

use anyhow::Result;

use super::{
    bare_relay::BareRelay,
    baseline::{self, Way},
    report::Report,
    rig::Rig,
};

const SECONDS: u32 = 2;
const ROUNDS: usize = 7;

/// What is run: what a line of the report calls it, the connections, how `pgbench` sends it, and the script (none: its own).
const RUNS: [(&str, u32, &str, Option<&str>); 5] = [
    ("its own script, simple protocol", 1, "simple", None),
    ("its own script, simple protocol", 8, "simple", None),
    ("its own script, prepared statements", 8, "prepared", None),
    (ONE_ROW, 1, "prepared", Some(SELECT)),
    (ONE_ROW, 8, "prepared", Some(SELECT)),
];

/// Nothing but round trips: what the way alone costs.
const ONE_ROW: &str = "one SELECT of one row, prepared";
const SELECT: &str = "SELECT abalance FROM pgbench_accounts WHERE aid = 1";

/// Rounds alternate; the medians are compared.
pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    baseline::pgbench_tables(rig)?;
    let bare = BareRelay::start(rig.port()).await?;
    for (what, clients, protocol, script) in RUNS {
        let ways = [Way::Direct, Way::Proxy, Way::Port(bare.port)];
        let mut rates = ways.map(|_| Vec::new());
        for _ in 0..ROUNDS {
            for (way, rates) in ways.into_iter().zip(&mut rates) {
                rates.push(baseline::pgbench_over(rig, way, protocol, script, clients, SECONDS)?);
            }
        }
        let [direct, proxied, bare] = rates.map(middle);
        report.row(
            &format!("pgbench through the proxy, {clients} connections: {what} (median of {ROUNDS})"),
            format!("{proxied:.0} /s"),
            format!(
                "direct: {direct:.0}/s; at most 1.25 × its time. A relay that only copies: {:.2} ×",
                direct / bare
            ),
            Some(direct / proxied),
        );
    }
    Ok(())
}

fn middle(mut rates: Vec<f64>) -> f64 {
    rates.sort_unstable_by(f64::total_cmp);
    rates[rates.len() / 2]
}

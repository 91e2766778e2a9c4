//! `cargo x bench`: speed and memory of the release build, each number beside its baseline from the same run.

mod bare_relay;
mod baseline;
mod bulk;
mod clients;
mod fan_out;
mod initial;
mod journal;
mod latency;
mod memory;
mod proxy;
mod report;
mod rig;
mod routing;
mod shapes;
mod stream;
mod writes;

use std::path::Path;

use anyhow::Result;

pub(crate) use bare_relay::bare_relay;
pub(crate) use baseline::broadcaster;
use report::Report;
use rig::Rig;

/// Which measurements to make, by their names; all if there are none.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Bench {
    /// Only these: start, memory, shapes, latency, connects, stream, journal, writes, backlog, bulk, proxy, fan-out, routing, initial, rush.
    only: Vec<String>,
    /// Print the table without adding it to BENCHMARKS.md.
    #[arg(long)]
    dry: bool,
}

/// Runs the measurements and writes the report.
pub(crate) async fn run(bench: Bench) -> Result<()> {
    let mut report = Report::default();
    let log = Path::new("target/bench-service.log");
    let mut rig = Rig::new(log).await?;
    let wanted = |name: &str| bench.only.is_empty() || bench.only.iter().any(|only| only == name);
    rig.start_service().await?;
    if wanted("start") {
        rig.stop_service()?;
        let took = rig.start_service().await?;
        report.row("cold start to ready on an existing database", format!("{took:.0?}"), "1 s at most", None);
    }
    if wanted("memory") {
        memory::measure(&rig, &mut report).await?;
    }
    if wanted("shapes") {
        shapes::measure(&rig, &mut report).await?;
    }
    if wanted("latency") {
        latency::measure(&rig, &mut report).await?;
    }
    if wanted("connects") {
        clients::measure(&rig, &mut report).await?;
    }
    if wanted("stream") {
        stream::measure(log, &mut report).await?;
    }
    if wanted("journal") {
        journal::measure(log, &mut report).await?;
    }
    if wanted("writes") || wanted("backlog") {
        writes::prepare(&rig).await?;
    }
    if wanted("writes") {
        writes::measure(&rig, &mut report).await?;
    }
    if wanted("backlog") {
        writes::backlog(&rig, &mut report).await?;
    }
    if wanted("bulk") {
        bulk::measure(&rig, &mut report).await?;
    }
    if wanted("proxy") {
        proxy::measure(&rig, &mut report).await?;
    }
    if wanted("fan-out") {
        fan_out::measure(&rig, &mut report).await?;
    }
    if wanted("routing") {
        routing::measure(&rig, &mut report).await?;
    }
    if wanted("initial") {
        initial::measure(&rig, &mut report).await?;
    }
    if wanted("rush") {
        initial::rush(&mut rig, &mut report).await?;
    }
    rig.stop_service()?;
    if !bench.dry {
        report.write(Path::new("BENCHMARKS.md"))?;
    }
    Ok(())
}

//! `cargo x torture`: the real test, for a bounded time.

use std::{
    path::{Path, PathBuf},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, ensure};

/// How to run it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Torture {
    /// How long there are faults, in minutes.
    #[arg(long, default_value_t = 5.0)]
    minutes: f64,
    /// The seed of all choices; one of the moment if not given.
    #[arg(long)]
    seed: Option<u64>,
    /// How many clients; the last one is over PGlite.
    #[arg(long, default_value_t = 6, value_parser = clap::value_parser!(u16).range(2..=32))]
    clients: u16,
    /// Transactions a second, of all clients together.
    #[arg(long, default_value_t = 20.0)]
    rate: f64,
    /// How often Postgres fails over to a standby, after which all clients load everything again. Once by default in a run of 45
    /// seconds at least, twice in one of 4 minutes.
    #[arg(long)]
    failovers: Option<u32>,
    /// Keep everything although nothing has failed.
    #[arg(long)]
    keep: bool,
    /// The binary to torture.
    #[arg(long, default_value = "target/release/tieline")]
    binary: PathBuf,
    /// Where to keep what is needed to look into a failure.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// Runs it and prints the verdict.
pub(crate) async fn run(how: Torture, workspace: &Path) -> Result<()> {
    let binary = if how.binary.exists() { how.binary } else { workspace.join(how.binary) };
    ensure!(binary.exists(), "no {}: run `cargo build --release --package tieline` first", binary.display());
    ensure!(how.minutes > 0.0 && how.rate > 0.0, "the minutes and the rate have to be above zero");
    let moment = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let seed = how.seed.unwrap_or(moment);
    let folder =
        how.folder.unwrap_or_else(|| std::env::temp_dir().join(format!("tieline-torture-{seed}-{moment}")));
    let torture = torture::Torture {
        binary,
        scripts: workspace.join("e2e").canonicalize().context("the folder e2e")?,
        folder,
        seed,
        clients: how.clients,
        length: Duration::from_secs_f64(how.minutes * 60.0),
        failovers: how.failovers,
        keep: how.keep,
        pause: f64::from(how.clients) / how.rate,
        progress: |line| println!("{line}"),
    };
    let verdict = torture.run().await?;
    println!("{verdict}");
    if !verdict.passed() {
        std::process::exit(1);
    }
    Ok(())
}

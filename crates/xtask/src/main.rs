//! `cargo x …`: what CI runs, generators and benchmarks. Everything is started from anywhere inside the workspace.

mod bench;
mod proto;
mod torture;

use std::path::Path;

use clap::{Parser, Subcommand};

/// The workspace's own tools.
#[derive(Parser)]
#[command(name = "cargo x")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

/// What there is to do.
#[derive(Subcommand)]
enum Task {
    /// Generate the protocol's message types from the proto file.
    Proto {
        /// Change nothing; fail if the committed code differs.
        #[arg(long)]
        check: bool,
    },
    /// Measure speed and memory of the release build beside their baselines, and write BENCHMARKS.md (about 5 minutes).
    Bench(bench::Bench),
    /// Run the real service with real clients under faults, and check what came of it.
    Torture(torture::Torture),
    /// A WebSocket server that does nothing but broadcast: a baseline of `bench`.
    #[command(hide = true)]
    Broadcaster {
        /// Bytes of each message.
        size: usize,
    },
    /// A relay that only copies bytes: another baseline of `bench`.
    #[command(hide = true)]
    BareRelay {
        /// The port that it leads to.
        target: u16,
    },
}

fn main() -> anyhow::Result<()> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    match Cli::parse().task {
        Task::Proto { check } => proto::run(&workspace, check),
        Task::Bench(what) => {
            std::env::set_current_dir(&workspace)?;
            runtime()?.block_on(bench::run(what))
        }
        Task::Torture(how) => runtime()?.block_on(torture::run(how, &workspace)),
        Task::Broadcaster { size } => runtime()?.block_on(bench::broadcaster(size)),
        Task::BareRelay { target } => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(bench::bare_relay(target)),
    }
}

fn runtime() -> std::io::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread().enable_all().build()
}

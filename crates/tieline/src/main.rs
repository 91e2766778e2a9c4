//! `tieline`: the command line. Each command has its file under [`cmd`]; what every one needs first is under [`bootstrap`].

mod bootstrap;
mod cmd;

use std::process::ExitCode;

use clap::Parser as _;

/// Smaller and faster than the system's under a thousand connections on several threads.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cmd::Cli::parse().run()
}

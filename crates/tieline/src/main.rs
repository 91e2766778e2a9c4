//! `tieline`: the command line. Each command has its file under [`cmd`]; what every one needs first is under [`bootstrap`].

mod bootstrap;
mod cmd;

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    cmd::Cli::parse().run()
}

//! The commands.

mod dev;
mod keys;
mod reference;
mod rejected;
mod serve;
mod token;

use std::process::ExitCode;

use auth::Algorithm;
use clap::{Parser, Subcommand};

/// Live sync between one Postgres and the local databases of many users.
#[derive(Debug, Parser)]
#[command(name = "tieline", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the service (also when no command is given). Settings are environment variables
    #[command(visible_alias = "start", after_long_help = server::config::help())]
    Serve,
    /// Run everything on this machine: a private Postgres, the service in insecure mode, a sample table
    Dev(dev::DevArgs),
    /// Make keys that sign and verify tokens
    Keys(keys::KeysArgs),
    /// Make, show and judge tokens
    Token(token::TokenArgs),
    /// Look at clients' transactions that Postgres refused, and decide about them
    Rejected(rejected::RejectedArgs),
    /// Print the reference of all settings, in Markdown
    Reference,
}

impl Cli {
    /// Does what was asked for.
    pub fn run(self) -> ExitCode {
        match self.command.unwrap_or(Command::Serve) {
            Command::Serve => serve::run(),
            Command::Dev(args) => dev::run(&args),
            Command::Keys(args) => finish(keys::run(&args)),
            Command::Token(args) => finish(token::run(&args)),
            Command::Rejected(args) => rejected::run(&args),
            Command::Reference => reference::run(),
        }
    }
}

/// Tells what stood in the way, if anything did.
fn finish(outcome: anyhow::Result<ExitCode>) -> ExitCode {
    outcome.unwrap_or_else(|error| {
        eprintln!("tieline: {error:#}");
        ExitCode::FAILURE
    })
}

/// A signature algorithm as an argument.
fn algorithm(name: &str) -> Result<Algorithm, String> {
    name.parse().map_err(|_| format!("must be one of {}", Algorithm::ALL.map(Algorithm::name).join(" ")))
}

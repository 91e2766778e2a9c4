//! `tieline token`: makes, shows and judges tokens (spec 01 §7).

mod inspect;
mod mint;
mod times;
mod verify;

use std::{
    ffi::OsString,
    io::{self, Read as _},
    process::ExitCode,
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context as _, Result, bail};
use clap::{Args, Subcommand};

/// Tokens for trying things out, and for finding out why one is refused.
#[derive(Debug, Args)]
pub struct TokenArgs {
    #[command(subcommand)]
    command: TokenCommand,
}

#[derive(Debug, Subcommand)]
enum TokenCommand {
    /// Make a signed token (or an unsigned one) and print it
    Mint(mint::MintArgs),
    /// Show what a token says, without verifying it
    Inspect {
        /// The token, or - for standard input
        token: String,
    },
    /// Judge a token exactly as the service would with the current settings; exit status 0 if it is accepted, else 1
    Verify(verify::VerifyArgs),
}

/// Does what was asked for.
///
/// # Errors
/// What stands in the way, in words.
pub fn run(args: &TokenArgs) -> Result<ExitCode> {
    match &args.command {
        TokenCommand::Mint(args) => mint::run(args),
        TokenCommand::Inspect { token } => inspect::run(&read(token)?),
        TokenCommand::Verify(args) => verify::run(args),
    }
}

/// Longest input that is read as a token, in bytes.
const MAX_INPUT: u64 = 1024 * 1024;

/// The token itself, or what standard input holds; blanks around it are dropped.
fn read(argument: &str) -> Result<String> {
    if argument != "-" {
        return Ok(argument.trim().to_owned());
    }
    let mut text = String::new();
    io::stdin()
        .take(MAX_INPUT)
        .read_to_string(&mut text)
        .context("no token can be read from standard input")?;
    if text.trim().is_empty() {
        bail!("standard input holds no token");
    }
    Ok(text.trim().to_owned())
}

/// The settings of the service: the environment of this process.
fn setting(name: &str) -> Option<OsString> {
    std::env::var_os(name)
}

/// A setting as text; blank means unset.
fn text_setting(name: &str) -> Option<String> {
    setting(name)?.into_string().ok().filter(|value| !value.trim().is_empty())
}

/// Milliseconds since the epoch.
fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

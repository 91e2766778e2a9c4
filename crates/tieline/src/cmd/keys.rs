//! `tieline keys`: makes keys for tokens (spec 01 §7).

use std::{
    fs::{DirBuilder, OpenOptions},
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result};
use auth::{
    Algorithm, SigningKey,
    settings::{AUTH_JWT_ALG, AUTH_JWT_KEY},
};
use clap::{Args, Subcommand};

use super::algorithm;

/// Keys that sign and verify tokens.
#[derive(Debug, Args)]
pub struct KeysArgs {
    #[command(subcommand)]
    command: KeysCommand,
}

#[derive(Debug, Subcommand)]
enum KeysCommand {
    /// Make a fresh key, or key pair, and print the two settings to paste
    Generate(GenerateArgs),
}

#[derive(Debug, Args)]
struct GenerateArgs {
    /// Signature algorithm: HS256 HS384 HS512 RS256 RS384 RS512 ES256 ES384 ES512 EdDSA PS256 PS384 PS512
    #[arg(long, value_parser = algorithm, default_value = "ES256")]
    alg: Algorithm,
    /// Directory for the key files; made if it does not exist
    #[arg(long, value_name = "DIR", default_value = ".")]
    out: PathBuf,
}

/// Does what was asked for. Settings go to standard output and remarks to standard error, so that
/// `tieline keys generate >> .env` works.
///
/// # Errors
/// Files can't be written, or are there already.
pub fn run(args: &KeysArgs) -> Result<ExitCode> {
    let KeysCommand::Generate(args) = &args.command;
    let algorithm = args.alg;
    let key = SigningKey::generate(algorithm)?;
    make_directory(&args.out)?;
    let stem = format!("jwt-{}", algorithm.name().to_ascii_lowercase());
    let (private, setting) = match &key.public {
        None => {
            let path = args.out.join(format!("{stem}-secret.txt"));
            write_new(&path, key.private.as_bytes(), 0o600)?;
            (path, key.private.to_string())
        }
        Some(public) => {
            let path = args.out.join(format!("{stem}-private.pem"));
            write_new(&path, key.private.as_bytes(), 0o600)?;
            write_new(&args.out.join(format!("{stem}-public.pem")), public.as_bytes(), 0o644)?;
            (path, format!("'{}'", public.trim_end().replace('\n', "\\n")))
        }
    };
    eprintln!("The key that signs tokens is in {} (only you can read it).", private.display());
    let remark = match key.public {
        Some(_) => "Keep it where tokens are issued; the service needs the public key only. Its settings:",
        None => "The issuer of tokens and the service share it, so keep it secret. The service's settings:",
    };
    eprintln!("{remark}");
    writeln!(io::stdout(), "{AUTH_JWT_ALG}={algorithm}\n{AUTH_JWT_KEY}={setting}")?;
    eprintln!("A token: tieline token mint --sub 1 --alg {algorithm} --key-file {}", private.display());
    Ok(ExitCode::SUCCESS)
}

fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(|| format!("the directory {} can't be made", path.display()))
}

/// Writes a file that must not exist yet: a key in use is never overwritten.
fn write_new(path: &Path, content: &[u8], mode: u32) -> Result<()> {
    let context = || match path.exists() {
        true => {
            format!("{} exists already; move it away, or choose another directory with --out", path.display())
        }
        false => format!("{} can't be written", path.display()),
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).with_context(context)?;
    file.write_all(content).and_then(|()| file.sync_all()).with_context(context)
}

//! `tieline token mint`: makes a token that the service accepts with the current settings.

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context as _, Result, anyhow, bail};
use auth::{
    Algorithm, Family, SigningKey, list_items,
    settings::{AUTH_JWT_ALG, AUTH_JWT_AUD, AUTH_JWT_ISS, AUTH_JWT_NAMESPACE, AUTH_MODE},
};
use clap::Args;
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::{now_ms, setting, text_setting};
use crate::cmd::algorithm;

#[derive(Debug, Args)]
pub struct MintArgs {
    /// The user: claim `sub`
    #[arg(long)]
    sub: Option<String>,
    /// How long it is valid (90s, 2h, 7d; -1h has expired already), or never
    #[arg(long, default_value = "2h", allow_hyphen_values = true, value_parser = expiry)]
    exp: Expiry,
    /// A further claim; the value is JSON if it can be read as such, else text
    #[arg(long = "claim", value_name = "NAME=VALUE", value_parser = claim)]
    claims: Vec<(String, Value)>,
    /// Signature algorithm [default: AUTH_JWT_ALG, or what the key file is for]
    #[arg(long, value_parser = algorithm)]
    alg: Option<Algorithm>,
    /// File with the private key in PEM form, or with the secret for HS* [default for HS*: AUTH_JWT_KEY]
    #[arg(long, value_name = "FILE")]
    key_file: Option<PathBuf>,
    /// No signature: for a service in insecure mode
    #[arg(long, conflicts_with_all = ["alg", "key_file"])]
    insecure: bool,
    /// Key id to put into the header
    #[arg(long)]
    kid: Option<String>,
    /// Issuer: claim `iss` [default: AUTH_JWT_ISS, its first item]
    #[arg(long)]
    iss: Option<String>,
    /// Audience: claim `aud` [default: AUTH_JWT_AUD, its first item]
    #[arg(long)]
    aud: Option<String>,
}

/// When a token expires.
#[derive(Clone, Copy, Debug)]
enum Expiry {
    Never,
    /// Seconds from now; negative is past.
    After(i64),
}

/// Claims that stay at the top level whatever the namespace (spec 01 §2).
const REGISTERED: [&str; 6] = ["iat", "exp", "nbf", "iss", "aud", "jti"];

/// Prints the token and nothing else.
pub fn run(args: &MintArgs) -> Result<ExitCode> {
    let claims = claims(args, (now_ms() / 1000) as i64)?;
    let token = if unsigned(args) {
        SigningKey::unsigned_token(&claims, args.kid.as_deref())
    } else {
        signing_key(args)?.token(&claims, args.kid.as_deref())?
    };
    writeln!(io::stdout(), "{token}")?;
    Ok(ExitCode::SUCCESS)
}

/// Asked for, or all that a service in insecure mode needs.
fn unsigned(args: &MintArgs) -> bool {
    let nothing_to_sign_with = args.alg.is_none() && args.key_file.is_none();
    args.insecure || nothing_to_sign_with && text_setting(AUTH_MODE).as_deref() == Some("insecure")
}

fn claims(args: &MintArgs, now: i64) -> Result<Map<String, Value>> {
    let mut top = Map::new();
    let mut custom = Map::new();
    top.insert("iat".to_owned(), now.into());
    if let Expiry::After(seconds) = args.exp {
        top.insert("exp".to_owned(), now.saturating_add(seconds).max(0).into());
    }
    for (name, given, setting) in [("iss", &args.iss, AUTH_JWT_ISS), ("aud", &args.aud, AUTH_JWT_AUD)] {
        if let Some(value) = given.clone().or_else(|| first_item(setting)) {
            top.insert(name.to_owned(), value.into());
        }
    }
    if let Some(user) = &args.sub {
        custom.insert("sub".to_owned(), user.clone().into());
    }
    for (name, value) in args.claims.iter().cloned() {
        if REGISTERED.contains(&name.as_str()) { &mut top } else { &mut custom }.insert(name, value);
    }
    if !custom.contains_key("sub") && !custom.contains_key("user_id") {
        bail!("a token has to name its user: add --sub USER");
    }
    match text_setting(AUTH_JWT_NAMESPACE) {
        Some(namespace) => {
            top.insert(namespace, Value::Object(custom));
        }
        None => top.extend(custom),
    }
    Ok(top)
}

fn first_item(name: &str) -> Option<String> {
    list_items(&text_setting(name)?).next().map(str::to_owned)
}

fn signing_key(args: &MintArgs) -> Result<SigningKey> {
    let content = args.key_file.as_deref().map(read_key).transpose()?;
    let algorithm = match (args.alg, text_setting(AUTH_JWT_ALG), &content) {
        (Some(algorithm), ..) => algorithm,
        (None, Some(name), _) => algorithm(&name).map_err(|error| anyhow!("{AUTH_JWT_ALG}: {error}"))?,
        (None, None, Some(content)) => SigningKey::algorithm_of_pem(content)
            .context("the key file does not tell its algorithm: add --alg, or set AUTH_JWT_ALG")?,
        (None, None, None) => bail!(
            "there is nothing to sign with: add --key-file (tieline keys generate makes one), or set AUTH_JWT_ALG and \
             AUTH_JWT_KEY to a shared secret, or add --insecure for a token without a signature"
        ),
    };
    let hmac = algorithm.family() == Family::Hmac;
    match content {
        Some(content) if hmac => Ok(SigningKey::from_secret(algorithm, without_line_end(&content))?),
        Some(content) => SigningKey::from_pem(algorithm, &content)
            .with_context(|| format!("the key file can't sign with {algorithm}")),
        None if hmac => {
            let secret = auth::configured_secret(&setting).map_err(|faults| {
                anyhow!(faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
            })?;
            Ok(SigningKey::from_secret(algorithm, &secret)?)
        }
        None => bail!(
            "{algorithm} signs with a private key, which the service does not have: add --key-file (tieline keys generate \
             makes one)"
        ),
    }
}

fn read_key(path: &Path) -> Result<Zeroizing<Vec<u8>>> {
    fs::read(path)
        .map(Zeroizing::new)
        .with_context(|| format!("the key file {} can't be read", path.display()))
}

/// One line end at the end of a file is not part of a secret.
fn without_line_end(content: &[u8]) -> &[u8] {
    let content = content.strip_suffix(b"\n").unwrap_or(content);
    content.strip_suffix(b"\r").unwrap_or(content)
}

fn expiry(text: &str) -> Result<Expiry, String> {
    if text == "never" {
        return Ok(Expiry::Never);
    }
    let (sign, span) = text.strip_prefix('-').map_or((1, text), |span| (-1, span));
    let span = auth::duration(span).ok_or("must be never, or a duration such as 90s, 2h, 7d or -1h")?;
    Ok(Expiry::After(sign * i64::try_from(span.as_secs()).unwrap_or(i64::MAX)))
}

fn claim(text: &str) -> Result<(String, Value), String> {
    let (name, value) = text.split_once('=').ok_or("must be NAME=VALUE")?;
    if name.is_empty() {
        return Err("the name is empty".to_owned());
    }
    let value = serde_json::from_str(value).unwrap_or_else(|_| Value::String(value.to_owned()));
    Ok((name.to_owned(), value))
}

//! `tieline token inspect`: what a token says.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::{Context as _, Result, bail};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::Value;

use super::{now_ms, times};

/// Prints header and claims.
pub fn run(token: &str) -> Result<ExitCode> {
    let mut segments = token.split('.');
    let (Some(header), Some(payload), signature, None) =
        (segments.next(), segments.next(), segments.next(), segments.next())
    else {
        bail!("this is no token: it has to have three segments with a dot between them");
    };
    let header = decode(header).context("the first segment, the header, can't be read")?;
    let payload = decode(payload).context("the second segment, the claims, can't be read")?;
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "NOT VERIFIED: anybody can write a token that says this. To judge it: tieline token verify"
    )?;
    writeln!(out, "\nHeader\n{}", shown(&header)?)?;
    writeln!(out, "\nClaims\n{}", shown(&payload)?)?;
    let now = (now_ms() / 1000) as f64;
    for (claim, words) in [("iat", "Issued"), ("nbf", "Valid from"), ("exp", "Expires")] {
        match payload.get(claim) {
            None => {}
            Some(value) => match value.as_f64() {
                Some(date) => writeln!(out, "\n{words} ({claim}): {}", times::in_words(date, now))?,
                None => writeln!(out, "\n{words} ({claim}): not a number, so the token is refused")?,
            },
        }
    }
    let signature = signature.filter(|signature| !signature.is_empty());
    writeln!(
        out,
        "\nSignature: {}",
        if signature.is_some() { "there is one, not verified" } else { "none" }
    )?;
    Ok(ExitCode::SUCCESS)
}

fn decode(segment: &str) -> Result<Value> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(segment).context("it is not base64url without padding")?;
    serde_json::from_slice(&bytes).context("it is not JSON")
}

/// Pretty JSON without characters that a terminal would act on.
fn shown(value: &Value) -> Result<String> {
    let text = serde_json::to_string_pretty(value)?;
    let harmless = |c: char| c == '\n' || !c.is_control();
    Ok(text.chars().map(|c| if harmless(c) { c } else { char::REPLACEMENT_CHARACTER }).collect())
}

//! `tieline token verify`: the service's own judgement, step by step.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

use anyhow::Result;
use auth::{AuthConfig, ConfigError, Identity, Mode, Step, Verifier};
use clap::Args;

use super::{now_ms, read, setting, times};

#[derive(Debug, Args)]
pub struct VerifyArgs {
    /// The token, or - for standard input
    token: String,
    /// Judge as if it were this time, in seconds since 1970
    #[arg(long, value_name = "SECONDS")]
    at: Option<u64>,
}

/// Prints every step; the exit status is the judgement.
pub fn run(args: &VerifyArgs) -> Result<ExitCode> {
    let token = read(&args.token)?;
    let now_ms = args.at.map_or_else(now_ms, |seconds| seconds.saturating_mul(1000));
    let (config, warnings) = match AuthConfig::from_lookup(&setting) {
        Ok(loaded) => loaded,
        Err(faults) => return Ok(no_service(&faults)),
    };
    for warning in warnings {
        eprintln!("Warning: {warning}");
    }
    let verifier = Verifier::new(config);
    let mut out = io::stdout().lock();
    match (verifier.mode(), verifier.config().algorithm()) {
        (Mode::Secure, Some(algorithm)) => writeln!(out, "Secure mode, {algorithm}")?,
        _ => writeln!(out, "Insecure mode: signatures are not looked at")?,
    }
    let explanation = verifier.explain(&token, now_ms);
    for (step, note) in &explanation.passed {
        writeln!(out, "  passed  {:<11} {}", step.name(), harmless(note))?;
    }
    match explanation.outcome {
        Ok(identity) => {
            writeln!(out, "Accepted: {}", describe(&identity, now_ms))?;
            Ok(ExitCode::SUCCESS)
        }
        Err(refusal) => {
            let failed = refusal.reason().step();
            writeln!(out, "  FAILED  {:<11} {}", failed.name(), harmless(&refusal.to_string()))?;
            for step in Step::ALL.iter().skip_while(|step| **step != failed).skip(1) {
                writeln!(out, "  -       {:<11} not reached", step.name())?;
            }
            writeln!(out, "Refused: {}\n{}", harmless(&refusal.to_string()), refusal.reason().advice())?;
            Ok(ExitCode::FAILURE)
        }
    }
}

/// With these settings there would be no service to judge anything.
fn no_service(faults: &[ConfigError]) -> ExitCode {
    eprintln!("The service would not start with these settings:");
    for fault in faults {
        eprintln!("\n  * {fault}");
    }
    ExitCode::FAILURE
}

fn describe(identity: &Identity, now_ms: u64) -> String {
    let expiry = identity.expires_at_ms.map_or_else(
        || "the token does not expire".to_owned(),
        |ms| format!("expires {}", times::in_words((ms / 1000) as f64, (now_ms / 1000) as f64)),
    );
    format!("user {:?}, {expiry}", identity.user_id)
}

/// Without characters that a terminal would act on.
fn harmless(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

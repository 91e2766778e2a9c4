//! `tieline reference`: the page of all settings, made from the settings themselves.

use std::{
    io::{self, Write as _},
    process::ExitCode,
};

/// Prints the page.
pub fn run() -> ExitCode {
    match io::stdout().write_all(server::config::markdown().as_bytes()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

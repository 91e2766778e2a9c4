//! Runs the real binary with chosen settings.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

/// What a command did.
#[derive(Debug)]
pub struct Done {
    /// Exit status.
    pub status: i32,
    /// Standard output.
    pub out: String,
    /// Standard error.
    pub err: String,
}

impl From<Output> for Done {
    fn from(output: Output) -> Done {
        Done {
            status: output.status.code().expect("it was not killed"),
            out: String::from_utf8(output.stdout).expect("standard output is UTF-8"),
            err: String::from_utf8(output.stderr).expect("standard error is UTF-8"),
        }
    }
}

/// A setting for the process.
pub type Setting<'a> = (&'a str, &'a str);

/// Runs `tieline` with these arguments and exactly these settings.
pub fn tieline(arguments: &[&str], settings: &[Setting<'_>]) -> Done {
    command(arguments, settings).output().expect("it runs").into()
}

/// The same with this text as standard input.
pub fn tieline_reading(input: &str, arguments: &[&str], settings: &[Setting<'_>]) -> Done {
    let mut child = command(arguments, settings)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it runs");
    child.stdin.take().expect("there is an input").write_all(input.as_bytes()).expect("it reads");
    child.wait_with_output().expect("it ends").into()
}

fn command(arguments: &[&str], settings: &[Setting<'_>]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tieline"));
    command.args(arguments).env_clear().envs(settings.iter().copied());
    command
}

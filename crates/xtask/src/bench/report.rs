//! The table of results: printed as it grows, then put at the head of the history in BENCHMARKS.md.

use std::{fs, path::Path, process::Command};

use anyhow::Result;

/// What BENCHMARKS.md begins with.
const HEAD: &str = "\
# Benchmarks

Made by `make bench` (`cargo x bench`): the release build of the service, a private Postgres with ordinary durability, the load and
the baselines, all on one machine. Ratios mean the same everywhere; absolute numbers are this machine's. Newest run first.
";

/// The rows so far.
#[derive(Default)]
pub(crate) struct Report {
    rows: Vec<String>,
}

impl Report {
    /// Adds a measurement: what it is, the result, its baseline in words, and their ratio where it means something.
    pub(crate) fn row(
        &mut self,
        what: &str,
        result: impl std::fmt::Display,
        baseline: impl std::fmt::Display,
        ratio: Option<f64>,
    ) {
        let ratio = ratio.map_or(String::new(), |ratio| format!("{ratio:.2}"));
        let row = format!("| {what} | {result} | {baseline} | {ratio} |");
        println!("{row}");
        self.rows.push(row);
    }

    /// Puts the table at the head of the history.
    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let old = fs::read_to_string(path).unwrap_or_default();
        let history = old.strip_prefix(HEAD).unwrap_or_default();
        let machine = format!("{} cores, Linux, {}", std::thread::available_parallelism()?, processor());
        let commit = output("git", &["rev-parse", "--short", "HEAD"]);
        let date = output("date", &["-u", "+%Y-%m-%d %H:%M UTC"]);
        let table = format!(
            "\n## {date}, {commit}\n\n{machine}\n\n| what | result | baseline | ratio |\n| --- | --- | --- | --- |\n{}\n",
            self.rows.join("\n")
        );
        fs::write(path, format!("{HEAD}{table}{history}"))?;
        Ok(())
    }
}

fn output(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    output.map_or(String::new(), |output| String::from_utf8_lossy(&output.stdout).trim().to_string())
}

fn processor() -> String {
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    name.map_or("an unknown processor".into(), |(_, name)| name.to_string())
}

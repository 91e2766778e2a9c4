//! What came of a run.

use std::{collections::BTreeMap, fmt, path::PathBuf};

/// The result of a run, which prints as what a person wants to read at the end.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// Everything that must not have happened; none if the run has passed.
    pub failures: Vec<String>,
    /// Transactions that were committed, that ended unknown to their process, and that were refused.
    pub transactions: (usize, usize, usize),
    /// Faults and other events, by kind.
    pub events: BTreeMap<String, u64>,
    /// Single things looked at by the checker, by kind.
    pub checks: BTreeMap<&'static str, u64>,
    /// The seed of all choices.
    pub seed: u64,
    /// Where everything is that is needed to look into it, if it was kept.
    pub kept: Option<PathBuf>,
}

/// How many failures are printed.
const PRINTED: usize = 40;

impl Verdict {
    /// Whether nothing happened that must not happen.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.failures.is_empty()
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (committed, unknown, failed) = self.transactions;
        writeln!(f, "transactions")?;
        writeln!(f, "{committed:>10} committed")?;
        writeln!(f, "{unknown:>10} of unknown end")?;
        writeln!(f, "{failed:>10} refused")?;
        writeln!(f, "faults and events")?;
        for (kind, count) in &self.events {
            writeln!(f, "{count:>10} {kind}")?;
        }
        writeln!(f, "checks")?;
        for (kind, count) in &self.checks {
            writeln!(f, "{count:>10} {kind}")?;
        }
        for failure in self.failures.iter().take(PRINTED) {
            writeln!(f, "FAILURE {failure}")?;
        }
        if self.failures.len() > PRINTED {
            writeln!(f, "… and {} more", self.failures.len() - PRINTED)?;
        }
        if let Some(folder) = &self.kept {
            writeln!(
                f,
                "kept in {}: history.jsonl, events.log, verdict.txt, service.log, client-*.log, client-*.db, journal, postgres",
                folder.display()
            )?;
        }
        match self.passed() {
            true => write!(f, "PASSED (seed {})", self.seed),
            false => {
                write!(f, "FAILED (seed {}): {} things that must not happen", self.seed, self.failures.len())
            }
        }
    }
}

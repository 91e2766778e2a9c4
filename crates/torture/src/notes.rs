//! What is written down while it happens: the history, the faults, the events that somebody may want to look at.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{BufWriter, Write as _},
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use anyhow::{Context, Result};

use crate::history::{Outcome, Transaction};

/// Everything that is noted, in memory and below the run's folder: `history.jsonl`, a transaction a line, and `events.log`.
#[derive(Clone)]
pub(crate) struct Notes(Arc<Inner>);

struct Inner {
    began: Instant,
    taken: Mutex<Taken>,
}

struct Taken {
    history: BufWriter<File>,
    events: File,
    /// Every transaction so far.
    transactions: Vec<Transaction>,
    /// How often a fault was made, or something else happened that is counted.
    counts: BTreeMap<String, u64>,
    /// What must not have happened.
    failures: Vec<String>,
}

impl Notes {
    pub(crate) fn new(folder: &Path) -> Result<Notes> {
        let create = |name: &str| File::create(folder.join(name)).with_context(|| format!("making {name}"));
        let taken = Taken {
            history: BufWriter::new(create("history.jsonl")?),
            events: create("events.log")?,
            transactions: Vec::new(),
            counts: BTreeMap::new(),
            failures: Vec::new(),
        };
        Ok(Notes(Arc::new(Inner { began: Instant::now(), taken: Mutex::new(taken) })))
    }

    /// Milliseconds since the run began.
    pub(crate) fn now(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.0.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a transaction to the history.
    pub(crate) fn transaction(&self, transaction: Transaction) {
        let mut taken = self.taken();
        if let Ok(line) = serde_json::to_string(&transaction) {
            let _ = writeln!(taken.history, "{line}");
        }
        taken.transactions.push(transaction);
    }

    /// Notes an event of a kind that is counted.
    pub(crate) fn event(&self, kind: &str, text: &str) {
        let now = self.now();
        let mut taken = self.taken();
        let _ = writeln!(taken.events, "{now:>8} {kind}: {text}");
        *taken.counts.entry(kind.to_owned()).or_default() += 1;
    }

    /// Notes something that must not have happened; the run goes on.
    pub(crate) fn failure(&self, text: String) {
        self.event("failure", &text);
        self.taken().failures.push(text);
    }

    /// How many transactions there are, and how many of them ended how.
    pub(crate) fn transactions(&self) -> (usize, usize, usize) {
        let taken = self.taken();
        let of = |outcome| taken.transactions.iter().filter(|t| t.outcome == outcome).count();
        (of(Outcome::Committed), of(Outcome::Unknown), of(Outcome::Failed))
    }

    /// What was counted, by kind.
    pub(crate) fn counts(&self) -> BTreeMap<String, u64> {
        self.taken().counts.clone()
    }

    /// How many failures there are so far.
    pub(crate) fn failures(&self) -> usize {
        self.taken().failures.len()
    }

    /// The history and the failures; what is on disk is whole then.
    pub(crate) fn finish(&self) -> (Vec<Transaction>, Vec<String>) {
        let mut taken = self.taken();
        let _ = taken.history.flush();
        (taken.transactions.clone(), taken.failures.clone())
    }
}

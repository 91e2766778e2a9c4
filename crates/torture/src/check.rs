//! The checker: a pure program that is given a history and says what must not have happened.
//!
//! Every value names the transaction that wrote it. So a transaction's reads tell what its process must know from then on: the
//! transactions that it saw, what their processes knew when they made them, and so on. That knowledge is a vector clock: of each
//! process, the number of its last transaction known. A read that lacks something of what its reader knows, or has something that
//! nobody wrote, is a violation: of causal order, of reading one's own writes, of monotonic reads, or of a transaction's being seen
//! whole or not at all. At the end a reading of everything, by one who knows of everything, shows what was lost.

mod clocks;
mod index;
mod reads;
mod replicas;

use std::{collections::BTreeMap, fmt};

pub use clocks::Clock;
pub use replicas::{Replica, Rows, compare};

use crate::history::History;

/// What was violated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// Something was read that nobody wrote, or that was refused.
    Invented,
    /// Something is there more than once.
    Doubled,
    /// An acknowledged write is not there in the end.
    Lost,
    /// A part of a transaction was seen without the rest, or a state that no transaction left.
    Torn,
    /// A process did not see what it had written before.
    OwnWrites,
    /// A process did not see what it had seen before.
    Backwards,
    /// Something was seen without what its author had seen before.
    Order,
    /// What was deleted by one who had seen it is there again.
    Revived,
    /// Two replicas differ in the end.
    Divergence,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Kind::Invented => "invented value",
            Kind::Doubled => "doubled element",
            Kind::Lost => "lost acknowledged write",
            Kind::Torn => "torn transaction",
            Kind::OwnWrites => "own write not read",
            Kind::Backwards => "read went backwards",
            Kind::Order => "order inverted",
            Kind::Revived => "deleted row revived",
            Kind::Divergence => "divergence",
        })
    }
}

/// One violation, with what a person needs to look for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// Of what.
    pub kind: Kind,
    /// Who saw what, and what is wrong with it.
    pub text: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

/// What a check found, and how much it looked at.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// What must not have happened.
    pub violations: Vec<Violation>,
    /// Single things looked at, by what they are.
    pub checks: BTreeMap<&'static str, u64>,
}

impl Findings {
    pub(crate) fn count(&mut self, what: &'static str, number: usize) {
        *self.checks.entry(what).or_default() += number as u64;
    }

    pub(crate) fn report(&mut self, kind: Kind, text: String) {
        self.violations.push(Violation { kind, text });
    }

    /// Adds what another check found.
    pub fn merge(&mut self, other: Findings) {
        self.violations.extend(other.violations);
        for (what, number) in other.checks {
            *self.checks.entry(what).or_default() += number;
        }
    }
}

/// Checks what was read while things happened, and `end`, a reading of everything after everything has settled: it is the last
/// transaction of the history and of a process of its own.
#[must_use]
pub fn check(history: &History) -> Findings {
    let mut findings = Findings::default();
    let index = index::Index::new(history);
    let clocks = clocks::clocks(history, &index, &mut findings);
    reads::check(history, &index, &clocks, &mut findings);
    findings
}

#[cfg(test)]
mod tests;

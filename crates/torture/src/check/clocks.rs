//! What each transaction's process knew when it was made, its own reads included.

use std::collections::{HashMap, VecDeque};

use super::{Findings, Kind, index::Index};
use crate::history::{Author, History, Outcome, Process, Step, Transaction};

/// For each process, the number of its last transaction known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Clock(HashMap<Process, u32>);

impl Clock {
    /// Whether a transaction is known.
    #[must_use]
    pub fn knows(&self, author: Author) -> bool {
        self.0.get(&author.process).is_some_and(|number| *number >= author.number)
    }

    fn learn(&mut self, author: Author) {
        let known = self.0.entry(author.process).or_default();
        *known = author.number.max(*known);
    }

    fn join(&mut self, other: &Clock) {
        for (process, number) in &other.0 {
            self.learn(Author { process: *process, number: *number });
        }
    }
}

/// The clock of each transaction, in the order of the history. Whoever reads at the end ([`Process::END`]) knows everything.
///
/// Transactions of which each saw the other, over however many corners, are reported, and know too little.
pub(super) fn clocks(history: &History, index: &Index<'_>, findings: &mut Findings) -> Vec<Clock> {
    let transactions = &history.transactions;
    let positions: HashMap<Author, usize> =
        transactions.iter().enumerate().map(|(position, t)| (t.author, position)).collect();
    let causes: Vec<Vec<usize>> = transactions
        .iter()
        .map(|transaction| {
            let previous = Author { number: transaction.author.number - 1, ..transaction.author };
            let seen = observed(transaction).filter(|author| *author != transaction.author);
            let seen = seen.filter(|author| index.may_be_seen(*author));
            let mut causes: Vec<_> =
                seen.chain([previous]).filter_map(|author| positions.get(&author).copied()).collect();
            causes.sort_unstable();
            causes.dedup();
            causes
        })
        .collect();
    findings.count("edges of the causal order", causes.iter().map(Vec::len).sum());

    let mut effects = vec![Vec::new(); transactions.len()];
    let mut open: Vec<usize> = causes.iter().map(Vec::len).collect();
    for (effect, causes) in causes.iter().enumerate() {
        for cause in causes {
            effects[*cause].push(effect);
        }
    }
    let mut clocks = vec![Clock::default(); transactions.len()];
    let mut ready: VecDeque<usize> = (0..transactions.len()).filter(|n| open[*n] == 0).collect();
    let mut done = 0;
    while let Some(position) = ready.pop_front() {
        done += 1;
        let mut clock = Clock::default();
        for cause in &causes[position] {
            clock.join(&clocks[*cause]);
        }
        clock.learn(transactions[position].author);
        clocks[position] = clock;
        for effect in &effects[position] {
            open[*effect] -= 1;
            if open[*effect] == 0 {
                ready.push_back(*effect);
            }
        }
    }
    if done < transactions.len() {
        let stuck: Vec<_> = (0..transactions.len()).filter(|n| open[*n] > 0).collect();
        let names: Vec<_> = stuck.iter().take(8).map(|n| transactions[*n].author.to_string()).collect();
        let text = format!(
            "{} transactions saw each other in a circle, or follow such: {}",
            stuck.len(),
            names.join(", ")
        );
        findings.report(Kind::Order, text);
    }
    let mut everything = Clock::default();
    transactions.iter().for_each(|transaction| everything.learn(transaction.author));
    for (clock, transaction) in clocks.iter_mut().zip(transactions) {
        if transaction.author.process == Process::END {
            clock.clone_from(&everything);
        }
    }
    clocks
}

/// The transactions whose writes a transaction read.
pub(super) fn observed(transaction: &Transaction) -> impl Iterator<Item = Author> {
    let committed = transaction.outcome == Outcome::Committed;
    transaction.steps.iter().filter(move |_| committed).flat_map(|step| match step {
        Step::List { elements, .. } => elements.iter().map(|element| element.author).collect(),
        Step::Greatest { value, .. } => value.iter().map(|(_, author)| *author).collect(),
        Step::Signed { cells, .. } => cells.iter().map(|(_, author)| *author).collect(),
        Step::Pairs { halves } => halves
            .iter()
            .flat_map(|(_, left, right)| [Author::parse(left), Author::parse(right)])
            .flatten()
            .collect(),
        Step::Last { value, .. } => Author::parse(value).into_iter().collect(),
        Step::Alive { rows, marks, .. } => rows.iter().chain(marks).map(|(_, author)| *author).collect(),
        Step::Append { .. }
        | Step::Raise { .. }
        | Step::Sign { .. }
        | Step::Pair { .. }
        | Step::Write { .. }
        | Step::Total { .. }
        | Step::Bear { .. }
        | Step::Kill { .. }
        | Step::Mark { .. }
        | Step::Empty { .. } => Vec::new(),
    })
}

//! Who wrote what, to be looked up.

use std::collections::{HashMap, HashSet};

use crate::history::{Author, Element, History, Outcome, Process, Step, Transaction};

/// A write and where it stands in its transaction.
#[derive(Clone, Debug)]
pub(super) struct Written<T> {
    pub(super) what: T,
    pub(super) author: Author,
    pub(super) step: usize,
}

/// Every write of a history.
#[derive(Default)]
pub(super) struct Index<'a> {
    pub(super) outcomes: HashMap<Author, Outcome>,
    pub(super) lists: HashMap<u32, Vec<Written<Element>>>,
    pub(super) raises: HashMap<u32, Vec<Written<i64>>>,
    /// By row, generation of columns and process; in the order of the process.
    pub(super) signs: HashMap<(u32, u32, Process), Vec<Written<()>>>,
    pub(super) pairs: HashSet<(u32, Author)>,
    pub(super) writes: HashSet<(u32, Author)>,
    pub(super) born: HashMap<u32, Vec<Written<&'a str>>>,
    pub(super) killed: HashMap<&'a str, Vec<Written<()>>>,
    pub(super) marked: HashMap<&'a str, Vec<Written<()>>>,
    /// By group: what was deleted there all at once; `None` if nobody knows.
    pub(super) emptied: HashMap<u32, Vec<Written<Option<HashSet<&'a str>>>>>,
}

impl<'a> Index<'a> {
    pub(super) fn new(history: &'a History) -> Index<'a> {
        let mut index = Index::default();
        for transaction in &history.transactions {
            index.outcomes.insert(transaction.author, transaction.outcome);
            for (step, what) in transaction.steps.iter().enumerate() {
                index.add(transaction.author, step, what);
                if let Step::Empty { group } = what {
                    let rows = read_before(transaction, step, *group);
                    let written = Written { what: rows, author: transaction.author, step };
                    index.emptied.entry(*group).or_default().push(written);
                }
            }
        }
        index
    }

    fn add(&mut self, author: Author, step: usize, what: &'a Step) {
        fn written<T>(what: T, author: Author, step: usize) -> Written<T> {
            Written { what, author, step }
        }
        match what {
            Step::Append { list, nth } => {
                let element = Element { author, nth: *nth };
                self.lists.entry(*list).or_default().push(written(element, author, step));
            }
            Step::Raise { register, value } => {
                self.raises.entry(*register).or_default().push(written(*value, author, step));
            }
            Step::Sign { row, generation } => {
                self.signs.entry((*row, *generation, author.process)).or_default().push(written(
                    (),
                    author,
                    step,
                ));
            }
            Step::Pair { pair } => drop(self.pairs.insert((*pair, author))),
            Step::Write { register } => drop(self.writes.insert((*register, author))),
            Step::Bear { row, group } => {
                self.born.entry(*group).or_default().push(written(row, author, step));
            }
            Step::Kill { row } => self.killed.entry(row).or_default().push(written((), author, step)),
            Step::Mark { row } => self.marked.entry(row).or_default().push(written((), author, step)),
            Step::Empty { .. }
            | Step::List { .. }
            | Step::Greatest { .. }
            | Step::Signed { .. }
            | Step::Pairs { .. }
            | Step::Last { .. }
            | Step::Total { .. }
            | Step::Alive { .. } => {}
        }
    }

    /// Whether a transaction may be seen at all: there is one of that name, and it was not refused.
    pub(super) fn may_be_seen(&self, author: Author) -> bool {
        self.outcomes.get(&author).is_some_and(|outcome| *outcome != Outcome::Failed)
    }

    /// Whether a transaction was acknowledged.
    pub(super) fn committed(&self, author: Author) -> bool {
        self.outcomes.get(&author) == Some(&Outcome::Committed)
    }
}

/// The rows of a group that a transaction read last before a step of its own.
fn read_before(transaction: &Transaction, step: usize, group: u32) -> Option<HashSet<&str>> {
    transaction.steps.iter().take(step).rev().find_map(|earlier| match earlier {
        Step::Alive { group: read, rows, .. } if *read == group => {
            Some(rows.iter().map(|(row, _)| row.as_str()).collect())
        }
        _ => None,
    })
}

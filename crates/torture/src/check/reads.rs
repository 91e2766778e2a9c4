//! Each read beside what its reader knows and what anybody wrote.

use std::collections::{HashMap, HashSet};

use super::{
    Clock, Findings, Kind,
    clocks::observed,
    index::{Index, Written},
};
use crate::history::{Author, Element, History, Outcome, Process, Step, Transaction};

/// Checks every read of every acknowledged transaction.
pub(super) fn check(history: &History, index: &Index<'_>, clocks: &[Clock], findings: &mut Findings) {
    let mut before: HashMap<Process, &Clock> = HashMap::new();
    let nothing = Clock::default();
    let by_author: HashMap<Author, &Clock> =
        history.transactions.iter().map(|transaction| transaction.author).zip(clocks).collect();
    for (transaction, clock) in history.transactions.iter().zip(clocks) {
        if transaction.outcome == Outcome::Committed {
            let known_before = before.get(&transaction.author.process).copied().unwrap_or(&nothing);
            let reader = Reader {
                transaction,
                clock,
                known_before,
                index,
                clocks: &by_author,
                accounts: history.accounts,
            };
            for (position, step) in transaction.steps.iter().enumerate() {
                reader.check(position, step, findings);
            }
        }
        before.insert(transaction.author.process, clock);
    }
}

/// A transaction whose reads are checked.
struct Reader<'a> {
    transaction: &'a Transaction,
    clock: &'a Clock,
    /// What its process knew before it.
    known_before: &'a Clock,
    index: &'a Index<'a>,
    /// What each transaction's process knew.
    clocks: &'a HashMap<Author, &'a Clock>,
    accounts: (i64, i64),
}

impl Reader<'_> {
    fn check(&self, position: usize, step: &Step, findings: &mut Findings) {
        match step {
            Step::List { list, elements } => self.list(position, *list, elements, findings),
            Step::Greatest { register, value } => self.greatest(position, *register, *value, findings),
            Step::Signed { row, cells, .. } => self.signed(position, *row, cells, findings),
            Step::Pairs { halves } => self.pairs(halves, findings),
            Step::Last { register, value } => self.last(*register, value, findings),
            Step::Total { accounts, sum } => self.total(*accounts, *sum, findings),
            Step::Alive { group, rows, marks } => {
                self.alive(position, *group, rows, findings);
                self.marks(position, marks, findings);
            }
            Step::Append { .. }
            | Step::Raise { .. }
            | Step::Sign { .. }
            | Step::Pair { .. }
            | Step::Write { .. }
            | Step::Bear { .. }
            | Step::Kill { .. }
            | Step::Mark { .. } => {}
            Step::Empty { .. } => findings.count("tables emptied", 1),
        }
    }

    /// Whether a write must be visible to the read at `position`.
    fn must_see<T>(&self, position: usize, write: &Written<T>) -> bool {
        if write.author == self.transaction.author {
            return write.step < position;
        }
        self.index.committed(write.author) && self.clock.knows(write.author)
    }

    /// Whether a write may be visible to the read at `position`.
    fn may_see<T>(&self, position: usize, write: &Written<T>) -> bool {
        let (me, author) = (self.transaction.author, write.author);
        match author == me {
            true => write.step < position,
            false => self.index.may_be_seen(author) && !(author.process == me.process && author > me),
        }
    }

    /// What it means that this reader does not see what that author wrote, although it knows of it.
    fn meaning(&self, missing: Author) -> Kind {
        let me = self.transaction.author;
        if me.process == Process::END {
            Kind::Lost
        } else if missing.process == me.process {
            Kind::OwnWrites
        } else if self.known_before.knows(missing) {
            Kind::Backwards
        } else if observed(self.transaction).any(|author| author == missing) {
            Kind::Torn
        } else {
            Kind::Order
        }
    }

    fn report(&self, findings: &mut Findings, kind: Kind, text: impl AsRef<str>) {
        let Transaction { author, asked, ended, .. } = self.transaction;
        let who = match author.process == Process::END {
            true => "at the end".to_owned(),
            false => format!("transaction {author} ({asked}–{ended} ms)"),
        };
        findings.report(kind, format!("{who}: {}", text.as_ref()));
    }

    fn list(&self, position: usize, list: u32, elements: &[Element], findings: &mut Findings) {
        findings.count("list elements read", elements.len());
        let written = self.index.lists.get(&list).map_or(&[][..], Vec::as_slice);
        let possible: HashMap<Element, &Written<Element>> = written.iter().map(|w| (w.what, w)).collect();
        let mut seen = HashSet::new();
        for element in elements {
            let name = format!("element {}#{} in list {list}", element.author, element.nth);
            if !seen.insert(element) {
                self.report(findings, Kind::Doubled, format!("{name} is there twice"));
            }
            if !possible.get(element).is_some_and(|write| self.may_see(position, write)) {
                self.report(findings, Kind::Invented, format!("nobody has appended {name}"));
            }
        }
        for write in written.iter().filter(|write| self.must_see(position, write)) {
            findings.count("list elements required", 1);
            if !seen.contains(&write.what) {
                let (author, nth) = (write.author, write.what.nth);
                self.report(
                    findings,
                    self.meaning(author),
                    format!("list {list} lacks element {author}#{nth}"),
                );
            }
        }
    }

    fn greatest(
        &self,
        position: usize,
        register: u32,
        value: Option<(i64, Author)>,
        findings: &mut Findings,
    ) {
        findings.count("greatest values read", 1);
        let written = self.index.raises.get(&register).map_or(&[][..], Vec::as_slice);
        if let Some((value, author)) = value {
            let found =
                written.iter().any(|w| w.author == author && w.what == value && self.may_see(position, w));
            if !found {
                let text = format!("register {register} has {value} of {author}, which never wrote it");
                self.report(findings, Kind::Invented, text);
            }
        }
        let required = written.iter().filter(|write| self.must_see(position, write)).max_by_key(|w| w.what);
        let Some(required) = required else { return };
        if value.is_none_or(|(value, _)| value < required.what) {
            let (author, least) = (required.author, required.what);
            let text = format!("register {register} has {value:?}, but {author} raised it to {least}");
            self.report(findings, self.meaning(author), text);
        }
    }

    fn signed(&self, position: usize, row: u32, cells: &[(u32, Author)], findings: &mut Findings) {
        for (generation, cell) in cells {
            let written =
                self.index.signs.get(&(row, *generation, cell.process)).map_or(&[][..], Vec::as_slice);
            if !written.iter().any(|w| w.author == *cell && self.may_see(position, w)) {
                let text = format!("{cell} has never signed row {row} in generation {generation}");
                self.report(findings, Kind::Invented, text);
            }
        }
        let signs = self.index.signs.iter().filter(|((signed, ..), _)| *signed == row);
        for ((_, generation, process), written) in signs {
            let Some(required) = written.iter().rfind(|write| self.must_see(position, write)) else {
                continue;
            };
            let what = match generation {
                0 => "cells of one writer read",
                _ => "cells of one writer in new columns read",
            };
            findings.count(what, 1);
            let cell = cells.iter().find(|(of, cell)| of == generation && cell.process == *process);
            if cell.is_none_or(|(_, cell)| cell.number < required.author.number) {
                let author = required.author;
                let found = cell.map_or("nothing".into(), |(_, cell)| cell.to_string());
                let text =
                    format!("row {row} has {found} where {author} has signed in generation {generation}");
                self.report(findings, self.meaning(author), text);
            }
        }
    }

    fn pairs(&self, halves: &[(u32, String, String)], findings: &mut Findings) {
        findings.count("pairs read", halves.len());
        for (pair, left, right) in halves {
            if left != right {
                self.report(
                    findings,
                    Kind::Torn,
                    format!("pair {pair} is {left} on one side, {right} on the other"),
                );
            }
            for half in [left, right] {
                let known = Author::parse(half).is_some_and(|author| {
                    author.number == 0
                        || self.index.pairs.contains(&(*pair, author)) && self.index.may_be_seen(author)
                });
                if !known {
                    self.report(
                        findings,
                        Kind::Invented,
                        format!("nobody has written {half} to pair {pair}"),
                    );
                }
            }
        }
    }

    fn last(&self, register: u32, value: &str, findings: &mut Findings) {
        findings.count("last writers read", 1);
        let known = Author::parse(value).is_some_and(|author| {
            author.number == 0
                || self.index.writes.contains(&(register, author)) && self.index.may_be_seen(author)
        });
        if !known {
            self.report(
                findings,
                Kind::Invented,
                format!("nobody has written {value} to register {register}"),
            );
        }
    }

    fn total(&self, accounts: i64, sum: i64, findings: &mut Findings) {
        findings.count("totals read", 1);
        if (accounts, sum) != self.accounts {
            let (right, total) = self.accounts;
            let text = format!("{accounts} accounts hold {sum} together, not {right} and {total}");
            self.report(findings, Kind::Torn, text);
        }
    }

    fn alive(&self, position: usize, group: u32, rows: &[(String, Author)], findings: &mut Findings) {
        findings.count("rows of groups read", rows.len());
        let born = self.index.born.get(&group).map_or(&[][..], Vec::as_slice);
        let mut seen = HashSet::new();
        for (row, author) in rows {
            if !seen.insert(row.as_str()) {
                self.report(findings, Kind::Doubled, format!("row {row} is there twice"));
            }
            if !born.iter().any(|w| w.what == row && w.author == *author && self.may_see(position, w)) {
                self.report(findings, Kind::Invented, format!("row {row} is not one that {author} made"));
            }
            let killers = self.index.killed.get(row.as_str()).map_or(&[][..], Vec::as_slice);
            if let Some(killer) = killers.iter().find(|write| self.must_see(position, write)) {
                let text =
                    format!("row {row} of group {group} is there, though {} had deleted it", killer.author);
                self.report(findings, Kind::Revived, text);
            }
            let emptied = self.index.emptied.get(&group).map_or(&[][..], Vec::as_slice);
            if let Some(emptier) = emptied
                .iter()
                .find(|write| self.must_see(position, write) && self.was_emptied_for_good(row, write))
            {
                let text =
                    format!("row {row} is there, though {} had emptied the table of it", emptier.author);
                self.report(findings, Kind::Revived, text);
            }
        }
        for write in born.iter().filter(|write| self.must_see(position, write)) {
            findings.count("rows of groups required", 1);
            let maybe_killed = self.index.killed.get(write.what).is_some_and(|killers| {
                killers.iter().any(|killer| self.index.outcomes.get(&killer.author) != Some(&Outcome::Failed))
            });
            let emptied = self.index.emptied.get(&group).map_or(&[][..], Vec::as_slice);
            let maybe_emptied = emptied.iter().any(|emptier| self.maybe_emptied(write, emptier));
            if !maybe_killed && !maybe_emptied && !seen.contains(write.what) {
                let (row, author) = (write.what, write.author);
                let text = format!("row {row} of group {group} is not there, which {author} made");
                self.report(findings, self.meaning(author), text);
            }
        }
    }

    /// Whether a table was emptied of a row, and nobody can have changed the row without knowing that: such a change brings it back.
    fn was_emptied_for_good(&self, row: &str, emptier: &Written<Option<HashSet<&str>>>) -> bool {
        let Some(rows) = &emptier.what else { return false };
        let marks = self.index.marked.get(row).map_or(&[][..], Vec::as_slice);
        rows.contains(row)
            && !marks
                .iter()
                .any(|mark| self.index.may_be_seen(mark.author) && !self.knew(emptier.author, mark.author))
    }

    /// Whether a row may have been there when its table was emptied.
    fn maybe_emptied(&self, born: &Written<&str>, emptier: &Written<Option<HashSet<&str>>>) -> bool {
        match &emptier.what {
            Some(rows) => self.index.may_be_seen(emptier.author) && rows.contains(born.what),
            None => self.index.may_be_seen(emptier.author) && !self.knew(born.author, emptier.author),
        }
    }

    /// Whether a transaction's process knew of another one when it made it.
    fn knew(&self, author: Author, other: Author) -> bool {
        self.clocks.get(&author).is_some_and(|clock| clock.knows(other))
    }

    fn marks(&self, position: usize, marks: &[(String, Author)], findings: &mut Findings) {
        findings.count("changed rows read", marks.len());
        for (row, author) in marks {
            let marked = self.index.marked.get(row.as_str()).map_or(&[][..], Vec::as_slice);
            if !marked.iter().any(|write| write.author == *author && self.may_see(position, write)) {
                self.report(findings, Kind::Invented, format!("{author} has never changed row {row}"));
            }
        }
    }
}

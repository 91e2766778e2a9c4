//! Histories with one thing wrong each, and the same without it.

use super::*;
use crate::history::{Author, Element, Outcome, Process, Step, Transaction};

/// Transactions of a history by process, in the order given.
#[derive(Default)]
struct Told {
    history: History,
}

impl Told {
    fn new() -> Told {
        Told { history: History { transactions: Vec::new(), accounts: (2, 100) } }
    }

    fn ended(mut self, process: u16, outcome: Outcome, steps: Vec<Step>) -> Told {
        let process = Process(process);
        let before = self.history.transactions.iter().filter(|t| t.author.process == process).count();
        let number = u32::try_from(before).expect("few") + 1;
        let at = self.history.transactions.len() as u64;
        let author = Author { process, number };
        self.history.transactions.push(Transaction {
            author,
            asked: at,
            ended: at,
            outcome,
            steps,
            sql: Vec::new(),
        });
        self
    }

    fn did(self, process: u16, steps: Vec<Step>) -> Told {
        self.ended(process, Outcome::Committed, steps)
    }

    fn end(self, steps: Vec<Step>) -> Told {
        self.did(Process::END.0, steps)
    }

    fn finds(self, expected: &[Kind]) {
        let findings = check(&self.history);
        let kinds: Vec<_> = findings.violations.iter().map(|violation| violation.kind).collect();
        assert_eq!(kinds, expected, "{:#?}", findings.violations);
    }
}

fn author(process: u16, number: u32) -> Author {
    Author { process: Process(process), number }
}

fn append(list: u32) -> Step {
    Step::Append { list, nth: 0 }
}

/// A read of a list with the first elements of these transactions.
fn list(list: u32, authors: &[(u16, u32)]) -> Step {
    let elements = authors.iter().map(|(p, n)| Element { author: author(*p, *n), nth: 0 }).collect();
    Step::List { list, elements }
}

fn pairs(left: &str, right: &str) -> Step {
    Step::Pairs { halves: vec![(1, left.into(), right.into())] }
}

#[test]
fn a_good_history_is_good() {
    Told::new()
        .did(0, vec![append(1), append(2)])
        .did(1, vec![list(1, &[]), append(1)])
        .did(1, vec![list(1, &[(0, 1), (1, 1)]), list(2, &[(0, 1)])])
        .did(0, vec![list(1, &[(0, 1)]), append(1), list(1, &[(0, 1), (0, 2)])])
        .end(vec![list(1, &[(0, 1), (1, 1), (0, 2)]), list(2, &[(0, 1)])])
        .finds(&[]);
}

#[test]
fn an_acknowledged_append_that_is_not_there_in_the_end_is_lost() {
    Told::new()
        .did(0, vec![append(1)])
        .did(1, vec![append(1)])
        .end(vec![list(1, &[(1, 1)])])
        .finds(&[Kind::Lost]);
}

#[test]
fn an_append_that_nobody_knows_the_end_of_may_be_there_or_not() {
    let told = || Told::new().ended(0, Outcome::Unknown, vec![append(1)]);
    told().end(vec![list(1, &[])]).finds(&[]);
    told().end(vec![list(1, &[(0, 1)])]).finds(&[]);
}

#[test]
fn what_was_refused_or_never_asked_for_may_not_be_seen() {
    let told = || Told::new().ended(0, Outcome::Failed, vec![append(1)]);
    told().did(1, vec![list(1, &[(0, 1)])]).finds(&[Kind::Invented]);
    told().did(1, vec![list(1, &[(0, 2)])]).finds(&[Kind::Invented]);
    told().did(1, vec![list(1, &[])]).finds(&[]);
}

#[test]
fn an_element_is_there_once() {
    Told::new().did(0, vec![append(1)]).end(vec![list(1, &[(0, 1), (0, 1)])]).finds(&[Kind::Doubled]);
}

#[test]
fn a_transaction_is_seen_whole() {
    let told = || Told::new().did(0, vec![append(1), append(2)]);
    told().did(1, vec![list(1, &[(0, 1)]), list(2, &[])]).finds(&[Kind::Torn]);
    told().did(1, vec![list(2, &[]), list(1, &[(0, 1)])]).finds(&[Kind::Torn]);
    told().did(1, vec![list(1, &[(0, 1)])]).did(1, vec![list(2, &[])]).finds(&[Kind::Backwards]);
}

#[test]
fn a_process_sees_what_it_wrote() {
    let told = || Told::new().did(0, vec![append(1)]);
    told().did(0, vec![list(1, &[])]).finds(&[Kind::OwnWrites]);
    Told::new().did(0, vec![append(1), list(1, &[])]).finds(&[Kind::OwnWrites]);
    Told::new().did(0, vec![list(1, &[(0, 1)]), append(1)]).finds(&[Kind::Invented]);
}

#[test]
fn reads_do_not_go_backwards() {
    Told::new()
        .did(0, vec![append(1)])
        .did(1, vec![list(1, &[(0, 1)])])
        .did(1, vec![list(1, &[])])
        .finds(&[Kind::Backwards]);
}

#[test]
fn a_writers_order_is_kept() {
    Told::new()
        .did(0, vec![append(1)])
        .did(0, vec![append(1)])
        .did(1, vec![list(1, &[(0, 2)])])
        .finds(&[Kind::Order]);
}

#[test]
fn what_an_author_had_seen_comes_first() {
    let told = || Told::new().did(0, vec![append(1)]).did(1, vec![list(1, &[(0, 1)]), append(2)]);
    told().did(2, vec![list(2, &[(1, 1)]), list(1, &[])]).finds(&[Kind::Order]);
    told().did(2, vec![list(2, &[(1, 1)]), list(1, &[(0, 1)])]).finds(&[]);
    // The one who had not seen it gives no such order.
    let told = || Told::new().did(0, vec![append(1)]).did(1, vec![list(1, &[]), append(2)]);
    told().did(2, vec![list(2, &[(1, 1)]), list(1, &[])]).finds(&[]);
}

#[test]
fn nobody_sees_what_follows_from_what_it_does() {
    let told =
        Told::new().did(0, vec![list(2, &[(1, 1)]), append(1)]).did(1, vec![list(1, &[(0, 1)]), append(2)]);
    told.finds(&[Kind::Order]);
}

#[test]
fn the_greatest_value_never_sinks() {
    let raise = |value| vec![Step::Raise { register: 1, value }];
    let read = |value| vec![Step::Greatest { register: 1, value }];
    let told = || Told::new().did(0, raise(5)).did(1, raise(7));
    told().end(read(Some((7, author(1, 1))))).finds(&[]);
    told().end(read(Some((5, author(0, 1))))).finds(&[Kind::Lost]);
    told().end(read(None)).finds(&[Kind::Lost]);
    told().end(read(Some((9, author(0, 1))))).finds(&[Kind::Invented]);
    told()
        .did(2, read(Some((7, author(1, 1)))))
        .did(2, read(Some((5, author(0, 1)))))
        .finds(&[Kind::Backwards]);
}

/// A read of the cells of row 1 that these transactions have signed, in a generation of columns.
fn signed(generation: u32, cells: &[(u16, u32)]) -> Vec<Step> {
    let cells = cells.iter().map(|(process, number)| (generation, author(*process, *number))).collect();
    vec![Step::Signed { row: 1, cells, generations: generation }]
}

#[test]
fn a_cell_of_one_writer_holds_its_last_write() {
    let sign = || vec![Step::Sign { row: 1, generation: 0 }];
    let read = |cells: &[(u16, u32)]| signed(0, cells);
    let told = || Told::new().did(0, sign()).did(0, sign()).did(1, sign());
    told().end(read(&[(0, 2), (1, 1)])).finds(&[]);
    told().end(read(&[(0, 1), (1, 1)])).finds(&[Kind::Lost]);
    told().end(read(&[(0, 2)])).finds(&[Kind::Lost]);
    told().did(2, read(&[(0, 2)])).did(2, read(&[(0, 1)])).finds(&[Kind::Backwards]);
    told().end(read(&[(0, 3), (1, 1)])).finds(&[Kind::Invented]);
}

#[test]
fn a_new_column_is_there_before_what_was_written_to_it_and_keeps_that() {
    let sign = |generation| Step::Sign { row: 1, generation };
    let told = || Told::new().did(0, vec![sign(1), append(1)]);
    told().end(signed(1, &[(0, 1)])).finds(&[]);
    told().end(signed(1, &[])).finds(&[Kind::Lost]);
    // Written to one column, and found in another one.
    told().end(signed(2, &[(0, 1)])).finds(&[Kind::Invented, Kind::Lost]);
    // The columns have not come, but what followed them has.
    let read = |authors: &[(u16, u32)]| [vec![list(1, authors)], signed(0, &[])].concat();
    told().did(1, read(&[])).finds(&[]);
    told().did(1, read(&[(0, 1)])).finds(&[Kind::Torn]);
    let told = || Told::new().did(0, vec![sign(1)]).did(0, vec![append(1)]);
    told().did(1, vec![list(1, &[(0, 2)])]).did(1, signed(0, &[])).finds(&[Kind::Backwards]);
}

#[test]
fn halves_of_a_pair_are_equal() {
    let told = || Told::new().did(0, vec![Step::Pair { pair: 1 }]);
    told().did(1, vec![pairs("0/1", "0/1")]).finds(&[]);
    told().did(1, vec![pairs("0/0", "0/0")]).finds(&[]);
    told().did(1, vec![pairs("0/1", "0/0")]).finds(&[Kind::Torn]);
    told().did(1, vec![pairs("1/7", "1/7")]).finds(&[Kind::Invented, Kind::Invented]);
}

#[test]
fn a_register_holds_what_somebody_wrote() {
    let told = || Told::new().did(0, vec![Step::Write { register: 3 }]);
    told().did(1, vec![Step::Last { register: 3, value: "0/1".into() }]).finds(&[]);
    told().did(1, vec![Step::Last { register: 4, value: "0/1".into() }]).finds(&[Kind::Invented]);
}

#[test]
fn a_total_is_the_same_at_any_time() {
    Told::new().did(1, vec![Step::Total { accounts: 2, sum: 100 }]).finds(&[]);
    Told::new().did(1, vec![Step::Total { accounts: 2, sum: 90 }]).finds(&[Kind::Torn]);
    Told::new().did(1, vec![Step::Total { accounts: 1, sum: 100 }]).finds(&[Kind::Torn]);
}

#[test]
fn a_deleted_row_stays_away() {
    let bear = || vec![Step::Bear { row: "r".into(), group: 1 }];
    let alive = |there: bool| {
        let rows = if there { vec![("r".to_owned(), author(0, 1))] } else { Vec::new() };
        vec![Step::Alive { group: 1, rows, marks: Vec::new() }]
    };
    let told = || Told::new().did(0, bear());
    told().end(alive(true)).finds(&[]);
    told().end(alive(false)).finds(&[Kind::Lost]);
    let told = || told().did(1, alive(true)).did(1, vec![Step::Kill { row: "r".into() }]);
    told().end(alive(false)).finds(&[]);
    told().end(alive(true)).finds(&[Kind::Revived]);
    told().did(1, alive(true)).finds(&[Kind::Revived]);
    // Whoever has not heard of it may still see it.
    told().did(0, alive(true)).end(alive(false)).finds(&[]);
}

/// A read of group 1 with rows that the first transactions of these processes made.
fn there(processes: &[u16]) -> Step {
    let rows = processes.iter().map(|process| (format!("r{process}"), author(*process, 1))).collect();
    Step::Alive { group: 1, rows, marks: Vec::new() }
}

#[test]
fn an_emptied_table_has_only_what_came_after() {
    let bear = |process: u16| vec![Step::Bear { row: format!("r{process}"), group: 1 }];
    let empty = || Step::Empty { group: 1 };
    let told = || Told::new().did(0, bear(0)).did(1, bear(1));
    // It deletes what it has read, and no other row.
    let emptied = || told().did(2, vec![there(&[0]), empty(), there(&[])]);
    emptied().end(vec![there(&[1])]).finds(&[]);
    emptied().end(vec![there(&[])]).finds(&[Kind::Lost]);
    emptied().end(vec![there(&[0, 1])]).finds(&[Kind::Revived]);
    // Whoever has not heard of it may still see the row, or see it gone; not whoever has heard.
    emptied().did(1, vec![there(&[0, 1])]).end(vec![there(&[1])]).finds(&[]);
    emptied().did(1, vec![there(&[1])]).end(vec![there(&[1])]).finds(&[]);
    emptied().did(2, vec![there(&[0, 1])]).end(vec![there(&[1])]).finds(&[Kind::Revived]);
    told().did(2, vec![there(&[0]), empty(), there(&[0])]).finds(&[Kind::Revived]);
    told()
        .did(2, vec![there(&[0]), empty(), append(1)])
        .did(1, vec![list(1, &[(2, 1)]), there(&[0, 1])])
        .finds(&[Kind::Revived]);
}

#[test]
fn who_changes_a_row_not_knowing_that_its_table_was_emptied_brings_it_back() {
    let bear = || Told::new().did(0, vec![Step::Bear { row: "r0".into(), group: 1 }]);
    let mark = || vec![Step::Mark { row: "r0".into() }];
    let empty = |told: Told, read: Step| told.did(2, vec![read, Step::Empty { group: 1 }]);
    let marked = |by: Option<(u16, u32)>| {
        let marks = by.map(|(process, number)| ("r0".to_owned(), author(process, number)));
        Step::Alive { group: 1, rows: vec![("r0".into(), author(0, 1))], marks: marks.into_iter().collect() }
    };
    let meanwhile = || empty(bear(), there(&[0])).did(1, mark());
    meanwhile().end(vec![marked(Some((1, 1)))]).finds(&[]);
    meanwhile().end(vec![there(&[])]).finds(&[]);
    meanwhile().end(vec![marked(Some((1, 2)))]).finds(&[Kind::Invented]);
    // What it knew of went with the rest.
    let before = || empty(bear().did(1, mark()), marked(Some((1, 1))));
    before().end(vec![there(&[])]).finds(&[]);
    before().end(vec![marked(Some((1, 1)))]).finds(&[Kind::Revived]);
}

#[test]
fn a_table_that_was_perhaps_emptied_may_lack_what_did_not_come_after_that() {
    let bear = |process: u16| Step::Bear { row: format!("r{process}"), group: 1 };
    let told = || {
        Told::new()
            .did(0, vec![bear(0)])
            .ended(2, Outcome::Unknown, vec![Step::Empty { group: 1 }, append(1)])
            .did(1, vec![list(1, &[(2, 1)]), bear(1)])
    };
    told().end(vec![there(&[1]), list(1, &[(2, 1)])]).finds(&[]);
    told().end(vec![there(&[0, 1]), list(1, &[(2, 1)])]).finds(&[]);
    told().end(vec![there(&[0]), list(1, &[(2, 1)])]).finds(&[Kind::Lost]);
    let refused = Told::new().did(0, vec![bear(0)]).ended(2, Outcome::Failed, vec![Step::Empty { group: 1 }]);
    refused.end(vec![there(&[])]).finds(&[Kind::Lost]);
}

#[test]
fn replicas_differ_by_rows_values_and_tags() {
    let replica = |value: Option<&str>, tag: &str| {
        let row = value.map(|v| ("1".to_owned(), (vec![Some(v.to_owned())], Some([tag.to_owned()].into()))));
        Replica { name: "r".into(), tables: [("t".to_owned(), row.into_iter().collect())].into() }
    };
    let right = replica(Some("a"), "x@1");
    let differences = |other: &Replica| compare(&right, other).violations.len();
    assert_eq!(differences(&right), 0);
    assert_eq!(differences(&replica(Some("b"), "x@1")), 1);
    assert_eq!(differences(&replica(Some("a"), "x@2")), 1);
    assert_eq!(differences(&replica(None, "")), 1);
    assert_eq!(compare(&replica(None, ""), &right).violations.len(), 1);
}

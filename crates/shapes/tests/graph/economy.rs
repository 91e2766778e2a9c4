//! What a graph costs: reads, and memory.

use change::{Change, Row, RowChange, Tags};
use shapes::{Graph, Purpose, SelectDef, Taken, WantedRows};

use super::{
    cycles::company,
    model::transaction,
    script::{Script, uuid},
};
use crate::support::{example, over, row, select, select_where, shape};

#[test]
fn rows_that_several_tables_refer_to_are_read_at_once() {
    let rows = ["c1 entry_id=e1 author_id=u1", "e1 author_id=u2", "u1", "u2", "u3"];
    let mut script = Script::new(&rows, &select("comments", vec![]));
    assert_eq!((script.data.as_str(), script.reads), ("I c1, I e1, I u1, I u2", 3));
    assert_eq!(script.tx(&["+e2 author_id=u3", "+c2 entry_id=e2 author_id=u3"]), "I c2, I e2, I u3");
    assert_eq!(script.reads, 1);
}

#[test]
fn rows_that_are_known_by_another_layer_are_not_read() {
    let comments = over(&["entry_id"], select("comments", vec![]));
    let entries = over(&["author_id"], select("entries", vec![comments]));
    let rows = ["u1", "u2", "e1 author_id=u1"];
    let mut script = Script::new(&rows, &select("users", vec![entries]));
    assert_eq!(script.tx(&["+c1 entry_id=e1 author_id=u2"]), "I c1");
    assert_eq!(script.reads, 0);
}

#[test]
fn children_of_rows_that_stay_are_not_read_again() {
    let comments = over(&["entry_id"], select("comments", vec![]));
    let entries = over(&["author_id"], select("entries", vec![comments]));
    let rows = ["u1", "u2", "e1 author_id=u1", "c1 entry_id=e1"];
    let mut script = Script::new(&rows, &select("users", vec![entries]));
    // For a moment the entry is nobody's.
    assert_eq!(script.tx(&["-u1", "~e1 author_id=u3", "+u3"]), "D u1, I u3, U e1");
    assert_eq!(script.reads, 0);
}

#[test]
fn nothing_is_read_of_a_table_that_is_there_whole() {
    let people = over(&["manager_id"], select_where("people", "this.name = 'x'", vec![]));
    let rows = ["p1 name=x", "p2 manager_id=p1", "p3 manager_id=p1 name=x"];
    let mut script = Script::of(company(), &rows, &select("people", vec![people]));
    assert_eq!((script.data.as_str(), script.reads), ("I p1, I p2, I p3", 1));
    assert_eq!(script.tx(&["~p3 manager_id=p2", "+p4 manager_id=p3 name=x"]), "I p4, U p3");
    assert_eq!(script.reads, 0);
}

/// A graph with so many users, each with so many entries.
fn filled(select: &SelectDef, users: u32, entries: u32) -> Graph {
    let plan = shape(select, &example(), "1").unwrap().plan;
    let mut graph = Graph::new(plan.clone());
    let mut pass = graph.fill();
    while let Some(want) = pass.next(&mut graph) {
        assert_eq!(want.purpose, Purpose::Fill);
        let is_root = want.rows == WantedRows::All;
        for user in 1..=users {
            if plan.layers[want.layer].table.name == "users" {
                assert_ne!(pass.take(&mut graph, &want, &a_user(user)), Taken::Out);
                continue;
            }
            assert!(is_root || want.layer > 0);
            for entry in 1..=entries {
                let taken = pass.take(&mut graph, &want, &an_entry(user * entries + entry, user));
                assert_eq!(taken, Taken::New);
            }
        }
    }
    let _ = pass.finish(&mut graph);
    assert_eq!(graph.len(), (users * (entries + 1)) as usize);
    graph
}

fn a_user(user: u32) -> Row {
    row(&[Some(&uuid(&format!("u{user}"))), Some("Jo")])
}

fn an_entry(entry: u32, user: u32) -> Row {
    row(&[Some(&uuid(&format!("e{entry}"))), Some("hello"), Some(&uuid(&format!("u{user}")))])
}

#[test]
fn a_member_takes_little_memory() {
    let entries = over(&["author_id"], select("entries", vec![]));
    for (select, users, entries) in [
        (select("users", vec![entries.clone()]), 100, 100),
        (select("users", vec![entries]), 5000, 1),
        (select("entries", vec![]), 5000, 1),
        (select("entries", vec![]), 100, 100),
    ] {
        let graph = filled(&select, users, entries);
        let each = graph.weight() / graph.len();
        assert!((60..=150).contains(&each), "{each} bytes each");
    }
}

#[test]
fn what_is_gone_is_forgotten() {
    let entries = over(&["author_id"], select("entries", vec![]));
    let mut graph = filled(&select("users", vec![entries]), 10, 10);
    let relation = example().table_named("entries").unwrap().id;
    let mut weight = 0;
    for round in 0..50 {
        let rows = |of: u32| (0..100).map(move |n| an_entry(1000 * of + n, n % 10 + 1));
        let gone = rows(round).map(|old| RowChange::Delete { old }).filter(|_| round > 0);
        let new = rows(round + 1).map(|new| RowChange::Insert { new, tags: Tags::new() });
        // Nobody's rows are known for the length of the pass only.
        let passing = (0..100).map(|n| RowChange::Insert {
            new: an_entry(900_000 + 100 * round + n, 100 + 100 * round + n),
            tags: Tags::new(),
        });
        let changes =
            gone.chain(new).chain(passing).map(|row| Change { relation, row, blind: false }).collect();
        let mut pass = graph.apply(&transaction(changes));
        assert_eq!(pass.next(&mut graph), None);
        let delta = pass.finish(&mut graph);
        assert_eq!(delta.rows.len(), if round > 0 { 200 } else { 100 });
        if round == 10 {
            weight = graph.weight();
        }
    }
    // Hash tables grow a little to get rid of what was taken out.
    assert!(graph.weight() < weight * 5 / 4, "{} after {weight}", graph.weight());
}

#[test]
fn what_rows_no_longer_refer_to_is_forgotten() {
    let mut graph = filled(&select("entries", vec![]), 100, 1);
    let relation = example().table_named("entries").unwrap().id;
    let mut weight = 0;
    for round in 0..50 {
        // Each has another author in each round, of whom nothing is found.
        let author = |n: u32, round: u32| if round == 0 { n } else { 1000 * round + n };
        let change = |n: u32| {
            let entry = |round| an_entry(n + 1, author(n, round));
            let row = RowChange::Update { old: entry(round), new: entry(round + 1), tags: Tags::new() };
            Change { relation, row, blind: false }
        };
        let mut pass = graph.apply(&transaction((1..=100).map(change).collect()));
        let want = pass.next(&mut graph).unwrap();
        assert!(matches!(want.rows, WantedRows::With { values, .. } if values.len() == 100));
        assert_eq!(pass.next(&mut graph), None);
        let _ = pass.finish(&mut graph);
        assert_eq!(graph.len(), 100, "entries");
        if round == 10 {
            weight = graph.weight();
        }
    }
    assert!(graph.weight() < weight * 5 / 4, "{} after {weight}", graph.weight());
}

//! Referential closures that lead back to themselves (spec 06 §2.7, §14.6).

use schema::Schema;

use super::script::Script;
use crate::support::{over, refer, refer_to_itself, schema, select, select_where, table};

/// Documents have authors, people have managers and teams, teams have leads.
pub fn company() -> Schema {
    let people = table(1, "people", &["id uuid", "name", "manager_id uuid", "team_id uuid"]);
    let people = refer_to_itself(people, &["manager_id"], &["id"]);
    let teams =
        refer(table(2, "teams", &["id uuid", "name", "lead_id uuid"]), &["lead_id"], &people, &["id"]);
    let people = refer(people, &["team_id"], &teams, &["id"]);
    let documents = table(3, "documents", &["id uuid", "title", "author_id uuid"]);
    let documents = refer(documents, &["author_id"], &people, &["id"]);
    schema([people, teams, documents])
}

fn documents(rows: &[&str]) -> Script {
    Script::of(company(), rows, &select("documents", vec![]))
}

#[test]
fn a_chain_comes_and_goes_whole() {
    let mut script = documents(&["p1 manager_id=p2", "p2 manager_id=p3", "p3", "p4"]);
    assert_eq!(script.tx(&["+d1 author_id=p1"]), "I d1, I p1, I p2, I p3");
    assert_eq!(script.tx(&["~p2 manager_id=p4"]), "G p3, I p4, U p2");
    assert_eq!(script.tx(&["-d1"]), "D d1, G p1, G p2, G p4");
}

#[test]
fn a_cycle_does_not_keep_itself() {
    let rows = ["d1 author_id=p1", "d2 author_id=p2", "p1 manager_id=p2", "p2 manager_id=p1"];
    let mut script = documents(&rows);
    assert_eq!(script.data, "I d1, I d2, I p1, I p2");
    assert_eq!(script.tx(&["-d1"]), "D d1");
    assert_eq!(script.tx(&["~d2 author_id=NULL"]), "G p1, G p2, U d2");
    assert_eq!(script.tx(&["~d2 author_id=p1"]), "I p1, I p2, U d2");
}

#[test]
fn a_row_that_refers_to_itself_does_not_keep_itself() {
    let mut script = documents(&["d1 author_id=p1", "p1 manager_id=p1"]);
    assert_eq!(script.tx(&["-d1"]), "D d1, G p1");
}

#[test]
fn a_cycle_through_two_tables_goes_whole() {
    let rows = ["d1 author_id=p1", "p1 team_id=t1", "t1 lead_id=p2", "p2 team_id=t1", "p3 team_id=t1"];
    let mut script = documents(&rows);
    assert_eq!(script.data, "I d1, I p1, I p2, I t1");
    assert_eq!(script.tx(&["~d1 author_id=p3"]), "G p1, I p3, U d1");
    assert_eq!(script.tx(&["~p3 team_id=NULL"]), "G p2, G t1, U p3");
}

#[test]
fn what_a_row_of_the_cycle_still_refers_to_stays() {
    let rows = [
        "d1 author_id=p1",
        "d2 author_id=p2",
        "p1 manager_id=p3",
        "p2 manager_id=p3",
        "p3 manager_id=p4",
        "p4 manager_id=p3",
    ];
    let mut script = documents(&rows);
    assert_eq!(script.tx(&["~p1 manager_id=NULL"]), "U p1");
    assert_eq!(script.reads, 0);
    assert_eq!(script.tx(&["~p3 name=x", "-d1"]), "D d1, G p1, U p3");
    assert_eq!(script.tx(&["~p2 manager_id=NULL"]), "G p3, G p4, U p2");
}

#[test]
fn a_long_chain_takes_no_stack() {
    let people: Vec<String> = (1..300).map(|n| format!("p{n} manager_id=p{}", n + 1)).collect();
    let rows: Vec<&str> = people.iter().map(String::as_str).collect();
    let mut script = documents(&rows);
    assert_eq!(script.tx(&["+d1 author_id=p1"]).matches("I p").count(), 299);
    assert_eq!(script.tx(&["-d1"]).matches("G p").count(), 299);
}

#[test]
fn a_row_of_the_transaction_brings_its_own_however_it_came_into_sight() {
    let people = over(&["team_id"], select("people", vec![]));
    let shape = select_where("teams", "this.name = 'in'", vec![people]);
    let rows = ["t1 name=out", "p1 team_id=t1 manager_id=p2", "p2 manager_id=p3", "p3"];
    // Unchanged, all that hangs on the team is additional.
    let mut script = Script::of(company(), &rows, &shape);
    assert_eq!(script.tx(&["~t1 name=in"]), "I t1 + ADD[I p1, I p2, I p3]");
    // Here p2 is in the transaction, though only p1 refers to it.
    let mut script = Script::of(company(), &rows, &shape);
    assert_eq!(script.tx(&["~t1 name=in", "~p2 name=x"]), "I p2, I p3, I t1 + ADD[I p1]");
}

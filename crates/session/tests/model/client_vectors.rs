//! The client's side of the test vectors (spec 05 §8, 45–52), on the model of the client.

use super::{
    local::{Local, Op},
    tables,
};
use crate::client::{Incoming, Kind, Values};

const OTHERS: &str = "remote";

fn client() -> Local {
    Local::new("own", &tables::schema())
}

fn values(value: &str, other: Option<&str>) -> Values {
    let columns = [("id", Some("1")), ("value", Some(value)), ("other", other)];
    columns.into_iter().map(|(name, value)| (name.to_owned(), value.map(str::to_owned))).collect()
}

fn incoming(kind: Kind, old: Values, new: Values, tags: &[&str]) -> Incoming {
    let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
    Incoming { kind, table: "parents".into(), key: "1".into(), old, new, tags }
}

fn insert(new: Values, tags: &[&str]) -> Incoming {
    incoming(Kind::Insert, Values::new(), new, tags)
}

fn row(local: &Local) -> Option<(Option<String>, Option<String>)> {
    let row = local.rows.get(&("parents".into(), "1".into()))?;
    Some((row["value"].clone(), row["other"].clone()))
}

fn tags(local: &Local) -> Vec<&str> {
    let tags = local.tags.get(&("parents".into(), "1".into()));
    tags.map_or_else(Vec::new, |tags| tags.iter().map(String::as_str).collect())
}

fn is(value: &str, other: Option<&str>) -> Option<(Option<String>, Option<String>)> {
    Some((Some(value.to_owned()), other.map(str::to_owned)))
}

/// The server's tags come in whatever order.
fn sorted(mut tags: Vec<&str>) -> Vec<&str> {
    tags.sort_unstable();
    tags
}

#[test]
fn vector_45_a_pending_insert_meets_an_older_one() {
    let mut local = client();
    local.upsert("parents", values("local", Some("1")));
    local.snapshot(2_000);
    local.receive(OTHERS, 1_000, &[insert(values("incoming", Some("1")), &["remote@1000"])], 3_000);
    assert_eq!(row(&local), is("local", Some("1")));
    assert_eq!(sorted(tags(&local)), ["own@2000", "remote@1000"]);
}

#[test]
fn vector_46_a_pending_insert_meets_a_newer_one() {
    let mut local = client();
    local.upsert("parents", values("local", Some("1")));
    local.snapshot(2_000);
    let mut newer = values("incoming", None);
    newer.remove("other");
    local.receive(OTHERS, 2_500, &[insert(newer, &["remote@2500"])], 3_000);
    assert_eq!(row(&local), is("incoming", Some("1")));
    assert_eq!(sorted(tags(&local)), ["own@2000", "remote@2500"]);
}

#[test]
fn vector_47_a_pending_touch_keeps_a_row_from_a_delete() {
    let mut local = client();
    local.fill(&[insert(values("TEST", Some("1")), &["common@1"])]);
    local.upsert("parents", values("TEST", Some("1")));
    local.snapshot(2_000);
    assert_eq!(local.oplog[0].clear, ["own@2000", "common@1"]);
    let delete = incoming(Kind::Delete, values("TEST", Some("1")), Values::new(), &[]);
    local.receive(OTHERS, 2_500, &[delete], 3_000);
    assert_eq!((row(&local), tags(&local)), (is("TEST", Some("1")), vec!["own@2000"]));
}

#[test]
fn vector_48_a_row_made_and_removed_meets_an_insert() {
    let mut local = client();
    local.upsert("parents", values("local", Some("1")));
    local.delete("parents", "1");
    local.snapshot(2_000);
    assert!(local.oplog.iter().all(|entry| entry.clear.is_empty()));
    local.receive(OTHERS, 1_000, &[insert(values("incoming", Some("2")), &["remote@1000"])], 3_000);
    assert_eq!((row(&local), tags(&local)), (is("local", Some("1")), vec!["remote@1000"]));
}

/// An insert at 1000 and a delete at 2000, both pending; then what is known of the insert comes from the server.
fn made_and_removed() -> Local {
    let mut local = client();
    local.upsert("parents", values("local", Some("1")));
    local.snapshot(1_000);
    local.delete("parents", "1");
    local.snapshot(2_000);
    assert_eq!(local.oplog[1].clear, ["own@2000", "own@1000"]);
    local
}

#[test]
fn vector_49_the_echo_of_an_insert_does_not_undo_the_delete_after_it() {
    let mut local = made_and_removed();
    local.receive("own", 1_000, &[insert(values("local", Some("1")), &["own@1000"])], 3_000);
    assert_eq!((row(&local), tags(&local)), (None, vec![]));
    let mut local = made_and_removed();
    let both = insert(values("local", Some("1")), &["own@1000", "remote@1000"]);
    local.receive("own", 1_000, &[both], 3_000);
    assert_eq!((row(&local), tags(&local)), (is("local", Some("1")), vec!["remote@1000"]));
}

#[test]
fn vector_50_an_echo_collects_its_own_entries_only() {
    let mut local = made_and_removed();
    local.upsert("parents", values("again", None));
    local.snapshot(3_000);
    local.receive("own", 1_000, &[insert(values("local", Some("1")), &["own@1000"])], 4_000);
    assert_eq!(local.oplog.iter().map(|entry| entry.op).collect::<Vec<_>>(), [Op::Delete, Op::Insert]);
    assert_eq!((row(&local), tags(&local)), (is("again", None), vec!["own@3000"]));
}

#[test]
fn vector_51_the_echo_of_an_update_that_lost() {
    let mut local = client();
    local.fill(&[insert(values("old", Some("1")), &["own@1"])]);
    local.upsert("parents", values("mine", Some("1")));
    local.snapshot(2_000);
    let theirs = incoming(
        Kind::Update,
        values("old", Some("1")),
        values("theirs", Some("1")),
        &["own@1", "remote@2001"],
    );
    local.receive(OTHERS, 2_001, &[theirs], 3_000);
    assert_eq!(row(&local), is("theirs", Some("1")));
    let same = values("theirs", Some("1"));
    let echo = incoming(Kind::Update, same.clone(), same, &["own@2000", "remote@2001"]);
    local.receive("own", 2_000, &[echo], 4_000);
    assert_eq!(row(&local), is("theirs", Some("1")));
    assert!(local.oplog.is_empty());
    assert_eq!(sorted(tags(&local)), ["own@2000", "remote@2001"]);
}

#[test]
fn vector_52_of_several_operations_on_a_row_the_first_has_the_tags() {
    let mut local = client();
    local.upsert("parents", values("local", Some("1")));
    local.snapshot(2_000);
    let both = [
        insert(values("incoming", Some("2")), &["remote@1000"]),
        incoming(Kind::Delete, values("incoming", Some("2")), Values::new(), &[]),
    ];
    local.receive(OTHERS, 1_000, &both, 3_000);
    assert_eq!(sorted(tags(&local)), ["own@2000", "remote@1000"]);
    assert!(row(&local).is_some());
}

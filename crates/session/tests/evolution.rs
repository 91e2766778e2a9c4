//! Tables that leave the sync and come back under a live session.

use std::{collections::BTreeSet, sync::Arc};

use change::{Change, Lsn, RelationId, Xid};
use protocol::wire::{SatInStartReplicationReq, SatSubsResp};
use schema::{Record, Schema, Snapshot, Table};
use session::{Delivery, Input, Output, StoredClient};
use shapes::Key;

use crate::{
    client::{Event, decode},
    harness::{Harness, stored, uuid},
    tables::{self, ISSUES, ITEMS, NOTES, OWNED, PROJECTS, insert},
    writing,
};

fn key(name: &str) -> Key {
    Key::of([Some(name.as_bytes())].as_slice(), &[0]).unwrap()
}

/// The migration that these records are, with rows of the same transaction.
fn migrating(lsn: u64, records: &[Record], before: &Arc<Schema>, rows: Vec<Change>) -> Arc<Delivery> {
    let evolution = schema::evolve(&format!("20240102000000_{lsn}"), Xid(lsn), 0, records, before);
    let transaction = tables::transaction(lsn, lsn, rows);
    let (schema, migration) = (Arc::new(evolution.schema), Arc::new(evolution.migration));
    Arc::new(Delivery::new(transaction, schema, Some(migration)).after(before.clone()))
}

fn removal(lsn: u64, table: RelationId, before: &Arc<Schema>) -> Arc<Delivery> {
    migrating(lsn, &[Record::Removed(table)], before, Vec::new())
}

fn return_of(lsn: u64, table: RelationId, before: &Arc<Schema>) -> Arc<Delivery> {
    let table = Table::clone(tables::schema().table(table).unwrap());
    migrating(lsn, &[Record::Snapshot(Box::new(Snapshot { enums: Vec::new(), table }))], before, Vec::new())
}

fn plain(lsn: u64, schema: &Arc<Schema>, rows: Vec<Change>) -> Arc<Delivery> {
    Arc::new(Delivery::new(tables::transaction(lsn, lsn, rows), schema.clone(), None))
}

impl Harness {
    /// The stream brings a migration, and the world knows it.
    fn migrate(&mut self, delivery: &Arc<Delivery>) -> Vec<Event> {
        self.world.set(|facts| {
            facts.schema = delivery.schema.clone();
            facts.migrations.extend(delivery.migration.clone());
        });
        self.stream(std::slice::from_ref(delivery))
    }
}

fn changes(events: &[Event]) -> Vec<&str> {
    let transactions = events.iter().filter_map(|event| match event {
        Event::Transaction(transaction) => Some(&transaction.changes),
        _ => None,
    });
    transactions.flatten().map(String::as_str).collect()
}

#[test]
fn the_other_tables_of_a_subscription_go_on() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items", "notes"]);
    let removal = removal(2_000, ITEMS, &tables::schema());
    let events = harness.migrate(&removal);
    let [Event::Transaction(version)] = &events[..] else { panic!("{events:?}") };
    assert!(
        version.is_migration && version.changes.is_empty(),
        "there is nothing to do for clients, but for its version"
    );
    let rows = vec![insert(ITEMS, &["1", "a"]), insert(NOTES, &["1", "a"])];
    assert_eq!(changes(&harness.stream(&[plain(2_100, &removal.schema, rows)])), ["insert notes 1"]);

    let mut events = harness.subscribe(&uuid(2), &["items"]);
    events.extend(harness.nothing_is_on_its_way());
    let [Event::Answer(_, _, body)] = &events[..] else { panic!("{events:?}") };
    let error = decode::<SatSubsResp>(body).err.unwrap();
    assert_eq!(error.shape_request_error[0].message, "Unknown table items");

    // Likewise for a client that comes back.
    let subscriptions = vec![stored(&uuid(1), &["items", "notes"], None)];
    let events = harness.resume(2_000, &[uuid(1)], StoredClient { subscriptions, ..StoredClient::default() });
    assert!(matches!(&events[..], [Event::Answer(..), ..]) && harness.closed.is_none(), "{events:?}");
    let rows = vec![insert(ITEMS, &["2", "a"]), insert(NOTES, &["2", "a"])];
    assert_eq!(changes(&harness.stream(&[plain(2_200, &removal.schema, rows)])), ["insert notes 2"]);
}

#[test]
fn a_table_that_comes_back_is_filled_before_anything_else_and_again_unless_that_was_seen() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items", "notes"]);
    let removal = removal(2_000, ITEMS, &tables::schema());
    harness.migrate(&removal);
    let back = return_of(2_100, ITEMS, &removal.schema);
    let events = harness.migrate(&back);
    assert!(
        matches!(&events[..], [Event::Relation(_), Event::Transaction(t)] if t.is_migration),
        "{events:?}"
    );
    assert_eq!(harness.session.cursor(), None, "nothing else comes first");
    let id = harness.snapshot();
    harness.open(id, 2_200, 2_150);
    assert_eq!(harness.session.wants_snapshot_frames(), Some(id));
    let mut encoder = protocol::InsertEncoder::new(back.schema.table(ITEMS).unwrap().clone());
    encoder.push([Some(b"7".as_slice()), Some(b"x")], &tables::tags(1)).unwrap();
    harness.input(Input::SnapshotFrame { id, read: 0, frame: encoder.finish().unwrap() });
    let events = harness.done(id);
    let [Event::Additional { reference, rows }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((*reference, &rows[..]), (1 << 61 | 2_100, &["items 7".to_owned()][..]));
    assert_eq!(harness.client.lsn.as_deref(), Some("2100"));
    let rows = vec![insert(ITEMS, &["8", "a"])];
    assert_eq!(changes(&harness.stream(&[plain(2_150, &back.schema, rows)])), ["insert items 8"]);

    for (observed, is_read) in [(vec![], true), (vec![2_100], true), (vec![*reference], false)] {
        let subscriptions = vec![stored(&uuid(1), &["items", "notes"], None)];
        let body = SatInStartReplicationReq {
            lsn: Lsn(2_100).to_wire(),
            subscription_ids: vec![uuid(1)],
            observed_transaction_data: observed,
            ..SatInStartReplicationReq::default()
        };
        harness.asked.clear();
        harness.resume_with(body, StoredClient { subscriptions, ..StoredClient::default() });
        assert_eq!(harness.session.cursor(), Some(Lsn(2_099)), "looked at once more");
        assert!(changes(&harness.stream(std::slice::from_ref(&back))).is_empty());
        let asks = |output: &Output| matches!(output, Output::OpenSnapshot { .. });
        assert_eq!(harness.asked.iter().any(asks), is_read);
    }
}

#[test]
fn rows_of_other_tables_that_only_a_lost_table_brought_leave_right_before_it() {
    let harness = Harness::streaming().with_subscription(&uuid(1), &["projects"]);
    let first = harness.world.tracker();
    let mut harness = harness.with_subscription(&uuid(2), &["owned"]);
    let second = harness.world.tracker();
    let cursor = harness.session.cursor().unwrap();
    first.set(|facts| {
        facts.reached = cursor;
        facts.members = BTreeSet::from([(PROJECTS, key("1")), (OWNED, key("7")), (OWNED, key("8"))]);
    });
    let removal = removal(2_000, PROJECTS, &tables::schema());
    assert!(harness.migrate(&removal).is_empty());
    assert!(harness.session.stalled_on().is_some(), "who has what has to be known here");
    second.set(|facts| {
        facts.reached = cursor;
        facts.members = BTreeSet::from([(OWNED, key("8"))]);
    });
    let events = harness.stream(std::slice::from_ref(&removal));
    let [Event::Transaction(left), Event::Transaction(version)] = &events[..] else { panic!("{events:?}") };
    assert!(version.is_migration && version.changes.is_empty());
    assert_eq!(
        (&left.changes[..], left.lsn.clone()),
        (&["gone owned 7".to_owned()][..], cursor.0.to_string())
    );
    assert_eq!(harness.session.cursor(), Some(Lsn(2_000)));
}

#[test]
fn a_session_behind_goes_on_without_a_table_that_can_not_be_read_any_more() {
    let harness = Harness::streaming().with_subscription(&uuid(1), &["a projects with a issues"]);
    let mut harness = harness.with_subscription(&uuid(2), &["notes"]);
    let tracker = harness.world.tracker();
    let cursor = harness.session.cursor().unwrap();
    // The table has gone, but the session has not come to where it goes.
    let removal = removal(3_000, ISSUES, &tables::schema());
    harness.world.set(|facts| facts.schema = removal.schema.clone());
    let before =
        plain(2_000, &tables::schema(), vec![insert(PROJECTS, &["1", "a", "7"]), insert(NOTES, &["1", "a"])]);
    assert!(harness.stream(std::slice::from_ref(&before)).is_empty());
    tracker.set(|facts| facts.unreadable = true);
    harness.input(Input::Tick);
    let without = harness.world.tracker();
    harness
        .world
        .set(|facts| assert_eq!(facts.trackers.last().unwrap().0, cursor, "from where the client is"));
    let tables: Vec<RelationId> =
        session::Tracker::plan(&*without).layers.iter().map(|layer| layer.table.id).collect();
    assert_eq!(tables, [PROJECTS, OWNED]);
    without.set(|facts| facts.reached = Lsn(2_000));
    assert_eq!(
        changes(&harness.stream(std::slice::from_ref(&before))),
        ["insert notes 1"],
        "it says nothing of the project"
    );
    assert_eq!(harness.session.cursor(), Some(Lsn(2_000)));
    without.set(|facts| facts.reached = Lsn(3_000));
    harness.stream(&[removal]);
    assert_eq!(harness.session.cursor(), Some(Lsn(3_000)));
}

#[test]
fn what_was_written_before_a_refused_relation_is_written_still() {
    let mut harness = Harness::streaming();
    harness.message(writing::consent(0));
    harness.message(writing::relation());
    harness.message(writing::log(writing::insert(1, 7, &["1", "a"])));
    assert!(matches!(harness.asked.pop(), Some(Output::Write(_))));
    let unknown = protocol::wire::SatRelation {
        schema_name: "public".to_owned(),
        table_name: "nothing".to_owned(),
        relation_id: 9,
        ..Default::default()
    };
    harness.message(protocol::Message::Relation(unknown).encode());
    assert!(harness.closed.is_none(), "not before");
    let events = harness.input(Input::Written(session::WriteOutcome::Done));
    assert!(matches!(&events[..], [Event::Error(_)]) && harness.closed.is_some(), "{events:?}");
}

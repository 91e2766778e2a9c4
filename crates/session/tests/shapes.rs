//! Shapes with joins: what a session makes of what its trackers say.

use std::{collections::BTreeSet, sync::Arc};

use change::{Change, Lsn, RelationId, RowChange};
use protocol::wire::SatInStartReplicationReq;
use session::{ClientUpdate, Delivery, Image, Input, Moves, Output, StoredClient};
use shapes::{Delta, Key, Moved, Values as _};

use crate::{
    client::Event,
    harness::{CLIENT, Harness, stored, uuid},
    naive::TestTracker,
    tables::{self, ISSUES, ITEMS, OWNED, PROJECTS, delivery, echo, insert, row},
};

const JOINED: &str = "a projects with a issues";

fn key(name: &str) -> Key {
    Key::of([Some(name.as_bytes())].as_slice(), &[0]).unwrap()
}

fn moved(relation: RelationId, name: &str, was: bool, now: bool) -> Moved {
    Moved { relation, key: key(name), was, now }
}

fn image(relation: RelationId, values: &[&str]) -> Image {
    let some: Vec<_> = values.iter().map(|value| Some(*value)).collect();
    Image { relation, key: key(values[0]), row: row(&some), tags: tables::tags(3) }
}

fn update(relation: RelationId, old: &[&str], new: &[&str]) -> Change {
    let row = |values: &[&str]| row(&values.iter().map(|value| Some(*value)).collect::<Vec<_>>());
    Change {
        relation,
        row: RowChange::Update { old: row(old), new: row(new), tags: tables::tags(4) },
        blind: false,
    }
}

/// Subscribed to a shape, with its tracker at the stream's position.
fn following(name: &str) -> (Harness, Arc<TestTracker>) {
    let harness = Harness::streaming().with_subscription(&uuid(1), &[name]);
    let tracker = harness.world.tracker();
    let reached = harness.session.cursor().unwrap();
    tracker.set(|facts| facts.reached = reached);
    (harness, tracker)
}

fn says(tracker: &TestTracker, at: u64, moves: Moves) {
    tracker.set(|facts| {
        facts.reached = facts.reached.max(Lsn(at));
        facts.moves.insert(Lsn(at), Arc::new(moves));
    });
}

fn changes(events: &[Event]) -> Vec<&str> {
    let transactions = events.iter().filter_map(|event| match event {
        Event::Transaction(transaction) => Some(&transaction.changes),
        _ => None,
    });
    transactions.flatten().map(String::as_str).collect()
}

/// An issue moves into a visible project's shape; three more hang on it.
fn moving_in() -> (Arc<Delivery>, Moves) {
    let change = update(PROJECTS, &["1", "b", "7"], &["1", "a", "7"]);
    let rows = vec![
        moved(OWNED, "7", false, true),
        moved(PROJECTS, "1", false, true),
        moved(ISSUES, "1", false, true),
        moved(ISSUES, "2", false, true),
        moved(ISSUES, "3", false, true),
    ];
    let moves = Moves {
        delta: Delta { rows, has_additional: true },
        brought: vec![image(OWNED, &["7", "u1", "x"])],
        additional: vec![image(ISSUES, &["1", "a", "1", "1"]), image(ISSUES, &["2", "a", "1", "1"])],
    };
    (delivery(2_000, 900, vec![change]), moves)
}

#[test]
fn a_tracker_is_asked_for_at_once_and_only_its_transactions_wait_for_it() {
    let mut harness = Harness::streaming();
    let cursor = harness.session.cursor().unwrap();
    harness.subscribe(&uuid(1), &[JOINED, "items"]);
    harness.world.set(|facts| assert!(matches!(&facts.trackers[..], [(from, _)] if *from == cursor)));
    let id = harness.snapshot();
    harness.open(id, 700, cursor.0);
    harness.wait(30);
    harness.done(id);

    let other = delivery(1_500, 800, vec![insert(ITEMS, &["1", "x"])]);
    let (ours, moves) = moving_in();
    assert_eq!(changes(&harness.stream(&[other.clone(), ours.clone()])), ["insert items 1"]);
    let (_, at) = harness.session.stalled_on().expect("it waits");
    assert_eq!((at, harness.session.cursor()), (Lsn(2_000), Some(Lsn(1_500))));
    assert!(harness.stream(std::slice::from_ref(&ours)).is_empty(), "still");
    says(&harness.world.tracker(), 2_000, moves);
    assert_eq!(changes(&harness.stream(&[ours])), ["insert projects 1", "insert owned 7"]);
    assert_eq!((harness.session.stalled_on().is_none(), harness.session.cursor()), (true, Some(Lsn(2_000))));
}

#[test]
fn additional_data_follows_its_transaction_directly_under_its_id() {
    let (mut harness, tracker) = following(JOINED);
    let (first, moves) = moving_in();
    says(&tracker, 2_000, moves);
    let second = delivery(2_100, 901, vec![update(PROJECTS, &["1", "a", "7"], &["1", "a", "7"])]);
    let staying = vec![moved(PROJECTS, "1", true, true)];
    says(&tracker, 2_100, Moves { delta: Delta { rows: staying, ..Delta::default() }, ..Moves::default() });
    let events = harness.stream(&[first, second]);
    let [Event::Transaction(first), Event::Additional { reference, rows }, Event::Transaction(second)] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!((first.reference, *reference, second.reference), (900, 900, 0));
    assert_eq!(rows, &["issues 1", "issues 2"], "the third has no image: its own transaction brings it");
    assert_eq!(second.changes, ["update projects 1"]);
}

/// The project has left the shape while the author was making an issue in it.
#[test]
fn what_was_made_to_hang_on_a_row_that_has_left_leaves_too() {
    let (mut harness, tracker) = following(JOINED);
    let touch = || update(PROJECTS, &["1", "b", "7"], &["1", "b", "7"]);
    let transaction = |lsn, touch: Change| {
        let made = [insert(ISSUES, &["1", "a", "1", "1"]), insert(ISSUES, &["2", "a", "2", "2"])];
        echo(lsn, lsn, CLIENT, 42, [touch].into_iter().chain(made).collect())
    };
    for at in [2_000, 2_100] {
        says(&tracker, at, Moves::default());
    }
    let events = harness.stream(&[transaction(2_000, Change { blind: true, ..touch() })]);
    assert_eq!(changes(&events), ["gone projects 1", "gone issues 1"]);
    // What it has made outside of the shape, and knew to be there, stays.
    assert_eq!(changes(&harness.stream(&[transaction(2_100, touch())])), [""; 0]);
}

#[test]
fn what_one_shape_loses_and_another_keeps_stays() {
    let (harness, first) = following(JOINED);
    let mut harness = harness.with_subscription(&uuid(2), &["projects with issues with children"]);
    let second = harness.world.tracker();
    second.set(|facts| facts.members = BTreeSet::from([(ISSUES, key("2")), (PROJECTS, key("1"))]));
    let change = update(PROJECTS, &["1", "a", "7"], &["1", "b", "7"]);
    let rows = vec![
        moved(PROJECTS, "1", true, false),
        moved(ISSUES, "1", true, false),
        moved(ISSUES, "2", true, false),
    ];
    says(&first, 2_000, Moves { delta: Delta { rows, ..Delta::default() }, ..Moves::default() });
    let staying = vec![moved(PROJECTS, "1", true, true)];
    says(&second, 2_000, Moves { delta: Delta { rows: staying, ..Delta::default() }, ..Moves::default() });
    let events = harness.stream(&[delivery(2_000, 900, vec![change])]);
    assert_eq!(changes(&events), ["update projects 1", "gone issues 1"]);
}

#[test]
fn a_condition_on_a_table_of_a_joined_shape_is_followed_from_the_moment_that_both_are_wanted() {
    let harness = Harness::streaming().with_subscription(&uuid(1), &["owned", "a items"]);
    harness.world.set(|facts| assert!(facts.trackers.is_empty(), "each row says it by itself"));
    let harness = harness.with_subscription(&uuid(2), &["projects"]);
    harness.world.set(|facts| {
        let layers = |tracker: &TestTracker| session::Tracker::plan(tracker).layers.len();
        let layers: Vec<_> = facts.trackers.iter().map(|(_, tracker)| layers(tracker)).collect();
        assert_eq!(layers, [1, 2], "the condition on items is none of theirs");
    });
}

#[test]
fn additional_data_is_sent_again_at_its_place_unless_it_was_observed() {
    let subscriptions = vec![stored(&uuid(1), &[JOINED], None)];
    let client = StoredClient { subscriptions, ..StoredClient::default() };
    let resume = |observed: Vec<u64>, client: StoredClient| {
        let mut harness = Harness::known();
        harness.world.set(|facts| facts.position = Lsn(2_000));
        let body = SatInStartReplicationReq {
            lsn: Lsn(2_000).to_wire(),
            subscription_ids: vec![uuid(1)],
            observed_transaction_data: observed,
            ..SatInStartReplicationReq::default()
        };
        harness.resume_with(body, client);
        let (delivery, moves) = moving_in();
        says(&harness.world.tracker(), 2_000, moves);
        let from = harness.session.cursor();
        assert_eq!(from, Some(Lsn(1_999)), "looked at once more");
        let events = harness.stream(&[delivery]);
        assert_eq!(harness.session.cursor(), Some(Lsn(2_000)));
        let additional = events.iter().any(|event| matches!(event, Event::Additional { reference: 900, .. }));
        assert!(changes(&events).is_empty(), "the client has the transaction: {events:?}");
        (additional, harness.stored)
    };
    assert_eq!(resume(vec![], client.clone()), (true, vec![]));
    assert_eq!(resume(vec![899], client.clone()), (true, vec![ClientUpdate::Observed(vec![899])]));
    assert_eq!(resume(vec![900], client.clone()), (false, vec![ClientUpdate::Observed(vec![900])]));
    assert_eq!(resume(vec![], StoredClient { observed: vec![900], ..client }), (false, vec![]));
}

#[test]
fn a_lost_tracker_is_replaced_by_one_that_starts_where_the_client_is() {
    let (mut harness, tracker) = following(JOINED);
    tracker.set(|facts| facts.lost = true);
    harness.reach(1_800);
    let (delivery, moves) = moving_in();
    assert!(harness.stream(std::slice::from_ref(&delivery)).is_empty());
    harness.world.set(|facts| {
        assert!(matches!(&facts.trackers[..], [_, (from, _)] if *from == Lsn(1_800)));
    });
    says(&harness.world.tracker(), 2_000, moves);
    assert_eq!(changes(&harness.stream(&[delivery])).len(), 2);
}

#[test]
fn a_gone_batch_of_a_followed_shape_needs_no_query_and_spares_what_other_shapes_keep() {
    let (harness, tracker) = following(JOINED);
    let mut harness = harness.with_subscription(&uuid(2), &["projects"]);
    let other = harness.world.tracker();
    let members = |rows: &[(RelationId, &str)]| rows.iter().map(|(t, name)| (*t, key(name))).collect();
    tracker.set(|facts| facts.members = members(&[(PROJECTS, "1"), (ISSUES, "1"), (OWNED, "7")]));
    other.set(|facts| facts.members = members(&[(PROJECTS, "1"), (OWNED, "7")]));
    let at = harness.session.cursor().unwrap();
    other.set(|facts| facts.reached = Lsn(at.0 - 1));
    harness.unsubscribe(&[&uuid(1)]);
    assert!(harness.session.stalled_on().is_some(), "the other one has to know who is in it now");
    assert!(harness.asked.iter().all(|output| !matches!(output, Output::OpenSnapshot { .. })));
    other.set(|facts| facts.reached = at);
    let events = harness.input(Input::Tick);
    let [Event::Gone { ids, keys: 1, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(ids, &[uuid(1)], "one issue; all projects and what they refer to stay");
    assert!(harness.session.stalled_on().is_none());
}

#[test]
fn a_row_that_moved_to_a_staying_shape_behind_the_snapshot_of_a_gone_batch_is_given_back() {
    let mut harness = Harness::streaming()
        .with_subscription(&uuid(1), &["a items"])
        .with_subscription(&uuid(2), &["b items"]);
    harness.unsubscribe(&[&uuid(1)]);
    let id = harness.snapshot();
    // The snapshot does not see this one, which is in the log before its position.
    harness.open(id, 700, 2_000);
    let change = update(ITEMS, &["1", "1"], &["1", "9"]);
    assert_eq!(changes(&harness.stream(&[delivery(1_900, 700, vec![change])])), ["update items 1"]);
    harness.reach(2_000);
    let mut encoder = protocol::GoneEncoder::new(tables::schema().table(ITEMS).unwrap().clone());
    encoder.push([b"1".as_slice()]).unwrap();
    let frame = encoder.finish().unwrap();
    harness.input(Input::SnapshotFrame { id, read: 0, frame });
    let events = harness.done(id);
    let [Event::Gone { keys: 1, .. }, Event::Transaction(back)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&back.changes[..], back.lsn.as_str()), (&["insert items 1".to_owned()][..], "2000"));
}

#[test]
fn keys_of_several_columns_come_apart_again() {
    let row = row(&[Some("a"), None, Some("bc"), Some("")]);
    let key = Key::of(&row, &[2, 0, 3]).unwrap();
    assert_eq!(key.values(3).collect::<Vec<_>>(), [b"bc".as_slice(), b"a", b""]);
    assert!(Key::of(&row, &[0, 1]).is_none() && row.value(1).is_none());
}

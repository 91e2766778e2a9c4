//! Subscriptions: checks, insertion points, blocks, unsubscribe (spec 02 §6.6, §6.7, §9; 06 §2.3, §5, §8).

use bytes::Bytes;
use change::{Lsn, Snapshot, Tag, Tags, Xid};
use protocol::{GoneEncoder, InsertEncoder, Request, wire::*};
use session::{ClientUpdate, CloseCode, Delivery, Input, Output, ReadKind, SnapshotFailure, SnapshotId};

use crate::{
    client::{Event, decode},
    harness::{Harness, USER, subscription, uuid},
    tables::{self, ITEMS, NOTES, OWNED, delivery, insert},
};

fn refusal(events: &[Event]) -> (String, i32, String, usize) {
    let [Event::Answer(method, _, body)] = events else { panic!("{events:?}") };
    assert_eq!(method, "subscribe");
    let body: SatSubsResp = decode(body);
    let error = body.err.expect("a refusal");
    (body.subscription_id, error.code, error.message, error.shape_request_error.len())
}

fn accepted(events: &[Event]) -> bool {
    matches!(events, [Event::Answer(method, _, body)] if method == "subscribe"
        && decode::<SatSubsResp>(body).err.is_none())
}

pub fn rows(table: &std::sync::Arc<schema::Table>, rows: &[&[&str]]) -> Bytes {
    let mut encoder = InsertEncoder::new(table.clone());
    let tags: Tags = [Tag::EPOCH].into_iter().collect();
    for row in rows {
        encoder.push(row.iter().map(|value| Some(value.as_bytes())), &tags).unwrap();
    }
    encoder.finish().unwrap()
}

fn keys(table: &std::sync::Arc<schema::Table>, keys: &[&str]) -> Bytes {
    let mut encoder = GoneEncoder::new(table.clone());
    for key in keys {
        encoder.push([key.as_bytes()]).unwrap();
    }
    encoder.finish().unwrap()
}

fn frame(harness: &mut Harness, id: SnapshotId, read: usize, frame: Bytes) -> Vec<Event> {
    harness.input(Input::SnapshotFrame { id, read, frame })
}

#[test]
fn the_checks_come_in_order_and_never_with_code_0() {
    let long = "x".repeat(129);
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    let twice = SatSubsReq {
        shape_requests: vec![subscription("", &["items"]).shape_requests[0].clone(); 2],
        subscription_id: uuid(2),
    };
    let upper = uuid(0xabc).to_uppercase();
    let cases = [
        (subscription(&long, &[]), 2, "ID too long", 0),
        (
            subscription(&uuid(1), &[]),
            1,
            "Cannot establish multiple subscriptions with the same ID. If you want to change the subscription, you need to \
             unsubscribe first.",
            0,
        ),
        (subscription("no uuid", &[]), 2, "Subscription must include at least one shape request", 0),
        (subscription("no uuid", &["nope"]), 2, "Subscription ID should be a valid UUID", 0),
        (subscription(&upper, &["nope"]), 2, "Subscription ID should be a valid UUID", 0),
        (twice, 2, "Duplicated request ids are not allowed", 0),
        (
            subscription(&uuid(2), &["nope", "items", ""]),
            2,
            "Could not establish a subscription due to errors on requests",
            2,
        ),
    ];
    for (request, code, text, shapes) in cases {
        let id = request.subscription_id.clone();
        let mut events = harness.request(Request::Subscribe(request));
        events.extend(harness.nothing_is_on_its_way());
        assert_eq!(refusal(&events), (id, code, text.to_owned(), shapes));
        assert_eq!(harness.closed, None);
    }
}

#[test]
fn subscribing_without_a_stream_is_refused_and_the_connection_stays() {
    let mut harness = Harness::known();
    assert_eq!(refusal(&harness.subscribe(&uuid(1), &["items"])).1, 2);
    let mut harness = harness.start();
    harness.stop();
    assert_eq!(refusal(&harness.subscribe(&uuid(1), &["items"])).1, 2);
    assert_eq!(harness.closed, None);
}

#[test]
fn the_stream_is_held_for_the_snapshot_then_the_reply_comes_and_the_data_at_its_place() {
    let mut harness = Harness::streaming();
    assert!(harness.subscribe(&uuid(1), &["items"]).is_empty());
    assert_eq!(harness.session.cursor(), None, "held");
    let id = harness.snapshot();
    let mut outputs = Vec::new();
    let snapshot = Snapshot { xmin: Xid(700), xmax: Xid(710), in_progress: vec![Xid(705)] };
    let input = Input::SnapshotOpened { id, snapshot, lsn: Lsn(2_000) };
    harness.session.handle(input, harness.now, &mut outputs);
    let [
        Output::Store { number, updates },
        Output::Send(reply),
        Output::Flush,
        Output::Probe(probe),
        Output::ReadSnapshot { .. },
        Output::Reach(Lsn(2_000)),
    ] = &outputs[..]
    else {
        panic!("{outputs:?}")
    };
    harness.input(Input::Probed(*probe));
    assert!(matches!(&updates[..], [ClientUpdate::Subscribed(stored)] if stored.gone_at.is_none()));
    assert!(accepted(&[harness.client.take(reply)]));
    assert_eq!(harness.session.cursor(), Some(Lsn(1_000)), "released");
    // Seen by the snapshot, so before the block; the next is not.
    assert!(
        harness.stream(&[delivery(1_500, 704, vec![insert(ITEMS, &["1", "a"])])]).is_empty(),
        "not subscribed yet"
    );
    let unseen = delivery(1_600, 705, vec![insert(ITEMS, &["2", "a"])]);
    assert!(harness.stream(std::slice::from_ref(&unseen)).is_empty());
    assert_eq!(harness.session.cursor(), None, "it stands at its place");
    assert_eq!(harness.session.wants_snapshot_frames(), None);
    harness.world.set(|facts| facts.position = Lsn(2_000));
    harness.wait(29);
    assert_eq!(harness.session.wants_snapshot_frames(), None, "not so soon after the reply");
    assert_eq!(harness.session.next_deadline(), Some(harness.now.mono_ms + 1));
    harness.wait(1);
    assert_eq!(harness.session.wants_snapshot_frames(), None, "not before the subscription is durable");
    harness.input(Input::Stored(*number));
    assert_eq!(harness.session.wants_snapshot_frames(), Some(id));
    let table = tables::schema().table(ITEMS).unwrap().clone();
    assert!(frame(&mut harness, id, 0, rows(&table, &[&["1", "a"], &["0", "a"]])).is_empty());
    assert_eq!(harness.session.cursor(), None, "nothing comes between");
    let events = harness.done(id);
    let [Event::Data { lsn, rows: 2, .. }] = &events[..] else { panic!("{events:?}") };
    assert_eq!(lsn, "1500", "the last transaction passed");
    assert_eq!(harness.session.cursor(), Some(Lsn(1_500)));
    let events = harness.stream(&[unseen]);
    assert!(
        matches!(&events[..], [Event::Transaction(t)] if t.changes == ["insert items 2"]),
        "now it counts"
    );
}

#[test]
fn on_an_idle_stream_the_block_stands_where_the_snapshot_was_taken() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    let id = harness.snapshot();
    assert!(accepted(&harness.open(id, 700, 2_000)));
    harness.wait(30);
    harness.reach(1_999);
    assert_eq!(harness.session.wants_snapshot_frames(), None);
    harness.reach(2_345);
    assert_eq!(harness.session.wants_snapshot_frames(), Some(id));
    assert!(matches!(&harness.done(id)[..], [Event::Data { lsn, rows: 0, .. }] if lsn == "2345"));
}

/// A client that is busy may find the reply and the data together, and then knows nothing of the subscription.
#[test]
fn data_waits_until_the_client_has_taken_in_the_reply_but_not_for_ever() {
    for answers in [true, false] {
        let mut harness = Harness::streaming();
        harness.answers_probes = false;
        harness.subscribe(&uuid(1), &["items"]);
        let id = harness.snapshot();
        harness.open(id, 730, 1_000);
        harness.wait(1_999);
        assert_eq!(harness.session.wants_snapshot_frames(), None, "there is no answer to the probe");
        if answers {
            harness.input(Input::Probed(0));
        } else {
            harness.wait(31);
        }
        assert_eq!(harness.session.wants_snapshot_frames(), Some(id));
    }
}

#[test]
fn a_snapshot_that_misses_what_the_stream_has_passed_is_taken_again() {
    let mut harness = Harness::streaming();
    harness.stream(&[delivery(1_100, 720, vec![])]);
    harness.subscribe(&uuid(1), &["items"]);
    let first = harness.snapshot();
    assert!(harness.open(first, 700, 2_000).is_empty(), "it does not see 720");
    assert!(matches!(harness.asked.pop(), Some(Output::OpenSnapshot { .. })));
    assert!(matches!(harness.asked.pop(), Some(Output::DropSnapshot { id }) if id == first));
    harness.world.set(|facts| facts.passed.push((Xid(725), Lsn(900))));
    let snapshot = Snapshot { xmin: Xid(721), xmax: Xid(730), in_progress: vec![Xid(725)] };
    let second = SnapshotId(first.0 + 1);
    assert!(harness.input(Input::SnapshotOpened { id: second, snapshot, lsn: Lsn(2_000) }).is_empty());
    assert_eq!(harness.session.cursor(), None, "still held");
    harness.wait(10);
    let third = harness.snapshot();
    assert!(accepted(&harness.open(third, 730, 2_000)));
}

#[test]
fn without_a_snapshot_in_time_the_request_is_refused_and_the_stream_goes_on() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    assert_eq!(harness.session.next_deadline(), Some(harness.now.mono_ms + 1_000));
    assert!(harness.wait(999).is_empty());
    let events = harness.wait(1);
    assert_eq!(
        refusal(&events),
        (uuid(1), 2, "Internal error while checking data availability".to_owned(), 0)
    );
    assert!(matches!(harness.asked.last(), Some(Output::DropSnapshot { .. })));
    assert_eq!(harness.session.cursor(), Some(Lsn(1_000)));
    harness.subscribe(&uuid(1), &["items"]);
    let id = harness.snapshot();
    assert_eq!(refusal(&harness.input(Input::SnapshotFailed { id, why: SnapshotFailure::Unavailable })).1, 2);
    let late = harness.open(id, 700, 1_000);
    assert!(late.is_empty() && matches!(harness.asked.last(), Some(Output::DropSnapshot { .. })));
}

#[test]
fn a_failed_snapshot_is_taken_again_after_the_reply_and_in_the_end_the_connection_is_closed_quietly() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    let mut id = harness.snapshot();
    harness.open(id, 700, 2_000);
    let mut tries = 0;
    loop {
        assert!(
            harness.input(Input::SnapshotFailed { id, why: SnapshotFailure::Unavailable }).is_empty(),
            "no SatSubsDataError ever"
        );
        if harness.closed.is_some() {
            break;
        }
        tries += 1;
        assert!(tries < 50);
        harness.wait(100);
        id = harness.snapshot();
    }
    assert!(tries > 2);
}

#[test]
fn requests_get_a_pair_each_and_a_table_is_read_once() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["notes"]);
    harness.subscribe(&uuid(2), &["notes", "items", "items", "owned"]);
    let Some(Output::OpenSnapshot { request, .. }) = harness.asked.last() else { panic!() };
    let read: Vec<_> = request.reads.iter().map(|read| (read.plan.relations(), read.kind)).collect();
    assert_eq!(read, [(vec![ITEMS], ReadKind::Rows), (vec![OWNED], ReadKind::Rows)]);
    assert!(!request.reads[1].plan.layers[0].filter.is_all(), "only the user's own");
    let id = harness.snapshot();
    harness.open(id, 700, 1_000);
    harness.wait(30);
    let schema = tables::schema();
    frame(&mut harness, id, 0, rows(schema.table(ITEMS).unwrap(), &[&["1", "a"]]));
    frame(&mut harness, id, 1, rows(schema.table(OWNED).unwrap(), &[&["1", USER, "a"]]));
    assert!(
        matches!(&harness.done(id)[..], [Event::Data { rows: 2, .. }]),
        "all four pairs, checked by the client"
    );
}

#[test]
fn a_table_already_watched_needs_no_query_and_gives_an_empty_block() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    let events = harness.subscribe(&uuid(2), &["items"]);
    assert!(accepted(&events));
    assert!(harness.asked.iter().all(|output| !matches!(output, Output::OpenSnapshot { .. })));
    assert!(harness.wait(29).is_empty(), "not in the same breath as the reply");
    assert!(matches!(&harness.wait(1)[..], [Event::Data { rows: 0, .. }]));
}

#[test]
fn replies_keep_the_order_of_requests_while_everything_else_goes_on() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    assert!(harness.unsubscribe(&["x"]).is_empty(), "its turn has not come");
    assert!(harness.subscribe(&uuid(2), &["notes"]).is_empty());
    harness.message(crate::writing::consent(0));
    harness.message(crate::writing::relation());
    harness.message(crate::writing::log(crate::writing::insert(1, 5, &["1", "a"])));
    assert!(harness.asked.iter().any(|output| matches!(output, Output::Write(_))), "writes don't wait");
    let at = harness.asked.iter().position(|output| matches!(output, Output::OpenSnapshot { .. })).unwrap();
    let Output::OpenSnapshot { id, .. } = harness.asked.remove(at) else { panic!() };
    let events = harness.open(id, 700, 2_000);
    let [Event::Answer(first, ..), Event::Answer(second, ..)] = &events[..] else { panic!("{events:?}") };
    assert_eq!((first.as_str(), second.as_str()), ("subscribe", "unsubscribe"));
    let third = harness.snapshot();
    assert!(accepted(&harness.open(third, 700, 2_000)));
}

#[test]
fn an_unsubscribe_is_answered_at_once_and_its_batch_names_every_id() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    let events = harness.unsubscribe(&[&uuid(1), "some:hash", ""]);
    assert!(
        matches!(&events[..], [Event::Answer(method, _, body)] if method == "unsubscribe" && body.is_empty())
    );
    let Some(Output::OpenSnapshot { request, .. }) = harness.asked.last() else {
        panic!("{:?}", harness.asked)
    };
    assert!(
        matches!(&request.reads[..], [read] if read.kind == ReadKind::Keys && read.plan.relations() == [ITEMS])
    );
    let id = harness.snapshot();
    harness.open(id, 700, 2_000);
    let events = harness.stream(&[delivery(1_500, 600, vec![insert(ITEMS, &["7", "a"])])]);
    assert!(matches!(&events[..], [Event::Transaction(_)]), "its changes keep coming until the batch");
    harness.reach(2_000);
    frame(&mut harness, id, 0, keys(tables::schema().table(ITEMS).unwrap(), &["7"]));
    let events = harness.done(id);
    let [Event::Gone { ids, lsn, keys: 1 }] = &events[..] else { panic!("{events:?}") };
    assert_eq!((&ids[..], lsn.as_str()), (&[uuid(1), "some:hash".into(), String::new()][..], "2000"));
    assert!(harness.client.rows.is_empty());
    assert_eq!(
        harness.stored.last(),
        Some(&ClientUpdate::Gone(vec![change::SubscriptionId::new(&uuid(1))], Lsn(2_000)))
    );
    assert!(
        harness.stream(&[delivery(2_500, 800, vec![insert(ITEMS, &["8", "a"])])]).is_empty(),
        "after it none"
    );
    let last = harness.client.unacked.back().copied().unwrap();
    harness.acknowledge(last, "1500", &[&uuid(1)]);
    assert_eq!(
        harness.stored.last(),
        Some(&ClientUpdate::Forget(vec![change::SubscriptionId::new(&uuid(1))]))
    );
}

#[test]
fn unknown_ids_and_covered_tables_need_no_query() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    harness.subscribe(&uuid(2), &["items"]);
    harness.wait(30);
    let events = harness.unsubscribe(&["unknown"]);
    assert!(matches!(&events[..], [Event::Answer(..), Event::Gone { keys: 0, .. }]), "{events:?}");
    let events = harness.unsubscribe(&[&uuid(1)]);
    assert!(
        matches!(&events[..], [Event::Answer(..), Event::Gone { keys: 0, .. }]),
        "the other one covers it"
    );
    let events = harness.stream(&[delivery(1_500, 800, vec![insert(ITEMS, &["1", "a"])])]);
    assert!(matches!(&events[..], [Event::Transaction(_)]));
}

#[test]
fn the_batch_is_a_write_of_its_own_after_the_reply() {
    let mut harness = Harness::streaming();
    let mut outputs = Vec::new();
    let request = Request::Unsubscribe(SatUnsubsReq { subscription_ids: vec!["x".into()] }).encode(9);
    harness.session.handle(Input::Message(request), harness.now, &mut outputs);
    let in_order =
        matches!(&outputs[..], [Output::Send(_), Output::Flush, .., Output::Send(_), Output::Send(_)]);
    assert!(in_order, "{outputs:?}");
}

#[test]
fn what_is_unsubscribed_before_its_data_never_gets_it() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    let id = harness.snapshot();
    harness.open(id, 700, 2_000);
    let events = harness.unsubscribe(&[&uuid(1)]);
    assert!(matches!(&events[..], [Event::Answer(..), Event::Gone { keys: 0, .. }]), "{events:?}");
    assert!(
        harness
            .asked
            .iter()
            .any(|output| matches!(output, Output::DropSnapshot { id: dropped } if *dropped == id))
    );
    assert_eq!(
        harness.stored.last(),
        Some(&ClientUpdate::Forget(vec![change::SubscriptionId::new(&uuid(1))]))
    );
    assert!(harness.reach(2_000).is_empty() && harness.wait(100).is_empty());
}

#[test]
fn a_block_on_the_wire_is_finished_before_its_unsubscribe_and_before_a_new_start() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    let id = harness.snapshot();
    harness.open(id, 700, 1_000);
    harness.wait(30);
    assert_eq!(harness.session.wants_snapshot_frames(), Some(id));
    assert!(matches!(&harness.unsubscribe(&[&uuid(1)])[..], [Event::Answer(..)]));
    assert!(harness.stop().is_empty());
    let events = harness.done(id);
    assert!(
        matches!(&events[..], [Event::Data { .. }, Event::Answer(method, ..)] if method == "stopReplication")
    );
}

#[test]
fn dropping_an_earlier_subscription_makes_the_one_behind_read_what_it_relied_on() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    let first = harness.snapshot();
    harness.open(first, 700, 2_000);
    assert!(accepted(&harness.subscribe(&uuid(2), &["items"])), "covered by the one before");
    let events = harness.unsubscribe(&[&uuid(1)]);
    assert!(matches!(&events[..], [Event::Answer(..)]));
    let second = harness.snapshot();
    harness.open(second, 700, 2_000);
    harness.wait(30);
    harness.reach(2_000);
    assert_eq!(harness.session.wants_snapshot_frames(), Some(second));
    let events = harness.done(second);
    assert!(matches!(&events[..], [Event::Data { .. }, Event::Gone { .. }]), "{events:?}");
}

#[test]
fn rows_read_under_an_older_definition_are_read_again() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    let id = harness.snapshot();
    harness.open(id, 900, 2_000);
    let (migration, schema) = tables::migration(1, &tables::schema());
    harness.world.set(|facts| facts.schema = schema.clone());
    let ddl = Delivery::new(tables::transaction(1_500, 800, vec![]), schema.clone(), Some(migration));
    harness.stream(&[std::sync::Arc::new(ddl)]);
    harness.wait(30);
    let again = harness.snapshot();
    assert_ne!(again, id);
    harness.open(again, 900, 2_000);
    harness.reach(2_000);
    assert_eq!(harness.session.wants_snapshot_frames(), Some(again));
    let frame = rows(schema.table(ITEMS).unwrap(), &[&["1", "a", "b"]]);
    harness.input(Input::SnapshotFrame { id: again, read: 0, frame });
    assert!(matches!(&harness.done(again)[..], [Event::Data { rows: 1, .. }]));
}

/// Busy with the data of one subscription, it would take in the reply and the data of the next one at once.
#[test]
fn a_client_that_has_answered_before_is_waited_for_longer() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["notes"]);
    harness.answers_probes = false;
    harness.subscribe(&uuid(2), &["items"]);
    let id = harness.snapshot();
    harness.open(id, 700, 1_000);
    harness.wait(10_000);
    harness.input(Input::Alive);
    assert_eq!(harness.session.wants_snapshot_frames(), None);
    harness.wait(10_029);
    assert_eq!(harness.session.wants_snapshot_frames(), None);
    harness.wait(1);
    assert_eq!(harness.session.wants_snapshot_frames(), Some(id));
}

/// A client whose connection ends amid the data of a subscription throws everything away.
#[test]
fn a_small_block_is_sent_as_one() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    let id = harness.snapshot();
    harness.open(id, 700, 1_000);
    harness.wait(30);
    let sent = harness.sent;
    let schema = tables::schema();
    frame(&mut harness, id, 0, rows(schema.table(ITEMS).unwrap(), &[&["1", "a"]]));
    assert_eq!((harness.sent, harness.session.wants_snapshot_frames()), (sent, Some(id)));
    assert!(matches!(&harness.done(id)[..], [Event::Data { rows: 1, .. }]));
    assert_eq!(harness.sent, sent + 5, "two pairs around the rows");
}

#[test]
fn a_block_that_is_not_sent_yet_is_nothing_that_a_stop_or_a_failed_read_tears() {
    for input in [None, Some(SnapshotFailure::Unavailable)] {
        let mut harness = Harness::streaming();
        harness.subscribe(&uuid(1), &["items"]);
        let id = harness.snapshot();
        harness.open(id, 700, 1_000);
        harness.wait(30);
        let sent = harness.sent;
        let input = input.map_or(Input::Shutdown, |why| Input::SnapshotFailed { id, why });
        assert!(harness.input(input).is_empty() && harness.closed.is_some());
        assert_eq!(harness.sent, sent);
    }
}

#[test]
fn a_large_block_is_sent_as_it_comes_and_finished_before_the_service_stops() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    let id = harness.snapshot();
    harness.open(id, 700, 1_000);
    harness.wait(30);
    let sent = harness.sent;
    let schema = tables::schema();
    let large = "x".repeat(40 << 10);
    for number in ["1", "2"] {
        assert_eq!(harness.sent, sent);
        frame(&mut harness, id, 0, rows(schema.table(ITEMS).unwrap(), &[&[number, &large]]));
    }
    assert_eq!(harness.sent, sent + 4);
    assert!(harness.input(Input::Shutdown).is_empty() && harness.closed.is_none());
    assert!(matches!(&harness.done(id)[..], [Event::Data { rows: 2, .. }]));
    assert_eq!(harness.closed, Some((CloseCode::GoingAway, "")));
}

#[test]
fn a_block_never_stands_inside_a_large_transaction() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["notes"]);
    harness.subscribe(&uuid(2), &["items"]);
    let id = harness.snapshot();
    harness.open(id, 800, 5_000);
    harness.wait(30);
    let changes = (0..250).map(|n| insert(NOTES, &[&n.to_string(), "a"])).collect();
    let large = delivery(1_500, 800, changes);
    assert!(
        harness.stream(std::slice::from_ref(&large)).is_empty(),
        "the snapshot does not see it: the block is first"
    );
    assert_eq!(harness.session.wants_snapshot_frames(), None, "what else the snapshot sees is not known yet");
    harness.world.set(|facts| facts.position = Lsn(5_000));
    harness.input(Input::Tick);
    assert!(matches!(&harness.done(id)[..], [Event::Data { .. }]));
    assert!(matches!(&harness.stream(&[large])[..], [Event::Transaction(t)] if t.changes.len() == 250));
}

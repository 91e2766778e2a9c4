//! Starting from scratch, the stream, its window, heartbeats (spec 02 §6.3, §6.8, §6.9, §15).

use std::sync::Arc;

use change::{Change, Lsn, Origin, RowChange};
use protocol::{ErrorCode, Request, wire::*};
use session::{ClientUpdate, CloseCode, Delivery, Input, Output, SessionConfig, StoredClient};

use crate::{
    client::{Event, Transaction, decode},
    harness::{CLIENT, Harness, USER, uuid},
    tables::{self, ITEMS, NOTES, OWNED, delivery, echo, insert, row, tags},
};

fn transactions(events: &[Event]) -> Vec<&Transaction> {
    let of = |event: &'_ Event| matches!(event, Event::Transaction(_));
    events
        .iter()
        .filter(|event| of(event))
        .map(|event| match event {
            Event::Transaction(transaction) => transaction,
            _ => unreachable!(),
        })
        .collect()
}

fn start_error(events: &[Event]) -> (i32, String) {
    let [Event::Answer(method, _, body)] = events else { panic!("{events:?}") };
    assert_eq!(method, "startReplication");
    let body: SatInStartReplicationResp = decode(body);
    let error = body.err.expect("an error");
    (error.code, error.message)
}

#[test]
fn a_first_start_is_answered_first_then_all_relations_and_nothing_else_without_migrations() {
    let mut harness = Harness::known();
    let events = harness.request(Request::StartReplication(SatInStartReplicationReq::default()));
    let [Event::Answer(_, _, body), relations @ ..] = &events[..] else { panic!("{events:?}") };
    let body: SatInStartReplicationResp = decode(body);
    assert_eq!((body.err, body.unacked_window_size), (None, Some(30)));
    let names = ["items", "notes", "owned", "projects", "issues"];
    assert_eq!(relations, names.map(|name| Event::Relation(name.to_owned())));
    assert_eq!(harness.stored, [ClientUpdate::Clear]);
    assert_eq!(harness.session.cursor(), Some(Lsn(1_000)));
    assert!(matches!(&harness.asked[..], [Output::Watch(tables)] if tables.is_empty()));
}

#[test]
fn missing_migrations_follow_the_reply_at_positions_that_end_at_the_stream() {
    let mut harness = Harness::known();
    let (first, schema) = tables::migration(1, &tables::schema());
    let (second, schema) = tables::migration(2, &schema);
    let (third, schema) = tables::migration(3, &schema);
    harness.world.set(|facts| {
        facts.migrations = vec![first.clone(), second.clone(), third];
        facts.schema = schema;
    });
    harness.durable = false;
    let start =
        SatInStartReplicationReq { schema_version: Some(first.version.clone()), ..Default::default() };
    let events = harness.request(Request::StartReplication(start));
    assert!(matches!(events[0], Event::Answer(..)));
    assert!(transactions(&events).is_empty(), "not before it is known where the client may be cut off");
    assert_eq!(harness.session.cursor(), None);
    let events = harness.input(Input::Stored(0));
    let seen: Vec<_> =
        transactions(&events).iter().map(|t| (t.lsn.clone(), t.id, t.versions.clone())).collect();
    let versions = |n: usize| vec![format!("20240102000000_{n:03}")];
    assert_eq!(seen, [("999".to_owned(), 502, versions(2)), ("1000".to_owned(), 503, versions(3))]);
    assert_eq!(transactions(&events)[0].origin, "postgres_1");
    assert_eq!(harness.session.cursor(), Some(Lsn(1_000)));
    harness.durable = true;
    harness.stored.clear();
    harness.acknowledge(502, "999", &[]);
    assert!(harness.stored.is_empty());
    harness.acknowledge(503, "1000", &[]);
    assert_eq!(harness.stored, [ClientUpdate::MigrationsSeen]);
}

#[test]
fn more_migrations_than_the_window_holds_are_sent_as_they_are_acknowledged() {
    let mut harness = Harness::known();
    let mut schema = tables::schema();
    let mut migrations = Vec::new();
    for n in 1..=70 {
        let (migration, after) = tables::migration(n, &schema);
        migrations.push(migration);
        schema = after;
    }
    harness.world.set(|facts| {
        facts.migrations = migrations;
        facts.schema = schema;
    });
    let mut sent = transactions(&harness.request(Request::StartReplication(Default::default()))).len();
    assert_eq!(sent, 30);
    while sent < 70 {
        assert_eq!(harness.session.cursor(), None);
        let (id, lsn) = (*harness.client.unacked.back().unwrap(), harness.client.lsn.clone().unwrap());
        let more = transactions(&harness.acknowledge(id, &lsn, &[])).len();
        assert!(more > 0);
        sent += more;
    }
    assert_eq!((sent, harness.client.lsn.as_deref()), (70, Some("1000")));
    harness.acknowledge(*harness.client.unacked.clone().back().unwrap(), "1000", &[]);
    assert_eq!(harness.session.cursor(), Some(Lsn(1_000)));
}

#[test]
fn a_migration_sent_at_the_start_comes_without_its_ddl_in_the_stream() {
    let mut harness = Harness::known();
    let (migration, schema) = tables::migration(1, &tables::schema());
    harness.world.set(|facts| {
        facts.migrations = vec![migration.clone()];
        facts.schema = schema.clone();
    });
    harness = harness.start().with_subscription(&uuid(1), &["items"]);
    let change = Change {
        relation: ITEMS,
        row: RowChange::Insert { new: row(&[Some("1"), Some("a"), None]), tags: tags(1) },
        blind: false,
    };
    let late = Delivery::new(tables::transaction(1_100, 800, vec![change]), schema, Some(migration));
    let events = harness.stream(&[Arc::new(late)]);
    let [Event::Transaction(transaction)] = &events[..] else { panic!("{events:?}") };
    assert!(!transaction.is_migration && transaction.changes == ["insert items 1"]);
}

#[test]
fn a_live_migration_reaches_everybody_after_its_relation() {
    let mut harness = Harness::streaming();
    let (migration, schema) = tables::migration(1, &tables::schema());
    harness.world.set(|facts| {
        facts.migrations = vec![migration.clone()];
        facts.schema = schema.clone();
    });
    let delivery = Delivery::new(tables::transaction(1_100, 800, Vec::new()), schema, Some(migration));
    let events = harness.stream(&[Arc::new(delivery)]);
    let [Event::Relation(table), Event::Transaction(transaction)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(table, "items", "only what changed is announced again");
    assert!(transaction.is_migration && transaction.lsn == "1100");
}

#[test]
fn refusals_of_a_start_come_in_order_with_their_codes_and_close() {
    let unknown = Some("9".to_owned());
    let lsn = |text: &'static str| bytes::Bytes::from_static(text.as_bytes());
    let ids = || vec![uuid(1)];
    let request = |lsn, schema_version, subscription_ids| SatInStartReplicationReq {
        lsn,
        schema_version,
        subscription_ids,
        ..Default::default()
    };
    for (request, code, text) in [
        (request(lsn("x"), unknown, ids()), 5, "Unknown schema version: \"9\""),
        (request(lsn("12x"), None, ids()), 4, "Could not validate start replication request"),
        (request(lsn("-5"), None, ids()), 4, "Could not validate start replication request"),
        (request(lsn(""), None, ids()), 2, "Cannot resume subscriptions for a first-time client"),
    ] {
        let mut harness = Harness::known();
        let mut events = harness.request(Request::StartReplication(request));
        events.extend(harness.nothing_is_on_its_way());
        assert_eq!(start_error(&events), (code, text.to_owned()));
        assert_eq!(harness.closed, Some((CloseCode::InvalidPayload, "")));
    }
}

#[test]
fn stopping_is_always_answered_and_a_second_start_replaces_the_first() {
    let mut harness = Harness::known();
    assert!(matches!(&harness.stop()[..], [Event::Answer(..)]), "though nothing was started");
    harness = harness.start().with_subscription(&uuid(1), &["items"]);
    harness.stream(&[delivery(1_100, 800, vec![insert(ITEMS, &["1", "a"])])]);
    let events = harness.request(Request::StartReplication(Default::default()));
    assert!(matches!(&events[..], [Event::Answer(..), Event::Relation(_), ..]), "{events:?}");
    assert_eq!(harness.session.cursor(), Some(Lsn(1_100)), "as if it were the first");
    assert!(harness.stream(&[delivery(1_200, 801, vec![insert(ITEMS, &["2", "a"])])]).is_empty());
    harness.stop();
    assert_eq!(harness.session.cursor(), None);
    assert!(matches!(&harness.stop()[..], [Event::Answer(..)]));
}

#[test]
fn only_what_the_shapes_cover_is_sent_and_own_transactions_always() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    let events = harness.stream(&[
        delivery(1_100, 800, vec![insert(NOTES, &["1", "a"])]),
        delivery(1_200, 801, vec![insert(NOTES, &["2", "a"]), insert(ITEMS, &["3", "a"])]),
        echo(1_300, 802, CLIENT, 42, vec![insert(NOTES, &["4", "a"])]),
        echo(1_400, 803, "another", 43, vec![insert(NOTES, &["5", "a"])]),
    ]);
    let [first, own] = transactions(&events)[..] else { panic!("{events:?}") };
    assert_eq!((first.id, first.changes.clone()), (801, vec!["insert items 3".to_owned()]));
    assert_eq!((own.id, own.origin.as_str(), own.commit_ms), (802, CLIENT, 42));
    assert!(own.changes.is_empty(), "an empty echo");
    assert_eq!(harness.session.cursor(), Some(Lsn(1_400)));
}

/// The author's database has held on to the row: it heard of the deletion before its own write had come back.
#[test]
fn what_its_author_wrote_blindly_is_gone_for_the_author_if_no_shape_has_it() {
    let blind = |change: Change| Change { blind: true, ..change };
    let update = |values: [&str; 2]| {
        let of = |content| row(&[Some("1"), Some(content)]);
        let change = RowChange::Update { old: of(values[0]), new: of(values[1]), tags: tags(1) };
        Change { relation: ITEMS, row: change, blind: true }
    };
    // What the author gets, and what anybody else with the same shape.
    let cases = [
        (insert(ITEMS, &["1", "7"]), "", ""),
        (blind(insert(ITEMS, &["1", "7"])), "gone items 1", ""),
        (blind(insert(ITEMS, &["1", "2"])), "insert items 1", "insert items 1"),
        (update(["7", "8"]), "gone items 1", ""),
        (update(["7", "2"]), "insert items 1", "insert items 1"),
        (update(["2", "3"]), "update items 1", "update items 1"),
        (update(["2", "7"]), "gone items 1", "gone items 1"),
        // They have no shape of this table, and nothing of it was ever sent.
        (blind(insert(NOTES, &["1", "7"])), "", ""),
    ];
    for (change, own, other) in cases {
        // One after the other by the same frames that are kept for all.
        let delivery = echo(1_100, 800, CLIENT, 42, vec![change]);
        for (client, expected) in [(CLIENT, own), ("another", other), (CLIENT, own)] {
            let mut harness =
                Harness::new().admit_as(client).start().with_subscription(&uuid(1), &["a items"]);
            let events = harness.stream(std::slice::from_ref(&delivery));
            let sent = transactions(&events).iter().flat_map(|sent| sent.changes.clone()).collect::<Vec<_>>();
            assert_eq!(sent.join(", "), expected, "to {client}");
        }
    }
}

#[test]
fn rows_come_and_go_with_their_owner() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["owned"]);
    let change = |old: Option<&str>, new: Option<&str>| {
        let of = |owner: Option<&str>| row(&[Some("1"), owner, Some("a")]);
        Change {
            relation: OWNED,
            row: RowChange::Update { old: of(old), new: of(new), tags: tags(1) },
            blind: false,
        }
    };
    let mut step = |lsn, old, new| match &harness.stream(&[delivery(lsn, lsn, vec![change(old, new)])])[..] {
        [] => String::new(),
        [Event::Transaction(transaction)] => transaction.changes[0].clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(step(1_100, Some("x"), Some("y")), "");
    assert_eq!(step(1_101, Some("y"), Some(USER)), "insert owned 1");
    assert_eq!(step(1_102, Some(USER), None), "update owned 1");
    assert_eq!(step(1_103, None, Some("")), "update owned 1");
    assert_eq!(step(1_104, Some(""), Some("x")), "gone owned 1");
}

#[test]
fn two_in_the_window_then_silence_until_acknowledged() {
    let config = SessionConfig { unacked_window: 2, ..SessionConfig::default() };
    let mut harness = Harness::with(config).admit().start().with_subscription(&uuid(1), &["items"]);
    let all: Vec<_> = (0..5u64)
        .map(|n| delivery(1_100 + n, 800 + n, vec![insert(ITEMS, &[&n.to_string(), "a"])]))
        .collect();
    assert_eq!(transactions(&harness.stream(&all)).len(), 2);
    assert_eq!(harness.session.cursor(), None, "suspended");
    assert!(harness.stream(&all).is_empty());
    harness.acknowledge(801, "not a position", &[]);
    assert_eq!(harness.session.cursor(), Some(Lsn(1_101)));
    assert_eq!(transactions(&harness.stream(&all)).len(), 2, "the rest is handed in again");
    harness.acknowledge(802, "1102", &[]);
    assert_eq!(transactions(&harness.stream(&all[4..])).len(), 1, "the first of two frees one place");
    assert!(harness.acknowledge(0, "", &[]).is_empty(), "0 is accepted and means nothing");
    let events = harness.acknowledge(99, "1", &[]);
    let [Event::Error(error)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(error.error_type, ErrorCode::InvalidRequest as i32);
    assert_eq!(error.message.as_deref(), Some("Acknowledged unknown txn"));
    assert_eq!(harness.closed, Some((CloseCode::InvalidPayload, "")));
}

#[test]
fn an_idle_clients_position_is_moved_on_by_an_empty_transaction() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    let far = 1_000 + SessionConfig::default().heartbeat_distance;
    assert!(harness.reach(far - 1).is_empty());
    let events = harness.reach(far);
    let [beat] = transactions(&events)[..] else { panic!("{events:?}") };
    assert!(beat.changes.is_empty() && beat.lsn == far.to_string());
    assert_eq!(beat.origin, Origin::Postgres.as_str());
    assert_ne!(beat.id & 1 << 62, 0, "no transaction of Postgres has this id");
    harness.reach(far + 1);
    for _ in 0..30 {
        harness.input(Input::Alive);
        let events = harness.wait(19_000);
        let beats = transactions(&events);
        if let [beat] = beats[..] {
            assert_eq!(beat.lsn, (far + 1).to_string());
            return;
        }
    }
    panic!("no heartbeat after minutes");
}

#[test]
fn an_idle_client_is_moved_on_when_the_service_stops() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    assert!(harness.reach(1_500).is_empty());
    let events = harness.input(Input::Shutdown);
    let [last] = transactions(&events)[..] else { panic!("{events:?}") };
    assert!(last.changes.is_empty() && last.lsn == "1500");
    assert_eq!(harness.closed, Some((CloseCode::GoingAway, "")));
}

/// Its connection may not end before its `startReplication` is answered: it would take itself for connected.
#[test]
fn a_client_that_has_just_authenticated_gets_its_answer_before_the_service_stops() {
    let mut harness = Harness::known();
    assert!(harness.input(Input::Shutdown).is_empty() && harness.closed.is_none());
    assert_eq!(harness.session.next_deadline(), Some(harness.now.mono_ms + 3_000));
    assert!(harness.wait(2_999).is_empty() && harness.closed.is_none());
    let body = SatInStartReplicationReq { lsn: Lsn(500).to_wire(), ..Default::default() };
    harness.request(Request::StartReplication(body));
    assert!(harness.wait(100).is_empty() && harness.closed.is_none(), "it has asked");
    let stored = Input::Client(Ok(StoredClient::default()));
    let events = harness.input(stored);
    assert!(matches!(&events[..], [Event::Answer(..)]), "{events:?}");
    assert_eq!(harness.closed, Some((CloseCode::GoingAway, "")));
}

#[test]
fn a_client_that_does_not_ask_for_a_stream_is_not_waited_for_long_when_the_service_stops() {
    let mut harness = Harness::known();
    harness.input(Input::Shutdown);
    assert!(harness.wait(3_000).is_empty());
    assert_eq!(harness.closed, Some((CloseCode::GoingAway, "")));

    let mut harness = Harness::known();
    harness.wait(3_000);
    harness.input(Input::Shutdown);
    assert_eq!(harness.closed, Some((CloseCode::GoingAway, "")));

    let mut harness = Harness::streaming();
    harness.stop();
    harness.input(Input::Shutdown);
    assert_eq!(harness.closed, Some((CloseCode::GoingAway, "")));
}

#[test]
fn a_client_that_is_where_the_stream_is_or_has_no_room_is_only_closed_when_the_service_stops() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    harness.stream(&[delivery(1_100, 800, vec![insert(ITEMS, &["1", "a"])])]);
    assert!(harness.input(Input::Shutdown).is_empty());

    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    for n in 0..30 {
        harness.stream(&[delivery(1_100 + n, 800 + n, vec![insert(ITEMS, &[&n.to_string(), "a"])])]);
    }
    assert!(harness.input(Input::Shutdown).is_empty(), "its window is full");
    assert_eq!(harness.closed, Some((CloseCode::GoingAway, "")));
}

#[test]
fn a_large_transaction_is_cut_into_messages_and_stays_whole() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    let changes = (0..250).map(|n| insert(ITEMS, &[&n.to_string(), "a"])).collect();
    let events = harness.stream(&[delivery(1_100, 800, changes)]);
    assert_eq!(transactions(&events)[0].changes.len(), 250);
}

#[test]
fn sessions_with_the_same_shapes_share_the_same_bytes() {
    let shared = delivery(1_100, 800, vec![insert(ITEMS, &["1", "a"])]);
    let mut bytes = Vec::new();
    for n in 0..2 {
        let mut harness = Harness::streaming().with_subscription(&uuid(n), &["items"]);
        let mut outputs = Vec::new();
        let input = Input::Stream { deliveries: vec![shared.clone()], reached: Lsn(1_100) };
        harness.session.handle(input, harness.now, &mut outputs);
        bytes.extend(outputs.into_iter().filter_map(|output| match output {
            Output::SendAll(frames) => Some(frames),
            _ => None,
        }));
    }
    assert!(Arc::ptr_eq(&bytes[0], &bytes[1]));
}

#[test]
fn a_lost_position_closes_without_a_message() {
    let mut harness = Harness::streaming();
    assert!(harness.input(Input::StreamLost).is_empty());
    assert!(harness.closed.is_some());
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<session::Session>() < 512, "{}", size_of::<session::Session>());
}

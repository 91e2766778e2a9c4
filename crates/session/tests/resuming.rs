//! Resume: which subscriptions go on, what is judged how, where the stream goes on (spec 02 §7.1, §11; 06 §11–12).

use change::{Lsn, SubscriptionId};
use protocol::{Request, wire::*};
use session::{
    ClientUpdate, CloseCode, Input, Output, PendingMigrations, StoredClient, StoredSubscription, Unavailable,
};

use crate::{
    client::{Event, decode},
    harness::{Harness, stored, uuid},
    tables::{self, ITEMS, delivery, insert},
};

fn error(events: &[Event]) -> (i32, String) {
    let [Event::Answer(_, _, body)] = events else { panic!("{events:?}") };
    let body: SatInStartReplicationResp = decode(body);
    let error = body.err.expect("an error");
    (error.code, error.message)
}

fn client(subscriptions: Vec<StoredSubscription>) -> StoredClient {
    StoredClient { subscriptions, pending_migrations: None, observed: Vec::new() }
}

fn is_streaming(events: &[Event]) -> bool {
    matches!(events.first(), Some(Event::Answer(_, _, body))
        if decode::<SatInStartReplicationResp>(body).err.is_none())
}

#[test]
fn a_known_client_goes_on_after_its_position_with_its_subscriptions() {
    let mut harness = Harness::known();
    let events = harness.resume(500, &[uuid(1)], client(vec![stored(&uuid(1), &["items"], None)]));
    assert!(is_streaming(&events));
    assert_eq!(harness.session.cursor(), Some(Lsn(500)));
    assert!(
        matches!(&harness.asked[..], [Output::Watch(interests)] if matches!(&interests[..], [all] if all.relation == ITEMS))
    );
    let events = harness.stream(&[delivery(600, 800, vec![insert(ITEMS, &["1", "a"])])]);
    let [relations @ .., Event::Transaction(t)] = &events[..] else { panic!("{events:?}") };
    assert!(relations.len() == 5 && relations.iter().all(|event| matches!(event, Event::Relation(_))));
    assert_eq!(t.changes, ["insert items 1"]);
}

#[test]
fn relations_are_those_of_the_position_not_the_newest() {
    let mut harness = Harness::known();
    let (migration, schema) = tables::migration(1, &tables::schema());
    harness.world.set(|facts| facts.schema = schema.clone());
    harness.resume(500, &[uuid(1)], client(vec![stored(&uuid(1), &["items"], None)]));
    let before = delivery(600, 800, vec![insert(ITEMS, &["1", "a"])]);
    let ddl = session::Delivery::new(tables::transaction(700, 801, vec![]), schema.clone(), Some(migration));
    let after = tables::transaction(800, 802, vec![insert(ITEMS, &["2", "a", "b"])]);
    let after = session::Delivery::new(after, schema, None);
    harness.stream(&[before, std::sync::Arc::new(ddl), std::sync::Arc::new(after)]);
    assert_eq!(harness.client.rows[&("items".into(), "1".into())].len(), 2);
    assert_eq!(harness.client.rows[&("items".into(), "2".into())].len(), 3);
}

#[test]
fn the_window_ends_where_history_begins() {
    let mut harness = Harness::known();
    assert!(is_streaming(&harness.resume(100, &[], client(vec![]))), "its first position is in it");
    let mut harness = Harness::known();
    let events = harness.resume(99, &[], client(vec![stored(&uuid(1), &["items"], None)]));
    assert_eq!(error(&events), (1, "Cannot catch up to the server's current state".to_owned()));
    assert_eq!(harness.stored, [ClientUpdate::Clear]);
    assert_eq!(harness.closed, Some((CloseCode::InvalidPayload, "")));
}

#[test]
fn a_client_ahead_of_the_stream_but_not_of_postgres_waits_for_its_reply() {
    let mut harness = Harness::known();
    assert!(harness.resume(1_500, &[], client(vec![])).is_empty());
    assert!(matches!(harness.asked.pop(), Some(Output::QueryWalEnd)));
    assert!(harness.input(Input::WalEnd(Ok(Lsn(1_500)))).is_empty());
    assert!(matches!(harness.asked.pop(), Some(Output::Reach(Lsn(1_500)))));
    assert!(harness.wait(100).is_empty());
    assert!(harness.session.next_deadline() > Some(harness.now.mono_ms), "there is nothing to look at");
    harness.world.set(|facts| facts.position = Lsn(1_500));
    assert_eq!(harness.session.next_deadline(), Some(harness.now.mono_ms), "it is looked at when woken");
    assert!(is_streaming(&harness.wait(0)));
    assert_eq!(harness.session.cursor(), Some(Lsn(1_500)));
}

#[test]
fn a_client_ahead_of_postgres_is_out_of_the_window() {
    let mut harness = Harness::known();
    harness.resume(1_501, &[], client(vec![]));
    assert_eq!(error(&harness.input(Input::WalEnd(Ok(Lsn(1_500))))).0, 1);
}

/// A client whose connection ends before it has stopped waiting never connects again; a late answer it does not take.
#[test]
fn what_can_not_be_judged_in_time_is_closed_without_an_answer_once_the_client_has_stopped_waiting() {
    for input in [None, Some(Input::WalEnd(Ok(Lsn(9_000)))), Some(Input::WalEnd(Err(Unavailable)))] {
        let mut harness = Harness::known();
        harness.resume(1_500, &[], client(vec![]));
        if let Some(input) = input {
            assert!(harness.input(input).is_empty());
        }
        assert!(harness.wait(2_500).is_empty() && harness.closed.is_none());
        assert_eq!(harness.session.next_deadline(), Some(harness.now.mono_ms + 1_000));
        harness.reach(9_000);
        harness.input(Input::WalEnd(Ok(Lsn(9_000))));
        assert!(harness.wait(999).is_empty() && harness.closed.is_none(), "too late for an answer");
        assert!(harness.wait(1).is_empty());
        assert_eq!(harness.closed, Some((CloseCode::InternalError, "")));
    }
}

#[test]
fn what_is_stored_is_asked_for_again_if_it_could_not_be_read() {
    let mut harness = Harness::known();
    let body = SatInStartReplicationReq { lsn: Lsn(500).to_wire(), ..Default::default() };
    harness.request(Request::StartReplication(body));
    for _ in 0..3 {
        assert!(matches!(harness.asked.pop(), Some(Output::LoadClient)));
        assert!(harness.input(Input::Client(Err(Unavailable))).is_empty() && harness.closed.is_none());
        assert_eq!(harness.session.next_deadline(), Some(harness.now.mono_ms + 100));
        assert!(harness.wait(99).is_empty() && harness.asked.is_empty(), "not so soon");
        harness.wait(1);
    }
    let events = harness.input(Input::Client(Ok(client(vec![]))));
    let Some(Event::Answer(method, _, body)) = events.first() else { panic!("{events:?}") };
    assert_eq!((method.as_str(), decode::<SatInStartReplicationResp>(body).err), ("startReplication", None));
}

#[test]
fn unknown_subscriptions_are_not_found() {
    let mut harness = Harness::known();
    let events = harness.resume(500, &[uuid(9)], client(vec![stored(&uuid(1), &["items"], None)]));
    assert_eq!(error(&events), (3, format!("Unknown subscription: {}", uuid(9))));
    assert!(harness.stored.is_empty(), "nothing is changed");
}

#[test]
fn around_the_end_of_a_subscription() {
    // The gone batch stands at 500.
    let resume = |lsn: u64, listed: bool, observed: bool| {
        let mut harness = Harness::known();
        let body = SatInStartReplicationReq {
            lsn: Lsn(lsn).to_wire(),
            subscription_ids: listed.then(|| uuid(1)).into_iter().collect(),
            observed_gone_batch: observed.then(|| uuid(1)).into_iter().collect(),
            ..Default::default()
        };
        let events = harness.resume_with(body, client(vec![stored(&uuid(1), &["items"], Some(500))]));
        (harness, events)
    };
    let id = SubscriptionId::new(&uuid(1));
    for lsn in [400, 500] {
        let (harness, events) = resume(lsn, true, false);
        assert!(is_streaming(&events), "it never happened");
        assert!(
            matches!(&harness.stored[..], [ClientUpdate::Subscribed(s)] if s.id == id && s.gone_at.is_none())
        );
    }
    let (_, events) = resume(501, true, false);
    assert_eq!(error(&events).0, 3, "the client has passed it");
    let (_, events) = resume(500, true, true);
    assert_eq!(error(&events).0, 3, "the client has seen it");
    for (lsn, observed) in [(501, false), (500, true)] {
        let (mut harness, events) = resume(lsn, false, observed);
        assert!(is_streaming(&events));
        assert_eq!(harness.stored, [ClientUpdate::Forget(vec![id.clone()])]);
        assert!(
            harness.reach(1_000).iter().all(|event| matches!(event, Event::Relation(_))),
            "no repeated batch"
        );
    }
    let (mut harness, events) = resume(500, false, false);
    assert!(is_streaming(&events));
    harness.reach(1_000);
    let snapshot = harness.snapshot();
    harness.open(snapshot, 700, 1_000);
    let events = harness.done(snapshot);
    assert!(matches!(&events[..], [Event::Gone { ids, .. }] if ids[..] == [uuid(1)]), "sent again");
}

#[test]
fn an_end_that_was_not_seen_is_undone_durably_before_the_stream_gets_past_it() {
    for listed in [vec![], vec![uuid(1)]] {
        let mut harness = Harness::known();
        harness.durable = false;
        let events = harness.resume(1_000, &listed, client(vec![stored(&uuid(1), &["items"], Some(1_000))]));
        assert!(is_streaming(&events), "the reply does not wait");
        assert_eq!(harness.session.cursor(), None);
        assert!(matches!(&harness.stored[..], [ClientUpdate::Subscribed(s)] if s.gone_at.is_none()));
        harness.input(Input::Stored(0));
        if listed.is_empty() {
            let snapshot = harness.snapshot();
            harness.open(snapshot, 700, 2_000);
        }
        assert_eq!(harness.session.cursor(), Some(Lsn(1_000)));
    }
}

#[test]
fn what_is_stored_but_not_listed_is_ended_after_the_reply_and_streams_until_then() {
    let mut harness = Harness::known();
    let all = vec![stored(&uuid(1), &["items"], None), stored(&uuid(2), &["notes"], None)];
    let events = harness.resume(1_000, &[uuid(2)], client(all));
    assert!(is_streaming(&events));
    let snapshot = harness.snapshot();
    harness.open(snapshot, 900, 1_200);
    let events = harness.stream(&[delivery(1_100, 800, vec![insert(ITEMS, &["1", "a"])])]);
    assert!(matches!(&events[..], [Event::Transaction(_)]));
    harness.reach(1_200);
    let events = harness.done(snapshot);
    assert!(matches!(&events[..], [Event::Gone { ids, lsn, .. }] if ids[..] == [uuid(1)] && lsn == "1200"));
    assert!(harness.stream(&[delivery(1_300, 801, vec![insert(ITEMS, &["2", "a"])])]).is_empty());
}

#[test]
fn a_client_cut_off_between_migrations_gets_the_rest() {
    let (first, schema) = tables::migration(1, &tables::schema());
    let (second, schema) = tables::migration(2, &schema);
    let (third, schema) = tables::migration(3, &schema);
    let resume = |lsn: u64| {
        let mut harness = Harness::known();
        harness.world.set(|facts| {
            facts.migrations = vec![first.clone(), second.clone(), third.clone()];
            facts.schema = schema.clone();
        });
        let versions = [&first, &second, &third].map(|migration| migration.version.clone()).to_vec();
        let pending = PendingMigrations { last: Lsn(900), versions };
        let stored =
            StoredClient { subscriptions: vec![], pending_migrations: Some(pending), observed: vec![] };
        let events = harness.resume(lsn, &[], stored);
        let sent: Vec<_> = events
            .iter()
            .filter_map(|event| match event {
                Event::Transaction(t) => Some((t.lsn.clone(), t.id)),
                _ => None,
            })
            .collect();
        (sent, harness.session.cursor(), harness.stored)
    };
    let at = |lsn: &str, id| (lsn.to_owned(), id);
    assert_eq!(resume(898), (vec![at("899", 502), at("900", 503)], Some(Lsn(900)), vec![]));
    assert_eq!(resume(899), (vec![at("900", 503)], Some(Lsn(900)), vec![]));
    assert_eq!(resume(900), (vec![], Some(Lsn(900)), vec![ClientUpdate::MigrationsSeen]));
}

#[test]
fn what_is_stored_is_read_only_after_earlier_changes_are_durable() {
    let mut harness = Harness::streaming();
    harness.durable = false;
    harness.unsubscribe(&["x"]);
    harness.subscribe(&uuid(1), &["items"]);
    let snapshot = harness.snapshot();
    harness.open(snapshot, 700, 2_000);
    let number = harness.asked.iter().find_map(|output| match output {
        Output::Store { number, .. } => Some(*number),
        _ => None,
    });
    harness.asked.clear();
    let body = SatInStartReplicationReq { lsn: Lsn(500).to_wire(), ..Default::default() };
    harness.request(Request::StartReplication(body));
    assert!(!harness.asked.iter().any(|output| matches!(output, Output::LoadClient)));
    harness.input(Input::Stored(number.unwrap()));
    assert!(matches!(harness.asked.last(), Some(Output::LoadClient)));
}

#[test]
fn ids_unsubscribed_before_the_stream_get_their_batch_when_it_starts() {
    let mut harness = Harness::known();
    assert!(matches!(&harness.unsubscribe(&["left:over"])[..], [Event::Answer(..)]));
    let events = harness.request(Request::StartReplication(Default::default()));
    assert!(matches!(events.last(), Some(Event::Gone { ids, .. }) if ids[..] == ["left:over"]), "{events:?}");
}

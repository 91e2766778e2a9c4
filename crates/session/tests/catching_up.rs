//! Requests that speak of a migration which the stream has not brought yet.

use std::sync::Arc;

use change::Lsn;
use protocol::{Request, wire::*};
use session::{CloseCode, Delivery, Input, Output, Unavailable};

use crate::{
    client::{Event, decode},
    harness::{Harness, uuid},
    tables::{self, ITEMS, LATE, delivery, insert},
    writing,
};

/// A migration that creates the table `late`, committed at `lsn`.
fn creation(lsn: u64) -> (Arc<Delivery>, String) {
    let (migration, schema) = tables::creation(1, &tables::schema());
    let transaction = tables::transaction(lsn, 900, Vec::new());
    (Arc::new(Delivery::new(transaction, schema, Some(migration.clone()))), migration.version.clone())
}

/// The service has it, and is as far as `position`; this session has not read it yet.
fn arrives(harness: &Harness, created: &Delivery, position: u64) {
    harness.world.set(|facts| {
        facts.schema = created.schema.clone();
        facts.migrations.extend(created.migration.clone());
        facts.position = Lsn(position);
    });
}

/// The message of a refusal, and of its first shape.
fn refusal(events: &[Event]) -> (String, Option<(i32, String)>) {
    let [Event::Answer(method, _, body)] = events else { panic!("{events:?}") };
    assert_eq!(method, "subscribe");
    let error = decode::<SatSubsResp>(body).err.expect("a refusal");
    let shape = error.shape_request_error.first().map(|shape| (shape.code, shape.message.clone()));
    (error.message, shape)
}

fn unknown() -> (String, Option<(i32, String)>) {
    let message = "Could not establish a subscription due to errors on requests";
    (message.to_owned(), Some((1, "Unknown table late".to_owned())))
}

fn is_asked_for_the_end(harness: &mut Harness) -> bool {
    matches!(harness.asked.pop(), Some(Output::QueryWalEnd))
}

fn start_with(version: &str) -> Request {
    Request::StartReplication(SatInStartReplicationReq {
        schema_version: Some(version.to_owned()),
        ..Default::default()
    })
}

#[test]
fn a_table_created_a_moment_ago_is_waited_for() {
    let mut harness = Harness::streaming();
    assert!(harness.subscribe(&uuid(1), &["late"]).is_empty());
    assert!(is_asked_for_the_end(&mut harness));
    assert!(harness.input(Input::WalEnd(Ok(Lsn(1_400)))).is_empty());
    assert!(matches!(harness.asked.pop(), Some(Output::Reach(Lsn(1_400)))));
    let (created, _) = creation(1_300);
    arrives(&harness, &created, 1_399);
    assert!(harness.wait(1).is_empty());
    assert!(harness.session.next_deadline() > Some(harness.now.mono_ms), "not as far as the database was");
    arrives(&harness, &created, 1_400);
    assert_eq!(
        harness.session.next_deadline(),
        Some(harness.now.mono_ms),
        "looked at as soon as it is woken"
    );
    harness.wait(0);
    let snapshot = harness.snapshot();
    harness.open(snapshot, 901, 1_400);
    assert!(harness.client.asked.contains_key(&uuid(1)));
    harness.stream(&[created]);
    harness.reach(1_400);
    harness.wait(30);
    assert!(matches!(&harness.done(snapshot)[..], [Event::Data { .. }]));
    let after = delivery(1_500, 902, vec![insert(LATE, &["1", "a"])]);
    let schema = session::World::schema(&*harness.world);
    let after = Arc::new(Delivery::new(after.transaction.clone(), schema, None));
    assert!(matches!(&harness.stream(&[after])[..], [Event::Transaction(_)]));
}

#[test]
fn an_unknown_table_is_refused_as_soon_as_the_stream_is_as_far_as_the_database() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["late"]);
    assert!(is_asked_for_the_end(&mut harness));
    assert_eq!(refusal(&harness.input(Input::WalEnd(Ok(Lsn(1_000))))), unknown());
    assert!(harness.asked.is_empty(), "the stream is there: {:?}", harness.asked);
    assert_eq!(harness.closed, None);
}

#[test]
fn an_unknown_table_is_refused_after_a_second_at_the_latest() {
    for answer in [None, Some(Ok(Lsn(9_000))), Some(Err(Unavailable))] {
        let mut harness = Harness::streaming();
        harness.subscribe(&uuid(1), &["late"]);
        if let Some(answer) = answer {
            assert!(harness.input(Input::WalEnd(answer)).is_empty());
        }
        assert!(harness.wait(999).is_empty());
        assert!(harness.session.next_deadline() <= Some(harness.now.mono_ms + 1));
        assert_eq!(refusal(&harness.wait(1)), unknown());
    }
}

#[test]
fn what_is_known_when_time_is_up_decides() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["late"]);
    harness.input(Input::WalEnd(Ok(Lsn(9_000))));
    let (created, _) = creation(1_300);
    arrives(&harness, &created, 1_300);
    harness.wait(1_000);
    harness.snapshot();
}

#[test]
fn postgres_is_asked_again_if_it_could_not_be_asked() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["late"]);
    assert!(is_asked_for_the_end(&mut harness));
    harness.input(Input::WalEnd(Err(Unavailable)));
    harness.wait(99);
    assert!(harness.asked.is_empty(), "not so soon");
    assert_eq!(harness.session.next_deadline(), Some(harness.now.mono_ms + 1));
    harness.wait(1);
    assert!(is_asked_for_the_end(&mut harness));
    let (created, _) = creation(1_300);
    arrives(&harness, &created, 1_300);
    harness.input(Input::WalEnd(Ok(Lsn(1_300))));
    harness.snapshot();
}

/// Its own cursor stays where it is until the client acknowledges something.
#[test]
fn a_session_that_its_window_holds_does_not_wait_for_its_own_stream() {
    let config = session::SessionConfig { unacked_window: 1, ..Default::default() };
    let mut harness = Harness::with(config).admit().start().with_subscription(&uuid(1), &["items"]);
    harness.stream(&[delivery(1_100, 800, vec![insert(ITEMS, &["1", "a"])])]);
    assert_eq!(harness.session.cursor(), None, "the window is full");
    harness.subscribe(&uuid(2), &["late"]);
    assert!(is_asked_for_the_end(&mut harness));
    assert!(harness.input(Input::WalEnd(Ok(Lsn(2_000)))).is_empty());
    arrives(&harness, &creation(1_300).0, 2_000);
    harness.wait(0);
    harness.snapshot();
}

#[test]
fn replies_keep_their_order_while_acks_changes_and_writes_go_on() {
    let mut harness = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    harness.message(writing::consent(0));
    harness.subscribe(&uuid(2), &["late"]);
    assert!(harness.unsubscribe(&[&uuid(9)]).is_empty(), "its turn has not come");
    let changes = harness.stream(&[delivery(1_100, 800, vec![insert(ITEMS, &["1", "a"])])]);
    assert!(matches!(&changes[..], [Event::Transaction(_)]), "{changes:?}");
    assert!(harness.acknowledge(800, "1100", &[]).is_empty());
    harness.message(writing::relation());
    harness.message(writing::log(writing::insert(1, 7, &["1", "a"])));
    assert!(harness.asked.iter().any(|output| matches!(output, Output::Write(_))), "{:?}", harness.asked);
    let events = harness.input(Input::WalEnd(Ok(Lsn(1_000))));
    let methods: Vec<_> = events
        .iter()
        .filter_map(|event| match event {
            Event::Answer(method, ..) => Some(method.as_str()),
            _ => None,
        })
        .collect();
    assert_eq!(methods, ["subscribe", "unsubscribe"]);
}

#[test]
fn an_answer_to_an_earlier_question_does_not_count_for_a_later_one() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["late"]);
    assert!(is_asked_for_the_end(&mut harness));
    assert_eq!(refusal(&harness.wait(1_000)), unknown());
    harness.subscribe(&uuid(2), &["late"]);
    assert!(harness.asked.is_empty(), "one question at a time");
    assert!(harness.input(Input::WalEnd(Ok(Lsn(1_000)))).is_empty(), "that is how far it was before");
    assert!(is_asked_for_the_end(&mut harness));
    arrives(&harness, &creation(1_300).0, 1_300);
    harness.input(Input::WalEnd(Ok(Lsn(1_300))));
    harness.snapshot();
}

#[test]
fn a_schema_version_of_a_moment_ago_is_waited_for() {
    let mut harness = Harness::known();
    let (created, version) = creation(1_300);
    assert!(harness.request(start_with(&version)).is_empty());
    assert!(is_asked_for_the_end(&mut harness));
    assert!(harness.input(Input::WalEnd(Ok(Lsn(1_400)))).is_empty());
    assert!(matches!(harness.asked.pop(), Some(Output::Reach(Lsn(1_400)))));
    arrives(&harness, &created, 1_400);
    assert_eq!(harness.session.next_deadline(), Some(harness.now.mono_ms));
    let events = harness.wait(0);
    let Some(Event::Answer(method, _, body)) = events.first() else { panic!("{events:?}") };
    assert_eq!(method, "startReplication");
    assert_eq!(decode::<SatInStartReplicationResp>(body).err, None);
    assert_eq!(harness.session.cursor(), Some(Lsn(1_400)));
}

#[test]
fn an_unknown_schema_version_is_refused_only_when_the_stream_has_caught_up() {
    let mut harness = Harness::known();
    harness.request(start_with("9"));
    assert!(harness.input(Input::WalEnd(Ok(Lsn(1_400)))).is_empty() && harness.closed.is_none());
    harness.world.set(|facts| facts.position = Lsn(1_400));
    let events = harness.wait(0);
    let [Event::Answer(_, _, body)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(decode::<SatInStartReplicationResp>(body).err.map(|error| error.code), Some(5));
    assert_eq!(harness.closed, Some((CloseCode::InvalidPayload, "")));

    // To be refused is the end for a client; to be cut off is not.
    let mut harness = Harness::known();
    harness.request(start_with("9"));
    harness.input(Input::WalEnd(Ok(Lsn(1_400))));
    assert!(harness.wait(3_499).is_empty() && harness.closed.is_none());
    assert!(harness.wait(1).is_empty());
    assert_eq!(harness.closed, Some((CloseCode::InternalError, "")));
}

//! Nothing before identity, renewal, expiry, silence (spec 01 §6, 02 §2.4, §6.2).

use bytes::Bytes;
use change::{ClientId, UserId};
use protocol::{ErrorCode, Message, Request, wire::*};
use session::{Admission, CloseCode, Input, Output, RefusalKind};

use crate::{
    client::Event,
    harness::{CLIENT, Harness, USER, WALL, client_lsn, token, token_of},
};

fn refused_with(harness: &Harness, events: &[Event], code: ErrorCode) {
    let error = match events {
        [Event::Failure(_, _, error) | Event::Error(error)] => error,
        other => panic!("{other:?}"),
    };
    assert_eq!(error.error_type, code as i32);
    assert_eq!(harness.closed, Some((CloseCode::InvalidPayload, "")));
    assert!(
        harness.asked.iter().any(|output| matches!(output, Output::Refused { .. })),
        "{:?}",
        harness.asked
    );
}

#[test]
fn an_accepted_token_is_admitted_then_answered_then_the_client_is_asked_for_its_writes() {
    let mut harness = Harness::new();
    assert!(harness.authenticate(CLIENT, &token_of(USER)).is_empty());
    let Some(Output::Admit { client, user }) = harness.asked.pop() else { panic!() };
    assert_eq!((client, user), (ClientId::new(CLIENT).unwrap(), UserId::new(USER)));
    assert!(!harness.session.accepts_messages(), "nothing more is read until then");
    assert!(!harness.session.is_authenticated());
    let admission = Admission::Admitted { acknowledged: Some(client_lsn(7)) };
    let events = harness.input(Input::Admission(admission));
    let [Event::Answer(method, 1, _), Event::Request(asks, 0, body)] = &events[..] else {
        panic!("{events:?}")
    };
    assert_eq!((method.as_str(), asks.as_str()), ("authenticate", "startReplication"));
    let body: SatInStartReplicationReq = crate::client::decode(body);
    assert_eq!(&body.lsn[..], [0, 0, 0, 7], "byte for byte");
    assert!(harness.session.is_authenticated() && harness.session.cursor().is_none());
}

#[test]
fn every_other_message_before_authentication_is_refused() {
    let messages = [
        Request::Unsubscribe(SatUnsubsReq::default()).encode(1),
        Request::StartReplication(SatInStartReplicationReq::default()).encode(1),
        Message::RpcRequest(SatRpcRequest {
            method: "nonsense".into(),
            request_id: 1,
            message: Bytes::new(),
        })
        .encode(),
        Message::Relation(SatRelation::default()).encode(),
        Message::OpLog((&SatOpLog::default()).into()).encode(),
        Message::OpLogAck(SatOpLogAck::default()).encode(),
        Message::RpcResponse(SatRpcResponse::default()).encode(),
        Message::Error(SatErrorResp::default()).encode(),
        Message::SubsDataBegin(SatSubsDataBegin::default()).encode(),
    ];
    for message in messages {
        let mut harness = Harness::new();
        let events = harness.message(message.clone());
        refused_with(&harness, &events, ErrorCode::AuthRequired);
        assert_eq!(matches!(events[0], Event::Failure(..)), message[0] == 21, "an RPC gets an RPC error");
        assert!(harness.message(message).is_empty(), "what follows is not looked at");
    }
}

#[test]
fn a_bad_token_gets_its_own_text() {
    for (claims, text) in [
        (r#"{"sub":"u","exp":1600000000}"#, "Expired token"),
        (r#"{"sub":" "}"#, "Missing or invalid 'user_id'"),
        (r#"{"sub":"u","nbf":1900000000}"#, "Token is not yet valid"),
    ] {
        let mut harness = Harness::new();
        let events = harness.authenticate(CLIENT, &token(claims));
        refused_with(&harness, &events, ErrorCode::AuthRequired);
        let Event::Failure(_, 1, error) = &events[0] else { panic!() };
        assert_eq!(error.message.as_deref(), Some(text));
    }
}

#[test]
fn an_empty_or_impossible_id_and_an_empty_token_are_invalid_requests() {
    for (client, token) in [("", "t"), (CLIENT, ""), ("a@b", "t"), (&"x".repeat(65), "t"), ("a\0b", "t")] {
        let mut harness = Harness::new();
        let events = harness.authenticate(client, token);
        refused_with(&harness, &events, ErrorCode::InvalidRequest);
    }
    let mut harness = Harness::new();
    let request =
        SatRpcRequest { method: "authenticate".into(), request_id: 3, message: Bytes::from_static(&[0xFF]) };
    let events = harness.message(Message::RpcRequest(request).encode());
    refused_with(&harness, &events, ErrorCode::InvalidRequest);
}

#[test]
fn another_users_client_id_is_refused_like_a_bad_token() {
    let mut harness = Harness::new();
    harness.authenticate(CLIENT, &token_of(USER));
    let events = harness.input(Input::Admission(Admission::OtherUser));
    refused_with(&harness, &events, ErrorCode::AuthRequired);
}

#[test]
fn too_many_takeovers_are_closed_without_a_message() {
    let mut harness = Harness::new();
    harness.authenticate(CLIENT, &token_of(USER));
    assert!(harness.input(Input::Admission(Admission::NotNow)).is_empty());
    assert!(matches!(harness.closed, Some((code, "")) if code != CloseCode::InvalidPayload));
}

#[test]
fn who_does_not_authenticate_in_time_is_closed_without_a_message() {
    let mut harness = Harness::new();
    assert_eq!(harness.session.next_deadline(), Some(harness.now.mono_ms + 10_000));
    assert!(harness.wait(9_999).is_empty() && harness.closed.is_none());
    assert!(harness.wait(1).is_empty());
    assert_eq!(harness.closed, Some((CloseCode::PolicyViolation, "")));
    assert!(matches!(harness.asked[..], [Output::Refused { kind: RefusalKind::Timeout, .. }]));
}

#[test]
fn a_first_message_over_the_bound_is_answered_and_closed_with_1009() {
    let mut harness = Harness::new();
    let events = harness.input(Input::Oversized);
    let [Event::Error(error)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(
        (error.error_type, error.message.as_deref()),
        (ErrorCode::AuthRequired as i32, Some("Invalid token"))
    );
    assert_eq!(harness.closed, Some((CloseCode::MessageTooBig, "")));
}

#[test]
fn renewal_takes_the_new_expiry_and_a_refused_one_leaves_everything_as_it_was() {
    let mut harness = Harness::new();
    let short = token(&format!(r#"{{"sub":"{USER}","exp":{}}}"#, WALL / 1000 + 10));
    harness.authenticate(CLIENT, &short);
    harness.input(Input::Admission(Admission::Admitted { acknowledged: None }));
    let refusals = [
        (CLIENT, token_of("somebody else")),
        ("another-client", token_of(USER)),
        (CLIENT, "rubbish".to_owned()),
        (CLIENT, String::new()),
    ];
    for (client, token) in &refusals {
        let events = harness.authenticate(client, token);
        let [Event::Failure(_, _, error)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(error.error_type, ErrorCode::InvalidRequest as i32);
        assert_eq!(harness.closed, None, "stays open");
    }
    let long = token(&format!(r#"{{"sub":"{USER}","exp":{}}}"#, WALL / 1000 + 100));
    assert!(matches!(&harness.authenticate(CLIENT, &long)[..], [Event::Answer(..)]));
    harness.wait(20_000);
    assert_eq!(harness.closed, None, "the first token has expired, the second has not");
    harness.input(Input::Alive);
    harness.wait(83_000);
    assert_eq!(harness.closed, Some((CloseCode::TokenExpired, "JWT-expired")));
}

#[test]
fn an_expired_token_ends_the_connection_before_anything_else_goes_in_or_out() {
    let mut harness = Harness::new();
    let short = token(&format!(r#"{{"sub":"{USER}","exp":{}}}"#, WALL / 1000 + 10));
    harness.authenticate(CLIENT, &short);
    harness.input(Input::Admission(Admission::Admitted { acknowledged: None }));
    let deadline = harness.session.next_deadline().unwrap();
    assert!(
        (12_000..=13_000).contains(&(deadline - harness.now.mono_ms)),
        "within a second of exp and leeway"
    );
    harness.now.wall_ms += 13_000;
    let events = harness.request(Request::StartReplication(SatInStartReplicationReq::default()));
    assert!(events.is_empty());
    assert_eq!(harness.closed, Some((CloseCode::TokenExpired, "JWT-expired")));
    assert!(harness.wait(1).is_empty() && harness.session.next_deadline().is_none());
}

#[test]
fn a_silent_peer_is_pinged_then_dropped_and_sending_to_it_does_not_count_as_life() {
    let mut harness = Harness::streaming();
    let id = crate::harness::uuid(1);
    harness = harness.with_subscription(&id, &["items"]);
    harness.wait(20_000);
    harness.asked.clear();
    harness.wait(20_000);
    assert!(matches!(harness.asked[..], [Output::Ping]));
    harness.input(Input::Alive);
    harness.wait(20_000);
    harness.wait(20_000);
    assert_eq!(harness.asked.iter().filter(|output| matches!(output, Output::Ping)).count(), 2);
    harness.stream(&[crate::tables::delivery(
        2_000,
        800,
        vec![crate::tables::insert(crate::tables::ITEMS, &["1", "a"])],
    )]);
    harness.wait(20_000);
    assert_eq!(harness.closed, Some((CloseCode::GoingAway, "Client not responding to pings")));
}

#[test]
fn text_takeover_and_shutdown_close_as_they_should() {
    for (input, code) in [
        (Input::Text, CloseCode::UnsupportedData),
        (Input::Replaced, CloseCode::Replaced),
        (Input::Shutdown, CloseCode::GoingAway),
    ] {
        let mut harness = Harness::streaming();
        assert!(harness.input(input).is_empty());
        let (closed, reason) = harness.closed.unwrap();
        assert_eq!(closed, code);
        assert_ne!(reason, "JWT-expired", "the client would stop for good");
    }
}

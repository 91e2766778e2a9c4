//! Garbage at every stage of a connection: the exact answer, never a panic.

use bytes::Bytes;
use proptest::prelude::*;
use protocol::ErrorCode;
use session::CloseCode;

use crate::{
    client::Event,
    harness::{CLIENT, Harness, USER, token_of, uuid},
};

/// A connection at each of its stages.
fn stages() -> Vec<Harness> {
    let mut admitting = Harness::new();
    admitting.authenticate(CLIENT, &token_of(USER));
    let mut starting = Harness::known();
    starting.request(protocol::Request::StartReplication(protocol::wire::SatInStartReplicationReq {
        lsn: Bytes::from_static(b"500"),
        ..Default::default()
    }));
    let mut waiting = Harness::streaming();
    waiting.subscribe(&uuid(1), &["items"]);
    let mut in_block = Harness::streaming();
    in_block.subscribe(&uuid(1), &["items"]);
    let snapshot = in_block.snapshot();
    in_block.open(snapshot, 700, 1_000);
    in_block.wait(30);
    assert!(in_block.session.wants_snapshot_frames().is_some());
    let mut writing = Harness::streaming();
    writing.message(crate::writing::consent(0));
    let subscribed = Harness::streaming().with_subscription(&uuid(1), &["items"]);
    vec![Harness::new(), admitting, Harness::known(), starting, waiting, in_block, writing, subscribed]
}

#[test]
fn undecodable_messages_get_an_empty_error_and_1007_at_every_stage() {
    for garbage in [&b""[..], &[1], &[11], &[255, 1, 2], &[21, 0xFF], &[9, 0x0A, 0x7F], &[0, 0x12, 5]] {
        for (stage, mut harness) in stages().into_iter().enumerate() {
            let mut outputs = Vec::new();
            harness.session.handle(
                session::Input::Message(Bytes::copy_from_slice(garbage)),
                harness.now,
                &mut outputs,
            );
            if stage == 1 {
                assert!(outputs.is_empty(), "looked at once the client is admitted");
                let admitted = session::Admission::Admitted { acknowledged: None };
                harness.session.handle(session::Input::Admission(admitted), harness.now, &mut outputs);
            }
            let sent = outputs.iter().filter_map(|output| match output {
                session::Output::Send(message) => Some(message.clone()),
                _ => None,
            });
            assert_eq!(
                sent.last().as_ref().map(|message| &message[..]),
                Some(&[0][..]),
                "stage {stage}, {garbage:?}"
            );
            assert!(
                matches!(
                    outputs.last(),
                    Some(session::Output::Close {
                        code: CloseCode::InvalidPayload,
                        reason: "Message not formatted according to Electric protocol"
                    })
                ),
                "stage {stage}, {garbage:?}: {outputs:?}"
            );
        }
    }
}

#[test]
fn unknown_methods_and_bodies_are_refused_as_rpc_errors() {
    for (method, body) in
        [("nonsense", &b""[..]), ("subscribe", &[0xFF]), ("Authenticate", b""), ("authenticate", &[0xFF])]
    {
        let request = protocol::wire::SatRpcRequest {
            method: method.to_owned(),
            request_id: 77,
            message: Bytes::copy_from_slice(body),
        };
        let mut harness = Harness::streaming();
        let events = harness.message(protocol::Message::RpcRequest(request).encode());
        let [Event::Failure(answered, 77, error)] = &events[..] else { panic!("{events:?}") };
        assert_eq!((answered.as_str(), error.error_type), (method, ErrorCode::InvalidRequest as i32));
        assert_eq!(harness.closed, Some((CloseCode::InvalidPayload, "")));
    }
}

#[test]
fn an_error_from_the_client_closes_quietly() {
    let mut harness = Harness::streaming();
    assert!(harness.message(Bytes::from_static(&[0])).is_empty());
    assert_eq!(harness.closed, Some((CloseCode::Normal, "")));
}

#[test]
fn a_flood_of_requests_is_bounded() {
    let mut harness = Harness::streaming();
    harness.subscribe(&uuid(1), &["items"]);
    let mut taken = 0;
    while harness.session.accepts_messages() {
        harness.unsubscribe(&["x"]);
        taken += 1;
        assert!(taken < 1_000, "reading stops");
    }
    for _ in 0..1_000 {
        harness.unsubscribe(&["x"]);
    }
    assert!(harness.closed.is_some(), "and if it does not, the connection does");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_bytes_at_any_stage_end_in_an_answer_or_nothing(
        code in prop_oneof![Just(0u8), Just(9), Just(10), Just(21), Just(22), Just(23), any::<u8>()],
        payload in proptest::collection::vec(any::<u8>(), 0..40),
    ) {
        for mut harness in stages() {
            let message: Vec<u8> = std::iter::once(code).chain(payload.iter().copied()).collect();
            let mut outputs = Vec::new();
            harness.session.handle(session::Input::Message(message.into()), harness.now, &mut outputs);
            let closes = outputs.iter().filter(|output| matches!(output, session::Output::Close { .. })).count();
            prop_assert!(closes <= 1);
            let last = matches!(outputs.last(), Some(session::Output::Close { .. }));
            prop_assert!(closes == 0 || last);
        }
    }
}

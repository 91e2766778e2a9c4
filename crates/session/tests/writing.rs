//! What the client writes (spec 02 §6.4, §6.5).

use bytes::Bytes;
use protocol::{ErrorCode, Message, wire::*};
use session::{Admission, CloseCode, Input, Output, WriteOutcome};

use crate::{
    client::Event,
    harness::{CLIENT, Harness, USER, client_lsn, token_of},
};

const RELATION: u32 = 0;

pub fn relation() -> Bytes {
    let column =
        |name: &str| SatRelationColumn { name: name.to_owned(), is_nullable: true, ..Default::default() };
    let relation = SatRelation {
        schema_name: "public".into(),
        table_name: "items".into(),
        relation_id: RELATION,
        columns: vec![column("id"), column("content")],
        ..Default::default()
    };
    Message::Relation(relation).encode()
}

pub fn row(values: &[&str]) -> Option<SatOpRow> {
    let values = values.iter().map(|value| Bytes::copy_from_slice(value.as_bytes())).collect();
    Some(SatOpRow { nulls_bitmask: Bytes::from_static(&[0]), values })
}

pub fn op(op: sat_trans_op::Op) -> SatTransOp {
    SatTransOp { op: Some(op) }
}

/// Operations of one transaction that inserts a row.
pub fn insert(lsn: u32, ms: u64, values: &[&str]) -> Vec<SatTransOp> {
    let insert =
        SatOpInsert { relation_id: RELATION, row_data: row(values), tags: vec![format!("{CLIENT}@{ms}")] };
    transaction(lsn, ms, sat_trans_op::Op::Insert(insert))
}

fn transaction(lsn: u32, ms: u64, change: sat_trans_op::Op) -> Vec<SatTransOp> {
    let lsn = Bytes::copy_from_slice(&lsn.to_be_bytes());
    let begin = SatOpBegin { commit_timestamp: ms, lsn, ..Default::default() };
    vec![op(sat_trans_op::Op::Begin(begin)), op(change), op(sat_trans_op::Op::Commit(SatOpCommit::default()))]
}

pub fn log(ops: Vec<SatTransOp>) -> Bytes {
    Message::OpLog((&SatOpLog { ops }).into()).encode()
}

/// The client agrees to send its writes.
pub fn consent(id: u32) -> Bytes {
    let result = Some(sat_rpc_response::Result::Message(Bytes::new()));
    let response = SatRpcResponse { method: "startReplication".into(), request_id: id, result };
    Message::RpcResponse(response).encode()
}

fn writing() -> Harness {
    let mut harness = Harness::known();
    harness.message(consent(0));
    harness.message(relation());
    harness
}

fn written(harness: &mut Harness) -> Vec<u64> {
    let positions = harness.asked.iter().filter_map(|output| match output {
        Output::Write(transaction) => Some(transaction.lsn.position()),
        _ => None,
    });
    let positions = positions.collect();
    harness.asked.clear();
    positions
}

#[test]
fn what_comes_before_the_clients_consent_is_dropped_and_counted() {
    let mut harness = Harness::known();
    harness.message(relation());
    assert!(harness.message(log(insert(1, 5, &["1", "a"]))).is_empty());
    harness.message(consent(7));
    harness.message(log(insert(1, 5, &["1", "a"])));
    assert_eq!(
        (written(&mut harness), harness.session.dropped_writes()),
        (vec![], 2),
        "that was no request of ours"
    );
    harness.message(consent(0));
    harness.message(log(insert(1, 5, &["1", "a"])));
    assert_eq!(written(&mut harness), [1]);
}

#[test]
fn all_that_is_accepted_is_with_the_writer_in_order() {
    let mut harness = writing();
    harness.message(log(
        [insert(1, 5, &["1", "a"]), insert(2, 6, &["2", "a"]), insert(3, 7, &["3", "a"])].concat()
    ));
    assert_eq!(written(&mut harness), [1, 2, 3]);
    harness.input(Input::Written(WriteOutcome::Done));
    // What Postgres is known to have is a repetition; what is with the writer it tells apart by itself.
    harness.message(log([insert(1, 5, &["1", "a"]), insert(4, 8, &["4", "a"])].concat()));
    assert_eq!(written(&mut harness), [4]);
}

#[test]
fn a_full_queue_stops_the_reading() {
    let mut harness = writing();
    let many: Vec<_> = (1..=600).flat_map(|n| insert(n, u64::from(n), &["1", "a"])).collect();
    harness.message(log(many));
    assert!(!harness.session.accepts_messages());
    for _ in 0..10 {
        harness.wait(20_000);
    }
    assert_eq!(harness.closed, None, "a socket that is not read can't show that its peer lives");
    for _ in 0..600 {
        harness.input(Input::Written(WriteOutcome::Done));
    }
    assert!(harness.session.accepts_messages());
}

#[test]
fn repetitions_of_what_postgres_has_are_skipped() {
    let mut harness = Harness::new();
    harness.authenticate(CLIENT, &token_of(USER));
    harness.input(Input::Admission(Admission::Admitted { acknowledged: Some(client_lsn(5)) }));
    harness.message(consent(0));
    harness.message(relation());
    harness.asked.clear();
    harness.message(log(
        [insert(4, 4, &["1", "a"]), insert(5, 5, &["1", "a"]), insert(6, 6, &["1", "a"])].concat()
    ));
    assert_eq!(written(&mut harness), [6]);
}

#[test]
fn a_transaction_may_come_in_two_messages() {
    let mut harness = writing();
    let mut ops = insert(1, 5, &["1", "a"]);
    let commit = ops.split_off(2);
    harness.message(log(ops));
    assert!(written(&mut harness).is_empty());
    harness.message(log(commit));
    assert_eq!(written(&mut harness), [1]);
}

#[test]
fn a_refusal_by_postgres_names_the_transaction_and_nothing_after_it_is_written() {
    let mut harness = writing();
    harness.message(log([insert(1, 5, &["1", "a"]), insert(2, 6, &["2", "a"])].concat()));
    harness.asked.clear();
    let message = "the check constraint \"short\" refuses it".to_owned();
    let events = harness.input(Input::Written(WriteOutcome::Refused { message: message.clone() }));
    let [Event::Error(error)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(error.error_type, ErrorCode::InvalidRequest as i32);
    assert_eq!((error.lsn.as_deref(), error.message.as_ref()), (Some(&[0, 0, 0, 1][..]), Some(&message)));
    assert_eq!(harness.closed, Some((CloseCode::InvalidPayload, "")));
    assert!(written(&mut harness).is_empty());
}

#[test]
fn what_stands_before_a_changed_key_is_written_before_the_connection_ends() {
    let mut harness = writing();
    let update = SatOpUpdate {
        relation_id: RELATION,
        row_data: row(&["2", "a"]),
        old_row_data: row(&["1", "a"]),
        tags: Vec::new(),
    };
    let bad = transaction(2, 6, sat_trans_op::Op::Update(update));
    let events = harness.message(log([insert(1, 5, &["1", "a"]), bad, insert(3, 7, &["3", "a"])].concat()));
    assert!(events.is_empty() && harness.closed.is_none());
    assert!(
        harness.asked.iter().any(|output| matches!(output, Output::WriteRejected { position: Some(2), .. }))
    );
    assert_eq!(written(&mut harness), [1]);
    assert!(!harness.session.accepts_messages());
    let events = harness.input(Input::Written(WriteOutcome::Done));
    let [Event::Error(error)] = &events[..] else { panic!("{events:?}") };
    assert_eq!(error.lsn.as_deref(), Some(&[0, 0, 0, 2][..]));
    assert_eq!(harness.closed, Some((CloseCode::InvalidPayload, "")));
}

#[test]
fn wrong_values_unknown_tables_and_refused_requests_are_invalid() {
    let mut short = insert(1, 5, &["1"]);
    let gone = transaction(1, 5, sat_trans_op::Op::Gone(SatOpGone::default()));
    let unknown = Message::Relation(SatRelation { table_name: "nope".into(), ..Default::default() }).encode();
    let refusal = SatRpcResponse {
        method: "startReplication".into(),
        request_id: 0,
        result: Some(sat_rpc_response::Result::Error(SatErrorResp::default())),
    };
    let empty =
        Message::RpcResponse(SatRpcResponse { method: "startReplication".into(), ..Default::default() });
    for message in [
        log(std::mem::take(&mut short)),
        log(gone),
        unknown,
        Message::RpcResponse(refusal).encode(),
        empty.encode(),
        Message::SubsDataEnd(SatSubsDataEnd {}).encode(),
    ] {
        let mut harness = writing();
        let events = harness.message(message);
        let [Event::Error(error)] = &events[..] else { panic!("{events:?}") };
        assert_eq!(error.error_type, ErrorCode::InvalidRequest as i32);
        assert_eq!(harness.closed, Some((CloseCode::InvalidPayload, "")));
        assert!(written(&mut harness).is_empty(), "nothing is written");
    }
}

//! The writes of clients (spec 02 §6.5, 03 §6).

use std::sync::Arc;

use bytes::Bytes;
use change::{ClientOpKind, Field, Tag};
use protocol::{
    InboundDecoder, InboundLimits, RejectionReason,
    wire::{SatOpBegin, SatOpGone, SatOpMigrate, sat_trans_op::Op},
};

use super::support::{
    Inbound, announcement, begin, client, commit, compensation, delete, insert, log, row, schema_of, table,
    texts, update, value,
};

const ITEMS: [(&str, &str); 4] =
    [("id", "uuid"), ("content", "text"), ("data", "bytea"), ("at", "timestamptz")];
const ID: &str = "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";

/// A client that knows table `items` as relation 0, its columns in another order.
fn items() -> Inbound {
    Inbound::new(schema_of([table(16500, "items", &ITEMS, &["id"])])).announce(
        0,
        "items",
        &["at", "id", "content", "data"],
    )
}

fn item(content: &str) -> Option<protocol::wire::SatOpRow> {
    texts(&["2023-08-14 14:01:28Z", ID, content, "\u{1}"])
}

#[test]
fn an_insert_comes_out_in_table_order_with_its_tags() {
    let tags = ["C@1716200000123", "postgres_1@5"];
    let transactions =
        items().decode([begin(1_716_200_000_123, 1), insert(0, item("hello"), &tags), commit()]).unwrap();
    let [transaction] = &transactions[..] else { panic!() };
    assert_eq!((transaction.client.as_str(), transaction.timestamp_ms), ("C", 1_716_200_000_123));
    assert_eq!(transaction.lsn.as_bytes(), &[0, 0, 0, 1][..]);
    let [op] = &transaction.ops[..] else { panic!() };
    assert_eq!((op.kind, op.relation.0), (ClientOpKind::Insert, 16500));
    assert_eq!(op.values, [value(ID), value("hello"), value("\\x01"), value("2023-08-14 14:01:28+00")]);
    assert_eq!(op.written, [false, true, true, true]);
    let expected = [Tag::client(&client(), 1_716_200_000_123), Tag::postgres(5)].into_iter().collect();
    assert_eq!(op.clear, expected);
}

#[test]
fn an_update_writes_the_columns_that_differ() {
    let old = texts(&["2023-08-14 14:01:28Z", &ID.to_uppercase(), "old", "\u{1}"]);
    let new = texts(&["2023-08-14 14:01:28+00", ID, "new", "\u{1}"]);
    let transactions = items().decode([begin(1, 1), update(0, old, new, &[]), commit()]).unwrap();
    let op = &transactions[0].ops[0];
    assert_eq!(op.kind, ClientOpKind::Update);
    // Upper case in a uuid and `Z` for `+00` are no difference.
    assert_eq!(op.written, [false, true, false, false]);
    assert_eq!(op.values, [value(ID), value("new"), value("\\x01"), value("2023-08-14 14:01:28+00")]);
}

#[test]
fn null_is_a_value_that_can_be_written() {
    let old = row(&[Some(b"infinity"), Some(ID.as_bytes()), None, Some(b"")]);
    let new = row(&[None, Some(ID.as_bytes()), Some(b""), Some(b"")]);
    let transactions = items().decode([begin(1, 1), update(0, old, new, &[]), commit()]).unwrap();
    let op = &transactions[0].ops[0];
    assert_eq!(op.written, [false, true, false, true]);
    assert_eq!(op.values, [value(ID), value(""), value("\\x"), Field::Null]);
}

#[test]
fn unchanged_columns_are_not_judged() {
    let mut strict = table(1, "t", &[("id", "int4"), ("day", "date"), ("n", "text")], &["id"]);
    strict.columns[2].not_null = true;
    let mut inbound = Inbound::new(schema_of([strict])).announce(0, "t", &["id", "day", "n"]);
    let old = || row(&[Some(b"1"), Some(b"yesterday"), None]);
    let transactions = inbound.decode([begin(1, 1), update(0, old(), old(), &[]), commit()]).unwrap();
    assert_eq!(transactions[0].ops[0].values, [value("1"), value("yesterday"), Field::Null]);
    assert_eq!(transactions[0].ops[0].written, [false, false, false]);
    // Changed, they are; a key always is; and nothing that is no text passes.
    let changed = row(&[Some(b"1"), Some(b"now"), None]);
    assert!(inbound.decode([begin(1, 1), update(0, old(), changed, &[])]).is_err());
    let bad_key = || row(&[Some(b"x"), None, Some(b"")]);
    assert!(inbound.decode([begin(1, 1), update(0, bad_key(), bad_key(), &[])]).is_err());
    let not_text = || row(&[Some(b"1"), None, Some(b"\xff")]);
    assert!(inbound.decode([begin(1, 1), update(0, not_text(), not_text(), &[])]).is_err());
}

#[test]
fn a_delete_needs_its_old_row() {
    let mut inbound = items();
    let transactions = inbound.decode([begin(1, 1), delete(0, item("x"), &["A@1"]), commit()]).unwrap();
    let op = &transactions[0].ops[0];
    assert_eq!((op.kind, &op.written[..]), (ClientOpKind::Delete, &[false; 4][..]));
    assert_eq!(op.values[0], value(ID));
    for op in
        [delete(0, None, &[]), insert(0, None, &[]), update(0, None, None, &[]), compensation(0, None, &[])]
    {
        let rejection = inbound.decode([begin(1, 1), op, commit()]).unwrap_err();
        assert!(matches!(rejection.reason, RejectionReason::MissingRow { .. }), "{rejection}");
    }
}

#[test]
fn compensations_keep_the_key_only() {
    let key = || row(&[None, Some(ID.as_bytes()), Some(b"\xff not judged"), None]);
    let ops = [begin(1, 1), compensation(0, key(), &["C@1"]), update(0, None, key(), &[]), commit()];
    let transactions = items().decode(ops).unwrap();
    for op in &transactions[0].ops {
        assert_eq!(op.kind, ClientOpKind::Compensation);
        assert_eq!(op.values, [value(ID), Field::Absent, Field::Absent, Field::Absent]);
        assert_eq!(op.written, [false; 4]);
    }
    assert_eq!(transactions[0].ops.len(), 2);
    // One that refers to a row by something else than its key says nothing about any row.
    let keyless = row(&[None, None, Some(b"x"), None]);
    let ops = [begin(1, 1), compensation(0, keyless, &[]), insert(0, item("x"), &[]), commit()];
    assert_eq!(items().decode(ops).unwrap()[0].ops.len(), 1);
}

#[test]
fn columns_that_the_client_does_not_know_are_absent() {
    let mut inbound = Inbound::new(schema_of([table(1, "t", &[("id", "int4"), ("a", "text")], &["id"])]))
        .announce(0, "t", &["a", "id"]);
    // The table gets a column while the client is connected.
    inbound.schema = schema_of([table(1, "t", &[("id", "int4"), ("a", "text"), ("new", "text")], &["id"])]);
    let ops = [
        begin(1, 1),
        insert(0, texts(&["x", "1"]), &[]),
        update(0, texts(&["x", "1"]), texts(&["y", "1"]), &[]),
        commit(),
    ];
    let transactions = inbound.decode(ops).unwrap();
    for op in &transactions[0].ops {
        assert_eq!((&op.values[2], &op.written[..]), (&Field::Absent, &[false, true, false][..]));
    }
}

#[test]
fn what_is_written_to_a_table_that_left_the_sync_is_refused_and_what_came_before_is_not() {
    let two = || {
        [table(1, "t", &[("id", "int4"), ("a", "text")], &["id"]), table(2, "u", &[("id", "int4")], &["id"])]
    };
    let mut inbound = Inbound::new(schema_of(two())).announce(0, "t", &["id", "a"]).announce(1, "u", &["id"]);
    inbound.schema.remove(change::RelationId(1));
    let refused = |ops: Vec<Op>, inbound: &mut Inbound| inbound.decode(ops).unwrap_err();
    let gone = RejectionReason::NotSynced { table: "t".into() };
    let ops = vec![
        begin(1, 1),
        insert(1, texts(&["7"]), &[]),
        commit(),
        begin(2, 2),
        insert(1, texts(&["8"]), &[]),
        insert(0, texts(&["1", "x"]), &[]),
        commit(),
        begin(3, 3),
    ];
    let rejection = refused(ops, &mut inbound);
    assert_eq!((&rejection.reason, rejection.position), (&gone, Some(2)));
    assert_eq!(rejection.accepted.iter().map(|t| t.lsn.position()).collect::<Vec<_>>(), [1]);
    assert_eq!(rejection.lsn.as_ref().map(change::ClientLsn::position), Some(2));
    assert!(rejection.response().message().contains("\"t\""), "{rejection}");

    // A row that refers to one of it asks to keep that alive: nobody has to.
    let compensating =
        [begin(4, 4), compensation(0, texts(&["1", "x"]), &[]), insert(1, texts(&["9"]), &[]), commit()];
    assert_eq!(inbound.decode(compensating).unwrap()[0].ops.len(), 1);

    // A client that connects later knows the table as well as the one that was there.
    let mut late = Inbound::new(inbound.schema.clone()).announce(0, "t", &["id", "a"]);
    assert_eq!(refused(vec![begin(5, 5), delete(0, texts(&["1", "x"]), &[])], &mut late).reason, gone);
    assert_eq!(late.decode([begin(5, 5), compensation(0, texts(&["1", "x"]), &[]), commit()]), Ok(vec![]));

    // Another table of the name takes what fits it.
    inbound.schema.insert(Arc::new(table(9, "t", &[("a", "text"), ("id", "int4")], &["id"])));
    let transactions = inbound.decode([begin(6, 6), insert(0, texts(&["1", "x"]), &[]), commit()]).unwrap();
    assert_eq!(transactions[0].ops[0].relation.0, 9);
    inbound.schema.insert(Arc::new(table(9, "t", &[("id", "int4")], &["id"])));
    let rejection = refused(vec![begin(7, 7), insert(0, texts(&["1", "x"]), &[])], &mut inbound);
    assert_eq!(rejection.reason, RejectionReason::StaleRelation("t".into()));
}

#[test]
fn transactions_span_messages_and_messages_hold_several() {
    let mut inbound = items();
    assert_eq!(inbound.decode([begin(1, 1), insert(0, item("a"), &[])]), Ok(vec![]));
    assert_eq!(inbound.decode([insert(0, item("b"), &[])]), Ok(vec![]));
    let ops =
        [commit(), begin(2, 2), insert(0, item("c"), &[]), commit(), begin(3, 3), commit(), begin(4, 4)];
    let transactions = inbound.decode(ops).unwrap();
    // The third has no operations and is left out.
    let shape: Vec<_> =
        transactions.iter().map(|t| (t.lsn.position(), t.timestamp_ms, t.ops.len())).collect();
    assert_eq!(shape, [(1, 1, 2), (2, 2, 1)]);
    let rest = inbound.decode([insert(0, item("d"), &[]), commit()]).unwrap();
    assert_eq!(rest[0].lsn.position(), 4);
}

#[test]
fn a_restart_forgets_what_was_incomplete() {
    let mut inbound = items();
    inbound.decode([begin(1, 1), insert(0, item("a"), &[])]).unwrap();
    inbound.decoder.restart();
    let transactions = inbound.decode([begin(1, 1), insert(0, item("a"), &[]), commit()]).unwrap();
    assert_eq!(transactions[0].ops.len(), 1);
}

#[test]
fn a_changed_key_spares_the_transactions_before_it() {
    let other = "b0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11";
    let mut inbound = items();
    let change = || update(0, item("x"), texts(&["2023-08-14 14:01:28Z", other, "x", ""]), &[]);
    let ops = [
        [begin(1, 1), insert(0, item("a"), &[]), commit()],
        [begin(2, 2), change(), commit()],
        [begin(3, 3), insert(0, item("c"), &[]), commit()],
    ];
    let rejection = inbound.decode(ops.into_iter().flatten()).unwrap_err();
    assert_eq!(rejection.accepted.iter().map(|t| t.lsn.position()).collect::<Vec<_>>(), [1]);
    assert_eq!(rejection.lsn.as_ref().map(change::ClientLsn::position), Some(2));
    assert_eq!(rejection.reason, RejectionReason::ImmutableKey { table: "items".into() });
    // A value that is wrong anywhere in the message weighs more.
    let ops = [
        [begin(1, 1), insert(0, item("a"), &[]), commit()],
        [begin(2, 2), change(), commit()],
        [begin(3, 3), insert(0, texts(&["?", ID, "", ""]), &[]), commit()],
    ];
    let rejection = inbound.decode(ops.into_iter().flatten()).unwrap_err();
    assert!(rejection.accepted.is_empty() && rejection.lsn.is_none());
    // And the rule holds for a transaction over several messages.
    inbound.decode([begin(1, 1), change()]).unwrap();
    let rejection = inbound.decode([insert(0, item("a"), &[]), commit()]).unwrap_err();
    assert_eq!(rejection.reason, RejectionReason::ImmutableKey { table: "items".into() });
}

#[test]
fn order_and_kind_of_operations_are_checked() {
    let lsn =
        |lsn: &'static [u8]| Op::Begin(SatOpBegin { lsn: Bytes::from_static(lsn), ..Default::default() });
    let late = SatOpBegin { lsn: Bytes::from_static(&[1]), commit_timestamp: u64::MAX, ..Default::default() };
    let cases = [
        (vec![commit()], RejectionReason::NoTransaction),
        (vec![insert(0, item("a"), &[])], RejectionReason::NoTransaction),
        (vec![begin(1, 1), begin(2, 2)], RejectionReason::NestedTransaction),
        (vec![lsn(b"")], RejectionReason::Position),
        (vec![lsn(b"123456789")], RejectionReason::Position),
        (vec![Op::Begin(late)], RejectionReason::Timestamp),
        (vec![begin(1, 1), Op::Gone(SatOpGone::default())], RejectionReason::ServerOnly("gone")),
        (vec![begin(1, 1), Op::Migrate(SatOpMigrate::default())], RejectionReason::ServerOnly("migrate")),
        (vec![begin(1, 1), insert(0, item("a"), &["nonsense"])], RejectionReason::Tag("items".into())),
    ];
    for (ops, reason) in cases {
        let rejection = items().decode(ops).unwrap_err();
        assert_eq!(rejection.reason, reason);
        assert_eq!(rejection.client_message, reason.to_string());
    }
    assert!(items().decode([lsn(b"12345678"), insert(0, item("a"), &[]), commit()]).is_ok());
}

#[test]
fn what_is_not_complete_is_bounded() {
    let schema = schema_of([table(1, "t", &[("id", "int4"), ("a", "text")], &["id"])]);
    let limited = |limits| {
        let mut decoder = InboundDecoder::new(client(), limits);
        decoder.announce(&announcement(0, "t", &["id", "a"]), &schema).unwrap();
        decoder
    };
    let message =
        |n: usize| log((0..n).map(|_| insert(0, texts(&["1", &"x".repeat(1000)]), &["C@1", "D@2"])));
    let mut decoder = limited(InboundLimits { bytes: 1 << 30, ops: 10 });
    decoder.decode(&log([begin(1, 1)]), &schema).unwrap();
    decoder.decode(&message(9), &schema).unwrap();
    assert_eq!(decoder.decode(&message(1), &schema).unwrap_err().reason, RejectionReason::TooLarge);
    let mut decoder = limited(InboundLimits { bytes: 50_000, ops: 1000 });
    decoder.decode(&log([begin(1, 1)]), &schema).unwrap();
    decoder.decode(&message(15), &schema).unwrap();
    assert_eq!(decoder.decode(&message(15), &schema).unwrap_err().reason, RejectionReason::TooLarge);
    // What is complete no longer counts.
    for _ in 0..100 {
        decoder.decode(&log([begin(1, 1)]), &schema).unwrap();
        decoder.decode(&message(15), &schema).unwrap();
        decoder.decode(&log([commit()]), &schema).unwrap();
    }
}

#[test]
fn logs_never_show_values() {
    let rejection =
        items().decode([begin(1, 9), insert(0, texts(&["s3cret", ID, "", ""]), &[])]).unwrap_err();
    assert!(rejection.client_message.contains("s3cret"));
    assert!(!format!("{rejection} {rejection:?} {:?}", rejection.response()).contains("s3cret"));
    assert_eq!(
        rejection.to_string(),
        r#"client transaction 9: column "at" of table "items" can't have the value given"#
    );
}

#[test]
fn long_values_are_cut_in_messages() {
    let long = "é".repeat(100_000);
    for column in 0..2 {
        let mut values = ["2023-08-14 14:01:28Z", ID, "", ""];
        values[column] = &long;
        let rejection = items().decode([begin(1, 9), insert(0, texts(&values), &[])]).unwrap_err();
        assert!(rejection.client_message.ends_with("é…\"") && rejection.client_message.len() < 1000);
    }
}

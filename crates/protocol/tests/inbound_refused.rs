//! What is kept of transactions that are refused for what they say of their rows.

use change::{ClientOpKind, Field, RefusedTransaction, RelationId};
use protocol::wire::sat_trans_op::Op;

use super::support::{
    Inbound, begin, commit, compensation, delete, insert, row, schema_of, table, texts, update, value,
};

fn tables() -> Inbound {
    let mut strict = table(1, "t", &[("id", "int4"), ("n", "int4"), ("note", "text")], &["id"]);
    strict.columns[2].not_null = true;
    let other = table(2, "u", &[("id", "text"), ("at", "timestamptz")], &["id"]);
    Inbound::new(schema_of([strict, other])).announce(0, "t", &["note", "id", "n"]).announce(
        1,
        "u",
        &["id", "at"],
    )
}

fn kept(inbound: &mut Inbound, ops: impl IntoIterator<Item = Op>) -> Option<Box<RefusedTransaction>> {
    inbound.decode(ops).expect_err("a refusal").transaction
}

#[test]
fn a_transaction_with_a_wrong_value_is_kept_whole() {
    let ops = [
        begin(1000, 7),
        insert(1, texts(&["a", "2023-08-14 14:01:28Z"]), &["C@5"]),
        insert(0, texts(&["x", "1", "many"]), &[]),
        update(0, texts(&["x", "1", "2"]), texts(&["y", "1", "2"]), &[]),
        compensation(1, texts(&["b", "ignored"]), &[]),
        delete(1, texts(&["c", "?"]), &[]),
        commit(),
    ];
    let kept = kept(&mut tables(), ops).expect("it is kept");
    assert_eq!((kept.client.as_str(), kept.lsn.position(), kept.timestamp_ms), ("C", 7, 1000));
    assert_eq!((kept.sqlstate, kept.table.as_str(), kept.column.as_deref()), ("22P02", "t", Some("n")));
    assert!(kept.message.contains("many"), "{}", kept.message);
    assert!(!format!("{kept:?}").contains("many"), "not for logs");
    let ops: Vec<_> = kept.ops.iter().map(|op| (op.kind, op.table.as_str(), op.wrote.join(","))).collect();
    let expected = [
        (ClientOpKind::Insert, "u", "at"),
        (ClientOpKind::Insert, "t", "note,n"),
        (ClientOpKind::Update, "t", "note"),
        (ClientOpKind::Compensation, "u", ""),
        (ClientOpKind::Delete, "u", ""),
    ];
    assert_eq!(ops, expected.map(|(kind, table, wrote)| (kind, table, wrote.to_owned())));
    assert_eq!(kept.ops[0].row[1], ("at".to_owned(), value("2023-08-14 14:01:28+00")), "Postgres' text");
    assert_eq!(kept.ops[0].saw.iter().count(), 1);
    assert_eq!(kept.ops[1].row[2], ("n".to_owned(), value("many")));
    assert_eq!(kept.ops[3].row, [("id".to_owned(), value("b"))]);
}

#[test]
fn missing_values_and_changed_keys_are_kept() {
    let null = [begin(1, 1), insert(0, row(&[None, Some(b"1"), None]), &[]), commit()];
    let refused = kept(&mut tables(), null).expect("it is kept");
    assert_eq!((refused.sqlstate, refused.column.as_deref()), ("23502", Some("note")));
    assert_eq!(refused.ops[0].row[0].1, Field::Null);

    let no_key = [begin(1, 1), insert(0, row(&[Some(b"x"), None, None]), &[]), commit()];
    let refused = kept(&mut tables(), no_key).expect("it is kept");
    assert_eq!((refused.sqlstate, refused.column.as_deref()), ("23502", Some("id")));

    let change = update(0, texts(&["x", "1", "2"]), texts(&["y", "9", "2"]), &["C@1"]);
    let refused = kept(&mut tables(), [begin(1, 1), change, commit()]).expect("it is kept");
    let ops: Vec<_> = refused.ops.iter().map(|op| (op.kind, op.row[1].1.clone())).collect();
    assert_eq!(
        ops,
        [(ClientOpKind::Delete, value("1")), (ClientOpKind::Insert, value("9"))],
        "as it amounts to"
    );
    assert_eq!((refused.sqlstate, refused.count), ("0A000", 2));
}

#[test]
fn what_is_written_to_a_table_that_is_not_synced_any_more_is_kept() {
    let write = || [begin(1, 1), insert(1, texts(&["a", "2023-08-14 14:01:28Z"]), &[]), commit()];
    let mut inbound = tables();
    inbound.schema.remove(RelationId(2));
    let refused = kept(&mut inbound, write()).expect("it is kept");
    assert_eq!((refused.sqlstate, refused.table.as_str()), ("42P01", "u"));
    assert_eq!(refused.ops[0].row[1].1, value("2023-08-14 14:01:28+00"));
    // Also of a client that connects when it has left already.
    let mut late = Inbound::new(inbound.schema.clone()).announce(1, "u", &["id", "at"]);
    assert_eq!(kept(&mut late, write()), Some(refused));
    // Not if it is not even the table that clients had: what its values are is not known.
    let mut other = Inbound::new(inbound.schema).announce(1, "u", &["id", "nope"]);
    assert_eq!(kept(&mut other, write()), None);
}

#[test]
fn a_breach_of_the_protocol_leaves_nothing_to_keep() {
    let bad = || insert(0, texts(&["x", "1", "many"]), &[]);
    let cases = [
        vec![begin(1, 1), insert(0, texts(&["x", "1"]), &[]), commit()],
        vec![begin(1, 1), insert(0, texts(&["x", "1", "2", "3"]), &[]), commit()],
        vec![begin(1, 1), insert(5, texts(&["x"]), &[]), commit()],
        vec![begin(1, 1), insert(0, None, &[]), commit()],
        vec![begin(1, 1), insert(0, texts(&["x", "1", "2"]), &["nonsense"]), commit()],
        // Its end has not come.
        vec![begin(1, 1), bad()],
        // Something else is wrong with it, further on.
        vec![begin(1, 1), bad(), insert(0, texts(&["x", "1"]), &[]), commit()],
        vec![begin(1, 1), bad(), begin(2, 2), commit()],
    ];
    for ops in cases {
        assert_eq!(kept(&mut tables(), ops), None);
    }
}

#[test]
fn nothing_is_kept_that_others_in_the_message_would_have_to_come_before() {
    let good = |lsn| [begin(1, lsn), insert(0, texts(&["x", "1", "2"]), &[]), commit()];
    let bad = [begin(1, 2), insert(0, texts(&["x", "1", "many"]), &[]), commit()];
    let rejection = tables().decode(good(1).into_iter().chain(bad.clone())).unwrap_err();
    assert!(rejection.accepted.is_empty() && rejection.transaction.is_none());
    let rejection = tables().decode(bad.into_iter().chain(good(3))).unwrap_err();
    assert_eq!(rejection.transaction.map(|kept| kept.lsn.position()), Some(2));
}

#[test]
fn of_a_huge_transaction_the_first_operations_are_kept() {
    let long = "x".repeat(100_000);
    let many = (0..50).map(|n| insert(0, texts(&[&long, &n.to_string(), "1"]), &[]));
    let bad = insert(0, texts(&["x", "1", "many"]), &[]);
    let ops = [begin(1, 1)].into_iter().chain(many).chain([bad, commit()]);
    let kept = kept(&mut tables(), ops).expect("it is kept");
    assert_eq!(kept.count, 51);
    assert!((1..20).contains(&kept.ops.len()), "{}", kept.ops.len());
}

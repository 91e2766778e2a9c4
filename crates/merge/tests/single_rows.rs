//! Vectors that don't fit the table of the others.

use bytes::Bytes;
use change::{ClientId, ClientOp, ClientOpKind, Field, RelationId, Tag, Tags};
use merge::{Effect, RowState, fold};

fn tag(text: &str) -> Tag {
    text.parse().expect("a tag")
}

/// An operation on a table that has nothing but its key.
fn key_only(kind: ClientOpKind, clear: &[&str]) -> ClientOp {
    ClientOp {
        relation: RelationId(1),
        kind,
        values: vec![Field::Value(Bytes::from_static(b"1"))],
        written: vec![false],
        clear: clear.iter().map(|text| tag(text)).collect(),
    }
}

#[test]
fn vector_19_a_table_that_has_nothing_but_its_key() {
    let mut row = RowState::unknown(1);
    assert_eq!(fold([&key_only(ClientOpKind::Insert, &[])], &tag("A@1000"), &mut row), Effect::Insert);
    let delete = key_only(ClientOpKind::Delete, &["B@2000", "A@1000"]);
    assert_eq!(fold([&delete], &tag("B@2000"), &mut row), Effect::Delete);
    assert_eq!(row.tags, Tags::new());
    assert_eq!(row.last_tag, Some(tag("B@2000")));
}

#[test]
fn what_operations_come_to() {
    let (insert, delete) = (key_only(ClientOpKind::Insert, &[]), key_only(ClientOpKind::Delete, &["A@1"]));
    let touch = key_only(ClientOpKind::Compensation, &[]);
    let effect = |before: &[&ClientOp], ops: &[&ClientOp]| {
        let mut row = RowState::unknown(1);
        fold(before.iter().copied(), &tag("A@1"), &mut row);
        fold(ops.iter().copied(), &tag("B@2"), &mut row)
    };
    assert_eq!(effect(&[], &[&insert]), Effect::Insert);
    assert_eq!(effect(&[], &[&delete]), Effect::Nothing);
    assert_eq!(effect(&[], &[&insert, &delete]), Effect::Bury);
    assert_eq!(effect(&[&insert], &[&touch]), Effect::Update);
    assert_eq!(effect(&[&insert], &[&delete]), Effect::Delete);
    assert_eq!(effect(&[&insert], &[&delete, &insert]), Effect::Update);
    assert_eq!(effect(&[&insert, &delete], &[&delete]), Effect::Bury);
}

#[test]
fn values_missing_or_too_many_do_no_harm() {
    let mut row = RowState::unknown(2);
    let mut op = key_only(ClientOpKind::Insert, &[]);
    fold([&op], &tag("A@1"), &mut row);
    assert!(row.values() == Some(&[op.values[0].clone(), Field::Null]));
    op.values = vec![Field::Null; 5];
    op.written = vec![true; 7];
    fold([&op], &tag("A@2"), &mut row);
    assert_eq!(row.values().map(<[Field]>::len), Some(2));
}

#[test]
fn postgres_wins_a_tie_and_clients_compare_byte_by_byte() {
    let client = |id: &str| Tag::client(&ClientId::new(id).expect("an id"), 5);
    assert!(Tag::postgres(5) > client("zzz"));
    assert!(client("a") > client("Z"));
    assert!(client("zzz") < Tag::postgres(5));
    assert!(Tag::postgres(4) < client("a"));
}

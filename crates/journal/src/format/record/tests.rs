//! Every transaction comes back as it was, and no bytes make anybody panic.

use proptest::prelude::*;

use super::*;
use crate::format::frame::Frames;

fn origin() -> impl Strategy<Value = Origin> {
    let client = "[a-z0-9-]{1,64}".prop_map(|id| Origin::Client(ClientId::new(&id).unwrap()));
    prop_oneof![Just(Origin::Postgres), client]
}

fn row() -> impl Strategy<Value = Row> {
    let value = prop::option::of(prop::collection::vec(any::<u8>(), 0..20));
    prop::collection::vec(value, 0..8).prop_map(|row| row.iter().map(Option::as_deref).collect())
}

fn tags() -> impl Strategy<Value = Tags> {
    prop::collection::vec((any::<i64>(), origin()), 0..3)
        .prop_map(|tags| tags.into_iter().map(|(ms, origin)| Tag { ms, origin }).collect())
}

fn change() -> impl Strategy<Value = Change> {
    let row = prop_oneof![
        (row(), tags()).prop_map(|(new, tags)| RowChange::Insert { new, tags }),
        (row(), row(), tags()).prop_map(|(old, new, tags)| RowChange::Update { old, new, tags }),
        (row(), tags()).prop_map(|(old, tags)| RowChange::Update { new: old.clone(), old, tags }),
        row().prop_map(|old| RowChange::Delete { old }),
    ];
    (any::<u32>(), row, any::<bool>()).prop_map(|(relation, row, blind)| Change {
        relation: RelationId(relation),
        row,
        blind,
    })
}

fn record() -> impl Strategy<Value = Record> {
    let version = || prop::option::of("[0-9]{1,14}");
    let changes = prop::collection::vec(change(), 0..6);
    (any::<[u64; 3]>(), origin(), changes, version(), version()).prop_map(
        |([lsn, xid, commit_ms], origin, changes, migration, schema)| Record {
            transaction: Transaction { lsn: Lsn(lsn), xid: Xid(xid), commit_ms, origin, changes },
            migration,
            schema,
        },
    )
}

fn read(bytes: Bytes, schema: Option<&str>) -> Result<Vec<Item>, Malformed> {
    let mut reader = Reader::new(schema.map(Arc::from));
    let mut items = Vec::new();
    for payload in Frames(bytes) {
        items.extend(reader.read(payload?)?);
    }
    if reader.is_complete() { Ok(items) } else { Err(Malformed) }
}

proptest! {
    #[test]
    fn transactions_come_back_as_they_were(records in prop::collection::vec(record(), 0..4), before in prop::option::of("[0-9]")) {
        let mut out = Vec::new();
        let mut schema = before.clone();
        for record in &records {
            put(&mut out, record.as_ref(), schema.as_deref());
            schema.clone_from(&record.schema);
        }
        let items: Vec<_> = records.into_iter().map(Item::Transaction).collect();
        prop_assert_eq!(read(out.into(), before.as_deref()), Ok(items));
    }

    #[test]
    fn bytes_that_are_none_are_refused_and_never_panic(record in record(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        // With a checksum that fits: the body is what is read.
        let mut out = Vec::new();
        put(&mut out, record.as_ref(), None);
        let mut payload = out.split_off(frame::HEAD);
        let at = at.index(payload.len());
        payload[at] = byte;
        payload.truncate(1 + cut.index(payload.len()));
        let _ = Reader::default().read(payload.into());
    }
}

#[test]
fn a_transaction_longer_than_a_frame_is_parted() {
    let value = vec![b'x'; MAX_PAYLOAD];
    let new: Row = [Some(value.as_slice()), Some(value.as_slice())].into_iter().collect();
    let changes = vec![Change {
        relation: RelationId(1),
        row: RowChange::Insert { new, tags: Tags::new() },
        blind: false,
    }];
    let transaction =
        Transaction { lsn: Lsn(7), xid: Xid(1), commit_ms: 2, origin: Origin::Postgres, changes };
    let record = Record { transaction, migration: None, schema: Some("1".into()) };
    let mut out = Vec::new();
    put(&mut out, record.as_ref(), None);
    let bytes = Bytes::from(out);
    let frames: Vec<_> = Frames(bytes.clone()).collect::<Result<_, _>>().unwrap();
    let kinds: Vec<u8> = frames.iter().map(|payload| payload[0]).collect();
    assert_eq!(kinds, [kind::PART, kind::PART, kind::TRANSACTION]);
    assert_eq!(glance(&frames[0], false), Ok(Glance::Begun(Lsn(7), Schema::Is(Some("1".into())))));
    assert!(read(bytes, None) == Ok(vec![Item::Transaction(record)]));
    let half: Vec<u8> = frames[..2].iter().fold(Vec::new(), |mut out, payload| {
        frame::put(&mut out, &[payload]);
        out
    });
    assert_eq!(read(half.into(), None), Err(Malformed));
}

#[test]
fn a_value_that_did_not_change_is_written_once() {
    let long = vec![b'x'; 10_000];
    let old: Row = [Some(b"1".as_slice()), Some(long.as_slice())].into_iter().collect();
    let new: Row = [Some(b"2".as_slice()), Some(long.as_slice())].into_iter().collect();
    let row = RowChange::Update { old, new, tags: Tags::new() };
    let transaction = Transaction {
        lsn: Lsn(7),
        xid: Xid(1),
        commit_ms: 2,
        origin: Origin::Postgres,
        changes: vec![Change { relation: RelationId(1), row, blind: true }],
    };
    let record = Record { transaction, migration: None, schema: None };
    let mut out = Vec::new();
    put(&mut out, record.as_ref(), None);
    assert!(out.len() < 10_100);
    assert_eq!(read(out.into(), None), Ok(vec![Item::Transaction(record)]));
}

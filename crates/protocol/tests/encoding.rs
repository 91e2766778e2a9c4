//! Op logs for clients: the same bytes as the generated types would give.

use std::sync::Arc;

use bytes::Bytes;
use change::{Change, ClientId, Lsn, Origin, RelationId, Row, RowChange, Tag, Tags};
use proptest::{collection::vec, option, prelude::*};
use protocol::{
    EncodeError, FRAME_LEN, GoneEncoder, InsertEncoder, Message, OPS_PER_FRAME, OpLogWriter, TransactionHead,
    prost::Message as _,
    wire::{
        SatOpAdditionalBegin, SatOpAdditionalCommit, SatOpBegin, SatOpCommit, SatOpDelete, SatOpGone,
        SatOpInsert, SatOpLog, SatOpMigrate, SatOpUpdate, SatTransOp, sat_trans_op::Op,
    },
};
use schema::Table;

use super::support::{frame_ops, row, table};

type Values = Vec<Option<Vec<u8>>>;

/// A table of text columns with a key of its first and last column, in that order reversed.
fn wide(columns: usize) -> Table {
    let names: Vec<String> = (0..columns).map(|i| format!("c{i}")).collect();
    let columns: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "text")).collect();
    let key = [names[columns.len() - 1].as_str(), &names[0]];
    table(16500, "t", &columns, if columns.len() == 1 { &key[..1] } else { &key })
}

fn slices(values: &Values) -> Vec<Option<&[u8]>> {
    values.iter().map(Option::as_deref).collect()
}

fn tags_strategy() -> impl Strategy<Value = Tags> {
    let origin = option::of("[a-z0-9-]{1,64}");
    vec((any::<i64>(), origin), 0..4).prop_map(|tags| {
        let origin = |id: Option<String>| {
            id.map_or(Origin::Postgres, |id| Origin::Client(ClientId::new(&id).unwrap()))
        };
        tags.into_iter().map(|(ms, id)| Tag { ms, origin: origin(id) }).collect()
    })
}

fn case() -> impl Strategy<Value = (Values, Values, Tags)> {
    (1usize..20).prop_flat_map(|columns| {
        let values = || vec(option::of(vec(any::<u8>(), 0..200)), columns);
        (values(), values(), tags_strategy())
    })
}

fn strings(tags: &Tags) -> Vec<String> {
    tags.iter().map(ToString::to_string).collect()
}

proptest! {
    #[test]
    fn every_operation_is_what_prost_writes((old, new, tags) in case(), lsn: u64, ms: u64, id: u64, reference: u64) {
        let table = wide(old.len());
        let relation_id = table.id.0;
        let rows: [Row; 2] = [slices(&old).into_iter().collect(), slices(&new).into_iter().collect()];
        let origin = Origin::Client(ClientId::new("c-1").unwrap());
        let head = TransactionHead {
            lsn: Lsn(lsn),
            commit_ms: ms,
            origin: &origin,
            transaction_id: id,
            is_migration: ms % 2 == 0,
            additional_data_ref: reference,
        };
        let migrate = SatOpMigrate { version: "20240101".into(), ..Default::default() };
        let changes = [
            RowChange::Insert { new: rows[1].clone(), tags: tags.clone() },
            RowChange::Update { old: rows[0].clone(), new: rows[1].clone(), tags: tags.clone() },
            RowChange::Delete { old: rows[0].clone() },
        ];

        let mut writer = OpLogWriter::new();
        writer.begin(&head);
        for row in changes {
            writer.change(&table, &Change { relation: RelationId(relation_id), row, blind: false }).unwrap();
        }
        writer.gone(&table, &rows[0]).unwrap();
        writer.migrate(&migrate);
        writer.additional_begin(reference);
        writer.additional_commit(reference);
        writer.commit(&head);

        let key: Values = (0..old.len())
            .map(|i| table.primary_key.contains(&i).then(|| old[i].clone()).flatten())
            .collect();
        let (old, new, key) = (row(&slices(&old)), row(&slices(&new)), row(&slices(&key)));
        let wire_lsn = Lsn(lsn).to_wire();
        let expected = [
            Op::Begin(SatOpBegin {
                commit_timestamp: ms,
                lsn: wire_lsn.clone(),
                origin: Some("c-1".into()),
                is_migration: head.is_migration,
                additional_data_ref: reference,
                transaction_id: Some(id),
            }),
            Op::Insert(SatOpInsert { relation_id, row_data: new.clone(), tags: strings(&tags) }),
            Op::Update(SatOpUpdate { relation_id, row_data: new, old_row_data: old.clone(), tags: strings(&tags) }),
            Op::Delete(SatOpDelete { relation_id, old_row_data: old, tags: vec![] }),
            Op::Gone(SatOpGone { relation_id, pk_data: key }),
            Op::Migrate(migrate),
            Op::AdditionalBegin(SatOpAdditionalBegin { r#ref: reference }),
            Op::AdditionalCommit(SatOpAdditionalCommit { r#ref: reference }),
            Op::Commit(SatOpCommit {
                commit_timestamp: ms,
                lsn: wire_lsn,
                additional_data_ref: reference,
                transaction_id: Some(id),
            }),
        ];
        let ops = expected.into_iter().map(|op| SatTransOp { op: Some(op) }).collect();
        let mut bytes = vec![9];
        SatOpLog { ops }.encode_raw(&mut bytes);
        prop_assert_eq!(writer.finish(), [Bytes::from(bytes)]);
    }

    #[test]
    fn rows_and_keys_of_a_query_are_what_prost_writes((values, _, tags) in case()) {
        let table = Arc::new(wide(values.len()));
        let relation_id = table.id.0;
        let mut inserts = InsertEncoder::new(table.clone());
        prop_assert_eq!(inserts.push(slices(&values), &tags), Ok(None));
        let expected = Op::Insert(SatOpInsert { relation_id, row_data: row(&slices(&values)), tags: strings(&tags) });
        let frame = inserts.finish().unwrap();
        prop_assert_eq!(frame_ops(&frame), [expected.clone()]);
        let mut bytes = vec![9];
        SatOpLog { ops: vec![SatTransOp { op: Some(expected) }] }.encode_raw(&mut bytes);
        prop_assert_eq!(&frame, &bytes);
        prop_assert_eq!(inserts.finish(), None);

        let key: Vec<Vec<u8>> = table.primary_key.iter().map(|i| values[*i].clone().unwrap_or_default()).collect();
        let mut gone = GoneEncoder::new(table.clone());
        prop_assert_eq!(gone.push(key.iter().map(Vec::as_slice)), Ok(None));
        let mut scattered: Values = vec![None; values.len()];
        for (column, value) in table.primary_key.iter().zip(key) {
            scattered[*column] = Some(value);
        }
        let expected = Op::Gone(SatOpGone { relation_id, pk_data: row(&slices(&scattered)) });
        prop_assert_eq!(frame_ops(&gone.finish().unwrap()), [expected]);
    }
}

#[test]
fn frames_hold_at_most_a_hundred_operations() {
    let table = table(7, "t", &[("id", "int4")], &["id"]);
    let origin = Origin::Postgres;
    let head = TransactionHead {
        lsn: Lsn(1),
        commit_ms: 1,
        origin: &origin,
        transaction_id: 1,
        is_migration: false,
        additional_data_ref: 0,
    };
    let mut writer = OpLogWriter::new();
    writer.begin(&head);
    for n in 0..250 {
        let new: Row = [Some(n.to_string().as_bytes())].into_iter().collect();
        writer.insert(&table, &new, &[Tag::EPOCH].into_iter().collect()).unwrap();
    }
    writer.commit(&head);
    let frames = writer.finish();
    let sizes: Vec<usize> = frames.iter().map(|frame| frame_ops(frame).len()).collect();
    assert_eq!(sizes, [OPS_PER_FRAME, OPS_PER_FRAME, 52]);
    let Op::Insert(first) = &frame_ops(&frames[0])[1] else { panic!() };
    assert_eq!(first.tags, ["postgres_1@0"]);
    assert!(matches!(frame_ops(&frames[2])[51], Op::Commit(_)));

    let mut encoder = InsertEncoder::new(Arc::new(table));
    let frames: Vec<Bytes> =
        (0..250).filter_map(|_| encoder.push([Some(b"1".as_slice())], &Tags::new()).unwrap()).collect();
    assert_eq!(frames.iter().map(|frame| frame_ops(frame).len()).collect::<Vec<_>>(), [100, 100]);
    assert_eq!(frame_ops(&encoder.finish().unwrap()).len(), 50);
}

#[test]
fn large_rows_complete_a_frame_early() {
    let mut encoder = InsertEncoder::new(Arc::new(table(7, "t", &[("a", "bytea")], &[])));
    let value = format!("\\x{}", "ab".repeat(FRAME_LEN));
    let frame = encoder.push([Some(value.as_bytes())], &Tags::new()).unwrap().unwrap();
    let Some(Op::Insert(insert)) = frame_ops(&frame).pop() else { panic!() };
    assert!(insert.row_data.unwrap().values[0].iter().all(|byte| *byte == 0xAB));
    assert_eq!(encoder.finish(), None);
}

#[test]
fn what_cannot_be_encoded_faithfully_is_refused_and_leaves_no_trace() {
    let table = table(7, "t", &[("id", "int4"), ("b", "bytea")], &["id"]);
    let mut encoder = InsertEncoder::new(Arc::new(table.clone()));
    for bad in ["", "abc", "\\x1", "\\xgg", "\\000"] {
        let error = encoder.push([Some(b"1".as_slice()), Some(bad.as_bytes())], &Tags::new()).unwrap_err();
        assert_eq!(error, EncodeError::NotHex { table: "t".into(), column: "b".into() });
    }
    for count in [0, 1, 3] {
        let error = encoder.push(vec![None; count], &Tags::new()).unwrap_err();
        assert_eq!(error, EncodeError::ColumnCount { table: "t".into(), columns: 2 });
    }
    assert_eq!(encoder.finish(), None);
    let mut writer = OpLogWriter::new();
    let short: Row = [None].into_iter().collect();
    assert!(writer.delete(&table, &short).is_err());
    assert_eq!(writer.finish(), Vec::<Bytes>::new());
    assert!(GoneEncoder::new(Arc::new(table)).push([]).is_err());
}

#[test]
fn a_frame_of_a_server_is_read_by_a_peer() {
    let mut writer = OpLogWriter::new();
    writer.additional_begin(5);
    let Ok(Message::OpLog(log)) = Message::decode(writer.finish().remove(0)) else { panic!() };
    assert_eq!(log.decode().unwrap().ops.len(), 1);
    assert_eq!(format!("{log:?}"), "OpLog(6 bytes)");
}

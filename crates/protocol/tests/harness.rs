//! What a fuzzer does with arbitrary bytes; shared with `fuzz/`, which has no other code of its own.
//!
//! Each function takes any bytes and panics only if the crate breaks a promise.

use std::sync::Arc;

use bytes::Bytes;
use change::{ClientId, RelationId};
use protocol::{
    InboundDecoder, InboundLimits, Message, Request,
    wire::{SatRelation, SatRelationColumn},
};
use schema::{Column, ColumnType, EnumType, Schema, Shadow, Table};

/// A message that decodes is encoded to one that decodes to the same.
pub fn frame(bytes: &[u8]) {
    let Ok(message) = Message::decode(Bytes::copy_from_slice(bytes)) else { return };
    if let Message::RpcRequest(envelope) = &message
        && let Ok(request) = Request::decode(envelope)
    {
        let again = request.encode(envelope.request_id);
        assert!(
            matches!(Message::decode(again), Ok(Message::RpcRequest(same)) if same.method == envelope.method)
        );
    }
    let encoded = message.encode();
    assert!(encoded == Message::decode(encoded.clone()).expect("what was encoded decodes").encode());
}

/// An op log is decoded, or refused with a text, under the limits; what it holds has the shape of its table.
pub fn op_log(bytes: &[u8]) {
    let frame = [&[9], bytes].concat();
    let Ok(Message::OpLog(log)) = Message::decode(frame.into()) else { return };
    let (schema, width) = every_type();
    let client = ClientId::new("c").expect("a valid id");
    let mut decoder = InboundDecoder::new(client, InboundLimits { bytes: 1 << 20, ops: 1000 });
    decoder.announce(&relation(&schema), &schema).expect("the table is known");
    match decoder.decode(&log, &schema) {
        Ok(transactions) => {
            for op in transactions.iter().flat_map(|transaction| &transaction.ops) {
                assert!(op.values.len() == width && op.written.len() == width);
                let texts = op.values.iter().filter_map(change::Field::value);
                texts.for_each(|text| {
                    assert!(std::str::from_utf8(text).is_ok_and(|text| !text.contains('\0')));
                });
            }
        }
        Err(rejection) => {
            assert!(!rejection.client_message.is_empty() && rejection.client_message.len() < 4096);
        }
    }
}

/// Table `t` with a column of each type, named after it; `int4` is the key.
pub fn every_type() -> (Schema, usize) {
    let names = [
        "int4",
        "bool",
        "int2",
        "int8",
        "float4",
        "float8",
        "text",
        "varchar",
        "uuid",
        "date",
        "time",
        "timestamp",
        "timestamptz",
        "jsonb",
        "bytea",
    ];
    let column = |name: &str, ty| Column {
        name: name.into(),
        ty,
        modifiers: Vec::new(),
        sql_type: name.into(),
        collation: None,
        not_null: name == "int4",
        default: None,
        identity: None,
    };
    let label = EnumType { name: "label".into(), labels: vec!["A".into(), "B".into()] };
    let mut columns: Vec<Column> = names
        .iter()
        .map(|name| column(name, ColumnType::from_typname(name).expect("a known type")))
        .collect();
    columns.push(column("label", ColumnType::Enum(Arc::new(label))));
    let width = columns.len();
    let mut schema = Schema::default();
    schema.insert(Arc::new(Table {
        id: RelationId(1),
        schema: "public".into(),
        name: "t".into(),
        columns,
        primary_key_name: "t_pkey".into(),
        primary_key: vec![0],
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        shadow: Shadow {
            id: RelationId(2),
            name: "shadow__public__t".into(),
            tag_columns: vec![None; width],
        },
        held_back: None,
    }));
    (schema, width)
}

/// The table of [`every_type`], announced as relation 0.
fn relation(schema: &Schema) -> SatRelation {
    let columns = schema.tables().flat_map(|table| &table.columns);
    let column = |c: &Column| SatRelationColumn {
        name: c.name.clone(),
        is_nullable: true,
        ..SatRelationColumn::default()
    };
    SatRelation {
        schema_name: "public".into(),
        table_name: "t".into(),
        columns: columns.map(column).collect(),
        ..SatRelation::default()
    }
}

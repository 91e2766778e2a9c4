//! Tables, rows and op logs to test with.

use std::sync::Arc;

use bytes::Bytes;
use change::{ClientId, ClientTransaction, Field, RelationId};
use protocol::{
    InboundDecoder, InboundLimits, Message, OpLog, Rejection,
    wire::{
        SatOpBegin, SatOpCommit, SatOpCompensation, SatOpDelete, SatOpInsert, SatOpLog, SatOpRow,
        SatOpUpdate, SatRelation, SatRelationColumn, SatTransOp, sat_trans_op::Op,
    },
};
use schema::{Column, ColumnType, EnumType, Schema, Shadow, Table};

/// The types by the names that the tables of the specification use.
pub fn type_named(name: &str) -> ColumnType {
    let color = EnumType { name: "color".into(), labels: vec!["RED".into(), "GREEN".into()] };
    let coffee = EnumType { name: "coffee".into(), labels: vec!["CAPPUCCINO".into()] };
    match name {
        "color" => ColumnType::Enum(Arc::new(color)),
        "coffee" => ColumnType::Enum(Arc::new(coffee)),
        base => ColumnType::from_typname(base).unwrap(),
    }
}

/// A table of nullable columns, `(name, type)`, of which some make up the key.
pub fn table(id: u32, name: &str, columns: &[(&str, &str)], key: &[&str]) -> Table {
    let column = |(name, ty): &(&str, &str)| Column {
        name: (*name).into(),
        ty: type_named(ty),
        modifiers: Vec::new(),
        sql_type: (*ty).into(),
        collation: None,
        not_null: key.contains(name),
        default: None,
        identity: None,
    };
    let position = |name: &&str| columns.iter().position(|c| c.0 == *name).unwrap();
    Table {
        id: RelationId(id),
        schema: "public".into(),
        name: name.into(),
        columns: columns.iter().map(column).collect(),
        primary_key_name: format!("{name}_pkey"),
        primary_key: key.iter().map(position).collect(),
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        shadow: Shadow {
            id: RelationId(id + 1),
            name: format!("shadow__public__{name}"),
            tag_columns: columns.iter().map(|c| Some(format!("_tag_{}", c.0))).collect(),
        },
        held_back: None,
    }
}

pub fn schema_of(tables: impl IntoIterator<Item = Table>) -> Schema {
    let mut schema = Schema::default();
    tables.into_iter().for_each(|table| schema.insert(Arc::new(table)));
    schema
}

/// A relation as a client announces it: no key flags, all columns nullable.
pub fn announcement(relation_id: u32, table: &str, columns: &[&str]) -> SatRelation {
    let column = |name: &&str| SatRelationColumn {
        name: (*name).into(),
        r#type: "TEXT".into(),
        primary_key: false,
        is_nullable: true,
    };
    SatRelation {
        schema_name: "public".into(),
        table_type: 0,
        table_name: table.into(),
        relation_id,
        columns: columns.iter().map(column).collect(),
    }
}

pub fn row(values: &[Option<&[u8]>]) -> Option<SatOpRow> {
    let mut mask = vec![0u8; values.len().div_ceil(8)];
    for (i, _) in values.iter().enumerate().filter(|(_, value)| value.is_none()) {
        mask[i / 8] |= 0x80 >> (i % 8);
    }
    let value = |value: &Option<&[u8]>| Bytes::copy_from_slice(value.unwrap_or_default());
    Some(SatOpRow { nulls_bitmask: mask.into(), values: values.iter().map(value).collect() })
}

/// A row without NULLs.
pub fn texts(values: &[&str]) -> Option<SatOpRow> {
    row(&values.iter().map(|text| Some(text.as_bytes())).collect::<Vec<_>>())
}

pub fn begin(commit_timestamp: u64, lsn: u32) -> Op {
    Op::Begin(SatOpBegin {
        commit_timestamp,
        lsn: Bytes::copy_from_slice(&lsn.to_be_bytes()),
        ..Default::default()
    })
}

pub fn commit() -> Op {
    Op::Commit(SatOpCommit::default())
}

pub fn insert(relation_id: u32, row_data: Option<SatOpRow>, tags: &[&str]) -> Op {
    Op::Insert(SatOpInsert { relation_id, row_data, tags: strings(tags) })
}

pub fn update(
    relation_id: u32,
    old_row_data: Option<SatOpRow>,
    row_data: Option<SatOpRow>,
    tags: &[&str],
) -> Op {
    Op::Update(SatOpUpdate { relation_id, row_data, old_row_data, tags: strings(tags) })
}

pub fn delete(relation_id: u32, old_row_data: Option<SatOpRow>, tags: &[&str]) -> Op {
    Op::Delete(SatOpDelete { relation_id, old_row_data, tags: strings(tags) })
}

pub fn compensation(relation_id: u32, pk_data: Option<SatOpRow>, tags: &[&str]) -> Op {
    Op::Compensation(SatOpCompensation { relation_id, pk_data, tags: strings(tags) })
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

pub fn log(ops: impl IntoIterator<Item = Op>) -> OpLog {
    let ops = ops.into_iter().map(|op| SatTransOp { op: Some(op) }).collect();
    OpLog::from(&SatOpLog { ops })
}

pub fn frame_ops(frame: &Bytes) -> Vec<Op> {
    let Message::OpLog(log) = Message::decode(frame.clone()).unwrap() else { panic!("not an op log") };
    log.decode().unwrap().ops.into_iter().map(|op| op.op.unwrap()).collect()
}

pub fn client() -> ClientId {
    ClientId::new("C").unwrap()
}

/// A decoder and the schema it decodes by.
pub struct Inbound {
    pub decoder: InboundDecoder,
    pub schema: Schema,
}

impl Inbound {
    pub fn new(schema: Schema) -> Inbound {
        Inbound { decoder: InboundDecoder::new(client(), InboundLimits::default()), schema }
    }

    /// Announces under relation id 0 the columns of a table in the order given.
    pub fn announce(mut self, relation_id: u32, table: &str, columns: &[&str]) -> Inbound {
        self.decoder.announce(&announcement(relation_id, table, columns), &self.schema).unwrap();
        self
    }

    pub fn decode(
        &mut self,
        ops: impl IntoIterator<Item = Op>,
    ) -> Result<Vec<ClientTransaction>, Box<Rejection>> {
        self.decoder.decode(&log(ops), &self.schema)
    }
}

pub fn value(text: &str) -> Field {
    Field::Value(Bytes::copy_from_slice(text.as_bytes()))
}

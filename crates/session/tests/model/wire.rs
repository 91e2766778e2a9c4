//! A client's transactions as its messages (spec 02 §6.5, §8).

use bytes::Bytes;
use protocol::{Message, wire::*};
use schema::Schema;

use super::local::{Entry, Op, Outgoing};
use crate::{client::Values, writing};

/// The relations of all tables: a client numbers them as it likes.
pub fn relations(schema: &Schema) -> Vec<Bytes> {
    let relation = |(id, table): (usize, &std::sync::Arc<schema::Table>)| {
        let column = |column: &schema::Column| SatRelationColumn {
            name: column.name.clone(),
            is_nullable: !column.not_null,
            ..Default::default()
        };
        let relation = SatRelation {
            schema_name: "public".into(),
            table_name: table.name.clone(),
            relation_id: id as u32,
            columns: table.columns.iter().map(column).collect(),
            ..Default::default()
        };
        Message::Relation(relation).encode()
    };
    schema.tables().enumerate().map(relation).collect()
}

/// One transaction: begin, operations, commit in one message.
pub fn transaction(outgoing: &Outgoing, schema: &Schema) -> Bytes {
    let lsn = Bytes::copy_from_slice(&outgoing.position().to_be_bytes());
    let begin = SatOpBegin { commit_timestamp: outgoing.ms, lsn, ..Default::default() };
    let mut ops = vec![writing::op(sat_trans_op::Op::Begin(begin))];
    ops.extend(outgoing.entries.iter().map(|entry| writing::op(operation(entry, schema))));
    ops.push(writing::op(sat_trans_op::Op::Commit(SatOpCommit::default())));
    writing::log(ops)
}

fn operation(entry: &Entry, schema: &Schema) -> sat_trans_op::Op {
    let mut tables = schema.tables().enumerate();
    let (id, table) = tables.find(|(_, table)| table.name == entry.place.0).expect("a table");
    let (relation_id, tags) = (id as u32, entry.clear.clone());
    let row = |values: &Values| Some(encode(table, values));
    match entry.op {
        Op::Insert => sat_trans_op::Op::Insert(SatOpInsert { relation_id, row_data: row(&entry.new), tags }),
        Op::Update => sat_trans_op::Op::Update(SatOpUpdate {
            relation_id,
            row_data: row(&entry.new),
            old_row_data: row(&entry.old),
            tags,
        }),
        Op::Delete => {
            sat_trans_op::Op::Delete(SatOpDelete { relation_id, old_row_data: row(&entry.old), tags })
        }
        Op::Compensation => {
            sat_trans_op::Op::Compensation(SatOpCompensation { relation_id, pk_data: row(&entry.new), tags })
        }
    }
}

/// A whole row; columns that are not there are NULL.
fn encode(table: &schema::Table, values: &Values) -> SatOpRow {
    let mut nulls = vec![0u8; table.columns.len().div_ceil(8)];
    let mut encoded = Vec::with_capacity(table.columns.len());
    for (index, column) in table.columns.iter().enumerate() {
        match values.get(&column.name).and_then(Option::as_ref) {
            Some(value) => encoded.push(Bytes::copy_from_slice(value.as_bytes())),
            None => {
                nulls[index / 8] |= 0x80 >> (index % 8);
                encoded.push(Bytes::new());
            }
        }
    }
    SatOpRow { nulls_bitmask: nulls.into(), values: encoded }
}

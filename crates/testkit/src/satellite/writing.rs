//! A client's own changes.

use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::Result;
use bytes::Bytes;
use prost::Message as _;
use protocol::{
    Message,
    wire::{
        SatOpBegin, SatOpCommit, SatOpInsert, SatOpLog, SatOpRow, SatRelation, SatRelationColumn, SatTransOp,
        sat_trans_op,
    },
};

use super::Satellite;

impl Satellite {
    /// Announces a table as the client knows it, under a number of the client's own.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn announce(&mut self, relation_id: u32, table: &str, columns: &[&str]) -> Result<()> {
        let column = |name: &&str| SatRelationColumn {
            name: name.to_string(),
            is_nullable: true,
            ..Default::default()
        };
        let relation = SatRelation {
            schema_name: "public".into(),
            table_name: table.into(),
            relation_id,
            columns: columns.iter().map(column).collect(),
            ..Default::default()
        };
        self.socket().send(&Message::Relation(relation)).await
    }

    /// Sends a transaction of the client's own, under the next position of its log, and returns its timestamp.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn write(&mut self, ops: Vec<sat_trans_op::Op>) -> Result<u64> {
        let timestamp = now_ms();
        self.write_at(self.next_write, timestamp, ops).await?;
        Ok(timestamp)
    }

    /// Sends a transaction under a position and a timestamp of the caller's choice.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn write_at(
        &mut self,
        position: u32,
        timestamp: u64,
        ops: Vec<sat_trans_op::Op>,
    ) -> Result<()> {
        self.next_write = position + 1;
        let begin = SatOpBegin {
            commit_timestamp: timestamp,
            lsn: Bytes::copy_from_slice(&position.to_be_bytes()),
            ..Default::default()
        };
        let all = [sat_trans_op::Op::Begin(begin)].into_iter().chain(ops);
        let all = all.chain([sat_trans_op::Op::Commit(SatOpCommit::default())]);
        let log = SatOpLog { ops: all.map(|op| SatTransOp { op: Some(op) }).collect() };
        let frame = [&[9], log.encode_to_vec().as_slice()].concat();
        self.socket().send_bytes(frame.into()).await
    }

    /// An insert for [`Satellite::write`].
    #[must_use]
    pub fn insert(relation_id: u32, values: &[Option<&[u8]>], tags: &[String]) -> sat_trans_op::Op {
        let row = wire_row(values);
        sat_trans_op::Op::Insert(SatOpInsert { relation_id, row_data: Some(row), tags: tags.to_vec() })
    }
}

/// A row for the wire.
#[must_use]
pub fn wire_row(values: &[Option<&[u8]>]) -> SatOpRow {
    let mut mask = vec![0u8; values.len().div_ceil(8)];
    for (i, value) in values.iter().enumerate() {
        if value.is_none() {
            mask[i / 8] |= 0x80 >> (i % 8);
        }
    }
    let values = values.iter().map(|value| value.map(Bytes::copy_from_slice).unwrap_or_default()).collect();
    SatOpRow { nulls_bitmask: mask.into(), values }
}

/// The clock of clients: milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

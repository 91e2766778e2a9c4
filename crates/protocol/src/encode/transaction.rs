//! Transactions and move-in blocks.

use bytes::Bytes;
use change::{Change, Lsn, Origin, Row, RowChange, Tags};
use prost::Message as _;
use schema::Table;

use super::{
    EncodeError,
    frames::Frames,
    put::{self, Digits},
    row::{put_key, put_row},
};
use crate::wire::SatOpMigrate;

/// What the begin and commit operations of a transaction say (spec 02 §7, §8.6).
#[derive(Clone, Copy, Debug)]
pub struct TransactionHead<'a> {
    /// Where the stream stands after it.
    pub lsn: Lsn,
    /// Milliseconds since the Unix epoch; for a client's own transaction exactly the number it sent.
    pub commit_ms: u64,
    /// Who wrote it.
    pub origin: &'a Origin,
    /// Names it in acknowledgements; never zero, never that of the transaction before.
    pub transaction_id: u64,
    /// Whether it carries `migrate` operations.
    pub is_migration: bool,
    /// The move-in block that completes it; 0 for none.
    pub additional_data_ref: u64,
}

/// Encodes a sequence of operations into `SatOpLog` frames of at most [`super::OPS_PER_FRAME`] operations.
///
/// It writes what it is told and keeps no order: begin, operations, commit are the caller's to put in order.
#[derive(Default)]
pub struct OpLogWriter {
    frames: Frames,
    finished: Vec<Bytes>,
    scratch: Scratch,
}

/// Buffers for the pieces of an operation whose lengths must be known before they are written; reused.
#[derive(Default)]
pub(super) struct Scratch {
    pub(super) head: Vec<u8>,
    pub(super) row: Vec<u8>,
    pub(super) old_head: Vec<u8>,
    pub(super) old_row: Vec<u8>,
    pub(super) tags: Vec<u8>,
}

impl Scratch {
    pub(super) fn clear(&mut self) {
        for part in [&mut self.head, &mut self.row, &mut self.old_head, &mut self.old_row, &mut self.tags] {
            part.clear();
        }
    }

    /// Completes the head: relation, and the prefix of the row in field 2.
    pub(super) fn head(&mut self, table: &Table) {
        put::number(&mut self.head, 1, u64::from(table.id.0));
        put::prefix(&mut self.head, 2, self.row.len());
    }
}

/// The numbers of the operations in `SatTransOp`.
pub(super) mod op {
    pub(super) const BEGIN: u8 = 1;
    pub(super) const COMMIT: u8 = 2;
    pub(super) const UPDATE: u8 = 3;
    pub(in super::super) const INSERT: u8 = 4;
    pub(super) const DELETE: u8 = 5;
    pub(super) const MIGRATE: u8 = 6;
    pub(in super::super) const GONE: u8 = 8;
    pub(super) const ADDITIONAL_BEGIN: u8 = 9;
    pub(super) const ADDITIONAL_COMMIT: u8 = 10;
}

impl OpLogWriter {
    /// A writer with nothing in it.
    #[must_use]
    pub fn new() -> OpLogWriter {
        OpLogWriter::default()
    }

    /// Opens a transaction.
    pub fn begin(&mut self, head: &TransactionHead<'_>) {
        let body = self.body();
        put::number(body, 1, head.commit_ms);
        put::bytes(body, 3, Digits::default().write_unsigned(head.lsn.0));
        put::bytes(body, 4, head.origin.as_str().as_bytes());
        put::number(body, 5, u64::from(head.is_migration));
        put::number(body, 6, head.additional_data_ref);
        put::some_number(body, 7, head.transaction_id);
        self.push(op::BEGIN);
    }

    /// Closes a transaction opened with the same head.
    pub fn commit(&mut self, head: &TransactionHead<'_>) {
        let body = self.body();
        put::number(body, 1, head.commit_ms);
        put::bytes(body, 3, Digits::default().write_unsigned(head.lsn.0));
        put::number(body, 4, head.additional_data_ref);
        put::some_number(body, 5, head.transaction_id);
        self.push(op::COMMIT);
    }

    /// A net change as the operation that carries it: `insert`, `update` or `delete`.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing has been written then.
    pub fn change(&mut self, table: &Table, change: &Change) -> Result<(), EncodeError> {
        match &change.row {
            RowChange::Insert { new, tags } => self.insert(table, new, tags),
            RowChange::Update { old, new, tags } => self.update(table, old, new, tags),
            RowChange::Delete { old } => self.delete(table, old),
        }
    }

    /// A row that the client does not have; applied as an upsert.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing has been written then.
    pub fn insert(&mut self, table: &Table, new: &Row, tags: &Tags) -> Result<(), EncodeError> {
        self.scratch.clear();
        put_row(&mut self.scratch.row, table, new.iter())?;
        put::tags(&mut self.scratch.tags, 3, tags);
        self.scratch.head(table);
        self.push(op::INSERT);
        Ok(())
    }

    /// A row that the client has, with both images.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing has been written then.
    pub fn update(&mut self, table: &Table, old: &Row, new: &Row, tags: &Tags) -> Result<(), EncodeError> {
        self.scratch.clear();
        put_row(&mut self.scratch.row, table, new.iter())?;
        put_row(&mut self.scratch.old_row, table, old.iter())?;
        put::prefix(&mut self.scratch.old_head, 3, self.scratch.old_row.len());
        put::tags(&mut self.scratch.tags, 4, tags);
        self.scratch.head(table);
        self.push(op::UPDATE);
        Ok(())
    }

    /// A row that was deleted in Postgres. Carries no tags.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing has been written then.
    pub fn delete(&mut self, table: &Table, old: &Row) -> Result<(), EncodeError> {
        self.scratch.clear();
        put_row(&mut self.scratch.row, table, old.iter())?;
        self.scratch.head(table);
        self.push(op::DELETE);
        Ok(())
    }

    /// A row that has left the client's view; of `row` only the key is sent.
    ///
    /// # Errors
    /// [`EncodeError`]; nothing has been written then.
    pub fn gone(&mut self, table: &Table, row: &Row) -> Result<(), EncodeError> {
        self.scratch.clear();
        let key = |column| if table.primary_key.contains(&column) { row.get(column) } else { None };
        put_key(&mut self.scratch.row, table, key)?;
        self.scratch.head(table);
        self.push(op::GONE);
        Ok(())
    }

    /// One operation of a migration.
    pub fn migrate(&mut self, migrate: &SatOpMigrate) {
        self.scratch.clear();
        migrate.encode_raw(&mut self.scratch.head);
        self.push(op::MIGRATE);
    }

    /// Opens a move-in block; only inserts may follow.
    pub fn additional_begin(&mut self, reference: u64) {
        put::number(self.body(), 1, reference);
        self.push(op::ADDITIONAL_BEGIN);
    }

    /// Closes a move-in block.
    pub fn additional_commit(&mut self, reference: u64) {
        put::number(self.body(), 1, reference);
        self.push(op::ADDITIONAL_COMMIT);
    }

    /// All frames in order, each a whole WebSocket message; none if nothing was written.
    #[must_use]
    pub fn finish(mut self) -> Vec<Bytes> {
        self.finished.extend(self.frames.cut());
        self.finished
    }

    fn body(&mut self) -> &mut Vec<u8> {
        self.scratch.clear();
        &mut self.scratch.head
    }

    fn push(&mut self, field: u8) {
        let Scratch { head, row, old_head, old_row, tags } = &self.scratch;
        let frame = self.frames.push(field, &[head, row, old_head, old_row, tags]);
        self.finished.extend(frame);
    }
}

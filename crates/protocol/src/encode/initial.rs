//! The rows and keys of a query, as fast as they are read.

use std::sync::Arc;

use bytes::Bytes;
use change::Tags;
use schema::Table;
use smallvec::SmallVec;

use super::{
    EncodeError,
    frames::Frames,
    put,
    row::{put_key, put_row},
    transaction::{Scratch, op},
};

/// Encodes rows of one table as `insert` operations: subscription data (spec 02 §9.1) and the contents of move-in blocks.
pub struct InsertEncoder {
    table: Arc<Table>,
    frames: Frames,
    scratch: Scratch,
}

impl InsertEncoder {
    /// An encoder for rows of `table` as it is defined now.
    #[must_use]
    pub fn new(table: Arc<Table>) -> InsertEncoder {
        InsertEncoder { table, frames: Frames::default(), scratch: Scratch::default() }
    }

    /// Adds a row: its values in table column order as Postgres prints them, and its tags. Returns a whole WebSocket
    /// message whenever one is complete.
    ///
    /// # Errors
    /// [`EncodeError`]; the row has not been added then.
    pub fn push<'a>(
        &mut self,
        values: impl IntoIterator<Item = Option<&'a [u8]>>,
        tags: &Tags,
    ) -> Result<Option<Bytes>, EncodeError> {
        self.scratch.clear();
        put_row(&mut self.scratch.row, &self.table, values)?;
        put::tags(&mut self.scratch.tags, 3, tags);
        self.scratch.head(&self.table);
        Ok(self.frames.push(op::INSERT, &[&self.scratch.head, &self.scratch.row, &self.scratch.tags]))
    }

    /// The last message; `None` if all rows are in messages already. More rows may follow.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.frames.cut()
    }
}

/// Encodes keys of one table as `gone` operations (spec 02 §9.2).
pub struct GoneEncoder {
    table: Arc<Table>,
    frames: Frames,
    scratch: Scratch,
}

impl GoneEncoder {
    /// An encoder for keys of `table` as it is defined now.
    #[must_use]
    pub fn new(table: Arc<Table>) -> GoneEncoder {
        GoneEncoder { table, frames: Frames::default(), scratch: Scratch::default() }
    }

    /// Adds a key: its values in the order of the primary key ([`Table::primary_key`]). Returns a whole WebSocket message
    /// whenever one is complete.
    ///
    /// # Errors
    /// [`EncodeError`]; the key has not been added then.
    pub fn push<'a>(
        &mut self,
        key: impl IntoIterator<Item = &'a [u8]>,
    ) -> Result<Option<Bytes>, EncodeError> {
        let table = &*self.table;
        let key: SmallVec<[&[u8]; 4]> = key.into_iter().collect();
        if key.len() != table.primary_key.len() {
            return Err(EncodeError::ColumnCount {
                table: table.name.clone(),
                columns: table.primary_key.len(),
            });
        }
        self.scratch.clear();
        let value = |column| {
            let at = table.primary_key.iter().position(|of_key| *of_key == column)?;
            key.get(at).copied()
        };
        put_key(&mut self.scratch.row, table, value)?;
        self.scratch.head(table);
        Ok(self.frames.push(op::GONE, &[&self.scratch.head, &self.scratch.row]))
    }

    /// The last message; `None` if all keys are in messages already. More keys may follow.
    pub fn finish(&mut self) -> Option<Bytes> {
        self.frames.cut()
    }
}

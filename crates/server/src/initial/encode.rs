//! Rows to messages.

use std::{collections::HashMap, sync::Arc};

use bytes::Bytes;
use change::{RelationId, Tags};
use protocol::{EncodeError, GoneEncoder, InsertEncoder};
use schema::Table;
use session::ReadKind;

use super::tape::Frame;

/// The rows of one read, each table's apart.
pub(super) struct Encoder {
    read: usize,
    kind: ReadKind,
    tables: HashMap<RelationId, Rows>,
    /// Complete messages.
    frames: Vec<Frame>,
    failure: Option<EncodeError>,
}

enum Rows {
    Inserts(InsertEncoder),
    Keys(GoneEncoder, Vec<usize>),
}

impl Encoder {
    /// For the read with this index.
    pub(super) fn new(read: usize, kind: ReadKind) -> Encoder {
        Encoder { read, kind, tables: HashMap::new(), frames: Vec::new(), failure: None }
    }

    /// Adds a row: its values in table column order. That it can't be is told by [`Encoder::take`].
    pub(super) fn push(&mut self, table: &Arc<Table>, values: &[Option<&[u8]>], tags: &Tags) {
        let rows = self.tables.entry(table.id).or_insert_with(|| Rows::new(table, self.kind));
        match rows.push(values, tags) {
            Ok(message) => self.frames.extend(message.map(|message| Frame { read: self.read, message })),
            Err(error) => {
                self.failure.get_or_insert(error);
            }
        }
    }

    /// The messages that have been completed.
    ///
    /// # Errors
    /// If a row could not be encoded.
    pub(super) fn take(&mut self) -> Result<std::vec::Drain<'_, Frame>, EncodeError> {
        match self.failure.take() {
            Some(error) => Err(error),
            None => Ok(self.frames.drain(..)),
        }
    }

    /// No more rows follow: what there is, is made messages of.
    pub(super) fn finish(&mut self) {
        let messages = self.tables.values_mut().filter_map(Rows::finish);
        self.frames.extend(messages.map(|message| Frame { read: self.read, message }));
    }
}

impl Rows {
    fn new(table: &Arc<Table>, kind: ReadKind) -> Rows {
        match kind {
            ReadKind::Rows => Rows::Inserts(InsertEncoder::new(table.clone())),
            ReadKind::Keys => Rows::Keys(GoneEncoder::new(table.clone()), table.primary_key.clone()),
        }
    }

    fn push(&mut self, values: &[Option<&[u8]>], tags: &Tags) -> Result<Option<Bytes>, EncodeError> {
        match self {
            Rows::Inserts(rows) => rows.push(values.iter().copied(), tags),
            Rows::Keys(keys, columns) => {
                keys.push(columns.iter().filter_map(|column| values.get(*column).copied().flatten()))
            }
        }
    }

    fn finish(&mut self) -> Option<Bytes> {
        match self {
            Rows::Inserts(rows) => rows.finish(),
            Rows::Keys(keys, _) => keys.finish(),
        }
    }
}

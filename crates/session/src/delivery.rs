//! What the stream hands to sessions.

use std::{borrow::Cow, fmt, sync::Arc};

use bytes::Bytes;
use change::{Lsn, Origin, RelationId, Row, RowChange, Transaction};
use parking_lot::Mutex;
use protocol::{EncodeError, OpLogWriter, TransactionHead, migrate_op, wire::SatOpMigrate};
use schema::{Dialect, Migration, Schema, Table};

use crate::{
    Image, Lost,
    effect::{Effect, Outcome, key_row},
    set::{ShapeKey, ShapeSet},
};

/// One committed transaction as it goes to clients, shared by all sessions, with the frames it was encoded to: each
/// distinct set of shapes is encoded once (design: encode once, the same bytes go to every client).
pub struct Delivery {
    /// The net changes.
    pub transaction: Transaction,
    /// The schema that its rows are to be read with: the one after the transaction.
    pub schema: Arc<Schema>,
    /// The migration that it carries, if any.
    pub migration: Option<Arc<Migration>>,
    /// The schema before it, if it carries a migration and that is known.
    before: Option<Arc<Schema>>,
    /// The schema without the tables that its migration brings back, if it does.
    during: Option<Arc<Schema>>,
    /// The tables it touches, sorted.
    relations: Box<[RelationId]>,
    memo: Mutex<Memo>,
}

/// Encodings by set of shapes and manner.
#[derive(Default)]
struct Memo {
    entries: Vec<(ShapeKey, Rendering, Encoded)>,
    bytes: usize,
}

/// What an encoding depends on besides the shapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Rendering {
    /// For whom the migration is part of it, if for anybody.
    pub(crate) dialect: Option<Dialect>,
    /// Whether rows that a shape brings are sent though another shape has them: its data may have left them out, since the
    /// transaction raced with the query for it.
    pub(crate) repeats: bool,
    /// Whether it is for its author, and that makes a difference.
    pub(crate) own: bool,
}

/// A transaction as one set of shapes sees it.
#[derive(Clone, Debug)]
pub(crate) struct Encoded {
    /// Whole messages, in order.
    pub(crate) frames: Arc<[Bytes]>,
    /// Whether there is nothing in it but its begin and commit.
    pub(crate) is_empty: bool,
    /// The block of additional data that it announces, to follow it directly.
    pub(crate) additional: Option<Arc<[Bytes]>>,
}

/// A transaction can't be encoded for a set of shapes.
#[derive(Debug)]
pub(crate) enum DeliveryError {
    /// A row of it can't.
    Encode,
    /// A tracker does not know any more what it did.
    Lost,
}

impl From<EncodeError> for DeliveryError {
    fn from(_: EncodeError) -> DeliveryError {
        DeliveryError::Encode
    }
}

impl From<Lost> for DeliveryError {
    fn from(Lost: Lost) -> DeliveryError {
        DeliveryError::Lost
    }
}

/// Encodings kept per transaction. Sets beyond that are encoded for each session anew.
const MAX_ENTRIES: usize = 64;

impl Delivery {
    /// Makes a transaction ready to be handed to sessions.
    #[must_use]
    pub fn new(transaction: Transaction, schema: Arc<Schema>, migration: Option<Arc<Migration>>) -> Delivery {
        let mut relations: Vec<RelationId> = Vec::new();
        for change in &transaction.changes {
            if relations.last() != Some(&change.relation) {
                relations.push(change.relation);
            }
        }
        relations.sort_unstable();
        relations.dedup();
        let during = migration.as_ref().and_then(|migration| {
            let ids = schema.tables().map(|table| table.id);
            let returned: Vec<_> =
                ids.filter(|id| schema.returned(*id) == Some(migration.version.as_str())).collect();
            (!returned.is_empty()).then(|| Arc::new(schema.without(&returned)))
        });
        let (relations, memo) = (relations.into(), Mutex::default());
        Delivery { transaction, schema, migration, before: None, during, relations, memo }
    }

    /// The same, with the schema before it: whoever comes to the stream right here has to know what its migration changed.
    #[must_use]
    pub fn after(self, before: Arc<Schema>) -> Delivery {
        let before = self.migration.is_some().then_some(before);
        Delivery { before, ..self }
    }

    /// The schema by which its changes concern anybody: the rows of tables that clients make anew with it are read anew after it.
    pub(crate) fn during(&self) -> &Arc<Schema> {
        self.during.as_ref().unwrap_or(&self.schema)
    }

    /// The schema before it, as far as that is known.
    pub(crate) fn before(&self) -> &Arc<Schema> {
        self.before.as_ref().unwrap_or(&self.schema)
    }

    /// Whether there is something in it for nobody but its author: rows that it wrote without knowing how they stood.
    pub(crate) fn is_partly_blind(&self) -> bool {
        self.transaction.changes.iter().any(|change| change.blind)
    }

    /// The tables it touches, sorted.
    #[must_use]
    pub fn relations(&self) -> &[RelationId] {
        &self.relations
    }

    /// Roughly what it occupies in memory at most, in bytes: the rows, and as much again for what they are encoded to.
    #[must_use]
    pub fn weight(&self) -> usize {
        size_of::<Delivery>() + 2 * self.transaction.weight()
    }

    /// The frames for a set of shapes whose trackers have reached it.
    pub(crate) fn frames(&self, set: &ShapeSet, rendering: Rendering) -> Result<Encoded, DeliveryError> {
        let key = set.key();
        let known = |memo: &Memo| {
            memo.entries
                .iter()
                .find(|(k, r, _)| *r == rendering && k == key)
                .map(|(_, _, encoded)| encoded.clone())
        };
        if let Some(encoded) = known(&self.memo.lock()) {
            return Ok(encoded);
        }
        let encoded = self.encode(set, rendering)?;
        let additional = encoded.additional.iter().flat_map(|frames| frames.iter());
        let bytes: usize = encoded.frames.iter().chain(additional).map(Bytes::len).sum();
        let mut memo = self.memo.lock();
        if memo.entries.len() < MAX_ENTRIES && memo.bytes + bytes <= self.memo_bound() {
            memo.bytes += bytes;
            memo.entries.push((key.clone(), rendering, encoded.clone()));
        }
        Ok(encoded)
    }

    /// Bytes of encodings kept. A little more than the rows themselves, so that the most wanted encoding always fits.
    fn memo_bound(&self) -> usize {
        let migration = if self.migration.is_some() { 256 << 10 } else { 0 };
        1024 + 2 * self.transaction.weight() + migration
    }

    fn encode(&self, set: &ShapeSet, rendering: Rendering) -> Result<Encoded, DeliveryError> {
        let migration = self.migration.as_deref().zip(rendering.dialect);
        let migrations =
            migration.map(|(migration, dialect)| migrate_ops(migration, dialect)).unwrap_or_default();
        let transaction = &self.transaction;
        let effect = Effect::of(transaction, &self.relations, &self.schema, set, rendering)?;
        let reference = transaction.xid.0;
        let head = TransactionHead {
            lsn: transaction.lsn,
            commit_ms: transaction.commit_ms,
            origin: &transaction.origin,
            transaction_id: transaction.xid.0,
            is_migration: !migrations.is_empty(),
            additional_data_ref: if effect.additional.is_some() { reference } else { 0 },
        };
        let is_empty = migrations.is_empty() && effect.is_empty();
        let mut writer = OpLogWriter::new();
        writer.begin(&head);
        // The order is DDL, then what clients have or get, then what leaves (spec 06 §6.6).
        for migrate in &migrations {
            writer.migrate(migrate);
        }
        for (table, change, outcome) in &effect.changes {
            match (outcome, &change.row) {
                (Outcome::Insert, RowChange::Insert { new, tags } | RowChange::Update { new, tags, .. }) => {
                    writer.insert(table, new, tags)?;
                }
                (Outcome::Gone, _) => {}
                (Outcome::Insert | Outcome::Update | Outcome::Delete, _) => writer.change(table, change)?,
            }
        }
        for image in &effect.brought {
            if let Some(table) = self.table(image.relation) {
                writer.insert(table, &Delivery::fit(table, image), &image.tags)?;
            }
        }
        for (table, change, _) in effect.changes.iter().filter(|(_, _, outcome)| *outcome == Outcome::Gone) {
            if let Some(row) = change.row.before().or(change.row.after()) {
                writer.gone(table, row)?;
            }
        }
        for (relation, key) in &effect.left {
            if let Some(table) = self.table(*relation) {
                writer.gone(table, &key_row(table, key))?;
            }
        }
        writer.commit(&head);
        let additional = effect.additional.map(|rows| self.additional(&rows, reference)).transpose()?;
        Ok(Encoded { frames: writer.finish().into(), is_empty, additional })
    }

    /// The block of additional data (spec 06 §7).
    fn additional(&self, rows: &[Image], reference: u64) -> Result<Arc<[Bytes]>, EncodeError> {
        let mut writer = OpLogWriter::new();
        writer.additional_begin(reference);
        for image in rows {
            if let Some(table) = self.table(image.relation) {
                writer.insert(table, &Delivery::fit(table, image), &image.tags)?;
            }
        }
        writer.additional_commit(reference);
        Ok(writer.finish().into())
    }

    /// As much of an image as the table has here: it may have been read by a later definition, with more columns.
    fn fit<'i>(table: &Table, image: &'i Image) -> Cow<'i, Row> {
        if image.row.len() <= table.columns.len() {
            return Cow::Borrowed(&image.row);
        }
        Cow::Owned(image.row.iter().take(table.columns.len()).collect())
    }

    fn table(&self, relation: RelationId) -> Option<&Arc<Table>> {
        self.schema.table(relation).filter(|table| table.held_back.is_none())
    }
}

/// Row values are the users' own and are not printed.
impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery")
            .field("lsn", &self.transaction.lsn)
            .field("xid", &self.transaction.xid)
            .field("changes", &self.transaction.changes.len())
            .field("migration", &self.migration.as_ref().map(|migration| &migration.version))
            .finish_non_exhaustive()
    }
}

/// A migration of an initial sync as its own transaction (spec 02 §6.3.1).
pub(crate) fn migration_frames(migration: &Migration, lsn: Lsn, dialect: Dialect) -> Vec<Bytes> {
    let head = TransactionHead {
        lsn,
        commit_ms: migration.recorded_ms,
        origin: &Origin::Postgres,
        transaction_id: migration.xid.0,
        is_migration: true,
        additional_data_ref: 0,
    };
    let mut writer = OpLogWriter::new();
    writer.begin(&head);
    for migrate in migrate_ops(migration, dialect) {
        writer.migrate(&migrate);
    }
    writer.commit(&head);
    writer.finish()
}

/// What clients get of a migration. If that is nothing (a table has left the sync, an index is gone, all it touches is held back), it
/// is the version alone: clients compare the versions they have applied with those that an app brings along, one by one, and
/// an app's have them all (spec 04 §10.2).
fn migrate_ops(migration: &Migration, dialect: Dialect) -> Vec<SatOpMigrate> {
    let ops = migration.ops.iter().filter_map(|op| migrate_op(&migration.version, op, dialect));
    let mut ops: Vec<_> = ops.collect();
    if ops.is_empty() {
        ops.push(SatOpMigrate { version: migration.version.clone(), ..SatOpMigrate::default() });
    }
    ops
}

/// A transaction that does nothing but move the client's position.
pub(crate) fn empty_transaction(lsn: Lsn, id: u64, commit_ms: u64, origin: &Origin) -> Vec<Bytes> {
    let head = TransactionHead {
        lsn,
        commit_ms,
        origin,
        transaction_id: id,
        is_migration: false,
        additional_data_ref: 0,
    };
    let mut writer = OpLogWriter::new();
    writer.begin(&head);
    writer.commit(&head);
    writer.finish()
}

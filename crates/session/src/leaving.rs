//! What goes, and what stays, when subscriptions end (spec 06 §8).

use std::{collections::BTreeMap, sync::Arc};

use bytes::Bytes;
use change::{Change, Lsn, Origin, RelationId, Row, RowChange};
use protocol::{EncodeError, GoneEncoder, OpLogWriter, TransactionHead};
use schema::Schema;
use shapes::Key;

use crate::{Delivery, Now, Tracker, block::Reads, set::ShapeSet};

/// Subscriptions that end where the stream stands.
pub(crate) struct Leaving<'a> {
    /// The trackers of their shapes.
    pub(crate) trackers: Vec<Arc<dyn Tracker>>,
    /// The shapes that stay.
    pub(crate) kept: ShapeSet,
    /// The place of the gone batch.
    pub(crate) at: Lsn,
    /// The schema there.
    pub(crate) schema: &'a Schema,
}

impl Leaving<'_> {
    /// The keys of rows that go, besides those that a snapshot reads, as messages: rows of followed shapes, and rows that the client
    /// has got from transactions which the snapshot does not see.
    pub(crate) fn keys(&self, raced: &[Arc<Delivery>], reads: &Reads) -> Result<Vec<Bytes>, EncodeError> {
        let mut going: Vec<(RelationId, Key)> = Vec::new();
        for tracker in &self.trackers {
            going.extend(
                tracker
                    .members(self.at)
                    .into_iter()
                    .filter(|(id, key)| !self.kept.holds_unseen(*id, key, self.at)),
            );
        }
        for (relation, key, row) in self.raced(raced, reads) {
            let layers = reads.request.reads.iter().flat_map(|read| &read.plan.layers);
            let mut filters = layers.filter(|l| l.table.id == relation).map(|layer| &layer.filter);
            if filters.any(|filter| filter.matches(row)) && !self.keeps(relation, &key, row) {
                going.push((relation, key));
            }
        }
        going.sort_unstable();
        going.dedup();
        let mut frames = Vec::new();
        for rows in going.chunk_by(|(a, _), (b, _)| a == b) {
            let Some(table) = rows.first().and_then(|(relation, _)| self.schema.table(*relation)) else {
                continue;
            };
            let mut encoder = GoneEncoder::new(table.clone());
            for (_, key) in rows {
                frames.extend(encoder.push(key.values(table.primary_key.len()))?);
            }
            frames.extend(encoder.finish());
        }
        Ok(frames)
    }

    /// A transaction that gives back the rows that may be among the keys though they stay: a transaction which the snapshot does
    /// not see has moved them from a shape that ends into one that stays. `None` if there are none.
    pub(crate) fn returned(
        &self,
        raced: &[Arc<Delivery>],
        reads: &Reads,
        id: u64,
        now: Now,
    ) -> Result<Option<Vec<Bytes>>, EncodeError> {
        let mut last: BTreeMap<(RelationId, Key), &Change> = BTreeMap::new();
        for (relation, key, change) in self.changes(raced, reads) {
            last.insert((relation, key), change);
        }
        let head = TransactionHead {
            lsn: self.at,
            commit_ms: now.wall_ms,
            origin: &Origin::Postgres,
            transaction_id: id,
            is_migration: false,
            additional_data_ref: 0,
        };
        let mut writer = OpLogWriter::new();
        writer.begin(&head);
        let mut any = false;
        for ((relation, key), change) in last {
            let (RowChange::Insert { new, tags } | RowChange::Update { new, tags, .. }) = &change.row else {
                continue;
            };
            if let Some(table) = self.schema.table(relation)
                && self.keeps(relation, &key, new)
            {
                writer.insert(table, new, tags)?;
                any = true;
            }
        }
        writer.commit(&head);
        Ok(any.then(|| writer.finish()))
    }

    /// The rows after those changes that did not delete them.
    fn raced<'d>(
        &self,
        raced: &'d [Arc<Delivery>],
        reads: &Reads,
    ) -> impl Iterator<Item = (RelationId, Key, &'d Row)> {
        self.changes(raced, reads)
            .filter_map(|(relation, key, change)| Some((relation, key, change.row.after()?)))
    }

    /// The changes of tables that are read, in order.
    fn changes<'d>(
        &self,
        raced: &'d [Arc<Delivery>],
        reads: &Reads,
    ) -> impl Iterator<Item = (RelationId, Key, &'d Change)> {
        let read: Vec<RelationId> = reads.relations().collect();
        raced.iter().flat_map(|delivery| &delivery.transaction.changes).filter_map(move |change| {
            let table = self.schema.table(change.relation).filter(|table| read.contains(&table.id))?;
            let row = change.row.after().or(change.row.before())?;
            Some((table.id, Key::of(row, &table.primary_key)?, change))
        })
    }

    /// Whether a row stays.
    fn keeps(&self, relation: RelationId, key: &Key, row: &Row) -> bool {
        self.kept.passes(relation, row) || self.kept.holds_unseen(relation, key, self.at)
    }
}

//! What rows were before transactions that a snapshot sees already.

use std::collections::{HashMap, hash_map::Entry};

use change::{RelationId, Row, Transaction};
use shapes::{Key, Plan};

use super::deciding_columns;

/// Rows that were changed, by key.
pub(super) type Rows = HashMap<Key, Earlier>;

/// The rows of a shape's tables that transactions after some position changed, as they were at that position.
///
/// Of each row there is one image, and of that only what says who is in the shape: the transactions may be many more than fit
/// in memory.
#[derive(Debug, Default)]
pub struct Past {
    tables: HashMap<RelationId, Table>,
}

#[derive(Debug)]
struct Table {
    primary_key: Vec<usize>,
    /// The columns that say who is in the shape, sorted.
    columns: Vec<usize>,
    rows: Rows,
}

/// A row at the earlier position.
#[derive(Debug)]
pub(super) struct Earlier {
    /// `None` if there was none. Columns that decide nothing are NULL.
    pub(super) image: Option<Row>,
    /// So many of the transactions that were noted and not passed change it.
    changes: u32,
}

impl Table {
    fn image(&self, row: Option<&Row>) -> Option<Row> {
        let row = row?;
        let decides = |at| self.columns.binary_search(&at).is_ok();
        Some(row.iter().enumerate().map(|(at, value)| value.filter(|_| decides(at))).collect())
    }
}

impl Past {
    /// Nothing has changed. With a plan, its tables' rows are noted by [`Past::push`].
    #[must_use]
    pub fn new(plan: &Plan) -> Past {
        let mut tables: HashMap<RelationId, Table> = HashMap::new();
        for (at, layer) in plan.layers.iter().enumerate() {
            let table = tables.entry(layer.table.id).or_insert_with(|| Table {
                primary_key: layer.table.primary_key.clone(),
                columns: Vec::new(),
                rows: Rows::new(),
            });
            table.columns.extend(deciding_columns(plan, at));
            table.columns.sort_unstable();
            table.columns.dedup();
        }
        Past { tables }
    }

    /// Notes a transaction that the snapshot sees. In the order of the stream.
    pub fn push(&mut self, transaction: &Transaction) {
        for change in &transaction.changes {
            let Some(table) = self.tables.get_mut(&change.relation) else { continue };
            let before = change.row.before();
            let Some(key) = before.or(change.row.after()).and_then(|row| Key::of(row, &table.primary_key))
            else {
                continue;
            };
            let image = table.image(before);
            match table.rows.entry(key) {
                Entry::Vacant(row) => {
                    row.insert(Earlier { image, changes: 1 });
                }
                Entry::Occupied(mut row) => row.get_mut().changes += 1,
            }
        }
    }

    /// The earlier position moves on over the first of the transactions that were noted and not passed: what it changed is not
    /// taken back any more.
    pub fn pass(&mut self, transaction: &Transaction) {
        for change in &transaction.changes {
            let Some(table) = self.tables.get_mut(&change.relation) else { continue };
            let after = change.row.after();
            let image = change.row.before().or(after);
            let Some(key) = image.and_then(|row| Key::of(row, &table.primary_key)) else { continue };
            // What the next change finds is what this one leaves.
            let left = table.image(after);
            let Entry::Occupied(mut row) = table.rows.entry(key) else { continue };
            if row.get().changes > 1 {
                row.insert(Earlier { image: left, changes: row.get().changes - 1 });
            } else {
                row.remove();
            }
        }
    }

    /// The changed rows of a table; `None` if there are none.
    pub(super) fn rows(&self, relation: RelationId) -> Option<&Rows> {
        self.tables.get(&relation).map(|table| &table.rows).filter(|rows| !rows.is_empty())
    }
}

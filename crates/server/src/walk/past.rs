//! What rows were before transactions that a snapshot sees already.

use std::collections::{HashMap, VecDeque, hash_map::Entry};

use change::{RelationId, Row, Transaction};
use shapes::{Key, Plan};

/// By key: the row's image at the earlier position, `None` if there was none.
pub type Rows = HashMap<Key, Option<Row>>;

/// The rows of a shape's tables that transactions after some position changed, as they were at that position.
#[derive(Debug, Default)]
pub struct Past {
    tables: HashMap<RelationId, Table>,
}

#[derive(Debug)]
struct Table {
    primary_key: Vec<usize>,
    rows: Rows,
    /// The images of rows before their second and later changes, in order.
    later: HashMap<Key, VecDeque<Option<Row>>>,
}

impl Past {
    /// Nothing has changed. With a plan, its tables' rows are noted by [`Past::push`].
    #[must_use]
    pub fn new(plan: &Plan) -> Past {
        let table = |layer: &shapes::Layer| {
            (
                layer.table.id,
                Table {
                    primary_key: layer.table.primary_key.clone(),
                    rows: Rows::new(),
                    later: HashMap::new(),
                },
            )
        };
        Past { tables: plan.layers.iter().map(table).collect() }
    }

    /// Notes a transaction that the snapshot sees. In the order of the stream.
    pub fn push(&mut self, transaction: &Transaction) {
        for change in &transaction.changes {
            let Some(table) = self.tables.get_mut(&change.relation) else { continue };
            let (before, after) = (change.row.before(), change.row.after());
            let key = before.or(after).and_then(|row| Key::of(row, &table.primary_key));
            match key.map(|key| table.rows.entry(key)) {
                None => {}
                Some(Entry::Vacant(row)) => {
                    row.insert(before.cloned());
                }
                Some(Entry::Occupied(row)) => {
                    let later = table.later.entry(row.key().clone()).or_default();
                    later.push_back(before.cloned());
                }
            }
        }
    }

    /// The earlier position moves on over the first of the transactions that were noted and not passed: what it changed is not
    /// taken back any more.
    pub fn pass(&mut self, transaction: &Transaction) {
        for change in &transaction.changes {
            let Some(table) = self.tables.get_mut(&change.relation) else { continue };
            let image = change.row.before().or(change.row.after());
            let Some(key) = image.and_then(|row| Key::of(row, &table.primary_key)) else { continue };
            match table.later.get_mut(&key).and_then(VecDeque::pop_front) {
                Some(next) => {
                    table.rows.insert(key, next);
                }
                None => {
                    table.rows.remove(&key);
                    table.later.remove(&key);
                }
            }
        }
    }

    /// The changed rows of a table; `None` if there are none.
    pub(super) fn rows(&self, relation: RelationId) -> Option<&Rows> {
        self.tables.get(&relation).map(|table| &table.rows).filter(|rows| !rows.is_empty())
    }
}

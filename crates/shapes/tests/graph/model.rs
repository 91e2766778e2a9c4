//! A database in memory, and what is in a shape by definition.

use std::collections::{BTreeMap, BTreeSet};

use change::{Change, Lsn, Origin, RelationId, Row, RowChange, Tags, Transaction, Xid};
use schema::Table;
use shapes::{Direction, Key, Layer, Link, Plan};

/// A row, by its table and key.
pub type RowId = (RelationId, Key);

/// All rows that there are.
#[derive(Clone, Debug, Default)]
pub struct Db {
    pub rows: BTreeMap<RowId, Row>,
}

impl Db {
    pub fn of_table(&self, table: &Table) -> impl Iterator<Item = (&RowId, &Row)> {
        let id = table.id;
        self.rows.iter().filter(move |((relation, _), _)| *relation == id)
    }

    /// What one transaction did to come from `old` to here, touching some rows without changing them.
    pub fn since(&self, old: &Db, touched: &BTreeSet<RowId>) -> Vec<Change> {
        let ids: BTreeSet<&RowId> = old.rows.keys().chain(self.rows.keys()).collect();
        let change = |id: &RowId| {
            let row = match (old.rows.get(id).cloned(), self.rows.get(id).cloned()) {
                (None, Some(new)) => RowChange::Insert { new, tags: Tags::new() },
                (Some(old), None) => RowChange::Delete { old },
                (Some(old), Some(new)) if old != new || touched.contains(id) => {
                    RowChange::Update { old, new, tags: Tags::new() }
                }
                _ => return None,
            };
            Some(Change { relation: id.0, row, blind: false })
        };
        ids.into_iter().filter_map(change).collect()
    }
}

pub fn transaction(changes: Vec<Change>) -> Transaction {
    Transaction { lsn: Lsn(1), xid: Xid(1), commit_ms: 0, origin: Origin::Postgres, changes }
}

/// The rows of each layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Membership {
    pub layers: Vec<BTreeSet<Key>>,
}

impl Membership {
    /// By definition.
    pub fn of(plan: &Plan, db: &Db) -> Membership {
        Membership::derived(plan, db, |_, _| true)
    }

    /// Those that are there by links and rows that `may` says may bring a row in.
    pub fn derived(plan: &Plan, db: &Db, may: impl Fn(&Link, &RowId) -> bool) -> Membership {
        let mut found = Membership { layers: vec![BTreeSet::new(); plan.layers.len()] };
        loop {
            let mut is_done = true;
            for (at, layer) in plan.layers.iter().enumerate() {
                for (id, row) in db.of_table(&layer.table) {
                    let is_linked =
                        |link: &Link| may(link, id) && found.parents(plan, db, link, row).next().is_some();
                    if !found.layers[at].contains(&id.1)
                        && layer.filter.matches(row)
                        && (at == 0 || layer.links.iter().any(is_linked))
                    {
                        found.layers[at].insert(id.1.clone());
                        is_done = false;
                    }
                }
            }
            if is_done {
                return found;
            }
        }
    }

    /// Rows of the parent layer that a row hangs on.
    pub fn parents<'a>(
        &'a self,
        plan: &'a Plan,
        db: &'a Db,
        link: &'a Link,
        row: &Row,
    ) -> impl Iterator<Item = RowId> + 'a {
        let value = Key::of(row, &link.own_columns);
        self.values(plan, db, link)
            .filter(move |(_, parents)| Some(parents) == value.as_ref())
            .map(|(id, _)| id)
    }

    /// The rows of a link's parent layer, with what they have in its columns.
    pub fn values<'a>(
        &'a self,
        plan: &'a Plan,
        db: &'a Db,
        link: &'a Link,
    ) -> impl Iterator<Item = (RowId, Key)> + 'a {
        let relation = plan.layers[link.parent].table.id;
        self.layers[link.parent].iter().filter_map(move |key| {
            let id = (relation, key.clone());
            let value = Key::of(&db.rows[&id], &link.parent_columns)?;
            Some((id, value))
        })
    }

    /// The join values that have parents by any link of a layer with these columns and this direction.
    pub fn held(
        &self,
        plan: &Plan,
        db: &Db,
        layer: &Layer,
        columns: &[usize],
        direction: Direction,
    ) -> BTreeSet<Key> {
        let links = layer.links.iter().filter(|l| l.own_columns == columns && l.direction == direction);
        links.flat_map(|link| self.values(plan, db, link)).map(|(_, value)| value).collect()
    }

    /// All rows in the shape.
    pub fn rows(&self, plan: &Plan) -> BTreeSet<RowId> {
        let layers = plan.layers.iter().zip(&self.layers);
        layers.flat_map(|(layer, keys)| keys.iter().map(|key| (layer.table.id, key.clone()))).collect()
    }
}

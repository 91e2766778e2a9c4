//! The synced tables, and what clients have been told of by then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use change::RelationId;

use crate::{EnumType, Table};

/// All synced tables at one position of the stream. Cheap to clone; a migration makes a new one.
///
/// Clients never lose a table: what is taken out of the sync, or held back, stays with them as it was. So beside the tables that
/// are synced it is known which other tables clients have, by name; if a table of such a name comes to them again, they have
/// to drop that first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schema {
    /// The newest migration's version; `None` before the first.
    pub version: Option<String>,
    tables: BTreeMap<RelationId, Arc<Table>>,
    /// Of tables that are held back, though their names are in order: what led to it.
    holds: BTreeMap<RelationId, Hold>,
    /// Tables that clients have, but get nothing of: by name in lower case, as they were made there.
    retired: BTreeMap<String, Arc<Table>>,
    /// The migration that brought a table to clients which had had one of its name.
    returned: BTreeMap<RelationId, String>,
    /// Every name that a table of the clients ever had, in lower case.
    names: BTreeSet<String>,
    enums: BTreeMap<String, Arc<EnumType>>,
    /// The indexes that clients have, and the tables that they are of, in lower case.
    indexes: BTreeMap<String, String>,
}

/// What led to a table's being held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Hold {
    /// Postgres said so.
    Told,
    /// Its definition turned out to be one that clients can't follow.
    Found,
    /// It refers to a table that clients get nothing of any more.
    Orphaned,
}

impl Schema {
    /// A table by its id.
    #[must_use]
    pub fn table(&self, id: RelationId) -> Option<&Arc<Table>> {
        self.tables.get(&id)
    }

    /// A table by its name, compared exactly, in schema `public` (the only one synced).
    #[must_use]
    pub fn table_named(&self, name: &str) -> Option<&Arc<Table>> {
        let named = || self.tables.values().filter(|t| t.name == name && t.schema == "public");
        named().find(|table| table.held_back.is_none()).or_else(|| named().next())
    }

    /// All tables, by id.
    pub fn tables(&self) -> impl ExactSizeIterator<Item = &Arc<Table>> {
        self.tables.values()
    }

    /// A table that clients have and get nothing of any more: it was taken out of the sync, or is held back. By its name, without
    /// regard to case, as SQLite compares names.
    #[must_use]
    pub fn retired(&self, name: &str) -> Option<&Arc<Table>> {
        self.retired.get(&name.to_ascii_lowercase())
    }

    /// The version of the migration with which a table came to clients that had had a table of its name before: they dropped that
    /// one, rows and all. `None` if it has been there from the first.
    #[must_use]
    pub fn returned(&self, id: RelationId) -> Option<&str> {
        self.returned.get(&id).map(String::as_str)
    }

    /// The same, but that clients get nothing of these tables.
    #[must_use]
    pub fn without(&self, ids: &[RelationId]) -> Schema {
        let mut schema = self.clone();
        for id in ids {
            schema.hold_back(*id, Hold::Told, String::new());
        }
        schema
    }

    /// Puts a table in, or another definition in its place.
    pub fn insert(&mut self, table: Arc<Table>) {
        if table.held_back.is_none() {
            self.names.insert(table.name.to_ascii_lowercase());
        }
        self.tables.insert(table.id, table);
    }

    /// Takes a table out. Clients that have it keep it.
    pub fn remove(&mut self, id: RelationId) -> Option<Arc<Table>> {
        let table = self.tables.remove(&id)?;
        self.holds.remove(&id);
        self.returned.remove(&id);
        self.retire(&table);
        Some(table)
    }

    /// An enumeration that clients have been told of, by its name in the model.
    #[must_use]
    pub fn enum_type(&self, name: &str) -> Option<&Arc<EnumType>> {
        self.enums.get(name)
    }

    /// Puts an enumeration in, or another definition in its place; tables keep theirs.
    pub(crate) fn insert_enum(&mut self, ty: Arc<EnumType>) {
        self.enums.insert(ty.name.clone(), ty);
    }

    /// What led to a table's being held back; `None` also if its names did.
    pub(crate) fn hold(&self, id: RelationId) -> Option<Hold> {
        self.holds.get(&id).copied()
    }

    /// Whether clients get something of a table.
    pub(crate) fn is_live(&self, id: RelationId) -> bool {
        self.tables.get(&id).is_some_and(|table| table.held_back.is_none())
    }

    /// Holds a table back.
    pub(crate) fn hold_back(&mut self, id: RelationId, hold: Hold, reason: String) {
        let Some(table) = self.tables.get(&id).cloned() else { return };
        self.retire(&table);
        self.holds.insert(id, hold);
        self.insert(Arc::new(Table { held_back: Some(reason), ..Table::clone(&table) }));
    }

    /// Puts a table in that clients get, after having dropped what they had under its name.
    pub(crate) fn serve(&mut self, table: Arc<Table>, version: &str) {
        self.holds.remove(&table.id);
        if self.names.contains(&table.name.to_ascii_lowercase()) {
            self.returned.insert(table.id, version.to_owned());
        }
        self.insert(table);
    }

    /// Puts a table in whose names clients can't take.
    pub(crate) fn insert_unnameable(&mut self, table: Arc<Table>) {
        self.holds.remove(&table.id);
        self.insert(table);
    }

    fn retire(&mut self, table: &Arc<Table>) {
        if table.held_back.is_none() {
            self.retired.insert(table.name.to_ascii_lowercase(), Arc::clone(table));
        }
    }

    /// What clients have to drop before a table of this name can be made: the one that they have, and before that those that
    /// refer to it, whose rows would keep it from going or go with it. They are forgotten.
    pub(crate) fn drop_retired(&mut self, name: &str) -> Vec<Arc<Table>> {
        let mut order = Vec::new();
        self.collect_referring(&name.to_ascii_lowercase(), &mut BTreeSet::new(), &mut order);
        let mut dropped = Vec::new();
        for name in order {
            self.indexes.retain(|_, table| *table != name);
            dropped.extend(self.retired.remove(&name));
        }
        dropped
    }

    /// As deep as there are tables that refer to one another.
    fn collect_referring(&self, name: &str, seen: &mut BTreeSet<String>, order: &mut Vec<String>) {
        let mut path = vec![(name.to_owned(), false)];
        while let Some((name, is_done)) = path.pop() {
            if is_done {
                order.push(name);
                continue;
            }
            if !self.retired.contains_key(&name) || !seen.insert(name.clone()) {
                continue;
            }
            let refers = |table: &Arc<Table>| {
                table.foreign_keys.iter().any(|fk| fk.referenced_table.eq_ignore_ascii_case(&name))
            };
            let referring = self.retired.iter().filter(|(_, table)| refers(table));
            let next: Vec<_> = referring.map(|(name, _)| (name.clone(), false)).collect();
            path.push((name, true));
            path.extend(next);
        }
    }

    /// Notes that clients have an index of this name; `false` if they had already. They lose one only with its table: dropping an
    /// index is not told to them.
    pub(crate) fn insert_index(&mut self, name: &str, table: &str) -> bool {
        match self.indexes.entry(name.to_owned()) {
            std::collections::btree_map::Entry::Occupied(_) => false,
            std::collections::btree_map::Entry::Vacant(entry) => {
                entry.insert(table.to_ascii_lowercase());
                true
            }
        }
    }

    /// Forgets the index that is in the way of a table, which clients drop; whether there is one.
    pub(crate) fn drop_index(&mut self, name: &str) -> Option<String> {
        let found = self.indexes.keys().find(|index| index.eq_ignore_ascii_case(name)).cloned()?;
        self.indexes.remove(&found);
        Some(found)
    }

    /// Whether SQLite, which compares names without regard to case, has a table or an index of this name.
    pub(crate) fn sqlite_has_name(&self, name: &str) -> bool {
        let on_clients = self.tables.values().filter(|t| t.held_back.is_none());
        on_clients.into_iter().any(|t| t.name.eq_ignore_ascii_case(name))
            || self.retired(name).is_some()
            || self.indexes.keys().any(|n| n.eq_ignore_ascii_case(name))
    }

    /// Whether a Postgres client has a table of this name that it gets nothing of any more.
    pub(crate) fn postgres_has_retired(&self, name: &str) -> bool {
        self.retired(name).is_some_and(|table| table.name == name)
    }
}

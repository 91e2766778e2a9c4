//! The shapes that a client watches, taken together, and what changes mean to it (spec 06 §9, §14.2).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use change::{Change, RelationId, Row, RowChange, UserId};
use schema::{Schema, Table};

use crate::Shape;

/// The union of a client's active shapes, for its user. Cheap to clone.
///
/// A table with a column [`schema::OWNER_COLUMN`] shows to a user the rows that name the user there, compared as text,
/// and those that name nobody: NULL or empty.
#[derive(Clone, Debug)]
pub struct ShapeSet {
    key: ShapeKey,
    user: UserId,
}

/// What all of a [`ShapeSet`]'s answers depend on: sets with equal keys give equal outcomes for every change, so that
/// what was encoded for one serves all. Cheap to clone, compare and hash.
#[derive(Clone, Debug)]
pub struct ShapeKey(Arc<KeyParts>);

#[derive(Debug, PartialEq, Eq)]
struct KeyParts {
    hash: u64,
    /// Sorted, no duplicates.
    relations: Vec<RelationId>,
    /// The user, only if a table of the set tells users apart.
    owner: Option<UserId>,
}

/// What a change is to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing: the row was not visible and is not.
    Skip,
    /// The row has become visible: sent as a whole, as if it were new.
    Insert,
    /// The row was visible and is. Old and new image may be equal, when only tags changed.
    Update,
    /// The row was visible and does not exist any more.
    Delete,
    /// The row was visible, still exists, and is not visible any more.
    Gone,
}

impl ShapeSet {
    /// The union of `shapes` as `user` sees them. Whether a table tells users apart is read from `schema`, so the set has
    /// to be made anew ([`ShapeSet::for_schema`]) after a migration; until then it shows too little rather than too much.
    #[must_use]
    pub fn new<'a>(shapes: impl IntoIterator<Item = &'a Shape>, user: &UserId, schema: &Schema) -> ShapeSet {
        let mut relations: Vec<RelationId> = shapes.into_iter().map(|shape| shape.relation).collect();
        relations.sort_unstable();
        relations.dedup();
        ShapeSet { key: ShapeKey::new(relations, user, schema), user: user.clone() }
    }

    /// The same shapes under another schema.
    #[must_use]
    pub fn for_schema(&self, schema: &Schema) -> ShapeSet {
        ShapeSet {
            key: ShapeKey::new(self.relations().to_vec(), &self.user, schema),
            user: self.user.clone(),
        }
    }

    /// What the set's answers depend on.
    #[must_use]
    pub fn key(&self) -> &ShapeKey {
        &self.key
    }

    /// The tables of the set, sorted.
    #[must_use]
    pub fn relations(&self) -> &[RelationId] {
        &self.key.0.relations
    }

    /// Whether the set has no shapes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.relations().is_empty()
    }

    /// Whether rows of this table can be visible.
    #[must_use]
    pub fn covers(&self, relation: RelationId) -> bool {
        self.relations().binary_search(&relation).is_ok()
    }

    /// To whom rows read from this table have to belong, if it tells users apart: only rows of this user and of nobody
    /// are visible.
    #[must_use]
    pub fn owner_filter(&self, table: &Table) -> Option<&UserId> {
        table.owner_column().map(|_| &self.user)
    }

    /// Whether a row of `table` is visible. The row is in the column order of `table`.
    #[must_use]
    pub fn sees(&self, table: &Table, row: &Row) -> bool {
        self.covers(table.id) && self.owns(table.owner_column(), row)
    }

    /// What a change of a row of `table` is to the client.
    #[must_use]
    pub fn outcome(&self, change: &Change, table: &Table) -> Outcome {
        if change.relation != table.id || !self.covers(change.relation) {
            return Outcome::Skip;
        }
        let column = table.owner_column();
        let sees = |row: &Row| self.owns(column, row);
        match &change.row {
            RowChange::Insert { new, .. } if sees(new) => Outcome::Insert,
            RowChange::Delete { old } if sees(old) => Outcome::Delete,
            RowChange::Insert { .. } | RowChange::Delete { .. } => Outcome::Skip,
            RowChange::Update { old, new, .. } => match (sees(old), sees(new)) {
                (true, true) => Outcome::Update,
                (false, true) => Outcome::Insert,
                (true, false) => Outcome::Gone,
                (false, false) => Outcome::Skip,
            },
        }
    }

    /// Reads nothing but the key, never the user itself: what is shared by key must not depend on more.
    fn owns(&self, owner_column: Option<usize>, row: &Row) -> bool {
        match owner_column.and_then(|column| row.get(column)) {
            None | Some(b"") => true,
            Some(owner) => self.key.0.owner.as_ref().is_some_and(|user| user.as_str().as_bytes() == owner),
        }
    }
}

impl ShapeKey {
    /// `relations` are sorted, without duplicates.
    fn new(relations: Vec<RelationId>, user: &UserId, schema: &Schema) -> ShapeKey {
        let is_owned =
            |id: &RelationId| schema.table(*id).is_some_and(|table| table.owner_column().is_some());
        let owner = relations.iter().any(is_owned).then(|| user.clone());
        let mut hasher = DefaultHasher::new();
        (&relations, &owner).hash(&mut hasher);
        ShapeKey(Arc::new(KeyParts { hash: hasher.finish(), relations, owner }))
    }
}

impl PartialEq for ShapeKey {
    fn eq(&self, other: &ShapeKey) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0 == other.0
    }
}

impl Eq for ShapeKey {}

impl Hash for ShapeKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u64(self.0.hash);
    }
}

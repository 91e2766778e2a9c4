//! A shape as it is evaluated: layers of rows, each a filter on one table and the links by which rows get into it.

mod build;

use std::sync::Arc;

use schema::Table;

use crate::Filter;

/// A canonical shape: requests that are worded differently but select the same rows by the same path have equal plans, which
/// is what makes clients share one evaluation. The user is part of it only through filters on the owner (spec 06 §14.2).
///
/// A row is *in a layer* if it exists, passes the layer's filter, and, in every layer but the first, some row of the parent layer of
/// one of the layer's links has in the link's `parent_columns` what the row has in its `own_columns`, none of them NULL.
/// A row is *in the shape* if it is in one of its layers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Plan {
    /// The root first; then what the client asked for, parents before children, one link each, to an earlier layer;
    /// then the referential closure (spec 06 §2.7): one layer per table, reached by any number of many-to-one links, also
    /// from other closure layers and from itself.
    pub layers: Vec<Layer>,
}

/// Rows of one table.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The table, as it was when the plan was made: rows are read and encoded by this definition, so plans under different
    /// definitions of a table are different plans.
    pub table: Arc<Table>,
    /// The migration with which the table came back to clients, if it did: what was followed before does not go on over the time
    /// in which nothing was known of its rows.
    pub since: Option<Arc<str>>,
    /// What the rows have to pass: the where-clause, and the owner.
    pub filter: Filter,
    /// How rows get here; empty for the root only.
    pub links: Vec<Link>,
    /// Whether it is part of the referential closure, not asked for.
    pub is_closure: bool,
}

/// A foreign key as it is walked from parent to child layer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Link {
    /// Index of the parent layer.
    pub parent: usize,
    /// Columns of the parent layer's table.
    pub parent_columns: Vec<usize>,
    /// Columns of this layer's table, paired with `parent_columns`.
    pub own_columns: Vec<usize>,
    /// Which of the two tables has the foreign key.
    pub direction: Direction,
}

/// Which way a foreign key is walked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The child layer's rows refer to the parent's.
    OneToMany,
    /// The parent layer's rows refer to the child's.
    ManyToOne,
}

impl PartialEq for Layer {
    fn eq(&self, other: &Layer) -> bool {
        (Arc::ptr_eq(&self.table, &other.table) || self.table == other.table)
            && self.since == other.since
            && self.filter == other.filter
            && self.links == other.links
            && self.is_closure == other.is_closure
    }
}

impl Eq for Layer {}

/// By the id of the table, which is enough to tell most plans apart.
impl std::hash::Hash for Layer {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.table.id.hash(state);
        self.filter.hash(state);
        self.links.hash(state);
    }
}

impl Layer {
    /// Whether a schema has its table, the same that it was when the plan was made but for columns.
    #[must_use]
    pub fn is_of(&self, schema: &schema::Schema) -> bool {
        let id = self.table.id;
        schema.returned(id) == self.since.as_deref()
            && schema
                .table(id)
                .is_some_and(|table| table.held_back.is_none() && table.shadow.id == self.table.shadow.id)
    }
}

impl Plan {
    /// The root's table.
    #[must_use]
    pub fn root(&self) -> Option<&Layer> {
        self.layers.first()
    }

    /// Whether membership is decided by each row alone: there is no other layer.
    #[must_use]
    pub fn is_simple(&self) -> bool {
        self.layers.len() == 1
    }

    /// The tables of all layers, sorted, each once.
    #[must_use]
    pub fn relations(&self) -> Vec<change::RelationId> {
        let mut relations: Vec<_> = self.layers.iter().map(|layer| layer.table.id).collect();
        relations.sort_unstable();
        relations.dedup();
        relations
    }

    /// Whether it selects the same rows by the same path from the same tables, of which one of the two may know fewer columns.
    #[must_use]
    pub fn is_like(&self, other: &Plan) -> bool {
        let same = |(a, b): (&Layer, &Layer)| {
            a.table.id == b.table.id
                && a.table.shadow.id == b.table.shadow.id
                && a.table.primary_key == b.table.primary_key
                && a.since == b.since
                && a.filter == b.filter
                && a.links == b.links
                && a.is_closure == b.is_closure
        };
        self.layers.len() == other.layers.len() && self.layers.iter().zip(&other.layers).all(same)
    }

    /// The same with the definitions of a schema, where that has others of the tables which the plan goes on with; `None` if it
    /// has none.
    #[must_use]
    pub fn by(&self, schema: &schema::Schema) -> Option<Plan> {
        let mut layers = self.layers.clone();
        for layer in &mut layers {
            let table = schema.table(layer.table.id).filter(|table| table.held_back.is_none());
            layer.table.clone_from(table.unwrap_or(&layer.table.clone()));
        }
        let plan = Plan { layers };
        (plan != *self && plan.is_like(self)).then_some(plan)
    }

    /// Whether its rows can be followed by a schema: clients get all its tables, and got them no later than when it was made.
    #[must_use]
    pub fn is_of(&self, schema: &schema::Schema) -> bool {
        self.layers.iter().all(|layer| layer.is_of(schema))
    }

    /// Whether rows hang on others, so that a row that becomes visible may bring additional data.
    #[must_use]
    pub fn has_one_to_many(&self) -> bool {
        self.layers.iter().flat_map(|layer| &layer.links).any(|link| link.direction == Direction::OneToMany)
    }
}

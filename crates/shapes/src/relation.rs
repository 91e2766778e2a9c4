//! A foreign key as the way from one table to another (spec 06 §2.5, §2.6).

use change::RelationId;
use schema::{ForeignKey, Table};

use crate::{Direction, Link};

/// A foreign key between a parent and a child layer's table. Its pairs of columns are in the order of the referenced table's
/// primary key as far as they belong to it, so that one way has one form, however the key was declared.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Relation {
    pub direction: Direction,
    /// The child's table.
    pub child: RelationId,
    pub parent_columns: Vec<usize>,
    pub child_columns: Vec<usize>,
}

impl Relation {
    /// The way from parent to child over the foreign key with exactly these columns. One that the child has is preferred: it
    /// matters for tables that refer to themselves or to each other by columns of the same names.
    pub fn between(parent: &Table, child: &Table, columns: &[String]) -> Option<Relation> {
        let of_child =
            foreign_keys(child, parent, columns).find_map(|fk| Relation::one_to_many(fk, parent, child));
        of_child
            .or_else(|| foreign_keys(parent, child, columns).find_map(|fk| Relation::many_to_one(fk, child)))
    }

    /// From the referenced table to the one that has the key.
    fn one_to_many(fk: &ForeignKey, referenced: &Table, referencing: &Table) -> Option<Relation> {
        let (child_columns, parent_columns) = pairs(fk, referenced)?.into_iter().unzip();
        Some(Relation {
            direction: Direction::OneToMany,
            child: referencing.id,
            parent_columns,
            child_columns,
        })
    }

    /// From the table that has the key to the referenced one.
    pub fn many_to_one(fk: &ForeignKey, referenced: &Table) -> Option<Relation> {
        let (parent_columns, child_columns) = pairs(fk, referenced)?.into_iter().unzip();
        Some(Relation {
            direction: Direction::ManyToOne,
            child: referenced.id,
            parent_columns,
            child_columns,
        })
    }

    /// As a layer has it whose parent is this one.
    pub fn link(&self, parent: usize) -> Link {
        Link {
            parent,
            parent_columns: self.parent_columns.clone(),
            own_columns: self.child_columns.clone(),
            direction: self.direction,
        }
    }

    /// Whether a layer with this link, and a parent of the table `parent`, came by this very foreign key the other way.
    pub fn turns_back(&self, link: &Link, parent: RelationId) -> bool {
        self.direction == Direction::ManyToOne
            && link.direction == Direction::OneToMany
            && self.child == parent
            && self.parent_columns == link.own_columns
            && self.child_columns == link.parent_columns
    }
}

/// The keys of `from` that refer to `to` with exactly these columns, in this order.
fn foreign_keys<'a>(
    from: &'a Table,
    to: &Table,
    columns: &'a [String],
) -> impl Iterator<Item = &'a ForeignKey> {
    let to = to.id;
    from.foreign_keys.iter().filter(move |fk| {
        let names = fk.columns.iter().map(|i| from.columns.get(*i).map(|c| c.name.as_str()));
        fk.references == to && names.eq(columns.iter().map(|c| Some(c.as_str())))
    })
}

/// (referencing column, referenced column); `None` if the tables don't fit the key.
fn pairs(fk: &ForeignKey, referenced: &Table) -> Option<Vec<(usize, usize)>> {
    if fk.columns.is_empty() || fk.columns.len() != fk.referenced_columns.len() {
        return None;
    }
    let mut pairs = fk
        .columns
        .iter()
        .zip(&fk.referenced_columns)
        .map(|(own, name)| Some((*own, referenced.column_index(name)?)))
        .collect::<Option<Vec<_>>>()?;
    let in_key =
        |column: usize| referenced.primary_key.iter().position(|c| *c == column).unwrap_or(usize::MAX);
    pairs.sort_unstable_by_key(|&(own, referenced)| (in_key(referenced), referenced, own));
    pairs.dedup();
    Some(pairs)
}

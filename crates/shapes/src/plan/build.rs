//! From what was asked for to layers, with all that these refer to (spec 06 §2.7).

use std::{
    collections::{BTreeMap, btree_map::Entry},
    sync::Arc,
};

use change::{RelationId, UserId};
use schema::{Schema, Table};

use super::{Direction, Layer, Link, Plan};
use crate::{Filter, relation::Relation, request::Asked};

impl Plan {
    /// The plan of a request that is in order, for one user.
    pub(crate) fn new(asked: Asked, schema: &Schema, user: &UserId) -> Plan {
        let mut plan = Plan { layers: Vec::new() };
        add_asked(&mut plan.layers, asked, Vec::new(), user);
        close(&mut plan.layers, schema, user);
        for layer in &mut plan.layers {
            layer.since = schema.returned(layer.table.id).map(Arc::from);
        }
        plan
    }
}

/// Depth first. Includes are not nested deeper than the limits allow.
fn add_asked(layers: &mut Vec<Layer>, asked: Asked, links: Vec<Link>, user: &UserId) {
    let filter = Filter::new(asked.clause, &asked.table, user);
    let parent = layers.len();
    layers.push(Layer { table: asked.table, since: None, filter, links, is_closure: false });
    for (relation, child) in asked.include {
        add_asked(layers, child, vec![relation.link(parent)], user);
    }
}

/// Appends the referential closure: a layer for each table that some layer refers to, without a filter but the owner's.
fn close(layers: &mut Vec<Layer>, schema: &Schema, user: &UserId) {
    let mut outgoing: Vec<Vec<Relation>> = Vec::new();
    let mut found: BTreeMap<RelationId, &Arc<Table>> = BTreeMap::new();
    let mut pending: Vec<&Arc<Table>> = Vec::new();
    let covered = covered_by_root(layers, user);
    let mut find = |relations: &[Relation], pending: &mut Vec<_>| {
        for relation in relations.iter().filter(|r| Some(r.child) != covered) {
            if let (Some(table), Entry::Vacant(entry)) =
                (schema.table(relation.child), found.entry(relation.child))
            {
                entry.insert(table);
                pending.push(table);
            }
        }
    };

    for at in 0..layers.len() {
        let relations = asked_layer_refers_to(layers, at, schema);
        find(&relations, &mut pending);
        outgoing.push(relations);
    }
    while let Some(table) = pending.pop() {
        find(&refers_to(table, schema), &mut pending);
    }

    let asked = layers.len();
    let places: BTreeMap<RelationId, usize> = found.keys().zip(asked..).map(|(id, at)| (*id, at)).collect();
    for table in found.into_values() {
        outgoing.push(refers_to(table, schema));
        let filter = Filter::new(None, table, user);
        let (table, links) = (table.clone(), Vec::new());
        layers.push(Layer { table, since: None, filter, links, is_closure: true });
    }
    for (parent, relations) in outgoing.iter().enumerate() {
        for relation in relations {
            let layer = places.get(&relation.child).and_then(|at| layers.get_mut(*at));
            if let Some(layer) = layer {
                layer.links.push(relation.link(parent));
            }
        }
    }
    for layer in layers.iter_mut().skip(asked) {
        layer.links.sort_unstable();
        layer.links.dedup();
    }
}

/// The root's table, if the root has all of its rows that the user may see. A closure layer of that table would add none, and
/// what it refers to is what the root refers to.
fn covered_by_root(layers: &[Layer], user: &UserId) -> Option<RelationId> {
    let root = layers.first()?;
    (root.filter == Filter::new(None, &root.table, user)).then_some(root.table.id)
}

/// All foreign keys of a table, to tables that clients have.
fn refers_to(table: &Table, schema: &Schema) -> Vec<Relation> {
    let relation = |fk: &schema::ForeignKey| {
        let referenced = schema.table(fk.references).filter(|t| t.held_back.is_none())?;
        Relation::many_to_one(fk, referenced)
    };
    table.foreign_keys.iter().filter_map(relation).collect()
}

/// Those whose targets are not in the shape already: as the rows by which this layer's are selected, or asked for.
fn asked_layer_refers_to(layers: &[Layer], at: usize, schema: &Schema) -> Vec<Relation> {
    let Some(layer) = layers.get(at) else { return Vec::new() };
    let mut relations = refers_to(&layer.table, schema);
    relations.retain(|relation| {
        let turns_back = layer.links.iter().any(|link| {
            layers.get(link.parent).is_some_and(|parent| relation.turns_back(link, parent.table.id))
        });
        let asked_for = || {
            let link = relation.link(at);
            layers.iter().any(|child| child.table.id == relation.child && child.links.contains(&link))
        };
        debug_assert_eq!(relation.direction, Direction::ManyToOne);
        !turns_back && !asked_for()
    });
    relations
}

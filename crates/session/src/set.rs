//! The shapes that count for a client, taken together (spec 06 §14.2).

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
};

use change::{Lsn, RelationId, Row};
use shapes::{Filter, Key, Plan};

use crate::{Interest, Tracker};

/// The union of some shapes. Simple ones are decided by each row's images; those with joins, and simple ones with a filter on a
/// table of a joined one (whose rows may come and go without being changed themselves), by trackers.
pub(crate) struct ShapeSet {
    key: ShapeKey,
    /// Simple shapes: their table and filter, sorted by table.
    filters: Vec<(RelationId, Filter)>,
    trackers: Vec<Arc<dyn Tracker>>,
    /// All tables, sorted.
    relations: Vec<RelationId>,
}

/// What all of a [`ShapeSet`]'s answers depend on: sets with equal keys give equal answers for every transaction, so that what
/// was encoded for one serves all. Cheap to clone, compare and hash.
#[derive(Clone, Debug)]
pub(crate) struct ShapeKey(Arc<KeyParts>);

#[derive(Debug, PartialEq, Eq)]
struct KeyParts {
    hash: u64,
    plans: Vec<Arc<Plan>>,
}

/// Which of these plans need a tracker when they count together.
pub(crate) fn tracked(plans: &[Arc<Plan>]) -> impl Iterator<Item = &Arc<Plan>> {
    let joined: Vec<RelationId> =
        plans.iter().filter(|plan| !plan.is_simple()).flat_map(|plan| plan.relations()).collect();
    plans.iter().filter(move |plan| match plan.layers.as_slice() {
        [layer] => !layer.filter.is_all() && joined.contains(&layer.table.id),
        _ => true,
    })
}

impl ShapeSet {
    /// The union of `plans`. `tracker` has one for each of those that [`tracked`] names.
    pub(crate) fn new(
        mut plans: Vec<Arc<Plan>>,
        tracker: impl Fn(&Arc<Plan>) -> Option<Arc<dyn Tracker>>,
    ) -> ShapeSet {
        plans.sort_by_cached_key(hash_of);
        plans.dedup();
        let trackers = tracked(&plans).filter_map(tracker).collect();
        ShapeSet::with(plans, trackers)
    }

    /// The union of `plans`, each followed that has a tracker.
    pub(crate) fn following(
        mut plans: Vec<Arc<Plan>>,
        tracker: impl Fn(&Arc<Plan>) -> Option<Arc<dyn Tracker>>,
    ) -> ShapeSet {
        plans.sort_by_cached_key(hash_of);
        plans.dedup();
        let trackers = plans.iter().filter_map(tracker).collect();
        ShapeSet::with(plans, trackers)
    }

    /// Of plans in canonical order, each once.
    fn with(plans: Vec<Arc<Plan>>, trackers: Vec<Arc<dyn Tracker>>) -> ShapeSet {
        let is_tracked = |plan: &Arc<Plan>| trackers.iter().any(|tracker| tracker.plan() == plan);
        let simple = plans.iter().filter(|plan| !is_tracked(plan));
        let mut filters: Vec<(RelationId, Filter)> = simple
            .filter(|plan| plan.is_simple())
            .flat_map(|plan| plan.layers.first())
            .map(|layer| (layer.table.id, layer.filter.clone()))
            .collect();
        filters.sort_by_key(|(relation, filter)| (*relation, !filter.is_all()));
        let mut relations: Vec<RelationId> = plans.iter().flat_map(|plan| plan.relations()).collect();
        relations.sort_unstable();
        relations.dedup();
        ShapeSet { key: ShapeKey::new(plans), filters, trackers, relations }
    }

    pub(crate) fn key(&self) -> &ShapeKey {
        &self.key
    }

    /// The tables of the set, sorted.
    pub(crate) fn relations(&self) -> &[RelationId] {
        &self.relations
    }

    pub(crate) fn plans(&self) -> &[Arc<Plan>] {
        &self.key.0.plans
    }

    pub(crate) fn trackers(&self) -> &[Arc<dyn Tracker>] {
        &self.trackers
    }

    pub(crate) fn filters(&self) -> &[(RelationId, Filter)] {
        &self.filters
    }

    /// The filters of simple shapes on a table; one that passes all rows comes first.
    pub(crate) fn filters_of(&self, relation: RelationId) -> &[(RelationId, Filter)] {
        let from = self.filters.partition_point(|(other, _)| *other < relation);
        let rest = self.filters.get(from..).unwrap_or_default();
        let count = rest.partition_point(|(other, _)| *other == relation);
        rest.get(..count).unwrap_or_default()
    }

    /// Whether a simple shape has all rows of the table.
    pub(crate) fn has_all_of(&self, relation: RelationId) -> bool {
        self.filters_of(relation).first().is_some_and(|(_, filter)| filter.is_all())
    }

    /// Whether a simple shape has this row.
    pub(crate) fn passes(&self, relation: RelationId, row: &Row) -> bool {
        self.filters_of(relation).iter().any(|(_, filter)| filter.matches(row))
    }

    /// The trackers with layers on a table, with their place.
    pub(crate) fn trackers_of(
        &self,
        relation: RelationId,
    ) -> impl Iterator<Item = (usize, &Arc<dyn Tracker>)> {
        let covers = move |tracker: &Arc<dyn Tracker>| {
            tracker.plan().layers.iter().any(|layer| layer.table.id == relation)
        };
        self.trackers.iter().enumerate().filter(move |(_, tracker)| covers(tracker))
    }

    /// Whether a row of a followed table is in one of the shapes after everything up to a position. Whatever else has rows of its
    /// table is followed, too, or has all of them.
    pub(crate) fn holds_unseen(&self, relation: RelationId, key: &Key, at: Lsn) -> bool {
        self.has_all_of(relation)
            || self.trackers_of(relation).any(|(_, tracker)| tracker.holds(relation, key, at))
    }

    /// Whether one of the trackers has a layer on one of these tables (sorted): others can't tell anything of a transaction.
    pub(crate) fn follows_any(&self, relations: &[RelationId]) -> bool {
        let layers = self.trackers.iter().flat_map(|tracker| &tracker.plan().layers);
        layers.into_iter().any(|layer| relations.binary_search(&layer.table.id).is_ok())
    }

    /// What changes may concern the set.
    pub(crate) fn interests(&self) -> Arc<[Interest]> {
        let layers = self.plans().iter().flat_map(|plan| &plan.layers);
        let mut interests: Vec<Interest> = Vec::new();
        for layer in layers {
            let interest = Interest { relation: layer.table.id, route: layer.filter.route() };
            if !interests.contains(&interest) {
                interests.push(interest);
            }
        }
        interests.into()
    }
}

impl ShapeKey {
    /// Of plans in canonical order, each once.
    fn new(plans: Vec<Arc<Plan>>) -> ShapeKey {
        let hash = hash_of(&plans);
        ShapeKey(Arc::new(KeyParts { hash, plans }))
    }
}

fn hash_of<T: Hash>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

impl PartialEq for ShapeKey {
    fn eq(&self, other: &ShapeKey) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || (self.0.hash == other.0.hash && self.0 == other.0)
    }
}

impl Eq for ShapeKey {}

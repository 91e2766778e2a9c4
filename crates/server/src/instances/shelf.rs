//! The instances there are, by shape, and which of them are kept although nobody watches them.

use std::{
    collections::{BTreeMap, HashMap},
    hash::{Hash, Hasher},
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use shapes::Plan;

use super::{instance::Instance, watch::Watch};

/// One instance for each shape: what newcomers get.
#[derive(Default)]
pub(super) struct Shelf {
    places: HashMap<Like, Place>,
    /// Those that nobody watches, in the order in which that came about.
    kept: BTreeMap<u64, Kept>,
    kept_bytes: usize,
    numbers: u64,
}

pub(super) struct Place {
    pub(super) instance: Arc<Instance>,
    pub(super) watch: Weak<Watch>,
    /// Its number among those that are kept.
    kept: Option<u64>,
}

/// Shapes that differ in the columns of their tables only are one: who is in them is the same.
#[derive(Clone)]
struct Like(Arc<Plan>);

impl PartialEq for Like {
    fn eq(&self, other: &Like) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.is_like(&other.0)
    }
}

impl Eq for Like {}

/// A plan's own looks at nothing that such shapes differ in.
impl Hash for Like {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.hash(state);
    }
}

struct Kept {
    plan: Like,
    since: Instant,
    bytes: usize,
}

impl Shelf {
    /// The place of a shape, which is not kept any more but watched.
    pub(super) fn take_up(&mut self, plan: &Arc<Plan>) -> Option<&mut Place> {
        let place = self.places.get_mut(&Like(plan.clone()))?;
        if let Some(kept) = place.kept.take().and_then(|number| self.kept.remove(&number)) {
            self.kept_bytes -= kept.bytes;
        }
        Some(place)
    }

    /// Puts an instance in the place of another for the same shape, if there is one.
    pub(super) fn put(&mut self, instance: Arc<Instance>, watch: Weak<Watch>) {
        let plan = Like(instance.plan());
        self.remove(&plan);
        self.places.insert(plan, Place { instance, watch, kept: None });
    }

    /// Nobody watches an instance any more. It is kept if it is worth that, and others go instead if it all becomes more than
    /// `limit` bytes.
    pub(super) fn retire(&mut self, instance: &Arc<Instance>, now: Instant, limit: usize) {
        let plan = Like(instance.plan());
        let Some(place) = self.places.get_mut(&plan) else { return };
        if !Arc::ptr_eq(&place.instance, instance) || instance.is_watched() || place.kept.is_some() {
            return;
        }
        let bytes = instance.weight();
        if !instance.is_keepable() || bytes > limit {
            self.remove(&plan);
            return;
        }
        self.numbers += 1;
        place.kept = Some(self.numbers);
        self.kept.insert(self.numbers, Kept { plan, since: now, bytes });
        self.kept_bytes += bytes;
        while self.kept_bytes > limit
            && let Some(oldest) = self.kept.first_key_value().map(|(_, kept)| kept.plan.clone())
        {
            self.remove(&oldest);
        }
    }

    /// Drops what has been kept for longer than `keep_for`, or can't be continued. Whether anything is kept still.
    pub(super) fn tidy(&mut self, now: Instant, keep_for: Duration) -> bool {
        let is_over = |kept: &Kept| {
            let place = self.places.get(&kept.plan);
            now.saturating_duration_since(kept.since) >= keep_for
                || place.is_none_or(|place| !place.instance.is_keepable())
        };
        let over: Vec<_> =
            self.kept.values().filter(|kept| is_over(kept)).map(|kept| kept.plan.clone()).collect();
        over.iter().for_each(|plan| self.remove(plan));
        !self.kept.is_empty()
    }

    /// All instances.
    pub(super) fn instances(&self) -> impl ExactSizeIterator<Item = &Arc<Instance>> {
        self.places.values().map(|place| &place.instance)
    }

    /// How many of them are kept although nobody watches them.
    pub(super) fn kept(&self) -> usize {
        self.kept.len()
    }

    fn remove(&mut self, plan: &Like) {
        let number = self.places.remove(plan).and_then(|place| place.kept);
        if let Some(kept) = number.and_then(|number| self.kept.remove(&number)) {
            self.kept_bytes -= kept.bytes;
        }
    }
}

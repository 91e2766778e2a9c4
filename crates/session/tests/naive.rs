//! Membership worked out from all rows there are, by the definition; and a tracker that says what it is told.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    task::{Context, Poll},
};

use change::{Lsn, RelationId};
use parking_lot::Mutex;
use session::{Lost, Moves, Tracker};
use shapes::{Key, Plan};

/// A row's values.
pub type Values = Vec<Option<String>>;

/// All rows of all tables, by key.
pub type Rows = BTreeMap<(RelationId, String), Values>;

/// The rows in a shape.
pub fn members(plan: &Plan, rows: &Rows) -> BTreeSet<(RelationId, String)> {
    let mut layers: Vec<BTreeSet<String>> = vec![BTreeSet::new(); plan.layers.len()];
    loop {
        let mut grown = false;
        for (index, layer) in plan.layers.iter().enumerate() {
            for ((_, key), values) in rows.iter().filter(|((relation, _), _)| *relation == layer.table.id) {
                let bytes: Vec<Option<&[u8]>> =
                    values.iter().map(|v| v.as_deref().map(str::as_bytes)).collect();
                let linked = index == 0
                    || layer.links.iter().any(|link| {
                        let parent = &plan.layers[link.parent];
                        let own: Vec<_> = link.own_columns.iter().map(|column| &values[*column]).collect();
                        own.iter().all(|value| value.is_some())
                            && layers[link.parent].iter().any(|key| {
                                let row = &rows[&(parent.table.id, key.clone())];
                                link.parent_columns.iter().map(|column| &row[*column]).eq(own.iter().copied())
                            })
                    });
                if linked && layer.filter.matches(bytes.as_slice()) {
                    grown |= layers[index].insert(key.clone());
                }
            }
        }
        if !grown {
            break;
        }
    }
    let all = plan.layers.iter().zip(layers);
    all.flat_map(|(layer, keys)| keys.into_iter().map(|key| (layer.table.id, key))).collect()
}

/// A tracker of a test: it has reached what it is told to have reached.
pub struct TestTracker {
    plan: Arc<Plan>,
    facts: Mutex<TrackerFacts>,
}

#[derive(Default)]
pub struct TrackerFacts {
    pub reached: Lsn,
    pub lost: bool,
    /// And so will every other be.
    pub unreadable: bool,
    pub moves: BTreeMap<Lsn, Arc<Moves>>,
    /// At whatever position.
    pub members: BTreeSet<(RelationId, Key)>,
}

impl TestTracker {
    pub fn new(plan: &Arc<Plan>) -> Arc<TestTracker> {
        Arc::new(TestTracker { plan: plan.clone(), facts: Mutex::default() })
    }

    pub fn set(&self, change: impl FnOnce(&mut TrackerFacts)) {
        change(&mut self.facts.lock());
    }
}

impl Tracker for TestTracker {
    fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    fn poll_reach(&self, at: Lsn, _: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let facts = self.facts.lock();
        match facts.lost {
            true => Poll::Ready(Err(Lost)),
            false if facts.unreadable => Poll::Ready(Err(Lost)),
            false if facts.reached >= at => Poll::Ready(Ok(())),
            false => Poll::Pending,
        }
    }

    fn moves(&self, at: Lsn) -> Result<Option<Arc<Moves>>, Lost> {
        Ok(self.facts.lock().moves.get(&at).cloned())
    }

    fn holds(&self, relation: RelationId, key: &Key, _: Lsn) -> bool {
        self.facts.lock().members.contains(&(relation, key.clone()))
    }

    fn is_unreadable(&self) -> bool {
        self.facts.lock().unreadable
    }

    fn members(&self, _: Lsn) -> Vec<(RelationId, Key)> {
        self.facts.lock().members.iter().cloned().collect()
    }
}

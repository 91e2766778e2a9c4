//! The trackers that a session holds on to.

use std::{
    sync::Arc,
    task::{Context, Poll, Waker},
};

use change::Lsn;
use shapes::Plan;

use crate::{Tracker, World, set};

/// One for each shape that needs it.
#[derive(Default)]
pub(crate) struct Trackers(Vec<Arc<dyn Tracker>>);

impl Trackers {
    pub(crate) fn get(&self, plan: &Arc<Plan>) -> Option<Arc<dyn Tracker>> {
        self.0.iter().find(|tracker| tracker.plan() == plan).cloned()
    }

    /// Those that have nothing to read any more.
    pub(crate) fn unreadable(&self) -> impl Iterator<Item = &Arc<dyn Tracker>> {
        self.0.iter().filter(|tracker| tracker.is_unreadable())
    }

    /// Asks for those that are missing for `plans` to count together, from a position on.
    pub(crate) fn follow(&mut self, plans: &[Arc<Plan>], from: Lsn, world: &dyn World) {
        let missing: Vec<_> = set::tracked(plans).filter(|plan| self.get(plan).is_none()).collect();
        for plan in missing {
            if self.get(plan).is_none() {
                self.0.push(world.track(plan, from));
            }
        }
    }

    /// Likewise for each of `plans` that does not have all rows of one table.
    pub(crate) fn follow_all(&mut self, plans: &[Arc<Plan>], from: Lsn, world: &dyn World) {
        let is_all = |plan: &Plan| plan.is_simple() && plan.root().is_some_and(|root| root.filter.is_all());
        for plan in plans.iter().filter(|plan| !is_all(plan)) {
            if self.get(plan).is_none() {
                self.0.push(world.track(plan, from));
            }
        }
    }

    /// Forgets those that are not needed for `plans` to count together.
    pub(crate) fn keep_needed(&mut self, plans: &[Arc<Plan>]) {
        let needed: Vec<_> = set::tracked(plans).cloned().collect();
        self.retain(&needed);
    }

    /// Forgets those of other shapes than `plans`.
    pub(crate) fn retain(&mut self, plans: &[Arc<Plan>]) {
        self.0.retain(|tracker| plans.contains(tracker.plan()));
    }

    /// Asks for others in place of those that can't get to a position, from where the client is; whether there were any.
    pub(crate) fn replace_lost(&mut self, at: Lsn, cursor: Lsn, world: &dyn World) -> bool {
        replace_lost(&mut self.0, at, cursor, world)
    }

    /// The first that has not reached a position.
    pub(crate) fn first_behind(&self, at: Lsn) -> Option<Arc<dyn Tracker>> {
        self.0.iter().find(|tracker| !Trackers::has_reached(&***tracker, at)).cloned()
    }

    /// Whether a tracker knows everything up to a position. Whoever waits for it asks the tracker itself to be woken.
    pub(crate) fn has_reached(tracker: &dyn Tracker, at: Lsn) -> bool {
        matches!(tracker.poll_reach(at, &mut Context::from_waker(Waker::noop())), Poll::Ready(Ok(())))
    }
}

/// Asks for others in place of those that can't get to a position; whether there were any.
pub(crate) fn replace_lost(
    trackers: &mut [Arc<dyn Tracker>],
    at: Lsn,
    cursor: Lsn,
    world: &dyn World,
) -> bool {
    let mut any = false;
    for tracker in trackers {
        if let Poll::Ready(Err(_)) = tracker.poll_reach(at, &mut Context::from_waker(Waker::noop())) {
            *tracker = world.track(tracker.plan(), cursor);
            any = true;
        }
    }
    any
}

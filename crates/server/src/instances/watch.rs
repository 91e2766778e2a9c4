//! An instance as sessions hold on to it.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    task::{Context, Poll},
};

use change::{Lsn, RelationId};
use session::{Lost, Moves, Tracker};
use shapes::{Key, Plan};

use super::{instance::Instance, registry::Instances};

/// Shared by all who watch an instance. When the last of them lets go, nobody watches it any more.
pub(super) struct Watch {
    /// As it was asked for.
    plan: Arc<Plan>,
    instance: Arc<Instance>,
    registry: Weak<Instances>,
}

impl Watch {
    pub(super) fn new(plan: Arc<Plan>, instance: Arc<Instance>, registry: Weak<Instances>) -> Arc<Watch> {
        instance.watches.fetch_add(1, Ordering::SeqCst);
        Arc::new(Watch { plan, instance, registry })
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.instance.watches.fetch_sub(1, Ordering::SeqCst);
        if let Some(registry) = self.registry.upgrade() {
            registry.retire(&self.instance);
        }
    }
}

impl Tracker for Watch {
    fn plan(&self) -> &Arc<Plan> {
        &self.plan
    }

    fn is_unreadable(&self) -> bool {
        self.instance.is_unreadable()
    }

    fn poll_reach(&self, at: Lsn, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        self.instance.poll_reach(at, cx)
    }

    fn moves(&self, at: Lsn) -> Result<Option<Arc<Moves>>, Lost> {
        self.instance.lock().membership.moves(at)
    }

    fn holds(&self, relation: RelationId, key: &Key, at: Lsn) -> bool {
        self.instance.lock().membership.holds(relation, key, at)
    }

    fn members(&self, at: Lsn) -> Vec<(RelationId, Key)> {
        let mut members = self.instance.lock().membership.members(at);
        // Without the lock.
        members.sort_unstable();
        members
    }
}

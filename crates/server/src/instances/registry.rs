//! Which shapes are followed, and which are kept although nobody watches them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use change::Lsn;
use parking_lot::Mutex;
use postgres::{connection::ConnectConfig, replication::Control};
use session::Tracker;
use shapes::Plan;

use super::{
    Settings,
    instance::Instance,
    reading::{Occasion, Source},
    shelf::Shelf,
    watch::Watch,
};
use crate::stream::Stream;

/// Between two looks at what is kept, at most.
const SWEEP: Duration = Duration::from_secs(10);

/// All shapes with joins that somebody watches, or watched a short while ago.
pub struct Instances {
    source: Arc<Source>,
    settings: Settings,
    shelf: Mutex<Shelf>,
    counters: Arc<Counters>,
    is_sweeping: AtomicBool,
}

/// What has been read so far.
#[derive(Debug, Default)]
pub(super) struct Counters {
    fills: AtomicU64,
    lookups: AtomicU64,
}

/// What there is, and what has been done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Instances that newcomers would get.
    pub instances: usize,
    /// Those of them that nobody watches.
    pub kept: usize,
    /// Rows in them.
    pub members: usize,
    /// Bytes that they occupy, roughly.
    pub bytes: usize,
    /// Snapshots that were taken to fill one.
    pub fills: u64,
    /// Snapshots that were taken to move one on.
    pub lookups: u64,
}

impl Instances {
    /// None yet. They follow `stream`, and read by connections of their own.
    #[must_use]
    pub fn new(
        config: &ConnectConfig,
        stream: Arc<Stream>,
        control: Control,
        settings: Settings,
    ) -> Arc<Instances> {
        Arc::new(Instances {
            source: Arc::new(Source::new(config, stream, control)),
            settings,
            shelf: Mutex::default(),
            counters: Arc::default(),
            is_sweeping: AtomicBool::new(false),
        })
    }

    /// See [`session::World::track`].
    #[must_use]
    pub fn track(self: &Arc<Self>, plan: &Arc<Plan>, from: Lsn) -> Arc<dyn Tracker> {
        let mut shelf = self.shelf.lock();
        let is_good = |instance: &Instance| instance.serves(from) || instance.is_unreadable();
        if let Some(place) = shelf.take_up(plan).filter(|place| is_good(&place.instance)) {
            // Those who know fewer columns watch the same instance.
            let watch = place.watch.upgrade().filter(|watch| *watch.plan() == *plan);
            let watch = watch.unwrap_or_else(|| self.watch(plan, &place.instance));
            place.watch = Arc::downgrade(&watch);
            return watch;
        }
        let (source, counters) = (self.source.clone(), self.counters.clone());
        let instance = Arc::new(Instance::new(plan.clone(), from, self.settings.moves, source, counters));
        let watch = self.watch(plan, &instance);
        shelf.put(instance, Arc::downgrade(&watch));
        watch
    }

    fn watch(self: &Arc<Self>, plan: &Arc<Plan>, instance: &Arc<Instance>) -> Arc<Watch> {
        Watch::new(plan.clone(), instance.clone(), Arc::downgrade(self))
    }

    /// The last who watched an instance has let go of it.
    pub(super) fn retire(self: &Arc<Self>, instance: &Arc<Instance>) {
        let is_anything_kept = {
            let mut shelf = self.shelf.lock();
            shelf.retire(instance, Instant::now(), self.settings.kept);
            shelf.kept() > 0
        };
        if is_anything_kept {
            self.sweep_later();
        }
    }

    /// Sees to it that what is kept does not stay for ever. Outside of a runtime, the next one that is retired does.
    fn sweep_later(self: &Arc<Self>) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        if self.is_sweeping.swap(true, Ordering::SeqCst) {
            return;
        }
        let this = Arc::downgrade(self);
        let this_often = SWEEP.min(self.settings.keep_for);
        runtime.spawn(async move {
            loop {
                tokio::time::sleep(this_often).await;
                let Some(this) = this.upgrade() else { return };
                tracing::debug!(stats = ?this.stats(), "shapes that are followed");
                let mut shelf = this.shelf.lock();
                if !shelf.tidy(Instant::now(), this.settings.keep_for) {
                    this.is_sweeping.store(false, Ordering::SeqCst);
                    return;
                }
            }
        });
    }

    /// What there is now.
    #[must_use]
    pub fn stats(&self) -> Stats {
        let mut stats = Stats {
            fills: self.counters.fills.load(Ordering::Relaxed),
            lookups: self.counters.lookups.load(Ordering::Relaxed),
            ..Stats::default()
        };
        let instances: Vec<_> = {
            let shelf = self.shelf.lock();
            stats.kept = shelf.kept();
            shelf.instances().cloned().collect()
        };
        stats.instances = instances.len();
        for instance in instances {
            stats.members += instance.lock().membership.len();
            stats.bytes += instance.weight();
        }
        stats
    }
}

impl Counters {
    pub(super) fn count(&self, occasion: Occasion) {
        let counter = match occasion {
            Occasion::Fill => &self.fills,
            Occasion::Lookup => &self.lookups,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

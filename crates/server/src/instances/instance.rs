//! A shape that is followed, behind a lock: who moves it on, and who waits.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Waker},
};

use arc_swap::ArcSwap;
use change::{Lsn, RelationId};
use journal::Miss;
use parking_lot::{Mutex, MutexGuard};
use schema::Schema;
use session::Lost;
use shapes::Plan;

use super::{job, membership::Membership, reading::Source, registry::Counters};

/// Changes applied before others get a turn.
const TURN: usize = 4_000;

/// Looks into the stream before others get a turn.
const LOOKS: usize = 16;

/// Transactions taken from the stream at a time.
const BATCH: usize = 256;

/// A shape that is followed from a base on.
pub(super) struct Instance {
    /// The shape, with the tables' definitions where it stands: columns may be added on the way.
    plan: ArcSwap<Plan>,
    /// The shape's tables, sorted.
    pub(super) relations: Vec<RelationId>,
    pub(super) source: Arc<Source>,
    pub(super) counters: Arc<Counters>,
    /// How many [`super::watch::Watch`]es there are.
    pub(super) watches: AtomicUsize,
    state: Mutex<State>,
}

/// What of an instance changes.
pub(super) struct State {
    pub(super) membership: Membership,
    /// How far somebody has asked it to go.
    pub(super) wanted: Lsn,
    /// Whether a job is moving it on: then nobody else does.
    is_moving: bool,
    is_lost: bool,
    /// Its tables are not there to be read any more.
    is_unreadable: bool,
    /// The schema of the transaction that was applied last.
    schema: Option<Arc<Schema>>,
    /// Who waits, and for which position.
    waiting: Vec<(Lsn, Waker)>,
}

/// How far an instance could be moved on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// As far as was asked for.
    Reached,
    /// To a step for which rows have to be read, which leads to this position.
    Rows(Lsn),
    /// To where the stream has to be brought from disk: what follows this position.
    Disk(Lsn),
    /// Not as far as possible, to let others have a turn.
    Turn,
    /// As far as the stream has come, which is here, and not as far as was asked for.
    Stream(Lsn),
    /// What comes next is not in the retained history any more.
    Lost,
}

impl Instance {
    /// To be filled as of `base`. `budget` bounds the bytes of moves that it holds.
    pub(super) fn new(
        plan: Arc<Plan>,
        base: Lsn,
        budget: usize,
        source: Arc<Source>,
        counters: Arc<Counters>,
    ) -> Instance {
        let membership = Membership::new(plan.clone(), base, budget);
        let state = State {
            membership,
            wanted: base,
            is_moving: false,
            is_lost: false,
            is_unreadable: false,
            schema: None,
            waiting: Vec::new(),
        };
        let relations = plan.relations();
        let plan = ArcSwap::new(plan);
        Instance { plan, relations, source, counters, watches: AtomicUsize::new(0), state: Mutex::new(state) }
    }

    /// The shape, with the newest definitions that it has met.
    pub(super) fn plan(&self) -> Arc<Plan> {
        self.plan.load_full()
    }

    /// Whether its tables, as the newest schema knows, are others than those that it reads.
    pub(super) fn is_outdated(&self) -> bool {
        !self.plan.load().is_of(&self.source.stream.schema())
    }

    pub(super) fn is_unreadable(&self) -> bool {
        self.lock().is_unreadable
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Whether anybody watches it.
    pub(super) fn is_watched(&self) -> bool {
        self.watches.load(Ordering::SeqCst) > 0
    }

    /// Whether it can be followed from a position on.
    pub(super) fn serves(&self, from: Lsn) -> bool {
        let state = self.lock();
        !state.is_lost
            && state.membership.floor() <= from
            && state.membership.head().is_none_or(|head| head >= self.source.stream.start())
    }

    /// Whether it is worth keeping while nobody watches it.
    pub(super) fn is_keepable(&self) -> bool {
        let state = self.lock();
        !state.is_lost && state.membership.head().is_some_and(|head| head >= self.source.stream.start())
    }

    /// Roughly what it occupies in memory, in bytes.
    pub(super) fn weight(&self) -> usize {
        size_of::<Instance>() + self.lock().membership.weight()
    }

    /// See [`session::Tracker::poll_reach`].
    pub(super) fn poll_reach(self: &Arc<Self>, at: Lsn, cx: &mut Context<'_>) -> Poll<Result<(), Lost>> {
        let mut state = self.lock();
        if at < state.membership.floor() || state.is_lost && !state.has_reached(at) {
            return Poll::Ready(Err(Lost));
        }
        if state.has_reached(at) {
            return Poll::Ready(Ok(()));
        }
        state.wanted = at.max(state.wanted);
        if !state.is_moving {
            match self.advance(&mut state, at) {
                Progress::Reached => {
                    let awake = state.reached();
                    drop(state);
                    wake(awake);
                    return Poll::Ready(Ok(()));
                }
                Progress::Lost => {
                    let awake = state.lose();
                    drop(state);
                    wake(awake);
                    return Poll::Ready(Err(Lost));
                }
                Progress::Rows(_) | Progress::Disk(_) | Progress::Turn | Progress::Stream(_) => {
                    state.is_moving = true;
                    tokio::spawn(job::run(self.clone()));
                }
            }
        }
        state.wait(at, cx.waker());
        Poll::Pending
    }

    /// Moves it on as far as it goes without reading rows, or for a turn. Only for whoever is the one to move it.
    pub(super) fn advance(&self, state: &mut State, until: Lsn) -> Progress {
        let membership = &mut state.membership;
        membership.trim(self.source.stream.start(), state.wanted);
        let before = membership.moves_weight();
        let mut changes = 0;
        for _ in 0..LOOKS {
            if let Some(step) = membership.step() {
                return Progress::Rows(step);
            }
            let Some(head) = membership.head() else {
                membership.begin_fill();
                continue;
            };
            if head >= until {
                return Progress::Reached;
            }
            let (deliveries, reached) = match self.source.stream.touching(&self.relations, head, until, BATCH)
            {
                Ok(found) => found,
                Err(Miss::Cold(from)) => return Progress::Disk(from),
                Err(Miss::Trimmed) => return Progress::Lost,
            };
            for delivery in &deliveries {
                if changes >= TURN || membership.has_gained(before) {
                    return Progress::Turn;
                }
                changes += delivery.transaction.changes.len();
                if !state.schema.as_ref().is_some_and(|known| Arc::ptr_eq(known, &delivery.schema)) {
                    // What is read from here on has the columns that have come.
                    state.schema = Some(delivery.schema.clone());
                    if let Some(plan) = self.plan.load().by(&delivery.schema) {
                        self.plan.store(Arc::new(plan));
                    }
                }
                if !membership.apply(&delivery.transaction) {
                    return Progress::Rows(delivery.transaction.lsn);
                }
            }
            if reached <= head {
                return Progress::Stream(head);
            }
            membership.pass_over(reached);
        }
        if membership.head().is_some_and(|head| head >= until) { Progress::Reached } else { Progress::Turn }
    }
}

impl State {
    /// Whether everything is known up to a position.
    pub(super) fn has_reached(&self, at: Lsn) -> bool {
        self.membership.head().is_some_and(|head| head >= at)
    }

    /// There is nothing to be read any more. Returns who is to be woken.
    #[must_use]
    pub(super) fn give_up(&mut self) -> Vec<Waker> {
        self.is_unreadable = true;
        self.lose()
    }

    /// Nobody will be told anything new any more. Returns who is to be woken.
    #[must_use]
    pub(super) fn lose(&mut self) -> Vec<Waker> {
        self.is_lost = true;
        self.rest()
    }

    /// The job ends. Returns who is to be woken: whoever still waits asks again.
    #[must_use]
    pub(super) fn rest(&mut self) -> Vec<Waker> {
        self.is_moving = false;
        self.waiting.drain(..).map(|(_, waker)| waker).collect()
    }

    /// Returns who waits for what is known now, and is to be woken.
    #[must_use]
    pub(super) fn reached(&mut self) -> Vec<Waker> {
        let Some(head) = self.membership.head() else { return Vec::new() };
        self.waiting.extract_if(.., |(at, _)| *at <= head).map(|(_, waker)| waker).collect()
    }

    fn wait(&mut self, at: Lsn, waker: &Waker) {
        if waker.will_wake(Waker::noop()) {
            return;
        }
        match self.waiting.iter_mut().find(|(_, known)| known.will_wake(waker)) {
            Some((earliest, _)) => *earliest = at.min(*earliest),
            None => self.waiting.push((at, waker.clone())),
        }
    }
}

/// Never under the lock of an instance: with a waker, whoever waited may go, and let go of the instance.
pub(super) fn wake(awake: Vec<Waker>) {
    awake.into_iter().for_each(Waker::wake);
}

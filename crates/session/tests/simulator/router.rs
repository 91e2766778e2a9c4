//! The stream as sessions see it: some way behind the database's log, with a bounded history.

use std::sync::{Arc, Weak};

use change::{Lsn, Snapshot, Xid};
use parking_lot::Mutex;
use schema::{Migration, Schema};
use session::{Delivery, Tracker, World};
use shapes::Plan;

use super::{postgres::Postgres, random::Random, tracker::Follower};

pub struct Router(Mutex<State>);

struct State {
    passed: Vec<Arc<Delivery>>,
    position: Lsn,
    start: Lsn,
    schema: Arc<Schema>,
    migrations: Arc<Vec<Arc<Migration>>>,
    trackers: Vec<Weak<Follower>>,
}

impl Router {
    pub fn new(postgres: &Postgres) -> Arc<Router> {
        Arc::new(Router(Mutex::new(State {
            passed: Vec::new(),
            position: postgres.end(),
            start: postgres.end(),
            schema: postgres.schema.clone(),
            migrations: Arc::default(),
            trackers: Vec::new(),
        })))
    }

    /// The stream of a service that was started again. Its history reaches from where the old one's began to `at`, or, if that is
    /// lost, begins at the end of the log.
    pub fn resumed(&self, postgres: &Postgres, at: Option<Lsn>) -> Arc<Router> {
        let old = self.0.lock();
        let position = at.unwrap_or(postgres.end());
        let records = postgres.log.iter().map(|record| &record.delivery);
        let passed: Vec<_> = records.take_while(|d| d.transaction.lsn <= position).cloned().collect();
        let migrations = passed.iter().filter_map(|delivery| delivery.migration.clone()).collect();
        let schema = passed.last().map_or_else(|| old.schema.clone(), |delivery| delivery.schema.clone());
        let start = if at.is_some() { old.start } else { position };
        let (migrations, trackers) = (Arc::new(migrations), Vec::new());
        Arc::new(Router(Mutex::new(State { passed, position, start, schema, migrations, trackers })))
    }

    /// Lets one of the trackers go on, or lose its way; whether there was anything to do.
    pub fn work(&self, postgres: &Postgres, random: &mut Random) -> bool {
        let mut state = self.0.lock();
        state.trackers.retain(|tracker| tracker.strong_count() > 0);
        let trackers: Vec<_> = state.trackers.iter().filter_map(Weak::upgrade).collect();
        let (passed, position) = (state.passed.clone(), state.position);
        drop(state);
        let Some(tracker) = (!trackers.is_empty()).then(|| &trackers[random.below(trackers.len())]) else {
            return false;
        };
        if random.one_in(60) {
            tracker.lose();
            return true;
        }
        tracker.go_on(&passed, position, postgres, random)
    }

    /// Hands on some of what is in the log; whether that was anything.
    pub fn advance(&self, postgres: &Postgres, random: &mut Random) -> bool {
        let mut state = self.0.lock();
        let before = state.position;
        for _ in 0..=random.below(3) {
            match postgres.log.get(state.passed.len()) {
                Some(record) => {
                    let delivery = record.delivery.clone();
                    if let Some(migration) = &delivery.migration {
                        state.schema = delivery.schema.clone();
                        Arc::make_mut(&mut state.migrations).push(migration.clone());
                    }
                    state.position = delivery.transaction.lsn;
                    state.passed.push(delivery);
                }
                None => state.position = postgres.end(),
            }
        }
        state.position > before
    }

    /// History is cut somewhere behind the position.
    pub fn trim(&self, random: &mut Random) {
        let mut state = self.0.lock();
        let lag = random.below(400) as u64;
        state.start = state.start.max(Lsn(state.position.0.saturating_sub(lag)));
    }

    /// Up to `max` transactions after the cursor and how far there are no others; `None` if the cursor is too old.
    pub fn read(&self, cursor: Lsn, max: usize) -> Option<(Vec<Arc<Delivery>>, Lsn)> {
        let state = self.0.lock();
        if cursor < state.start {
            return None;
        }
        let from = state.passed.partition_point(|delivery| delivery.transaction.lsn <= cursor);
        let taken: Vec<_> = state.passed[from..].iter().take(max).cloned().collect();
        let reached = match taken.last() {
            Some(last) if from + taken.len() < state.passed.len() => last.transaction.lsn,
            _ => state.position,
        };
        Some((taken, reached))
    }
}

impl World for Router {
    fn schema(&self) -> Arc<Schema> {
        self.0.lock().schema.clone()
    }

    fn migrations(&self) -> Arc<Vec<Arc<Migration>>> {
        self.0.lock().migrations.clone()
    }

    fn position(&self) -> Lsn {
        self.0.lock().position
    }

    fn history_start(&self) -> Lsn {
        self.0.lock().start
    }

    fn track(&self, plan: &Arc<Plan>, from: Lsn) -> Arc<dyn Tracker> {
        let mut state = self.0.lock();
        let live = state.trackers.iter().filter_map(Weak::upgrade).find(|tracker| tracker.serves(plan, from));
        live.unwrap_or_else(|| {
            let tracker = Follower::new(plan, from);
            state.trackers.push(Arc::downgrade(&tracker));
            tracker
        })
    }

    fn recently_passed(&self, xid: Xid) -> Option<Lsn> {
        let state = self.0.lock();
        state.passed.iter().rev().find(|delivery| delivery.transaction.xid == xid).map(|d| d.transaction.lsn)
    }

    fn is_torn(&self, snapshot: &Snapshot, until: Lsn) -> bool {
        let state = self.0.lock();
        let transactions = state.passed.iter().map(|delivery| &delivery.transaction);
        let sees = transactions.take_while(|t| t.lsn <= until).map(|t| snapshot.sees(t.xid));
        sees.skip_while(|seen| *seen).any(|seen| seen)
    }
}

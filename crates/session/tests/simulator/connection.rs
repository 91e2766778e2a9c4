//! What a driver does for a session, in any order that it may be done in.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    task::{Context, Waker},
};

use bytes::Bytes;
use change::{ClientLsn, ClientTransaction, RelationId, RowChange, Snapshot, Tags};
use protocol::{GoneEncoder, InsertEncoder, Message, Method};
use session::{
    Admission, ClientUpdate, Delivery, Input, Interest, Millis, Now, Output, ReadKind, ReadRequest, Session,
    SnapshotFailure, SnapshotId, StoredClient, Unavailable, WriteOutcome,
};
use shapes::RoutingIndex;

use super::{
    postgres::{Database, Postgres, fit, row},
    random::Random,
    router::Router,
};
use crate::naive;

pub struct Connection {
    pub session: Session,
    pub to_server: VecDeque<Bytes>,
    pub to_client: VecDeque<Bytes>,
    /// The server has closed; what is on its way still arrives.
    pub closed: Option<&'static str>,
    /// It has the client's id; others have to go.
    pub is_admitted: bool,
    /// Since when the client waits for something without which it may never connect again: the answer to its `startReplication`, or
    /// what it takes to ask for that (spec 02 §10.4).
    dependent: Option<(Dependence, Millis)>,
    /// It has that answer.
    is_answered: bool,
    client: String,
    tasks: Vec<Task>,
    /// With the writer, in order.
    writes: VecDeque<ClientTransaction>,
    interests: Arc<[Interest]>,
    /// Changes of what is stored, in order.
    stores: VecDeque<(u64, Vec<ClientUpdate>)>,
    snapshots: Vec<(SnapshotId, Arc<ReadRequest>, Option<VecDeque<Part>>)>,
}

/// Something asked for and not yet answered. Each may be answered before or after any other.
enum Task {
    Admit,
    Load,
    WalEnd,
    Open(SnapshotId),
    Probe(u64),
}

type Part = Option<(usize, Bytes)>;

/// What a client has that must not lose its connection now.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Dependence {
    /// The answer to `authenticate`.
    Welcomed,
    /// It has asked for its stream.
    Asked,
}

/// For how long either keeps the server from closing, in milliseconds: until the client must have asked, or has stopped waiting.
const DEPENDENT: Millis = 3_000;
impl Connection {
    pub fn new(session: Session, client: &str) -> Connection {
        Connection {
            session,
            to_server: VecDeque::new(),
            to_client: VecDeque::new(),
            closed: None,
            is_admitted: false,
            dependent: None,
            is_answered: false,
            client: client.to_owned(),
            tasks: Vec::new(),
            writes: VecDeque::new(),
            interests: Arc::new([]),
            stores: VecDeque::new(),
            snapshots: Vec::new(),
        }
    }

    /// Whether it waits to be admitted.
    pub fn asks_admission(&self) -> bool {
        self.tasks.iter().any(|task| matches!(task, Task::Admit))
    }

    /// What is under way.
    pub fn describe(&self) -> String {
        let snapshots: Vec<_> = self.snapshots.iter().map(|(id, _, parts)| (id, parts.is_some())).collect();
        let frames = self.session.wants_snapshot_frames();
        format!(
            "{} tasks, {} writes, {} stores, snapshots {snapshots:?}, wants frames of {frames:?}",
            self.tasks.len(),
            self.writes.len(),
            self.stores.len()
        )
    }

    pub fn hand(&mut self, input: Input, now: Now) {
        if self.closed.is_some() {
            return;
        }
        let mut outputs = Vec::new();
        let is_given_up = matches!(input, Input::Replaced);
        self.session.handle(input, now, &mut outputs);
        for output in outputs {
            assert!(self.closed.is_none(), "nothing follows a close");
            match output {
                Output::Send(message) => {
                    self.notice_answer(&message, now);
                    self.to_client.push_back(message);
                }
                Output::SendAll(messages) => self.to_client.extend(messages.iter().cloned()),
                Output::Close { reason, .. } => {
                    if let Some((dependence, since)) = self.dependent.filter(|_| !is_given_up) {
                        let waited = now.mono_ms - since;
                        assert!(
                            waited >= DEPENDENT,
                            "closed on a client that has {dependence:?} for {waited} ms"
                        );
                    }
                    self.closed = Some(reason);
                }
                Output::Admit { .. } => self.tasks.push(Task::Admit),
                Output::LoadClient => self.tasks.push(Task::Load),
                Output::QueryWalEnd => self.tasks.push(Task::WalEnd),
                Output::Store { number, updates } => self.stores.push_back((number, updates)),
                Output::OpenSnapshot { id, request } => {
                    self.snapshots.push((id, request, None));
                    self.tasks.push(Task::Open(id));
                }
                Output::Watch(interests) => self.interests = interests,
                Output::DropSnapshot { id } => self.snapshots.retain(|(open, ..)| *open != id),
                Output::Write(transaction) => self.writes.push_back(transaction),
                // The peer is alive: clients answer pings by themselves.
                Output::Ping => {}
                Output::Probe(number) => self.tasks.push(Task::Probe(number)),
                Output::ReadSnapshot { .. }
                | Output::Flush
                | Output::Reach(_)
                | Output::Refused { .. }
                | Output::WriteRejected { .. }
                | Output::KeepRejected(_) => {}
            }
        }
    }

    /// Answers something that is under way, or hands something in that is wanted. Whether there was anything.
    pub fn work(
        &mut self,
        database: &mut impl Database,
        router: &Router,
        stored: &mut StoredClient,
        now: Now,
        random: &mut Random,
    ) -> bool {
        let first = random.below(6);
        for turn in 0..6 {
            let done = match (first + turn) % 6 {
                0 => self.read_message(now),
                1 => self.feed(router, now, random),
                2 => self.store(stored, now),
                3 => self.answer(database, stored, now, random),
                4 => self.write(database, now, random),
                _ => self.snapshot_part(now, random),
            };
            if done {
                return true;
            }
        }
        if self.session.next_deadline().is_some_and(|at| at <= now.mono_ms) {
            self.hand(Input::Tick, now);
            return true;
        }
        false
    }

    fn read_message(&mut self, now: Now) -> bool {
        if !self.session.accepts_messages() {
            return false;
        }
        let Some(message) = self.to_server.pop_front() else { return false };
        if let Ok(Message::RpcRequest(request)) = Message::decode(message.clone())
            && request.method == Method::StartReplication.as_str()
        {
            self.dependent = Some((Dependence::Asked, now.mono_ms));
        }
        self.hand(Input::Message(message), now);
        true
    }

    fn notice_answer(&mut self, message: &Bytes, now: Now) {
        if self.is_answered {
            return;
        }
        let Ok(Message::RpcResponse(answer)) = Message::decode(message.clone()) else { return };
        match Method::from_name(&answer.method) {
            Some(Method::Authenticate) => self.dependent = Some((Dependence::Welcomed, now.mono_ms)),
            Some(Method::StartReplication) => {
                self.dependent = None;
                self.is_answered = true;
            }
            _ => {}
        }
    }

    fn feed(&mut self, router: &Router, now: Now, random: &mut Random) -> bool {
        use session::World as _;
        if let Some((tracker, at)) = self.session.stalled_on() {
            if tracker.poll_reach(at, &mut Context::from_waker(Waker::noop())).is_pending() {
                return false;
            }
            if self.session.cursor().is_none() {
                self.hand(Input::Tick, now);
                return true;
            }
        }
        let Some(cursor) = self.session.cursor().filter(|cursor| *cursor < router.position()) else {
            return false;
        };
        match router.read(cursor, 1 + random.below(5)) {
            Some((mut deliveries, reached)) => {
                if self.session.is_selective() {
                    let concerns = |delivery: &Arc<Delivery>| self.is_concerned(delivery);
                    deliveries.retain(concerns);
                }
                self.hand(Input::Stream { deliveries, reached }, now);
            }
            None => self.hand(Input::StreamLost, now),
        }
        true
    }

    /// Whether a transaction is for this session, by what it last said that it watches.
    fn is_concerned(&self, delivery: &Delivery) -> bool {
        let transaction = &delivery.transaction;
        let is_found = |relation, change: &RowChange| {
            let mut index = RoutingIndex::default();
            for interest in self.interests.iter() {
                index.insert(interest.relation, &interest.route, ());
            }
            let mut found = false;
            index.concerned(relation, change, |()| found = true);
            found
        };
        delivery.migration.is_some()
            || transaction.origin.client().is_some_and(|client| client.as_str() == self.client)
            || transaction.changes.iter().any(|change| is_found(change.relation, &change.row))
    }

    /// Makes the oldest store durable.
    pub fn store(&mut self, stored: &mut StoredClient, now: Now) -> bool {
        let Some((number, updates)) = self.stores.pop_front() else { return false };
        for update in updates {
            apply(stored, update);
        }
        self.hand(Input::Stored(number), now);
        true
    }

    fn answer(
        &mut self,
        database: &mut impl Database,
        stored: &StoredClient,
        now: Now,
        random: &mut Random,
    ) -> bool {
        if self.tasks.is_empty() {
            return false;
        }
        let at = random.below(self.tasks.len());
        let input = match self.tasks.swap_remove(at) {
            Task::Admit => {
                self.is_admitted = true;
                let position = database.acknowledged(&self.client);
                let lsn = |n: u64| ClientLsn::new(Bytes::copy_from_slice(&(n as u32).to_be_bytes())).unwrap();
                Input::Admission(Admission::Admitted { acknowledged: position.map(lsn) })
            }
            Task::Load => {
                assert!(self.stores.is_empty(), "what is stored is read when all changes are durable");
                Input::Client(if random.one_in(12) { Err(Unavailable) } else { Ok(stored.clone()) })
            }
            Task::Probe(number) => Input::Probed(number),
            Task::WalEnd if random.one_in(12) => Input::WalEnd(Err(Unavailable)),
            Task::WalEnd => Input::WalEnd(Ok(database.log().end())),
            Task::Open(id) => {
                let Some((_, request, parts)) = self.snapshots.iter_mut().find(|(open, ..)| *open == id)
                else {
                    return true;
                };
                if random.one_in(12) {
                    self.snapshots.retain(|(open, ..)| *open != id);
                    Input::SnapshotFailed { id, why: SnapshotFailure::Unavailable }
                } else {
                    let snapshot = database.log().snapshot();
                    *parts = Some(query(database.log(), request, &snapshot));
                    Input::SnapshotOpened { id, snapshot, lsn: database.log().end() }
                }
            }
        };
        self.hand(input, now);
        true
    }

    /// Applies the first ones of what the writer has, and then answers for all of them: what is applied is not told of before it is
    /// durable.
    fn write(&mut self, database: &mut impl Database, now: Now, random: &mut Random) -> bool {
        let mut done = 0;
        while let Some(transaction) = self.writes.front() {
            if !database.apply(transaction, random) {
                break;
            }
            self.writes.pop_front();
            done += 1;
            if random.one_in(2) {
                break;
            }
        }
        for _ in 0..done {
            self.hand(Input::Written(WriteOutcome::Done), now);
        }
        done > 0
    }

    fn snapshot_part(&mut self, now: Now, random: &mut Random) -> bool {
        let Some(id) = self.session.wants_snapshot_frames() else { return false };
        let at = self.snapshots.iter().position(|(open, ..)| *open == id).expect("it is open");
        if random.one_in(200) {
            self.snapshots.remove(at);
            self.hand(Input::SnapshotFailed { id, why: SnapshotFailure::Unavailable }, now);
            return true;
        }
        let part = self.snapshots[at].2.as_mut().expect("it was read").pop_front().expect("it has not ended");
        match part {
            Some((read, frame)) => self.hand(Input::SnapshotFrame { id, read, frame }, now),
            None => {
                self.snapshots.remove(at);
                self.hand(Input::SnapshotDone { id }, now);
            }
        }
        true
    }

    /// The socket is gone. Of what was under way for the client the first ones may still be done, or not.
    pub fn abandon(self, database: &mut impl Database, stored: &mut StoredClient, random: &mut Random) {
        for transaction in self.end(stored, random) {
            if random.one_in(2) || !database.apply(&transaction, random) {
                break;
            }
        }
    }

    /// The end of the connection: some of its stores are still done. Answers what is with the writer.
    pub fn end(mut self, stored: &mut StoredClient, random: &mut Random) -> VecDeque<ClientTransaction> {
        while !random.one_in(4) {
            let Some((_, updates)) = self.stores.pop_front() else { break };
            updates.into_iter().for_each(|update| apply(stored, update));
        }
        self.writes
    }
}

/// All parts of a snapshot: its frames, then its end.
fn query(postgres: &Postgres, request: &ReadRequest, snapshot: &Snapshot) -> VecDeque<Part> {
    let rows = postgres.rows_in(snapshot);
    let there = postgres.rows_at(postgres.end());
    let known: Vec<_> =
        request.known.trackers.iter().map(|tracker| naive::members(tracker.plan(), &there)).collect();
    let is_known = |key: &(RelationId, String), values: &naive::Values| {
        let values = row(values);
        known.iter().any(|known| known.contains(key))
            || request.known.filters.iter().any(|(table, filter)| *table == key.0 && filter.matches(&values))
    };
    let mut parts = VecDeque::new();
    let mut sent = Vec::new();
    for (index, read) in request.reads.iter().enumerate() {
        let mut tables: BTreeMap<RelationId, Vec<(&naive::Values, Tags)>> = BTreeMap::new();
        for key in naive::members(&read.plan, &rows) {
            if !is_known(&key, &rows[&key]) && !sent.contains(&key) {
                let tags = postgres.tags_in(&key, snapshot);
                tables.entry(key.0).or_default().push((&rows[&key], tags));
                sent.push(key);
            }
        }
        for (table, rows) in tables {
            // By the definition that was asked for, which may be older than the database's.
            let table = &read.plan.layers.iter().find(|layer| layer.table.id == table).unwrap().table;
            let rows = rows.into_iter().map(|(values, tags)| (fit(table, values.clone()), tags));
            let last = match read.kind {
                ReadKind::Rows => {
                    let mut encoder = InsertEncoder::new(table.clone());
                    for (row, tags) in rows {
                        let values = row.iter().map(|value| value.as_deref().map(str::as_bytes));
                        encoder.push(values, &tags).unwrap();
                    }
                    encoder.finish()
                }
                ReadKind::Keys => {
                    let mut encoder = GoneEncoder::new(table.clone());
                    for (row, _) in rows {
                        encoder.push([row[0].as_deref().unwrap().as_bytes()]).unwrap();
                    }
                    encoder.finish()
                }
            };
            parts.extend(last.map(|frame| Some((index, frame))));
        }
    }
    parts.push_back(None);
    parts
}

fn apply(stored: &mut StoredClient, update: ClientUpdate) {
    match update {
        ClientUpdate::Clear => *stored = StoredClient::default(),
        ClientUpdate::MigrationsSent(pending) => stored.pending_migrations = Some(pending),
        ClientUpdate::MigrationsSeen => stored.pending_migrations = None,
        ClientUpdate::Subscribed(subscription) => {
            stored.subscriptions.retain(|known| known.id != subscription.id);
            stored.subscriptions.push(subscription);
        }
        ClientUpdate::Gone(ids, lsn) => {
            for known in stored.subscriptions.iter_mut().filter(|known| ids.contains(&known.id)) {
                known.gone_at = Some(lsn);
            }
        }
        ClientUpdate::Observed(observed) => stored.observed = observed,
        ClientUpdate::Forget(ids) => stored.subscriptions.retain(|known| !ids.contains(&known.id)),
    }
}

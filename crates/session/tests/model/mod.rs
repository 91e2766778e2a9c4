//! Clients that behave like the real one, Postgres with the merge, and a service between them that is started again, loses what
//! it had in memory, and is told things late and out of order. Everybody ends with the same rows and tags, nobody ever sees half
//! a transaction or an effect without its cause, and every write that a client made took effect once, in its order (spec 05).

mod app;
mod client_vectors;
mod database;
mod local;
mod oracle;
mod peer;
mod server_vectors;
mod tables;
mod wire;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use change::{ClientOpKind, Lsn};
use schema::Schema;
use session::{Input, Now, Session, SessionConfig, World as _};

use self::{
    database::{Model, Native, text},
    local::{Op, Place},
    peer::Peer,
    tables::{CHILDREN, EVENTS, PAIRS, PARENTS, TASKS},
};
use crate::{
    client::Values,
    harness::verifier,
    simulator::{
        connection::Connection,
        for_all_seeds,
        postgres::{Database as _, named},
        random::Random,
        router::Router,
    },
};

/// Milliseconds by which a device's clock may be wrong.
const SKEWS: [i64; 8] = [0, 0, 0, 30, -2_000, 5_000, -3_600_000, 86_400_000];

struct Simulation {
    random: Random,
    model: Model,
    schema: Arc<Schema>,
    router: Arc<Router>,
    peers: Vec<Peer>,
    now: Now,
    config: Arc<SessionConfig>,
    verifier: Arc<auth::Verifier>,
    /// Whether history may be lost; clients are reset then, and what they wrote stays in their oplogs.
    forgets: bool,
    natives: usize,
}

impl Simulation {
    fn new(seed: u64, verifier: &Arc<auth::Verifier>) -> Simulation {
        let mut random = Random::new(seed);
        let mut model = Model::new();
        if random.one_in(2) {
            model.untracked(PARENTS, &[Some("p0"), Some("old"), Some("1")], &mut random);
            model.untracked(CHILDREN, &[Some("c0"), Some("p0"), None], &mut random);
            model.untracked(PAIRS, &[Some("a0-l"), Some("7")], &mut random);
            model.untracked(PAIRS, &[Some("a0-r"), Some("7")], &mut random);
            model.untracked(EVENTS, &[Some("first"), None], &mut random);
            while model.log_mut().show_one(&mut random) {}
        }
        let schema = tables::schema();
        let router = Router::new(model.log());
        while router.advance(model.log(), &mut random) {}
        let peers = (0..2 + random.below(2)).map(|n| Peer::new(n, &schema)).collect();
        let config = SessionConfig {
            unacked_window: 1 + random.below(5) as u32,
            heartbeat_distance: 50 + random.below(2_000) as u64,
            catch_up_timeout: 60_000,
            gone_batch: random.below(4),
            ..SessionConfig::default()
        };
        let forgets = random.one_in(4);
        Simulation {
            random,
            model,
            schema,
            router,
            peers,
            now: Now { wall_ms: 1_700_000_000_000, mono_ms: 1_000_000 },
            config: Arc::new(config),
            verifier: verifier.clone(),
            forgets,
            natives: 0,
        }
    }

    fn run(&mut self) {
        for at in 0..self.peers.len() {
            self.connect(at);
            for _ in 0..1 + self.random.below(2) {
                let want = Peer::any_want(&mut self.random);
                self.peers[at].want(want);
            }
        }
        if !self.random.one_in(4) {
            self.settle();
        }
        for _ in 0..STEPS {
            self.step();
        }
        self.settle();
        self.check();
    }

    fn step(&mut self) {
        let random = &mut self.random;
        match random.below(40) {
            0 => self.model.log_mut().begin(),
            1..=3 => self.native(),
            4..=8 => drop(self.model.log_mut().show_one(random)),
            9..=12 => drop(self.router.advance(self.model.log(), random)),
            13 if self.forgets && random.one_in(8) => self.router.trim(random),
            14 if random.one_in(8) => self.restart(),
            15 => self.pass_some(),
            16..=19 => drop(self.router.work(self.model.log(), random)),
            _ => {
                let at = random.below(self.peers.len());
                self.peer_step(at);
            }
        }
    }

    fn pass_some(&mut self) {
        let ms = self.random.below(40) as u64;
        self.pass(ms);
    }

    fn pass(&mut self, ms: u64) {
        self.now = Now { wall_ms: self.now.wall_ms + ms, mono_ms: self.now.mono_ms + ms };
    }

    /// A session of Postgres' own tries something; what breaks a constraint or waits for a lock for too long is rolled back.
    fn native(&mut self) {
        let statements: Vec<Native> = app::native(&self.model, self.natives, &mut self.random);
        self.natives += statements.len();
        let started = self.now.wall_ms - self.random.below(200) as u64;
        _ = self.model.native(&statements, started, &mut self.random);
    }

    /// The service ends in good order: each connection as soon as it can, and as long as that takes.
    fn stop(&mut self) {
        for at in 0..self.peers.len() {
            let connection = |peers: &mut Vec<Peer>| peers[at].connection.take_if(|c| c.closed.is_none());
            let Some(mut connection) = connection(&mut self.peers) else { continue };
            connection.hand(Input::Shutdown, self.now);
            self.peers[at].connection = Some(connection);
            for _ in 0..2_000 {
                let busy = self.work(at) | self.peers[at].receive(self.now, &self.schema, &mut self.random);
                match &self.peers[at].connection {
                    Some(connection) if connection.closed.is_none() => {}
                    _ => break,
                }
                if !busy {
                    self.pass(20);
                }
            }
            let closed = |connection: &Connection| connection.closed.is_some();
            assert!(self.peers[at].connection.as_ref().is_none_or(closed), "it goes on");
        }
    }

    /// The service ends and another begins. It has the stream up to somewhere, or not at all any more.
    fn restart(&mut self) {
        if self.random.one_in(2) {
            self.stop();
        }
        for peer in &mut self.peers {
            for connection in peer.connection.take().into_iter().chain(peer.old.drain(..)) {
                peer.late.push_back(connection.end(&mut peer.stored, &mut self.random));
            }
        }
        let at = if self.forgets && self.random.one_in(4) {
            None
        } else {
            let (start, end) =
                (self.router.history_start().0, self.router.position().0.max(self.router.history_start().0));
            let kept = self.random.below((end - start) as usize + 1) as u64;
            Some(Lsn(if self.random.one_in(2) { end } else { start + kept }))
        };
        self.router = self.router.resumed(self.model.log(), at);
    }

    fn peer_step(&mut self, at: usize) {
        let random = &mut self.random;
        let peer = &mut self.peers[at];
        match random.below(40) {
            0 if random.one_in(2) => self.disconnect(at),
            1 if peer.wants.len() < 3 => peer.want(Peer::any_want(random)),
            2 if peer.wants.len() > 1 || random.one_in(4) && !peer.wants.is_empty() => {
                let index = random.below(peer.wants.len());
                peer.give_up(index);
            }
            3..=9 => peer.write(random),
            10..=14 => drop(peer.push(self.now, &self.schema)),
            15 if random.one_in(4) => peer.skew = SKEWS[random.below(SKEWS.len())],
            16 => drop(self.late(at)),
            17..=20 => drop(self.work_old(at)),
            21 if peer.connection.is_none() => self.connect(at),
            22.. => self.work_some(at),
            _ => {}
        }
        self.notice_close(at);
    }

    fn connect(&mut self, at: usize) {
        let session = Session::new(self.config.clone(), self.verifier.clone(), self.router.clone(), self.now);
        let connection = Connection::new(session, &self.peers[at].id);
        self.peers[at].connect(connection);
    }

    /// The client's socket is gone. The service may hear of it much later: it goes on with what it has been sent.
    fn disconnect(&mut self, at: usize) {
        let peer = &mut self.peers[at];
        let Some(mut connection) = peer.connection.take() else { return };
        connection.to_client.clear();
        if connection.closed.is_none() && self.random.one_in(2) {
            peer.old.push(connection);
        } else {
            peer.late.push_back(connection.end(&mut peer.stored, &mut self.random));
        }
    }

    /// A closed socket is noticed once all that was on its way has arrived.
    fn notice_close(&mut self, at: usize) {
        let closed = |connection: &Connection| connection.closed.is_some() && connection.to_client.is_empty();
        if self.peers[at].connection.as_ref().is_some_and(closed) {
            self.disconnect(at);
        }
    }

    /// Some of what is under way on the client's connection, one way and the other.
    fn work_some(&mut self, at: usize) {
        for _ in 0..=self.random.below(8) {
            match self.random.below(3) {
                0 => drop(self.peers[at].receive(self.now, &self.schema, &mut self.random)),
                _ => drop(self.work(at)),
            }
            self.notice_close(at);
        }
    }

    fn work(&mut self, at: usize) -> bool {
        let Peer { connection, old, late, stored, .. } = &mut self.peers[at];
        let Some(connection) = connection else { return false };
        if connection.asks_admission() {
            // It waits for what those before it have with the writer: only then is it known how far the client's writes are in.
            for mut before in old.drain(..) {
                before.hand(Input::Replaced, self.now);
                late.push_back(before.end(stored, &mut self.random));
            }
            if !late.is_empty() {
                return self.late(at);
            }
        }
        connection.work(&mut self.model, &self.router, stored, self.now, &mut self.random)
    }

    /// The service goes on with a connection that the client has given up.
    fn work_old(&mut self, at: usize) -> bool {
        let Peer { connection, old, late, stored, .. } = &mut self.peers[at];
        if old.is_empty() {
            return false;
        }
        let mut before = old.swap_remove(self.random.below(old.len()));
        let was_admitted = before.is_admitted;
        let worked = before.work(&mut self.model, &self.router, stored, self.now, &mut self.random);
        before.to_client.clear();
        if before.is_admitted && !was_admitted {
            // It comes late, and still drives out the one that came before.
            for other in connection.iter_mut().chain(old.iter_mut()).filter(|other| other.is_admitted) {
                other.hand(Input::Replaced, self.now);
            }
        }
        if before.closed.is_some() || !worked && self.random.one_in(6) {
            late.push_back(before.end(stored, &mut self.random));
        } else {
            old.push(before);
        }
        worked
    }

    /// The writer gets on with what a connection left behind.
    fn late(&mut self, at: usize) -> bool {
        let peer = &mut self.peers[at];
        let Some(mut run) = peer.late.pop_front() else { return false };
        let Some(transaction) = run.pop_front() else { return true };
        // Who was cut off before the writer had a transaction whole leaves nothing of it, nor of what follows.
        if self.random.one_in(4) {
            return true;
        }
        let applied = self.model.apply(&transaction, &mut self.random);
        if applied {
            peer.late.push_front(run);
        } else {
            run.push_front(transaction);
            peer.late.push_back(run);
        }
        applied
    }

    /// Nothing new happens; everything under way is finished.
    fn settle(&mut self) {
        let mut quiet = 0;
        for _ in 0..5_000 {
            let mut busy = false;
            while self.model.log_mut().show_one(&mut self.random) {}
            while self.router.advance(self.model.log(), &mut self.random) {}
            for _ in 0..20 {
                busy |= self.router.work(self.model.log(), &mut self.random);
            }
            for at in 0..self.peers.len() {
                if self.peers[at].connection.is_none() {
                    self.connect(at);
                    busy = true;
                }
                busy |= self.late(at) | self.work_old(at);
                busy |= self.peers[at].push(self.now, &self.schema);
                for _ in 0..50 {
                    let worked =
                        self.work(at) | self.peers[at].receive(self.now, &self.schema, &mut self.random);
                    busy |= worked;
                    self.notice_close(at);
                    if !worked {
                        break;
                    }
                }
                if let Some(connection) = &mut self.peers[at].connection {
                    connection.hand(Input::Alive, self.now);
                }
            }
            quiet = if busy { 0 } else { quiet + 1 };
            let applied = |peer: &Peer| self.model.acknowledged(&peer.id).unwrap_or_default() as u32;
            if quiet > 5 && self.peers.iter().all(|peer| peer.is_settled(applied(peer))) {
                return;
            }
            self.pass(20);
        }
        self.peers.iter().for_each(|peer| eprintln!("{}", peer.describe()));
        panic!("it never settles");
    }

    fn check(&self) {
        oracle::check(&self.model);
        for peer in &self.peers {
            self.check_writes(peer);
            self.check_rows(peer);
            let cursor = peer.connection.as_ref().and_then(|connection| connection.session.cursor());
            assert_eq!(cursor, Some(self.router.position()), "{} keeps up", peer.id);
            peer.check();
        }
    }

    /// All that the client wrote has taken effect once, in its order, as it was written.
    fn check_writes(&self, peer: &Peer) {
        let own = self.model.applied.iter().filter(|transaction| transaction.client.as_str() == peer.id);
        let applied: Vec<_> = own.collect();
        let positions: Vec<_> = applied.iter().map(|tx| (tx.lsn.position(), tx.timestamp_ms)).collect();
        let written = peer.local.history.iter().map(|tx| (u64::from(tx.position()), tx.ms));
        assert_eq!(positions, written.collect::<Vec<_>>(), "{}: each transaction once, in order", peer.id);
        for (transaction, written) in applied.iter().zip(&peer.local.history) {
            let ops = transaction.ops.iter().map(|op| {
                let table = self.schema.table(op.relation).unwrap();
                let clear: BTreeSet<String> = op.clear.iter().map(ToString::to_string).collect();
                (op.kind, table.name.clone(), text(&op.values[0]), clear)
            });
            let entries = written.entries.iter().map(|entry| {
                let (table, key) = entry.place.clone();
                (kind(entry.op), table, Some(key), entry.clear.iter().cloned().collect())
            });
            assert_eq!(ops.collect::<Vec<_>>(), entries.collect::<Vec<_>>(), "{}: as written", peer.id);
        }
    }

    /// The client has what Postgres has, values and tags, of the tables that it wants, and no row of others.
    fn check_rows(&self, peer: &Peer) {
        let shapes = peer.shapes();
        assert!(peer.wants.iter().all(|want| want.tables.iter().all(|shape| shapes.contains(shape))));
        // Entries whose echo was lost with the history still count for the client (spec 05 §9, 18).
        let mut unsure: BTreeSet<Place> = peer.local.oplog.iter().map(|entry| entry.place.clone()).collect();
        // A client that holds on to a row that is not the one it has seen is told so only if that shows.
        let of_tasks = self.model.confusable.iter().filter(|(relation, _)| *relation == TASKS);
        unsure.extend(of_tasks.map(|(_, key)| ("tasks".to_owned(), key.clone())));
        let mut expected: BTreeMap<Place, (BTreeMap<String, String>, BTreeSet<String>)> = BTreeMap::new();
        for ((relation, key), state) in self.model.rows() {
            let table = self.schema.table(*relation).unwrap();
            let place = (table.name.clone(), key.clone());
            let values = named(table, &state.values().unwrap().iter().map(text).collect());
            let level = values.get("level").map(String::as_str);
            let admits = |shape: &&str| tables::table_of(shape) == table.name && tables::admits(shape, level);
            if shapes.iter().any(admits) && !unsure.contains(&place) {
                let tags = state.tags.iter().map(ToString::to_string).collect();
                expected.insert(place, (values, tags));
            }
        }
        let present = |row: &Values| {
            row.iter().filter_map(|(name, value)| Some((name.clone(), value.clone()?))).collect()
        };
        let rows = peer.local.rows.iter().filter(|(place, _)| !unsure.contains(place));
        let actual = rows.map(|(place, row)| {
            let tags = peer.local.tags.get(place).into_iter().flatten().cloned().collect();
            (place.clone(), (present(row), tags))
        });
        assert_eq!(actual.collect::<BTreeMap<_, _>>(), expected, "{}", peer.id);
    }
}

fn kind(op: Op) -> ClientOpKind {
    match op {
        Op::Insert => ClientOpKind::Insert,
        Op::Update => ClientOpKind::Update,
        Op::Delete => ClientOpKind::Delete,
        Op::Compensation => ClientOpKind::Compensation,
    }
}

/// How much happens before everything comes to rest.
const STEPS: usize = 300;

fn simulate(seed: u64, verifier: &Arc<auth::Verifier>) {
    Simulation::new(seed, verifier).run();
}

#[test]
fn everybody_ends_with_the_same_rows_and_tags() {
    for_all_seeds("simulate", 0..1_800, simulate);
}

/// It was to stand behind what a block before it had seen, there was no transaction up to there, and the stream was held before the next
/// one: for good.
#[test]
fn a_gone_batch_whose_place_lies_between_two_transactions_is_sent() {
    simulate(22_757, &verifier());
}

//! One session with a world to look at, a clock to set and a strict client at the other end.

use std::{borrow::Borrow, sync::Arc};

use auth::{AuthConfig, Verifier};
use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use change::{ClientLsn, Lsn, Snapshot, Xid};
use parking_lot::Mutex;
use protocol::{
    Request,
    wire::{
        SatAuthReq, SatInStartReplicationReq, SatInStopReplicationReq, SatOpLogAck, SatShapeDef, SatShapeReq,
        SatSubsReq, SatUnsubsReq,
    },
};
use schema::{Migration, Schema};
use session::{
    Admission, ClientUpdate, CloseCode, Delivery, Input, Now, Output, Session, SessionConfig, SnapshotId,
    StoredClient, Tracker, World,
};
use shapes::Plan;

use crate::{
    client::{Event, Parser},
    naive::TestTracker,
    tables,
};

pub const CLIENT: &str = "fcb57d30-95ce-4d75-b295-c08c7a1e75d8";
pub const USER: &str = "u1";
pub const WALL: u64 = 1_700_000_000_000;

/// A UUID with this number in it.
pub fn uuid(n: u64) -> String {
    format!("00000000-0000-4000-8000-{n:012x}")
}

/// An unsigned token with these claims.
pub fn token(claims: &str) -> String {
    let part = |json: &str| BASE64_URL_SAFE_NO_PAD.encode(json);
    format!("{}.{}.", part(r#"{"alg":"none"}"#), part(claims))
}

pub fn token_of(user: &str) -> String {
    token(&format!(r#"{{"sub":"{user}"}}"#))
}

pub fn verifier() -> Arc<Verifier> {
    let lookup = |name: &str| (name == "AUTH_MODE").then(|| "insecure".into());
    let (config, _) = AuthConfig::from_lookup(&lookup).expect("insecure mode needs no more");
    Arc::new(Verifier::new(config))
}

/// A world that a test can change.
pub struct TestWorld(Mutex<Facts>);

pub struct Facts {
    pub schema: Arc<Schema>,
    pub migrations: Vec<Arc<Migration>>,
    pub position: Lsn,
    pub history_start: Lsn,
    pub passed: Vec<(Xid, Lsn)>,
    /// Trackers that were asked for, with the position.
    pub trackers: Vec<(Lsn, Arc<TestTracker>)>,
}

impl TestWorld {
    pub fn new() -> Arc<TestWorld> {
        let facts = Facts {
            schema: tables::schema(),
            migrations: Vec::new(),
            position: Lsn(1_000),
            history_start: Lsn(100),
            passed: Vec::new(),
            trackers: Vec::new(),
        };
        Arc::new(TestWorld(Mutex::new(facts)))
    }

    pub fn set(&self, change: impl FnOnce(&mut Facts)) {
        change(&mut self.0.lock());
    }

    /// The tracker that was asked for last.
    pub fn tracker(&self) -> Arc<TestTracker> {
        self.0.lock().trackers.last().expect("one was asked for").1.clone()
    }
}

impl World for TestWorld {
    fn schema(&self) -> Arc<Schema> {
        self.0.lock().schema.clone()
    }

    fn migrations(&self) -> Arc<Vec<Arc<Migration>>> {
        Arc::new(self.0.lock().migrations.clone())
    }

    fn position(&self) -> Lsn {
        self.0.lock().position
    }

    fn history_start(&self) -> Lsn {
        self.0.lock().history_start
    }

    fn recently_passed(&self, xid: Xid) -> Option<Lsn> {
        self.0.lock().passed.iter().find(|(passed, _)| *passed == xid).map(|(_, lsn)| *lsn)
    }

    fn track(&self, plan: &Arc<Plan>, from: Lsn) -> Arc<dyn Tracker> {
        let tracker = TestTracker::new(plan);
        self.0.lock().trackers.push((from, tracker.clone()));
        tracker
    }
}

pub struct Harness {
    pub session: Session,
    pub world: Arc<TestWorld>,
    pub client: Parser,
    pub now: Now,
    /// Outputs that are no messages, and not answered by the harness itself.
    pub asked: Vec<Output>,
    pub closed: Option<(CloseCode, &'static str)>,
    pub stored: Vec<ClientUpdate>,
    /// Stores are answered at once.
    pub durable: bool,
    /// Probes are answered at once; otherwise not at all.
    pub answers_probes: bool,
    /// Messages sent to the client.
    pub sent: usize,
    requests: u32,
}

impl Harness {
    pub fn new() -> Harness {
        Harness::with(SessionConfig::default())
    }

    pub fn with(config: SessionConfig) -> Harness {
        let world = TestWorld::new();
        let now = Now { wall_ms: WALL, mono_ms: 1_000_000 };
        let session = Session::new(Arc::new(config), verifier(), world.clone(), now);
        Harness {
            session,
            world,
            client: Parser::new(),
            now,
            asked: Vec::new(),
            closed: None,
            stored: Vec::new(),
            durable: true,
            answers_probes: true,
            sent: 0,
            requests: 0,
        }
    }

    /// Authenticated and admitted.
    pub fn known() -> Harness {
        Harness::new().admit()
    }

    pub fn admit(self) -> Harness {
        self.admit_as(CLIENT)
    }

    pub fn admit_as(mut self, client: &str) -> Harness {
        self.authenticate(client, &token_of(USER));
        self.asked.clear();
        let events = self.input(Input::Admission(Admission::Admitted { acknowledged: None }));
        assert!(matches!(&events[..], [Event::Answer(..), Event::Request(..)]), "{events:?}");
        self
    }

    /// Streaming from scratch; the relations have been received.
    pub fn streaming() -> Harness {
        Harness::known().start()
    }

    pub fn start(mut self) -> Harness {
        let events = self.request(Request::StartReplication(SatInStartReplicationReq::default()));
        assert!(matches!(events.first(), Some(Event::Answer(..))), "{events:?}");
        self.asked.clear();
        self
    }

    /// Hands something in; returns what the client received, complete.
    pub fn input(&mut self, input: Input) -> Vec<Event> {
        let mut outputs = Vec::new();
        self.session.handle(input, self.now, &mut outputs);
        let mut events = Vec::new();
        let (mut stored, mut probes) = (Vec::new(), Vec::new());
        for output in outputs {
            assert!(self.closed.is_none(), "nothing follows a close: {output:?}");
            match output {
                Output::Send(message) => {
                    self.sent += 1;
                    events.extend(self.client.try_take(&message));
                }
                Output::SendAll(messages) => {
                    self.sent += messages.len();
                    events.extend(messages.iter().filter_map(|message| self.client.try_take(message)));
                }
                Output::Close { code, reason } => self.closed = Some((code, reason)),
                Output::Store { number, updates } => {
                    self.stored.extend(updates);
                    if self.durable {
                        stored.push(number);
                    } else {
                        self.asked.push(Output::Store { number, updates: Vec::new() });
                    }
                }
                Output::Probe(number) => probes.push(number),
                other => self.asked.push(other),
            }
        }
        for number in stored {
            events.extend(self.input(Input::Stored(number)));
        }
        if self.answers_probes {
            for number in probes {
                events.extend(self.input(Input::Probed(number)));
            }
        }
        events
    }

    /// Says that the database is no further than the stream, if that is asked.
    pub fn nothing_is_on_its_way(&mut self) -> Vec<Event> {
        match self.asked.pop() {
            Some(Output::QueryWalEnd) => {
                let end = self.world.position();
                self.input(Input::WalEnd(Ok(end)))
            }
            other => {
                self.asked.extend(other);
                Vec::new()
            }
        }
    }

    pub fn message(&mut self, message: Bytes) -> Vec<Event> {
        self.input(Input::Message(message))
    }

    pub fn request(&mut self, request: impl Borrow<Request>) -> Vec<Event> {
        self.requests += 1;
        self.message(request.borrow().encode(self.requests))
    }

    pub fn authenticate(&mut self, client: &str, token: &str) -> Vec<Event> {
        let body = SatAuthReq { id: client.to_owned(), token: token.to_owned(), headers: Vec::new() };
        self.request(Request::Authenticate(body))
    }

    pub fn stop(&mut self) -> Vec<Event> {
        self.request(Request::StopReplication(SatInStopReplicationReq {}))
    }

    /// Asks to go on after `lsn` with these subscriptions; what is stored is `stored`.
    pub fn resume(&mut self, lsn: u64, ids: &[String], stored: StoredClient) -> Vec<Event> {
        let body = SatInStartReplicationReq {
            lsn: Lsn(lsn).to_wire(),
            subscription_ids: ids.to_vec(),
            ..SatInStartReplicationReq::default()
        };
        self.resume_with(body, stored)
    }

    pub fn resume_with(&mut self, body: SatInStartReplicationReq, stored: StoredClient) -> Vec<Event> {
        let mut events = self.request(Request::StartReplication(body));
        if self.closed.is_none() {
            assert!(matches!(self.asked.pop(), Some(Output::LoadClient)));
            events.extend(self.input(Input::Client(Ok(stored))));
        }
        events
    }

    /// Asks for one shape per table.
    pub fn subscribe(&mut self, id: &str, tables: &[&str]) -> Vec<Event> {
        let request = subscription(id, tables);
        let requests = request.shape_requests.iter().map(|shape| shape.request_id.clone()).collect();
        self.client.asked.insert(id.to_owned(), requests);
        self.request(Request::Subscribe(request))
    }

    pub fn unsubscribe(&mut self, ids: &[&str]) -> Vec<Event> {
        let subscription_ids = ids.iter().map(|id| (*id).to_owned()).collect();
        self.request(Request::Unsubscribe(SatUnsubsReq { subscription_ids }))
    }

    /// The snapshot that was asked for last.
    pub fn snapshot(&mut self) -> SnapshotId {
        let at = self.asked.iter().rposition(|output| matches!(output, Output::OpenSnapshot { .. }));
        match at.map(|at| self.asked.remove(at)) {
            Some(Output::OpenSnapshot { id, .. }) => id,
            _ => panic!("no snapshot was asked for: {:?}", self.asked),
        }
    }

    /// Opens a snapshot that sees everything before `xmax`.
    pub fn open(&mut self, id: SnapshotId, xmax: u64, lsn: u64) -> Vec<Event> {
        let snapshot = Snapshot { xmin: Xid(xmax), xmax: Xid(xmax), in_progress: Vec::new() };
        self.input(Input::SnapshotOpened { id, snapshot, lsn: Lsn(lsn) })
    }

    pub fn done(&mut self, id: SnapshotId) -> Vec<Event> {
        self.input(Input::SnapshotDone { id })
    }

    /// Time passes; what is due happens.
    pub fn wait(&mut self, ms: u64) -> Vec<Event> {
        self.now = Now { wall_ms: self.now.wall_ms + ms, mono_ms: self.now.mono_ms + ms };
        self.input(Input::Tick)
    }

    /// Subscribed to tables without rows, the data received.
    pub fn with_subscription(mut self, id: &str, tables: &[&str]) -> Harness {
        self.subscribe(id, tables);
        let snapshot = self.snapshot();
        let lsn = self.session.cursor().map_or(1_000, |cursor| cursor.0);
        self.open(snapshot, 700, lsn);
        self.wait(30);
        let events = self.done(snapshot);
        assert!(matches!(&events[..], [Event::Data { .. }]), "{events:?}");
        self.asked.clear();
        self
    }

    pub fn stream(&mut self, deliveries: &[Arc<Delivery>]) -> Vec<Event> {
        let reached = deliveries.last().map_or(Lsn(0), |delivery| delivery.transaction.lsn);
        self.world.set(|facts| facts.position = facts.position.max(reached));
        self.input(Input::Stream { deliveries: deliveries.to_vec(), reached })
    }

    /// The stream is idle up to here.
    pub fn reach(&mut self, lsn: u64) -> Vec<Event> {
        self.world.set(|facts| facts.position = facts.position.max(Lsn(lsn)));
        self.input(Input::Stream { deliveries: Vec::new(), reached: Lsn(lsn) })
    }

    pub fn acknowledge(&mut self, id: u64, lsn: &str, gone: &[&str]) -> Vec<Event> {
        self.client.acknowledge(id);
        let ack = SatOpLogAck {
            ack_timestamp: self.now.wall_ms,
            lsn: Bytes::copy_from_slice(lsn.as_bytes()),
            transaction_id: id,
            gone_subscription_ids: gone.iter().map(|id| (*id).to_owned()).collect(),
            ..SatOpLogAck::default()
        };
        self.message(protocol::Message::OpLogAck(ack).encode())
    }
}

pub fn subscription(id: &str, tables: &[&str]) -> SatSubsReq {
    let shape = |(index, table): (usize, &&str)| SatShapeReq {
        request_id: format!("r{index}"),
        shape_definition: Some(SatShapeDef { selects: vec![tables::select(table)] }),
    };
    SatSubsReq {
        subscription_id: id.to_owned(),
        shape_requests: tables.iter().enumerate().map(shape).collect(),
    }
}

/// A stored subscription to these tables.
pub fn stored(id: &str, tables: &[&str], gone_at: Option<u64>) -> session::StoredSubscription {
    session::StoredSubscription {
        id: change::SubscriptionId::new(id),
        request: prost::Message::encode_to_vec(&subscription(id, tables)).into(),
        gone_at: gone_at.map(Lsn),
    }
}

pub fn client_lsn(n: u32) -> ClientLsn {
    ClientLsn::new(Bytes::copy_from_slice(&n.to_be_bytes())).unwrap()
}

//! Whatever comes in, in whatever order: no panic, nothing before identity, nothing after the end, whole blocks, a window
//! that is kept. The client at the other end is the strict one.

use std::{borrow::Borrow, sync::Arc};

use bytes::Bytes;
use change::{Lsn, Snapshot, Xid};
use proptest::prelude::*;
use protocol::{Message, Request, wire::*};
use session::{
    Admission, Delivery, Input, Output, PendingMigrations, Session, SessionConfig, SnapshotId, StoredClient,
    Unavailable, WriteOutcome,
};

use crate::{
    client::Parser,
    harness::{CLIENT, TestWorld, USER, WALL, client_lsn, stored, subscription, token_of, uuid, verifier},
    subscribing::rows,
    tables::{self, ITEMS, NOTES, OWNED, delivery, echo, insert},
    writing,
};

/// Something that happens to a session. Numbers choose among what is there.
#[derive(Clone, Debug)]
enum Happening {
    Authenticate { user: u8 },
    Admission(u8),
    Start { lsn: Option<u16>, listed: Vec<u8>, version: Option<u8> },
    Stop,
    Subscribe { id: u8, tables: Vec<u8> },
    Unsubscribe(Vec<u8>),
    Consent(u8),
    Write { lsn: u8, bad: bool },
    Acknowledge { index: u8, unknown: bool },
    Garbage(Vec<u8>),
    Client { listed: Vec<u8>, pending: bool, unavailable: bool },
    WalEnd(Option<u16>),
    Stream { count: u8, own: bool, migration: bool, idle: u8 },
    Opened { wrong: u8, xmax: u8, ahead: u8 },
    Frame { wrong: bool, read: u8 },
    Done { wrong: bool },
    Failed { any: u8 },
    Written { refused: bool },
    Stored(u8),
    Wait(u16),
    Other(u8),
}

fn happening() -> impl Strategy<Value = Happening> {
    let few = || proptest::collection::vec(0u8..5, 0..3);
    prop_oneof![
        1 => (0u8..4).prop_map(|user| Happening::Authenticate { user }),
        3 => (0u8..12).prop_map(Happening::Admission),
        3 => (proptest::option::of(0u16..2_000), few(), proptest::option::weighted(0.3, 1u8..4))
            .prop_map(|(lsn, listed, version)| Happening::Start { lsn, listed, version }),
        1 => Just(Happening::Stop),
        6 => (0u8..5, few()).prop_map(|(id, tables)| Happening::Subscribe { id, tables }),
        3 => few().prop_map(Happening::Unsubscribe),
        1 => (0u8..2).prop_map(Happening::Consent),
        2 => (0u8..9, proptest::bool::weighted(0.05)).prop_map(|(lsn, bad)| Happening::Write { lsn, bad }),
        4 => (0u8..30, proptest::bool::weighted(0.02)).prop_map(|(index, unknown)| Happening::Acknowledge { index, unknown }),
        1 => proptest::collection::vec(any::<u8>(), 0..6).prop_map(Happening::Garbage),
        4 => (few(), any::<bool>(), proptest::bool::weighted(0.05))
            .prop_map(|(listed, pending, unavailable)| Happening::Client { listed, pending, unavailable }),
        4 => proptest::option::weighted(0.9, 0u16..3_000).prop_map(Happening::WalEnd),
        10 => (0u8..6, any::<bool>(), proptest::bool::weighted(0.1), 0u8..50)
            .prop_map(|(count, own, migration, idle)| Happening::Stream { count, own, migration, idle }),
        8 => (0u8..6, 0u8..20, 0u8..60).prop_map(|(wrong, xmax, ahead)| Happening::Opened { wrong, xmax, ahead }),
        5 => (proptest::bool::weighted(0.1), 0u8..3).prop_map(|(wrong, read)| Happening::Frame { wrong, read }),
        8 => proptest::bool::weighted(0.1).prop_map(|wrong| Happening::Done { wrong }),
        1 => (0u8..4).prop_map(|any| Happening::Failed { any }),
        2 => proptest::bool::weighted(0.1).prop_map(|refused| Happening::Written { refused }),
        8 => (0u8..4).prop_map(Happening::Stored),
        6 => (0u16..200).prop_map(Happening::Wait),
        1 => (0u8..200).prop_map(Happening::Other),
    ]
}

struct Run {
    session: Session,
    world: Arc<TestWorld>,
    parser: Parser,
    now: session::Now,
    position: u64,
    xid: u64,
    admitted: bool,
    closed: bool,
    stores: Vec<u64>,
    opening: Vec<SnapshotId>,
    migrations: usize,
    schema: Arc<schema::Schema>,
    requests: u32,
}

const NAMES: [&str; 4] = ["items", "notes", "owned", "late"];

impl Run {
    fn new(window: u32) -> Run {
        let world = TestWorld::new();
        let now = session::Now { wall_ms: WALL, mono_ms: 5_000 };
        let config =
            SessionConfig { unacked_window: window, heartbeat_distance: 40, ..SessionConfig::default() };
        let session = Session::new(Arc::new(config), verifier(), world.clone(), now);
        Run {
            session,
            world,
            parser: Parser::new(),
            now,
            position: 1_000,
            xid: 800,
            admitted: false,
            closed: false,
            stores: Vec::new(),
            opening: Vec::new(),
            migrations: 0,
            schema: tables::schema(),
            requests: 0,
        }
    }

    fn hand(&mut self, input: Input) {
        // What waited behind an admission is handled with it, and may end the session in the same step: identity was there.
        let identified =
            self.session.is_authenticated() || matches!(input, Input::Admission(Admission::Admitted { .. }));
        let mut outputs = Vec::new();
        self.session.handle(input, self.now, &mut outputs);
        assert!(!self.closed || outputs.is_empty(), "nothing after the end");
        let closes = outputs.iter().any(|output| matches!(output, Output::Close { .. }));
        for output in &outputs {
            assert!(!self.closed, "the close is the last output");
            if !identified && !self.session.is_authenticated() {
                let harmless = matches!(
                    output,
                    Output::Admit { .. } | Output::Refused { .. } | Output::Close { .. } | Output::Ping
                );
                let farewell = matches!(output, Output::Send(message)
                    if closes && matches!(message[0], 0 | 22) || self.admitted);
                assert!(harmless || farewell, "before identity: {output:?}");
            }
            match output {
                Output::Send(message) => drop(self.parser.try_take(message)),
                Output::SendAll(messages) => {
                    messages.iter().for_each(|message| drop(self.parser.try_take(message)));
                }
                Output::Close { reason, .. } => {
                    assert!(reason.len() <= 123);
                    self.closed = true;
                }
                Output::Store { number, .. } => self.stores.push(*number),
                Output::OpenSnapshot { id, request } => {
                    assert!(!request.reads.is_empty());
                    self.opening.push(*id);
                }
                Output::DropSnapshot { id } => self.opening.retain(|open| open != id),
                _ => {}
            }
        }
        if let Some(deadline) = self.session.next_deadline() {
            assert!(deadline + 60_000 > self.now.mono_ms, "no deadline of long ago is left standing");
        }
        assert!(self.session.cursor().is_none() || self.session.is_authenticated());
    }

    fn request(&mut self, request: impl Borrow<Request>) {
        self.requests += 1;
        self.hand(Input::Message(request.borrow().encode(self.requests)));
    }

    fn ids(numbers: &[u8]) -> Vec<String> {
        numbers.iter().map(|n| if *n == 4 { "odd".to_owned() } else { uuid(u64::from(*n)) }).collect()
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Authenticate { user } => {
                let token =
                    if user == 3 { "rubbish".into() } else { token_of(if user == 2 { "x" } else { USER }) };
                let body = SatAuthReq { id: CLIENT.into(), token, headers: Vec::new() };
                self.request(Request::Authenticate(body));
            }
            Happening::Admission(kind) => {
                self.admitted |= kind > 1;
                self.hand(Input::Admission(match kind {
                    0 => Admission::OtherUser,
                    1 => Admission::NotNow,
                    n => Admission::Admitted { acknowledged: (n > 6).then(|| client_lsn(3)) },
                }));
            }
            Happening::Start { lsn, listed, version } => {
                let lsn = lsn.map(|lsn| Lsn(u64::from(lsn)).to_wire()).unwrap_or_default();
                let subscription_ids = Run::ids(&listed);
                let schema_version = version.map(|n| format!("20240102000000_{n:03}"));
                let body =
                    SatInStartReplicationReq { lsn, subscription_ids, schema_version, ..Default::default() };
                self.request(Request::StartReplication(body));
            }
            Happening::Stop => self.request(Request::StopReplication(SatInStopReplicationReq {})),
            Happening::Subscribe { id, tables } => {
                let id = Run::ids(&[id]).remove(0);
                let names: Vec<_> = tables.iter().map(|table| NAMES[usize::from(*table) % 4]).collect();
                let request = subscription(&id, &names);
                if !self.parser.asked.contains_key(&id) || !self.session.is_authenticated() {
                    let requests = request.shape_requests.iter().map(|shape| shape.request_id.clone());
                    self.parser.asked.insert(id, requests.collect());
                    self.request(Request::Subscribe(request));
                }
            }
            Happening::Unsubscribe(numbers) => {
                let subscription_ids = Run::ids(&numbers);
                self.request(Request::Unsubscribe(SatUnsubsReq { subscription_ids }));
            }
            Happening::Consent(id) => self.hand(Input::Message(writing::consent(u32::from(id)))),
            Happening::Write { lsn, bad } => {
                self.hand(Input::Message(writing::relation()));
                let values: &[&str] = if bad { &["1"] } else { &["1", "a"] };
                self.hand(Input::Message(writing::log(writing::insert(u32::from(lsn), 7, values))));
            }
            Happening::Acknowledge { index, unknown } => {
                let known =
                    self.parser.unacked.get(usize::from(index) % self.parser.unacked.len().max(1)).copied();
                let id = if unknown { 77 } else { known.unwrap_or(0) };
                if id != 0 && !unknown {
                    self.parser.acknowledge(id);
                }
                let ack =
                    SatOpLogAck { transaction_id: id, lsn: Bytes::from_static(b"900"), ..Default::default() };
                self.hand(Input::Message(Message::OpLogAck(ack).encode()));
            }
            Happening::Garbage(bytes) => self.hand(Input::Message(bytes.into())),
            Happening::Client { listed, pending, unavailable } => {
                let subscriptions = listed
                    .iter()
                    .map(|n| {
                        stored(&uuid(u64::from(*n)), &[NAMES[usize::from(*n) % 3]], (*n > 2).then_some(500))
                    })
                    .collect();
                let pending_migrations =
                    pending.then(|| PendingMigrations { last: Lsn(900), versions: vec!["a".into(); 3] });
                let client = StoredClient { subscriptions, pending_migrations, observed: Vec::new() };
                self.hand(Input::Client(if unavailable { Err(Unavailable) } else { Ok(client) }));
            }
            Happening::WalEnd(end) => {
                self.hand(Input::WalEnd(end.map(|end| Lsn(u64::from(end))).ok_or(Unavailable)));
            }
            Happening::Stream { count, own, migration, idle } => self.stream(count, own, migration, idle),
            Happening::Opened { wrong, xmax, ahead } => {
                let id = if wrong == 0 {
                    SnapshotId(99)
                } else {
                    self.opening.last().copied().unwrap_or(SnapshotId(0))
                };
                let xmax = Xid((self.xid + u64::from(xmax)).saturating_sub(3));
                let snapshot = Snapshot { xmin: xmax, xmax, in_progress: Vec::new() };
                let lsn = Lsn(self.position + u64::from(ahead));
                self.hand(Input::SnapshotOpened { id, snapshot, lsn });
            }
            Happening::Frame { wrong, read } => {
                let id = self.session.wants_snapshot_frames();
                match id {
                    Some(id) if !wrong => {
                        // Whether it takes rows or keys only the parser knows; an empty log fits both.
                        let frame = Message::OpLog((&SatOpLog::default()).into()).encode();
                        self.hand(Input::SnapshotFrame { id, read: usize::from(read), frame });
                    }
                    None if wrong => {
                        let frame = rows(tables::schema().table(ITEMS).unwrap(), &[&["1", "a"]]);
                        let id = self.opening.last().copied().unwrap_or(SnapshotId(7));
                        self.hand(Input::SnapshotFrame { id, read: 0, frame });
                    }
                    _ => {}
                }
            }
            Happening::Done { wrong } => {
                let wanted = self.session.wants_snapshot_frames().filter(|_| !wrong);
                let id = wanted.or(self.opening.last().copied()).unwrap_or(SnapshotId(3));
                if !wrong || self.session.wants_snapshot_frames() != Some(id) {
                    self.hand(Input::SnapshotDone { id });
                }
            }
            Happening::Failed { any } => {
                let id = self.opening.get(usize::from(any)).copied().unwrap_or(SnapshotId(2));
                self.hand(Input::SnapshotFailed { id, why: session::SnapshotFailure::Unavailable });
            }
            Happening::Written { refused: true } => {
                self.hand(Input::Written(WriteOutcome::Refused { message: "no".into() }));
            }
            Happening::Written { refused: false } => self.hand(Input::Written(WriteOutcome::Done)),
            Happening::Stored(index) => {
                let number = match self.stores.is_empty() {
                    true => u64::from(index),
                    false => self.stores.remove(usize::from(index) % self.stores.len()),
                };
                self.hand(Input::Stored(number));
            }
            Happening::Wait(ms) => {
                self.now.mono_ms += u64::from(ms);
                self.now.wall_ms += u64::from(ms);
                self.hand(Input::Alive);
                self.hand(Input::Tick);
            }
            Happening::Other(kind) => match kind {
                0 => self.hand(Input::Text),
                1 => self.hand(Input::Oversized),
                2 => self.hand(Input::StreamLost),
                3 => self.hand(Input::Replaced),
                4 => self.hand(Input::Shutdown),
                _ => self.hand(Input::Tick),
            },
        }
    }

    fn stream(&mut self, count: u8, own: bool, migration: bool, idle: u8) {
        let mut deliveries = Vec::new();
        for n in 0..count {
            self.position += 5;
            self.xid += 1;
            let table = [ITEMS, NOTES, OWNED][usize::from(n) % 3];
            let width = self.schema.table(table).unwrap().columns.len();
            let values: Vec<_> = ["1", USER, "a"].into_iter().chain(["b"; 9]).take(width).collect();
            let change = insert(table, &values);
            let next = if migration && n == 0 && self.migrations < 5 {
                self.migrations += 1;
                let migrate = if self.migrations == 2 { tables::creation } else { tables::migration };
                let (migration, schema) = migrate(self.migrations, &self.schema);
                self.schema = schema;
                let transaction = tables::transaction(self.position, self.xid, Vec::new());
                self.world.set(|facts| {
                    facts.schema = self.schema.clone();
                    facts.migrations.push(migration.clone());
                });
                Delivery::new(transaction, self.schema.clone(), Some(migration))
            } else if own {
                let echo = echo(self.position, self.xid, CLIENT, u64::from(n), vec![change]);
                Delivery::new(echo.transaction.clone(), self.schema.clone(), None)
            } else {
                let plain = delivery(self.position, self.xid, vec![change]);
                Delivery::new(plain.transaction.clone(), self.schema.clone(), None)
            };
            deliveries.push(Arc::new(next));
        }
        self.position += u64::from(idle);
        self.world.set(|facts| facts.position = Lsn(self.position));
        self.hand(Input::Stream { deliveries, reached: Lsn(self.position) });
    }
}

fn run(window: u32, happenings: Vec<Happening>) {
    let mut run = Run::new(window);
    happenings.into_iter().for_each(|happening| run.happen(happening));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, max_shrink_iters: 20_000, ..ProptestConfig::default() })]

    #[test]
    fn nothing_that_happens_breaks_a_connection_s_rules(
        window in 1u32..6,
        skip_greeting in proptest::bool::weighted(0.2),
        happenings in proptest::collection::vec(happening(), 1..80),
    ) {
        let greeting = [
            Happening::Authenticate { user: 0 },
            Happening::Admission(5),
            Happening::Start { lsn: None, listed: Vec::new(), version: None },
        ];
        let all = greeting.into_iter().filter(|_| !skip_greeting).chain(happenings).collect();
        run(window, all);
    }
}

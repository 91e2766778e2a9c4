//! A client with its sockets: it wants shapes, writes, pushes what it wrote, acknowledges, and comes back, as spec 02 §6 and
//! §11.5 say of the real one.

use std::{
    borrow::Borrow,
    collections::{BTreeSet, VecDeque},
    mem,
};

use bytes::Bytes;
use change::{ClientTransaction, Lsn};
use protocol::{Message, Request, wire::*};
use schema::Schema;
use session::{Now, StoredClient};

use super::{app, local::Local, tables, wire};
use crate::{
    client::{Event, Parser, decode},
    harness::{subscription, token_of, uuid},
    simulator::{connection::Connection, random::Random},
    writing,
};

/// A set of shapes that the app wants.
pub struct Want {
    pub tables: &'static [&'static str],
    /// Under which it was asked for last.
    id: Option<String>,
}

pub struct Peer {
    pub id: String,
    user: String,
    pub parser: Parser,
    pub local: Local,
    /// The socket that the client has.
    pub connection: Option<Connection>,
    /// Those that it has given up, and the service not yet.
    pub old: Vec<Connection>,
    /// Writes of connections that have ended, which the writer still has.
    pub late: VecDeque<VecDeque<ClientTransaction>>,
    pub stored: StoredClient,
    pub wants: Vec<Want>,
    cancelling: BTreeSet<String>,
    /// Milliseconds by which the device's clock is wrong.
    pub skew: i64,
    /// Entries of the oplog up to here were applied in a history that the client has not seen: their echoes never come (spec 05
    /// §9, 18).
    pub orphaned: u32,
    /// Entries up to here were cut before the client began anew. What the writer still had of them then may be orphaned, too.
    doubtful: u32,
    started: bool,
    /// How much of the oplog was sent on this connection, once the server has asked for it.
    pushed: Option<u32>,
    /// The server's request for it, while a request of the client is to be answered first.
    held_back: Option<(u32, Bytes)>,
    echoes_lost: bool,
    acks: Acks,
    requests: u32,
    subscriptions: u64,
}

/// What the client has received on this connection, and what of it was acknowledged (spec 02 §6.8).
#[derive(Default)]
struct Acks {
    transactions: usize,
    last: Option<u64>,
    acknowledged: Option<u64>,
    /// Blocks after the last transaction.
    data: Vec<String>,
    additional: Vec<u64>,
    gone: Vec<String>,
}

impl Peer {
    pub fn new(n: usize, schema: &Schema) -> Peer {
        let id = format!("client-{n}");
        Peer {
            user: format!("u{n}"),
            parser: Parser::new(),
            local: Local::new(&id, schema),
            id,
            connection: None,
            old: Vec::new(),
            late: VecDeque::new(),
            stored: StoredClient::default(),
            wants: Vec::new(),
            cancelling: BTreeSet::new(),
            skew: 0,
            orphaned: 0,
            doubtful: 0,
            started: false,
            pushed: None,
            held_back: None,
            echoes_lost: false,
            acks: Acks::default(),
            requests: 0,
            subscriptions: 0,
        }
    }

    /// What the device's clock says.
    pub fn clock(&self, now: Now) -> u64 {
        now.wall_ms.saturating_add_signed(self.skew)
    }

    /// A new socket.
    pub fn connect(&mut self, connection: Connection) {
        self.parser.connect();
        self.started = false;
        self.pushed = None;
        self.held_back = None;
        self.acks = Acks::default();
        if self.parser.lsn.is_none() {
            self.echoes_lost = true;
            let cut = self.local.oplog.iter().rfind(|entry| entry.ms.is_some());
            self.doubtful = cut.map_or(0, |entry| entry.rowid);
        }
        self.connection = Some(connection);
        // What was asked for and not delivered is asked for again under another id.
        for want in &mut self.wants {
            want.id.take_if(|id| !self.parser.delivered.contains(id));
        }
        let body = SatAuthReq { id: self.id.clone(), token: token_of(&self.user), headers: Vec::new() };
        self.ask(Request::Authenticate(body));
    }

    fn send(&mut self, message: Bytes) {
        if let Some(connection) = &mut self.connection {
            connection.to_server.push_back(message);
        }
    }

    fn ask(&mut self, request: impl Borrow<Request>) {
        self.requests += 1;
        self.send(request.borrow().encode(self.requests));
    }

    /// The app wants something new.
    pub fn want(&mut self, tables: &'static [&'static str]) {
        self.wants.push(Want { tables, id: None });
        self.subscribe_all();
    }

    /// The app no longer wants this. It waits until nothing that it wrote there is under way: rows that it wrote and does not
    /// want are nobody's business.
    pub fn give_up(&mut self, index: usize) {
        let tables: Vec<&str> =
            self.wants[index].tables.iter().map(|shape| tables::table_of(shape)).collect();
        if !self.local.is_quiet(&tables) {
            return;
        }
        if let Some(id) = self.wants.remove(index).id {
            self.cancelling.insert(id.clone());
            if self.started {
                self.ask(Request::Unsubscribe(SatUnsubsReq { subscription_ids: vec![id] }));
            }
        }
    }

    fn subscribe_all(&mut self) {
        if !self.started {
            return;
        }
        for index in 0..self.wants.len() {
            if self.wants[index].id.is_none() {
                self.subscriptions += 1;
                let number = self.id.bytes().last().map_or(0, u64::from) << 32 | self.subscriptions;
                let request = subscription(&uuid(number), self.wants[index].tables);
                let requests = request.shape_requests.iter().map(|shape| shape.request_id.clone()).collect();
                self.parser.asked.insert(uuid(number), requests);
                self.wants[index].id = Some(uuid(number));
                self.ask(Request::Subscribe(request));
            }
        }
    }

    fn is_delivered(&self, want: &Want) -> bool {
        want.id.as_ref().is_some_and(|id| self.parser.delivered.contains(id))
    }

    /// The shapes that the app has.
    pub fn shapes(&self) -> BTreeSet<&'static str> {
        let delivered = self.wants.iter().filter(|want| self.is_delivered(want));
        delivered.flat_map(|want| want.tables.iter().copied()).collect()
    }

    /// The app writes.
    pub fn write(&mut self, random: &mut Random) {
        let shapes = self.shapes();
        app::transaction(&mut self.local, &shapes, random);
    }

    /// Makes a transaction of what was written, and sends what was not sent.
    pub fn push(&mut self, now: Now, schema: &Schema) -> bool {
        let clock = self.clock(now);
        self.local.snapshot(clock);
        let Some(pushed) = self.pushed.filter(|_| self.connection.is_some()) else { return false };
        let outgoing = self.local.outgoing(pushed);
        for transaction in &outgoing {
            self.pushed = Some(transaction.position());
            self.send(wire::transaction(transaction, schema));
        }
        !outgoing.is_empty()
    }

    /// Takes the next message; whether there was one.
    pub fn receive(&mut self, now: Now, schema: &Schema, random: &mut Random) -> bool {
        let Some(message) = self.connection.as_mut().and_then(|connection| connection.to_client.pop_front())
        else {
            return false;
        };
        let before = self.position();
        match self.parser.try_take(&message) {
            None | Some(Event::Relation(_)) => {}
            Some(Event::Answer(method, _, body)) => self.answered(&method, &body, schema),
            Some(Event::Request(_, id, body)) if !self.started => self.held_back = Some((id, body)),
            Some(Event::Request(_, id, body)) => self.consent(id, &body, schema),
            Some(Event::Transaction(transaction)) => {
                // The service's own may bring back at its place what a gone batch took too much.
                let is_of_postgres = transaction.id & 1 << 62 == 0;
                assert!(self.position() > before || !is_of_postgres, "positions of transactions only grow");
                let clock = self.clock(now);
                let incoming = mem::take(&mut self.parser.incoming);
                self.local.receive(&transaction.origin, transaction.commit_ms, &incoming, clock);
                let transactions = self.acks.transactions + 1;
                self.acks = Acks { transactions, last: Some(transaction.id), ..mem::take(&mut self.acks) };
                self.acks.data.clear();
                self.acks.additional.clear();
                self.acks.gone.clear();
                if transactions >= self.parser.window * 7 / 10 || random.one_in(8) {
                    self.acknowledge(now);
                }
            }
            Some(Event::Data { id, .. }) => {
                self.local.fill(&mem::take(&mut self.parser.incoming));
                self.acks.data.push(id);
                self.acknowledge(now);
            }
            Some(Event::Additional { reference, .. }) => {
                self.local.fill(&mem::take(&mut self.parser.incoming));
                self.acks.additional.push(reference);
                self.acknowledge(now);
            }
            Some(Event::Gone { ids, .. }) => {
                self.local.lose(&mem::take(&mut self.parser.incoming));
                for id in &ids {
                    self.cancelling.remove(id);
                    assert!(self.wants.iter().all(|want| want.id.as_ref() != Some(id)), "{id} is wanted");
                }
                self.acks.gone.extend(ids);
                self.acknowledge(now);
            }
            Some(event @ (Event::Failure(..) | Event::Error(_))) => panic!("{event:?}"),
        }
        assert!(self.parser.lsn.is_none() || self.position() >= before, "positions never go back");
        self.check();
        true
    }

    /// What holds at any moment: nobody sees half a transaction, or an effect without its cause.
    pub fn check(&self) {
        let rows = &self.local.rows;
        let place = |table: &str, key: String| (table.to_owned(), key);
        for ((table, key), row) in rows {
            if let Some(name) = key.strip_suffix("-l").filter(|_| table == "pairs") {
                let other = rows.get(&place("pairs", format!("{name}-r")));
                let other = other.map(|row| &row["value"]);
                assert_eq!(other, Some(&row["value"]), "{}: {name} is one transaction's", self.id);
            }
            if key.ends_with("-r") && table == "pairs" {
                assert!(
                    rows.contains_key(&place("pairs", key.replace("-r", "-l"))),
                    "{}: half {key}",
                    self.id
                );
            }
        }
        if self.shapes().contains("events") {
            for ((_, key), row) in rows.iter().filter(|((table, _), _)| table == "events") {
                let has_needs =
                    row["needs"].clone().is_none_or(|needs| rows.contains_key(&place("events", needs)));
                assert!(has_needs, "{}: {key} is there before what it needs", self.id);
            }
        }
    }

    /// The server wants what was written after a position.
    fn consent(&mut self, id: u32, body: &Bytes, schema: &Schema) {
        self.send(writing::consent(id));
        let body: SatInStartReplicationReq = decode(body);
        let after = body.lsn.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        self.pushed = Some(after);
        if mem::take(&mut self.echoes_lost) {
            self.orphaned = self.orphaned.max(after);
        }
        for relation in wire::relations(schema) {
            self.send(relation);
        }
    }

    fn acknowledge(&mut self, now: Now) {
        let Some(id) = self.acks.last.filter(|id| self.acks.acknowledged != Some(*id)) else { return };
        self.acks.acknowledged = Some(id);
        self.parser.acknowledge(id);
        let ack = SatOpLogAck {
            ack_timestamp: now.wall_ms,
            lsn: Bytes::from(self.parser.lsn.clone().unwrap_or_default()),
            transaction_id: id,
            subscription_ids: self.acks.data.clone(),
            additional_data_source_ids: self.acks.additional.clone(),
            gone_subscription_ids: self.acks.gone.clone(),
        };
        self.send(Message::OpLogAck(ack).encode());
    }

    fn answered(&mut self, method: &str, body: &Bytes, schema: &Schema) {
        match method {
            "authenticate" => {
                let request = match &self.parser.lsn {
                    Some(lsn) => SatInStartReplicationReq {
                        lsn: Bytes::from(lsn.clone()),
                        subscription_ids: self.wants.iter().filter_map(|want| want.id.clone()).collect(),
                        observed_transaction_data: self.parser.seen.clone(),
                        ..Default::default()
                    },
                    None => SatInStartReplicationReq::default(),
                };
                self.ask(Request::StartReplication(request));
            }
            "startReplication" => {
                let body: SatInStartReplicationResp = decode(body);
                if let Some(error) = body.err {
                    assert_eq!(error.code, 1, "nothing but a lost history is a reason: {error:?}");
                    self.reset();
                    return;
                }
                self.started = true;
                if let Some((id, body)) = self.held_back.take() {
                    self.consent(id, &body, schema);
                }
                let ids: Vec<String> = self.cancelling.iter().cloned().collect();
                if !ids.is_empty() {
                    self.ask(Request::Unsubscribe(SatUnsubsReq { subscription_ids: ids }));
                }
                self.subscribe_all();
            }
            "subscribe" => {
                let body: SatSubsResp = decode(body);
                if let Some(error) = body.err {
                    assert_eq!(error.message, "Internal error while checking data availability");
                    for want in &mut self.wants {
                        want.id.take_if(|id| *id == body.subscription_id);
                    }
                    self.subscribe_all();
                }
            }
            _ => {}
        }
    }

    fn reset(&mut self) {
        self.parser.reset();
        self.local.reset();
        self.echoes_lost = true;
        self.cancelling.clear();
        self.wants.iter_mut().for_each(|want| want.id = None);
    }

    /// The client has all it wants, nobody owes it anything, and nothing that it wrote is under way. Of its oplog all up to `applied` has
    /// been applied.
    pub fn is_settled(&self, applied: u32) -> bool {
        let orphaned = self.orphaned.max(self.doubtful.min(applied));
        self.started
            && self.cancelling.is_empty()
            && self.old.is_empty()
            && self.late.is_empty()
            && self.wants.iter().all(|want| self.is_delivered(want))
            && self.local.oplog.iter().all(|entry| entry.rowid <= orphaned)
    }

    /// What it waits for.
    pub fn describe(&self) -> String {
        let wants: Vec<_> = self.wants.iter().map(|want| (want.tables, self.is_delivered(want))).collect();
        format!(
            "{}: started {}, wants {wants:?}, cancelling {:?}, {} entries from {:?} on, pushed {:?}, {} late, {}",
            self.id,
            self.started,
            self.cancelling,
            self.local.oplog.len(),
            self.local.oplog.first().map(|entry| entry.rowid),
            self.pushed,
            self.late.len(),
            self.connection.as_ref().map(Connection::describe).unwrap_or_default()
        )
    }

    /// The position that the client has stored.
    pub fn position(&self) -> Option<Lsn> {
        self.parser.lsn.as_ref().map(|lsn| Lsn::from_wire(lsn.as_bytes()).unwrap())
    }

    /// Something that it might want besides.
    pub fn any_want(random: &mut Random) -> &'static [&'static str] {
        tables::WANTS[random.below(tables::WANTS.len())]
    }
}

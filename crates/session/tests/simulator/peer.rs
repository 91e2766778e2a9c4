//! A client as spec 02 §11.5 and 05 §4 describe it: it wants tables, writes rows, acknowledges, and comes back.

use std::{borrow::Borrow, collections::BTreeSet};

use bytes::Bytes;
use change::Lsn;
use protocol::{Message, Request, wire::*};
use session::{Now, StoredClient};

use super::{connection::Connection, random::Random};
use crate::{
    client::{Event, Parser, decode},
    harness::{subscription, token_of, uuid},
    writing,
};

pub struct Peer {
    pub id: String,
    pub user: String,
    pub parser: Parser,
    pub connection: Option<Connection>,
    pub stored: StoredClient,
    /// What the app wants: tables, and the id under which they were asked for last.
    pub wants: Vec<(Vec<&'static str>, Option<String>)>,
    /// Unsubscribed, the gone batch not seen.
    pub cancelling: BTreeSet<String>,
    /// Written locally, the echo not seen: position, milliseconds, row, content (none for a deletion).
    pub unechoed: Vec<(u32, u64, String, Option<String>)>,
    pub started: bool,
    /// The schema that the app was built for.
    pub version: Option<String>,
    /// Writes are never sent before the client's own start is answered.
    pub is_patient: bool,
    /// What is refused because a table is not synced is not wanted any more.
    pub gives_up: bool,
    /// The server has asked for local writes on this connection.
    pushing: bool,
    /// The server's request for them, while a request of the client is to be answered first.
    held_back: Option<(u32, Bytes)>,
    /// The history that held some echoes is lost.
    echoes_lost: bool,
    next_position: u32,
    requests: u32,
    subscriptions: u64,
    received: usize,
    acknowledged: Option<u64>,
}

impl Peer {
    pub fn new(n: usize) -> Peer {
        Peer {
            id: format!("client-{n}"),
            user: format!("u{n}"),
            parser: Parser::new(),
            connection: None,
            stored: StoredClient::default(),
            wants: Vec::new(),
            cancelling: BTreeSet::new(),
            unechoed: Vec::new(),
            started: false,
            version: None,
            is_patient: false,
            gives_up: false,
            pushing: false,
            held_back: None,
            echoes_lost: false,
            next_position: 1,
            requests: 0,
            subscriptions: 0,
            received: 0,
            acknowledged: None,
        }
    }

    /// A new socket.
    pub fn connect(&mut self, connection: Connection) {
        self.parser.connect();
        self.started = false;
        self.pushing = false;
        self.held_back = None;
        self.received = 0;
        self.acknowledged = None;
        // A client without a position starts after whatever happened meanwhile (spec 02 §6.3.1).
        self.echoes_lost |= self.parser.lsn.is_none();
        self.connection = Some(connection);
        // What was asked for and not delivered is asked for again under another id.
        for (_, id) in &mut self.wants {
            if id.as_ref().is_some_and(|id| !self.parser.delivered.contains(id)) {
                *id = None;
            }
        }
        let body = SatAuthReq { id: self.id.clone(), token: token_of(&self.user), headers: Vec::new() };
        self.ask(Request::Authenticate(body));
    }

    /// Whether it shows if a write of the client's gets ahead of its own start.
    fn waits_for_start(&self) -> bool {
        self.version.is_some() || self.is_patient
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
    pub fn want(&mut self, tables: Vec<&'static str>) {
        self.wants.push((tables, None));
        self.subscribe_all();
    }

    /// The app no longer wants this.
    pub fn give_up(&mut self, index: usize) {
        let (_, id) = self.wants.remove(index);
        if let Some(id) = id {
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
            if self.wants[index].1.is_none() {
                self.subscriptions += 1;
                let number = self.id.bytes().last().map_or(0, u64::from) << 32 | self.subscriptions;
                let request = subscription(&uuid(number), &self.wants[index].0);
                let requests = request.shape_requests.iter().map(|shape| shape.request_id.clone()).collect();
                self.parser.asked.insert(uuid(number), requests);
                self.wants[index].1 = Some(uuid(number));
                self.ask(Request::Subscribe(request));
            }
        }
    }

    /// The app writes a row of `items`.
    pub fn write(&mut self, random: &mut Random) {
        let (position, key) = (self.next_position, random.below(6).to_string());
        self.next_position += 1;
        let content = (!random.one_in(4)).then(|| format!("{}-{position}", self.id));
        self.unechoed.push((position, 1_600_000_000_000 + u64::from(position), key, content));
        if self.pushing {
            self.push(position - 1);
        }
    }

    /// Sends local writes after this position.
    fn push(&mut self, after: u32) {
        let mut messages = vec![writing::relation()];
        for (position, ms, key, content) in self.unechoed.iter().filter(|(position, ..)| *position > after) {
            let ops = match content {
                Some(content) => writing::insert(*position, *ms, &[key, content]),
                None => {
                    let delete = SatOpDelete { old_row_data: writing::row(&[key, ""]), ..Default::default() };
                    let mut ops = writing::insert(*position, *ms, &[key, ""]);
                    ops[1] = writing::op(sat_trans_op::Op::Delete(delete));
                    ops
                }
            };
            messages.push(writing::log(ops));
        }
        messages.into_iter().for_each(|message| self.send(message));
    }

    /// Takes the next message; whether there was one.
    pub fn receive(&mut self, now: Now, random: &mut Random) -> bool {
        let Some(message) = self.connection.as_mut().and_then(|connection| connection.to_client.pop_front())
        else {
            return false;
        };
        match self.parser.try_take(&message) {
            None | Some(Event::Relation(_)) => {}
            Some(Event::Answer(method, _, body)) => self.answered(&method, &body),
            // Clients hold it back until their own request is answered (spec 02 §5.3); otherwise what they write meanwhile
            // could be in the log before the position that they start at. Only a start that has to wait shows that.
            Some(Event::Request(_, id, body)) if self.waits_for_start() && !self.started => {
                self.held_back = Some((id, body));
            }
            Some(Event::Request(_, id, body)) => self.consent(id, &body),
            Some(Event::Transaction(transaction)) => {
                if transaction.origin == self.id {
                    self.unechoed.retain(|(_, ms, ..)| *ms != transaction.commit_ms);
                }
                self.received += 1;
                if self.received >= self.parser.window * 7 / 10 || random.one_in(3) {
                    self.acknowledge(transaction.id, now);
                }
            }
            Some(Event::Gone { ids, .. }) => {
                for id in ids {
                    self.cancelling.remove(&id);
                    for (_, wanted) in &mut self.wants {
                        if *wanted == Some(id.clone()) {
                            // The server ended what this connection had not named.
                            panic!("{id} is wanted, and gone");
                        }
                    }
                }
            }
            Some(Event::Data { .. } | Event::Additional { .. }) => {}
            Some(event @ (Event::Failure(..) | Event::Error(_))) => panic!("{event:?}"),
        }
        true
    }

    /// The server wants what was written.
    fn consent(&mut self, id: u32, body: &Bytes) {
        self.send(writing::consent(id));
        let body: SatInStartReplicationReq = decode(body);
        let after = body.lsn.iter().fold(0, |n, byte| n << 8 | u32::from(*byte));
        self.pushing = true;
        if std::mem::take(&mut self.echoes_lost) {
            self.unechoed.retain(|(position, ..)| *position > after);
        }
        self.push(after);
    }

    fn acknowledge(&mut self, id: u64, now: Now) {
        if self.acknowledged == Some(id) {
            return;
        }
        self.acknowledged = Some(id);
        self.parser.acknowledge(id);
        let ack = SatOpLogAck {
            ack_timestamp: now.wall_ms,
            lsn: Bytes::from(self.parser.lsn.clone().unwrap_or_default()),
            transaction_id: id,
            ..Default::default()
        };
        self.send(Message::OpLogAck(ack).encode());
    }

    fn answered(&mut self, method: &str, body: &Bytes) {
        match method {
            "authenticate" => {
                let request = match &self.parser.lsn {
                    Some(lsn) => {
                        let ids = self.wants.iter().filter_map(|(_, id)| id.clone());
                        SatInStartReplicationReq {
                            lsn: Bytes::from(lsn.clone()),
                            subscription_ids: ids.collect(),
                            observed_transaction_data: self.parser.seen.clone(),
                            ..Default::default()
                        }
                    }
                    None => SatInStartReplicationReq {
                        schema_version: self.version.clone(),
                        ..Default::default()
                    },
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
                    self.consent(id, &body);
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
                    if self.gives_up && !error.shape_request_error.is_empty() {
                        self.wants.retain(|(_, id)| *id != Some(body.subscription_id.clone()));
                        return;
                    }
                    assert_eq!(error.message, "Internal error while checking data availability");
                    for (_, id) in &mut self.wants {
                        if *id == Some(body.subscription_id.clone()) {
                            *id = None;
                        }
                    }
                    self.subscribe_all();
                }
            }
            _ => {}
        }
    }

    /// Everything is thrown away but the id and what was written.
    fn reset(&mut self) {
        self.parser.reset();
        self.echoes_lost = true;
        self.cancelling.clear();
        self.wants.iter_mut().for_each(|(_, id)| *id = None);
    }

    /// The position that the client has stored.
    pub fn position(&self) -> Option<Lsn> {
        self.parser.lsn.as_ref().map(|lsn| Lsn::from_wire(lsn.as_bytes()).unwrap())
    }
}

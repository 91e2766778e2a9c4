//! A client that says what it sees.

use std::collections::BTreeSet;

use bytes::Bytes;
use protocol::wire::{SatOpBegin, SatShapeReq, sat_subs_resp::SatSubsError};
use testkit::{
    Satellite,
    satellite::{Op, Received, Resume, Select, Started, unsigned_token},
};

use super::{
    Rig,
    notation::{Event, id, name, subscription_id, with_ids},
};

/// The number under which a viewer announces the table `beacon`.
const BEACON: u32 = 7;

/// A client of the scripted kind, with a memory of which rows it has.
pub struct Viewer<'a> {
    rig: &'a Rig,
    /// The connection, if there is one.
    connection: Option<Satellite>,
    /// Where it would resume.
    position: Option<Bytes>,
    client: String,
    user: String,
    /// How many transactions of its own it has sent.
    writes: u32,
    /// The names of the rows that it has.
    rows: BTreeSet<String>,
    /// The last transaction that it saw.
    pub last: Option<SatOpBegin>,
}

impl<'a> Viewer<'a> {
    /// Connects a new client.
    pub async fn connect(rig: &'a Rig, client: String, user: &str) -> Viewer<'a> {
        let satellite = Satellite::open(rig.port, &client, &unsigned_token(user)).await.unwrap();
        Viewer {
            rig,
            connection: Some(satellite),
            position: None,
            client,
            user: user.into(),
            writes: 0,
            rows: BTreeSet::new(),
            last: None,
        }
    }

    /// The connection.
    pub fn satellite(&mut self) -> &mut Satellite {
        self.connection.as_mut().expect("a connected client")
    }

    /// Asks for a shape.
    pub async fn sub(&mut self, name: &str, select: Select) {
        self.sub_many(name, vec![select.map_filters(&with_ids).request("r1")]).await;
    }

    /// Asks for several.
    pub async fn sub_many(&mut self, name: &str, requests: Vec<SatShapeReq>) {
        let error = self.ask(&subscription_id(name), requests).await;
        assert_eq!(error, None, "the subscription {name} was refused");
    }

    /// Asks for shapes; the answer is the refusal, if it is one.
    pub async fn ask(&mut self, subscription: &str, requests: Vec<SatShapeReq>) -> Option<SatSubsError> {
        self.satellite().request_shapes(subscription, requests).await.unwrap().err
    }

    /// Asks for a shape and gets these rows.
    pub async fn gets(&mut self, name: &str, select: Select, rows: &str) {
        self.sub(name, select).await;
        let inserts: Vec<_> =
            rows.split(", ").filter(|row| !row.is_empty()).map(|row| format!("I {row}")).collect();
        self.sees(&format!("DATA {name}[{}]", inserts.join(", "))).await;
    }

    /// Ends subscriptions, named `A` or `A+B`.
    pub async fn unsub(&mut self, names: &str) {
        let ids: Vec<_> = names.split('+').map(subscription_id).collect();
        let ids: Vec<_> = ids.iter().map(String::as_str).collect();
        self.satellite().unsubscribe(&ids).await.unwrap();
    }

    /// On this SQL, sees that.
    pub async fn on(&mut self, sql: &str, events: &str) {
        self.rig.sql(sql).await;
        self.sees(events).await;
    }

    /// Sees these events next, separated by semicolons; `—` is that nothing comes of all that was committed before.
    pub async fn sees(&mut self, events: &str) {
        for expected in events.split(';').map(str::trim) {
            if expected == "—" {
                let timestamp = self.light_beacon().await;
                let got = self.next().await;
                let is_echo = self.is_echo(&got, timestamp);
                assert!(is_echo, "nothing was expected, came {}", Event::of(&got, &Event::parse("[]")));
                continue;
            }
            let (expected, may_announce) = match expected.strip_suffix(" ?R") {
                Some(expected) => (Event::parse(expected), true),
                None => (Event::parse(expected), false),
            };
            let got = self.next().await;
            let mut got = Event::of(&got, &expected);
            if may_announce && got.announces() {
                let none = Event::parse("ADD[]");
                let additional = Event::of(&self.next().await, &none);
                assert!(additional.is(&none), "none was expected, came {additional}, of {events}");
                got.kind = expected.kind.clone();
            }
            assert!(got.is(&expected), "\nexpected {expected}\n     got {got}\n      of {events}");
        }
    }

    /// Once everything committed before has come, whatever it was, has exactly these rows.
    pub async fn settles(&mut self, rows: &str) {
        let timestamp = self.light_beacon().await;
        loop {
            let got = self.next().await;
            if self.is_echo(&got, timestamp) {
                break;
            }
        }
        self.has(rows);
    }

    /// Once so many blocks of initial data and gone batches, and everything committed before, have come, has exactly these rows.
    pub async fn settles_after(&mut self, mut blocks: u32, rows: &str) {
        while blocks > 0 {
            blocks -= u32::from(matches!(self.next().await, Received::Data { .. } | Received::Gone { .. }));
        }
        self.settles(rows).await;
    }

    /// Sees the echo of a transaction of its own that it saw before it resumed from an earlier position.
    pub async fn sees_echo_again(&mut self) {
        let timestamp = self.timestamp();
        let got = self.next().await;
        assert!(
            self.is_echo(&got, timestamp),
            "an echo was expected, came {}",
            Event::of(&got, &Event::parse("[]"))
        );
    }

    /// The name that it signs in with.
    pub fn client(&self) -> &str {
        &self.client
    }

    /// Sees one event, of whatever kind.
    pub async fn sees_something(&mut self) {
        self.next().await;
    }

    /// Has exactly these rows.
    pub fn has(&self, rows: &str) {
        let mut wanted: Vec<_> = rows.split(", ").filter(|row| !row.is_empty()).collect();
        wanted.sort_unstable();
        assert_eq!(self.rows.iter().map(String::as_str).collect::<Vec<_>>(), wanted);
    }

    /// How many rows it has.
    pub fn count(&self) -> usize {
        self.rows.len()
    }

    /// The next event but for the schema's.
    pub async fn next(&mut self) -> Received {
        loop {
            let received = self.satellite().next().await;
            let received = received.unwrap_or_else(|error| panic!("{}: {error:#}", self.client));
            self.apply(&received);
            match &received {
                Received::Transaction { ops, .. } if matches!(ops.as_slice(), [Op::Migrate(_), ..]) => {}
                _ => return received,
            }
        }
    }

    fn apply(&mut self, received: &Received) {
        let ops: Vec<&Op> = match received {
            Received::Transaction { begin, ops } => {
                self.last = Some(begin.clone());
                ops.iter().collect()
            }
            Received::Data { shapes, .. } => shapes.iter().flat_map(|shape| &shape.ops).collect(),
            Received::Additional { ops, .. } | Received::Gone { ops, .. } => ops.iter().collect(),
        };
        for op in ops {
            let Some((_, row)) = op.row() else { continue };
            match op {
                Op::Insert { .. } | Op::Update { .. } => self.rows.insert(name(row)),
                _ => self.rows.remove(&name(row)),
            };
        }
    }

    /// Writes a row that no shape has: its empty echo comes after everything committed before (V11).
    async fn light_beacon(&mut self) -> u64 {
        self.writes += 1;
        let (position, timestamp) = (self.writes, self.timestamp());
        let id = id(&format!("b{}{:04}", self.client.trim_start_matches("viewer-"), self.writes));
        let row = [Some(id.as_bytes()), Some(b"lit".as_slice())];
        self.satellite().announce(BEACON, "beacon", &["id", "note"]).await.unwrap();
        self.satellite()
            .write_at(position, timestamp, vec![Satellite::insert(BEACON, &row, &[])])
            .await
            .unwrap();
        timestamp
    }

    /// That of its last transaction.
    fn timestamp(&self) -> u64 {
        1_700_000_000_000 + u64::from(self.writes)
    }

    fn is_echo(&self, received: &Received, timestamp: u64) -> bool {
        matches!(received, Received::Transaction { begin, ops }
            if begin.origin.as_deref() == Some(&self.client) && begin.commit_timestamp == timestamp && ops.is_empty())
    }

    /// Where it would resume.
    pub fn position(&self) -> Option<Bytes> {
        self.connection.as_ref().map_or(&self.position, |connection| &connection.lsn).clone()
    }

    /// What it would say to resume with these subscriptions, `A+B`, from where it is.
    pub fn resume(&self, names: &str) -> Resume {
        let subscriptions = names.split('+').filter(|name| !name.is_empty()).map(subscription_id).collect();
        Resume { lsn: self.position(), subscriptions, ..Default::default() }
    }

    /// Disconnects.
    pub async fn leaves(&mut self) {
        self.position = self.position();
        if let Some(connection) = self.connection.take() {
            connection.close().await;
        }
    }

    /// Disconnects and resumes from where it is.
    pub async fn reconnects(&mut self, names: &str) {
        let resume = self.resume(names);
        self.reconnects_with(&resume).await;
    }

    /// Disconnects and resumes.
    pub async fn reconnects_with(&mut self, resume: &Resume) {
        let started = self.tries_with(resume).await;
        assert_eq!(started.err, None, "startReplication was refused");
    }

    /// Disconnects and tries to resume; a refusal is in the answer.
    pub async fn tries_with(&mut self, resume: &Resume) -> Started {
        self.leaves().await;
        let token = unsigned_token(&self.user);
        let again = Satellite::sign_in(self.rig.port, &self.client, &token).await.unwrap();
        self.connection.insert(again).start_from(resume).await.unwrap()
    }

    /// Forgets what it has, as a client does that starts from scratch.
    pub async fn forgets(&mut self) {
        self.leaves().await;
        self.position = None;
        self.rows.clear();
    }
}

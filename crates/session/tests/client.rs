//! A client's parser that forgives nothing: every rule of spec 02 §14 that can be seen in the messages is checked, and what
//! was received is kept as rows.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};

use bytes::Bytes;
use protocol::{
    Message,
    wire::{SatErrorResp, SatOpLog, SatOpRow, SatRelation, sat_rpc_response, sat_trans_op::Op},
};

/// A row as the client keeps it: values by column name. Its key is the first column, `id`.
pub type Values = BTreeMap<String, Option<String>>;

/// A row that arrived, or what became of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Incoming {
    pub kind: Kind,
    pub table: String,
    pub key: String,
    /// The row before it, of updates and deletes.
    pub old: Values,
    /// The row after it, of inserts and updates.
    pub new: Values,
    pub tags: Vec<String>,
}

/// What became of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Insert,
    Update,
    Delete,
    Gone,
}

impl Incoming {
    fn insert((table, new): (String, Values), tags: &[String]) -> Incoming {
        let (key, tags) = (key(&new), tags.to_vec());
        Incoming { kind: Kind::Insert, table, key, old: Values::new(), new, tags }
    }

    fn leaving(kind: Kind, (table, old): (String, Values)) -> Incoming {
        Incoming { kind, table, key: key(&old), old, new: Values::new(), tags: Vec::new() }
    }

    fn place(&self) -> (String, String) {
        (self.table.clone(), self.key.clone())
    }
}

/// What arrived, beyond what changes rows.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// The successful answer to a request, with its body.
    Answer(String, u32, Bytes),
    /// A failed one.
    Failure(String, u32, SatErrorResp),
    /// A request of the server, with its body.
    Request(String, u32, Bytes),
    Relation(String),
    Transaction(Transaction),
    /// Additional data of the transaction with this id.
    Additional {
        reference: u64,
        rows: Vec<String>,
    },
    Data {
        id: String,
        lsn: String,
        rows: usize,
    },
    Gone {
        ids: Vec<String>,
        lsn: String,
        keys: usize,
    },
    Error(SatErrorResp),
}

#[derive(Clone, Debug, PartialEq)]
pub struct Transaction {
    pub id: u64,
    pub lsn: String,
    pub origin: String,
    pub commit_ms: u64,
    pub is_migration: bool,
    pub versions: Vec<String>,
    pub changes: Vec<String>,
    /// The reference of the additional data it announces, or 0.
    pub reference: u64,
}

/// A block that has been begun.
#[derive(Debug)]
enum Block {
    Data { id: String, lsn: String, open: Option<String>, done: Vec<String>, rows: Vec<Incoming> },
    Gone { ids: Vec<String>, lsn: String, keys: Vec<Incoming> },
}

/// The parser of one client, over many connections; [`Parser::connect`] begins each.
#[derive(Debug, Default)]
pub struct Parser {
    pub rows: BTreeMap<(String, String), Values>,
    pub lsn: Option<String>,
    /// Requests of each subscription that was asked for, by id.
    pub asked: HashMap<String, BTreeSet<String>>,
    /// Delivered and not gone.
    pub delivered: BTreeSet<String>,
    /// Sent and not acknowledged on this connection.
    pub unacked: VecDeque<u64>,
    pub window: usize,
    /// Ids of subscriptions answered well on this connection.
    replied: HashSet<String>,
    versions: BTreeSet<String>,
    columns: BTreeMap<String, Vec<String>>,
    relations: HashMap<u32, SatRelation>,
    started: bool,
    open: Option<(Transaction, Vec<Op>)>,
    block: Option<Block>,
    last_transaction: Option<u64>,
    server_starts: usize,
    /// Additional data announced on this connection and not received.
    owed: Vec<u64>,
    /// Additional data seen after the last transaction.
    pub seen: Vec<u64>,
    additional: Option<(u64, Vec<Incoming>)>,
    /// The rows of what was complete last.
    pub incoming: Vec<Incoming>,
}

impl Parser {
    pub fn new() -> Parser {
        Parser { window: 30, ..Parser::default() }
    }

    /// A new connection: what belongs to the old one is forgotten.
    pub fn connect(&mut self) {
        self.unacked.clear();
        self.replied.clear();
        self.relations.clear();
        self.started = false;
        self.open = None;
        self.block = None;
        self.last_transaction = None;
        self.server_starts = 0;
        self.owed.clear();
        self.additional = None;
    }

    /// A reset (spec 02 §10.1).
    pub fn reset(&mut self) {
        self.rows.clear();
        self.lsn = None;
        self.delivered.clear();
        self.connect();
    }

    /// Everything up to `id` is acknowledged.
    pub fn acknowledge(&mut self, id: u64) {
        while let Some(front) = self.unacked.pop_front() {
            if front == id {
                return;
            }
        }
    }

    /// Takes one message.
    pub fn take(&mut self, message: &Bytes) -> Event {
        self.try_take(message).expect("a message that is complete by itself")
    }

    /// Takes one message; `None` while it is part of something larger.
    pub fn try_take(&mut self, message: &Bytes) -> Option<Event> {
        let message = Message::decode(message.clone()).expect("servers send well-formed messages");
        if self.open.is_some() || self.additional.is_some() || !self.owed.is_empty() {
            // Rows that are read from the database take their time, as those of a subscription do; here those that leave.
            let leaves = |(_, ops): &(Transaction, Vec<Op>)| ops.iter().all(|op| matches!(op, Op::Gone(_)));
            let is_long = self.open.as_ref().is_none_or(leaves) && self.owed.is_empty();
            assert!(
                matches!(message, Message::OpLog(_) | Message::Relation(_))
                    || is_long && matches!(message, Message::RpcResponse(_) | Message::RpcRequest(_)),
                "{} in the middle of a transaction, or before its additional data",
                message.name()
            );
        }
        match message {
            Message::RpcResponse(response) => {
                Some(match response.result.expect("a response has a body or an error") {
                    sat_rpc_response::Result::Message(body) => {
                        if response.method == "startReplication" {
                            let body: protocol::wire::SatInStartReplicationResp = decode(&body);
                            assert!(self.block.is_none(), "a block is finished first");
                            self.started = body.err.is_none();
                            self.relations.clear();
                            self.unacked.clear();
                            self.last_transaction = None;
                            self.replied.clear();
                            if let Some(window) = body.unacked_window_size {
                                self.window = window as usize;
                            }
                        }
                        if response.method == "subscribe" {
                            let body: protocol::wire::SatSubsResp = decode(&body);
                            match body.err {
                                None => drop(self.replied.insert(body.subscription_id)),
                                Some(error) => {
                                    assert_ne!(error.code, 0, "code 0 kills clients that are connecting");
                                }
                            }
                        }
                        Event::Answer(response.method, response.request_id, body)
                    }
                    sat_rpc_response::Result::Error(error) => {
                        Event::Failure(response.method, response.request_id, error)
                    }
                })
            }
            Message::RpcRequest(request) => {
                assert_eq!(request.method, "startReplication", "nothing else is asked of clients");
                self.server_starts += 1;
                assert_eq!(self.server_starts, 1, "asked once per connection");
                Some(Event::Request(request.method, request.request_id, request.message))
            }
            Message::Relation(relation) => {
                assert!(self.started, "relations only after the reply to startReplication");
                assert!(self.block.is_none(), "relations come before a block");
                assert_eq!(relation.schema_name, "public");
                assert!(relation.columns.iter().any(|column| column.primary_key), "keys are flagged");
                self.columns.insert(
                    relation.table_name.clone(),
                    relation.columns.iter().map(|column| column.name.clone()).collect(),
                );
                let name = relation.table_name.clone();
                self.relations.insert(relation.relation_id, relation);
                Some(Event::Relation(name))
            }
            Message::OpLog(log) => {
                assert!(self.started, "data only after the reply to startReplication");
                let log: SatOpLog = log.decode().expect("a well-formed log");
                assert!(log.ops.len() <= 100, "at most 100 operations per message");
                if self.block.is_some() {
                    self.block_ops(log);
                    return None;
                }
                self.ops(log)
            }
            Message::SubsDataBegin(begin) => {
                assert!(self.started && self.block.is_none(), "blocks don't overlap");
                assert!(!begin.lsn.is_empty(), "a position");
                let id = begin.subscription_id;
                assert!(self.asked.contains_key(&id), "{id} was not asked for");
                assert!(
                    self.replied.contains(&id),
                    "data of {id} before its reply, or on another connection"
                );
                assert!(!self.delivered.contains(&id), "{id} twice");
                let (open, done, rows) = (None, Vec::new(), Vec::new());
                self.block = Some(Block::Data { id, lsn: text(&begin.lsn), open, done, rows });
                None
            }
            Message::ShapeDataBegin(begin) => {
                let Some(Block::Data { open, done, .. }) = &mut self.block else { panic!("outside a block") };
                assert!(open.is_none() && !done.contains(&begin.request_id), "each request once");
                *open = Some(begin.request_id);
                None
            }
            Message::ShapeDataEnd(_) => {
                let Some(Block::Data { open, done, .. }) = &mut self.block else { panic!("outside a block") };
                done.push(open.take().expect("begun before"));
                None
            }
            Message::SubsDataEnd(_) => {
                let Some(Block::Data { id, lsn, open, done, rows }) = self.block.take() else {
                    panic!("outside a block")
                };
                assert!(open.is_none(), "all pairs closed");
                assert_eq!(
                    done.iter().cloned().collect::<BTreeSet<_>>(),
                    self.asked[&id],
                    "each request once"
                );
                let count = rows.len();
                self.ignore_or_insert(rows);
                self.delivered.insert(id.clone());
                self.lsn = Some(lsn.clone());
                Some(Event::Data { id, lsn, rows: count })
            }
            Message::UnsubsDataBegin(begin) => {
                assert!(self.started && self.block.is_none(), "blocks don't overlap");
                assert!(!begin.lsn.is_empty(), "a position");
                self.block = Some(Block::Gone {
                    ids: begin.subscription_ids,
                    lsn: text(&begin.lsn),
                    keys: Vec::new(),
                });
                None
            }
            Message::UnsubsDataEnd(_) => {
                let Some(Block::Gone { ids, lsn, keys }) = self.block.take() else {
                    panic!("outside a block")
                };
                for gone in &keys {
                    self.rows.remove(&gone.place());
                }
                for id in &ids {
                    self.delivered.remove(id);
                }
                self.lsn = Some(lsn.clone());
                self.incoming = keys;
                Some(Event::Gone { ids, lsn, keys: self.incoming.len() })
            }
            Message::Error(error) => Some(Event::Error(error)),
            other => panic!("{} is not for clients", other.name()),
        }
    }

    fn block_ops(&mut self, log: SatOpLog) {
        for op in log.ops {
            let op = op.op.expect("an operation");
            match (&op, self.block.as_ref()) {
                (Op::Insert(insert), Some(Block::Data { open, .. })) => {
                    assert!(open.is_some(), "rows only inside a shape's pair");
                    assert!(!insert.tags.is_empty(), "a live row has tags");
                    let row = self.row(insert.relation_id, insert.row_data.as_ref());
                    let row = Incoming::insert(row, &insert.tags);
                    if let Some(Block::Data { rows, .. }) = &mut self.block {
                        rows.push(row);
                    }
                }
                (Op::Gone(gone), Some(Block::Gone { .. })) => {
                    let row = self.row(gone.relation_id, gone.pk_data.as_ref());
                    let entry = Incoming::leaving(Kind::Gone, row);
                    if let Some(Block::Gone { keys, .. }) = &mut self.block {
                        keys.push(entry);
                    }
                }
                _ => panic!("an operation that can't stand in this block"),
            }
        }
    }

    fn ops(&mut self, log: SatOpLog) -> Option<Event> {
        let mut complete = None;
        for op in log.ops {
            assert!(complete.is_none(), "one transaction per sequence");
            match op.op.expect("an operation") {
                Op::AdditionalBegin(begin) => {
                    assert!(self.open.is_none() && self.additional.is_none(), "blocks don't nest");
                    self.additional = Some((begin.r#ref, Vec::new()));
                }
                Op::Insert(insert) if self.additional.is_some() => {
                    assert!(!insert.tags.is_empty(), "a live row has tags");
                    let row = self.row(insert.relation_id, insert.row_data.as_ref());
                    let row = Incoming::insert(row, &insert.tags);
                    self.additional.as_mut().expect("begun before").1.push(row);
                }
                Op::AdditionalCommit(commit) => {
                    let (reference, rows) = self.additional.take().expect("begun before");
                    assert_eq!(commit.r#ref, reference);
                    self.owed.retain(|owed| *owed != reference);
                    self.seen.push(reference);
                    let names = rows.iter().map(|row| format!("{} {}", row.table, row.key)).collect();
                    self.ignore_or_insert(rows);
                    complete = Some(Event::Additional { reference, rows: names });
                }
                Op::Begin(begin) => {
                    assert!(self.open.is_none() && self.additional.is_none(), "transactions don't nest");
                    assert!(self.owed.is_empty(), "additional data follows its transaction directly");
                    let id = begin.transaction_id.expect("every transaction has an id");
                    assert_ne!(id, 0);
                    assert_ne!(Some(id), self.last_transaction, "consecutive ids differ");
                    assert!(!begin.lsn.is_empty(), "every transaction has a position");
                    self.last_transaction = Some(id);
                    self.unacked.push_back(id);
                    assert!(self.unacked.len() <= self.window, "the window is never exceeded");
                    let transaction = Transaction {
                        id,
                        lsn: text(&begin.lsn),
                        origin: begin.origin.expect("an origin"),
                        commit_ms: begin.commit_timestamp,
                        is_migration: begin.is_migration,
                        versions: Vec::new(),
                        changes: Vec::new(),
                        reference: begin.additional_data_ref,
                    };
                    if transaction.reference != 0 {
                        assert_eq!(transaction.reference, id, "the transaction's own id");
                        self.owed.push(id);
                    }
                    self.seen.clear();
                    self.open = Some((transaction, Vec::new()));
                }
                Op::Commit(commit) => {
                    let (transaction, ops) = self.open.take().expect("begun before");
                    assert_eq!(text(&commit.lsn), transaction.lsn);
                    assert_eq!(commit.additional_data_ref, transaction.reference);
                    complete = Some(Event::Transaction(self.apply(transaction, ops)));
                }
                op => self.open.as_mut().expect("begun before").1.push(op),
            }
        }
        complete
    }

    /// INSERT OR IGNORE.
    fn ignore_or_insert(&mut self, rows: Vec<Incoming>) {
        for row in &rows {
            self.rows.entry(row.place()).or_insert_with(|| row.new.clone());
        }
        self.incoming = rows;
    }

    fn apply(&mut self, mut transaction: Transaction, ops: Vec<Op>) -> Transaction {
        self.incoming.clear();
        for op in &ops {
            if let Op::Migrate(migrate) = op {
                assert!(transaction.is_migration);
                transaction.versions.push(migrate.version.clone());
            }
        }
        transaction.versions.dedup();
        assert!(transaction.versions.len() <= 1, "one version per transaction");
        assert_eq!(transaction.is_migration, !transaction.versions.is_empty());
        let mut is_new = false;
        if let Some(version) = transaction.versions.first() {
            is_new = self.versions.insert(version.clone());
            let has_data = ops.iter().any(|op| !matches!(op, Op::Migrate(_)));
            assert!(is_new || !has_data, "data under a version that the client has is lost");
        }
        for op in ops {
            let change = match &op {
                Op::Insert(op) => {
                    assert!(!op.tags.is_empty());
                    Incoming::insert(self.row(op.relation_id, op.row_data.as_ref()), &op.tags)
                }
                Op::Update(op) => {
                    assert!(!op.tags.is_empty());
                    let (_, old) = self.row(op.relation_id, op.old_row_data.as_ref());
                    let new = self.row(op.relation_id, op.row_data.as_ref());
                    Incoming { kind: Kind::Update, old, ..Incoming::insert(new, &op.tags) }
                }
                Op::Delete(op) => {
                    assert!(op.tags.is_empty());
                    Incoming::leaving(Kind::Delete, self.row(op.relation_id, op.old_row_data.as_ref()))
                }
                Op::Gone(op) => Incoming::leaving(Kind::Gone, self.row(op.relation_id, op.pk_data.as_ref())),
                Op::Migrate(migrate) => {
                    if is_new {
                        migrate.stmts.iter().for_each(|statement| self.execute(&statement.sql));
                    }
                    continue;
                }
                _ => panic!("an operation that can't stand in a transaction"),
            };
            let kind = match change.kind {
                Kind::Insert => "insert",
                Kind::Update => "update",
                Kind::Delete => "delete",
                Kind::Gone => "gone",
            };
            match change.kind {
                Kind::Insert | Kind::Update => drop(self.rows.insert(change.place(), change.new.clone())),
                Kind::Delete | Kind::Gone => drop(self.rows.remove(&change.place())),
            }
            transaction.changes.push(format!("{kind} {} {}", change.table, change.key));
            self.incoming.push(change);
        }
        self.lsn = Some(transaction.lsn.clone());
        transaction
    }

    /// Of DDL, only what loses rows.
    fn execute(&mut self, sql: &str) {
        if let Some(rest) = sql.strip_prefix("DROP TABLE IF EXISTS \"") {
            let name = rest.split('"').next().expect("a name").to_owned();
            self.rows.retain(|(table, _), _| *table != name);
        }
    }

    fn row(&self, relation: u32, row: Option<&SatOpRow>) -> (String, Values) {
        let relation = self.relations.get(&relation).expect("announced on this connection");
        let row = row.expect("a row");
        assert_eq!(row.values.len(), relation.columns.len(), "as many values as columns");
        assert_eq!(row.nulls_bitmask.len(), relation.columns.len().div_ceil(8));
        let value = |(index, value): (usize, &Bytes)| {
            let null = row.nulls_bitmask[index / 8] & (0x80 >> (index % 8)) != 0;
            (!null).then(|| text(value))
        };
        let names = relation.columns.iter().map(|column| column.name.clone());
        let values = names.zip(row.values.iter().enumerate().map(value)).collect();
        (relation.table_name.clone(), values)
    }
}

fn key(values: &Values) -> String {
    values["id"].clone().expect("keys are never NULL")
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).expect("text")
}

pub fn decode<M: prost::Message + Default>(body: &Bytes) -> M {
    M::decode(body.clone()).expect("a well-formed body")
}

//! A client's side of a session.

use std::{
    collections::{HashMap, VecDeque},
    time::{SystemTime, UNIX_EPOCH},
};

use anyhow::{Context, Result, bail, ensure};
use bytes::Bytes;
use prost::Message as _;
use protocol::{
    Message, Method, Request,
    wire::{
        SatAuthReq, SatInStartReplicationReq, SatInStartReplicationResp, SatOpBegin, SatOpCommit,
        SatOpInsert, SatOpLog, SatOpLogAck, SatOpRow, SatRelation, SatRelationColumn, SatRpcRequest,
        SatShapeDef, SatShapeReq, SatSubsReq, SatSubsResp, SatTransOp, SatUnsubsReq, sat_rpc_response,
        sat_shape_def, sat_trans_op,
    },
};

use super::{
    Closed, Incoming, Socket,
    rows::{Op, Received, named},
};

/// After this many transactions on a connection every further one is acknowledged (spec 02 §6.8).
const ACK_BOUNDARY: u32 = 21;

/// A signed-in client.
pub struct Satellite {
    socket: Socket,
    /// The position it would resume from.
    pub lsn: Option<Bytes>,
    /// The position after which the service asked it to send its own transactions.
    pub asked_from: Option<Bytes>,
    relations: HashMap<u32, SatRelation>,
    next_request: u32,
    transactions: u32,
    next_write: u32,
    ready: VecDeque<Received>,
    open: Open,
}

/// The answer to `startReplication`.
pub type Started = SatInStartReplicationResp;

/// What is being received.
enum Open {
    Nothing,
    Transaction { begin: SatOpBegin, ops: Vec<Op> },
    Data { subscription: String, lsn: Bytes, ops: Vec<Op> },
    Gone { subscriptions: Vec<String>, lsn: Bytes, ops: Vec<Op> },
}

impl Satellite {
    /// Connects and signs in; nothing streams yet.
    ///
    /// # Errors
    /// If the service refuses; its message is in the text.
    pub async fn sign_in(port: u16, client: &str, token: &str) -> Result<Satellite> {
        let socket = Socket::connect(port).await?;
        let mut this = Satellite {
            socket,
            lsn: None,
            asked_from: None,
            relations: HashMap::new(),
            next_request: 1,
            transactions: 0,
            next_write: 1,
            ready: VecDeque::new(),
            open: Open::Nothing,
        };
        let request = SatAuthReq { id: client.into(), token: token.into(), headers: vec![] };
        this.call(Request::Authenticate(request)).await?;
        Ok(this)
    }

    /// Asks for the stream, from the stored position if there is one.
    ///
    /// # Errors
    /// If the service refuses or is silent.
    pub async fn start(&mut self, subscriptions: &[String]) -> Result<Started> {
        let request = SatInStartReplicationReq {
            lsn: self.lsn.clone().unwrap_or_default(),
            subscription_ids: subscriptions.to_vec(),
            ..Default::default()
        };
        let body = self.call(Request::StartReplication(request)).await?;
        let response = SatInStartReplicationResp::decode(body)?;
        self.relations.clear();
        if let Some(err) = &response.err {
            bail!("startReplication was refused: {} {}", err.code, err.message);
        }
        Ok(response)
    }

    /// Connects, signs in and asks for the stream.
    ///
    /// # Errors
    /// If any of it fails.
    pub async fn open(port: u16, client: &str, token: &str) -> Result<Satellite> {
        let mut this = Satellite::sign_in(port, client, token).await?;
        this.start(&[]).await?;
        Ok(this)
    }

    /// Subscribes to whole tables, one request each; the data comes later, from [`Satellite::next`].
    ///
    /// # Errors
    /// If the service refuses.
    pub async fn subscribe(&mut self, subscription: &str, tables: &[&str]) -> Result<()> {
        let shape = |table: &str| {
            let select = sat_shape_def::Select { tablename: table.into(), ..Default::default() };
            SatShapeReq {
                request_id: format!("{table}-request"),
                shape_definition: Some(SatShapeDef { selects: vec![select] }),
            }
        };
        let shape_requests = tables.iter().map(|table| shape(table)).collect();
        let request = SatSubsReq { subscription_id: subscription.into(), shape_requests };
        let response = SatSubsResp::decode(self.call(Request::Subscribe(request)).await?)?;
        ensure!(response.subscription_id == subscription, "another subscription was answered");
        match response.err {
            Some(err) => bail!("subscribe was refused: {} {:?}", err.message, err.shape_request_error),
            None => Ok(()),
        }
    }

    /// Ends subscriptions; the gone batch comes later, from [`Satellite::next`].
    ///
    /// # Errors
    /// If the service does not answer.
    pub async fn unsubscribe(&mut self, subscriptions: &[&str]) -> Result<()> {
        let subscription_ids = subscriptions.iter().map(ToString::to_string).collect();
        self.call(Request::Unsubscribe(SatUnsubsReq { subscription_ids })).await.map(drop)
    }

    /// Makes a request and waits for its answer; what else comes meanwhile is kept.
    ///
    /// # Errors
    /// If the answer is an error, or none comes.
    pub async fn call(&mut self, request: Request) -> Result<Bytes> {
        let number = self.next_request;
        self.next_request += 1;
        let method = request.method();
        self.socket.send_bytes(request.encode(number)).await?;
        loop {
            let response = match self.incoming().await? {
                Message::RpcResponse(response) => response,
                other => {
                    self.take(other).await?;
                    continue;
                }
            };
            if (response.request_id, response.method.as_str()) != (number, method.as_str()) {
                bail!("an answer to {} {} came instead", response.method, response.request_id);
            }
            return match response.result {
                Some(sat_rpc_response::Result::Message(body)) => Ok(body),
                Some(sat_rpc_response::Result::Error(error)) => {
                    bail!("{method} failed: {:?} {:?}", error.error_type(), error.message)
                }
                None => bail!("the answer to {method} has no body"),
            };
        }
    }

    async fn incoming(&mut self) -> Result<Message> {
        match self.socket.receive().await? {
            Incoming::Message(message) => Ok(message),
            Incoming::Closed(closed) => bail!("the service closed: {closed:?}"),
        }
    }

    /// The next whole thing that the client would apply. Transactions are acknowledged as the real client does.
    ///
    /// # Errors
    /// If nothing comes for twenty seconds, the service closes, or breaks a rule that the real client insists on.
    pub async fn next(&mut self) -> Result<Received> {
        loop {
            if let Some(received) = self.ready.pop_front() {
                return Ok(received);
            }
            let message = self.incoming().await?;
            self.take(message).await?;
        }
    }

    /// The next transaction; data and gone batches before it are passed over.
    ///
    /// # Errors
    /// As [`Satellite::next`].
    pub async fn next_transaction(&mut self) -> Result<(SatOpBegin, Vec<Op>)> {
        loop {
            if let Received::Transaction { begin, ops } = self.next().await? {
                return Ok((begin, ops));
            }
        }
    }

    /// The data of a subscription; transactions before it are passed over.
    ///
    /// # Errors
    /// As [`Satellite::next`].
    pub async fn data_of(&mut self, wanted: &str) -> Result<Vec<Op>> {
        loop {
            match self.next().await? {
                Received::Data { subscription, ops, .. } if subscription == wanted => return Ok(ops),
                _ => {}
            }
        }
    }

    /// Takes a message in, checking what the real client checks (spec 02 §14).
    async fn take(&mut self, message: Message) -> Result<()> {
        match message {
            Message::RpcRequest(request) => self.answer(&request).await?,
            Message::Relation(relation) => {
                self.relations.insert(relation.relation_id, relation);
            }
            Message::OpLog(log) => {
                for op in log.decode()?.ops {
                    self.op(op.op.context("an empty operation")?).await?;
                }
            }
            Message::SubsDataBegin(begin) => {
                ensure!(matches!(self.open, Open::Nothing), "data begins inside something else");
                ensure!(!begin.lsn.is_empty(), "data without a position");
                self.open = Open::Data { subscription: begin.subscription_id, lsn: begin.lsn, ops: vec![] };
            }
            Message::ShapeDataBegin(_) | Message::ShapeDataEnd(_) => {
                ensure!(matches!(self.open, Open::Data { .. }), "shape data outside of a subscription's");
            }
            Message::SubsDataEnd(_) => match std::mem::replace(&mut self.open, Open::Nothing) {
                Open::Data { subscription, lsn, ops } => {
                    self.lsn = Some(lsn.clone());
                    self.ready.push_back(Received::Data { subscription, lsn, ops });
                }
                _ => bail!("data ends that never began"),
            },
            Message::UnsubsDataBegin(begin) => {
                ensure!(matches!(self.open, Open::Nothing), "a gone batch begins inside something else");
                self.open = Open::Gone { subscriptions: begin.subscription_ids, lsn: begin.lsn, ops: vec![] };
            }
            Message::UnsubsDataEnd(_) => match std::mem::replace(&mut self.open, Open::Nothing) {
                Open::Gone { subscriptions, lsn, ops } => {
                    self.lsn = Some(lsn.clone());
                    self.ready.push_back(Received::Gone { subscriptions, lsn, ops });
                }
                _ => bail!("a gone batch ends that never began"),
            },
            Message::Error(error) => bail!("the service said {:?}: {:?}", error.error_type(), error.message),
            other => bail!("an unexpected {}", other.name()),
        }
        Ok(())
    }

    /// Answers a request of the service's.
    async fn answer(&mut self, request: &SatRpcRequest) -> Result<()> {
        ensure!(request.method == Method::StartReplication.as_str(), "the service called {}", request.method);
        self.asked_from = Some(SatInStartReplicationReq::decode(request.message.clone())?.lsn);
        let answer = protocol::response(request, &SatInStartReplicationResp::default());
        self.socket.send_bytes(answer).await
    }

    async fn op(&mut self, op: sat_trans_op::Op) -> Result<()> {
        use sat_trans_op::Op as Wire;
        let op = match op {
            Wire::Begin(begin) => {
                ensure!(matches!(self.open, Open::Nothing), "a transaction begins inside something else");
                ensure!(
                    !begin.lsn.is_empty() && begin.transaction_id.is_some(),
                    "begin lacks its position or id"
                );
                self.open = Open::Transaction { begin, ops: vec![] };
                return Ok(());
            }
            Wire::Commit(_) => return self.commit().await,
            Wire::Insert(op) => {
                let relation = self.relation(op.relation_id)?;
                Op::Insert {
                    table: relation.table_name.clone(),
                    new: named(relation, op.row_data)?,
                    tags: op.tags,
                }
            }
            Wire::Update(op) => {
                let relation = self.relation(op.relation_id)?;
                let old = op.old_row_data.map(|row| named(relation, Some(row))).transpose()?;
                Op::Update {
                    table: relation.table_name.clone(),
                    old,
                    new: named(relation, op.row_data)?,
                    tags: op.tags,
                }
            }
            Wire::Delete(op) => {
                let relation = self.relation(op.relation_id)?;
                Op::Delete {
                    table: relation.table_name.clone(),
                    old: named(relation, op.old_row_data)?,
                    tags: op.tags,
                }
            }
            Wire::Gone(op) => {
                let relation = self.relation(op.relation_id)?;
                Op::Gone { table: relation.table_name.clone(), key: named(relation, op.pk_data)? }
            }
            Wire::Migrate(op) => Op::Migrate(op),
            other => bail!("an unexpected operation {other:?}"),
        };
        match &mut self.open {
            Open::Transaction { ops, .. } => ops.push(op),
            Open::Data { ops, .. } => {
                ensure!(matches!(op, Op::Insert { .. }), "data holds something else than inserts");
                ops.push(op);
            }
            Open::Gone { ops, .. } => {
                ensure!(matches!(op, Op::Gone { .. }), "a gone batch holds something else");
                ops.push(op);
            }
            Open::Nothing => bail!("an operation outside of everything"),
        }
        Ok(())
    }

    async fn commit(&mut self) -> Result<()> {
        let Open::Transaction { begin, ops } = std::mem::replace(&mut self.open, Open::Nothing) else {
            bail!("a commit without a begin");
        };
        self.lsn = Some(begin.lsn.clone());
        self.transactions += 1;
        if self.transactions >= ACK_BOUNDARY {
            self.ack(&begin).await?;
        }
        self.ready.push_back(Received::Transaction { begin, ops });
        Ok(())
    }

    /// Acknowledges a transaction now.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn ack(&mut self, begin: &SatOpBegin) -> Result<()> {
        let ack = SatOpLogAck {
            ack_timestamp: now_ms(),
            lsn: begin.lsn.clone(),
            transaction_id: begin.transaction_id.unwrap_or_default(),
            ..Default::default()
        };
        self.socket.send(&Message::OpLogAck(ack)).await
    }

    fn relation(&self, id: u32) -> Result<&SatRelation> {
        self.relations.get(&id).with_context(|| format!("relation {id} was not announced"))
    }

    /// Announces a table as the client knows it, under a number of the client's own.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn announce(&mut self, relation_id: u32, table: &str, columns: &[&str]) -> Result<()> {
        let column = |name: &&str| SatRelationColumn {
            name: name.to_string(),
            is_nullable: true,
            ..Default::default()
        };
        let relation = SatRelation {
            schema_name: "public".into(),
            table_name: table.into(),
            relation_id,
            columns: columns.iter().map(column).collect(),
            ..Default::default()
        };
        self.socket.send(&Message::Relation(relation)).await
    }

    /// Sends a transaction of the client's own, under the next position of its log, and returns its timestamp.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn write(&mut self, ops: Vec<sat_trans_op::Op>) -> Result<u64> {
        let timestamp = now_ms();
        self.write_at(self.next_write, timestamp, ops).await?;
        Ok(timestamp)
    }

    /// Sends a transaction under a position and a timestamp of the caller's choice.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn write_at(
        &mut self,
        position: u32,
        timestamp: u64,
        ops: Vec<sat_trans_op::Op>,
    ) -> Result<()> {
        self.next_write = position + 1;
        let begin = SatOpBegin {
            commit_timestamp: timestamp,
            lsn: Bytes::copy_from_slice(&position.to_be_bytes()),
            ..Default::default()
        };
        let all = [sat_trans_op::Op::Begin(begin)].into_iter().chain(ops);
        let all = all.chain([sat_trans_op::Op::Commit(SatOpCommit::default())]);
        let log = SatOpLog { ops: all.map(|op| SatTransOp { op: Some(op) }).collect() };
        let frame = [&[9], log.encode_to_vec().as_slice()].concat();
        self.socket.send_bytes(frame.into()).await
    }

    /// An insert for [`Satellite::write`].
    #[must_use]
    pub fn insert(relation_id: u32, values: &[Option<&[u8]>], tags: &[String]) -> sat_trans_op::Op {
        let row = wire_row(values);
        sat_trans_op::Op::Insert(SatOpInsert { relation_id, row_data: Some(row), tags: tags.to_vec() })
    }

    /// How the service ends the connection; what else comes before is passed over, but for errors, which are returned.
    ///
    /// # Errors
    /// If it does not end within twenty seconds of the last message.
    pub async fn closed(&mut self) -> Result<(Vec<Message>, Closed)> {
        let mut errors = Vec::new();
        loop {
            match self.socket.receive().await? {
                Incoming::Message(message @ Message::Error(_)) => errors.push(message),
                Incoming::Message(_) => {}
                Incoming::Closed(closed) => return Ok((errors, closed)),
            }
        }
    }

    /// The socket, to send what no well-behaved client would.
    pub fn socket(&mut self) -> &mut Socket {
        &mut self.socket
    }

    /// Disconnects.
    pub async fn close(self) {
        self.socket.close().await;
    }
}

/// A row for the wire.
#[must_use]
pub fn wire_row(values: &[Option<&[u8]>]) -> SatOpRow {
    let mut mask = vec![0u8; values.len().div_ceil(8)];
    for (i, value) in values.iter().enumerate() {
        if value.is_none() {
            mask[i / 8] |= 0x80 >> (i % 8);
        }
    }
    let values = values.iter().map(|value| value.map(Bytes::copy_from_slice).unwrap_or_default()).collect();
    SatOpRow { nulls_bitmask: mask.into(), values }
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_millis() as u64)
}

//! A client's side of a session.

use std::collections::VecDeque;

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use prost::Message as _;
use protocol::{
    Message, Method, Request,
    wire::{
        SatAuthReq, SatInStartReplicationReq, SatInStartReplicationResp, SatOpBegin, SatOpLogAck,
        SatRpcRequest, SatShapeReq, SatSubsReq, SatSubsResp, SatUnsubsReq, sat_rpc_response,
    },
};

use super::{
    Closed, Incoming, Select, Socket,
    inbox::Inbox,
    rows::{Op, Received},
    writing::now_ms,
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
    inbox: Inbox,
    ready: VecDeque<Received>,
    next_request: u32,
    transactions: u32,
    pub(super) next_write: u32,
}

/// The answer to `startReplication`.
pub type Started = SatInStartReplicationResp;

/// Where a client wants to go on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resume {
    /// Its position; `None` on its first connection.
    pub lsn: Option<Bytes>,
    /// The schema that it was built for, on its first connection.
    pub schema_version: Option<String>,
    /// Subscriptions that go on.
    pub subscriptions: Vec<String>,
    /// Transactions whose additional data it has.
    pub observed_additional: Vec<u64>,
    /// Subscriptions whose gone batch it has.
    pub observed_gone: Vec<String>,
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
            inbox: Inbox::default(),
            ready: VecDeque::new(),
            next_request: 1,
            transactions: 0,
            next_write: 1,
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
        let resume =
            Resume { lsn: self.lsn.clone(), subscriptions: subscriptions.to_vec(), ..Default::default() };
        let response = self.start_from(&resume).await?;
        match &response.err {
            Some(err) => bail!("startReplication was refused: {} {}", err.code, err.message),
            None => Ok(response),
        }
    }

    /// Asks for the stream; a refusal is in the answer.
    ///
    /// # Errors
    /// If the service is silent.
    pub async fn start_from(&mut self, resume: &Resume) -> Result<Started> {
        let request = SatInStartReplicationReq {
            lsn: resume.lsn.clone().unwrap_or_default(),
            schema_version: resume.schema_version.clone(),
            subscription_ids: resume.subscriptions.clone(),
            observed_transaction_data: resume.observed_additional.clone(),
            observed_gone_batch: resume.observed_gone.clone(),
            ..Default::default()
        };
        let body = self.call(Request::StartReplication(request)).await?;
        self.lsn = resume.lsn.clone();
        self.inbox.start();
        Ok(SatInStartReplicationResp::decode(body)?)
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
        let request = |table: &&str| Select::from(table).request(format!("{table}-request"));
        let requests = tables.iter().map(request).collect();
        match self.request_shapes(subscription, requests).await?.err {
            Some(err) => bail!("subscribe was refused: {} {:?}", err.message, err.shape_request_error),
            None => Ok(()),
        }
    }

    /// Subscribes to any shapes; a refusal is in the answer. The data comes later, from [`Satellite::next`].
    ///
    /// # Errors
    /// If the service does not answer, or answers another.
    pub async fn request_shapes(
        &mut self,
        subscription: &str,
        shape_requests: Vec<SatShapeReq>,
    ) -> Result<SatSubsResp> {
        let ids = shape_requests.iter().map(|request| request.request_id.clone()).collect();
        let request = SatSubsReq { subscription_id: subscription.into(), shape_requests };
        let response = SatSubsResp::decode(self.call(Request::Subscribe(request)).await?)?;
        ensure!(response.subscription_id == subscription, "another subscription was answered");
        if response.err.is_none() {
            self.inbox.expect_data(subscription, ids);
        }
        Ok(response)
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
                Received::Data { subscription, shapes, .. } if subscription == wanted => {
                    return Ok(shapes.into_iter().flat_map(|shape| shape.ops).collect());
                }
                _ => {}
            }
        }
    }

    /// Takes a message in and does what the real client does about it.
    async fn take(&mut self, message: Message) -> Result<()> {
        if let Message::RpcRequest(request) = message {
            return self.answer(&request).await;
        }
        for received in self.inbox.take(message)? {
            match &received {
                Received::Transaction { begin, .. } => {
                    self.lsn = Some(begin.lsn.clone());
                    self.transactions += 1;
                    if self.transactions >= ACK_BOUNDARY {
                        self.ack(begin).await?;
                    }
                }
                Received::Data { lsn, .. } | Received::Gone { lsn, .. } => self.lsn = Some(lsn.clone()),
                Received::Additional { .. } => {}
            }
            self.ready.push_back(received);
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

    /// Acknowledges a transaction now.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn ack(&mut self, begin: &SatOpBegin) -> Result<()> {
        let transaction_id = begin.transaction_id.unwrap_or_default();
        let ack = SatOpLogAck { lsn: begin.lsn.clone(), transaction_id, ..Default::default() };
        self.acknowledge(ack).await
    }

    /// Sends an acknowledgement with the present time.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn acknowledge(&mut self, ack: SatOpLogAck) -> Result<()> {
        self.socket.send(&Message::OpLogAck(SatOpLogAck { ack_timestamp: now_ms(), ..ack })).await
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

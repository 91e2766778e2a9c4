//! A connection whose client is known: both directions of replication, and its requests in order.

use std::{collections::VecDeque, sync::Arc};

use auth::{Identity, Verifier};
use bytes::Bytes;
use change::{ClientId, ClientLsn, Lsn, SubscriptionId, UserId};
use protocol::{
    Message, Method, Request, error_response, response,
    wire::{
        SatErrorResp, SatInStopReplicationResp, SatRpcRequest, SatRpcResponse, SatUnsubsResp,
        sat_rpc_response,
    },
};

use crate::{
    CloseCode, Input, Millis, Now, SessionConfig, SnapshotId, Tracker, World,
    context::{Context, Ending, Flow, Ledger},
    handshake,
    inbound::Inbound,
    outbound::Outbound,
    start::Start,
    wire::ErrorCode,
};

/// Everything about an identified client. It can't be made without an [`Identity`], and there is nowhere else to keep a
/// position in the stream or a subscription.
pub(crate) struct Live {
    client: ClientId,
    user: UserId,
    identity: Identity,
    /// What the client writes.
    inbound: Inbound,
    /// Requests that wait for the one before them: replies leave in request order (spec 02 §5.3).
    requests: VecDeque<(SatRpcRequest, Request)>,
    /// Bytes of those.
    requested: usize,
    /// A `startReplication` that is being decided.
    start: Option<Box<Start>>,
    /// What is streamed to the client, once it has asked for it.
    outbound: Option<Box<Outbound>>,
    /// Ids unsubscribed while nothing was streamed: their gone batches are sent when something is.
    owed: Vec<SubscriptionId>,
    /// Until when the client is expected to ask for a stream; `None` once it has.
    expected_until: Option<Millis>,
    /// The service stops: the connection ends as soon as the client can do without it.
    stopping: bool,
}

impl Live {
    /// Starts with asking the client for its own transactions after the last that Postgres has (spec 02 §6.4).
    pub(crate) fn new(
        client: ClientId,
        identity: Identity,
        acknowledged: Option<ClientLsn>,
        cx: &mut Context<'_>,
    ) -> Live {
        let inbound = Inbound::ask(&client, acknowledged, cx);
        let user = UserId::new(&identity.user_id);
        Live {
            client,
            user,
            identity,
            inbound,
            requests: VecDeque::new(),
            requested: 0,
            start: None,
            outbound: None,
            owed: Vec::new(),
            expected_until: Some(cx.now.mono_ms.saturating_add(cx.config.start_patience)),
            stopping: false,
        }
    }

    pub(crate) fn client(&self) -> &ClientId {
        &self.client
    }

    pub(crate) fn dropped_writes(&self) -> u64 {
        self.inbound.dropped()
    }

    pub(crate) fn cursor(&self) -> Option<Lsn> {
        self.outbound.as_ref().and_then(|outbound| outbound.cursor())
    }

    pub(crate) fn wants_snapshot_frames(&self) -> Option<SnapshotId> {
        self.outbound.as_ref().and_then(|outbound| outbound.wants_snapshot_frames())
    }

    pub(crate) fn stalled_on(&self) -> Option<(Arc<dyn Tracker>, Lsn)> {
        self.outbound.as_ref().and_then(|outbound| outbound.stalled_on())
    }

    pub(crate) fn is_selective(&self) -> bool {
        self.start.is_none() && self.outbound.as_ref().is_some_and(|outbound| outbound.is_selective())
    }

    pub(crate) fn accepts_messages(&self, config: &SessionConfig, ledger: &Ledger) -> bool {
        let limit = config.limits.queued_requests.max(1);
        self.requests.len() < limit
            && self.requested < MAX_REQUESTED
            && ledger.unstored() < limit
            && self.inbound.has_room(config)
    }

    pub(crate) fn next_deadline(&self, now: Now, world: &dyn World) -> Option<Millis> {
        let expiry = self
            .identity
            .deadline()
            .map(|at| now.mono_ms.saturating_add(at.saturating_add(1).saturating_sub(now.wall_ms)));
        let start = self.start.as_ref().map(|start| start.deadline(now, world));
        let outbound = self.outbound.as_ref().map(|outbound| outbound.next_deadline(now, world));
        let leaves = self.expected_until.filter(|_| self.stopping);
        [expiry, start, outbound, leaves].into_iter().flatten().min()
    }

    /// Nothing goes in or out any more once the token has expired (spec 01 §6).
    pub(crate) fn check_expiry(&self, now: Now) -> Flow {
        match self.identity.deadline() {
            Some(deadline) if now.wall_ms > deadline => {
                Err(Ending::quiet(CloseCode::TokenExpired, "JWT-expired"))
            }
            _ => Ok(()),
        }
    }

    pub(crate) fn handle(&mut self, input: Input, cx: &mut Context<'_>) -> Flow {
        if let Some(outbound) = &mut self.outbound {
            outbound.look_again();
        }
        match input {
            Input::Message(message) => self.message(&message, cx)?,
            Input::Client(stored) => {
                if let Some(start) = &mut self.start {
                    start.loaded(stored, cx);
                }
            }
            Input::WalEnd(end) => {
                if let Some(end) = cx.wal_end(end) {
                    if let Some(start) = &mut self.start {
                        start.wal_end(end, cx)?;
                    } else if let Some(outbound) = &mut self.outbound {
                        outbound.wal_end(end, cx);
                    }
                }
            }
            Input::Written(outcome) => self.inbound.written(outcome)?,
            Input::StreamLost => {
                if self.outbound.is_some() {
                    return Err(Ending::quiet(CloseCode::GoingAway, ""));
                }
            }
            input => {
                if let Some(outbound) = &mut self.outbound {
                    match input {
                        Input::Stream { deliveries, reached } => {
                            outbound.take(&deliveries, reached, &self.client, cx)?;
                        }
                        Input::SnapshotOpened { id, snapshot, lsn } => outbound.opened(id, snapshot, lsn, cx),
                        Input::SnapshotFrame { id, read, frame } => outbound.frame(id, read, frame, cx),
                        Input::SnapshotDone { id } => outbound.done(id, cx),
                        Input::SnapshotFailed { id, why } => outbound.failed(id, why, cx)?,
                        Input::Probed(number) => outbound.probed(number),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// The service stops.
    pub(crate) fn shut_down(&mut self) {
        self.stopping = true;
    }

    /// Ends the connection if the service stops and the client can bear it: a client whose connection ends between its authentication
    /// and the answer to its `startReplication` takes itself for connected and never connects again (spec 02 §10.4), and one whose
    /// connection ends amid the data of a subscription throws all its data away. It is to find itself as far on as it can be when it
    /// comes back.
    fn leave(&mut self, cx: &mut Context<'_>) -> Flow {
        let is_expected = self.expected_until.is_some_and(|until| cx.now.mono_ms < until);
        let is_amid_data = self.outbound.as_ref().is_some_and(|outbound| outbound.is_amid_data());
        if !self.stopping || is_expected || self.start.is_some() || is_amid_data {
            return Ok(());
        }
        if let Some(outbound) = &mut self.outbound {
            outbound.hand_over(cx);
        }
        Err(Ending::quiet(CloseCode::GoingAway, ""))
    }

    /// Does everything that has become possible.
    pub(crate) fn go_on(&mut self, verifier: &Verifier, cx: &mut Context<'_>) -> Flow {
        loop {
            if let Some(start) = &mut self.start
                && let Some(mut outbound) = start.go_on(&self.user, cx)?
            {
                self.start = None;
                if !self.owed.is_empty() {
                    outbound.unsubscribe(std::mem::take(&mut self.owed), cx);
                }
                self.outbound = Some(outbound);
            }
            if let Some(outbound) = &mut self.outbound {
                outbound.go_on(cx)?;
            }
            if !self.next_request(verifier, cx)? {
                return self.leave(cx);
            }
        }
    }

    pub(crate) fn message(&mut self, message: &Bytes, cx: &mut Context<'_>) -> Flow {
        if self.inbound.is_failing() {
            return Ok(());
        }
        match Message::decode(message.clone()).map_err(|_| Ending::undecodable())? {
            Message::RpcRequest(request) => self.request(request, cx),
            Message::RpcResponse(response) => self.response(&response),
            Message::Relation(relation) => self.inbound.relation(&relation, cx),
            Message::OpLog(log) => self.inbound.op_log(&log, cx),
            Message::OpLogAck(ack) => match &mut self.outbound {
                Some(outbound) => outbound.acknowledged(&ack, cx),
                None if ack.transaction_id == 0 => Ok(()),
                None => Err(Ending::invalid(UNKNOWN_TRANSACTION)),
            },
            Message::Error(_) => Err(Ending::quiet(CloseCode::Normal, "")),
            message @ (Message::SubsDataError(_)
            | Message::SubsDataBegin(_)
            | Message::SubsDataEnd(_)
            | Message::ShapeDataBegin(_)
            | Message::ShapeDataEnd(_)
            | Message::UnsubsDataBegin(_)
            | Message::UnsubsDataEnd(_)) => {
                Err(Ending::invalid(&format!("{} is sent by servers only", message.name())))
            }
        }
    }

    fn response(&mut self, response: &SatRpcResponse) -> Flow {
        match &response.result {
            Some(sat_rpc_response::Result::Message(_)) => {
                self.inbound.answered(response);
                Ok(())
            }
            Some(sat_rpc_response::Result::Error(_)) | None => Err(Ending::invalid(&format!(
                "The client refused the server's request `{}`",
                Method::from_name(&response.method).map_or("(unknown)", Method::as_str)
            ))),
        }
    }

    fn request(&mut self, request: SatRpcRequest, cx: &Context<'_>) -> Flow {
        let body = Request::decode(&request).map_err(|error| {
            let error = SatErrorResp::new(ErrorCode::InvalidRequest, error.to_string());
            Ending::refused(error_response(&request, error))
        })?;
        if self.requests.len() >= cx.config.limits.queued_requests.max(1).saturating_mul(4) {
            return Err(Ending::quiet(CloseCode::PolicyViolation, "Too many requests at a time"));
        }
        self.requested = self.requested.saturating_add(weight(&request));
        self.requests.push_back((request, body));
        Ok(())
    }

    /// Whether a request is still to be answered.
    fn is_busy(&self) -> bool {
        self.start.is_some() || self.outbound.as_ref().is_some_and(|outbound| outbound.owes_a_reply())
    }

    /// Handles the next request if it can be handled now; whether there was one.
    fn next_request(&mut self, verifier: &Verifier, cx: &mut Context<'_>) -> Flow<bool> {
        if self.is_busy() {
            return Ok(false);
        }
        let in_block = self.outbound.as_ref().is_some_and(|outbound| outbound.is_in_block());
        let crowded =
            self.outbound.as_ref().is_some_and(|o| o.waiting_blocks() >= cx.config.limits.queued_requests);
        let possible = self.requests.front().is_some_and(|(_, request)| match request {
            // A block on the wire is finished first.
            Request::StartReplication(_) | Request::StopReplication(_) => !in_block,
            Request::Subscribe(_) | Request::Unsubscribe(_) => !crowded,
            Request::Authenticate(_) => true,
        });
        if !possible {
            return Ok(false);
        }
        let Some((envelope, request)) = self.requests.pop_front() else { return Ok(false) };
        self.requested = self.requested.saturating_sub(weight(&envelope));
        match request {
            Request::StartReplication(body) => {
                self.stop(cx);
                self.expected_until = None;
                self.start = Some(Box::new(Start::new(envelope, body, cx)));
            }
            Request::StopReplication(_) => {
                self.stop(cx);
                cx.send(response(&envelope, &SatInStopReplicationResp {}));
            }
            Request::Subscribe(body) => {
                Outbound::subscribe(self.outbound.as_deref_mut(), envelope, body, cx);
            }
            Request::Unsubscribe(body) => {
                cx.send(response(&envelope, &SatUnsubsResp {}));
                let names: Vec<_> = body.subscription_ids.iter().map(|id| SubscriptionId::new(id)).collect();
                match &mut self.outbound {
                    Some(outbound) => outbound.unsubscribe(names, cx),
                    None if self.owed.len() + names.len() > MAX_OWED => {
                        return Err(Ending::quiet(
                            CloseCode::PolicyViolation,
                            "Too many unsubscribes before replication",
                        ));
                    }
                    None => self.owed.extend(names),
                }
            }
            Request::Authenticate(body) => {
                handshake::renew(&self.client, &mut self.identity, &envelope, &body, verifier, cx);
            }
        }
        Ok(true)
    }

    fn stop(&mut self, cx: &mut Context<'_>) {
        if let Some(outbound) = self.outbound.take() {
            outbound.stop(cx);
        }
    }
}

/// What a request occupies while it waits, in bytes.
fn weight(request: &SatRpcRequest) -> usize {
    size_of::<(SatRpcRequest, Request)>() + request.message.len()
}

/// Bytes of waiting requests before no more are read from the socket.
const MAX_REQUESTED: usize = 1 << 20;

/// Ids that may be unsubscribed from while nothing is streamed.
const MAX_OWED: usize = 10_000;

/// The text for an acknowledgement of something that was not sent (spec 02 §6.8).
pub(crate) const UNKNOWN_TRANSACTION: &str = "Acknowledged unknown txn";

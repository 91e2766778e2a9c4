//! Requests and responses: the envelope and the five methods (spec 02 §5).

use std::fmt;

use bytes::Bytes;
use prost::Message as _;

use crate::{
    Message,
    wire::{
        SatAuthReq, SatErrorResp, SatInStartReplicationReq, SatInStopReplicationReq, SatRpcRequest,
        SatRpcResponse, SatSubsReq, SatUnsubsReq, sat_rpc_response,
    },
};

/// The methods, by the case-sensitive names they have on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Method {
    Authenticate,
    StartReplication,
    StopReplication,
    Subscribe,
    Unsubscribe,
}

impl Method {
    /// Its name on the wire.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Method::Authenticate => "authenticate",
            Method::StartReplication => "startReplication",
            Method::StopReplication => "stopReplication",
            Method::Subscribe => "subscribe",
            Method::Unsubscribe => "unsubscribe",
        }
    }

    /// The method of that name, if there is one.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Method> {
        [
            Method::Authenticate,
            Method::StartReplication,
            Method::StopReplication,
            Method::Subscribe,
            Method::Unsubscribe,
        ]
        .into_iter()
        .find(|method| method.as_str() == name)
    }
}

impl fmt::Display for Method {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A request with its body.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named after the methods")]
pub enum Request {
    Authenticate(SatAuthReq),
    StartReplication(SatInStartReplicationReq),
    StopReplication(SatInStopReplicationReq),
    Subscribe(SatSubsReq),
    Unsubscribe(SatUnsubsReq),
}

/// A request can't be read: answered with the error `INVALID_REQUEST` for the same method and number, then closed with
/// code 1007 (spec 02 §5.4).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// No such method.
    #[error("there is no such method")]
    UnknownMethod,
    /// The body is not the method's.
    #[error("the body of the `{0}` request is malformed")]
    MalformedBody(Method),
}

impl Request {
    /// Reads the body of an envelope. Its method and number are needed again for the answer and stay where they are.
    ///
    /// # Errors
    /// [`RequestError`] for an unknown method or a body that does not decode.
    pub fn decode(envelope: &SatRpcRequest) -> Result<Request, RequestError> {
        let method = Method::from_name(&envelope.method).ok_or(RequestError::UnknownMethod)?;
        let body = envelope.message.clone();
        match method {
            Method::Authenticate => SatAuthReq::decode(body).map(Request::Authenticate),
            Method::StartReplication => SatInStartReplicationReq::decode(body).map(Request::StartReplication),
            Method::StopReplication => SatInStopReplicationReq::decode(body).map(Request::StopReplication),
            Method::Subscribe => SatSubsReq::decode(body).map(Request::Subscribe),
            Method::Unsubscribe => SatUnsubsReq::decode(body).map(Request::Unsubscribe),
        }
        .map_err(|_| RequestError::MalformedBody(method))
    }

    /// The method it calls.
    #[must_use]
    pub fn method(&self) -> Method {
        match self {
            Request::Authenticate(_) => Method::Authenticate,
            Request::StartReplication(_) => Method::StartReplication,
            Request::StopReplication(_) => Method::StopReplication,
            Request::Subscribe(_) => Method::Subscribe,
            Request::Unsubscribe(_) => Method::Unsubscribe,
        }
    }

    /// The whole WebSocket message that makes the request under this number.
    #[must_use]
    pub fn encode(&self, request_id: u32) -> Bytes {
        let body = match self {
            Request::Authenticate(m) => m.encode_to_vec(),
            Request::StartReplication(m) => m.encode_to_vec(),
            Request::StopReplication(m) => m.encode_to_vec(),
            Request::Subscribe(m) => m.encode_to_vec(),
            Request::Unsubscribe(m) => m.encode_to_vec(),
        };
        let envelope = SatRpcRequest { method: self.method().to_string(), request_id, message: body.into() };
        Message::RpcRequest(envelope).encode()
    }
}

/// The successful answer to a request, as a whole WebSocket message. `body` may be an empty message: it is present all
/// the same, as clients insist (spec 02 §14 row 4).
#[must_use]
pub fn response(request: &SatRpcRequest, body: &impl prost::Message) -> Bytes {
    answer(request, sat_rpc_response::Result::Message(body.encode_to_vec().into()))
}

/// The failure of a request, as a whole WebSocket message. Clients stop for good on most of them (spec 02 §10.3).
#[must_use]
pub fn error_response(request: &SatRpcRequest, error: SatErrorResp) -> Bytes {
    answer(request, sat_rpc_response::Result::Error(error))
}

fn answer(request: &SatRpcRequest, result: sat_rpc_response::Result) -> Bytes {
    Message::RpcResponse(SatRpcResponse {
        method: request.method.clone(),
        request_id: request.request_id,
        result: Some(result),
    })
    .encode()
}

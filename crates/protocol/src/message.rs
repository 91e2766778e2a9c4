//! Frames: one WebSocket message is a type byte and a protobuf payload (spec 02 §3).

use bytes::{BufMut, Bytes, BytesMut};

use crate::{
    op_log::OpLog,
    wire::{
        SatErrorResp, SatOpLogAck, SatRelation, SatRpcRequest, SatRpcResponse, SatShapeDataBegin,
        SatShapeDataEnd, SatSubsDataBegin, SatSubsDataEnd, SatSubsDataError, SatUnsubsDataBegin,
        SatUnsubsDataEnd,
    },
};

/// The type byte of an op log, for encoders that write frames themselves.
pub(crate) const OP_LOG: u8 = 9;

/// A whole message, sent or received.
#[derive(Clone, Debug, PartialEq)]
#[expect(missing_docs, reason = "named after the messages of spec 02 §4")]
pub enum Message {
    Error(SatErrorResp),
    OpLog(OpLog),
    Relation(SatRelation),
    SubsDataError(SatSubsDataError),
    SubsDataBegin(SatSubsDataBegin),
    SubsDataEnd(SatSubsDataEnd),
    ShapeDataBegin(SatShapeDataBegin),
    ShapeDataEnd(SatShapeDataEnd),
    RpcRequest(SatRpcRequest),
    RpcResponse(SatRpcResponse),
    OpLogAck(SatOpLogAck),
    UnsubsDataBegin(SatUnsubsDataBegin),
    UnsubsDataEnd(SatUnsubsDataEnd),
}

/// The bytes are no message: answered with an empty `SatErrorResp` and close code 1007 (spec 02 §2.5).
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Nothing at all, not even a type byte.
    #[error("the message is empty")]
    Empty,
    /// The type byte is reserved or unknown.
    #[error("no message has the type {0}")]
    UnknownType(u8),
    /// The payload is not what the type byte promises.
    #[error("the payload of a message of type {0} is malformed")]
    Malformed(u8),
    /// Only op logs may be longer than [`Message::MAX_CONTROL_LEN`].
    #[error(
        "a message of type {code} has {len} bytes; only an op log may have more than {}",
        Message::MAX_CONTROL_LEN
    )]
    TooLong {
        /// The type byte.
        code: u8,
        /// The payload's length in bytes.
        len: usize,
    },
}

impl Message {
    /// Longest payload in bytes of any message but an op log. Decoded, a message may take some thirty times its length
    /// in memory; this bounds it. Op logs are kept as bytes and bounded by the socket.
    pub const MAX_CONTROL_LEN: usize = 1 << 20;

    /// Reads a whole WebSocket message. Values point into `frame`, nothing is copied. Nesting is bounded: prost gives
    /// up after 100 levels.
    ///
    /// # Errors
    /// [`DecodeError`] for an empty message, a reserved or unknown type byte, and a malformed or too long payload.
    pub fn decode(frame: Bytes) -> Result<Message, DecodeError> {
        let mut payload = frame;
        if payload.is_empty() {
            return Err(DecodeError::Empty);
        }
        let code = payload.split_to(1)[0];
        if code != OP_LOG && payload.len() > Message::MAX_CONTROL_LEN {
            return Err(DecodeError::TooLong { code, len: payload.len() });
        }
        fn read<M: prost::Message + Default>(code: u8, payload: Bytes) -> Result<M, DecodeError> {
            M::decode(payload).map_err(|_| DecodeError::Malformed(code))
        }
        Ok(match code {
            0 => Message::Error(read(code, payload)?),
            OP_LOG => Message::OpLog(OpLog::parse(payload).map_err(|_| DecodeError::Malformed(code))?),
            10 => Message::Relation(read(code, payload)?),
            14 => Message::SubsDataError(read(code, payload)?),
            15 => Message::SubsDataBegin(read(code, payload)?),
            16 => Message::SubsDataEnd(read(code, payload)?),
            17 => Message::ShapeDataBegin(read(code, payload)?),
            18 => Message::ShapeDataEnd(read(code, payload)?),
            21 => Message::RpcRequest(read(code, payload)?),
            22 => Message::RpcResponse(read(code, payload)?),
            23 => Message::OpLogAck(read(code, payload)?),
            24 => Message::UnsubsDataBegin(read(code, payload)?),
            25 => Message::UnsubsDataEnd(read(code, payload)?),
            code => return Err(DecodeError::UnknownType(code)),
        })
    }

    /// The whole WebSocket message.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        match self {
            Message::Error(m) => frame(0, m),
            Message::OpLog(log) => {
                let mut frame = BytesMut::with_capacity(1 + log.as_bytes().len());
                frame.put_u8(OP_LOG);
                frame.put_slice(log.as_bytes());
                frame.freeze()
            }
            Message::Relation(m) => frame(10, m),
            Message::SubsDataError(m) => frame(14, m),
            Message::SubsDataBegin(m) => frame(15, m),
            Message::SubsDataEnd(m) => frame(16, m),
            Message::ShapeDataBegin(m) => frame(17, m),
            Message::ShapeDataEnd(m) => frame(18, m),
            Message::RpcRequest(m) => frame(21, m),
            Message::RpcResponse(m) => frame(22, m),
            Message::OpLogAck(m) => frame(23, m),
            Message::UnsubsDataBegin(m) => frame(24, m),
            Message::UnsubsDataEnd(m) => frame(25, m),
        }
    }

    /// The message's name, for logs and metrics.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Message::Error(_) => "SatErrorResp",
            Message::OpLog(_) => "SatOpLog",
            Message::Relation(_) => "SatRelation",
            Message::SubsDataError(_) => "SatSubsDataError",
            Message::SubsDataBegin(_) => "SatSubsDataBegin",
            Message::SubsDataEnd(_) => "SatSubsDataEnd",
            Message::ShapeDataBegin(_) => "SatShapeDataBegin",
            Message::ShapeDataEnd(_) => "SatShapeDataEnd",
            Message::RpcRequest(_) => "SatRpcRequest",
            Message::RpcResponse(_) => "SatRpcResponse",
            Message::OpLogAck(_) => "SatOpLogAck",
            Message::UnsubsDataBegin(_) => "SatUnsubsDataBegin",
            Message::UnsubsDataEnd(_) => "SatUnsubsDataEnd",
        }
    }
}

fn frame(code: u8, message: &impl prost::Message) -> Bytes {
    let mut frame = BytesMut::with_capacity(1 + message.encoded_len());
    frame.put_u8(code);
    message.encode_raw(&mut frame);
    frame.freeze()
}

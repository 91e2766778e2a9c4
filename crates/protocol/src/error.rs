//! Error codes under short names, and errors made in one line (spec 02 §4.3, §10).

use bytes::Bytes;

use crate::{Message, wire::SatErrorResp};

pub use crate::wire::{
    sat_error_resp::ErrorCode,
    sat_in_start_replication_resp::{ReplicationError, replication_error::Code as ReplicationErrorCode},
    sat_subs_data_error::{Code as SubsDataErrorCode, ShapeReqError as ShapeDataError},
    sat_subs_resp::{
        SatSubsError as SubsError,
        sat_subs_error::{
            Code as SubsErrorCode, ShapeReqError as ShapeError, shape_req_error::Code as ShapeErrorCode,
        },
    },
};

impl SatErrorResp {
    /// An error with a text for people, shown by clients as it is.
    #[must_use]
    pub fn new(code: ErrorCode, message: impl Into<String>) -> SatErrorResp {
        SatErrorResp { error_type: code.into(), lsn: None, message: Some(message.into()) }
    }

    /// The error that says nothing: `INTERNAL`, no text. Its frame is the single byte 0.
    #[must_use]
    pub fn bare() -> SatErrorResp {
        SatErrorResp::default()
    }

    /// The same error, naming the client transaction it is about.
    #[must_use]
    pub fn at(self, lsn: Bytes) -> SatErrorResp {
        SatErrorResp { lsn: Some(lsn), ..self }
    }

    /// The whole WebSocket message.
    #[must_use]
    pub fn into_frame(self) -> Bytes {
        Message::Error(self).encode()
    }
}

impl ReplicationError {
    /// A refusal of `startReplication`.
    #[must_use]
    pub fn new(code: ReplicationErrorCode, message: impl Into<String>) -> ReplicationError {
        ReplicationError { code: code.into(), message: message.into() }
    }
}

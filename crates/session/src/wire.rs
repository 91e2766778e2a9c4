//! The messages that sessions send, made in one line each.

use bytes::Bytes;
use change::{Lsn, RequestId, SubscriptionId};
use protocol::{
    Message, OpLogWriter, SubsError, response,
    wire::{
        SatErrorResp, SatRpcRequest, SatShapeDataBegin, SatShapeDataEnd, SatSubsDataBegin, SatSubsDataEnd,
        SatSubsResp, SatUnsubsDataBegin, SatUnsubsDataEnd,
    },
};
use schema::Table;

pub(crate) use protocol::ErrorCode;

/// A top-level error with a text.
pub(crate) fn error(code: ErrorCode, message: &str) -> Bytes {
    SatErrorResp::new(code, message).into_frame()
}

/// The relation of a table.
pub(crate) fn relation(table: &Table) -> Bytes {
    Message::Relation(protocol::relation(table)).encode()
}

pub(crate) fn subscription_data_begin(id: &SubscriptionId, at: Lsn) -> Bytes {
    Message::SubsDataBegin(SatSubsDataBegin { subscription_id: id.as_str().to_owned(), lsn: at.to_wire() })
        .encode()
}

pub(crate) fn subscription_data_end() -> Bytes {
    Message::SubsDataEnd(SatSubsDataEnd {}).encode()
}

pub(crate) fn shape_data_begin(request: &RequestId) -> Bytes {
    Message::ShapeDataBegin(SatShapeDataBegin {
        request_id: request.as_str().to_owned(),
        uuid: String::new(),
    })
    .encode()
}

pub(crate) fn shape_data_end() -> Bytes {
    Message::ShapeDataEnd(SatShapeDataEnd {}).encode()
}

pub(crate) fn gone_begin(names: &[SubscriptionId], at: Lsn) -> Bytes {
    let subscription_ids = names.iter().map(|name| name.as_str().to_owned()).collect();
    Message::UnsubsDataBegin(SatUnsubsDataBegin { subscription_ids, lsn: at.to_wire() }).encode()
}

pub(crate) fn gone_end() -> Bytes {
    Message::UnsubsDataEnd(SatUnsubsDataEnd {}).encode()
}

/// Opens a block of additional data.
pub(crate) fn additional_begin(reference: u64) -> Bytes {
    let mut writer = OpLogWriter::new();
    writer.additional_begin(reference);
    only(writer)
}

/// Closes it.
pub(crate) fn additional_commit(reference: u64) -> Bytes {
    let mut writer = OpLogWriter::new();
    writer.additional_commit(reference);
    only(writer)
}

/// The one message of a writer that holds one operation.
fn only(writer: OpLogWriter) -> Bytes {
    writer.finish().into_iter().next().unwrap_or_default()
}

/// The reply to an accepted `subscribe`; the id exactly as it was asked for.
pub(crate) fn subscribed(request: &SatRpcRequest, id: &SubscriptionId) -> Bytes {
    response(request, &SatSubsResp { subscription_id: id.as_str().to_owned(), err: None })
}

/// The reply to a refused one. The connection stays open.
pub(crate) fn not_subscribed(request: &SatRpcRequest, id: &str, refusal: SubsError) -> Bytes {
    response(request, &SatSubsResp { subscription_id: id.to_owned(), err: Some(refusal) })
}

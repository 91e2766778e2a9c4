//! What happened, in the words all other crates share: positions in the write-ahead log, transaction ids,
//! identifiers, rows, tags, and the transactions that carry them in both directions.
//!
//! This crate knows nothing of how any of it is stored, matched, encoded or sent.

mod client;
mod ids;
mod lsn;
mod refused;
mod row;
mod tag;
mod transaction;
mod xid;

pub use client::{ClientLsn, ClientOp, ClientOpKind, ClientTransaction, Field, MalformedClientLsn};
pub use ids::{ClientId, InvalidId, RelationId, RequestId, SubscriptionId, UserId};
pub use lsn::{Lsn, MalformedLsn};
pub use refused::{RefusedOp, RefusedTransaction};
pub use row::{Row, RowBuilder};
pub use tag::{MalformedTag, Origin, POSTGRES_ORIGIN, Tag, Tags};
pub use transaction::{Change, RowChange, Transaction};
pub use xid::{MalformedSnapshot, Snapshot, Xid};

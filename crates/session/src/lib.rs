//! The state machine of one client connection, without sockets, clock, tasks or Postgres.
//!
//! A driver feeds it [`Input`]s and carries out its [`Output`]s, in order. Everything that is hard about the protocol is
//! decided here: what may be said before authentication, replies before data, blocks never inside each other, the window of
//! unacknowledged transactions, insertion points, expiry.

mod delivery;
mod io;

pub use delivery::Delivery;
pub use io::{
    Admission, ClientUpdate, CloseCode, Input, Millis, Output, PendingMigrations, Read, ReadKind, RefusalKind, SnapshotId,
    StoredClient, StoredSubscription, Unavailable, World, WriteOutcome,
};

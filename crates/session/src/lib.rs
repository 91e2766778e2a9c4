//! The state machine of one client connection, without sockets, clock, tasks or Postgres.
//!
//! A driver feeds it [`Input`]s and carries out its [`Output`]s, in order. Everything that is hard about the protocol is
//! decided here: what may be said before authentication, replies before data, blocks never inside each other, the window of
//! unacknowledged transactions, insertion points, expiry.

mod block;
mod catch_up;
mod config;
mod context;
mod delivery;
mod effect;
mod farewell;
mod handshake;
mod inbound;
mod io;
mod keepalive;
mod leaving;
mod letting_go;
mod live;
mod outbound;
mod queue;
mod session;
mod set;
mod shape;
mod start;
mod subscription;
mod track;
mod tracking;
mod window;
mod wire;

pub use config::{SessionConfig, SessionLimits};
pub use delivery::Delivery;
pub use io::{
    Admission, ClientUpdate, CloseCode, Input, Interest, Millis, Now, Output, PendingMigrations, RefusalKind,
    SnapshotFailure, SnapshotId, StoredClient, StoredSubscription, Unavailable, World, WriteOutcome,
};
pub use session::Session;
pub use track::{Image, Known, Lost, Moves, Read, ReadKind, ReadRequest, Tracker};

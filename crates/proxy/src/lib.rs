//! The migrations proxy (spec 04 §9): a relay between clients that speak Postgres' wire protocol and the database of
//! `DATABASE_URL`, which passes everything on as it is, except the statements that plain Postgres can't parse.
//!
//! Postgres is the authority on the schema; the proxy only translates. What a session looks at is decided by an
//! [`Intercept`], a state machine without sockets, one for each [`Mode`]; [`Frame`] is one message of the protocol.

mod frame;
mod intercept;
mod mode;

pub use frame::Frame;
pub use intercept::{Exchange, Intercept};
pub use mode::{Mode, PassThrough, Reported};

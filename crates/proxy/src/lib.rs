//! The migrations proxy (spec 04 §9): a relay between clients that speak Postgres' wire protocol and the database of
//! `DATABASE_URL`, which passes everything on as it is, except the statements that plain Postgres can't parse.
//!
//! Postgres is the authority on the schema; the proxy only translates. What a session looks at is decided by an
//! [`Intercept`], a state machine without sockets, one for each [`Mode`]; [`Frame`] is one message of the protocol.
//!
//! A connection goes through `greeting` (start-up packets, TLS, the password), `session` (a connection to Postgres with the
//! client's own parameters) and `relay` (both directions, until one side closes).

mod cancel;
mod ddlx;
mod frame;
mod greeting;
mod guarding;
mod intercept;
mod introspection;
mod login;
mod mode;
mod proxy;
mod refusal;
mod relay;
mod session;
mod startup;
mod tls;

pub use ddlx::Ddlx;
pub use frame::Frame;
pub use greeting::Strangers;
pub use guarding::Guarding;
pub use intercept::{Exchange, Intercept};
pub use login::{Credentials, EmptyPassword};
pub use mode::{Mode, PassThrough, Reported};
pub use proxy::{Proxy, Settings};
pub use tls::{Certificate, CertificateError};

//! A scripted Satellite client: speaks the protocol over a real socket as the real client does, but only when told to.

mod rows;
mod session;
mod socket;
mod token;

pub use rows::{Op, Received, Row};
pub use session::{Satellite, Started, wire_row};
pub use socket::{Closed, Incoming, Socket};
pub use token::unsigned_token;

//! A scripted Satellite client: speaks the protocol over a real socket as the real client does, but only when told to.

mod inbox;
mod rows;
mod session;
mod shape;
mod socket;
mod token;
mod writing;

pub use rows::{Op, Received, Row, ShapeData};
pub use session::{Resume, Satellite, Started};
pub use shape::Select;
pub use socket::{Closed, Incoming, Socket};
pub use token::unsigned_token;
pub use writing::wire_row;

//! The HTTP side: one listener for the API and for WebSocket upgrades.

mod handshake;
mod listen;
mod migrations;
mod routes;
mod serve;
mod status;
mod tunnel;

pub use listen::{Reserved, bind, reserve};
pub use routes::App;
pub use serve::accept;
pub use status::About;

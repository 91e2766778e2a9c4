//! The HTTP side: one listener for the API and for WebSocket upgrades.

mod handshake;
mod listen;
mod migrations;
mod routes;
mod serve;
mod status;

pub use listen::bind;
pub use routes::App;
pub use serve::accept;
pub use status::About;

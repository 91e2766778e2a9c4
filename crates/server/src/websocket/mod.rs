//! RFC 6455 as the server needs it, without sockets: bytes in, events out; messages in, bytes out.
//!
//! An own implementation rather than a library, for three reasons that no library's interface allows: the bound on a message
//! changes when a connection authenticates, and what goes over it is dropped unread while the answer is still delivered
//! (spec 01 §6); an idle connection holds no buffers at all; and one encoded message is shared by all connections it goes to.

mod decoder;
mod outbox;

pub use decoder::{Decoder, Event};
pub use outbox::Outbox;

/// Frame types in use.
mod opcode {
    pub const CONTINUATION: u8 = 0x0;
    pub const TEXT: u8 = 0x1;
    pub const BINARY: u8 = 0x2;
    pub const CLOSE: u8 = 0x8;
    pub const PING: u8 = 0x9;
    pub const PONG: u8 = 0xA;
}

/// Longest payload of a control frame.
const MAX_CONTROL: usize = 125;

/// The peer broke RFC 6455.
pub const PROTOCOL_ERROR: u16 = 1002;

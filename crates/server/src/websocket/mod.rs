//! RFC 6455 as the server needs it, without sockets: bytes in, events out; messages in, bytes out.
//!
//! The format is the library's, `tungstenite`: headers, frame types, close frames and their codes, the answer to a handshake. Ours
//! is the order in which frames are taken apart and put together, because the library's streams can't do four things that the
//! service is built on:
//!
//! * an idle connection holds no buffers: the library's keeps one for each direction;
//! * an encoded message is shared by all connections that it goes to, up to the moment when the socket takes its bytes;
//! * the bound on a message changes when a connection authenticates, and what goes over it is dropped unread while the answer is
//!   still delivered (spec 01 §6): the library's is fixed, and what goes over it is the end of reading;
//! * what may not share a write is kept apart ([`Outbox::barrier`]).
//!
//! The rules that belong to a sequence of frames (fragments, control frames between them, masks that must be there) go with that
//! order, so they are here too, and so is unmasking, in place and in pieces as they arrive: the library's is private. The tests let
//! the library's own client read what [`Outbox`] writes, and [`Decoder`] read what that client writes.

mod decoder;
mod outbox;
#[cfg(test)]
mod tests;

pub use decoder::{Decoder, Event};
pub use outbox::Outbox;
pub use tungstenite::protocol::frame::coding::CloseCode;

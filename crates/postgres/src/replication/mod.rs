//! The replication stream: the slot it is read from, the protocol it comes in, and the events it is turned into.
//!
//! * [`slot`]: one permanent logical slot per database, made, taken over, or made anew.
//! * [`transport`]: the stream's bytes and positions, both ways.
//! * [`stream`]: events for the rest of the service, and the handle by which it says what it has made durable and how far
//!   it needs the stream to be known.

pub mod slot;
pub mod stream;
pub mod transport;
mod vigil;

pub use slot::{Slot, SlotFate, slot_name};
pub use stream::{Control, Event, Publication, Started, Stream, StreamError};
pub use transport::{ReplicationStream, WalEvent};

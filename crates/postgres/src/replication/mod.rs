//! The replication stream: the slot it is read from, the protocol it comes in, and the events it is turned into.
//!
//! * [`arrival`]: a connection that has looked at everything and changed nothing.
//! * [`resume`]: whether the stream can be continued, and why not; [`timeline`]: what positions mean after a failover.
//! * [`slot`]: one permanent logical slot per database, made, taken over, or made anew.
//! * [`transport`]: the stream's bytes and positions, both ways.
//! * [`stream`]: events for the rest of the service, and the handle by which it says what it has made durable and how far
//!   it needs the stream to be known.

pub mod arrival;
pub mod resume;
mod skip;
pub mod slot;
pub mod stream;
pub mod timeline;
pub mod transport;
mod vigil;

pub use arrival::{Arrival, Process};
pub use resume::{Gap, Identity, Kept, Situation, decide, first_position};
pub use skip::write_beyond;
pub use slot::{Slot, SlotState, slot_name};
pub use stream::{Beginning, Control, Event, Publication, Started, Stream, StreamError};
pub use timeline::Timelines;
pub use transport::{ReplicationStream, WalEvent};

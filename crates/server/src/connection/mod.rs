//! One client connection: a socket on one side, a [`session::Session`] on the other, and between them a task that carries
//! bytes, answers and time.
//!
//! The task works in turns. In a turn it does everything that can be done without waiting: hand the session what was left in
//! the [`Mailbox`], what the socket has, what the stream has; carry out what the session wants; write what the socket takes.
//! Then it waits for whatever comes first. Nothing is read from the socket or the stream while the peer is not keeping up with
//! what it was sent, so a connection holds a bounded amount of memory whatever its peer does, and an idle one next to none.

mod actions;
mod clock;
mod closing;
mod driver;
mod hub;
mod mailbox;
mod snapshots;

pub use hub::{BegunAnew, Hub};
pub use mailbox::{Letter, Mailbox};

pub use driver::serve;

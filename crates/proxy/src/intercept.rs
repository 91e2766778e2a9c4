//! What a session does with the messages that pass through it.

use bytes::BytesMut;

use crate::Frame;

/// The two directions' outgoing bytes. Whoever owns the sockets writes them out and clears them.
#[derive(Debug, Default)]
pub struct Exchange {
    /// To Postgres.
    pub to_server: BytesMut,
    /// To the client.
    pub to_client: BytesMut,
}

impl Exchange {
    /// Sends a message to Postgres.
    pub fn server(&mut self, frame: &Frame) {
        self.to_server.extend_from_slice(frame.wire());
    }

    /// Sends a message to the client.
    pub fn client(&mut self, frame: &Frame) {
        self.to_client.extend_from_slice(frame.wire());
    }
}

/// A state machine between a client and Postgres, from the first ReadyForQuery on: no sockets, no clock.
///
/// It is handed whole messages in the order in which they arrive, and puts what is to be sent into the [`Exchange`].
/// A message that it does not put there is swallowed.
#[expect(clippy::wrong_self_convention, reason = "the messages come from there")]
pub trait Intercept: Send {
    /// A message from the client.
    fn from_client(&mut self, frame: Frame, out: &mut Exchange);

    /// A message from Postgres.
    fn from_server(&mut self, frame: Frame, out: &mut Exchange);

    /// Whether a message of this type from the client matters to it as things stand. If not, the relay passes it on
    /// without handing it in, and without keeping a long one in memory (`COPY` data).
    fn minds_client(&self, tag: u8) -> bool;

    /// The same for a message from Postgres. Answers for data rows and `COPY` data should be `false`.
    fn minds_server(&self, tag: u8) -> bool;
}

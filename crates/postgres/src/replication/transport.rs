//! The streaming replication protocol: messages of the log one way, positions the other.

use std::{
    io,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use change::Lsn;
use postgres_protocol::message::{backend, frontend};

use super::{slot::Slot, stream::StreamError};
use crate::wire::{Frame, Wire, WireError};

/// Microseconds from the Unix epoch to 2000-01-01, where Postgres counts from.
const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// What the server sends.
#[derive(Clone, PartialEq, Eq)]
pub enum WalEvent {
    /// A message of the output plugin.
    Data {
        /// The position it belongs to.
        start: Lsn,
        /// The message, in the buffer it was received in.
        bytes: Bytes,
    },
    /// A sign of life.
    Keepalive {
        /// Everything that committed before this position has been sent.
        wal_end: Lsn,
        /// Whether an answer is wanted at once.
        reply_requested: bool,
    },
}

/// A connection that a slot is streamed on.
pub struct ReplicationStream {
    wire: Wire,
    received: Lsn,
    confirmed: Lsn,
    confirmed_told: Lsn,
}

impl ReplicationStream {
    /// Starts streaming from a slot: all transactions that commit after `position` come. One that commits after the slot's own
    /// position but not after `position` does not.
    pub(super) async fn start(
        mut wire: Wire,
        slot: &Slot,
        publication: &str,
        position: Lsn,
    ) -> Result<ReplicationStream, StreamError> {
        let quoted = publication.replace('\'', "''").replace('"', "\"\"");
        let mut message = BytesMut::new();
        frontend::query(
            &format!(
                "START_REPLICATION SLOT \"{}\" LOGICAL {position} \
                 (proto_version '1', publication_names '\"{quoted}\"', messages 'true')",
                slot.name
            ),
            &mut message,
        )
        .map_err(WireError::from)?;
        wire.send(&message).await.map_err(WireError::from)?;
        let answer = wire.receive().await?;
        // CopyBothResponse
        if answer.tag != b'W' {
            return Err(WireError::Protocol("it does not start streaming").into());
        }
        let confirmed = slot.confirmed;
        Ok(ReplicationStream { wire, received: Lsn::ZERO, confirmed, confirmed_told: confirmed })
    }

    /// The server process at the other end.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.wire.process_id()
    }

    /// The next event that has been received already.
    ///
    /// # Errors
    /// [`StreamError`], also if the server ends the stream.
    pub fn buffered(&mut self) -> Result<Option<WalEvent>, StreamError> {
        while let Some(frame) = self.wire.buffered()? {
            match frame.tag {
                backend::COPY_DATA_TAG => {
                    let event = read_event(frame)?;
                    if let WalEvent::Keepalive { wal_end, .. } = &event {
                        self.received = self.received.max(*wal_end);
                    }
                    return Ok(Some(event));
                }
                backend::ERROR_RESPONSE_TAG => return Err(WireError::Server(frame.server_error()).into()),
                backend::NOTICE_RESPONSE_TAG | backend::PARAMETER_STATUS_TAG => {}
                _ => {
                    let ended = io::Error::new(io::ErrorKind::UnexpectedEof, "Postgres ended the stream");
                    return Err(WireError::Broken(ended).into());
                }
            }
        }
        Ok(None)
    }

    /// Waits until more has been received. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn fill(&mut self) -> Result<(), StreamError> {
        self.wire.fill().await.map_err(|error| WireError::from(error).into())
    }

    /// The next event, waited for.
    ///
    /// # Errors
    /// [`StreamError`].
    pub async fn next(&mut self) -> Result<WalEvent, StreamError> {
        loop {
            if let Some(event) = self.buffered()? {
                return Ok(event);
            }
            self.fill().await?;
        }
    }

    /// Everything up to `position` has been received and decoded.
    pub fn received(&mut self, position: Lsn) {
        self.received = self.received.max(position);
    }

    /// Transactions that committed before `position` need not be kept any longer; told with the next status.
    pub fn confirm(&mut self, position: Lsn) {
        self.confirmed = self.confirmed.max(position);
    }

    /// Asks the server to say at once how far it is.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn request_keepalive(&mut self) -> Result<(), StreamError> {
        self.send_status(true).await
    }

    /// Tells the server how far we are.
    ///
    /// The slot moves to the *flushed* position of each status, while a server that shuts down waits until everything it has sent
    /// is flushed. Since we hold the slot back on purpose, a flushed position is told only when it changes, and taken back
    /// (zero: unknown) right after; the server then waits for what was *written*.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn send_status(&mut self, reply_requested: bool) -> Result<(), StreamError> {
        let mut messages = BytesMut::with_capacity(80);
        if self.confirmed > self.confirmed_told {
            put_status(&mut messages, self.received, self.confirmed, false);
            self.confirmed_told = self.confirmed;
        }
        put_status(&mut messages, self.received, Lsn::ZERO, reply_requested);
        self.wire.send(&messages).await.map_err(|error| WireError::from(error).into())
    }
}

fn read_event(frame: Frame) -> Result<WalEvent, WireError> {
    let mut body = frame.body;
    match body.first() {
        Some(b'w') if body.len() >= 25 => {
            body.advance(1);
            let start = Lsn(body.get_u64());
            body.advance(16);
            Ok(WalEvent::Data { start, bytes: body })
        }
        Some(b'k') if body.len() >= 18 => {
            body.advance(1);
            let wal_end = Lsn(body.get_u64());
            body.advance(8);
            Ok(WalEvent::Keepalive { wal_end, reply_requested: body.get_u8() == 1 })
        }
        _ => Err(WireError::Protocol("a replication message is malformed")),
    }
}

fn put_status(messages: &mut BytesMut, written: Lsn, flushed: Lsn, reply_requested: bool) {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let now_us = i64::try_from(since_epoch.as_micros()).unwrap_or(i64::MAX) - POSTGRES_EPOCH_US;
    messages.put_u8(backend::COPY_DATA_TAG);
    messages.put_u32(4 + 34);
    messages.put_u8(b'r');
    messages.put_u64(written.0);
    messages.put_u64(flushed.0);
    messages.put_u64(flushed.0);
    messages.put_i64(now_us);
    messages.put_u8(u8::from(reply_requested));
}

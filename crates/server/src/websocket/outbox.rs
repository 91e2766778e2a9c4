//! What waits to be written to a client.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use tungstenite::protocol::frame::{
    CloseFrame, Frame, FrameHeader,
    coding::{Control, Data, OpCode},
};

/// The type of messages.
const BINARY: OpCode = OpCode::Data(Data::Binary);

/// A queue of messages and the point up to which its first one has been written. Payloads are shared, never copied into the
/// queue; bytes are laid out only when the socket can take them.
#[derive(Debug, Default)]
pub struct Outbox {
    items: VecDeque<Item>,
    /// Bytes of the first frame that have been written.
    progress: usize,
    queued: usize,
}

#[derive(Debug)]
enum Item {
    Frame {
        opcode: OpCode,
        payload: Bytes,
    },
    /// Binary messages shared with other connections, and the index of the next one.
    Shared {
        messages: Arc<[Bytes]>,
        next: usize,
    },
    /// What is before may not share a write with what is behind.
    Barrier,
}

/// A frame's header as bytes: up to ten, because a server doesn't mask.
struct Header {
    bytes: [u8; 10],
    len: usize,
}

impl Header {
    fn new(opcode: OpCode, payload: usize) -> Header {
        let mut bytes = [0; 10];
        let mut room = &mut bytes[..];
        let laid_out = FrameHeader { opcode, ..FrameHeader::default() }.format(payload as u64, &mut room);
        debug_assert!(laid_out.is_ok(), "a header that is not masked has room");
        let len = 10 - room.len();
        Header { bytes, len }
    }

    fn as_bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Outbox {
    /// Appends a binary message.
    pub fn binary(&mut self, payload: Bytes) {
        self.push(BINARY, payload);
    }

    /// Appends binary messages that other connections send too.
    pub fn shared(&mut self, messages: Arc<[Bytes]>) {
        if !messages.is_empty() {
            self.queued += messages.iter().map(Bytes::len).sum::<usize>();
            self.items.push_back(Item::Shared { messages, next: 0 });
        }
    }

    /// Appends a ping. Its payload comes back with the pong; at most 125 bytes.
    pub fn ping(&mut self, payload: Bytes) {
        self.push(OpCode::Control(Control::Ping), payload);
    }

    /// Appends the answer to a ping. The payload is that of a control frame, so 125 bytes at most.
    pub fn pong(&mut self, payload: Bytes) {
        self.push(OpCode::Control(Control::Pong), payload);
    }

    /// Appends the close frame.
    pub fn close(&mut self, code: u16, reason: &str) {
        let close = Frame::close(Some(CloseFrame { code: code.into(), reason: reason.into() }));
        self.push(close.header().opcode, close.into_payload());
    }

    /// Keeps what is before apart from what comes after: never in one write.
    pub fn barrier(&mut self) {
        if !matches!(self.items.back(), None | Some(Item::Barrier)) {
            self.items.push_back(Item::Barrier);
        }
    }

    /// Forgets everything but the rest of a frame that has been written in part.
    pub fn clear(&mut self) {
        let started = if self.progress > 0 { self.items.pop_front() } else { None };
        self.items.clear();
        self.queued = 0;
        match started {
            Some(Item::Frame { opcode, payload }) => {
                self.queued = payload.len();
                self.items.push_back(Item::Frame { opcode, payload });
            }
            Some(Item::Shared { messages, next }) => {
                if let Some(payload) = messages.get(next).cloned() {
                    self.queued = payload.len();
                    self.items.push_back(Item::Frame { opcode: BINARY, payload });
                }
            }
            Some(Item::Barrier) | None => self.progress = 0,
        }
    }

    /// Payload bytes that wait, those of a partly written message included.
    #[must_use]
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Whether nothing waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.items.iter().any(|item| !matches!(item, Item::Barrier))
    }

    /// Lays out the next bytes to write, as many as fit and may go together. Returns how many.
    pub fn fill(&mut self, buffer: &mut [u8]) -> usize {
        while matches!(self.items.front(), Some(Item::Barrier)) {
            self.items.pop_front();
        }
        let mut used = 0;
        let mut skip = self.progress;
        for item in &self.items {
            let whole = match item {
                Item::Barrier => break,
                Item::Frame { opcode, payload } => put(buffer, &mut used, &mut skip, *opcode, payload),
                Item::Shared { messages, next } => messages
                    .iter()
                    .skip(*next)
                    .all(|payload| put(buffer, &mut used, &mut skip, BINARY, payload)),
            };
            if !whole {
                break;
            }
        }
        used
    }

    /// Notes that the first `written` of the bytes laid out last have been written.
    pub fn advance(&mut self, written: usize) {
        self.progress += written;
        while let Some(item) = self.items.front_mut() {
            let (len, done) = match item {
                Item::Barrier => return,
                Item::Frame { opcode, payload } => (frame_len(*opcode, payload), true),
                Item::Shared { messages, next } => {
                    let Some(payload) = messages.get(*next) else { return };
                    (frame_len(BINARY, payload), *next + 1 == messages.len())
                }
            };
            if self.progress < len.total {
                return;
            }
            self.progress -= len.total;
            self.queued = self.queued.saturating_sub(len.payload);
            match item {
                Item::Shared { next, .. } if !done => *next += 1,
                _ => {
                    self.items.pop_front();
                }
            }
        }
        // A burst must not leave its queue behind on an idle connection.
        if self.items.capacity() > 64 {
            self.items = VecDeque::new();
        }
    }

    fn push(&mut self, opcode: OpCode, payload: Bytes) {
        self.queued += payload.len();
        self.items.push_back(Item::Frame { opcode, payload });
    }
}

struct FrameLen {
    total: usize,
    payload: usize,
}

fn frame_len(opcode: OpCode, payload: &Bytes) -> FrameLen {
    let header = FrameHeader { opcode, ..FrameHeader::default() }.len(payload.len() as u64);
    FrameLen { total: header + payload.len(), payload: payload.len() }
}

/// Copies a frame, without its first `skip` bytes, behind the `used` ones. Whether all of it had room.
fn put(buffer: &mut [u8], used: &mut usize, skip: &mut usize, opcode: OpCode, payload: &Bytes) -> bool {
    let header = Header::new(opcode, payload.len());
    for part in [header.as_bytes(), payload] {
        let rest = part.get(*skip..).unwrap_or_default();
        *skip -= part.len() - rest.len();
        let room = &mut buffer[*used..];
        let take = rest.len().min(room.len());
        room[..take].copy_from_slice(&rest[..take]);
        *used += take;
        if take < rest.len() {
            return false;
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Writes everything through a socket that takes `step` bytes at a time; returns the writes.
    fn drain(outbox: &mut Outbox, buffer: usize, step: usize) -> Vec<Vec<u8>> {
        let mut writes = Vec::new();
        let mut scratch = vec![0; buffer];
        loop {
            let filled = outbox.fill(&mut scratch);
            if filled == 0 {
                assert!(outbox.is_empty());
                assert_eq!((outbox.queued(), outbox.progress), (0, 0));
                return writes;
            }
            let written = filled.min(step);
            writes.push(scratch[..written].to_vec());
            outbox.advance(written);
        }
    }

    fn expected(messages: &[Vec<u8>]) -> Vec<u8> {
        let frame = |m: &Vec<u8>| [Header::new(BINARY, m.len()).as_bytes(), m].concat();
        messages.iter().flat_map(frame).collect()
    }

    proptest! {
        #[test]
        fn everything_is_written_once_and_in_order(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..8),
            shared: bool, barriers: bool, buffer in 1usize..600, step in 1usize..600,
        ) {
            let mut outbox = Outbox::default();
            if shared {
                outbox.shared(messages.iter().cloned().map(Bytes::from).collect());
            } else {
                for message in &messages {
                    outbox.binary(message.clone().into());
                    if barriers {
                        outbox.barrier();
                    }
                }
            }
            prop_assert_eq!(drain(&mut outbox, buffer, step).concat(), expected(&messages));
        }
    }

    #[test]
    fn a_barrier_parts_writes() {
        let mut outbox = Outbox::default();
        outbox.binary(Bytes::from_static(b"reply"));
        outbox.barrier();
        outbox.binary(Bytes::from_static(b"data"));
        assert_eq!(drain(&mut outbox, 1000, 1000), [b"\x82\x05reply".to_vec(), b"\x82\x04data".to_vec()]);
    }

    #[test]
    fn clearing_keeps_the_frame_that_was_begun() {
        let mut outbox = Outbox::default();
        outbox.shared(Arc::new([Bytes::from_static(b"one"), Bytes::from_static(b"two")]));
        outbox.binary(Bytes::from_static(b"three"));
        let mut scratch = [0; 7];
        assert_eq!(outbox.fill(&mut scratch), 7);
        outbox.advance(7);
        outbox.clear();
        outbox.close(4000, "JWT-expired");
        assert_eq!(drain(&mut outbox, 1000, 1000), [b"two\x88\x0d\x0f\xa0JWT-expired".to_vec()]);

        outbox.binary(Bytes::from_static(b"whole"));
        outbox.clear();
        assert!(outbox.is_empty() && outbox.queued() == 0);
    }

    #[test]
    fn long_messages_have_long_headers() {
        assert_eq!(Header::new(BINARY, 125).as_bytes(), [0x82, 125]);
        assert_eq!(Header::new(BINARY, 126).as_bytes(), [0x82, 126, 0, 126]);
        assert_eq!(Header::new(BINARY, 65_536).as_bytes(), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }
}

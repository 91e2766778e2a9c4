//! Frames of a client to messages.

use std::io::Cursor;

use bytes::{Bytes, BytesMut};
use tungstenite::protocol::frame::{
    FrameHeader,
    coding::{CloseCode, Control, Data, OpCode},
};

/// Something that a client sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// A whole binary message, unmasked.
    Binary(Bytes),
    /// A text message has begun; its content is dropped.
    Text,
    /// A ping, to be answered with the same payload.
    Ping(Bytes),
    /// A pong, with the payload of the ping that it answers, if it does.
    Pong(Bytes),
    /// The close frame, with its code if it has one. Nothing follows.
    Close(Option<u16>),
    /// A binary message over the limit. From here on everything but the close frame is dropped unread.
    Oversized,
}

/// The peer broke RFC 6455; how.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the peer broke the WebSocket protocol: {0}")]
pub struct Violation(&'static str);

/// Reads the client's half of a connection. Holds memory only while a message is incomplete, and then no more than what has
/// arrived of it (rounded up), whatever length its header claims.
#[derive(Debug)]
pub struct Decoder {
    /// The beginning of a header that has not arrived whole; zero behind it.
    header: [u8; LONGEST_HEADER],
    header_len: u8,
    frame: Option<Frame>,
    /// The binary message so far.
    message: BytesMut,
    /// The message that further fragments belong to.
    fragmented: Option<Kind>,
    control: Vec<u8>,
    limit: usize,
    skipping: bool,
    closed: bool,
}

/// A frame whose payload is being read.
#[derive(Clone, Copy, Debug)]
struct Frame {
    opcode: OpCode,
    last: bool,
    mask: [u8; 4],
    remaining: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Binary,
    Text,
}

/// Bytes of the longest header: type, length, and mask.
const LONGEST_HEADER: usize = 14;

/// Longest payload of a control frame.
const MAX_CONTROL: u64 = 125;

/// Bad Gateway: registered with IANA, but not known to the library.
const BAD_GATEWAY: u16 = 1014;

/// What is set aside at once for a message that is still under way.
const RESERVE: usize = 64 * 1024;

impl Decoder {
    /// `limit` is the longest binary message in bytes.
    #[must_use]
    pub fn new(limit: usize) -> Decoder {
        Decoder {
            header: [0; LONGEST_HEADER],
            header_len: 0,
            frame: None,
            message: BytesMut::new(),
            fragmented: None,
            control: Vec::new(),
            limit,
            skipping: false,
            closed: false,
        }
    }

    /// Changes the limit from the next frame on.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = limit;
    }

    /// Drops everything from here on, unread, but the close frame.
    pub fn skip_rest(&mut self) {
        self.skipping = true;
        self.message = BytesMut::new();
    }

    /// Takes bytes off the front of `input` up to the end of the next event. `None`: all of it was taken, and more is needed.
    ///
    /// # Errors
    /// [`Violation`], after which the connection is to be failed; never while skipping.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<Event>, Violation> {
        while !self.closed {
            if self.frame.is_none() {
                match self.read_header(input) {
                    Ok(true) => {}
                    Ok(false) => return Ok(None),
                    // Out of step with a peer that is not listened to any more: what follows can't be told apart.
                    Err(_) if self.skipping => {
                        self.closed = true;
                        break;
                    }
                    Err(violation) => return Err(violation),
                }
                if let Some(event) = self.begin_frame() {
                    return Ok(Some(event));
                }
            }
            if !self.read_payload(input) {
                return Ok(None);
            }
            match self.end_frame() {
                Ok(None) => {}
                Err(_) if self.skipping => self.closed = true,
                other => return other,
            }
        }
        *input = &[];
        Ok(None)
    }

    /// Whether the header is complete. What the first two bytes forbid is told without waiting for the others.
    fn read_header(&mut self, input: &mut &[u8]) -> Result<bool, Violation> {
        let have = usize::from(self.header_len);
        let (early, room) = self.header.split_at_mut(have);
        let ahead = room.len().min(input.len());
        room[..ahead].copy_from_slice(&input[..ahead]);
        let arrived = early.len() + ahead;
        if arrived < 2 {
            self.header_len = arrived as u8;
            *input = &[];
            return Ok(false);
        }
        // Bytes that have not arrived are zero, so the parser always finds a whole header, and tells how long it is.
        let mut bytes = Cursor::new(&self.header);
        let Ok(Some((header, len))) = FrameHeader::parse(&mut bytes) else {
            return Err(Violation("an unknown frame type"));
        };
        let size = bytes.position() as usize;
        let mask = self.check_header(&header, len, size)?;
        if arrived < size {
            self.header_len = arrived as u8;
            *input = &[];
            return Ok(false);
        }
        if header.len(len) != size || len >> 63 != 0 {
            return Err(Violation("a length that is not in its shortest form"));
        }
        *input = &input[size - have..];
        (self.header, self.header_len) = ([0; LONGEST_HEADER], 0);
        self.frame = Some(Frame { opcode: header.opcode, last: header.is_final, mask, remaining: len });
        Ok(true)
    }

    /// Judges what the first two bytes tell, and the length if it stands in them, for a header of `size` bytes. The answer is
    /// the mask.
    fn check_header(&self, header: &FrameHeader, len: u64, size: usize) -> Result<[u8; 4], Violation> {
        if header.rsv1 || header.rsv2 || header.rsv3 {
            return Err(Violation("a reserved bit is set"));
        }
        let Some(mask) = header.mask else { return Err(Violation("a frame is not masked")) };
        match header.opcode {
            OpCode::Data(Data::Continue) if self.fragmented.is_none() => {
                Err(Violation("nothing to continue"))
            }
            OpCode::Data(Data::Text | Data::Binary) if self.fragmented.is_some() => {
                Err(Violation("a message begins inside another"))
            }
            OpCode::Control(_) if !header.is_final || len > MAX_CONTROL || size > header.len(MAX_CONTROL) => {
                Err(Violation("a control frame is fragmented or too long"))
            }
            OpCode::Data(_) | OpCode::Control(_) => Ok(mask),
        }
    }

    /// What is known as soon as the header is.
    fn begin_frame(&mut self) -> Option<Event> {
        let frame = self.frame?;
        match frame.opcode {
            OpCode::Data(Data::Text) => {
                self.fragmented = Some(Kind::Text);
                return (!self.skipping).then_some(Event::Text);
            }
            OpCode::Data(Data::Binary) => self.fragmented = Some(Kind::Binary),
            OpCode::Data(_) => {}
            OpCode::Control(_) => return None,
        }
        if self.fragmented != Some(Kind::Binary) || self.skipping {
            return None;
        }
        let room = self.limit.saturating_sub(self.message.len());
        if frame.remaining > room as u64 {
            self.skip_rest();
            return Some(Event::Oversized);
        }
        self.message.reserve(frame.remaining.min(RESERVE as u64) as usize);
        None
    }

    /// Whether the payload is complete.
    fn read_payload(&mut self, input: &mut &[u8]) -> bool {
        let Some(frame) = &mut self.frame else { return false };
        let take = frame.remaining.min(input.len() as u64) as usize;
        let (bytes, rest) = input.split_at(take);
        *input = rest;
        frame.remaining -= take as u64;
        match frame.opcode {
            OpCode::Control(_) => {
                let start = self.control.len();
                self.control.extend_from_slice(bytes);
                unmask(&mut self.control[start..], frame.mask);
            }
            _ if self.skipping || self.fragmented == Some(Kind::Text) => {}
            _ => {
                let start = self.message.len();
                self.message.extend_from_slice(bytes);
                unmask(&mut self.message[start..], frame.mask);
            }
        }
        frame.mask.rotate_left(take % 4);
        frame.remaining == 0
    }

    fn end_frame(&mut self) -> Result<Option<Event>, Violation> {
        let Some(frame) = self.frame.take() else { return Ok(None) };
        match frame.opcode {
            OpCode::Control(control) => {
                let payload = std::mem::take(&mut self.control);
                match control {
                    Control::Close => {
                        self.closed = true;
                        close_code(&payload).map(|code| Some(Event::Close(code)))
                    }
                    _ if self.skipping => Ok(None),
                    Control::Ping => Ok(Some(Event::Ping(payload.into()))),
                    Control::Pong => Ok(Some(Event::Pong(payload.into()))),
                    Control::Reserved(_) => Ok(Some(Event::Pong(Bytes::new()))),
                }
            }
            OpCode::Data(_) if !frame.last => Ok(None),
            OpCode::Data(_) => Ok(match self.fragmented.take() {
                Some(Kind::Binary) if !self.skipping => {
                    Some(Event::Binary(std::mem::take(&mut self.message).freeze()))
                }
                _ => None,
            }),
        }
    }
}

fn close_code(payload: &[u8]) -> Result<Option<u16>, Violation> {
    match payload {
        [] => Ok(None),
        [_] => Err(Violation("a close frame with half a code")),
        [high, low, reason @ ..] => {
            let code = u16::from_be_bytes([*high, *low]);
            let allowed = CloseCode::from(code).is_allowed() || code == BAD_GATEWAY;
            if allowed && std::str::from_utf8(reason).is_ok() {
                Ok(Some(code))
            } else {
                Err(Violation("a close frame with an impossible code or reason"))
            }
        }
    }
}

/// The library keeps its own to itself.
fn unmask(data: &mut [u8], mask: [u8; 4]) {
    let wide = u64::from_ne_bytes([mask[0], mask[1], mask[2], mask[3], mask[0], mask[1], mask[2], mask[3]]);
    let mut chunks = data.chunks_exact_mut(8);
    for chunk in &mut chunks {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        chunk.copy_from_slice(&(u64::from_ne_bytes(word) ^ wide).to_ne_bytes());
    }
    for (byte, key) in chunks.into_remainder().iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CONTINUATION: OpCode = OpCode::Data(Data::Continue);
    const TEXT: OpCode = OpCode::Data(Data::Text);
    const BINARY: OpCode = OpCode::Data(Data::Binary);
    const CLOSE: OpCode = OpCode::Control(Control::Close);
    const PING: OpCode = OpCode::Control(Control::Ping);

    /// A masked frame, as a client sends it.
    fn frame(is_final: bool, opcode: OpCode, payload: &[u8]) -> Vec<u8> {
        let mask = Some([0xA1, 0x02, 0x93, 0x44]);
        let header = FrameHeader { is_final, opcode, mask, ..FrameHeader::default() };
        let mut out = Vec::new();
        tungstenite::protocol::frame::Frame::from_payload(header, Bytes::copy_from_slice(payload))
            .format(&mut out)
            .unwrap();
        out
    }

    /// Feeds `bytes` in pieces of `step`.
    fn decode(decoder: &mut Decoder, bytes: &[u8], step: usize) -> Result<Vec<Event>, Violation> {
        let mut events = Vec::new();
        for mut piece in bytes.chunks(step.max(1)) {
            while let Some(event) = decoder.next(&mut piece)? {
                events.push(event);
            }
            assert!(piece.is_empty());
        }
        Ok(events)
    }

    proptest! {
        #[test]
        fn messages_survive_any_cutting(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..5),
            pieces in 1usize..40, step in 1usize..500,
        ) {
            let mut wire = Vec::new();
            for message in &messages {
                let mut parts: Vec<&[u8]> = message.chunks(pieces).collect();
                if parts.is_empty() {
                    parts.push(&[]);
                }
                for (i, part) in parts.iter().enumerate() {
                    wire.extend(frame(i + 1 == parts.len(), if i == 0 { BINARY } else { CONTINUATION }, part));
                    wire.extend(frame(true, PING, b"p"));
                }
            }
            let events = decode(&mut Decoder::new(1000), &wire, step).unwrap();
            let got: Vec<Vec<u8>> = events.iter().filter_map(|e| match e {
                Event::Binary(bytes) => Some(bytes.to_vec()),
                _ => None,
            }).collect();
            prop_assert_eq!(got, messages);
        }

        #[test]
        fn garbage_never_panics(wire: Vec<u8>, step in 1usize..64, skip: bool) {
            let mut decoder = Decoder::new(100);
            if skip {
                decoder.skip_rest();
                prop_assert!(decode(&mut decoder, &wire, step).is_ok());
            } else {
                let _ = decode(&mut decoder, &wire, step);
            }
        }
    }

    #[test]
    fn a_message_over_the_limit_is_dropped_and_the_close_frame_after_it_is_seen() {
        let mut wire = frame(true, BINARY, &[7; 101]);
        wire.extend(frame(true, BINARY, b"not looked at"));
        wire.extend(frame(true, CLOSE, &1000u16.to_be_bytes()));
        wire.extend(b"what comes after a close frame is nothing");
        for step in [1, 7, 1000] {
            let mut decoder = Decoder::new(100);
            let events = decode(&mut decoder, &wire, step).unwrap();
            assert_eq!(events, [Event::Oversized, Event::Close(Some(1000))]);
            assert_eq!(decoder.message.capacity(), 0);
        }
    }

    #[test]
    fn fragments_count_together_and_a_claimed_length_reserves_nothing() {
        let mut wire = frame(false, BINARY, &[0; 60]);
        wire.extend(frame(true, CONTINUATION, &[0; 60]));
        assert_eq!(decode(&mut Decoder::new(100), &wire, 10).unwrap(), [Event::Oversized]);

        let mut decoder = Decoder::new(usize::MAX);
        let mut claim: &[u8] = &[0x82, 0xFF, 0, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 2, 3, 4, 5];
        assert_eq!(decoder.next(&mut claim).unwrap(), None);
        assert!(decoder.message.capacity() <= 2 * RESERVE);
    }

    #[test]
    fn text_is_told_at_once_and_not_kept() {
        let wire = frame(true, TEXT, b"hello");
        let mut decoder = Decoder::new(1);
        assert_eq!(decode(&mut decoder, &wire, 3).unwrap(), [Event::Text]);
        assert_eq!(decoder.message.capacity(), 0);
    }

    #[test]
    fn breaches_of_the_protocol_are_named() {
        let cases: [(&[u8], &str); 9] = [
            (&[0xC2, 0x80], "reserved bit"),
            (&[0x82, 0x00], "not masked"),
            (&[0x80, 0x80], "nothing to continue"),
            (&[0x83, 0x80], "unknown frame type"),
            (&[0x09, 0x80], "control frame"),
            (&[0x89, 0xFE], "control frame"),
            (&[0x82, 0xFE, 0, 5, 0, 0, 0, 0], "shortest"),
            (&[0x88, 0x81, 0, 0, 0, 0, 1], "half a code"),
            (&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xED], "impossible code"),
        ];
        for (wire, expected) in cases {
            let error = decode(&mut Decoder::new(100), wire, 100).unwrap_err().to_string();
            assert!(error.contains(expected), "{wire:x?}: {error}");
        }
        let mut nested = frame(false, BINARY, b"a");
        nested.extend(frame(true, BINARY, b"b"));
        assert!(decode(&mut Decoder::new(100), &nested, 100).is_err());
    }

    #[test]
    fn a_close_frame_has_a_code_that_may_be_sent_and_a_readable_reason() {
        for code in 0..=u16::MAX {
            let may_be_sent = matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999);
            assert_eq!(close_code(&code.to_be_bytes()).is_ok(), may_be_sent, "{code}");
        }
        assert_eq!(close_code(b"\x03\xe8bye"), Ok(Some(1000)));
        assert!(close_code(b"\x03\xe8\xff").is_err());
    }
}

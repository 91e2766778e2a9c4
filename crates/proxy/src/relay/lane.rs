//! One direction of a session: what has been received and not yet sent on.

use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Buf as _, BytesMut};
use postgres::socket::Socket;
use tokio::io::{AsyncReadExt as _, AsyncWrite as _};

use crate::Frame;

/// How much is read at once where possible, and about how much may wait to be sent before reading stops.
const CHUNK: usize = 64 * 1024;

/// No message is longer: Postgres takes none above 1 GiB, and sends none above 2 GiB.
const LARGEST: u32 = 0x7FFF_FFFF;

/// The longest message that is held in memory as a whole because somebody minds it, in bytes.
pub const LARGEST_HELD: usize = 256 << 20;

/// A stream of messages that can't go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A message that has to be looked at is longer than [`LARGEST_HELD`].
    #[error("a message is too long to be looked at")]
    TooLong,
}

/// One direction. Messages that nobody minds stay where they were read until they are written out, never copied and never
/// waited for as a whole; what was made by somebody else goes in between messages.
#[derive(Debug, Default)]
pub struct Lane {
    /// What has been received. The first `approved` bytes may be sent.
    input: BytesMut,
    approved: usize,
    /// Bytes of the last approved message that have not been received.
    partial: usize,
    /// To be sent before anything of `input`.
    output: BytesMut,
    /// The stream is out of step: everything passes, for the other side to judge.
    raw: bool,
    /// The source has no more.
    ended: bool,
    unflushed: bool,
    closed: bool,
}

impl Lane {
    /// A direction of which this has been received already.
    #[must_use]
    pub fn new(input: BytesMut) -> Lane {
        Lane { input, ..Lane::default() }
    }

    /// Approves messages up to the first that is minded, which is the answer once it is whole. Between two messages, what
    /// has been `made` is put in.
    ///
    /// # Errors
    /// [`Broken`], if the next message can't be had.
    pub fn next(&mut self, made: &mut BytesMut, minds: impl Fn(u8) -> bool) -> Result<Option<Frame>, Broken> {
        loop {
            let waiting = self.input.len() - self.approved;
            if self.raw {
                self.approved += waiting;
                return Ok(None);
            }
            let more = self.partial.min(waiting);
            self.approved += more;
            self.partial -= more;
            if self.partial > 0 {
                return Ok(None);
            }
            self.insert(made);
            let rest = self.input.get(self.approved..).unwrap_or_default();
            let Some(&[tag, a, b, c, d]) = rest.first_chunk::<{ Frame::HEADER }>() else { return Ok(None) };
            let length = u32::from_be_bytes([a, b, c, d]);
            if !(4..=LARGEST).contains(&length) {
                self.raw = true;
                continue;
            }
            let length = length as usize + 1;
            if !minds(tag) {
                self.partial = length;
                continue;
            }
            if length > LARGEST_HELD {
                return Err(Broken::TooLong);
            }
            if rest.len() < length {
                return Ok(None);
            }
            self.settle();
            return Ok(Frame::from_wire(self.input.split_to(length).freeze()));
        }
    }

    /// Puts in what has been `made`, unless it would come to stand inside a message; then it is left where it is.
    pub fn insert(&mut self, made: &mut BytesMut) {
        if !made.is_empty() && self.is_between_messages() {
            self.settle();
            self.output.extend_from_slice(made);
            made.clear();
        }
    }

    /// Whether something can be put in here.
    #[must_use]
    pub fn is_between_messages(&self) -> bool {
        self.partial == 0 && !self.raw
    }

    /// Takes what is approved out of the input.
    fn settle(&mut self) {
        if self.approved > 0 {
            self.output.extend_from_slice(self.input.get(..self.approved).unwrap_or_default());
            self.input.advance(self.approved);
            self.approved = 0;
        }
    }

    /// Bytes that may be sent.
    #[must_use]
    pub fn pending(&self) -> usize {
        self.output.len() + self.approved
    }

    /// Whether more is to be read: the source has more, and what has been read is being sent.
    #[must_use]
    pub fn wants_more(&self) -> bool {
        !self.ended && self.pending() < CHUNK
    }

    /// Whether the source has no more and all of it has been sent.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.ended && self.pending() == 0 && !self.unflushed
    }

    /// Nothing more is to be read.
    pub fn end(&mut self) {
        self.ended = true;
    }

    /// The target is gone: there is nothing to read for, and nothing to write.
    pub fn abandon(&mut self) {
        *self = Lane { ended: true, closed: true, ..Lane::default() };
    }

    /// Reads once. The answer is whether there was anything; if not, the source has ended.
    pub fn poll_read(&mut self, cx: &mut Context<'_>, source: &mut Socket) -> Poll<io::Result<bool>> {
        if self.input.is_empty() && self.input.capacity() > 8 * CHUNK {
            // A long message has gone.
            self.input = BytesMut::new();
        }
        if self.input.capacity() - self.input.len() < CHUNK / 8 {
            self.input.reserve(CHUNK);
        }
        let read = ready!(pin!(source.read_buf(&mut self.input)).poll(cx))?;
        self.ended = read == 0;
        Poll::Ready(Ok(read > 0))
    }

    /// Waits for more from the source. The answer is whether there was any; if not, the source has ended.
    ///
    /// # Errors
    /// The connection's.
    pub async fn fill(&mut self, source: &mut Socket) -> io::Result<bool> {
        poll_fn(|cx| self.poll_read(cx, source)).await
    }

    /// Adds a message to what is to be sent, behind everything that is.
    pub fn push(&mut self, frame: &Frame) {
        self.settle();
        self.output.extend_from_slice(frame.wire());
    }

    /// Takes what is to be sent.
    #[must_use]
    pub fn take(&mut self) -> BytesMut {
        self.settle();
        std::mem::take(&mut self.output)
    }

    /// Writes until nothing is pending or the target takes no more, and closes the target's half when all is done. Ready with
    /// whether anything was written.
    pub fn poll_write(&mut self, cx: &mut Context<'_>, target: &mut Socket) -> io::Result<bool> {
        let mut progress = false;
        while self.pending() > 0 {
            let approved = self.input.get(..self.approved).unwrap_or_default();
            let written = match (self.output.is_empty(), approved.is_empty()) {
                (true, _) => Pin::new(&mut *target).poll_write(cx, approved),
                (_, true) => Pin::new(&mut *target).poll_write(cx, &self.output),
                _ => {
                    let both = [IoSlice::new(&self.output), IoSlice::new(approved)];
                    Pin::new(&mut *target).poll_write_vectored(cx, &both)
                }
            };
            match written? {
                Poll::Pending => return Ok(progress),
                Poll::Ready(0) => return Err(io::ErrorKind::WriteZero.into()),
                Poll::Ready(written) => self.sent(written),
            }
            progress = true;
        }
        if self.unflushed {
            match Pin::new(&mut *target).poll_flush(cx)? {
                Poll::Pending => return Ok(progress),
                Poll::Ready(()) => self.unflushed = false,
            }
        }
        if self.ended && !self.closed && Pin::new(target).poll_shutdown(cx)?.is_ready() {
            self.closed = true;
        }
        Ok(progress)
    }

    fn sent(&mut self, written: usize) {
        let of_output = written.min(self.output.len());
        if of_output == self.output.len() {
            self.output.clear();
            if self.output.capacity() > 8 * CHUNK {
                self.output = BytesMut::new();
            }
        } else {
            self.output.advance(of_output);
        }
        self.input.advance(written - of_output);
        self.approved -= written - of_output;
        self.unflushed = true;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// All that a lane would send, with the messages that are minded handed back as they are.
    fn run(lane: &mut Lane, pieces: &[&[u8]], minds: impl Fn(u8) -> bool) -> (Vec<u8>, Vec<Frame>) {
        let (mut sent, mut seen, mut made) = (Vec::new(), Vec::new(), BytesMut::new());
        for piece in pieces {
            lane.input.extend_from_slice(piece);
            while let Some(frame) = lane.next(&mut made, &minds).unwrap() {
                made.extend_from_slice(frame.wire());
                seen.push(frame);
                lane.insert(&mut made);
            }
            sent.extend_from_slice(&lane.output);
            sent.extend_from_slice(&lane.input[..lane.approved]);
            lane.sent(lane.pending());
        }
        (sent, seen)
    }

    proptest! {
        #[test]
        fn passes_everything_on_in_order(
            messages in prop::collection::vec((any::<u8>(), prop::collection::vec(any::<u8>(), 0..200)), 0..20),
            step in 1usize..300,
            minded in any::<[bool; 256]>(),
        ) {
            let frames: Vec<Frame> = messages.iter().map(|(tag, body)| Frame::new(*tag, body)).collect();
            let wire: Vec<u8> = frames.iter().flat_map(|frame| frame.wire().to_vec()).collect();
            let pieces: Vec<&[u8]> = wire.chunks(step).collect();
            let (sent, seen) = run(&mut Lane::default(), &pieces, |tag| minded[usize::from(tag)]);
            prop_assert_eq!(sent, wire);
            let expected: Vec<Frame> = frames.into_iter().filter(|f| minded[usize::from(f.tag())]).collect();
            prop_assert_eq!(seen, expected);
        }

        #[test]
        fn any_bytes_pass(wire: Vec<u8>, step in 1usize..64) {
            let mut lane = Lane::default();
            let (sent, _) = run(&mut lane, &wire.chunks(step).collect::<Vec<_>>(), |_| false);
            // All but a header that has not arrived whole.
            prop_assert_eq!(&sent[..], &wire[..sent.len()]);
            prop_assert!(wire.len() - sent.len() < Frame::HEADER);
        }
    }

    #[test]
    fn nothing_is_put_inside_a_message() {
        let mut lane = Lane::default();
        let long = Frame::new(b'd', &[7; 100]);
        let mut made = BytesMut::from(&b"made"[..]);
        lane.input.extend_from_slice(&long.wire()[..50]);
        assert_eq!(lane.next(&mut made, |_| false), Ok(None));
        // It stood before the message, so it went first.
        assert!(made.is_empty());
        made.extend_from_slice(b"late");
        lane.insert(&mut made);
        assert_eq!(&made[..], b"late");
        lane.input.extend_from_slice(&long.wire()[50..]);
        assert_eq!(lane.next(&mut made, |_| false), Ok(None));
        assert!(made.is_empty());
        let mut expected = b"made".to_vec();
        expected.extend_from_slice(long.wire());
        expected.extend_from_slice(b"late");
        assert_eq!(&lane.output[..], &expected[..]);
    }

    #[test]
    fn a_long_message_is_held_only_if_it_must_be_and_only_up_to_a_bound() {
        let header = [b'Q', 0x7F, 0xFF, 0xFF, 0xFF, b's', b'e'];
        let (mut lane, mut made) = (Lane::new(BytesMut::from(&header[..])), BytesMut::new());
        assert_eq!(lane.next(&mut made, |_| true), Err(Broken::TooLong));
        assert_eq!(lane.next(&mut made, |_| false), Ok(None));
        assert_eq!(lane.pending(), header.len());
    }

    #[test]
    fn a_stream_out_of_step_is_left_to_the_other_side() {
        let mut lane = Lane::new(BytesMut::from(&b"GET / HTTP/1.1\r\n\r\n"[..]));
        lane.input[1..5].copy_from_slice(&[0, 0, 0, 3]);
        let mut made = BytesMut::new();
        assert_eq!(lane.next(&mut made, |_| true), Ok(None));
        assert_eq!(lane.pending(), 18);
        assert!(!lane.is_between_messages());
    }
}

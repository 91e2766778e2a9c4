//! Cutting operations into frames.

use bytes::Bytes;

use super::put;
use crate::message::OP_LOG;

/// Most operations in one frame; a transaction's begin and commit count (spec 02 §8.1).
pub const OPS_PER_FRAME: usize = 100;

/// A frame that has reached this many bytes is complete even with fewer operations. It is exceeded by less than one
/// operation, so frames stay far below the 100 MiB that clients take unless a single row is that large.
pub const FRAME_LEN: usize = 1 << 20;

/// The frame being filled.
#[derive(Default)]
pub(super) struct Frames {
    frame: Vec<u8>,
    ops: usize,
    /// What the last full frame needed; the next is likely alike.
    expected: usize,
}

impl Frames {
    /// Appends one operation of a `SatOpLog`: `field` is its number in `SatTransOp`, `body` the pieces of its message.
    /// Returns the frame that it completed, if it did.
    pub(super) fn push(&mut self, field: u8, body: &[&[u8]]) -> Option<Bytes> {
        let len: usize = body.iter().map(|part| part.len()).sum();
        if self.ops == 0 {
            self.frame.reserve_exact(self.expected.max(len + 16));
            self.frame.push(OP_LOG);
        }
        put::prefix(&mut self.frame, 1, 1 + put::varint_len(len) + len);
        put::prefix(&mut self.frame, field, len);
        for part in body {
            self.frame.extend_from_slice(part);
        }
        self.ops += 1;
        if self.ops < OPS_PER_FRAME && self.frame.len() < FRAME_LEN {
            return None;
        }
        self.expected = self.frame.len() + self.frame.len() / 8;
        self.cut()
    }

    /// What there is, as a frame; `None` if nothing was pushed since the last one.
    pub(super) fn cut(&mut self) -> Option<Bytes> {
        self.ops = 0;
        let frame = std::mem::take(&mut self.frame);
        (!frame.is_empty()).then(|| frame.into())
    }
}

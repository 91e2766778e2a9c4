//! One message of the protocol, version 3, after the start-up packet.

use bytes::{BufMut as _, Bytes, BytesMut};

/// A whole message as it stands on the wire: a type, a length of four bytes that counts itself, and a body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    bytes: Bytes,
}

impl Frame {
    /// Bytes of type and length.
    pub const HEADER: usize = 5;

    /// A message of this type with this body.
    ///
    /// # Panics
    /// Never for bodies below 2 GiB, which is the protocol's own bound.
    #[must_use]
    pub fn new(tag: u8, body: &[u8]) -> Frame {
        let mut bytes = BytesMut::with_capacity(Frame::HEADER + body.len());
        bytes.put_u8(tag);
        bytes.put_u32(u32::try_from(body.len() + 4).unwrap_or(u32::MAX));
        bytes.put_slice(body);
        Frame { bytes: bytes.freeze() }
    }

    /// Takes bytes that hold exactly one message; `None` if they don't.
    #[must_use]
    pub fn from_wire(bytes: Bytes) -> Option<Frame> {
        let length = bytes.get(1..Frame::HEADER)?.try_into().map(u32::from_be_bytes).ok()?;
        (bytes.len().checked_sub(1)? == usize::try_from(length).ok()? && length >= 4)
            .then_some(Frame { bytes })
    }

    /// Its type.
    #[must_use]
    pub fn tag(&self) -> u8 {
        self.bytes.first().copied().unwrap_or_default()
    }

    /// What follows type and length.
    #[must_use]
    pub fn body(&self) -> &[u8] {
        self.bytes.get(Frame::HEADER..).unwrap_or_default()
    }

    /// As it stands on the wire.
    #[must_use]
    pub fn wire(&self) -> &Bytes {
        &self.bytes
    }
}

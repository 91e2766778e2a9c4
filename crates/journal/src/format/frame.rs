//! Frames: a length, a checksum, a payload.

use bytes::Bytes;

use super::Malformed;

/// Bytes before the payload.
pub(crate) const HEAD: usize = 8;

/// Longest payload in bytes. No damaged length makes anybody ask for more memory than this.
pub(crate) const MAX_PAYLOAD: usize = 16 << 20;

/// Begins a frame at the end of `out`; what is appended afterwards is its payload, until [`end`].
pub(crate) fn begin(out: &mut Vec<u8>) -> usize {
    let at = out.len();
    out.extend_from_slice(&[0; HEAD]);
    at
}

/// Ends the frame that was begun at `at`.
pub(crate) fn end(out: &mut [u8], at: usize) {
    let Some((head, payload)) = out.get_mut(at..).and_then(|frame| frame.split_first_chunk_mut::<HEAD>())
    else {
        return;
    };
    let crc = crc32c::crc32c(payload);
    let head: &mut [u8; HEAD] = head;
    *head = [payload.len() as u32, crc].map(u32::to_le_bytes).concat().try_into().unwrap_or(*head);
}

/// Appends a whole frame.
pub(crate) fn put(out: &mut Vec<u8>, payload: &[&[u8]]) {
    let at = begin(out);
    payload.iter().for_each(|part| out.extend_from_slice(part));
    end(out, at);
}

/// A frame's length and checksum.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Head {
    pub(crate) len: usize,
    crc: u32,
}

impl Head {
    /// Reads it. A length of zero or beyond the bound is none.
    pub(crate) fn read(bytes: [u8; HEAD]) -> Result<Head, Malformed> {
        let [a, b, c, d, e, f, g, h] = bytes;
        let (len, crc) = (u32::from_le_bytes([a, b, c, d]) as usize, u32::from_le_bytes([e, f, g, h]));
        if (1..=MAX_PAYLOAD).contains(&len) { Ok(Head { len, crc }) } else { Err(Malformed) }
    }

    /// Whether the payload is what was written.
    pub(crate) fn fits(&self, payload: &[u8]) -> bool {
        payload.len() == self.len && crc32c::crc32c(payload) == self.crc
    }
}

/// The frames in a buffer, each checked. After an error there are no more.
pub(crate) struct Frames(pub(crate) Bytes);

impl Iterator for Frames {
    type Item = Result<Bytes, Malformed>;

    fn next(&mut self) -> Option<Result<Bytes, Malformed>> {
        if self.0.is_empty() {
            return None;
        }
        let frame = self.split();
        if frame.is_err() {
            self.0.clear();
        }
        Some(frame)
    }
}

impl Frames {
    fn split(&mut self) -> Result<Bytes, Malformed> {
        let head = Head::read(*self.0.first_chunk().ok_or(Malformed)?)?;
        if self.0.len() - HEAD < head.len {
            return Err(Malformed);
        }
        let mut payload = self.0.split_to(HEAD + head.len);
        let _ = payload.split_to(HEAD);
        if head.fits(&payload) { Ok(payload) } else { Err(Malformed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_flipped_bit_is_noticed() {
        let mut out = Vec::new();
        put(&mut out, &[b"a", b"bc"]);
        assert_eq!(out.len(), 11);
        let read = |bytes: &[u8]| Frames(Bytes::copy_from_slice(bytes)).collect::<Result<Vec<_>, _>>();
        assert_eq!(read(&out), Ok(vec![Bytes::from_static(b"abc")]));
        for bit in 0..out.len() * 8 {
            let mut bad = out.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(read(&bad), Err(Malformed), "bit {bit}");
        }
        assert_eq!(read(&[0; 64]), Err(Malformed), "what a disk gives back for what was never written");
    }
}

//! Numbers and texts.

use bytes::Bytes;

use super::Malformed;

/// Appends a varint.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

/// Appends a text.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

/// Appends an optional text.
pub(crate) fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => out.push(0),
        Some(text) => {
            put_varint(out, text.len() as u64 + 1);
            out.extend_from_slice(text.as_bytes());
        }
    }
}

/// Reads on from a place in a buffer.
pub(crate) struct Input {
    bytes: Bytes,
    at: usize,
}

impl Input {
    pub(crate) fn new(bytes: Bytes) -> Input {
        Input { bytes, at: 0 }
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at >= self.bytes.len()
    }

    /// The bytes between two places, shared.
    pub(crate) fn slice(&self, from: usize, to: usize) -> Bytes {
        self.bytes.slice(from.min(to)..to.min(self.bytes.len()))
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&[u8], Malformed> {
        let end = self.at.checked_add(len).ok_or(Malformed)?;
        let taken = self.bytes.get(self.at..end).ok_or(Malformed)?;
        self.at = end;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, Malformed> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(crate) fn i64(&mut self) -> Result<i64, Malformed> {
        Ok(i64::from_le_bytes(self.array()?))
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut n = 0;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(Malformed)?;
            self.at += 1;
            let low = u64::from(byte & 0x7F);
            if low << shift >> shift != low {
                return Err(Malformed);
            }
            n |= low << shift;
            if byte < 0x80 {
                return Ok(n);
            }
        }
        Err(Malformed)
    }

    /// A varint that counts bytes or things that follow: never more than are left.
    pub(crate) fn count(&mut self) -> Result<usize, Malformed> {
        let n = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
        if n <= self.bytes.len() - self.at { Ok(n) } else { Err(Malformed) }
    }

    pub(crate) fn utf8(&mut self, len: usize) -> Result<&str, Malformed> {
        std::str::from_utf8(self.take(len)?).map_err(|_| Malformed)
    }

    pub(crate) fn text(&mut self) -> Result<&str, Malformed> {
        let len = self.count()?;
        self.utf8(len)
    }

    pub(crate) fn optional(&mut self) -> Result<Option<&str>, Malformed> {
        match usize::try_from(self.varint()?).map_err(|_| Malformed)? {
            0 => Ok(None),
            n => self.utf8(n - 1).map(Some),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_and_texts_round_trip(n: u64, text: String, optional: Option<String>) {
            let mut out = Vec::new();
            put_varint(&mut out, n);
            put_text(&mut out, &text);
            put_optional(&mut out, optional.as_deref());
            let mut input = Input::new(out.into());
            prop_assert_eq!(input.varint(), Ok(n));
            prop_assert_eq!(input.text(), Ok(text.as_str()));
            prop_assert_eq!(input.optional(), Ok(optional.as_deref()));
            prop_assert!(input.is_empty());
        }
    }

    #[test]
    fn refuses_numbers_that_do_not_fit() {
        let refused = |bytes: &'static [u8]| Input::new(Bytes::from_static(bytes)).varint() == Err(Malformed);
        assert!(refused(&[]) && refused(&[0x80]) && refused(&[0xFF; 10]) && refused(&[0x80; 11]));
        assert!(!refused(&[0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]));
    }
}

//! Just enough DER (X.690) to find out what key a PEM block holds: tag, length, value, nothing constructed beyond what
//! keys need. Lengths are definite and minimal; every read is bounded by its parent.

/// What is left of a DER value.
#[derive(Clone, Copy)]
pub(crate) struct Der<'a>(&'a [u8]);

/// The bytes are not the DER that was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotDer;

pub(crate) const INTEGER: u8 = 0x02;
pub(crate) const BIT_STRING: u8 = 0x03;
pub(crate) const NULL: u8 = 0x05;
pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
pub(crate) const SEQUENCE: u8 = 0x30;
/// `[0]`, constructed: the version field of a certificate.
pub(crate) const CONTEXT_0: u8 = 0xa0;

impl<'a> Der<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Der<'a> {
        Der(bytes)
    }

    pub(crate) fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    /// The tag of the next value, if there is one.
    pub(crate) fn peek(self) -> Option<u8> {
        self.0.first().copied()
    }

    /// Takes the next value, which must have this tag, and returns its content.
    pub(crate) fn take(&mut self, tag: u8) -> Result<&'a [u8], NotDer> {
        let (&found, rest) = self.0.split_first().ok_or(NotDer)?;
        if found != tag {
            return Err(NotDer);
        }
        let (len, rest) = length(rest)?;
        if len > rest.len() {
            return Err(NotDer);
        }
        let (content, rest) = rest.split_at(len);
        self.0 = rest;
        Ok(content)
    }

    /// Takes a constructed value and reads inside it.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Der<'a>, NotDer> {
        self.take(tag).map(Der)
    }

    /// Takes a bit string of whole bytes.
    pub(crate) fn bits(&mut self) -> Result<&'a [u8], NotDer> {
        match self.take(BIT_STRING)? {
            [0, bytes @ ..] => Ok(bytes),
            _ => Err(NotDer),
        }
    }

    /// Takes an integer greater than zero and returns its magnitude without leading zeros.
    pub(crate) fn positive_integer(&mut self) -> Result<&'a [u8], NotDer> {
        match self.take(INTEGER)? {
            [0, rest @ ..] if rest.first().is_some_and(|first| first & 0x80 != 0) => Ok(rest),
            bytes if bytes.first().is_some_and(|first| (1..0x80).contains(first)) => Ok(bytes),
            _ => Err(NotDer),
        }
    }

    /// Nothing may be left.
    pub(crate) fn end(self) -> Result<(), NotDer> {
        if self.0.is_empty() { Ok(()) } else { Err(NotDer) }
    }
}

/// A definite length in its shortest form, at most two bytes long: no key is larger than 64 KiB.
fn length(bytes: &[u8]) -> Result<(usize, &[u8]), NotDer> {
    match bytes {
        [len @ 0..=0x7f, rest @ ..] => Ok((usize::from(*len), rest)),
        [0x81, len @ 0x80..=0xff, rest @ ..] => Ok((usize::from(*len), rest)),
        [0x82, high @ 1..=0xff, low, rest @ ..] => Ok((usize::from(*high) << 8 | usize::from(*low), rest)),
        _ => Err(NotDer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_values_in_order_and_notices_what_is_left() {
        let mut outer = Der::new(&[0x30, 0x06, 0x02, 0x01, 0x05, 0x02, 0x01, 0x06, 0xff]);
        let mut inner = outer.enter(SEQUENCE).unwrap();
        assert_eq!(inner.positive_integer(), Ok(&[5][..]));
        assert_eq!(inner.end(), Err(NotDer));
        assert_eq!(inner.positive_integer(), Ok(&[6][..]));
        assert_eq!(inner.end(), Ok(()));
        assert_eq!(outer.end(), Err(NotDer));
    }

    #[test]
    fn refuses_lengths_that_lie_or_are_not_minimal() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x81, 0x01, 0],
            &[0x30, 0x82, 0, 1, 0],
        ] {
            assert_eq!(Der::new(bytes).take(SEQUENCE), Err(NotDer), "{bytes:x?}");
        }
        assert_eq!(Der::new(&[0x30, 0x83, 0, 0, 1, 0]).take(SEQUENCE), Err(NotDer));
        let mut long = vec![0x30, 0x82, 0x01, 0x00];
        long.resize(4 + 256, 7);
        assert_eq!(Der::new(&long).take(SEQUENCE).map(<[u8]>::len), Ok(256));
    }

    #[test]
    fn integers_are_positive_and_minimal() {
        assert_eq!(Der::new(&[2, 2, 0, 0x80]).positive_integer(), Ok(&[0x80][..]));
        for bytes in [&[2, 0][..], &[2, 1, 0], &[2, 1, 0x80], &[2, 2, 0, 1], &[2, 1, 0xff]] {
            assert_eq!(Der::new(bytes).positive_integer(), Err(NotDer), "{bytes:x?}");
        }
    }
}

//! The few protobuf primitives that op logs are made of.

use change::Tags;

/// The key byte of a length-delimited field with a number below 16.
pub(super) const fn key(number: u8) -> u8 {
    number << 3 | 2
}

/// The key byte of a varint field with a number below 16.
const fn number_key(number: u8) -> u8 {
    number << 3
}

pub(super) fn varint(out: &mut Vec<u8>, mut n: u64) {
    while n >= 0x80 {
        out.push(n as u8 | 0x80);
        n >>= 7;
    }
    out.push(n as u8);
}

pub(super) fn varint_len(n: usize) -> usize {
    (usize::BITS - (n | 1).leading_zeros()).div_ceil(7) as usize
}

/// A number field without presence: zero is not written.
pub(super) fn number(out: &mut Vec<u8>, field: u8, n: u64) {
    if n != 0 {
        some_number(out, field, n);
    }
}

/// A number field with presence.
pub(super) fn some_number(out: &mut Vec<u8>, field: u8, n: u64) {
    out.push(number_key(field));
    varint(out, n);
}

/// A bytes or string field with presence, or an element of a repeated one.
pub(super) fn bytes(out: &mut Vec<u8>, field: u8, value: &[u8]) {
    prefix(out, field, value.len());
    out.extend_from_slice(value);
}

/// Key and length of a length-delimited field.
pub(super) fn prefix(out: &mut Vec<u8>, field: u8, len: usize) {
    out.push(key(field));
    varint(out, len as u64);
}

/// The elements of a `repeated string tags` field.
pub(super) fn tags(out: &mut Vec<u8>, field: u8, tags: &Tags) {
    for tag in tags.iter() {
        let origin = tag.origin.as_str().as_bytes();
        let mut digits = Digits::default();
        let ms = digits.write(tag.ms);
        prefix(out, field, origin.len() + 1 + ms.len());
        out.extend_from_slice(origin);
        out.push(b'@');
        out.extend_from_slice(ms);
    }
}

/// Room for a 64-bit number in decimal.
#[derive(Default)]
pub(super) struct Digits([u8; 20]);

impl Digits {
    pub(super) fn write(&mut self, n: i64) -> &[u8] {
        let start = self.fill(n.unsigned_abs());
        if n < 0 {
            self.0[start - 1] = b'-';
            return &self.0[start - 1..];
        }
        &self.0[start..]
    }

    pub(super) fn write_unsigned(&mut self, n: u64) -> &[u8] {
        let start = self.fill(n);
        &self.0[start..]
    }

    /// Fills from the end; returns where the digits begin.
    fn fill(&mut self, mut n: u64) -> usize {
        let mut start = self.0.len();
        loop {
            start -= 1;
            self.0[start] = b'0' + (n % 10) as u8;
            n /= 10;
            if n == 0 {
                return start;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_come_out_as_elsewhere(n: u64, i: i64) {
            let (mut ours, mut theirs) = (Vec::new(), Vec::new());
            varint(&mut ours, n);
            prost::encoding::encode_varint(n, &mut theirs);
            prop_assert_eq!(&ours, &theirs);
            prop_assert_eq!(varint_len(n as usize), ours.len());
            let unsigned = n.to_string();
            prop_assert!(Digits::default().write_unsigned(n) == unsigned.as_bytes());
            let signed = i.to_string();
            prop_assert!(Digits::default().write(i) == signed.as_bytes());
        }
    }

    #[test]
    fn extremes_fit() {
        assert_eq!(Digits::default().write(i64::MIN), b"-9223372036854775808");
        assert_eq!(Digits::default().write_unsigned(u64::MAX), b"18446744073709551615");
        assert_eq!((varint_len(0), varint_len(127), varint_len(128)), (1, 1, 2));
    }
}

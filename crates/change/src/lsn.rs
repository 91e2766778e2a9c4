//! Positions in the write-ahead log.

use std::{fmt, str::FromStr};

use bytes::Bytes;

/// A position in the write-ahead log: for a transaction, the end of its commit record.
///
/// Two text forms exist. Postgres writes `16/B374D848` ([`fmt::Display`], [`FromStr`]); the Satellite protocol
/// writes the same number in decimal ASCII ([`Lsn::to_wire`], [`Lsn::from_wire`], spec 02 §7.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Lsn(pub u64);

/// The text is no position.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a position in the write-ahead log")]
pub struct MalformedLsn;

impl Lsn {
    /// The position before everything.
    pub const ZERO: Lsn = Lsn(0);

    /// The form clients store and send back: decimal, no sign, no leading zeros.
    #[must_use]
    pub fn to_wire(self) -> Bytes {
        Bytes::from(self.0.to_string())
    }

    /// Reads [`Lsn::to_wire`]'s form: one or more ASCII digits that fit 64 bits.
    ///
    /// # Errors
    /// [`MalformedLsn`] for anything else, the empty string included.
    pub fn from_wire(bytes: &[u8]) -> Result<Lsn, MalformedLsn> {
        if bytes.is_empty() || !bytes.iter().all(u8::is_ascii_digit) {
            return Err(MalformedLsn);
        }
        let text = std::str::from_utf8(bytes).map_err(|_| MalformedLsn)?;
        text.parse().map(Lsn).map_err(|_| MalformedLsn)
    }
}

impl fmt::Display for Lsn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:X}/{:X}", self.0 >> 32, self.0 & 0xFFFF_FFFF)
    }
}

impl FromStr for Lsn {
    type Err = MalformedLsn;

    fn from_str(text: &str) -> Result<Lsn, MalformedLsn> {
        let (segment, offset) = text.split_once('/').ok_or(MalformedLsn)?;
        let part = |hex: &str| match hex.len() {
            1..=8 if hex.bytes().all(|b| b.is_ascii_hexdigit()) => {
                u64::from_str_radix(hex, 16).map_err(|_| MalformedLsn)
            }
            _ => Err(MalformedLsn),
        };
        Ok(Lsn(part(segment)? << 32 | part(offset)?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn both_forms_round_trip(n: u64) {
            let lsn = Lsn(n);
            prop_assert_eq!(lsn.to_string().parse(), Ok(lsn));
            prop_assert_eq!(Lsn::from_wire(&lsn.to_wire()), Ok(lsn));
        }
    }

    #[test]
    fn refuses_what_is_no_position() {
        for bad in ["", "-1", "+1", "1.0", "18446744073709551616", " 1", "1/2", "abc"] {
            assert_eq!(Lsn::from_wire(bad.as_bytes()), Err(MalformedLsn), "{bad:?}");
        }
        for bad in ["", "/", "1/", "/1", "1", "123456789/0", "+1/0", "G/0"] {
            assert_eq!(bad.parse::<Lsn>(), Err(MalformedLsn), "{bad:?}");
        }
    }
}

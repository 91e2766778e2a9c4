//! Reading protobuf in place: the fields of a message one after another, nothing copied, nothing allocated.
//!
//! What clients write goes through here rather than through the generated types, whose vectors would take many times
//! the memory of a message made of empty values.

/// The bytes are no protobuf message, or not of the type expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed protobuf")]
pub(crate) struct Malformed;

/// A field's value as far as the Satellite messages need it.
#[derive(Clone, Copy)]
pub(crate) enum Value<'a> {
    Varint(u64),
    Bytes(&'a [u8]),
    /// Fixed-width numbers: no message has one, so they only occur as unknown fields.
    Fixed,
}

impl<'a> Value<'a> {
    pub(crate) fn bytes(self) -> Result<&'a [u8], Malformed> {
        if let Value::Bytes(bytes) = self { Ok(bytes) } else { Err(Malformed) }
    }

    pub(crate) fn number(self) -> Result<u64, Malformed> {
        if let Value::Varint(n) = self { Ok(n) } else { Err(Malformed) }
    }
}

/// The fields of one message. After an error the iteration ends. Groups, which no message of the protocol has, are errors.
#[derive(Clone, Copy)]
pub(crate) struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Fields<'a> {
        Fields(message)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let mut n = 0;
        for (i, byte) in self.0.iter().enumerate().take(10) {
            n |= u64::from(byte & 0x7F) << (7 * i);
            if byte & 0x80 == 0 {
                if i == 9 && *byte > 1 {
                    return Err(Malformed);
                }
                self.0 = &self.0[i + 1..];
                return Ok(n);
            }
        }
        Err(Malformed)
    }

    fn take(&mut self, len: u64) -> Result<&'a [u8], Malformed> {
        let len = usize::try_from(len).map_err(|_| Malformed)?;
        let (head, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(head)
    }

    fn field(&mut self) -> Result<(u32, Value<'a>), Malformed> {
        let key = u32::try_from(self.varint()?).map_err(|_| Malformed)?;
        let value = match key & 7 {
            0 => Value::Varint(self.varint()?),
            1 => self.take(8).map(|_| Value::Fixed)?,
            2 => {
                let len = self.varint()?;
                Value::Bytes(self.take(len)?)
            }
            5 => self.take(4).map(|_| Value::Fixed)?,
            _ => return Err(Malformed),
        };
        match key >> 3 {
            0 => Err(Malformed),
            number => Ok((number, value)),
        }
    }
}

/// Field numbers and values.
impl<'a> Iterator for Fields<'a> {
    type Item = Result<(u32, Value<'a>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use prost::encoding::{decode_varint, encode_varint};

    use super::*;

    proptest! {
        #[test]
        fn any_bytes_come_to_an_end(bytes: Vec<u8>) {
            prop_assert!(Fields::of(&bytes).count() <= bytes.len());
        }

        #[test]
        fn varints_are_read_as_prost_reads_them(n: u64, tail: Vec<u8>) {
            let mut bytes = Vec::new();
            encode_varint(n, &mut bytes);
            bytes.extend(&tail);
            let mut fields = Fields::of(&bytes);
            prop_assert_eq!(fields.varint(), Ok(n));
            prop_assert_eq!(fields.0, &tail[..]);
            let mut rest = &tail[..];
            prop_assert_eq!(Fields::of(&tail).varint().ok(), decode_varint(&mut rest).ok());
        }
    }
}

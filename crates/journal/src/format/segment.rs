//! The beginning of a segment.

use bytes::Bytes;
use change::Lsn;

use super::{
    Malformed, VERSION,
    frame::{self, Frames, Head},
    wire::{Input, put_optional, put_text},
};
use crate::Identity;

pub(crate) const MAGIC: &[u8; 8] = b"TLJOURNL";

/// Bytes up to and with the head of the header's frame.
pub(crate) const PREFIX: usize = MAGIC.len() + 4 + frame::HEAD;

/// The header of a segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) sequence: u64,
    pub(crate) start: Lsn,
    pub(crate) timeline: u32,
    pub(crate) identity: Identity,
    pub(crate) schema: Option<String>,
}

/// What the first bytes of a file say.
pub(crate) enum Prefix {
    /// A segment that can be read: its version, and how many bytes of header follow.
    Readable(u32, usize),
    /// A segment of a later format.
    Newer(u32),
}

impl Prefix {
    /// Reads it.
    pub(crate) fn read(bytes: &[u8; PREFIX]) -> Result<Prefix, Malformed> {
        let (magic, rest) = bytes.split_first_chunk::<8>().ok_or(Malformed)?;
        let (version, rest) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
        let version = u32::from_le_bytes(*version);
        match version {
            _ if magic != MAGIC => Err(Malformed),
            0 => Err(Malformed),
            1..=VERSION => {
                Ok(Prefix::Readable(version, Head::read(*rest.first_chunk().ok_or(Malformed)?)?.len))
            }
            _ => Ok(Prefix::Newer(version)),
        }
    }
}

impl Header {
    /// The bytes that a segment begins with.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        out.extend_from_slice(&VERSION.to_le_bytes());
        let at = frame::begin(&mut out);
        out.extend_from_slice(&self.sequence.to_le_bytes());
        out.extend_from_slice(&self.start.0.to_le_bytes());
        out.extend_from_slice(&self.timeline.to_le_bytes());
        out.extend_from_slice(&self.identity.database.to_le_bytes());
        put_text(&mut out, &self.identity.system);
        put_optional(&mut out, self.schema.as_deref());
        frame::end(&mut out, at);
        out
    }

    /// Reads them; `bytes` are all of them.
    pub(crate) fn read(bytes: Bytes) -> Result<Header, Malformed> {
        let mut frame = bytes;
        if frame.len() < PREFIX {
            return Err(Malformed);
        }
        let frame = frame.split_off(MAGIC.len() + 4);
        let mut input = Input::new(Frames(frame).next().ok_or(Malformed)??);
        Ok(Header {
            sequence: input.u64()?,
            start: Lsn(input.u64()?),
            timeline: input.u32()?,
            identity: Identity { database: input.u32()?, system: input.text()?.to_owned() },
            schema: input.optional()?.map(str::to_owned),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_round_trips_and_a_later_one_is_told_apart() {
        let identity = Identity { system: "7339104512345678901".into(), database: 16384 };
        let header =
            Header { sequence: 7, start: Lsn(99), timeline: 2, identity, schema: Some("2026".into()) };
        let bytes = header.to_bytes();
        let prefix: &[u8; PREFIX] = bytes.first_chunk().unwrap();
        let Ok(Prefix::Readable(VERSION, len)) = Prefix::read(prefix) else {
            panic!("it is of this version")
        };
        assert_eq!(PREFIX + len, bytes.len());
        assert_eq!(Header::read(bytes.clone().into()), Ok(header));
        let mut later = *prefix;
        later[8] = 9;
        assert!(matches!(Prefix::read(&later), Ok(Prefix::Newer(9))));
        later[0] = 0;
        assert!(Prefix::read(&later).is_err());
        for len in 0..bytes.len() {
            assert!(Header::read(Bytes::copy_from_slice(&bytes[..len])).is_err());
        }
    }
}

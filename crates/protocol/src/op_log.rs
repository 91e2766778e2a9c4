//! `SatOpLog` as it is received: kept as bytes, walked operation by operation (spec 02 §4.6).

use std::fmt;

use bytes::Bytes;
use prost::Message as _;

use crate::{
    fields::{Fields, Malformed, Value},
    wire::SatOpLog,
};

/// A `SatOpLog` payload that is known to be well formed but has not been taken apart: its memory is that of its bytes,
/// however many operations it holds.
#[derive(Clone, PartialEq, Eq)]
pub struct OpLog(Bytes);

impl OpLog {
    pub(crate) fn parse(payload: Bytes) -> Result<OpLog, Malformed> {
        let log = OpLog(payload);
        log.ops().try_for_each(|op| op.map(drop))?;
        Ok(log)
    }

    /// The payload, without the type byte.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.0
    }

    /// How many operations it holds.
    #[must_use]
    pub fn count(&self) -> usize {
        self.ops().count()
    }

    /// Takes the whole log apart, for peers that read what a server sends.
    ///
    /// # Errors
    /// When an operation that only servers send is malformed.
    pub fn decode(&self) -> Result<SatOpLog, prost::DecodeError> {
        SatOpLog::decode(self.0.clone())
    }

    /// The operations in order.
    pub(crate) fn ops(&self) -> impl Iterator<Item = Result<Op<'_>, Malformed>> {
        Fields::of(&self.0).filter_map(|field| match field {
            Ok((1, value)) => Some(value.bytes().and_then(Op::parse)),
            Ok(_) => None,
            Err(error) => Some(Err(error)),
        })
    }
}

impl From<&SatOpLog> for OpLog {
    fn from(log: &SatOpLog) -> OpLog {
        OpLog(log.encode_to_vec().into())
    }
}

/// Row values are the users' own and are not printed.
impl fmt::Debug for OpLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OpLog({} bytes)", self.0.len())
    }
}

/// One operation of a client, still in place.
pub(crate) enum Op<'a> {
    Begin {
        commit_timestamp: u64,
        lsn: &'a [u8],
    },
    Commit,
    Insert(RowOp<'a>),
    Update(RowOp<'a>),
    Delete(RowOp<'a>),
    Compensation(RowOp<'a>),
    /// One that no client may send, by its name.
    ServerOnly(&'static str),
    /// One that this version does not know, or none at all.
    Unknown,
}

impl<'a> Op<'a> {
    /// If several kinds are set, which no known peer does, the last counts.
    fn parse(message: &'a [u8]) -> Result<Op<'a>, Malformed> {
        let mut op = Op::Unknown;
        for field in Fields::of(message) {
            let (number, value) = field?;
            if let 1..=10 = number {
                let body = value.bytes()?;
                op = match number {
                    1 => begin(body)?,
                    2 => Fields::of(body).try_for_each(|field| field.map(drop)).map(|()| Op::Commit)?,
                    3 => Op::Update(RowOp::parse(body, Numbers { new: 2, old: 3, tags: 4 })?),
                    4 => Op::Insert(RowOp::parse(body, Numbers { new: 2, old: 0, tags: 3 })?),
                    5 => Op::Delete(RowOp::parse(body, Numbers { new: 0, old: 2, tags: 3 })?),
                    7 => Op::Compensation(RowOp::parse(body, Numbers { new: 2, old: 0, tags: 4 })?),
                    6 => Op::ServerOnly("migrate"),
                    8 => Op::ServerOnly("gone"),
                    9 => Op::ServerOnly("additional_begin"),
                    _ => Op::ServerOnly("additional_commit"),
                };
            }
        }
        Ok(op)
    }
}

fn begin(body: &[u8]) -> Result<Op<'_>, Malformed> {
    let (mut commit_timestamp, mut lsn) = (0, &[][..]);
    for field in Fields::of(body) {
        match field? {
            (1, value) => commit_timestamp = value.number()?,
            (3, value) => lsn = value.bytes()?,
            _ => {}
        }
    }
    Ok(Op::Begin { commit_timestamp, lsn })
}

/// The field numbers of a row operation; 0 where it has no such row.
#[derive(Clone, Copy)]
struct Numbers {
    new: u32,
    old: u32,
    tags: u32,
}

/// An operation on a row: `new` is the row it makes (or the key, for a compensation), `old` the row it found.
pub(crate) struct RowOp<'a> {
    pub(crate) relation: u32,
    pub(crate) new: Option<WireRow<'a>>,
    pub(crate) old: Option<WireRow<'a>>,
    body: &'a [u8],
    tags: u32,
}

impl<'a> RowOp<'a> {
    fn parse(body: &'a [u8], numbers: Numbers) -> Result<RowOp<'a>, Malformed> {
        let mut op = RowOp { relation: 0, new: None, old: None, body, tags: numbers.tags };
        for field in Fields::of(body) {
            match field? {
                // Longer numbers are cut to 32 bits, as protobuf says.
                (1, value) => op.relation = value.number()? as u32,
                (n, value) if n == numbers.new => op.new = Some(WireRow::parse(value.bytes()?)?),
                (n, value) if n == numbers.old => op.old = Some(WireRow::parse(value.bytes()?)?),
                (n, value) if n == numbers.tags => {
                    std::str::from_utf8(value.bytes()?).map_err(|_| Malformed)?;
                }
                _ => {}
            }
        }
        Ok(op)
    }

    pub(crate) fn tags(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let tags = self.tags;
        repeated(self.body, tags).filter_map(|tag| std::str::from_utf8(tag).ok())
    }
}

/// A `SatOpRow` in place.
#[derive(Clone, Copy)]
pub(crate) struct WireRow<'a> {
    /// The null bitmask, as long as the client made it.
    pub(crate) nulls: &'a [u8],
    /// How many values there are.
    pub(crate) len: usize,
    body: &'a [u8],
}

impl<'a> WireRow<'a> {
    fn parse(body: &'a [u8]) -> Result<WireRow<'a>, Malformed> {
        let mut row = WireRow { nulls: &[], len: 0, body };
        for field in Fields::of(body) {
            match field? {
                (1, value) => row.nulls = value.bytes()?,
                (2, value) => {
                    value.bytes()?;
                    row.len += 1;
                }
                _ => {}
            }
        }
        Ok(row)
    }

    /// The values in order, those of NULL columns included.
    pub(crate) fn values(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        repeated(self.body, 2)
    }

    /// Whether the bit of a column is set; `None` if the mask is too short to say.
    pub(crate) fn is_null(&self, column: usize) -> Option<bool> {
        self.nulls.get(column / 8).map(|byte| byte & (0x80 >> (column % 8)) != 0)
    }
}

/// The contents of a length-delimited field of a message that has been checked before.
fn repeated(body: &[u8], number: u32) -> impl Iterator<Item = &[u8]> {
    Fields::of(body).filter_map(move |field| match field {
        Ok((n, Value::Bytes(bytes))) if n == number => Some(bytes),
        _ => None,
    })
}

//! The index at the end of a sealed segment.

use std::sync::Arc;

use bytes::Bytes;
use change::Lsn;

use super::{
    Malformed,
    frame::{self, Frames, MAX_PAYLOAD},
    kind,
    record::{Schema, put_schema},
    wire::{Input, put_optional, put_varint},
};

/// Bytes of the trailer.
pub(crate) const TRAILER: usize = 16;
const TRAILER_MAGIC: &[u8; 4] = b"TLJX";

/// A run of whole records in a segment: what is read at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chunk {
    /// Everything in it lies after this.
    pub(crate) before: Lsn,
    /// There are no other transactions up to here.
    pub(crate) end: Lsn,
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// Its bytes.
    pub(crate) len: u64,
    /// Transactions in it.
    pub(crate) transactions: u64,
    /// The version of the schema before it.
    pub(crate) schema: Option<Arc<str>>,
}

/// How things stand at the end of a segment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Standing {
    pub(crate) end: Lsn,
    pub(crate) timeline: u32,
    pub(crate) schema: Option<Arc<str>>,
}

/// Where a segment's records begin, and how things stand there.
#[derive(Clone, Debug)]
pub(crate) struct Beginning {
    pub(crate) offset: u64,
    pub(crate) start: Lsn,
    pub(crate) schema: Option<Arc<str>>,
}

/// The index frame and the trailer, to be written at `offset`; `None` if it is too long for a frame.
pub(crate) fn to_bytes(
    offset: u64,
    standing: &Standing,
    beginning: &Beginning,
    chunks: &[Chunk],
) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let at = frame::begin(&mut out);
    out.push(kind::INDEX);
    out.extend_from_slice(&standing.end.0.to_le_bytes());
    out.extend_from_slice(&standing.timeline.to_le_bytes());
    put_optional(&mut out, standing.schema.as_deref());
    put_varint(&mut out, chunks.len() as u64);
    let (mut end, mut schema) = (beginning.start, &beginning.schema);
    for chunk in chunks {
        put_varint(&mut out, chunk.len);
        put_varint(&mut out, chunk.end.0.saturating_sub(end.0));
        put_varint(&mut out, chunk.transactions);
        put_schema(&mut out, chunk.schema.as_deref(), schema.as_deref());
        (end, schema) = (chunk.end, &chunk.schema);
    }
    if out.len() - frame::HEAD > MAX_PAYLOAD {
        return None;
    }
    frame::end(&mut out, at);
    let offset = offset.to_le_bytes();
    out.extend_from_slice(&offset);
    out.extend_from_slice(&crc32c::crc32c(&offset).to_le_bytes());
    out.extend_from_slice(TRAILER_MAGIC);
    Some(out)
}

/// The offset of the index, by the trailer.
pub(crate) fn read_trailer(bytes: &[u8; TRAILER]) -> Result<u64, Malformed> {
    let (offset, rest) = bytes.split_first_chunk::<8>().ok_or(Malformed)?;
    let (crc, magic) = rest.split_first_chunk::<4>().ok_or(Malformed)?;
    if magic != TRAILER_MAGIC || u32::from_le_bytes(*crc) != crc32c::crc32c(offset) {
        return Err(Malformed);
    }
    Ok(u64::from_le_bytes(*offset))
}

/// Reads the index frame, which begins at `offset`.
pub(crate) fn read(
    frame: Bytes,
    offset: u64,
    beginning: &Beginning,
) -> Result<(Standing, Vec<Chunk>), Malformed> {
    let mut input = Input::new(Frames(frame).next().ok_or(Malformed)??);
    if input.u8()? != kind::INDEX {
        return Err(Malformed);
    }
    let end = Lsn(input.u64()?);
    let timeline = input.u32()?;
    let standing = Standing { end, timeline, schema: input.optional()?.map(Arc::from) };
    let count = input.count()?;
    let mut chunks: Vec<Chunk> = Vec::with_capacity(count.min(1024));
    let (mut at, mut before, mut schema) = (beginning.offset, beginning.start, beginning.schema.clone());
    for _ in 0..count {
        let (len, span, transactions) = (input.varint()?, input.varint()?, input.varint()?);
        Schema::take(&mut input)?.apply(&mut schema);
        let end = Lsn(before.0.checked_add(span).ok_or(Malformed)?);
        chunks.push(Chunk { before, end, offset: at, len, transactions, schema: schema.clone() });
        at = at.checked_add(len).ok_or(Malformed)?;
        before = end;
    }
    if input.is_empty() && at == offset && before == end { Ok((standing, chunks)) } else { Err(Malformed) }
}

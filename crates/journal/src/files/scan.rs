//! Reading a segment that has no index: what is whole in it.

use std::{fs::File, io, os::unix::fs::FileExt, sync::Arc};

use bytes::{Bytes, BytesMut};
use change::Lsn;

use crate::format::{
    Malformed,
    frame::{HEAD, Head},
    index::{Beginning, Chunk, Standing},
    record::{Glance, Schema, glance},
};

/// Bytes of records after which a chunk ends.
pub(crate) const CHUNK: u64 = 128 << 10;

/// Bytes that are read at once.
const STRIDE: usize = 1 << 20;

/// A chunk that is being filled.
#[derive(Clone, Debug)]
pub(crate) struct Filling {
    before: Lsn,
    offset: u64,
    transactions: u64,
    schema: Option<Arc<str>>,
}

impl Filling {
    /// An empty chunk.
    pub(crate) fn new(before: Lsn, offset: u64, schema: Option<Arc<str>>) -> Filling {
        Filling { before, offset, transactions: 0, schema }
    }

    /// One more transaction is in it.
    pub(crate) fn count(&mut self) {
        self.transactions += 1;
    }

    /// Ends it, and begins the next one.
    pub(crate) fn end(&mut self, end: Lsn, offset: u64, schema: Option<Arc<str>>) -> Option<Chunk> {
        if offset == self.offset {
            return None;
        }
        let filled = std::mem::replace(self, Filling::new(end, offset, schema));
        let Filling { before, offset: begin, transactions, schema } = filled;
        Some(Chunk { before, end, offset: begin, len: offset - begin, transactions, schema })
    }

    /// Bytes in it, if it ended at `offset`.
    pub(crate) fn len(&self, offset: u64) -> u64 {
        offset.saturating_sub(self.offset)
    }
}

/// What is whole in a segment.
#[derive(Debug)]
pub(crate) struct Scanned {
    pub(crate) standing: Standing,
    pub(crate) chunks: Vec<Chunk>,
    /// Where the whole part ends.
    pub(crate) len: u64,
    /// Whether something whole follows that can't be used: then it is not only the end that is missing.
    pub(crate) has_hole: bool,
    /// Bytes that were looked at.
    pub(crate) read: u64,
}

/// Reads the records of a file of `size` bytes up to the first that is not whole, or lies after `until`.
pub(crate) fn scan(
    file: &File,
    size: u64,
    beginning: &Beginning,
    timeline: u32,
    until: Lsn,
) -> io::Result<Scanned> {
    let mut walk = Walk {
        filling: Filling::new(beginning.start, beginning.offset, beginning.schema.clone()),
        standing: Standing { end: beginning.start, timeline, schema: beginning.schema.clone() },
        begun: None,
        within: false,
        until,
    };
    let mut window = Ahead { file, size, offset: beginning.offset, buffer: BytesMut::new() };
    let (mut chunks, mut len) = (Vec::new(), beginning.offset);
    while let Some(payload) = window.next_payload()? {
        match walk.step(&payload) {
            Ok(true) => len = window.offset,
            Ok(false) => {}
            Err(Malformed) => break,
        }
        if len == window.offset && walk.filling.len(len) >= CHUNK {
            chunks.extend(walk.filling.end(walk.standing.end, len, walk.standing.schema.clone()));
        }
    }
    chunks.extend(walk.filling.end(walk.standing.end, len, walk.standing.schema.clone()));
    let has_hole = window.skip()? && window.next_payload()?.is_some();
    let read = window.offset + window.buffer.len() as u64 - beginning.offset;
    Ok(Scanned { standing: walk.standing, chunks, len, has_hole, read })
}

/// Where a scan stands.
struct Walk {
    filling: Filling,
    standing: Standing,
    begun: Option<(Lsn, Schema)>,
    within: bool,
    until: Lsn,
}

impl Walk {
    /// Takes a frame; whether a record is complete with it.
    fn step(&mut self, payload: &Bytes) -> Result<bool, Malformed> {
        let passes = |lsn: Lsn, above: bool| if above && lsn <= self.until { Ok(()) } else { Err(Malformed) };
        match glance(payload, self.within)? {
            Glance::Begun(lsn, schema) => {
                if !self.within {
                    passes(lsn, lsn > self.standing.end)?;
                    self.begun = Some((lsn, schema));
                }
                self.within = true;
                Ok(false)
            }
            Glance::Transaction(lsn, schema) => {
                self.within = false;
                let (lsn, schema) = self.begun.take().unwrap_or((lsn, schema));
                passes(lsn, lsn > self.standing.end)?;
                self.standing.end = lsn;
                self.filling.count();
                schema.apply(&mut self.standing.schema);
                Ok(true)
            }
            Glance::Reached(lsn) => {
                passes(lsn, lsn >= self.standing.end)?;
                self.standing.end = lsn;
                Ok(true)
            }
            Glance::Timeline(timeline) => {
                self.standing.timeline = timeline;
                Ok(true)
            }
            Glance::Index => Err(Malformed),
        }
    }
}

/// A file read from front to back, some way ahead.
struct Ahead<'a> {
    file: &'a File,
    size: u64,
    /// Where the buffer begins in the file.
    offset: u64,
    buffer: BytesMut,
}

impl Ahead<'_> {
    /// The payload of the next frame; `None` if there is no whole one.
    fn next_payload(&mut self) -> io::Result<Option<Bytes>> {
        if !self.fill(HEAD)? {
            return Ok(None);
        }
        let Some(Ok(head)) = self.buffer.first_chunk().map(|bytes| Head::read(*bytes)) else {
            return Ok(None);
        };
        if !self.fill(HEAD + head.len)? {
            return Ok(None);
        }
        let payload = self.buffer.get(HEAD..HEAD + head.len).is_some_and(|payload| head.fits(payload));
        if !payload {
            return Ok(None);
        }
        let mut frame = self.buffer.split_to(HEAD + head.len);
        self.offset += frame.len() as u64;
        Ok(Some(frame.split_off(HEAD).freeze()))
    }

    /// Passes over a frame that is not whole, by its length; whether it has one.
    fn skip(&mut self) -> io::Result<bool> {
        if !self.fill(HEAD)? {
            return Ok(false);
        }
        let Some(Ok(head)) = self.buffer.first_chunk().map(|bytes| Head::read(*bytes)) else {
            return Ok(false);
        };
        if !self.fill(HEAD + head.len)? {
            return Ok(false);
        }
        let frame = self.buffer.split_to(HEAD + head.len);
        self.offset += frame.len() as u64;
        Ok(true)
    }

    /// Reads on until so many bytes are at hand; whether there are as many.
    fn fill(&mut self, len: usize) -> io::Result<bool> {
        while self.buffer.len() < len {
            let at = self.offset + self.buffer.len() as u64;
            let more = usize::try_from(self.size.saturating_sub(at)).unwrap_or(STRIDE).min(STRIDE);
            if more == 0 {
                return Ok(false);
            }
            let held = self.buffer.len();
            self.buffer.resize(held + more, 0);
            let Some(free) = self.buffer.get_mut(held..) else { return Ok(false) };
            match self.file.read_exact_at(free, at) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }
}

//! Writing: records into the segment at the end, segments after segments.

use std::{
    fs::{File, OpenOptions},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use change::Lsn;

use super::{
    FileLimits, Identity, OpenError,
    catalog::{Catalog, Segment},
    folder, refused,
    scan::{CHUNK, Filling},
};
use crate::{
    RecordRef,
    format::{
        frame,
        index::{self, Beginning, Chunk, Standing},
        kind, record,
        segment::Header,
    },
    trip::trip,
};

/// Bytes that are gathered before they are written.
const GATHER: usize = 1 << 20;

/// The end of the journal. After an error of any operation, [`Log::abandon`] goes back to what is durable, and from there it can be
/// tried again, in a new segment: what a failed `fsync` leaves behind is never trusted.
#[derive(Debug)]
pub(crate) struct Log {
    folder: PathBuf,
    identity: Identity,
    limits: FileLimits,
    /// Held, never used.
    _lock: File,
    catalog: Arc<Catalog>,
    active: Option<Active>,
    next: u64,
    /// How things stand after what was appended.
    standing: Standing,
    /// The same after what is on disk for certain.
    durable: Standing,
    timeline: u32,
    read: u64,
}

/// The segment that is being written.
#[derive(Debug)]
pub(crate) struct Active {
    path: PathBuf,
    file: Arc<File>,
    beginning: Beginning,
    /// Bytes in the file.
    written: u64,
    buffer: Vec<u8>,
    filling: Filling,
    /// Memory that the entries of the chunk occupy.
    weight: usize,
    /// Full chunks that are not durable yet.
    full: Vec<Chunk>,
    /// The last `sync`: bytes in the file and the chunk as they were.
    synced: (u64, Filling),
}

impl Active {
    /// A segment to go on with, all of whose `written` bytes are durable.
    pub(crate) fn resume(
        segment: &Segment,
        beginning: Beginning,
        written: u64,
        standing: &Standing,
    ) -> Active {
        let filling = Filling::new(standing.end, written, standing.schema.clone());
        Active {
            path: segment.path.clone(),
            file: segment.file.clone(),
            beginning,
            written,
            buffer: Vec::new(),
            filling: filling.clone(),
            weight: 0,
            full: Vec::new(),
            synced: (written, filling),
        }
    }

    /// Where the next record goes.
    fn offset(&self) -> u64 {
        self.written + self.buffer.len() as u64
    }

    fn end_chunk(&mut self, standing: &Standing) {
        let offset = self.offset();
        self.full.extend(self.filling.end(standing.end, offset, standing.schema.clone()));
        self.weight = 0;
    }
}

/// What was found, to go on from.
pub(crate) struct Found {
    pub(crate) folder: PathBuf,
    pub(crate) identity: Identity,
    pub(crate) limits: FileLimits,
    pub(crate) lock: File,
    pub(crate) catalog: Catalog,
    pub(crate) active: Option<Active>,
    pub(crate) next: u64,
    pub(crate) standing: Standing,
    pub(crate) read: u64,
}

impl Log {
    pub(crate) fn new(found: Found) -> Log {
        let Found { folder, identity, mut limits, lock, catalog, active, next, standing, read } = found;
        // There is always room for some sealed segments beside the one that is written.
        limits.segment = limits.segment.min(limits.bytes / 4).max(1);
        Log {
            folder,
            identity,
            limits,
            _lock: lock,
            catalog: Arc::new(catalog),
            active,
            next,
            timeline: standing.timeline,
            durable: standing.clone(),
            standing,
            read,
        }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(crate) fn limits(&self) -> FileLimits {
        self.limits
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.read
    }

    pub(crate) fn catalog(&self) -> &Arc<Catalog> {
        &self.catalog
    }

    /// Everything up to here is on disk for certain.
    pub(crate) fn durable(&self) -> Lsn {
        self.durable.end
    }

    /// Everything up to here was appended.
    pub(crate) fn end(&self) -> Lsn {
        self.standing.end
    }

    pub(crate) fn note_timeline(&mut self, timeline: u32) {
        self.timeline = timeline;
    }

    /// Whether there is anything that [`Log::sync`] would make durable.
    pub(crate) fn is_durable(&self) -> bool {
        let written = self.active.as_ref().is_none_or(|active| active.offset() == active.synced.0);
        written && self.timeline == self.standing.timeline
    }

    /// Appends a transaction, the entry of which occupies `weight` bytes of memory; a chunk ends when those of its entries
    /// come to `heavy`.
    pub(crate) fn append(&mut self, record: RecordRef<'_>, weight: usize, heavy: usize) -> io::Result<()> {
        trip("journal::append", &self.folder)?;
        self.begin()?;
        let Some(active) = &mut self.active else { return Ok(()) };
        record::put(&mut active.buffer, record, self.standing.schema.as_deref());
        active.filling.count();
        active.weight += weight;
        self.standing.end = record.transaction.lsn;
        if record.schema != self.standing.schema.as_deref() {
            self.standing.schema = record.schema.map(Arc::from);
        }
        if active.filling.len(active.offset()) >= CHUNK || active.weight >= heavy {
            active.end_chunk(&self.standing);
        }
        if active.offset() >= self.limits.segment {
            self.rotate()
        } else if active.buffer.len() >= GATHER {
            self.write()
        } else {
            Ok(())
        }
    }

    /// There are no more transactions up to `position`.
    pub(crate) fn reached(&mut self, position: Lsn) -> io::Result<()> {
        if position <= self.standing.end {
            return Ok(());
        }
        self.begin()?;
        let Some(active) = &mut self.active else { return Ok(()) };
        frame::put(&mut active.buffer, &[&[kind::REACHED], &position.0.to_le_bytes()]);
        self.standing.end = position;
        Ok(())
    }

    /// Ends the chunk, so that all of it can be read from disk after the next [`Log::sync`].
    pub(crate) fn end_chunk(&mut self) {
        if let Some(active) = &mut self.active {
            active.end_chunk(&self.standing);
        }
    }

    /// Hands what was gathered to the operating system.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let Some(active) = &mut self.active else { return Ok(()) };
        if active.buffer.is_empty() {
            return Ok(());
        }
        trip("journal::write", &self.folder)?;
        active.file.write_all_at(&active.buffer, active.written)?;
        active.written = active.offset();
        active.buffer.clear();
        active.buffer.shrink_to(2 * GATHER);
        Ok(())
    }

    /// Makes everything durable that was appended.
    pub(crate) fn sync(&mut self) -> io::Result<()> {
        if self.timeline != self.standing.timeline {
            self.begin()?;
            if let Some(active) = &mut self.active {
                frame::put(&mut active.buffer, &[&[kind::TIMELINE], &self.timeline.to_le_bytes()]);
            }
            self.standing.timeline = self.timeline;
        }
        self.write()?;
        let Some(active) = &mut self.active else { return Ok(()) };
        if active.written > active.synced.0 {
            trip("journal::sync", &self.folder)?;
            active.file.sync_data()?;
        }
        active.synced = (active.written, active.filling.clone());
        self.durable = self.standing.clone();
        self.catalog.grow(active.full.drain(..), active.written);
        Ok(())
    }

    /// Ends the segment; the next record begins another.
    pub(crate) fn rotate(&mut self) -> io::Result<()> {
        self.end_chunk();
        self.sync()?;
        if let Some(active) = self.active.take() {
            if let Err(error) = self.seal(&active) {
                // It is read wholly when the journal is opened; that is all.
                tracing::debug!("Journal segment {} stays without an index: {error}", active.path.display());
                let _ = active.file.set_len(active.written);
            }
            self.catalog.close();
        }
        Ok(())
    }

    /// Ends the segment, and begins the next one at once: this one is damaged, and must not be the last.
    pub(crate) fn leave(&mut self) -> io::Result<()> {
        self.rotate()?;
        self.begin()
    }

    fn seal(&self, active: &Active) -> io::Result<()> {
        let chunks = self.catalog.last_chunks();
        let whole = chunks.first().is_none_or(|chunk| chunk.offset == active.beginning.offset);
        let index = index::to_bytes(active.written, &self.standing, &active.beginning, &chunks);
        let Some(index) = index.filter(|_| whole) else { return Ok(()) };
        trip("journal::seal", &self.folder)?;
        active.file.write_all_at(&index, active.written)?;
        active.file.sync_data()?;
        self.catalog.grow(None, active.written + index.len() as u64);
        Ok(())
    }

    /// Makes sure that there is a segment to write to. Everything that was appended is durable if there is none.
    fn begin(&mut self) -> io::Result<()> {
        if self.active.is_some() {
            return Ok(());
        }
        self.trim();
        trip("journal::rotate", &self.folder)?;
        let sequence = self.next;
        let path = folder::segment(&self.folder, sequence);
        let Standing { end, schema, .. } = self.standing.clone();
        let header = Header {
            sequence,
            start: end,
            timeline: self.timeline,
            identity: self.identity.clone(),
            schema: schema.as_deref().map(str::to_owned),
        }
        .to_bytes();
        let made = make(&path, &header).and_then(|file| folder::sync(&self.folder).map(|()| file));
        let file = made.inspect_err(|_| drop(folder::remove(&self.folder, &path)))?;
        self.next += 1;
        self.standing.timeline = self.timeline;
        self.durable.timeline = self.timeline;
        let bytes = header.len() as u64;
        let segment = Segment { sequence, path, file: Arc::new(file), start: end, chunks: Vec::new(), bytes };
        let beginning = Beginning { offset: bytes, start: end, schema };
        self.active = Some(Active::resume(&segment, beginning, bytes, &self.standing));
        self.catalog.open(segment);
        Ok(())
    }

    /// Removes the oldest segments, until there is room for another one within the bound.
    fn trim(&self) {
        while self.catalog.size().1.saturating_add(self.limits.segment) > self.limits.bytes {
            if !self.remove_oldest() {
                break;
            }
        }
    }

    /// Removes the oldest segments, until there is room for so many bytes and a segment; whether any could go.
    pub(crate) fn make_room(&self, bytes: u64) -> bool {
        let before = self.catalog.size().1;
        while before.saturating_sub(self.catalog.size().1) < bytes.saturating_add(self.limits.segment) {
            if !self.remove_oldest() {
                break;
            }
        }
        self.catalog.size().1 < before
    }

    /// Removes the oldest segment; whether there was one that may go.
    fn remove_oldest(&self) -> bool {
        let Some(oldest) = self.catalog.remove_oldest() else { return false };
        discard(&self.folder, &[oldest]);
        true
    }

    /// Goes back to what is durable, after an error.
    pub(crate) fn abandon(&mut self) {
        if let Some(mut active) = self.active.take() {
            let (len, filling) = &mut active.synced;
            let tail = filling.end(self.durable.end, *len, None);
            self.catalog.grow(tail, *len);
            match self.catalog.close() {
                Some(empty) => discard(&self.folder, &[empty]),
                // If it fails: what lies after the beginning of the next segment is not looked at.
                None => drop(active.file.set_len(*len)),
            }
        }
        self.standing = self.durable.clone();
    }

    /// Throws everything away and begins anew.
    pub(crate) fn restart(&mut self, standing: Standing) -> Result<(), OpenError> {
        self.active = None;
        // The oldest first: whatever is left if this is cut short is an end of what there was.
        for segment in self.catalog.clear(standing.end) {
            folder::remove(&self.folder, &segment.path).map_err(refused("remove", &segment.path))?;
        }
        folder::sync(&self.folder).map_err(refused("write", &self.folder))?;
        self.timeline = standing.timeline;
        self.durable = standing.clone();
        self.standing = standing;
        self.begin().map_err(refused("write", &self.folder))
    }
}

/// A new segment with this header, in place of what an attempt before may have left.
fn make(path: &Path, header: &[u8]) -> io::Result<File> {
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(true).open(path)?;
    file.write_all_at(header, 0)?;
    file.sync_all()?;
    Ok(file)
}

/// Removes the files of segments that are not listed any more. What can't be removed now is found when the journal is opened
/// the next time.
pub(crate) fn discard(folder: &Path, segments: &[Segment]) {
    for segment in segments {
        if let Err(error) = folder::remove(folder, &segment.path) {
            tracing::warn!("Can't remove journal segment {}: {error}", segment.path.display());
        }
    }
    if let Err(error) = folder::sync(folder) {
        tracing::debug!("Can't sync the journal's folder {}: {error}", folder.display());
    }
}

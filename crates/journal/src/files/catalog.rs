//! Which segments there are and what is where in them: written by one, read by many.

use std::{collections::VecDeque, fs::File, path::PathBuf, sync::Arc};

use change::Lsn;
use parking_lot::RwLock;

use crate::format::index::Chunk;

/// A segment of the window.
#[derive(Clone, Debug)]
pub(crate) struct Segment {
    pub(crate) sequence: u64,
    pub(crate) path: PathBuf,
    /// Open for reading as long as it is listed: removing it takes nothing from whoever is reading.
    pub(crate) file: Arc<File>,
    /// Everything in it lies after this.
    pub(crate) start: Lsn,
    /// In order, without gaps, the first one from `start` on.
    pub(crate) chunks: Vec<Chunk>,
    pub(crate) bytes: u64,
}

impl Segment {
    /// The last position in it.
    pub(crate) fn end(&self) -> Lsn {
        self.chunks.last().map_or(self.start, |chunk| chunk.end)
    }
}

/// Names a chunk: its segment's sequence number and its place there.
pub(crate) type ChunkId = (u64, u64);

/// A chunk, and where to read it.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    pub(crate) id: ChunkId,
    pub(crate) chunk: Chunk,
    pub(crate) file: Arc<File>,
    pub(crate) path: PathBuf,
}

/// Where something is.
#[derive(Debug)]
pub(crate) enum Place {
    /// Before the window.
    Trimmed,
    /// In this chunk.
    Chunk(Found),
    /// After everything on disk that can be read yet.
    Beyond,
}

/// The segments, oldest first.
#[derive(Debug)]
pub(crate) struct Catalog(RwLock<Segments>);

#[derive(Debug, Default)]
struct Segments {
    list: VecDeque<Segment>,
    start: Lsn,
    /// The one that is being written, if any; its file stays.
    open: Option<u64>,
}

impl Catalog {
    /// The segments that were found; the window begins at `start`.
    pub(crate) fn new(list: Vec<Segment>, start: Lsn) -> Catalog {
        Catalog(RwLock::new(Segments { list: list.into(), start, open: None }))
    }

    /// Where the window begins.
    pub(crate) fn start(&self) -> Lsn {
        self.0.read().start
    }

    /// The end of the last chunk.
    pub(crate) fn end(&self) -> Lsn {
        let segments = self.0.read();
        segments.list.back().map_or(segments.start, Segment::end).max(segments.start)
    }

    /// How many segments there are, and their bytes.
    pub(crate) fn size(&self) -> (usize, u64) {
        let segments = self.0.read();
        (segments.list.len(), segments.list.iter().map(|segment| segment.bytes).sum())
    }

    /// The chunk that holds what follows `lsn`.
    pub(crate) fn find(&self, lsn: Lsn) -> Place {
        let segments = self.0.read();
        if lsn < segments.start {
            return Place::Trimmed;
        }
        let at = segments.list.partition_point(|segment| segment.end() <= lsn);
        let Some(segment) = segments.list.get(at) else { return Place::Beyond };
        let chunk = segment.chunks.partition_point(|chunk| chunk.end <= lsn);
        let Some(chunk) = segment.chunks.get(chunk) else { return Place::Beyond };
        Place::Chunk(segment.found(chunk))
    }

    /// The last chunk that ends at or before `lsn` and begins before it: one may hold no position at all, but a timeline only.
    pub(crate) fn find_before(&self, lsn: Lsn) -> Option<Found> {
        let segments = self.0.read();
        let chunks =
            segments.list.iter().rev().flat_map(|s| s.chunks.iter().rev().map(move |chunk| (s, chunk)));
        let mut before = chunks
            .filter(|(_, chunk)| chunk.end <= lsn && chunk.before < lsn && chunk.before >= segments.start);
        before.next().map(|(segment, chunk)| segment.found(chunk))
    }

    /// Begins a segment, or goes on with the last one.
    pub(crate) fn open(&self, segment: Segment) {
        let mut segments = self.0.write();
        segments.open = Some(segment.sequence);
        match segments.list.back_mut() {
            Some(last) if last.sequence == segment.sequence => *last = segment,
            _ => segments.list.push_back(segment),
        }
    }

    /// More of the segment that is being written can be read: these chunks, and it has so many bytes.
    pub(crate) fn grow(&self, chunks: impl IntoIterator<Item = Chunk>, bytes: u64) {
        if let Some(last) = self.0.write().list.back_mut() {
            last.chunks.extend(chunks);
            last.bytes = bytes;
        }
    }

    /// The chunks of the last segment.
    pub(crate) fn last_chunks(&self) -> Vec<Chunk> {
        self.0.read().list.back().map_or_else(Vec::new, |last| last.chunks.clone())
    }

    /// No segment is being written. If nothing of the last one can be read, it is taken off the list.
    pub(crate) fn close(&self) -> Option<Segment> {
        let mut segments = self.0.write();
        let open = segments.open.take()?;
        let empty = segments.list.back().is_some_and(|last| last.sequence == open && last.chunks.is_empty());
        if empty { segments.list.pop_back() } else { None }
    }

    /// Takes the oldest segment off the list, unless it is being written. The window begins after it.
    pub(crate) fn remove_oldest(&self) -> Option<Segment> {
        let mut segments = self.0.write();
        let oldest = segments.list.front()?;
        if segments.open == Some(oldest.sequence) {
            return None;
        }
        let end = segments.list.get(1).map_or_else(|| oldest.end(), |next| next.start);
        segments.start = segments.start.max(end);
        segments.list.pop_front()
    }

    /// A chunk is damaged: everything up to and with its segment is taken off the list; of the segment that is being written, the
    /// chunks up to and with this one.
    pub(crate) fn drop_through(&self, (sequence, offset): ChunkId) -> Vec<Segment> {
        let mut guard = self.0.write();
        let segments = &mut *guard;
        let mut removed = Vec::new();
        while let Some(oldest) = segments.list.front_mut() {
            if oldest.sequence > sequence {
                break;
            }
            if segments.open == Some(oldest.sequence) {
                let damaged = oldest.chunks.iter().take_while(|chunk| chunk.offset <= offset).count();
                let end = oldest.chunks.drain(..damaged).next_back().map_or(oldest.start, |chunk| chunk.end);
                oldest.start = end;
                segments.start = segments.start.max(end);
                break;
            }
            let end = oldest.end();
            removed.extend(segments.list.pop_front());
            segments.start = segments.start.max(end);
        }
        removed
    }

    /// Everything is taken off the list; the window begins at `start`.
    pub(crate) fn clear(&self, start: Lsn) -> Vec<Segment> {
        let mut segments = self.0.write();
        segments.start = start;
        segments.open = None;
        segments.list.drain(..).collect()
    }
}

impl Segment {
    fn found(&self, chunk: &Chunk) -> Found {
        Found {
            id: (self.sequence, chunk.offset),
            chunk: chunk.clone(),
            file: self.file.clone(),
            path: self.path.clone(),
        }
    }
}

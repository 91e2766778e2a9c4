//! Opening: what is in the folder, and what of it can be used.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::{Bytes, BytesMut};
use change::Lsn;

use super::{
    FileLimits, Identity, OpenError, Recovered,
    catalog::{Catalog, Segment},
    folder,
    log::{Active, Found, Log, discard},
    refused,
    scan::{Scanned, scan},
};
use crate::{
    format::{
        Malformed, VERSION,
        index::{self, Beginning, Chunk, Standing, TRAILER},
        segment::{Header, PREFIX, Prefix},
    },
    trip::trip,
};

/// The file that is locked while the folder is in use.
const LOCK: &str = "lock";

/// Bytes of a segment in which there is hardly more than a header.
const BEGINNING: u64 = 1 << 10;

/// A file that calls itself a segment.
struct Candidate {
    sequence: u64,
    path: PathBuf,
    file: File,
    size: u64,
    /// Its header, if it can be read, and the header's length.
    header: Option<(Header, u64)>,
    /// Whether its format is the one that is written.
    is_current: bool,
}

/// A segment, as far as it can be used.
struct Inspected {
    standing: Standing,
    chunks: Vec<Chunk>,
    /// Where its records end.
    len: u64,
    /// See [`Scanned::has_hole`].
    has_hole: bool,
    sealed: bool,
}

/// See [`super::Files::open`].
pub(super) fn open(
    path: &Path,
    identity: Identity,
    limits: FileLimits,
) -> Result<(Log, Recovered), OpenError> {
    make(path).map_err(refused("make", path))?;
    let lock = lock(path)?;
    trip("journal::open", path).map_err(refused("open", path))?;
    let mut read = 0;
    let mut candidates = Vec::new();
    for sequence in folder::segments(path).map_err(refused("list", path))? {
        candidates.push(Candidate::open(path, sequence, &identity, &mut read)?);
    }
    let newest = candidates.last().map_or(0, |last| last.sequence);
    let Kept { segments, unused, tail, lost } = keep(candidates, &mut read)?;
    discard(path, &unused);
    if let Some(lost) = &lost {
        tracing::error!("{lost}");
    }
    // What comes after those that are kept is nothing, and is written over even if it could not be removed.
    let next = segments.last().map_or(newest, |last| last.sequence).saturating_add(1);
    let start = segments.first().map_or(Lsn::ZERO, |oldest| oldest.start);
    let fresh = segments.is_empty();
    let catalog = Catalog::new(segments, start);
    let (standing, active) = tail.unwrap_or_default();
    if let Some((segment, _)) = &active {
        catalog.open(segment.clone());
    }
    let recovered = Recovered {
        start,
        position: standing.end,
        timeline: standing.timeline,
        schema: standing.schema.as_deref().map(str::to_owned),
        fresh,
        lost,
    };
    let active = active.map(|(_, active)| active);
    let folder = path.to_owned();
    let found = Found { folder, identity, limits, lock, catalog, active, next, standing, read };
    Ok((Log::new(found), recovered))
}

/// Makes the folder, for good.
fn make(path: &Path) -> io::Result<()> {
    if path.is_dir() {
        return Ok(());
    }
    fs::create_dir_all(path)?;
    path.parent().map_or(Ok(()), folder::sync)
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let file = path.join(LOCK);
    let lock = OpenOptions::new().create(true).truncate(false).write(true).open(&file);
    let lock = lock.map_err(refused("open", &file))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_owned())),
        Err(TryLockError::Error(error)) => Err(refused("lock", &file)(error)),
    }
}

/// What is used of the candidates, and what is to be removed.
#[derive(Default)]
struct Kept {
    segments: Vec<Segment>,
    unused: Vec<Segment>,
    /// How things stand at the end, and the segment to go on with.
    tail: Option<(Standing, Option<(Segment, Active)>)>,
    lost: Option<String>,
}

/// Goes from the newest to the oldest, up to one that does not reach the one after it.
fn keep(mut candidates: Vec<Candidate>, read: &mut u64) -> Result<Kept, OpenError> {
    let mut kept = Kept::default();
    let mut until = Lsn(u64::MAX);
    while let Some(candidate) = candidates.pop() {
        let last = kept.tail.is_none();
        let (path, size, is_current) = (candidate.path.clone(), candidate.size, candidate.is_current);
        let Some((header, begin)) = candidate.header.clone() else {
            let listed = candidate.list(Lsn::ZERO, Vec::new());
            kept.unused.insert(0, listed);
            if last {
                // Usually its beginning was not durable yet, so nothing in it was.
                if size > BEGINNING {
                    kept.lost = Some(lost_end(&path));
                }
                continue;
            }
            kept.lose(&path, until, candidates);
            break;
        };
        let inspected = candidate.inspect(&header, begin, until, read);
        let whole = inspected.filter(|inspected| last || inspected.standing.end == until);
        let Some(Inspected { standing, chunks, len, has_hole, sealed }) = whole else {
            kept.unused.insert(0, candidate.list(header.start, Vec::new()));
            if last {
                kept.lost = Some(lost_end(&path));
                continue;
            }
            kept.lose(&path, until, candidates);
            break;
        };
        let mut segment = candidate.list(header.start, chunks);
        until = header.start;
        if last {
            let active = if sealed {
                None
            } else {
                if has_hole {
                    kept.lost = Some(lost_rest(&path, len, size));
                }
                cut(&segment, size, len).map_err(refused("write", &path))?;
                segment.bytes = len;
                let schema = header.schema.as_deref().map(Arc::from);
                let beginning = Beginning { offset: begin, start: header.start, schema };
                // What an older release has written stays as it is, and is not added to.
                is_current.then(|| (segment.clone(), Active::resume(&segment, beginning, len, &standing)))
            };
            kept.tail = Some((standing, active));
        }
        kept.segments.insert(0, segment);
    }
    Ok(kept)
}

impl Kept {
    /// The segment in `path` can't be used, and so nothing before it.
    fn lose(&mut self, path: &Path, until: Lsn, older: Vec<Candidate>) {
        let older = older.into_iter().map(|candidate| candidate.list(Lsn::ZERO, Vec::new()));
        self.unused.splice(0..0, older);
        self.lost = Some(lost(path, until));
    }
}

/// What is said of a damaged segment.
pub(crate) fn lost(path: &Path, start: Lsn) -> String {
    format!(
        "Journal segment {} is damaged or can't be read: it is dropped with all before it, and the journal begins at {start}. \
         Clients behind that load their data again. Check the disk.",
        path.display()
    )
}

/// What is said of a damaged segment at the end: what is left may go on from before it, if Postgres still has what follows.
fn lost_end(path: &Path) -> String {
    format!(
        "Journal segment {}, the last one, is damaged or can't be read: what is in it is dropped. Check the disk.",
        path.display()
    )
}

/// What is said of the last segment if it is not the end alone that is missing.
fn lost_rest(path: &Path, len: u64, size: u64) -> String {
    format!(
        "Journal segment {}, the last one, is damaged at byte {len}, or a crash has left a hole there: the {} bytes from there on are \
         dropped. What was in them comes from Postgres again if it still has it; otherwise clients load their data again. Check the disk.",
        path.display(),
        size - len
    )
}

/// Makes what is whole in the last segment durable, and nothing else be in it.
fn cut(segment: &Segment, size: u64, len: u64) -> io::Result<()> {
    if size > len {
        trip("journal::cut", segment.path.parent().unwrap_or(&segment.path))?;
        segment.file.set_len(len)?;
        tracing::info!(
            "Cut {} bytes that were not wholly written off {}",
            size - len,
            segment.path.display()
        );
    }
    // Whoever wrote it may have been killed before it was durable.
    segment.file.sync_all()
}

impl Candidate {
    fn open(path: &Path, sequence: u64, wanted: &Identity, read: &mut u64) -> Result<Candidate, OpenError> {
        let segment = folder::segment(path, sequence);
        let file = OpenOptions::new().read(true).write(true).open(&segment);
        let file = file.map_err(refused("open", &segment))?;
        let size = file.metadata().map_err(refused("open", &segment))?.len();
        let mut candidate =
            Candidate { sequence, path: segment, file, size, header: None, is_current: false };
        let Some(prefix) = candidate.bytes::<PREFIX>(0) else { return Ok(candidate) };
        *read += PREFIX as u64;
        let (version, header_len) = match Prefix::read(&prefix) {
            Ok(Prefix::Newer(version)) => {
                return Err(OpenError::Newer { folder: path.to_owned(), version });
            }
            Ok(Prefix::Readable(version, len)) => (version, PREFIX + len),
            Err(Malformed) => return Ok(candidate),
        };
        *read += (header_len - PREFIX) as u64;
        let header = candidate.range(0, header_len as u64).and_then(|bytes| Header::read(bytes).ok());
        let Some(header) = header.filter(|header| header.sequence == sequence) else { return Ok(candidate) };
        if header.identity != *wanted {
            return Err(OpenError::Foreign {
                folder: path.to_owned(),
                found: header.identity.folder_name(),
                wanted: wanted.folder_name(),
            });
        }
        candidate.header = Some((header, header_len as u64));
        candidate.is_current = version == VERSION;
        Ok(candidate)
    }

    /// Bytes of the file, if they are there and can be read.
    fn range(&self, from: u64, to: u64) -> Option<Bytes> {
        if from > to || to > self.size {
            return None;
        }
        let mut bytes = BytesMut::zeroed(usize::try_from(to - from).ok()?);
        self.file.read_exact_at(&mut bytes, from).ok()?;
        Some(bytes.freeze())
    }

    fn bytes<const N: usize>(&self, from: u64) -> Option<[u8; N]> {
        self.range(from, from.checked_add(N as u64)?)?.first_chunk().copied()
    }

    /// Where its chunks are: by its index if it has one, otherwise by reading all of it. `None` if it can't be read.
    fn inspect(&self, header: &Header, begin: u64, until: Lsn, read: &mut u64) -> Option<Inspected> {
        let schema = header.schema.as_deref().map(Arc::from);
        let beginning = Beginning { offset: begin, start: header.start, schema };
        if let Some(indexed) = self.by_index(&beginning, read) {
            return Some(indexed);
        }
        let scanned = scan(&self.file, self.size, &beginning, header.timeline, until).ok()?;
        let Scanned { standing, chunks, len, has_hole, read: looked_at } = scanned;
        *read += looked_at;
        Some(Inspected { standing, chunks, len, has_hole, sealed: false })
    }

    fn by_index(&self, beginning: &Beginning, read: &mut u64) -> Option<Inspected> {
        let end = self.size.checked_sub(TRAILER as u64)?;
        let offset = index::read_trailer(&self.bytes(end)?).ok()?;
        let frame = self.range(offset, end)?;
        *read += self.size - offset;
        let (standing, chunks) = index::read(frame, offset, beginning).ok()?;
        Some(Inspected { standing, chunks, len: offset, has_hole: false, sealed: true })
    }

    fn list(self, start: Lsn, chunks: Vec<Chunk>) -> Segment {
        let Candidate { sequence, path, file, size, .. } = self;
        Segment { sequence, path, file: Arc::new(file), start, chunks, bytes: size }
    }
}

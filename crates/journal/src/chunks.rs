//! Chunks that were read from disk, shared by whoever reads the same.

use std::{
    collections::{HashMap, VecDeque},
    os::unix::fs::FileExt,
    path::Path,
    sync::{Arc, Weak},
};

use bytes::BytesMut;
use change::Lsn;
use parking_lot::Mutex;
use tokio::sync::{OnceCell, Semaphore};

use crate::{
    Entry, Record,
    files::catalog::{ChunkId, Found},
    format::{
        frame::Frames,
        record::{Item, Reader},
    },
    trip::trip,
};

/// Makes an entry of a record, given the version of the schema before it.
pub(crate) type Restore<T> = dyn Fn(Record, Option<&str>) -> Option<T> + Send + Sync;

/// Chunks that are read at the same time.
const READERS: usize = 2;

/// What is in a chunk.
pub(crate) struct Contents<T> {
    pub(crate) entries: Vec<Arc<T>>,
    /// There are no others up to here.
    pub(crate) end: Lsn,
    weight: usize,
}

impl<T: Entry> Contents<T> {
    /// The entries strictly after `lsn`.
    pub(crate) fn after(&self, lsn: Lsn) -> &[Arc<T>] {
        let from = self.entries.partition_point(|entry| entry.lsn() <= lsn);
        self.entries.get(from..).unwrap_or_default()
    }

    /// The entry at `lsn`.
    pub(crate) fn at(&self, lsn: Lsn) -> Option<&Arc<T>> {
        self.entries.get(self.entries.binary_search_by_key(&lsn, |entry| entry.lsn()).ok()?)
    }

    /// Bytes of memory.
    pub(crate) fn weight(&self) -> usize {
        self.weight
    }
}

/// A chunk can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unusable {
    /// It can't be read, or is not what was written.
    Damaged,
    /// Nobody knows the schema of the transaction here any more.
    Unknown(Lsn),
}

/// Reads a chunk. Blocks.
pub(crate) fn read<T: Entry>(found: &Found, restore: &Restore<T>) -> Result<Contents<T>, Unusable> {
    let Found { chunk, file, path, .. } = found;
    trip("journal::load", path.parent().unwrap_or(Path::new(""))).map_err(|_| Unusable::Damaged)?;
    let len = usize::try_from(chunk.len).map_err(|_| Unusable::Damaged)?;
    let size = file.metadata().map_err(|_| Unusable::Damaged)?.len();
    if chunk.offset.checked_add(chunk.len).is_none_or(|end| end > size) {
        return Err(Unusable::Damaged);
    }
    let mut bytes = BytesMut::zeroed(len);
    file.read_exact_at(&mut bytes, chunk.offset).map_err(|_| Unusable::Damaged)?;
    let mut reader = Reader::new(chunk.schema.clone());
    let (mut entries, mut end, mut weight) = (Vec::new(), chunk.before, 0);
    for payload in Frames(bytes.freeze()) {
        let before = reader.schema.clone();
        match payload.and_then(|payload| reader.read(payload)).map_err(|_| Unusable::Damaged)? {
            Some(Item::Transaction(record)) => {
                let lsn = record.transaction.lsn;
                if lsn <= end {
                    return Err(Unusable::Damaged);
                }
                let entry = restore(record, before.as_deref()).ok_or(Unusable::Unknown(lsn))?;
                weight += entry.weight();
                entries.push(Arc::new(entry));
                end = lsn;
            }
            Some(Item::Reached(lsn)) => end = end.max(lsn),
            None => {}
        }
    }
    if reader.is_complete() && end == chunk.end {
        Ok(Contents { entries, end, weight })
    } else {
        Err(Unusable::Damaged)
    }
}

/// A chunk in memory, or on its way there.
pub(crate) struct Slot<T>(OnceCell<Contents<T>>);

impl<T> Slot<T> {
    /// What is in it, if it was read.
    pub(crate) fn contents(&self) -> Option<&Contents<T>> {
        self.0.get()
    }
}

/// The chunks that were used last, within a bound of memory; and those that somebody still holds.
pub(crate) struct Cache<T> {
    bound: usize,
    readers: Semaphore,
    shelf: Mutex<Shelf<T>>,
}

struct Shelf<T> {
    slots: HashMap<ChunkId, Weak<Slot<T>>>,
    /// The one used last at the end.
    recent: VecDeque<(ChunkId, Arc<Slot<T>>)>,
    weight: usize,
}

impl<T: Entry> Cache<T> {
    /// An empty one for so many bytes. One chunk is kept in any case.
    pub(crate) fn new(bound: usize) -> Cache<T> {
        let shelf = Shelf { slots: HashMap::new(), recent: VecDeque::new(), weight: 0 };
        Cache { bound, readers: Semaphore::new(READERS), shelf: Mutex::new(shelf) }
    }

    /// A chunk, if it is at hand.
    pub(crate) fn get(&self, id: ChunkId) -> Option<Arc<Slot<T>>> {
        let mut shelf = self.shelf.lock();
        let slot = shelf.slots.get(&id)?.upgrade().filter(|slot| slot.0.initialized())?;
        shelf.touch(id);
        Some(slot)
    }

    /// A chunk, read by `read` unless it is at hand: once, however many ask for it at the same time. `read` blocks.
    pub(crate) async fn load<F>(&self, id: ChunkId, read: F) -> Result<Arc<Slot<T>>, Unusable>
    where
        F: FnOnce() -> Result<Contents<T>, Unusable> + Send + 'static,
    {
        let slot = self.shelf.lock().slot(id);
        let contents = slot.0.get_or_try_init(|| async {
            let _permit = self.readers.acquire().await;
            tokio::task::spawn_blocking(read).await.unwrap_or(Err(Unusable::Damaged))
        });
        let weight = contents.await?.weight();
        let dropped = self.shelf.lock().keep(id, &slot, weight, self.bound);
        drop(dropped);
        Ok(slot)
    }
}

impl<T: Entry> Shelf<T> {
    fn slot(&mut self, id: ChunkId) -> Arc<Slot<T>> {
        if let Some(slot) = self.slots.get(&id).and_then(Weak::upgrade) {
            return slot;
        }
        if self.slots.len() > 2 * self.recent.len() + 64 {
            self.slots.retain(|_, slot| slot.strong_count() > 0);
        }
        let slot = Arc::new(Slot(OnceCell::new()));
        self.slots.insert(id, Arc::downgrade(&slot));
        slot
    }

    /// Whether it is among those kept; then it was used last.
    fn touch(&mut self, id: ChunkId) -> bool {
        let Some(at) = self.recent.iter().rposition(|(kept, _)| *kept == id) else { return false };
        if at + 1 < self.recent.len()
            && let Some(kept) = self.recent.remove(at)
        {
            self.recent.push_back(kept);
        }
        true
    }

    fn keep(&mut self, id: ChunkId, slot: &Arc<Slot<T>>, weight: usize, bound: usize) -> Vec<Arc<Slot<T>>> {
        let mut dropped = Vec::new();
        if self.touch(id) {
            return dropped;
        }
        self.recent.push_back((id, slot.clone()));
        self.weight += weight;
        while self.weight > bound && self.recent.len() > 1 {
            let Some((_, oldest)) = self.recent.pop_front() else { break };
            self.weight -= oldest.contents().map_or(0, Contents::weight);
            dropped.push(oldest);
        }
        dropped
    }
}

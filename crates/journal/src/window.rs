//! The part of the window that is in memory.

use std::{collections::VecDeque, sync::Arc};

use change::{Lsn, Xid};

use crate::Entry;

/// Bounds of the window in memory. Crossing either drops the oldest entries, with a disk only those that can be read from it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of memory (`ELECTRIC_TXN_CACHE_SIZE`). With a disk, a quarter of it is for what is read from there.
    pub memory: usize,
    /// Bytes of write-ahead log between the oldest entry and the position (`ELECTRIC_RESUMABLE_WAL_WINDOW`), whoever wrote them. Of no
    /// effect with a disk, where [`FileLimits`](crate::FileLimits) bounds the window.
    pub span: u64,
}

/// How many of the newest entries [`Window::recently_passed`] looks at: a commit reaches the stream at most some milliseconds
/// before it is visible to queries.
pub(crate) const RECENT: usize = 4096;

/// The newest entries.
pub(crate) struct Window<T> {
    entries: VecDeque<Arc<T>>,
    limits: Limits,
    weight: usize,
    /// Everything after this is here.
    floor: Lsn,
    /// Everything up to here may be dropped: it can be read elsewhere, or need not be.
    spare: Lsn,
    /// Bytes of memory of what lies after that.
    held: usize,
}

impl<T: Entry> Window<T> {
    /// An empty window that begins at `floor`, from which up to `spare` may be dropped.
    pub(crate) fn new(floor: Lsn, spare: Lsn, limits: Limits) -> Window<T> {
        Window { entries: VecDeque::new(), limits, weight: 0, floor, spare, held: 0 }
    }

    /// Everything after this is here.
    pub(crate) fn floor(&self) -> Lsn {
        self.floor
    }

    /// Bytes of memory that can't be given back yet.
    pub(crate) fn held(&self) -> usize {
        self.held
    }

    /// Entries and bytes.
    pub(crate) fn size(&self) -> (usize, usize) {
        (self.entries.len(), self.weight)
    }

    /// The entries strictly after `lsn`, oldest first, and how many there are.
    pub(crate) fn after(&self, lsn: Lsn) -> impl ExactSizeIterator<Item = &Arc<T>> {
        self.entries.range(self.entries.partition_point(|entry| entry.lsn() <= lsn)..)
    }

    /// The entry at `lsn`.
    pub(crate) fn at(&self, lsn: Lsn) -> Option<&Arc<T>> {
        let at = self.entries.binary_search_by_key(&lsn, |entry| entry.lsn()).ok()?;
        self.entries.get(at)
    }

    pub(crate) fn recently_passed(&self, xid: Xid) -> Option<Lsn> {
        self.entries.iter().rev().take(RECENT).find(|entry| entry.xid() == xid).map(|entry| entry.lsn())
    }

    pub(crate) fn recent(&self) -> Vec<(Xid, Lsn)> {
        let first = self.entries.len().saturating_sub(RECENT);
        self.entries.range(first..).map(|entry| (entry.xid(), entry.lsn())).collect()
    }

    pub(crate) fn push(&mut self, entry: Arc<T>) {
        self.weight += entry.weight();
        if entry.lsn() > self.spare {
            self.held += entry.weight();
        }
        self.entries.push_back(entry);
    }

    /// Puts in front what was read from disk: everything after `floor`.
    pub(crate) fn push_older(&mut self, entries: Vec<Arc<T>>, floor: Lsn) {
        for entry in entries.into_iter().rev() {
            self.weight += entry.weight();
            self.entries.push_front(entry);
        }
        self.floor = floor;
    }

    /// More of it may be dropped.
    pub(crate) fn release(&mut self, spare: Lsn) {
        let released: usize =
            self.after(self.spare).take_while(|entry| entry.lsn() <= spare).map(|entry| entry.weight()).sum();
        self.held -= released.min(self.held);
        self.spare = self.spare.max(spare);
    }

    /// Takes out the oldest entries until the bounds hold, to be dropped when nobody waits. The newest one stays, however
    /// large it is: somebody is about to read it.
    #[must_use]
    pub(crate) fn trim(&mut self, position: Lsn) -> Vec<Arc<T>> {
        let before = Lsn(position.0.saturating_sub(self.limits.span)).min(self.spare);
        let (mut weight, mut count) = (self.weight, 0);
        for entry in &self.entries {
            let over = weight > self.limits.memory && count + 1 < self.entries.len();
            if entry.lsn() > self.spare || (!over && entry.lsn() > before) {
                break;
            }
            weight -= entry.weight();
            count += 1;
            self.floor = entry.lsn();
        }
        self.weight = weight;
        // Nothing lies between the old beginning and there: the window may begin later, and the slot be confirmed that far.
        self.floor = self.floor.max(before);
        self.entries.drain(..count).collect()
    }
}

//! The window in memory.

use std::{collections::VecDeque, sync::Arc};

use change::{Lsn, Xid};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{DiskState, Entry, Files, Miss, Record, Recovered, Trimmed};

/// Bounds of the window. Crossing either drops the oldest entries.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of memory (`ELECTRIC_TXN_CACHE_SIZE`).
    pub memory: usize,
    /// Bytes of write-ahead log between the oldest entry and the position (`ELECTRIC_RESUMABLE_WAL_WINDOW`), whoever wrote them.
    pub span: u64,
}

/// What was loaded. It stays at hand at least as long as this is held: until the read has been repeated, no longer.
#[must_use = "hold it until the read has been repeated"]
#[derive(Debug)]
pub struct Loaded(());

/// Not everything could be made durable: writing fails at present ([`Journal::state`] says why).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal can't be written at present")]
pub struct Stalled;

/// The window. Shared behind an `Arc`; one task appends, any number read.
pub struct Journal<T> {
    limits: Limits,
    window: RwLock<Window<T>>,
    position: watch::Sender<Lsn>,
    durable: watch::Sender<Lsn>,
}

struct Window<T> {
    entries: VecDeque<Arc<T>>,
    weight: usize,
    start: Lsn,
}

/// How many entries [`Journal::search`] looks at before it lets the writer in.
const LOOK: usize = 4096;

/// How many of the newest entries [`Journal::recently_passed`] looks at: a commit reaches the stream at most some
/// milliseconds before it is visible to queries.
const RECENT: usize = 4096;

impl<T: Entry> Journal<T> {
    /// An empty window that begins at `start`: the stream will hand on everything after it.
    #[must_use]
    pub fn new(start: Lsn, limits: Limits) -> Journal<T> {
        let window = RwLock::new(Window { entries: VecDeque::new(), weight: 0, start });
        Journal { limits, window, position: watch::Sender::new(start), durable: watch::Sender::new(start) }
    }

    /// The window that `files` holds, as `recovered` says. `restore` makes an entry of what was written of it, given the version of the
    /// last migration before it; `None` (a migration that nobody knows any more) lets the window begin after it. Reads the newest part.
    /// Blocks.
    #[must_use]
    pub fn durable(
        _files: Files,
        recovered: &Recovered,
        limits: Limits,
        _restore: impl Fn(Record, Option<&str>) -> Option<T> + Send + Sync + 'static,
    ) -> Journal<T> {
        Journal::new(recovered.position, limits)
    }

    /// Everything up to here need not come from Postgres again: it is on disk for certain, or, without a disk, it lies before the
    /// window. What the slot may be confirmed to.
    #[must_use]
    pub fn durable_position(&self) -> Lsn {
        *self.durable.borrow()
    }

    /// A view of [`Journal::durable_position`] that can be waited on.
    #[must_use]
    pub fn watch_durable(&self) -> watch::Receiver<Lsn> {
        self.durable.subscribe()
    }

    /// Makes at hand what follows `lsn`.
    ///
    /// # Errors
    /// [`Trimmed`] if the window begins after `lsn`.
    pub async fn load(&self, lsn: Lsn) -> Result<Loaded, Trimmed> {
        if lsn < self.start() { Err(Trimmed) } else { Ok(Loaded(())) }
    }

    /// Waits until there is room for more transactions: until less than the bound of memory waits for the disk. At once
    /// if nothing is in the way.
    pub async fn has_room(&self) {}

    /// Makes everything durable that has been appended or reached so far.
    ///
    /// # Errors
    /// [`Stalled`] if that was tried and failed. It is tried again by itself.
    pub async fn flush(&self) -> Result<(), Stalled> {
        Ok(())
    }

    /// The stream goes on in another timeline of the write-ahead log.
    pub fn note_timeline(&self, _timeline: u32) {}

    /// Flushes, ends writing and unlocks the folder, so that somebody else may open it. What is appended afterwards stays in memory.
    ///
    /// # Errors
    /// [`Stalled`] if not everything could be made durable; the folder is unlocked all the same.
    pub async fn close(&self) -> Result<(), Stalled> {
        self.flush().await
    }

    /// How the disk fares; `None` without one.
    #[must_use]
    pub fn state(&self) -> Option<DiskState> {
        None
    }

    /// Appends the next transaction and wakes whoever waits. One at or before the position is a repetition (the stream
    /// was connected again) and is dropped; the answer is whether it was new.
    pub fn append(&self, entry: Arc<T>) -> bool {
        let lsn = entry.lsn();
        {
            let mut window = self.window.write();
            if lsn <= *self.position.borrow() {
                return false;
            }
            window.weight += entry.weight();
            window.entries.push_back(entry);
            window.trim(lsn, self.limits);
        }
        self.position.send_replace(lsn);
        true
    }

    /// Everything up to `reached` is known to have been handed on: the stream is idle, or what it had was not for clients.
    pub fn advance(&self, reached: Lsn) {
        let moved = self.position.send_if_modified(|position| {
            let ahead = reached > *position;
            *position = reached.max(*position);
            ahead
        });
        if moved {
            self.window.write().trim(reached, self.limits);
        }
    }

    /// How far the stream has been handed on.
    #[must_use]
    pub fn position(&self) -> Lsn {
        *self.position.borrow()
    }

    /// Where the window begins: resuming strictly after any position from here to [`Journal::position`] is exact.
    #[must_use]
    pub fn start(&self) -> Lsn {
        self.window.read().start
    }

    /// The entries strictly after `lsn`, oldest first, at most `max`; and the position up to which there are no others than
    /// those (the last one's own, if there are more than `max`).
    ///
    /// # Errors
    /// [`Miss::Trimmed`] if the window begins after `lsn`; [`Miss::Cold`] if it has to be loaded.
    pub fn read_after(&self, lsn: Lsn, max: usize) -> Result<(Vec<Arc<T>>, Lsn), Miss> {
        // The position is read first: what is appended in between is not claimed to have been read.
        let position = self.position();
        let window = self.window.read();
        if lsn < window.start {
            return Err(Miss::Trimmed);
        }
        let from = window.entries.partition_point(|entry| entry.lsn() <= lsn);
        let entries: Vec<_> = window.entries.range(from..).take(max).cloned().collect();
        let complete = from + entries.len() == window.entries.len();
        let last = entries.last().map_or(lsn, |entry| entry.lsn());
        Ok((entries, if complete { last.max(position) } else { last }))
    }

    /// The entries at these positions, in the same order: all of them, or as many of the first as are at hand, at least one.
    ///
    /// # Errors
    /// [`Miss::Trimmed`] if one of them is not in the window; [`Miss::Cold`] if the first has to be loaded.
    pub fn read_at(&self, positions: &[Lsn]) -> Result<Vec<Arc<T>>, Miss> {
        if positions.is_empty() {
            return Ok(Vec::new());
        }
        let window = self.window.read();
        let find = |lsn: &Lsn| {
            let at = window.entries.binary_search_by_key(lsn, |entry| entry.lsn()).ok()?;
            window.entries.get(at).cloned()
        };
        positions.iter().map(find).collect::<Option<_>>().ok_or(Miss::Trimmed)
    }

    /// The entries after `lsn` and up to `until` that are `wanted`, oldest first, at most `max`; and the position up to which there
    /// are no others than those. It is at most `until`, and short of it if there is more to look through: call again from there.
    ///
    /// # Errors
    /// [`Miss::Trimmed`] if the window begins after `lsn`; [`Miss::Cold`] if it has to be loaded.
    pub fn search(
        &self,
        lsn: Lsn,
        until: Lsn,
        max: usize,
        mut wanted: impl FnMut(&T) -> bool,
    ) -> Result<(Vec<Arc<T>>, Lsn), Miss> {
        // As in `read_after`.
        let position = self.position();
        let window = self.window.read();
        if lsn < window.start {
            return Err(Miss::Trimmed);
        }
        let from = window.entries.partition_point(|entry| entry.lsn() <= lsn);
        let mut found = Vec::new();
        let mut last = lsn;
        for (looked, entry) in window.entries.range(from..).enumerate() {
            if entry.lsn() > until {
                return Ok((found, until.max(lsn)));
            }
            if looked == LOOK || found.len() == max {
                return Ok((found, last));
            }
            last = entry.lsn();
            if wanted(entry) {
                found.push(entry.clone());
            }
        }
        Ok((found, position.min(until).max(last)))
    }

    /// The position of a transaction, if it is among the newest.
    #[must_use]
    pub fn recently_passed(&self, xid: Xid) -> Option<Lsn> {
        let window = self.window.read();
        window.entries.iter().rev().take(RECENT).find(|entry| entry.xid() == xid).map(|entry| entry.lsn())
    }

    /// A view of the position that can be waited on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Lsn> {
        self.position.subscribe()
    }

    /// Entries and bytes held now.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        let window = self.window.read();
        (window.entries.len(), window.weight)
    }
}

impl<T: Entry> Window<T> {
    /// Drops the oldest entries until the bounds hold. The newest one stays, however large it is: somebody is about to read it.
    fn trim(&mut self, position: Lsn, limits: Limits) {
        let floor = Lsn(position.0.saturating_sub(limits.span));
        while let Some(oldest) = self.entries.front() {
            let over = self.weight > limits.memory && self.entries.len() > 1;
            if !over && oldest.lsn() > floor {
                break;
            }
            self.weight -= oldest.weight();
            self.start = oldest.lsn();
            self.entries.pop_front();
        }
        // Nothing lies between the old beginning and here: the window may begin later, and the slot be confirmed that far.
        self.start = self.start.max(floor);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::RecordRef;

    struct Item(u64, usize);

    impl Entry for Item {
        fn lsn(&self) -> Lsn {
            Lsn(self.0)
        }
        fn xid(&self) -> Xid {
            Xid(self.0 + 1000)
        }
        fn weight(&self) -> usize {
            self.1
        }
        fn record(&self) -> RecordRef<'_> {
            unreachable!("nothing is written without a disk")
        }
    }

    const WIDE: Limits = Limits { memory: usize::MAX, span: u64::MAX };

    fn lsns(journal: &Journal<Item>, after: u64, max: usize) -> Result<(Vec<u64>, u64), Miss> {
        let (entries, reached) = journal.read_after(Lsn(after), max)?;
        Ok((entries.iter().map(|e| e.0).collect(), reached.0))
    }

    #[test]
    fn reads_what_is_strictly_after() {
        let journal = Journal::new(Lsn(10), WIDE);
        for lsn in [20, 30, 40] {
            assert!(journal.append(Arc::new(Item(lsn, 1))));
        }
        assert_eq!(lsns(&journal, 10, 9), Ok((vec![20, 30, 40], 40)));
        assert_eq!(lsns(&journal, 25, 1), Ok((vec![30], 30)));
        assert_eq!(lsns(&journal, 40, 9), Ok((vec![], 40)));
        assert_eq!(lsns(&journal, 9, 9), Err(Miss::Trimmed));
        assert_eq!(journal.recently_passed(Xid(1030)), Some(Lsn(30)));
        assert_eq!(journal.recently_passed(Xid(1031)), None);
    }

    #[test]
    fn reads_what_is_asked_for_by_position() {
        let journal = Journal::new(Lsn(0), Limits { memory: 3, span: u64::MAX });
        for lsn in [20, 30, 40, 50] {
            journal.append(Arc::new(Item(lsn, 1)));
        }
        let at = |positions: &[u64]| {
            let positions: Vec<Lsn> = positions.iter().copied().map(Lsn).collect();
            journal.read_at(&positions).map(|entries| entries.iter().map(|e| e.0).collect::<Vec<_>>())
        };
        assert_eq!(at(&[30, 50]), Ok(vec![30, 50]));
        assert_eq!(at(&[]), Ok(vec![]));
        assert_eq!(at(&[20, 50]), Err(Miss::Trimmed), "it was dropped");
        assert_eq!(at(&[35]), Err(Miss::Trimmed), "it never was");
    }

    #[test]
    fn searches_what_is_wanted_and_says_how_far() {
        let journal = Journal::new(Lsn(10), WIDE);
        for lsn in [20, 30, 40, 50] {
            journal.append(Arc::new(Item(lsn, 1)));
        }
        journal.advance(Lsn(60));
        let search = |after, until, max| {
            let found = journal.search(Lsn(after), Lsn(until), max, |item| item.0 != 30);
            found.map(|(found, reached)| (found.iter().map(|e| e.0).collect::<Vec<_>>(), reached.0))
        };
        assert_eq!(search(10, 99, 9), Ok((vec![20, 40, 50], 60)));
        assert_eq!(search(10, 55, 9), Ok((vec![20, 40, 50], 55)));
        assert_eq!(search(10, 45, 9), Ok((vec![20, 40], 45)));
        assert_eq!(search(10, 99, 1), Ok((vec![20], 20)));
        assert_eq!(search(20, 99, 1), Ok((vec![40], 40)));
        assert_eq!(search(50, 30, 1), Ok((vec![], 50)));
        assert_eq!(search(9, 99, 1), Err(Miss::Trimmed));
        for lsn in 0..10_000 {
            journal.append(Arc::new(Item(61 + lsn, 1)));
        }
        let (found, reached) = journal.search(Lsn(60), Lsn(99_999), 9, |_| false).unwrap();
        assert!(found.is_empty() && reached < Lsn(10_060) && reached > Lsn(60));
    }

    #[test]
    fn a_repeated_transaction_is_dropped() {
        let journal = Journal::new(Lsn(0), WIDE);
        assert!(journal.append(Arc::new(Item(20, 1))));
        assert!(!journal.append(Arc::new(Item(20, 1))));
        assert!(!journal.append(Arc::new(Item(19, 1))));
        assert_eq!(journal.size(), (1, 1));
    }

    #[test]
    fn an_idle_stream_moves_the_position_but_never_back() {
        let journal: Journal<Item> = Journal::new(Lsn(5), WIDE);
        journal.advance(Lsn(9));
        journal.advance(Lsn(7));
        assert_eq!(lsns(&journal, 5, 9), Ok((vec![], 9)));
    }

    #[test]
    fn the_span_moves_the_beginning_even_without_entries() {
        let journal: Journal<Item> = Journal::new(Lsn(0), Limits { memory: 100, span: 50 });
        journal.append(Arc::new(Item(10, 1)));
        journal.advance(Lsn(100));
        assert_eq!((journal.start(), journal.size()), (Lsn(50), (0, 0)));
    }

    #[tokio::test]
    async fn appending_wakes_whoever_waits() {
        let journal: Arc<Journal<Item>> = Arc::new(Journal::new(Lsn(0), WIDE));
        let mut watch = journal.watch();
        let waiter = tokio::spawn(async move { watch.wait_for(|lsn| *lsn >= Lsn(7)).await.map(|lsn| *lsn) });
        journal.append(Arc::new(Item(7, 1)));
        assert_eq!(waiter.await.unwrap().unwrap(), Lsn(7));
    }

    proptest! {
        #[test]
        fn the_window_is_the_newest_part_of_history(
            steps in prop::collection::vec((1u64..50, 1usize..20), 1..60), memory in 1usize..100, span in 1u64..400,
        ) {
            let journal = Journal::new(Lsn(0), Limits { memory, span });
            let (mut all, mut lsn) = (Vec::new(), 0);
            for (gap, weight) in steps {
                lsn += gap;
                journal.append(Arc::new(Item(lsn, weight)));
                all.push(lsn);
                let start = journal.start().0;
                prop_assert_eq!(
                    lsns(&journal, start, usize::MAX),
                    Ok((all.iter().copied().filter(|l| *l > start).collect(), lsn))
                );
                let (count, bytes) = journal.size();
                prop_assert!(bytes <= memory || count == 1);
                prop_assert!(start >= lsn.saturating_sub(span));
            }
        }
    }
}

//! The journal: appending and reading.

use std::{any::Any, io, sync::Arc};

use change::{Lsn, Xid};
use parking_lot::RwLock;
use tokio::sync::watch;

use crate::{
    DiskState, Entry, Files, Limits, Miss, Record, Recovered, Trimmed,
    disk::{Disk, Shelved},
    window::{RECENT, Window},
    writer::{PRESSING, Writer},
};

/// The window. One task appends, any number read.
pub struct Journal<T: Entry> {
    shared: Arc<Shared<T>>,
    disk: Option<Arc<Disk<T>>>,
}

/// What the thread that writes has to do with, too.
pub(crate) struct Shared<T> {
    pub(crate) limits: Limits,
    pub(crate) durable: watch::Sender<Lsn>,
    window: RwLock<Window<T>>,
    position: watch::Sender<Lsn>,
}

/// What was loaded. It stays at hand at least as long as this is held: until the read has been repeated, no longer.
#[must_use = "hold it until the read has been repeated"]
pub struct Loaded(#[expect(dead_code, reason = "it is held")] Option<Arc<dyn Any + Send + Sync>>);

/// Not everything could be made durable: writing fails at present ([`Journal::state`] says why).
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the journal can't be written at present")]
pub struct Stalled;

/// How many entries [`Journal::search`] looks at before it lets the writer in.
const LOOK: usize = 4096;

impl<T: Entry> Journal<T> {
    /// An empty window that begins at `start`, in memory only: the stream will hand on everything after it.
    #[must_use]
    pub fn new(start: Lsn, limits: Limits) -> Journal<T> {
        let window = Window::new(start, Lsn(u64::MAX), limits);
        Journal { shared: Arc::new(Shared::new(window, limits, start)), disk: None }
    }

    /// The window that `files` holds, as `recovered` says. `restore` makes an entry of what was written of it, given the version of the
    /// schema before it; `None` (a schema that nobody knows any more) lets the window begin after it. Reads the newest part and
    /// starts the thread that writes. Blocks.
    ///
    /// # Errors
    /// The operating system refuses the thread.
    pub fn durable(
        files: Files,
        recovered: &Recovered,
        limits: Limits,
        restore: impl Fn(Record, Option<&str>) -> Option<T> + Send + Sync + 'static,
    ) -> io::Result<Journal<T>> {
        let log = files.0;
        let position = log.end();
        let disk = Arc::new(Disk::new(&log, limits, recovered.lost.clone(), Box::new(restore)));
        let within = Limits { memory: limits.memory - limits.memory / 4, span: u64::MAX };
        let mut window = Window::new(position, disk.catalog.end(), within);
        // What is asked for most.
        while window.size().0 < RECENT && window.size().1 < limits.memory / 4 {
            let Some(newest) = disk.catalog.find_before(window.floor()) else { break };
            let Ok(contents) = disk.read(&newest) else { break };
            window.push_older(contents.entries, newest.chunk.before);
        }
        let shared = Arc::new(Shared::new(window, within, position));
        Writer::start(shared.clone(), disk.clone(), log)?;
        Ok(Journal { shared, disk: Some(disk) })
    }

    /// Appends the next transaction and wakes whoever waits. One at or before the position is a repetition (the stream
    /// was connected again) and is dropped; the answer is whether it was new. Never waits: see [`Journal::has_room`].
    pub fn append(&self, entry: Arc<T>) -> bool {
        let lsn = entry.lsn();
        let (dropped, held) = {
            let mut window = self.shared.window.write();
            if lsn <= self.position() {
                return false;
            }
            window.push(entry);
            self.shared.measure(&window, self.disk.as_deref());
            (window.trim(lsn), window.held())
        };
        self.shared.position.send_replace(lsn);
        drop(dropped);
        self.ring(held);
        true
    }

    /// Everything up to `reached` is known to have been handed on: the stream is idle, or what it had was not for clients.
    pub fn advance(&self, reached: Lsn) {
        let moved = self.shared.position.send_if_modified(|position| {
            let ahead = reached > *position;
            *position = reached.max(*position);
            ahead
        });
        if moved {
            let dropped = self.shared.window.write().trim(reached);
            drop(dropped);
            self.ring(0);
        }
    }

    /// There is something to write, and so many bytes of memory can't be given back before it is.
    fn ring(&self, held: usize) {
        let memory = self.shared.limits.memory;
        match &self.disk {
            None => {
                let start = self.start();
                self.shared.durable.send_if_modified(|known| std::mem::replace(known, start) != start);
            }
            Some(disk) if held > memory / PRESSING => disk.bell.press(),
            Some(disk) => disk.bell.ring(),
        }
    }

    /// How far the stream has been handed on.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.shared.position()
    }

    /// Where the window begins: resuming strictly after any position from here to [`Journal::position`] is exact.
    #[must_use]
    pub fn start(&self) -> Lsn {
        match &self.disk {
            None => self.shared.window.read().floor(),
            Some(disk) => disk.catalog.start(),
        }
    }

    /// Everything up to here need not come from Postgres again: it is on disk for certain, or, without a disk, it lies before the
    /// window. What the slot may be confirmed to.
    #[must_use]
    pub fn durable_position(&self) -> Lsn {
        *self.shared.durable.borrow()
    }

    /// A view of [`Journal::durable_position`] that can be waited on.
    #[must_use]
    pub fn watch_durable(&self) -> watch::Receiver<Lsn> {
        self.shared.durable.subscribe()
    }

    /// The entries strictly after `lsn`, oldest first, at most `max` and not beyond what is at hand; and the position up to which
    /// there are no others than those. If that is short of [`Journal::position`], there may be more: call again from there.
    ///
    /// # Errors
    /// [`Miss::Trimmed`] if the window begins after `lsn`; [`Miss::Cold`] if what follows has to be loaded.
    pub fn read_after(&self, lsn: Lsn, max: usize) -> Result<(Vec<Arc<T>>, Lsn), Miss> {
        self.read(lsn, Lsn(u64::MAX), max, max, |_| true)
    }

    /// The entries after `lsn` and up to `until` that are `wanted`, oldest first, at most `max`; and the position up to which there
    /// are no others than those. It is at most `until`, and short of it if there is more to look through: call again from there.
    ///
    /// # Errors
    /// [`Miss::Trimmed`] if the window begins after `lsn`; [`Miss::Cold`] if what follows has to be loaded.
    pub fn search(
        &self,
        lsn: Lsn,
        until: Lsn,
        max: usize,
        wanted: impl FnMut(&T) -> bool,
    ) -> Result<(Vec<Arc<T>>, Lsn), Miss> {
        self.read(lsn, until, max, LOOK, wanted)
    }

    /// Looks at no more than `look` entries.
    fn read(
        &self,
        lsn: Lsn,
        until: Lsn,
        max: usize,
        look: usize,
        wanted: impl FnMut(&T) -> bool,
    ) -> Result<(Vec<Arc<T>>, Lsn), Miss> {
        // The position is read first: what is appended in between is not claimed to have been read.
        let position = self.position();
        let mut sieve = Sieve { found: Vec::new(), last: lsn, until, max, look, wanted };
        loop {
            {
                let window = self.shared.window.read();
                if sieve.last >= window.floor() {
                    let through = sieve.take(window.after(sieve.last));
                    let reached = if through { position.min(until).max(sieve.last) } else { sieve.last };
                    return Ok((sieve.found, reached));
                }
            }
            let miss = match self.disk.as_ref().map(|disk| disk.find(sieve.last)) {
                None | Some(Shelved::Trimmed) => Miss::Trimmed,
                Some(Shelved::Cold(_)) => Miss::Cold(sieve.last),
                Some(Shelved::Here(slot)) => {
                    let Some(contents) = slot.contents() else { return Err(Miss::Cold(sieve.last)) };
                    let through = sieve.take(contents.after(sieve.last).iter());
                    if through {
                        sieve.last = contents.end.min(until).max(sieve.last);
                    }
                    if !through || sieve.last >= until {
                        return Ok((sieve.found, sieve.last));
                    }
                    continue;
                }
            };
            return if sieve.last > lsn { Ok((sieve.found, sieve.last)) } else { Err(miss) };
        }
    }

    /// The entries at these positions, in the same order: all of them, or as many of the first as are at hand, at least one.
    ///
    /// # Errors
    /// [`Miss::Trimmed`] if one of them is not in the window; [`Miss::Cold`] if the first has to be loaded.
    pub fn read_at(&self, positions: &[Lsn]) -> Result<Vec<Arc<T>>, Miss> {
        let mut entries = Vec::with_capacity(positions.len());
        let window = self.shared.window.read();
        for lsn in positions {
            if *lsn > window.floor() {
                entries.push(window.at(*lsn).ok_or(Miss::Trimmed)?.clone());
                continue;
            }
            let before = Lsn(lsn.0.saturating_sub(1));
            match self.disk.as_ref().map(|disk| disk.find(before)) {
                None | Some(Shelved::Trimmed) => return Err(Miss::Trimmed),
                Some(Shelved::Here(slot)) => {
                    let entry = slot.contents().and_then(|contents| contents.at(*lsn));
                    entries.push(entry.ok_or(Miss::Trimmed)?.clone());
                }
                Some(Shelved::Cold(_)) if entries.is_empty() => return Err(Miss::Cold(before)),
                Some(Shelved::Cold(_)) => break,
            }
        }
        Ok(entries)
    }

    /// Makes at hand what follows `lsn`, reading it from disk if need be: once, however many ask for it.
    ///
    /// # Errors
    /// [`Trimmed`] if the window begins after `lsn`.
    pub async fn load(&self, lsn: Lsn) -> Result<Loaded, Trimmed> {
        if lsn >= self.shared.window.read().floor() {
            return Ok(Loaded(None));
        }
        let Some(disk) = &self.disk else { return Err(Trimmed) };
        match disk.find(lsn) {
            Shelved::Here(slot) => Ok(Loaded(Some(slot))),
            Shelved::Cold(found) => Ok(Loaded(Some(disk.load(found).await?))),
            Shelved::Trimmed => Err(Trimmed),
        }
    }

    /// The position of a transaction, if it is among the newest.
    #[must_use]
    pub fn recently_passed(&self, xid: Xid) -> Option<Lsn> {
        self.shared.window.read().recently_passed(xid)
    }

    /// The newest transactions that are in memory, oldest first: after opening, those of the newest part.
    #[must_use]
    pub fn recent(&self) -> Vec<(Xid, Lsn)> {
        self.shared.window.read().recent()
    }

    /// A view of the position that can be waited on.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Lsn> {
        self.shared.position.subscribe()
    }

    /// Entries and bytes held in memory now.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.shared.window.read().size()
    }

    /// Waits until there is room for more transactions: until no more than the bound of memory waits for the disk. At once
    /// if nothing is in the way.
    pub async fn has_room(&self) {
        if let Some(disk) = &self.disk {
            // The sender lives in `self`, so waiting can't fail.
            let _ = disk.room.subscribe().wait_for(|room| *room).await;
        }
    }

    /// Makes everything durable that has been appended or reached so far.
    ///
    /// # Errors
    /// [`Stalled`] if that was tried and failed. It is tried again by itself.
    pub async fn flush(&self) -> Result<(), Stalled> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let target = self.position();
        let mut progress = disk.progress.subscribe();
        let failures = progress.borrow_and_update().failures;
        disk.bell.ask(|wish| wish.flush = true);
        let done = progress.wait_for(|now| now.durable >= target || now.failures > failures || now.stopped);
        let durable = done.await.map_err(|_| Stalled)?.durable;
        if durable >= target { Ok(()) } else { Err(Stalled) }
    }

    /// The stream goes on in another timeline of the write-ahead log.
    pub fn note_timeline(&self, timeline: u32) {
        if let Some(disk) = &self.disk {
            disk.bell.ask(|wish| wish.timeline = Some(timeline));
        }
    }

    /// Flushes, ends writing and unlocks the folder, so that somebody else may open it. What is appended afterwards stays in memory.
    ///
    /// # Errors
    /// [`Stalled`] if not everything could be made durable; the folder is unlocked all the same.
    pub async fn close(&self) -> Result<(), Stalled> {
        let Some(disk) = &self.disk else { return Ok(()) };
        disk.bell.ask(|wish| wish.stop = true);
        let mut progress = disk.progress.subscribe();
        let durable = progress.wait_for(|now| now.stopped).await.map_err(|_| Stalled)?.durable;
        if durable >= self.position() { Ok(()) } else { Err(Stalled) }
    }

    /// How the disk fares; `None` without one.
    #[must_use]
    pub fn state(&self) -> Option<DiskState> {
        let disk = self.disk.as_ref()?;
        let waiting = self.shared.window.read().held();
        Some(disk.state(waiting))
    }
}

/// Ends the thread that writes; it makes durable what it can.
impl<T: Entry> Drop for Journal<T> {
    fn drop(&mut self) {
        if let Some(disk) = &self.disk {
            disk.bell.ask(|wish| wish.stop = true);
        }
    }
}

impl<T: Entry> Shared<T> {
    fn new(window: Window<T>, limits: Limits, position: Lsn) -> Shared<T> {
        let durable = watch::Sender::new(position);
        Shared { limits, durable, window: RwLock::new(window), position: watch::Sender::new(position) }
    }

    pub(crate) fn position(&self) -> Lsn {
        *self.position.borrow()
    }

    /// Entries after `lsn`, at most `max`; and the position up to which there are no others.
    pub(crate) fn unwritten(&self, lsn: Lsn, max: usize) -> (Vec<Arc<T>>, Lsn) {
        // As in `Journal::read`.
        let position = self.position();
        let window = self.window.read();
        (window.after(lsn).take(max).cloned().collect(), position)
    }

    /// What lies up to `spare` can be read from disk.
    pub(crate) fn release(&self, spare: Lsn, disk: &Disk<T>) {
        let position = self.position();
        let dropped = {
            let mut window = self.window.write();
            window.release(spare);
            self.measure(&window, Some(disk));
            window.trim(position)
        };
        drop(dropped);
    }

    /// Says whether there is room. While the window is locked, so that nobody is told what was true before.
    fn measure(&self, window: &Window<T>, disk: Option<&Disk<T>>) {
        if let Some(disk) = disk {
            let room = window.held() <= self.limits.memory;
            disk.room.send_if_modified(|known| std::mem::replace(known, room) != room);
        }
    }

    /// Bytes of memory that can't be given back.
    pub(crate) fn held(&self) -> usize {
        self.window.read().held()
    }
}

/// Picks entries.
struct Sieve<T, F> {
    found: Vec<Arc<T>>,
    /// Everything up to here has been looked at.
    last: Lsn,
    until: Lsn,
    max: usize,
    look: usize,
    wanted: F,
}

impl<T: Entry, F: FnMut(&T) -> bool> Sieve<T, F> {
    /// Looks at these; whether it got through with all of them, up to `until`.
    fn take<'a>(&mut self, entries: impl Iterator<Item = &'a Arc<T>>) -> bool {
        for entry in entries {
            let lsn = entry.lsn();
            if lsn > self.until {
                self.last = self.until.max(self.last);
                return true;
            }
            if self.look == 0 || self.found.len() == self.max {
                return false;
            }
            self.look -= 1;
            self.last = lsn;
            if (self.wanted)(entry) {
                self.found.push(entry.clone());
            }
        }
        true
    }
}

#[cfg(test)]
mod tests;

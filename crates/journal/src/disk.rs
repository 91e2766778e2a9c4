//! What the journal, its readers and the thread that writes share of the disk.

use std::{path::PathBuf, sync::Arc};

use change::Lsn;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    DiskState, Entry, Limits, Trimmed, Trouble,
    bell::Bell,
    chunks::{self, Cache, Contents, Restore, Slot, Unusable},
    files::{
        Log,
        catalog::{Catalog, Found, Place},
        discard, lost,
    },
};

/// The disk of a journal.
pub(crate) struct Disk<T> {
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) bell: Bell,
    /// Whether there is room in memory.
    pub(crate) room: watch::Sender<bool>,
    pub(crate) progress: watch::Sender<Progress>,
    pub(crate) status: Mutex<Status>,
    pub(crate) folder: PathBuf,
    cache: Cache<T>,
    restore: Box<Restore<T>>,
    limit: u64,
}

/// How far the thread that writes has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Progress {
    pub(crate) durable: Lsn,
    /// How often writing failed.
    pub(crate) failures: u64,
    pub(crate) stopped: bool,
}

/// What is said of it.
#[derive(Debug, Default)]
pub(crate) struct Status {
    pub(crate) trouble: Option<Trouble>,
    pub(crate) lost: Option<String>,
}

/// Where what was asked for is.
pub(crate) enum Shelved<T> {
    /// Here.
    Here(Arc<Slot<T>>),
    /// In a chunk that is not at hand.
    Cold(Found),
    /// Before the window.
    Trimmed,
}

impl<T: Entry> Disk<T> {
    pub(crate) fn new(log: &Log, limits: Limits, lost: Option<String>, restore: Box<Restore<T>>) -> Disk<T> {
        let progress = Progress { durable: log.durable(), ..Progress::default() };
        Disk {
            catalog: log.catalog().clone(),
            bell: Bell::default(),
            room: watch::Sender::new(true),
            progress: watch::Sender::new(progress),
            status: Mutex::new(Status { trouble: None, lost }),
            folder: log.folder().to_owned(),
            cache: Cache::new(limits.memory / 4),
            restore,
            limit: log.limits().bytes,
        }
    }

    /// Where what follows `lsn` is.
    pub(crate) fn find(&self, lsn: Lsn) -> Shelved<T> {
        match self.catalog.find(lsn) {
            // What is beyond the files is in memory, where it was looked for first.
            Place::Trimmed | Place::Beyond => Shelved::Trimmed,
            Place::Chunk(found) => match self.cache.get(found.id) {
                Some(slot) => Shelved::Here(slot),
                None => Shelved::Cold(found),
            },
        }
    }

    /// Reads a chunk, or waits for whoever does.
    pub(crate) async fn load(self: &Arc<Disk<T>>, found: Found) -> Result<Arc<Slot<T>>, Trimmed> {
        let (disk, id) = (self.clone(), found.id);
        let loaded = self.cache.load(id, move || {
            // Somebody who waited for the same may have found it damaged.
            if found.chunk.before < disk.catalog.start() {
                return Err(Unusable::Damaged);
            }
            disk.read(&found)
        });
        loaded.await.map_err(|_| Trimmed)
    }

    /// Reads a chunk. If it can't be used, it is dropped with all before it. Blocks.
    pub(crate) fn read(&self, found: &Found) -> Result<Contents<T>, Unusable> {
        let read = chunks::read(found, &*self.restore);
        if let Err(reason) = &read
            && found.chunk.before >= self.catalog.start()
        {
            let dropped = self.catalog.drop_through(found.id);
            let start = self.catalog.start();
            let message = match reason {
                Unusable::Damaged => lost(&found.path, start),
                Unusable::Unknown(lsn) => format!(
                    "The journal's transaction at {lsn} has a schema that the database does not know any more: it is dropped \
                     with all before it, and the journal begins at {start}. Clients behind that load their data again."
                ),
            };
            tracing::error!("{message}");
            self.status.lock().lost = Some(message);
            let is_written = dropped.iter().all(|segment| segment.sequence != found.id.0);
            discard(&self.folder, &dropped);
            if is_written {
                self.bell.ask(|wish| wish.leave = true);
            }
        }
        read
    }

    /// For the status page; `waiting` bytes of memory can't be given back.
    pub(crate) fn state(&self, waiting: usize) -> DiskState {
        let (segments, bytes) = self.catalog.size();
        let status = self.status.lock();
        DiskState {
            segments,
            bytes,
            limit: self.limit,
            durable: self.progress.borrow().durable,
            waiting,
            stalled: !*self.room.borrow(),
            trouble: status.trouble.clone(),
            lost: status.lost.clone(),
        }
    }
}

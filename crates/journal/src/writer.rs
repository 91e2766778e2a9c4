//! The thread that writes.
//!
//! There is no queue: what is to be written is what the window in memory has and the files have not, and it can't leave the window
//! before it can be read from the files. Entries are encoded here, off the task of the stream.
//!
//! **When it is durable**: at the latest [`PERIOD`] after it was appended, all of it with one `fdatasync`; at once when somebody asks for
//! it ([`Journal::flush`](crate::Journal::flush)), when memory is needed, at the end of a segment, and at the end. The folder is
//! synced whenever a segment comes or goes.
//!
//! **When writing fails**, the segment is left as it was when it was last durable, and everything since is written again into another
//! one: first at once, then ever later, at most [`PATIENCE`] apart. Nothing is lost meanwhile, since memory holds it and the slot is not
//! confirmed. On a full disk the oldest segments go when half of the memory is needed for what waits.

use std::{
    io,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use change::Lsn;

use crate::{
    Entry, Trouble,
    bell::Wish,
    disk::{Disk, Progress},
    files::Log,
    journal::Shared,
};

/// The longest that something waits for `fdatasync`.
pub(crate) const PERIOD: Duration = Duration::from_millis(100);

/// How often the thread looks for more, once there was something.
const TICK: Duration = Duration::from_millis(20);

/// Between the first failure and the next try; doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// The longest between two tries.
const PATIENCE: Duration = Duration::from_secs(5);

/// The part of memory that what is not durable may occupy before that is hurried.
pub(crate) const PRESSING: usize = 4;

/// Entries taken from the window at once.
const BATCH: usize = 256;

/// The thread's own.
pub(crate) struct Writer<T: Entry> {
    shared: Arc<Shared<T>>,
    disk: Arc<Disk<T>>,
    /// Gone at the end: then the folder is unlocked.
    log: Option<Log>,
    /// Since when something waits to be made durable.
    since: Option<Instant>,
    trouble: Option<Setback>,
    /// The segment is to be left.
    leave: bool,
}

/// Writing fails.
struct Setback {
    attempts: u32,
    retry: Instant,
    since: SystemTime,
}

impl<T: Entry> Writer<T> {
    /// Starts the thread.
    pub(crate) fn start(shared: Arc<Shared<T>>, disk: Arc<Disk<T>>, log: Log) -> io::Result<()> {
        let writer = Writer { shared, disk, log: Some(log), since: None, trouble: None, leave: false };
        std::thread::Builder::new().name("journal".into()).spawn(move || writer.run()).map(drop)
    }

    fn run(mut self) {
        let (disk, shared) = (self.disk.clone(), self.shared.clone());
        while let Some(mut log) = self.log.take() {
            let wish = disk.bell.wait(self.wake_at(), || shared.position() > log.end());
            if let Some(timeline) = wish.timeline {
                log.note_timeline(timeline);
                self.since.get_or_insert_with(Instant::now);
            }
            match self.round(&mut log, wish) {
                Ok(()) => {}
                Err(error) => self.fail(&mut log, &error),
            }
            if wish.stop {
                break;
            }
            self.log = Some(log);
        }
    }

    /// When to go on without being asked.
    fn wake_at(&self) -> Option<Instant> {
        let now = Instant::now();
        match (&self.trouble, self.since) {
            (Some(trouble), _) => Some(trouble.retry),
            (None, Some(since)) => Some((now + TICK).min(since + PERIOD)),
            (None, None) => None,
        }
    }

    /// Writes what there is, and makes it durable if it is time.
    fn round(&mut self, log: &mut Log, wish: Wish) -> io::Result<()> {
        let asked = wish.flush || wish.stop;
        self.leave |= wish.leave;
        if self.trouble.as_ref().is_some_and(|trouble| !asked && Instant::now() < trouble.retry) {
            return Ok(());
        }
        if self.leave {
            log.leave()?;
            self.leave = false;
        }
        let position = self.append(log)?;
        if position > log.end() {
            self.since.get_or_insert_with(Instant::now);
        }
        let due = self.since.is_some_and(|since| since.elapsed() >= PERIOD) || self.trouble.is_some();
        if due || asked || wish.press {
            self.sync(log, position, wish.press)?;
        }
        Ok(())
    }

    /// Appends what the window has; the position up to which that is everything.
    fn append(&mut self, log: &mut Log) -> io::Result<Lsn> {
        let heavy = (self.shared.limits.memory / 8).max(1);
        loop {
            let (entries, position) = self.shared.unwritten(log.end(), BATCH);
            if entries.is_empty() {
                return Ok(position);
            }
            let since = *self.since.get_or_insert_with(Instant::now);
            for entry in &entries {
                log.append(entry.record(), entry.weight(), heavy)?;
            }
            if since.elapsed() >= PERIOD {
                self.sync(log, Lsn::ZERO, false)?;
            }
        }
    }

    fn sync(&mut self, log: &mut Log, reached: Lsn, press: bool) -> io::Result<()> {
        log.reached(reached)?;
        if press {
            log.end_chunk();
        }
        if !log.is_durable() {
            log.sync()?;
        }
        self.since = None;
        if self.trouble.take().is_some() {
            tracing::info!("The journal is written again");
            self.disk.status.lock().trouble = None;
        }
        self.publish(log, |_| {});
        self.disk.bell.relieve();
        if self.shared.held() > self.shared.limits.memory / PRESSING {
            // It was appended meanwhile, and whoever appends may be waiting for room.
            self.disk.bell.press();
        }
        Ok(())
    }

    /// Tells everybody how far it is durable.
    fn publish(&self, log: &Log, note: impl FnOnce(&mut Progress)) {
        self.shared.release(self.disk.catalog.end(), &self.disk);
        let durable = log.durable();
        self.shared.durable.send_if_modified(|known| std::mem::replace(known, durable) != durable);
        self.disk.progress.send_modify(|progress| {
            progress.durable = durable;
            note(progress);
        });
    }

    fn fail(&mut self, log: &mut Log, error: &io::Error) {
        log.abandon();
        self.since = None;
        let now = Instant::now();
        let begun = Setback { attempts: 0, retry: now, since: SystemTime::now() };
        let setback = self.trouble.get_or_insert(begun);
        let doublings = setback.attempts.min(16);
        setback.attempts += 1;
        setback.retry = now + (FIRST_PAUSE * 2u32.pow(doublings)).min(PATIENCE);
        let full = is_full(error);
        let waiting = self.shared.held() as u64;
        if full && waiting >= self.shared.limits.memory as u64 / 2 && log.make_room(waiting) {
            setback.retry = now;
            let start = self.disk.catalog.start();
            let lost = format!(
                "The journal's disk is full: to make room, its oldest transactions were dropped, and it begins at {start}. Clients \
                 behind that load their data again."
            );
            tracing::warn!("{lost}");
            self.disk.status.lock().lost = Some(lost);
        }
        let folder = self.disk.folder.display();
        let message = if full {
            format!(
                "The disk of the journal {folder} is full ({error}): transactions wait in memory, and Postgres keeps its log since {}. \
                 Make room there, or lower ELECTRIC_RESUMABLE_WAL_WINDOW; writing is tried again by itself.",
                log.durable()
            )
        } else {
            format!(
                "The journal {folder} can't be written ({error}): transactions wait in memory, and Postgres keeps its log since {}. \
                 Check the disk and the folder's owner; writing is tried again by itself.",
                log.durable()
            )
        };
        if setback.attempts == 1 {
            tracing::error!("{message}");
        }
        let trouble = Trouble { message, since: setback.since, attempts: setback.attempts, full };
        self.disk.status.lock().trouble = Some(trouble);
        self.publish(log, |progress| progress.failures += 1);
    }
}

/// Whether it is room that is missing.
fn is_full(error: &io::Error) -> bool {
    use io::ErrorKind::{FileTooLarge, QuotaExceeded, StorageFull};
    matches!(error.kind(), StorageFull | QuotaExceeded | FileTooLarge)
}

impl<T: Entry> Drop for Writer<T> {
    fn drop(&mut self) {
        // The folder is unlocked first.
        self.log = None;
        if std::thread::panicking() {
            let message = "Nothing is written to the journal any more, because of an error in the program: restart Tieline.";
            let message = message.to_owned();
            let trouble = Trouble { message, since: SystemTime::now(), attempts: 1, full: false };
            self.disk.status.lock().trouble = Some(trouble);
        }
        self.disk.progress.send_modify(|progress| progress.stopped = true);
    }
}

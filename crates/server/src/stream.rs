//! Everything that came from Postgres, as connections see it: the window of transactions, the schema, the migrations, and who
//! is to be woken for what.

mod kept;

use std::{collections::VecDeque, io, sync::Arc};

use arc_swap::ArcSwap;
use change::{Lsn, RelationId, Snapshot, Xid};
use journal::{DiskState, Entry as _, Files, Journal, Limits, Loaded, Miss, Recovered, Stalled, Trimmed};
use parking_lot::Mutex;
use postgres::assemble::{Committed, History};
use schema::{Migration, Schema};
use session::Delivery;

use crate::watchers::{Seat, Watchers};
use kept::{Kept, Versions};

/// One task appends; all connections read.
pub struct Stream {
    /// Whom to wake.
    pub watchers: Watchers,
    journal: Journal<Kept>,
    /// Whether all of it is on disk.
    durable: bool,
    /// Bytes that the part in memory may have.
    memory: usize,
    schema: ArcSwap<Schema>,
    migrations: ArcSwap<Vec<Arc<Migration>>>,
    /// What is needed to read from disk what was written there.
    versions: Arc<Versions>,
    recent: Mutex<VecDeque<(Xid, Lsn)>>,
    /// Where the stream stood when everyone was last woken, and how far it may go on until that is due again.
    stirred: Mutex<Lsn>,
    stir_every: u64,
}

/// How many of the newest transactions [`Stream::passed_unseen`] looks at: a commit reaches the stream at most some milliseconds
/// before queries see it.
const RECENT: usize = 4096;

/// Transactions in order, and the position up to which there are no others of what was asked for.
pub type Batch = (Vec<Arc<Delivery>>, Lsn);

impl Stream {
    /// A window in memory that begins at `start`. The schema and the migrations are those of the history's end.
    #[must_use]
    pub fn in_memory(start: Lsn, window: Limits, history: &History) -> Stream {
        Stream::over(Journal::new(start, window), window, history, Arc::default())
    }

    /// The window that is in these files, with the newest part in memory. Blocks while that is read.
    ///
    /// # Errors
    /// The system refuses a thread for writing.
    pub fn on_disk(
        files: Files,
        recovered: &Recovered,
        window: Limits,
        history: &History,
    ) -> io::Result<Stream> {
        let versions = Arc::new(Versions::of(history));
        // The files have a bound of their own, in bytes of theirs.
        let limits = Limits { span: u64::MAX, ..window };
        let known = versions.clone();
        let restore = move |record, before: Option<&str>| Kept::restore(record, before, &known);
        let journal = Journal::durable(files, recovered, limits, restore)?;
        Ok(Stream::over(journal, window, history, versions))
    }

    fn over(journal: Journal<Kept>, window: Limits, history: &History, versions: Arc<Versions>) -> Stream {
        let migrations = history.steps.iter().map(|step| step.migration.clone()).collect();
        let position = journal.position();
        let recent = journal.recent().into();
        Stream {
            watchers: Watchers::after(position),
            durable: journal.state().is_some(),
            memory: window.memory,
            journal,
            schema: ArcSwap::new(history.schema()),
            migrations: ArcSwap::from_pointee(migrations),
            versions,
            recent: Mutex::new(recent),
            stirred: Mutex::new(position),
            stir_every: (window.span / 8).min(window.memory as u64 / 8).max(1),
        }
    }

    /// Appends a committed transaction and wakes whom it concerns. A repetition is dropped.
    pub fn append(&self, committed: Committed) {
        let Committed { transaction, before, schema, migration } = committed;
        let (lsn, xid) = (transaction.lsn, transaction.xid);
        if lsn <= self.position() {
            return;
        }
        self.versions.note(&schema, migration.as_ref());
        if let Some(migration) = &migration {
            self.note_migration(migration, &schema);
        }
        {
            let mut recent = self.recent.lock();
            if recent.len() == RECENT {
                recent.pop_front();
            }
            recent.push_back((xid, lsn));
        }
        let delivery = Arc::new(Delivery::new(transaction, schema, migration).after(before));
        // In this order: see `read_noted`.
        let concerned = self.watchers.note(&delivery);
        self.journal.append(Arc::new(Kept::new(delivery)));
        concerned.wake();
        self.watchers.reached(lsn);
        self.stir(lsn);
    }

    /// Both show before the position does: whoever reads them together with a position misses nothing. After a restart the
    /// stream passes migrations again that were loaded at the start; those are known.
    fn note_migration(&self, migration: &Arc<Migration>, schema: &Arc<Schema>) {
        let known = self.migrations.load();
        if known.iter().any(|m| m.version == migration.version) {
            return;
        }
        tracing::info!("Applying migration {}: {} operations", migration.version, migration.ops.len());
        let migrations = known.iter().chain([migration]).cloned().collect();
        self.schema.store(schema.clone());
        self.migrations.store(Arc::new(migrations));
        tracing::info!("Saved schema version {}", migration.version);
    }

    /// The stream is known to have been decoded up to here.
    pub fn advance(&self, reached: Lsn) {
        self.journal.advance(reached);
        self.watchers.reached(reached);
        self.stir(reached);
    }

    /// Wakes everyone before an idle connection's cursor could fall out of the window.
    fn stir(&self, position: Lsn) {
        let mut stirred = self.stirred.lock();
        if position.0.saturating_sub(stirred.0) >= self.stir_every {
            *stirred = position;
            self.watchers.wake_all();
        }
    }

    /// The transactions strictly after `cursor`, at most `max`, and how far there are no others; perhaps short of `max` and of the
    /// end, if the next ones are not at hand.
    ///
    /// # Errors
    /// [`Miss::Trimmed`] if the window begins after `cursor`; [`Miss::Cold`] asks for [`Stream::load`].
    pub fn read_after(&self, cursor: Lsn, max: usize) -> Result<Batch, Miss> {
        let (entries, reached) = self.journal.read_after(cursor, max)?;
        Ok((deliveries(&entries), reached))
    }

    /// The transactions strictly after `cursor` that were noted for a connection, and how far there are no others of these;
    /// `None` if they were not noted from so far back: then all have to be looked at.
    ///
    /// Nothing is missed, whoever does what at the same time. Let *p* be the position as it is read here, before the notes.
    /// - A transaction is noted before it is appended, and only appending moves the position over it. So everything up to *p*
    ///   has been noted by the time that the notes are read, and *p* may be claimed as reached.
    /// - What was noted but lies beyond *p* stays noted: a note goes when the cursor passes it, and the cursor comes to *p*
    ///   at most. The bell rings for it after it was appended, that is, after this reading or before it; in either case
    ///   the connection looks once more.
    /// - When other interests are filed, the notes are declared complete only after the newest transaction that was noted
    ///   until then, under the lock that noting takes. Those up to there are looked at by reading all of them.
    /// - A note that has to make room for a newer one moves the beginning of the notes to itself, with the same effect.
    ///
    /// Only the first of them come if the others are not at hand.
    ///
    /// # Errors
    /// [`Miss::Trimmed`] if one of them is not in the window any more; [`Miss::Cold`] asks for [`Stream::load`].
    pub fn read_noted(&self, seat: &Seat, cursor: Lsn) -> Result<Option<Batch>, Miss> {
        let reached = self.position();
        let Some(positions) = seat.concerning(cursor, reached) else { return Ok(None) };
        let entries = self.journal.read_at(&positions)?;
        let reached = match entries.last() {
            Some(last) if entries.len() < positions.len() => last.lsn(),
            _ => reached,
        };
        Ok(Some((deliveries(&entries), reached)))
    }

    /// The transactions after `cursor` and up to `until` that touch one of `relations` (sorted), at most `max`, and how far there are
    /// no others; short of `until` if there is more to look through.
    ///
    /// # Errors
    /// [`Miss::Trimmed`] if the window begins after `cursor`; [`Miss::Cold`] asks for [`Stream::load`].
    pub fn touching(
        &self,
        relations: &[RelationId],
        cursor: Lsn,
        until: Lsn,
        max: usize,
    ) -> Result<Batch, Miss> {
        let touches = |kept: &Kept| kept.touches(relations);
        let (entries, reached) = self.journal.search(cursor, until, max, touches)?;
        Ok((deliveries(&entries), reached))
    }

    /// Brings what follows `cursor` from disk. It is at hand for as long as the answer is kept: until the read has been repeated.
    ///
    /// # Errors
    /// [`Trimmed`] if the window begins after `cursor`.
    pub async fn load(&self, cursor: Lsn) -> Result<Loaded, Trimmed> {
        self.journal.load(cursor).await
    }

    /// Whether a transaction that was handed on at or before `until` is not in a snapshot: a commit can
    /// reach the stream a moment before queries see it (spec 06 §5.5 step 2).
    #[must_use]
    pub fn passed_unseen(&self, snapshot: &Snapshot, until: Lsn) -> bool {
        self.recent.lock().iter().any(|(xid, lsn)| *lsn <= until && !snapshot.sees(*xid))
    }

    /// Whether a snapshot sees a transaction and not one before it, of those that were handed on at or before `until`.
    #[must_use]
    pub fn is_torn(&self, snapshot: &Snapshot, until: Lsn) -> bool {
        let recent = self.recent.lock();
        let until_there = recent.iter().take_while(|(_, lsn)| *lsn <= until);
        until_there.map(|(xid, _)| snapshot.sees(*xid)).skip_while(|seen| *seen).any(|seen| seen)
    }

    /// The position of the newest transaction; zero if there was none yet.
    #[must_use]
    pub fn newest_transaction(&self) -> Lsn {
        self.recent.lock().back().map_or(Lsn(0), |(_, lsn)| *lsn)
    }

    /// Of the newest transactions, the one with this id, as its position.
    #[must_use]
    pub fn recently_passed(&self, xid: Xid) -> Option<Lsn> {
        self.journal.recently_passed(xid)
    }

    /// How far the stream has been handed on.
    #[must_use]
    pub fn position(&self) -> Lsn {
        self.journal.position()
    }

    /// Where the window begins.
    #[must_use]
    pub fn start(&self) -> Lsn {
        self.journal.start()
    }

    /// What lies up to here is not needed from Postgres any more: it is on disk, or, without one, before the window.
    #[must_use]
    pub fn confirmable(&self) -> Lsn {
        if self.durable { self.journal.durable_position() } else { self.journal.start() }
    }

    /// Waits until [`Stream::confirmable`] may be more than `known`.
    pub async fn confirmable_beyond(&self, known: Lsn) {
        // The senders live in `self`, so waiting can't fail.
        if self.durable {
            let _ = self.journal.watch_durable().wait_for(|at| *at > known).await;
        } else {
            let _ = self.journal.watch().wait_for(|_| self.journal.start() > known).await;
        }
    }

    /// How the journal's disk fares; `None` without one.
    #[must_use]
    pub fn disk(&self) -> Option<DiskState> {
        self.journal.state()
    }

    /// Waits while memory is full of what can't be written to disk.
    pub async fn has_room(&self) {
        self.journal.has_room().await;
    }

    /// Writes everything to disk that was appended or reached so far, and lets somebody else open the journal. What is appended
    /// afterwards stays in memory.
    ///
    /// # Errors
    /// [`Stalled`] if not everything could be written. What is missing comes from Postgres again at the next start.
    pub async fn close(&self) -> Result<(), Stalled> {
        self.journal.close().await
    }

    /// Postgres' log goes on in another timeline.
    pub fn note_timeline(&self, timeline: u32) {
        self.journal.note_timeline(timeline);
    }

    /// Waits until the stream has reached `position`.
    pub async fn reached(&self, position: Lsn) {
        // The sender lives in `self`, so waiting can't fail.
        let _ = self.journal.watch().wait_for(|at| *at >= position).await;
    }

    /// Transactions and bytes in memory.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.journal.size()
    }

    /// Bytes that may be in memory.
    #[must_use]
    pub fn memory_limit(&self) -> usize {
        self.memory
    }

    /// All migrations so far, oldest first.
    #[must_use]
    pub fn migrations(&self) -> Arc<Vec<Arc<Migration>>> {
        self.migrations.load_full()
    }

    /// The schema at the newest position.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.schema.load_full()
    }
}

fn deliveries(entries: &[Arc<Kept>]) -> Vec<Arc<Delivery>> {
    entries.iter().map(|kept| kept.delivery().clone()).collect()
}

#[cfg(test)]
mod tests;

//! Everything that came from Postgres, as connections see it: the window of transactions, the schema, the migrations, and who
//! is to be woken for what.

use std::{collections::VecDeque, sync::Arc};

use arc_swap::ArcSwap;
use change::{Lsn, RelationId, Snapshot, Xid};
use journal::{Entry, Journal, Miss, RecordRef, Trimmed};
use parking_lot::Mutex;
use postgres::assemble::Committed;
use schema::{Migration, Schema};
use session::Delivery;

use crate::watchers::{Seat, Watchers};

/// One task appends; all connections read.
pub struct Stream {
    /// Whom to wake.
    pub watchers: Watchers,
    journal: Journal<Kept>,
    schema: ArcSwap<Schema>,
    migrations: ArcSwap<Vec<Arc<Migration>>>,
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

/// A transaction in the window.
struct Kept(Arc<Delivery>);

impl Entry for Kept {
    fn lsn(&self) -> Lsn {
        self.0.transaction.lsn
    }

    fn xid(&self) -> Xid {
        self.0.transaction.xid
    }

    fn weight(&self) -> usize {
        self.0.weight()
    }

    fn record(&self) -> RecordRef<'_> {
        let migration = self.0.migration.as_ref().map(|migration| migration.version.as_str());
        let schema = self.0.schema.version.as_deref();
        RecordRef { transaction: &self.0.transaction, migration, schema }
    }
}

/// Without a disk, what is not in memory is not in the window.
fn missed(_: Miss) -> Trimmed {
    Trimmed
}

impl Stream {
    /// Begins at `start`, where the schema and the migrations are these.
    #[must_use]
    pub fn new(
        start: Lsn,
        limits: journal::Limits,
        schema: Arc<Schema>,
        migrations: Vec<Arc<Migration>>,
    ) -> Stream {
        Stream {
            watchers: Watchers::default(),
            journal: Journal::new(start, limits),
            schema: ArcSwap::new(schema),
            migrations: ArcSwap::from_pointee(migrations),
            recent: Mutex::default(),
            stirred: Mutex::new(start),
            stir_every: (limits.span / 8).min(limits.memory as u64 / 8).max(1),
        }
    }

    /// Appends a committed transaction and wakes whom it concerns. A repetition is dropped.
    pub fn append(&self, committed: Committed) {
        let Committed { transaction, before, schema, migration } = committed;
        let (lsn, xid) = (transaction.lsn, transaction.xid);
        if lsn <= self.position() {
            return;
        }
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
        self.journal.append(Arc::new(Kept(delivery)));
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

    /// The transactions strictly after `cursor`, at most `max`, and how far there are no others.
    ///
    /// # Errors
    /// [`Trimmed`] if the window begins after `cursor`.
    pub fn read_after(&self, cursor: Lsn, max: usize) -> Result<Batch, Trimmed> {
        let (entries, reached) = self.journal.read_after(cursor, max).map_err(missed)?;
        Ok((entries.iter().map(|kept| kept.0.clone()).collect(), reached))
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
    /// # Errors
    /// [`Trimmed`] if one of them is not in the window any more.
    pub fn read_noted(&self, seat: &Seat, cursor: Lsn) -> Result<Option<Batch>, Trimmed> {
        let reached = self.position();
        let Some(positions) = seat.concerning(cursor, reached) else { return Ok(None) };
        let entries = self.journal.read_at(&positions).map_err(missed)?;
        // Not all of them were at hand: the others are read from there.
        let reached = match entries.last() {
            Some(last) if entries.len() < positions.len() => last.lsn(),
            _ => reached,
        };
        Ok(Some((entries.iter().map(|kept| kept.0.clone()).collect(), reached)))
    }

    /// The transactions after `cursor` and up to `until` that touch one of `relations` (sorted), at most `max`, and how far there are
    /// no others; short of `until` if there is more to look through.
    ///
    /// # Errors
    /// [`Trimmed`] if the window begins after `cursor`.
    pub fn touching(
        &self,
        relations: &[RelationId],
        cursor: Lsn,
        until: Lsn,
        max: usize,
    ) -> Result<Batch, Trimmed> {
        let touches =
            |kept: &Kept| kept.0.relations().iter().any(|relation| relations.binary_search(relation).is_ok());
        let (entries, reached) = self.journal.search(cursor, until, max, touches).map_err(missed)?;
        Ok((entries.iter().map(|kept| kept.0.clone()).collect(), reached))
    }

    /// Whether a transaction that was handed on at or before `until` is not in a snapshot: a commit can
    /// reach the stream a moment before queries see it (spec 06 §5.5 step 2).
    #[must_use]
    pub fn passed_unseen(&self, snapshot: &Snapshot, until: Lsn) -> bool {
        self.recent.lock().iter().any(|(xid, lsn)| *lsn <= until && !snapshot.sees(*xid))
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

    /// Where the window begins; what lies before is not needed from Postgres any more.
    #[must_use]
    pub fn start(&self) -> Lsn {
        self.journal.start()
    }

    /// Waits until the stream has reached `position`.
    pub async fn reached(&self, position: Lsn) {
        // The sender lives in `self`, so waiting can't fail.
        let _ = self.journal.watch().wait_for(|at| *at >= position).await;
    }

    /// Transactions and bytes in the window.
    #[must_use]
    pub fn size(&self) -> (usize, usize) {
        self.journal.size()
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

#[cfg(test)]
mod tests;

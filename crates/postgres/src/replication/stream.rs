//! Events for the rest of the service, and the way back: what is durable, and how far the stream must be known.

use std::{
    mem,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use change::Lsn;
use tokio::{
    sync::Notify,
    time::{Instant, sleep_until},
};

use super::{
    arrival::{Arrival, Process},
    resume::{Gap, Identity, Kept, Situation, decide},
    slot::{Slot, SlotError},
    transport::{ReplicationStream, WalEvent},
    vigil::{Marker, Probe},
};
use crate::{
    assemble::{AssembleError, Assembled, Assembler, Committed, History},
    connection::{ConnectConfig, ConnectError},
    wire::WireError,
};

/// How often a moved confirmation is told.
const CONFIRM_EVERY: Duration = Duration::from_secs(1);

/// The longest time without a status, so that the server does not take us for dead (`wal_sender_timeout`).
const STATUS_EVERY: Duration = Duration::from_secs(10);

/// How long an awaited position may take by itself before it is helped along (spec 06 §5.5 step 7).
const PATIENCE: Duration = Duration::from_millis(100);

/// How often the server is asked how far it is while a position is awaited.
const ASK_EVERY: Duration = Duration::from_millis(10);

/// After this much silence the server is asked for a sign of life.
const QUIET: Duration = Duration::from_secs(3);

/// After this much it is looked up whether it is alive at all.
const SILENT: Duration = Duration::from_secs(6);

/// A batch is handed over when it has so many events.
const BATCH_EVENTS: usize = 1024;

/// Or when its transactions weigh so much, in bytes.
const BATCH_WEIGHT: usize = 4 << 20;

/// What to stream.
#[derive(Clone, Debug)]
pub struct Publication {
    /// Where.
    pub config: ConnectConfig,
    /// The publication's name.
    pub name: String,
}

/// Something happened.
#[derive(Clone, Debug, PartialEq)]
pub enum Event {
    /// A transaction that clients may have to see. The stream has reached its position.
    Commit(Box<Committed>),
    /// Everything that committed at or before this position has been handed over.
    Reached(Lsn),
}

/// The stream has begun.
#[derive(Clone, Debug)]
pub struct Started {
    /// Which database this is.
    pub identity: Identity,
    /// The slot that is read from.
    pub slot: Slot,
    /// All transactions after this position come.
    pub position: Lsn,
    /// Why it could not be continued where it was, if so: some transactions before the position may never come. What was kept of the
    /// stream before is of no use then; load the history anew and make a new [`Stream`].
    pub gap: Option<Gap>,
}

/// Where a stream is to begin.
#[derive(Clone, Debug)]
pub struct Beginning {
    /// Which database this is.
    pub identity: Identity,
    /// Its present timeline.
    pub timeline: u32,
    /// All transactions that commit after this position are to come.
    pub position: Lsn,
}

/// The stream ended, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum StreamError {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The connection broke, or Postgres refused something.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// No slot.
    #[error(transparent)]
    Slot(#[from] SlotError),
    /// What came can't be understood.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// Somebody else follows the database.
    #[error("another instance of the service follows this database")]
    Busy,
    /// Nothing comes any more.
    #[error("Postgres has gone silent")]
    Silent,
    /// [`Stream::connect`] has not been called, or has failed.
    #[error("the replication stream is not connected")]
    NotConnected,
}

impl StreamError {
    /// The SQLSTATE, if Postgres itself answered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            StreamError::Connect(error) => error.code(),
            StreamError::Wire(error) | StreamError::Slot(SlotError::Wire(error)) => error.code(),
            _ => None,
        }
    }

    /// Whether the publication was missing where the stream is: it was dropped, and what was changed before it was made again can't be
    /// decoded.
    #[must_use]
    pub fn is_unpublished(&self) -> bool {
        self.code() == Some("42704")
    }

    /// Whether someone else is reading from the slot; it may be another instance of this service.
    #[must_use]
    pub fn is_slot_busy(&self) -> bool {
        matches!(self, StreamError::Busy) || self.code() == Some("55006")
    }

    /// Whether the other end does not know replication commands: it is a connection pooler.
    #[must_use]
    pub fn is_pooler(&self) -> bool {
        self.code() == Some("42601")
    }
}

/// What a failpoint does, in tests: `return` breaks the connection, `return(abort)` is the end of the process, as a power cut
/// would be. They are `stream::connect`, `stream::slot_made` and `stream::confirm`.
#[cfg_attr(not(test), allow(dead_code, reason = "only with failpoints"))]
pub(super) fn tripped<T>(what: Option<&str>) -> Result<T, StreamError> {
    if what == Some("abort") {
        std::process::abort();
    }
    Err(StreamError::Silent)
}

/// The way back into the stream, for everyone.
#[derive(Clone, Debug, Default)]
pub struct Control(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    confirmed: AtomicU64,
    wanted: AtomicU64,
    changed: Notify,
    suspicion: Notify,
}

impl Control {
    /// Transactions that committed at or before `position` need never come again: Postgres may forget them.
    pub fn confirm(&self, position: Lsn) {
        self.0.confirmed.fetch_max(position.0, Ordering::AcqRel);
    }

    /// Sees to it that an [`Event`] at or after `position` comes soon, on an idle database as well (spec 06 §5.5).
    /// `position` must not be beyond `pg_current_wal_insert_lsn()`.
    pub fn reach(&self, position: Lsn) {
        if self.0.wanted.fetch_max(position.0, Ordering::AcqRel) < position.0 {
            self.0.changed.notify_one();
        }
    }

    /// Waits until the stream shows a table that is not as its definition says. One occasion wakes one waiter, now or later.
    pub async fn suspicion(&self) {
        self.0.suspicion.notified().await;
    }

    /// Wakes whoever waits for a suspicion: a table can't be read as its definition says.
    pub fn suspect(&self) {
        self.0.suspicion.notify_one();
    }

    fn confirmed(&self) -> Lsn {
        Lsn(self.0.confirmed.load(Ordering::Acquire))
    }

    fn wanted(&self) -> Lsn {
        Lsn(self.0.wanted.load(Ordering::Acquire))
    }
}

/// The stream of a database's committed transactions, in commit order, without gaps and without repetition, across
/// reconnections.
pub struct Stream {
    publication: Publication,
    assembler: Assembler,
    control: Control,
    /// Everything up to there has been handed over, or is in `ready`.
    kept: Option<Kept>,
    /// The server process of the newest connection.
    process: Option<Process>,
    ready: Vec<Event>,
    connection: Option<Connection>,
    marker: Marker,
}

struct Connection {
    transport: ReplicationStream,
    /// Why the stream ends after what is in `ready`.
    failure: Option<StreamError>,
    reply_due: bool,
    told_confirmed: Lsn,
    told_at: Instant,
    heard_at: Instant,
    asked_at: Instant,
    probe: Probe,
    /// Since when a position is awaited.
    awaiting: Option<Instant>,
}

impl Stream {
    /// A stream that has not begun.
    #[must_use]
    pub fn new(publication: Publication, history: History) -> Stream {
        Stream {
            marker: Marker::new(publication.config.clone()),
            publication,
            assembler: Assembler::new(history),
            control: Control::default(),
            kept: None,
            process: None,
            ready: Vec::new(),
            connection: None,
        }
    }

    /// The way back; stays good across reconnections.
    #[must_use]
    pub fn control(&self) -> Control {
        self.control.clone()
    }

    /// What of the stream has been handed over, once it has begun.
    #[must_use]
    pub fn kept(&self) -> Option<&Kept> {
        self.kept.as_ref()
    }

    /// The server process of the newest connection, for [`Arrival::claim`].
    #[must_use]
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Connects, for the first time or after an error of [`Stream::next_batch`]; continues after the last event handed over, or
    /// begins where the slot stands. For whoever keeps nothing but this stream; see [`Stream::begin`].
    ///
    /// # Errors
    /// [`StreamError`]; try again after a while.
    pub async fn connect(&mut self) -> Result<Started, StreamError> {
        self.connection = None;
        let mut arrival = Arrival::log_in(&self.publication.config).await?;
        if !arrival.claim(self.process.as_ref()).await? {
            return Err(StreamError::Busy);
        }
        let situation = arrival.look().await?;
        let verdict = decide(self.kept.as_ref(), &situation);
        let slot = arrival.slot(&situation).await?;
        let position = *verdict.as_ref().unwrap_or(&slot.confirmed);
        let gap = verdict.err().filter(|gap| *gap != Gap::NothingKept);
        let Situation { identity, timelines, .. } = situation;
        let beginning = Beginning { identity: identity.clone(), timeline: timelines.present, position };
        self.begin(arrival, &slot, beginning).await?;
        Ok(Started { identity, slot, position, gap })
    }

    /// Begins, or goes on, on a new connection.
    ///
    /// # Errors
    /// [`StreamError`]; try again after a while.
    pub async fn begin(&mut self, arrival: Arrival, slot: &Slot, from: Beginning) -> Result<(), StreamError> {
        self.connection = None;
        let (next_xid, process) = (arrival.next_xid, arrival.process().clone());
        let Beginning { identity, timeline, position } = from;
        let name = &self.publication.name;
        let transport = ReplicationStream::start(arrival.wire, slot, name, position).await?;
        self.assembler.restart(next_xid, slot.settled);
        let now = Instant::now();
        self.connection = Some(Connection {
            probe: Probe::new(self.publication.config.clone(), process.id()),
            transport,
            failure: None,
            reply_due: true,
            told_confirmed: slot.confirmed,
            told_at: now,
            heard_at: now,
            asked_at: now,
            awaiting: None,
        });
        self.process = Some(process);
        self.kept = Some(Kept { identity, timeline, position });
        Ok(())
    }

    /// The next events: as many as have been received, at least one. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// [`StreamError`] ends the connection; [`Stream::connect`] makes a new one.
    pub async fn next_batch(&mut self) -> Result<Vec<Event>, StreamError> {
        let result = self.wait_for_events().await;
        if result.is_err() {
            self.connection = None;
        }
        result
    }

    /// Keeps the connection alive while nobody takes events, until it breaks.
    pub async fn idle(&mut self) -> StreamError {
        loop {
            let Some(connection) = &mut self.connection else { return StreamError::NotConnected };
            if let Err(error) = connection.transport.send_status(false).await {
                self.connection = None;
                return error;
            }
            connection.told_at = Instant::now();
            tokio::time::sleep(STATUS_EVERY).await;
        }
    }

    async fn wait_for_events(&mut self) -> Result<Vec<Event>, StreamError> {
        loop {
            let connection = self.connection.as_mut().ok_or(StreamError::NotConnected)?;
            if let Some(failure) = connection.failure.take() {
                return Err(failure);
            }
            let reached = self.kept.as_ref().map_or(Lsn::ZERO, |kept| kept.position);
            let wakeup = connection.attend(&self.control, reached, &mut self.marker).await?;
            self.read_buffered();
            if !self.ready.is_empty() {
                return Ok(mem::take(&mut self.ready));
            }
            let connection = self.connection.as_mut().ok_or(StreamError::NotConnected)?;
            if connection.failure.is_some() {
                continue;
            }
            if connection.reply_due {
                continue;
            }
            tokio::select! {
                filled = connection.transport.fill() => {
                    filled?;
                    connection.heard_at = Instant::now();
                }
                () = self.control.0.changed.notified() => {}
                () = sleep_until(wakeup) => {}
            }
        }
    }

    /// Reads what has been received into `ready`. A failure is kept for after that.
    fn read_buffered(&mut self) {
        let mut weight = 0;
        while self.ready.len() < BATCH_EVENTS && weight < BATCH_WEIGHT {
            let Some(connection) = &mut self.connection else { return };
            match connection.transport.buffered() {
                Ok(None) => return,
                Ok(Some(event)) => match self.read_event(event) {
                    Ok(added) => weight += added,
                    Err(error) => return self.fail(error),
                },
                Err(error) => return self.fail(error),
            }
        }
    }

    fn fail(&mut self, error: StreamError) {
        if let Some(connection) = &mut self.connection {
            connection.failure = Some(error);
        }
    }

    /// Says how much the event weighs that came of it.
    fn read_event(&mut self, event: WalEvent) -> Result<usize, StreamError> {
        let read = self.assemble(event);
        if self.assembler.take_suspicion() {
            self.control.0.suspicion.notify_one();
        }
        read
    }

    fn assemble(&mut self, event: WalEvent) -> Result<usize, StreamError> {
        match event {
            WalEvent::Data { bytes, .. } => match self.assembler.message(bytes)? {
                Assembled::Pending => {}
                Assembled::Empty(position) => self.reach(position),
                Assembled::Transaction(committed) => {
                    let position = committed.transaction.lsn;
                    if self.reached().is_none_or(|reached| position > reached) {
                        let weight = committed.transaction.weight();
                        self.advance(position);
                        self.ready.push(Event::Commit(committed));
                        return Ok(weight);
                    }
                }
            },
            WalEvent::Keepalive { wal_end, reply_requested } => {
                if let Some(connection) = &mut self.connection {
                    connection.reply_due |= reply_requested;
                }
                // In the midst of a transaction it says nothing of it.
                if !self.assembler.is_open() {
                    self.reach(wal_end);
                }
            }
        }
        Ok(0)
    }

    fn reached(&self) -> Option<Lsn> {
        self.kept.as_ref().map(|kept| kept.position)
    }

    fn reach(&mut self, position: Lsn) {
        if self.reached().is_some_and(|reached| position <= reached) {
            return;
        }
        self.advance(position);
        match self.ready.last_mut() {
            Some(Event::Reached(last)) => *last = position,
            _ => self.ready.push(Event::Reached(position)),
        }
    }

    fn advance(&mut self, position: Lsn) {
        if let Some(kept) = &mut self.kept {
            kept.position = position;
        }
        self.assembler.reached(position);
        if let Some(connection) = &mut self.connection {
            connection.transport.received(position);
        }
    }
}

impl Connection {
    /// Says what has to be said to the server by now, and until when there is nothing more to say.
    async fn attend(
        &mut self,
        control: &Control,
        reached: Lsn,
        marker: &mut Marker,
    ) -> Result<Instant, StreamError> {
        let now = Instant::now();
        let confirmed = control.confirmed();
        let confirm_at = if confirmed > self.told_confirmed { CONFIRM_EVERY } else { STATUS_EVERY };
        let mut wakeup = self.told_at + confirm_at;
        let mut ask = false;

        if control.wanted() > reached {
            let since = *self.awaiting.get_or_insert(now);
            ask = since == now || now >= self.asked_at + ASK_EVERY;
            if now >= since + PATIENCE && marker.run() {
                self.awaiting = Some(now);
            }
            wakeup = wakeup.min(now + ASK_EVERY);
        } else {
            self.awaiting = None;
        }

        let silence = now.duration_since(self.heard_at);
        if silence >= SILENT && self.probe.has_failed(now, SILENT) {
            return Err(StreamError::Silent);
        }
        ask |= silence >= QUIET && now >= self.asked_at + QUIET;
        wakeup = wakeup.min(now.max(self.heard_at + QUIET).max(self.asked_at + QUIET));
        if silence >= QUIET {
            wakeup = wakeup.min(now + Duration::from_millis(200));
        }

        if ask || self.reply_due || now >= self.told_at + confirm_at {
            fail::fail_point!("stream::confirm", |what| tripped(what.as_deref()));
            self.transport.confirm(confirmed);
            self.transport.send_status(ask).await?;
            self.told_confirmed = self.told_confirmed.max(confirmed);
            self.told_at = now;
            self.reply_due = false;
            if ask {
                self.asked_at = now;
            }
            wakeup = wakeup.max(now + Duration::from_millis(1));
        }
        Ok(wakeup)
    }
}

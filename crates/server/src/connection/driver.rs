//! The task of a connection.

use std::{
    cell::RefCell,
    io,
    net::IpAddr,
    sync::Arc,
    task::{Context, Waker},
    time::{Duration, Instant},
};

use bytes::{Buf as _, Bytes, BytesMut};
use change::Lsn;
use journal::Miss;
use session::{CloseCode, Input, Output, Session, Tracker};
use tokio::{
    io::Interest,
    net::TcpStream,
    time::{Sleep, sleep_until},
};

use super::{Hub, Mailbox, actions::Actions, clock, closing::Stage};
use crate::{
    gate::{Failures, Place},
    stream::Batch,
    watchers::ConnectionId,
    websocket::{self, Decoder, Event, Outbox},
};

/// Longest message before authentication (spec 01 §6).
const MAX_UNAUTHENTICATED_MESSAGE: usize = 64 * 1024;

/// Queued bytes from which on neither the socket nor the stream is read.
const QUEUE_BUDGET: usize = 256 * 1024;

/// Transactions taken from the stream at a time.
const STREAM_BATCH: usize = 256;

/// Such batches, or messages of a snapshot, before the socket is looked at again.
const PULLS: usize = 8;

/// Rounds of reading and writing before others get a turn.
const ROUNDS: usize = 8;

thread_local! {
    /// Bytes on their way between a socket and a queue, never across a wait: one buffer for all connections of a thread.
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; 64 * 1024].into_boxed_slice());
}

/// Serves a client on an upgraded socket until either side ends it. `early` is what the client sent behind its request.
pub async fn serve(hub: Arc<Hub>, socket: TcpStream, early: BytesMut, peer: IpAddr, place: Place) {
    // Small messages must not wait for each other's acknowledgement.
    let _ = socket.set_nodelay(true);
    let mut driver = Driver::new(hub, socket, early, peer, place);
    driver.run().await;
}

/// What the stream had for a session.
enum Fed {
    /// Nothing, or nothing at hand; its cursor may have moved on all the same.
    Nothing,
    /// As much as is taken at a time, or is at hand: there may be more.
    Batch,
    /// All of it.
    Rest,
}

struct Driver {
    hub: Arc<Hub>,
    id: ConnectionId,
    peer: IpAddr,
    socket: TcpStream,
    decoder: Decoder,
    /// Received, not yet looked at: the session was not ready for more.
    unread: BytesMut,
    outbox: Outbox,
    session: Session,
    mailbox: Arc<Mailbox>,
    actions: Actions,
    /// A part of a snapshot that came while waiting.
    part: Option<Input>,
    /// Its place among the unauthenticated.
    place: Option<Place>,
    stage: Stage,
    /// Nothing is written before: the answer to a failed attempt of a limited address.
    held_until: Option<Instant>,
    /// Since when the peer has taken nothing of what waits for it.
    stalled_since: Option<Instant>,
}

impl Driver {
    fn new(hub: Arc<Hub>, socket: TcpStream, early: BytesMut, peer: IpAddr, place: Place) -> Driver {
        let id = hub.name_connection();
        let mailbox = Mailbox::new();
        let session =
            Session::new(hub.session.clone(), hub.verifier.clone(), hub.world.clone(), clock::now());
        let actions = Actions::new(hub.clone(), id, mailbox.clone());
        Driver {
            hub,
            id,
            peer,
            socket,
            decoder: Decoder::new(MAX_UNAUTHENTICATED_MESSAGE),
            unread: early,
            outbox: Outbox::default(),
            session,
            mailbox,
            actions,
            part: None,
            place: Some(place),
            stage: Stage::Open,
            held_until: None,
            stalled_since: None,
        }
    }

    async fn run(&mut self) {
        let closing = self.hub.closing.clone();
        let mut told = false;
        let mut timer = std::pin::pin!(sleep_until(Instant::now().into()));
        loop {
            if closing.is_cancelled() && !told {
                told = true;
                // It has all that there is for it by then, and is moved on to there.
                self.pull();
                self.hand(Input::Shutdown);
            }
            let more = self.turn();
            if self.stage == Stage::Ended {
                return;
            }
            if more {
                tokio::task::yield_now().await;
                continue;
            }
            tokio::select! {
                biased;
                () = closing.cancelled(), if !told => {}
                () = self.wait(timer.as_mut()) => {}
            }
        }
    }

    /// Does what can be done now. Whether there is more that could be done at once.
    fn turn(&mut self) -> bool {
        for letter in self.mailbox.collect() {
            if let Some(input) = self.actions.open(letter) {
                self.hand(input);
            }
        }
        if let Some(part) = self.part.take() {
            self.hand(part);
        }
        self.check_time();
        for _ in 0..ROUNDS {
            let busy = self.read() | self.pull() | self.write();
            if matches!(self.stage, Stage::Closing { answered: true, .. }) && self.outbox.is_empty() {
                self.stage = Stage::Ended;
            }
            if self.stage == Stage::Ended || !busy {
                return false;
            }
        }
        true
    }

    /// Waits for whatever comes first.
    async fn wait(&mut self, mut timer: std::pin::Pin<&mut Sleep>) {
        timer.as_mut().reset(self.next_deadline().into());
        let interest = self.interest();
        let Driver { socket, mailbox, actions, session, outbox, part, stage, .. } = self;
        let wanted = session.wants_snapshot_frames().filter(|_| outbox.queued() < QUEUE_BUDGET);
        tokio::select! {
            biased;
            () = mailbox.rung() => {}
            next = actions.snapshots.next(wanted) => *part = next,
            // Otherwise an error shows again, and is dealt with, when the socket is used.
            _ = socket.ready(interest) => if interest == Interest::ERROR { *stage = Stage::Ended },
            () = timer => {}
        }
    }

    fn interest(&self) -> Interest {
        let write = !self.outbox.is_empty() && self.held_until.is_none();
        match (self.may_read(), write) {
            (true, true) => Interest::READABLE | Interest::WRITABLE,
            (true, false) => Interest::READABLE,
            (false, true) => Interest::WRITABLE,
            // The session takes nothing and nothing waits: only the connection's end is of interest.
            (false, false) => Interest::ERROR,
        }
    }

    fn next_deadline(&self) -> Instant {
        let stalled = self.stalled_since.map(|since| since + self.hub.limits.slow_reader);
        let stage = match self.stage {
            Stage::Open => self.session.next_deadline().map(clock::instant),
            Stage::Closing { until, .. } => Some(until),
            Stage::Ended => None,
        };
        let nearest = [stalled, stage, self.held_until].into_iter().flatten().min();
        nearest.unwrap_or_else(|| Instant::now() + Duration::from_secs(3600))
    }

    fn check_time(&mut self) {
        let now = Instant::now();
        if self.held_until.is_some_and(|until| until <= now) {
            self.held_until = None;
        }
        let stalled = self.stalled_since.is_some_and(|since| now >= since + self.hub.limits.slow_reader);
        if stalled {
            tracing::info!(connection = self.id.0, client = ?self.session.client(), "the client does not read what it is sent: disconnected");
            self.stage = Stage::Ended;
        }
        match self.stage {
            Stage::Open => {
                if self.session.next_deadline().is_some_and(|deadline| clock::instant(deadline) <= now) {
                    self.hand(Input::Tick);
                }
            }
            Stage::Closing { until, .. } if until <= now => self.stage = Stage::Ended,
            Stage::Closing { .. } | Stage::Ended => {}
        }
    }

    /// Whether the socket may be read.
    fn may_read(&self) -> bool {
        match self.stage {
            Stage::Open => self.session.accepts_messages() && self.outbox.queued() < QUEUE_BUDGET,
            Stage::Closing { .. } => true,
            Stage::Ended => false,
        }
    }

    /// Reads and handles what has arrived. Whether anything had.
    fn read(&mut self) -> bool {
        if !self.may_read() {
            return false;
        }
        if !self.unread.is_empty() {
            let mut bytes = std::mem::take(&mut self.unread);
            let taken = self.take_in(&bytes);
            bytes.advance(taken);
            if !bytes.is_empty() {
                self.unread = bytes;
            }
            return taken > 0;
        }
        SCRATCH.with_borrow_mut(|scratch| match self.socket.try_read(scratch) {
            Ok(0) => {
                self.stage = Stage::Ended;
                false
            }
            Ok(len) => {
                let bytes = scratch.get(..len).unwrap_or_default();
                let taken = self.take_in(bytes);
                self.unread.extend_from_slice(bytes.get(taken..).unwrap_or_default());
                true
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => false,
            Err(error) => self.lost(&error),
        })
    }

    /// Handles messages at the front of `bytes` as long as the session takes them. Returns how many bytes were used.
    fn take_in(&mut self, bytes: &[u8]) -> usize {
        let mut rest = bytes;
        while !rest.is_empty() && self.may_read() {
            match self.decoder.next(&mut rest) {
                Ok(None) => break,
                Ok(Some(event)) => self.arrived(event),
                Err(violation) => {
                    tracing::debug!(connection = self.id.0, "{violation}");
                    self.decoder.skip_rest();
                    self.outbox.close(websocket::CloseCode::Protocol.into(), "");
                    self.stage = Stage::answered(false);
                }
            }
        }
        bytes.len() - rest.len()
    }

    fn arrived(&mut self, event: Event) {
        match event {
            Event::Close(code) => {
                if self.stage == Stage::Open {
                    self.outbox.close(code.unwrap_or(CloseCode::Normal as u16), "");
                }
                self.stage = Stage::answered(true);
            }
            // What a peer says after it was told to go is not looked at.
            _ if self.stage != Stage::Open => {}
            Event::Binary(message) => self.hand(Input::Message(message)),
            Event::Text => self.hand(Input::Text),
            Event::Ping(payload) => {
                self.outbox.pong(payload);
                self.hand(Input::Alive);
            }
            Event::Pong(payload) => self.hand(match payload.as_ref().try_into() {
                Ok(number) => Input::Probed(u64::from_be_bytes(number)),
                Err(_) => Input::Alive,
            }),
            Event::Oversized if self.session.is_authenticated() => {
                let limit = self.hub.limits.max_message;
                tracing::warn!(connection = self.id.0, client = ?self.session.client(), limit, "a message over TIELINE_MAX_MESSAGE_SIZE: disconnected");
                self.close(CloseCode::MessageTooBig, "");
            }
            Event::Oversized => self.hand(Input::Oversized),
        }
    }

    /// Hands the session what its snapshot and the stream have for it. Whether they had anything.
    fn pull(&mut self) -> bool {
        let mut any = false;
        let mut reached: Option<(Arc<dyn Tracker>, Lsn)> = None;
        for _ in 0..PULLS {
            if self.stage != Stage::Open || self.outbox.queued() >= QUEUE_BUDGET {
                return any;
            }
            if let Some(id) = self.session.wants_snapshot_frames()
                && let Some(part) = self.actions.snapshots.try_next(id)
            {
                self.hand(part);
                any = true;
                continue;
            }
            if let Some((tracker, at)) = self.session.stalled_on() {
                let known =
                    |(one, there): &(Arc<dyn Tracker>, Lsn)| *there == at && Arc::ptr_eq(one, &tracker);
                // If it has been there already, the session waits for something else as well.
                if reached.as_ref().is_some_and(known) || !self.has_reached(&*tracker, at) {
                    return any;
                }
                reached = Some((tracker, at));
                self.hand(Input::Tick);
            }
            match self.feed() {
                Fed::Batch => any = true,
                Fed::Rest => {
                    any = true;
                    if self.session.stalled_on().is_none() {
                        return true;
                    }
                }
                Fed::Nothing if self.session.stalled_on().is_none() => return any,
                Fed::Nothing => {}
            }
        }
        // There may be more, or somebody who was not asked to ring the bell.
        true
    }

    /// Whether a tracker is where the session needs it. If not, the bell rings when it is; if it is lost, the session finds out.
    fn has_reached(&self, tracker: &dyn Tracker, at: Lsn) -> bool {
        let bell = Waker::from(self.mailbox.clone());
        tracker.poll_reach(at, &mut Context::from_waker(&bell)).is_ready()
    }

    /// Hands the session the next transactions.
    fn feed(&mut self) -> Fed {
        let end = self.hub.stream.position();
        let Some(cursor) = self.session.cursor().filter(|cursor| *cursor < end) else {
            self.actions.let_go();
            return Fed::Nothing;
        };
        if self.actions.is_bringing() {
            return Fed::Nothing;
        }
        let fed = match self.next_transactions(cursor) {
            Ok((deliveries, reached)) => {
                let fed = match deliveries.len() {
                    _ if reached < end => Fed::Batch,
                    0 => Fed::Nothing,
                    STREAM_BATCH => Fed::Batch,
                    _ => Fed::Rest,
                };
                self.hand(Input::Stream { deliveries, reached });
                fed
            }
            Err(Miss::Cold(from)) => {
                self.actions.bring(from);
                return Fed::Nothing;
            }
            Err(Miss::Trimmed) => {
                self.hand(Input::StreamLost);
                Fed::Nothing
            }
        };
        self.actions.let_go();
        fed
    }

    /// Those after the cursor that concern the session, if it is known which they are; otherwise all of them.
    fn next_transactions(&self, cursor: Lsn) -> Result<Batch, Miss> {
        if self.session.is_selective()
            && let Some(seat) = &self.actions.seat
            && let Some(noted) = self.hub.stream.read_noted(seat, cursor)?
        {
            return Ok(noted);
        }
        self.hub.stream.read_after(cursor, STREAM_BATCH)
    }

    /// Writes what the socket takes. Whether that was anything.
    fn write(&mut self) -> bool {
        if self.held_until.is_some() || self.outbox.is_empty() {
            self.stalled_since = None;
            return false;
        }
        let mut any = false;
        SCRATCH.with_borrow_mut(|scratch| {
            loop {
                let filled = self.outbox.fill(scratch);
                if filled == 0 {
                    break;
                }
                match self.socket.try_write(scratch.get(..filled).unwrap_or_default()) {
                    Ok(written) => {
                        self.outbox.advance(written);
                        any |= written > 0;
                    }
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => {
                        self.lost(&error);
                        break;
                    }
                }
            }
        });
        if self.outbox.is_empty() || any {
            self.stalled_since = None;
        }
        if !self.outbox.is_empty() {
            self.stalled_since.get_or_insert_with(Instant::now);
        }
        any
    }

    /// The socket is broken: nothing can be told to anybody.
    fn lost(&mut self, error: &io::Error) -> bool {
        tracing::debug!(connection = self.id.0, %error, "the connection broke");
        self.stage = Stage::Ended;
        false
    }

    /// Hands the session something and does what it wants.
    fn hand(&mut self, input: Input) {
        if self.stage != Stage::Open {
            return;
        }
        let mut outputs = Vec::new();
        self.session.handle(input, clock::now(), &mut outputs);
        for output in outputs {
            self.carry_out(output);
        }
        if self.place.is_some() && self.session.is_authenticated() {
            self.place = None;
            self.decoder.set_limit(self.hub.limits.max_message);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Send(message) => self.outbox.binary(message),
            Output::SendAll(messages) => self.outbox.shared(messages),
            Output::Ping => self.outbox.ping(Bytes::new()),
            Output::Probe(number) => self.outbox.ping(Bytes::copy_from_slice(&number.to_be_bytes())),
            Output::Flush => self.outbox.barrier(),
            Output::Close { code, reason } => self.close(code, reason),
            Output::Refused { kind, reason } => {
                if self.hub.note_refusal(self.peer, kind, &reason) {
                    self.held_until = Some(Instant::now() + Failures::DELAY);
                }
            }
            other => self.actions.carry_out(other),
        }
    }

    fn close(&mut self, code: CloseCode, reason: &'static str) {
        if code == CloseCode::TokenExpired {
            // No further data in either direction; only a frame that was begun has to be ended.
            self.outbox.clear();
        }
        self.outbox.close(code as u16, reason);
        self.decoder.skip_rest();
        self.actions.stop();
        let delay = self.held_until.map_or(Duration::ZERO, |_| Failures::DELAY);
        self.stage = Stage::closing(code, delay);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_idle_connection_is_small() {
        // The task of a connection is its driver and what it waits with. What the session keeps of a client comes on top.
        assert!(size_of::<Driver>() <= 1024, "{}", size_of::<Driver>());
    }
}

//! The relay between a client and Postgres, once both have been let in.
//!
//! One task moves both directions, so that the [`Intercept`] needs no lock and a round trip no second wake-up. Each direction
//! waits for nobody but its own target: a peer that does not read stops the reading from the other side of its own direction, as it
//! would if the two were connected directly, and nothing else.

mod lane;
mod spare;
mod vigil;

use std::{
    fmt,
    future::poll_fn,
    io,
    task::{Context, Poll},
    time::{Duration, Instant},
};

use postgres::socket::Socket;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::{Exchange, Intercept, refusal::Refusal};
pub use lane::{Broken, Lane};
pub use vigil::Floor;
use vigil::Vigil;

/// Bytes of answers made here that may wait for a client that does not read them, before no more is read from it.
const ANSWERS: usize = 1 << 20;

/// How long a client has to take the last words.
const FAREWELL: Duration = Duration::from_secs(1);

/// A session of which both sides are open.
pub struct Relay {
    client: Socket,
    server: Socket,
    /// From the client to Postgres.
    up: Lane,
    /// From Postgres to the client.
    down: Lane,
    intercept: Box<dyn Intercept>,
    made: Exchange,
    vigil: Vigil,
}

/// What an [`exchange`](Relay::exchange) came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exchanged {
    /// Something was moved; there is no more for now.
    Something,
    /// There was nothing to be moved.
    Nothing,
    /// Postgres has closed the connection, and the client has everything.
    All,
}

/// Why a relay ended.
#[derive(Debug)]
pub enum End {
    /// Postgres closed the connection, most often because the client asked for it, or the connection to it broke.
    Closed,
    /// The client is gone without a word.
    Lost(io::Error),
    /// The service stops.
    Stopped,
    /// The stream of messages can't be followed.
    Broken(Broken),
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            End::Closed => f.write_str("Postgres closed it"),
            End::Lost(error) => write!(f, "the client is gone: {error}"),
            End::Stopped => f.write_str("the service stops"),
            End::Broken(broken) => write!(f, "{broken}"),
        }
    }
}

impl Relay {
    /// `down` may hold what Postgres has said already. Sessions on one thread share a `floor`.
    #[must_use]
    pub fn new(
        client: Socket,
        server: Socket,
        down: Lane,
        intercept: Box<dyn Intercept>,
        floor: &Floor,
    ) -> Relay {
        let (up, made, vigil) = (Lane::default(), Exchange::default(), Vigil::new(floor));
        Relay { client, server, up, down, intercept, made, vigil }
    }

    /// Relays until a side closes, or the service stops, which the client is told.
    pub async fn run(&mut self, stop: &CancellationToken) -> End {
        // What was read before the relay began is looked at first.
        let end = match self.look_at_server() {
            Err(end) => end,
            Ok(()) => tokio::select! {
                biased;
                end = poll_fn(|cx| self.poll(cx)) => end,
                () = stop.cancelled() => End::Stopped,
            },
        };
        match &end {
            End::Stopped => self.part(&Refusal::SHUTDOWN).await,
            End::Broken(Broken::TooLong) => self.part(&Refusal::TOO_LONG).await,
            End::Closed | End::Lost(_) => {}
        }
        end
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<End> {
        let exchanged = match self.exchange(cx) {
            Ok(Exchanged::All) => return Poll::Ready(End::Closed),
            Ok(exchanged) => exchanged,
            Err(end) => return Poll::Ready(end),
        };
        let now = Instant::now();
        if exchanged == Exchanged::Something {
            self.vigil.talked(now);
        }
        if self.vigil.is_kept(now) {
            Vigil::stay_awake(cx);
        }
        Poll::Pending
    }

    /// Moves whatever can be moved.
    fn exchange(&mut self, cx: &mut Context<'_>) -> Result<Exchanged, End> {
        let mut exchanged = Exchanged::Nothing;
        loop {
            let mut progress = false;
            if self.up.wants_more() && self.made.to_client.len() + self.down.pending() < ANSWERS {
                match self.up.poll_read(cx, &mut self.client) {
                    Poll::Ready(Ok(_)) => progress = true,
                    Poll::Ready(Err(error)) => return Err(End::Lost(error)),
                    Poll::Pending => {}
                }
                self.look_at_client()?;
            }
            match self.up.poll_write(cx, &mut self.server) {
                Ok(written) => progress |= written,
                // Postgres hears no more, but it may have had last words.
                Err(_) => self.up.abandon(),
            }
            if self.down.wants_more() {
                match self.down.poll_read(cx, &mut self.server) {
                    Poll::Ready(Ok(_)) => progress = true,
                    Poll::Ready(Err(_)) => self.down.end(),
                    Poll::Pending => {}
                }
                self.look_at_server()?;
            }
            progress |= self.down.poll_write(cx, &mut self.client).map_err(End::Lost)?;
            if self.down.is_done() {
                return Ok(Exchanged::All);
            }
            if !progress {
                return Ok(exchanged);
            }
            exchanged = Exchanged::Something;
        }
    }

    fn look_at_client(&mut self) -> Result<(), End> {
        let intercept = &mut self.intercept;
        while let Some(frame) =
            self.up.next(&mut self.made.to_server, |tag| intercept.minds_client(tag)).map_err(End::Broken)?
        {
            intercept.from_client(frame, &mut self.made);
            self.up.insert(&mut self.made.to_server);
            self.down.insert(&mut self.made.to_client);
        }
        Ok(())
    }

    fn look_at_server(&mut self) -> Result<(), End> {
        let intercept = &mut self.intercept;
        while let Some(frame) = self
            .down
            .next(&mut self.made.to_client, |tag| intercept.minds_server(tag))
            .map_err(End::Broken)?
        {
            intercept.from_server(frame, &mut self.made);
            self.up.insert(&mut self.made.to_server);
            self.down.insert(&mut self.made.to_client);
        }
        Ok(())
    }

    /// Last words to the client, unless it is in the middle of a message.
    async fn part(&mut self, words: &Refusal) {
        if self.down.is_between_messages() {
            self.made.client(&words.frame());
            self.down.insert(&mut self.made.to_client);
        }
        self.down.end();
        let (down, client) = (&mut self.down, &mut self.client);
        let farewell = poll_fn(|cx| match down.poll_write(cx, client) {
            Ok(_) if !down.is_done() => Poll::Pending,
            // Whether it was heard does not matter any more.
            _ => Poll::Ready(()),
        });
        let _ = timeout(FAREWELL, farewell).await;
    }
}

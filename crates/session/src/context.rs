//! What every part of a session needs while it handles one input.

use bytes::Bytes;
use change::{Lsn, RefusedTransaction};
use protocol::wire::SatErrorResp;
use smallvec::SmallVec;

use crate::{
    ClientUpdate, CloseCode, Output, RefusalKind, SessionConfig, SnapshotId, Unavailable, World, io::Now,
    wire::ErrorCode,
};

/// The surroundings of one call of [`crate::Session::handle`].
pub(crate) struct Context<'a> {
    pub(crate) config: &'a SessionConfig,
    pub(crate) world: &'a dyn World,
    pub(crate) now: Now,
    pub(crate) ledger: &'a mut Ledger,
    pub(crate) out: &'a mut Vec<Output>,
}

impl Context<'_> {
    pub(crate) fn send(&mut self, message: Bytes) {
        self.out.push(Output::Send(message));
    }

    pub(crate) fn flush(&mut self) {
        self.out.push(Output::Flush);
    }

    /// Asks for a change of what is stored about the client; the number names the answer.
    pub(crate) fn store(&mut self, updates: Vec<ClientUpdate>) -> u64 {
        let number = self.ledger.stores;
        self.ledger.stores += 1;
        self.ledger.unstored.push(number);
        self.out.push(Output::Store { number, updates });
        number
    }

    /// Asks where Postgres' log ends; the answer comes through [`Context::wal_end`].
    pub(crate) fn ask_wal_end(&mut self) {
        self.ledger.wal_end = match self.ledger.wal_end {
            Question::None => {
                self.out.push(Output::QueryWalEnd);
                Question::Asked
            }
            Question::Asked | Question::AskedTooEarly => Question::AskedTooEarly,
        };
    }

    /// Postgres' answer; `None` if it is not to the question that was asked last.
    pub(crate) fn wal_end(&mut self, end: Result<Lsn, Unavailable>) -> Option<Result<Lsn, Unavailable>> {
        match std::mem::take(&mut self.ledger.wal_end) {
            Question::None => None,
            Question::Asked => Some(end),
            Question::AskedTooEarly => {
                self.ask_wal_end();
                None
            }
        }
    }

    /// Asks the peer to say when it has received everything up to here; the number names the answer.
    pub(crate) fn probe(&mut self) -> u64 {
        let number = self.ledger.probes;
        self.ledger.probes += 1;
        self.out.push(Output::Probe(number));
        number
    }

    /// A name for another snapshot, never given before on this connection.
    pub(crate) fn name_snapshot(&mut self) -> SnapshotId {
        let id = SnapshotId(self.ledger.snapshots);
        self.ledger.snapshots += 1;
        id
    }
}

/// The numbers that name questions to the driver, counted over the whole connection, and the stores not yet durable.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    stores: u64,
    snapshots: u64,
    probes: u64,
    unstored: SmallVec<[u64; 4]>,
    wal_end: Question,
    /// Whether the peer has ever answered a probe.
    answers_probes: bool,
}

/// Whether Postgres is being asked for the end of its log. Answers have no names, so there is one question at a time.
#[derive(Clone, Copy, Debug, Default)]
enum Question {
    #[default]
    None,
    Asked,
    /// Whoever asked has given up, and another needs an answer that is newer: it is asked again after this one.
    AskedTooEarly,
}

impl Ledger {
    /// The driver's word that a store is durable.
    pub(crate) fn stored(&mut self, number: u64) {
        self.unstored.retain(|waiting| *waiting != number);
    }

    /// Whether the store with this number is durable.
    pub(crate) fn is_durable(&self, number: u64) -> bool {
        !self.unstored.contains(&number)
    }

    /// The peer has answered a probe.
    pub(crate) fn probed(&mut self) {
        self.answers_probes = true;
    }

    /// Whether it ever has.
    pub(crate) fn answers_probes(&self) -> bool {
        self.answers_probes
    }

    /// How many stores are under way.
    pub(crate) fn unstored(&self) -> usize {
        self.unstored.len()
    }
}

/// How a connection ends: what is said last, if anything, and the close frame.
#[derive(Debug)]
pub(crate) struct Ending {
    pub(crate) refusal: Option<(RefusalKind, String)>,
    pub(crate) farewell: Option<Bytes>,
    /// What the client wrote last, if it is refused for that.
    pub(crate) rejected: Option<Box<RefusedTransaction>>,
    pub(crate) code: CloseCode,
    pub(crate) reason: &'static str,
}

/// Goes on, or ends the connection.
pub(crate) type Flow<T = ()> = Result<T, Box<Ending>>;

impl Ending {
    /// Nothing is said but the close frame. The client comes back by itself (spec 02 §10.2).
    pub(crate) fn quiet(code: CloseCode, reason: &'static str) -> Box<Ending> {
        Box::new(Ending { refusal: None, farewell: None, rejected: None, code, reason })
    }

    /// The message says why; 1007 with an empty reason follows (spec 02 §2.5).
    pub(crate) fn refused(farewell: Bytes) -> Box<Ending> {
        Box::new(Ending {
            refusal: None,
            farewell: Some(farewell),
            rejected: None,
            code: CloseCode::InvalidPayload,
            reason: "",
        })
    }

    /// A request that can't be what it says.
    pub(crate) fn invalid(message: &str) -> Box<Ending> {
        Ending::refused(crate::wire::error(ErrorCode::InvalidRequest, message))
    }

    /// What arrived is no message of the protocol.
    pub(crate) fn undecodable() -> Box<Ending> {
        Box::new(Ending {
            refusal: None,
            farewell: Some(SatErrorResp::bare().into_frame()),
            rejected: None,
            code: CloseCode::InvalidPayload,
            reason: "Message not formatted according to Electric protocol",
        })
    }

    /// It was a failed attempt to authenticate.
    pub(crate) fn as_refusal(
        mut self: Box<Self>,
        kind: RefusalKind,
        reason: impl Into<String>,
    ) -> Box<Ending> {
        self.refusal = Some((kind, reason.into()));
        self
    }

    /// Carries it out. Nothing may follow.
    pub(crate) fn carry_out(self, out: &mut Vec<Output>) {
        if let Some((kind, reason)) = self.refusal {
            out.push(Output::Refused { kind, reason });
        }
        if let Some(rejected) = self.rejected {
            out.push(Output::KeepRejected(rejected));
        }
        if let Some(farewell) = self.farewell {
            out.push(Output::Send(farewell));
        }
        out.push(Output::Close { code: self.code, reason: self.reason });
    }
}

//! One connection, from its first message to its last.

use std::{collections::VecDeque, sync::Arc};

use auth::{Identity, Verifier};
use bytes::Bytes;
use change::{ClientId, Lsn};
use protocol::wire::SatRpcRequest;

use crate::{
    Admission, CloseCode, Input, Millis, Now, Output, RefusalKind, SessionConfig, SnapshotId, Tracker, World,
    context::{Context, Ending, Flow, Ledger},
    handshake,
    keepalive::{Keepalive, Verdict},
    live::Live,
};

/// The state machine of one client connection.
///
/// After each [`Session::handle`] the driver carries out the outputs in order, and looks again at what the session wants:
/// [`Session::cursor`], [`Session::wants_snapshot_frames`], [`Session::accepts_messages`], [`Session::next_deadline`].
///
/// **Invariant: no data before identity.** Stream positions and subscriptions live in [`Live`] only, and that cannot be
/// made without an [`Identity`].
pub struct Session {
    config: Arc<SessionConfig>,
    verifier: Arc<Verifier>,
    world: Arc<dyn World>,
    ledger: Ledger,
    keepalive: Keepalive,
    now: Now,
    stage: Stage,
}

enum Stage {
    /// Nobody knows who this is.
    Unknown {
        /// Authenticated by then, or out.
        deadline: Millis,
    },
    /// The token is good; whether its user may have this client id is being asked.
    Admitting(Box<Candidate>),
    /// Known and admitted.
    Live(Box<Live>),
    /// Closed: nothing goes in or out.
    Ended,
}

/// Somebody with a good token.
pub(crate) struct Candidate {
    pub(crate) client: ClientId,
    pub(crate) identity: Identity,
    pub(crate) request: SatRpcRequest,
    /// What arrived meanwhile, to be looked at after admission.
    early: VecDeque<Bytes>,
    /// Answered by then, or out.
    deadline: Millis,
}

impl Candidate {
    /// Messages kept for later; no client sends any before the answer.
    const MAX_EARLY: usize = 16;

    pub(crate) fn new(
        client: ClientId,
        identity: Identity,
        request: SatRpcRequest,
        deadline: Millis,
    ) -> Candidate {
        Candidate { client, identity, request, early: VecDeque::new(), deadline }
    }
}

impl Session {
    /// A session whose socket was just opened.
    #[must_use]
    pub fn new(
        config: Arc<SessionConfig>,
        verifier: Arc<Verifier>,
        world: Arc<dyn World>,
        now: Now,
    ) -> Session {
        let keepalive = Keepalive::new(now.mono_ms, config.ping_interval);
        let deadline = now.mono_ms.saturating_add(config.auth_deadline);
        Session {
            config,
            verifier,
            world,
            ledger: Ledger::default(),
            keepalive,
            now,
            stage: Stage::Unknown { deadline },
        }
    }

    /// Takes one input and appends what has to be done. After [`Output::Close`] nothing is taken or appended any more.
    pub fn handle(&mut self, input: Input, now: Now, out: &mut Vec<Output>) {
        self.now = now;
        if let Err(ending) = self.step(input, out) {
            self.stage = Stage::Ended;
            ending.carry_out(out);
        }
    }

    /// The position strictly after which the next transactions may be handed in ([`Input::Stream`]); `None` while the
    /// session can take none: it does not stream, its window is full, or it waits for a snapshot or a block.
    ///
    /// Any other input may move it or take it away, so it has to be asked right before the journal is read, with no other
    /// input between the reading and the handing in.
    #[must_use]
    pub fn cursor(&self) -> Option<Lsn> {
        match &self.stage {
            Stage::Live(live) => live.cursor(),
            Stage::Unknown { .. } | Stage::Admitting(_) | Stage::Ended => None,
        }
    }

    /// The snapshot whose frames ([`Input::SnapshotFrame`], [`Input::SnapshotDone`]) may be handed in now: its block has
    /// been begun.
    #[must_use]
    pub fn wants_snapshot_frames(&self) -> Option<SnapshotId> {
        match &self.stage {
            Stage::Live(live) => live.wants_snapshot_frames(),
            Stage::Unknown { .. } | Stage::Admitting(_) | Stage::Ended => None,
        }
    }

    /// The tracker without which the session can't go on, and the position that it has to reach: asked again after each input.
    /// While there is one, the stream need not be handed in until it has.
    #[must_use]
    pub fn stalled_on(&self) -> Option<(Arc<dyn Tracker>, Lsn)> {
        match &self.stage {
            Stage::Live(live) => live.stalled_on(),
            Stage::Unknown { .. } | Stage::Admitting(_) | Stage::Ended => None,
        }
    }

    /// Whether, of the transactions after the cursor, only those need to be handed in that the newest
    /// [`Output::Watch`] is to wake it for.
    #[must_use]
    pub fn is_selective(&self) -> bool {
        match &self.stage {
            Stage::Live(live) => live.is_selective(),
            Stage::Unknown { .. } | Stage::Admitting(_) | Stage::Ended => false,
        }
    }

    /// Whether the next message may be read from the socket. Not while too much of what was read still waits: for the
    /// writer, for a snapshot, for the answer about the client's identity.
    #[must_use]
    pub fn accepts_messages(&self) -> bool {
        match &self.stage {
            Stage::Unknown { .. } => true,
            Stage::Admitting(_) | Stage::Ended => false,
            Stage::Live(live) => live.accepts_messages(&self.config, &self.ledger),
        }
    }

    /// When to hand in [`Input::Tick`] at the latest, by the monotonic clock.
    #[must_use]
    pub fn next_deadline(&self) -> Option<Millis> {
        let ping = self.keepalive.deadline();
        match &self.stage {
            Stage::Unknown { deadline } => Some(*deadline),
            Stage::Admitting(candidate) => Some(candidate.deadline),
            Stage::Live(live) => {
                Some(live.next_deadline(self.now, &*self.world).map_or(ping, |at| at.min(ping)))
            }
            Stage::Ended => None,
        }
    }

    /// The client, once its token has been accepted.
    #[must_use]
    pub fn client(&self) -> Option<&ClientId> {
        match &self.stage {
            Stage::Unknown { .. } | Stage::Ended => None,
            Stage::Admitting(candidate) => Some(&candidate.client),
            Stage::Live(live) => Some(live.client()),
        }
    }

    /// Whether the client has been accepted and admitted.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        matches!(self.stage, Stage::Live(_))
    }

    /// Messages with client transactions that were dropped because the client had not been asked for them (spec 02 §6.4).
    #[must_use]
    pub fn dropped_writes(&self) -> u64 {
        match &self.stage {
            Stage::Live(live) => live.dropped_writes(),
            Stage::Unknown { .. } | Stage::Admitting(_) | Stage::Ended => 0,
        }
    }

    fn step(&mut self, input: Input, out: &mut Vec<Output>) -> Flow {
        let is_read = self.accepts_messages();
        let mut cx = Context {
            config: &self.config,
            world: &*self.world,
            now: self.now,
            ledger: &mut self.ledger,
            out,
        };
        match &self.stage {
            Stage::Ended => return Ok(()),
            Stage::Unknown { deadline } if self.now.mono_ms >= *deadline => {
                let reason = "Nobody authenticated in time";
                return Err(
                    Ending::quiet(CloseCode::PolicyViolation, "").as_refusal(RefusalKind::Timeout, reason)
                );
            }
            Stage::Admitting(candidate) if self.now.mono_ms >= candidate.deadline => {
                return Err(Ending::quiet(CloseCode::InternalError, ""));
            }
            Stage::Live(live) => live.check_expiry(self.now)?,
            Stage::Unknown { .. } | Stage::Admitting(_) => {}
        }
        // A socket that is not read may hold any number of pongs.
        if !is_read
            || matches!(
                input,
                Input::Message(_) | Input::Text | Input::Oversized | Input::Alive | Input::Probed(_)
            )
        {
            self.keepalive.heard();
        }
        match self.keepalive.look(self.now.mono_ms, self.config.ping_interval) {
            Verdict::Alive => {}
            Verdict::Ping => cx.out.push(Output::Ping),
            Verdict::Dead => {
                return Err(Ending::quiet(CloseCode::GoingAway, "Client not responding to pings"));
            }
        }
        match input {
            Input::Shutdown => match &mut self.stage {
                Stage::Live(live) => live.shut_down(),
                Stage::Unknown { .. } | Stage::Admitting(_) | Stage::Ended => {
                    return Err(Ending::quiet(CloseCode::GoingAway, ""));
                }
            },
            Input::Replaced => return Err(Ending::quiet(CloseCode::Replaced, "Connected again elsewhere")),
            Input::Text => {
                return Err(Ending::quiet(CloseCode::UnsupportedData, "Only binary messages are understood"));
            }
            Input::Oversized => return Err(handshake::oversized(self.is_authenticated())),
            Input::Alive => return Ok(()),
            Input::Stored(number) => cx.ledger.stored(number),
            Input::Probed(_) => cx.ledger.probed(),
            _ => {}
        }
        match (&mut self.stage, input) {
            (Stage::Unknown { deadline }, Input::Message(message)) => {
                let candidate = handshake::first_message(&message, &self.verifier, *deadline, &mut cx)?;
                self.stage = Stage::Admitting(Box::new(candidate));
                Ok(())
            }
            (Stage::Admitting(candidate), Input::Message(message)) => {
                if candidate.early.len() >= Candidate::MAX_EARLY {
                    return Err(Ending::quiet(
                        CloseCode::PolicyViolation,
                        "Too many messages before the first reply",
                    ));
                }
                candidate.early.push_back(message);
                Ok(())
            }
            (Stage::Admitting(candidate), Input::Admission(admission)) => {
                let acknowledged = match admission {
                    Admission::Admitted { acknowledged } => acknowledged,
                    Admission::OtherUser => return Err(handshake::other_user(&candidate.request)),
                    Admission::NotNow => return Err(Ending::quiet(CloseCode::InternalError, "")),
                };
                let Stage::Admitting(candidate) = std::mem::replace(&mut self.stage, Stage::Ended) else {
                    return Ok(());
                };
                let Candidate { client, identity, request, early, .. } = *candidate;
                handshake::welcome(&request, &mut cx);
                let mut live = Box::new(Live::new(client, identity, acknowledged, &mut cx));
                live.check_expiry(cx.now)?;
                for message in early {
                    live.message(&message, &mut cx)?;
                }
                live.go_on(&self.verifier, &mut cx)?;
                self.stage = Stage::Live(live);
                Ok(())
            }
            (Stage::Live(live), input) => {
                live.handle(input, &mut cx)?;
                live.go_on(&self.verifier, &mut cx)
            }
            _ => Ok(()),
        }
    }
}

//! A block that waits for its place in the stream: the data of a subscription, a gone batch (spec 06 §5.5, §8), or the rows of tables
//! that the client had to make anew.

use std::{collections::VecDeque, mem, sync::Arc};

use bytes::Bytes;
use change::{Lsn, RelationId, RequestId, Snapshot, SubscriptionId};
use protocol::wire::SatRpcRequest;
use schema::Table;

use crate::{
    ClientUpdate, Delivery, Millis, Output, ReadRequest, SnapshotId, StoredSubscription, context::Context,
    farewell::Farewell, wire,
};

/// What a block brings.
#[derive(Debug)]
pub(crate) enum Subject {
    /// The rows of a new subscription.
    Data {
        /// Its id.
        id: SubscriptionId,
        /// All its requests, in order: each gets a pair of shape messages.
        requests: Vec<RequestId>,
    },
    /// The keys of rows that leave.
    Gone {
        /// All ids to be named, as the client wrote them, known or not.
        names: Vec<SubscriptionId>,
        /// Those of them whose shapes are active until the block stands.
        leaving: Vec<SubscriptionId>,
        /// The client did not name them when it came back: it may never have got their rows.
        unnamed: bool,
    },
    /// The rows of subscribed tables that a migration made anew. They follow it directly, as its additional data: a client that is
    /// cut off in between says at its return that it has not seen them.
    Again {
        /// The migration's version.
        version: String,
        /// What the block is called.
        reference: u64,
    },
}

/// How far the snapshot of a block is.
#[derive(Debug)]
pub(crate) enum Phase {
    /// It is still to be decided what must be read; not before `retry_at`.
    Planned {
        /// By the monotonic clock.
        retry_at: Millis,
    },
    /// The stream is held until the snapshot is there.
    Opening {
        /// Its name.
        id: SnapshotId,
        /// What it will read.
        reads: Reads,
    },
    /// The stream runs up to the insertion point.
    Open {
        /// Its name.
        id: SnapshotId,
        /// What it reads.
        reads: Reads,
        /// What it sees.
        sees: Snapshot,
        /// If the stream gets here, the block's place is here at the latest.
        lsn: Lsn,
    },
    /// Nothing has to be read: its place is here.
    Bare,
}

/// What a snapshot reads, and for which request of the subscription (0 in a gone batch).
#[derive(Clone, Debug, Default)]
pub(crate) struct Reads {
    pub(crate) request: Arc<ReadRequest>,
    pub(crate) requests: Vec<usize>,
}

impl Reads {
    /// The tables that are read, perhaps repeatedly.
    pub(crate) fn tables(&self) -> impl Iterator<Item = &Arc<Table>> {
        self.request.reads.iter().flat_map(|read| &read.plan.layers).map(|layer| &layer.table)
    }

    /// Their ids.
    pub(crate) fn relations(&self) -> impl Iterator<Item = RelationId> {
        self.tables().map(|table| table.id)
    }
}

/// A `subscribe` request whose reply waits for the snapshot.
#[derive(Debug)]
pub(crate) struct Unanswered {
    /// Method, number, and the encoded `SatSubsReq`.
    pub(crate) request: SatRpcRequest,
    /// Refused if it is not answered by then.
    pub(crate) until: Millis,
}

/// A block in the queue.
#[derive(Debug)]
pub(crate) struct Block {
    pub(crate) subject: Subject,
    pub(crate) phase: Phase,
    /// The `subscribe` request that is still to be answered.
    pub(crate) unanswered: Option<Box<Unanswered>>,
    /// It may not be begun earlier.
    pub(crate) not_before: Millis,
    /// The probe that its client is to answer first, and until when that is waited for.
    pub(crate) probe: Option<(u64, Millis)>,
    /// The store that must be durable first.
    pub(crate) stored_by: Option<u64>,
    /// The stream stands right before a transaction that the snapshot does not see.
    pub(crate) at_its_place: bool,
    /// It can be begun when the stream of all sessions has come here.
    pub(crate) awaits: Option<Lsn>,
    /// Of a gone batch: transactions passed that its snapshot does not see.
    pub(crate) raced: Vec<Arc<Delivery>>,
    /// Snapshots taken in vain.
    pub(crate) tries: u32,
}

impl Block {
    pub(crate) fn new(subject: Subject, unanswered: Option<Box<Unanswered>>, now: Millis) -> Block {
        Block {
            subject,
            phase: Phase::Planned { retry_at: now },
            unanswered,
            not_before: now,
            probe: None,
            stored_by: None,
            at_its_place: false,
            awaits: None,
            raced: Vec::new(),
            tries: 0,
        }
    }

    /// Whether the stream has come to the block's place. A gone batch names what the client has at its place, so it stands behind
    /// everything that other blocks have brought ahead of the stream: up to `raced_until`. Right before a transaction that comes
    /// after that, it does, wherever the last one was.
    pub(crate) fn is_due(&self, cursor: Lsn, raced_until: Lsn) -> bool {
        if matches!(self.subject, Subject::Gone { .. }) && cursor < raced_until && !self.at_its_place {
            return false;
        }
        match &self.phase {
            Phase::Bare => true,
            Phase::Open { .. } if matches!(self.subject, Subject::Again { .. }) => true,
            Phase::Open { lsn, .. } => self.at_its_place || cursor >= *lsn,
            Phase::Planned { .. } | Phase::Opening { .. } => false,
        }
    }

    /// When it may be begun, if nothing happens before.
    pub(crate) fn begins_at(&self) -> Millis {
        self.probe.map_or(self.not_before, |(_, until)| until.max(self.not_before))
    }

    /// Whether nothing is in the way of beginning it, once its place has come.
    pub(crate) fn is_ready(&self, cx: &Context<'_>) -> bool {
        self.unanswered.is_none()
            && self.begins_at() <= cx.now.mono_ms
            && self.stored_by.is_none_or(|number| cx.ledger.is_durable(number))
    }

    /// How much it takes of the room for waiting blocks.
    pub(crate) fn weight(&self) -> usize {
        match &self.subject {
            Subject::Data { .. } => 1,
            // A few thousand ids are one request's; many of those are not.
            Subject::Gone { names, .. } => 1 + names.len() / 1_000,
            Subject::Again { .. } => 0,
        }
    }

    /// Answers the `subscribe` request, if that is still to be done, and has the subscription stored. The data follows
    /// after a while (spec 02 §10.4).
    pub(crate) fn accept(&mut self, cx: &mut Context<'_>) {
        let Subject::Data { id, .. } = &self.subject else { return };
        let Some(unanswered) = self.unanswered.take() else { return };
        let request = unanswered.request.message.clone();
        let stored = StoredSubscription { id: id.clone(), request, gone_at: None };
        self.stored_by = Some(cx.store(vec![ClientUpdate::Subscribed(stored)]));
        cx.send(wire::subscribed(&unanswered.request, id));
        cx.flush();
        self.not_before = cx.now.mono_ms.saturating_add(cx.config.subscription_delay);
        let patience = match cx.ledger.answers_probes() {
            true => cx.config.proven_patience,
            false => cx.config.subscription_patience,
        };
        self.probe = Some((cx.probe(), self.not_before.saturating_add(patience)));
    }

    /// The snapshot is there.
    pub(crate) fn open(&mut self, sees: Snapshot, lsn: Lsn) {
        self.phase = match mem::replace(&mut self.phase, Phase::Bare) {
            Phase::Opening { id, reads } => Phase::Open { id, reads, sees, lsn },
            phase => phase,
        };
    }

    /// The snapshot it holds or waits for.
    pub(crate) fn snapshot(&self) -> Option<SnapshotId> {
        match &self.phase {
            Phase::Opening { id, .. } | Phase::Open { id, .. } => Some(*id),
            Phase::Planned { .. } | Phase::Bare => None,
        }
    }

    /// Gives the snapshot up; another is taken after a while that grows with the tries.
    pub(crate) fn start_over(&mut self, cx: &mut Context<'_>) {
        if let Some(id) = self.snapshot() {
            cx.out.push(Output::DropSnapshot { id });
        }
        let pause = if self.tries == 0 { 0 } else { 1 << self.tries.min(6) };
        self.tries = self.tries.saturating_add(1);
        self.at_its_place = false;
        self.awaits = None;
        self.raced.clear();
        self.phase = Phase::Planned { retry_at: cx.now.mono_ms.saturating_add(pause) };
    }
}

/// The block on the wire now, or about to be. It is begun and ended exactly once, and nothing but replies to requests comes between.
#[derive(Debug)]
pub(crate) struct OpenBlock {
    snapshot: Option<SnapshotId>,
    /// Requests whose pair has not been begun, of a subscription.
    waiting: VecDeque<RequestId>,
    /// How many pairs have been begun.
    begun: usize,
    /// For each read, the request it is for.
    requests: Vec<usize>,
    /// Messages of our own that follow the snapshot's.
    more: Vec<Bytes>,
    /// The first messages of a subscription's data, while nothing of it has been sent.
    held: Option<Held>,
    kind: Kind,
}

/// Messages that are sent together, so that a connection that ends meanwhile has brought all of them or none: of a subscription's data that
/// has been begun and not ended on a connection the client library takes what comes on the next one for more, and throws all its data away.
#[derive(Debug, Default)]
struct Held {
    messages: Vec<Bytes>,
    bytes: usize,
}

/// The most bytes that are held: small shapes come as one, and of large ones a client does not cost much while its rows are read.
const MOST_HELD: usize = 64 << 10;

/// What the block on the wire is.
#[derive(Debug)]
enum Kind {
    Data,
    Gone(Farewell),
    /// Additional data under this reference.
    Again(u64),
}

impl OpenBlock {
    /// Begins the block. `own` names a transaction of our own, if there is room for one.
    pub(crate) fn begin(
        subject: &Subject,
        snapshot: Option<SnapshotId>,
        (requests, more): (Vec<usize>, Vec<Bytes>),
        at: Lsn,
        own: Option<u64>,
        cx: &mut Context<'_>,
    ) -> OpenBlock {
        let mut held = None;
        let (kind, waiting) = match subject {
            Subject::Data { id, requests } => {
                let begin = wire::subscription_data_begin(id, at);
                held = Some(Held { bytes: begin.len(), messages: vec![begin] });
                (Kind::Data, requests.iter().cloned().collect())
            }
            Subject::Gone { names, .. } => (Kind::Gone(Farewell::new(names, at, own, cx)), VecDeque::new()),
            Subject::Again { reference, .. } => {
                cx.send(wire::additional_begin(*reference));
                (Kind::Again(*reference), VecDeque::new())
            }
        };
        OpenBlock { snapshot, waiting, begun: 0, requests, more, held, kind }
    }

    /// The snapshot whose frames it takes.
    pub(crate) fn snapshot(&self) -> Option<SnapshotId> {
        self.snapshot
    }

    /// Whether the client has the beginning of a subscription's data, and should have the rest on the same connection.
    pub(crate) fn is_begun_on_wire(&self) -> bool {
        matches!(self.kind, Kind::Data) && self.held.is_none()
    }

    /// Sends a message, or holds it.
    fn say(&mut self, message: Bytes, cx: &mut Context<'_>) {
        let Some(held) = &mut self.held else { return cx.send(message) };
        held.bytes = held.bytes.saturating_add(message.len());
        held.messages.push(message);
        if held.bytes > MOST_HELD {
            self.release(cx);
        }
    }

    /// Sends what is held.
    fn release(&mut self, cx: &mut Context<'_>) {
        let held = self.held.take().unwrap_or_default();
        cx.out.extend(held.messages.into_iter().map(Output::Send));
    }

    /// A frame of the snapshot.
    pub(crate) fn frame(&mut self, read: usize, frame: Bytes, cx: &mut Context<'_>) {
        let request = self.requests.get(read).copied().unwrap_or(0);
        match &mut self.kind {
            Kind::Data => {
                // Once its request's pair is over, a row may stand in a later one: clients don't care which.
                while self.begun <= request && !self.waiting.is_empty() {
                    self.next_pair(cx);
                }
            }
            Kind::Gone(farewell) => return farewell.frame(frame, cx),
            Kind::Again(_) => {}
        }
        self.say(frame, cx);
    }

    /// All frames were handed in. The name of the transaction of our own, if there was one.
    pub(crate) fn end(mut self, cx: &mut Context<'_>) -> Option<u64> {
        for frame in mem::take(&mut self.more) {
            self.frame(0, frame, cx);
        }
        match self.kind {
            Kind::Data => {}
            Kind::Gone(farewell) => return farewell.end(cx),
            Kind::Again(reference) => {
                cx.send(wire::additional_commit(reference));
                return None;
            }
        }
        while !self.waiting.is_empty() {
            self.next_pair(cx);
        }
        if self.begun > 0 {
            self.say(wire::shape_data_end(), cx);
        }
        self.say(wire::subscription_data_end(), cx);
        self.release(cx);
        None
    }

    fn next_pair(&mut self, cx: &mut Context<'_>) {
        if let Some(request) = self.waiting.pop_front() {
            if self.begun > 0 {
                self.say(wire::shape_data_end(), cx);
            }
            self.begun += 1;
            self.say(wire::shape_data_begin(&request), cx);
        }
    }
}

//! The client's subscriptions: which shapes they ask for, and which of those count now.

use std::sync::Arc;

use change::{Lsn, RelationId, Row, SubscriptionId, UserId};
use prost::Message as _;
use protocol::{
    SubsError, SubsErrorCode,
    wire::{SatRpcRequest, SatSubsReq},
};
use schema::{Schema, Table};
use shapes::{Shape, ShapeErrorCode, ShapeSet};

use crate::{
    Millis, Now, StoredSubscription, Unavailable, World,
    block::{Block, Subject, Unanswered},
    catch_up::CatchUp,
    context::Context,
    outbound::Outbound,
    shape, wire,
};

/// How far a subscription is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Its data has not been sent; its shapes don't count yet.
    Pending,
    /// Its changes are streamed.
    Active,
    /// Still so, but a gone batch is on its way.
    Leaving,
}

/// A subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) id: SubscriptionId,
    pub(crate) state: State,
    /// What it asks for, in the order of its requests.
    shapes: Vec<Shape>,
}

impl Subscription {
    /// A stored one, with the schema of the moment; `None` if that can't serve it any more.
    pub(crate) fn restore(stored: &StoredSubscription, schema: &Schema) -> Option<Subscription> {
        let request = SatSubsReq::decode(stored.request.clone()).ok()?;
        let shapes = shape::check(&request.shape_requests, schema).ok()?;
        Some(Subscription { id: stored.id.clone(), state: State::Active, shapes })
    }

    /// One that the client no longer wants.
    pub(crate) fn leaving(self) -> Subscription {
        Subscription { state: State::Leaving, ..self }
    }

    /// The tables it asks for, each with the index of the first request for it.
    fn tables(&self) -> impl Iterator<Item = (usize, RelationId)> {
        let first = |(index, shape): &(usize, &Shape)| {
            self.shapes.iter().take(*index).all(|earlier| earlier.relation != shape.relation)
        };
        self.shapes.iter().enumerate().filter(first).map(|(index, shape)| (index, shape.relation))
    }
}

/// All subscriptions of a stream, and what they come to.
pub(crate) struct Subscriptions {
    all: Vec<Subscription>,
    user: UserId,
    /// The shapes that count.
    set: ShapeSet,
    /// The schema that the set was made for.
    schema: Arc<Schema>,
}

impl Subscriptions {
    pub(crate) fn new(all: Vec<Subscription>, user: &UserId, schema: Arc<Schema>) -> Subscriptions {
        let set = ShapeSet::new(counting(&all), user, &schema);
        Subscriptions { all, user: user.clone(), set, schema }
    }

    /// The shapes that count, for rows of this schema.
    pub(crate) fn set(&mut self, schema: &Arc<Schema>) -> &ShapeSet {
        if !Arc::ptr_eq(&self.schema, schema) {
            self.set = self.set.for_schema(schema);
            self.schema = schema.clone();
        }
        &self.set
    }

    /// Their tables, sorted.
    pub(crate) fn tables(&self) -> Arc<[RelationId]> {
        self.set.relations().into()
    }

    /// Whether the client has this row of a table, if it exists.
    pub(crate) fn see(&self, table: &Table, row: &Row) -> bool {
        self.set.sees(table, row)
    }

    /// Whose rows are to be read from a table that tells users apart.
    pub(crate) fn owner(&self, table: &Table) -> Option<UserId> {
        self.set.owner_filter(table).cloned()
    }

    /// Whether a transaction on these tables (sorted) may hold anything for the client.
    pub(crate) fn touch(&self, relations: &[RelationId]) -> bool {
        let ours = self.set.relations();
        let (few, many) = if relations.len() < ours.len() { (relations, ours) } else { (ours, relations) };
        few.iter().any(|relation| many.binary_search(relation).is_ok())
    }

    /// The data of a subscription is on its way to the client.
    pub(crate) fn activate(&mut self, id: &SubscriptionId) {
        if let Some(subscription) = self.all.iter_mut().find(|subscription| subscription.id == *id) {
            subscription.state = State::Active;
            self.recount();
        }
    }

    /// A subscription is to end; its state until now.
    pub(crate) fn leave(&mut self, id: &SubscriptionId) -> Option<State> {
        let subscription = self.all.iter_mut().find(|subscription| subscription.id == *id)?;
        let state = subscription.state;
        if state == State::Active {
            subscription.state = State::Leaving;
        }
        Some(state)
    }

    pub(crate) fn remove(&mut self, ids: &[SubscriptionId]) {
        self.all.retain(|subscription| !ids.contains(&subscription.id));
        self.recount();
    }

    fn recount(&mut self) {
        self.set = ShapeSet::new(counting(&self.all), &self.user, &self.schema);
    }

    /// The tables that a new subscription has to read: those that no shape covers once the blocks before it stand.
    pub(crate) fn missing_for<'a>(
        &self,
        id: &SubscriptionId,
        earlier: impl Iterator<Item = &'a Subject>,
    ) -> Vec<(usize, RelationId)> {
        let covering = self.counting_after(earlier);
        let wanted = self.all.iter().find(|subscription| subscription.id == *id);
        wanted
            .into_iter()
            .flat_map(Subscription::tables)
            .filter(|(_, table)| !covers(&covering, *table))
            .collect()
    }

    /// The tables that no shape covers any more when these subscriptions end after the blocks before.
    pub(crate) fn uncovered_without<'a>(
        &self,
        leaving: &[SubscriptionId],
        earlier: impl Iterator<Item = &'a Subject>,
    ) -> Vec<RelationId> {
        let mut covering = self.counting_after(earlier);
        covering.retain(|subscription| !leaving.contains(&subscription.id));
        let ending = self.all.iter().filter(|subscription| leaving.contains(&subscription.id));
        let mut tables: Vec<RelationId> = ending
            .flat_map(|subscription| subscription.tables().map(|(_, table)| table))
            .filter(|table| !covers(&covering, *table))
            .collect();
        tables.sort_unstable();
        tables.dedup();
        tables
    }

    /// The subscriptions that count once these blocks stand.
    fn counting_after<'a>(&self, blocks: impl Iterator<Item = &'a Subject>) -> Vec<&Subscription> {
        let mut counting: Vec<&Subscription> =
            self.all.iter().filter(|s| s.state != State::Pending).collect();
        for block in blocks {
            match block {
                Subject::Data { id, .. } => counting.extend(self.all.iter().filter(|s| s.id == *id)),
                Subject::Gone { leaving, .. } => counting.retain(|s| !leaving.contains(&s.id)),
            }
        }
        counting
    }
}

/// The shapes of those that are not pending.
fn counting(all: &[Subscription]) -> impl Iterator<Item = &Shape> {
    all.iter()
        .filter(|subscription| subscription.state != State::Pending)
        .flat_map(|counting| &counting.shapes)
}

fn covers(subscriptions: &[&Subscription], table: RelationId) -> bool {
    subscriptions.iter().any(|subscription| subscription.shapes.iter().any(|shape| shape.relation == table))
}

/// A refusal of `subscribe` as a whole. The code is never 0 (spec 06 §2.2).
pub(crate) fn refusal(message: &str) -> SubsError {
    SubsError {
        code: SubsErrorCode::ShapeRequestError.into(),
        message: message.to_owned(),
        shape_request_error: Vec::new(),
    }
}

/// Longest subscription id in bytes (spec 02 §1).
const MAX_ID: usize = 128;

/// A `subscribe` for a table that is unknown so far. A migration may have been committed right before it, and the stream
/// brings it in a moment: it is looked at again when the stream is as far as the database was.
#[derive(Debug)]
pub(crate) struct Doubtful {
    envelope: SatRpcRequest,
    request: SatSubsReq,
    catch_up: CatchUp,
}

impl Doubtful {
    /// When to look again.
    pub(crate) fn deadline(&self, now: Now, world: &dyn World) -> Millis {
        self.catch_up.deadline(now, world)
    }
}

impl Outbound {
    /// `subscribe`: refused at once, or answered when the snapshot of its data is open (spec 06 §5.1). Only a table that
    /// can't be found is looked for again first.
    pub(crate) fn subscribe(
        outbound: Option<&mut Outbound>,
        envelope: SatRpcRequest,
        request: SatSubsReq,
        cx: &mut Context<'_>,
    ) {
        let Some(outbound) = outbound else {
            let refusal =
                refusal("Replication has not been started: send `startReplication` before `subscribe`");
            return cx.send(wire::not_subscribed(&envelope, &request.subscription_id, refusal));
        };
        match outbound.subscriptions.check(&request, cx) {
            Err(refusal) if misses_a_table(&refusal) => {
                let until = cx.now.mono_ms.saturating_add(cx.config.catch_up_timeout);
                let catch_up = CatchUp::begin(until, cx);
                outbound.doubtful = Some(Box::new(Doubtful { envelope, request, catch_up }));
            }
            checked => outbound.conclude(checked, envelope, &request, cx),
        }
    }

    /// The answer to a question about the end of the log.
    pub(crate) fn wal_end(&mut self, end: Result<Lsn, Unavailable>, cx: &mut Context<'_>) {
        if let Some(doubtful) = &mut self.doubtful {
            doubtful.catch_up.wal_end(end, cx);
        }
    }

    /// Looks again for a table that was unknown, once the stream has caught up. What is known then is the last word.
    pub(super) fn settle_doubt(&mut self, cx: &mut Context<'_>) {
        if let Some(doubtful) = self.doubtful.take_if(|doubtful| doubtful.catch_up.is_over(cx)) {
            let Doubtful { envelope, request, .. } = *doubtful;
            let checked = self.subscriptions.check(&request, cx);
            self.conclude(checked, envelope, &request, cx);
        }
    }

    fn conclude(
        &mut self,
        checked: Result<Vec<Shape>, SubsError>,
        envelope: SatRpcRequest,
        request: &SatSubsReq,
        cx: &mut Context<'_>,
    ) {
        let shapes = match checked {
            Ok(shapes) => shapes,
            Err(refusal) => {
                return cx.send(wire::not_subscribed(&envelope, &request.subscription_id, refusal));
            }
        };
        let id = SubscriptionId::new(&request.subscription_id);
        let requests = shapes.iter().map(|shape| shape.request.clone()).collect();
        self.subscriptions.all.push(Subscription { id: id.clone(), state: State::Pending, shapes });
        let until = cx.now.mono_ms.saturating_add(cx.config.snapshot_timeout);
        let unanswered = Some(Box::new(Unanswered { request: envelope, until }));
        self.blocks.push_back(Block::new(Subject::Data { id, requests }, unanswered, cx.now.mono_ms));
    }
}

/// Whether a newer schema may change that.
fn misses_a_table(refusal: &SubsError) -> bool {
    refusal.shape_request_error.iter().any(|error| error.code == ShapeErrorCode::TableNotFound as i32)
}

impl Subscriptions {
    /// The checks of spec 06 §2.3, in order.
    fn check(&self, request: &SatSubsReq, cx: &Context<'_>) -> Result<Vec<Shape>, SubsError> {
        let id = &request.subscription_id;
        let limits = &cx.config.limits;
        if id.len() > MAX_ID {
            return Err(refusal("ID too long"));
        }
        if self.all.iter().any(|subscription| subscription.id.as_str() == id) {
            return Err(SubsError {
                code: SubsErrorCode::SubscriptionIdAlreadyExists.into(),
                ..refusal(
                    "Cannot establish multiple subscriptions with the same ID. If you want to change the subscription, \
                     you need to unsubscribe first.",
                )
            });
        }
        if request.shape_requests.is_empty() {
            return Err(refusal("Subscription must include at least one shape request"));
        }
        if !is_canonical_uuid(id) {
            return Err(refusal("Subscription ID should be a valid UUID"));
        }
        let mut ids: Vec<&str> =
            request.shape_requests.iter().map(|shape| shape.request_id.as_str()).collect();
        ids.sort_unstable();
        if ids.windows(2).any(|pair| pair.first() == pair.last()) {
            return Err(refusal("Duplicated request ids are not allowed"));
        }
        if request.shape_requests.len() > limits.requests {
            return Err(refusal(&format!(
                "A subscription can have {} shape requests at most",
                limits.requests
            )));
        }
        if self.all.len() >= limits.subscriptions {
            return Err(refusal(&format!(
                "A client can have {} subscriptions at most: unsubscribe from some first",
                limits.subscriptions
            )));
        }
        shape::check(&request.shape_requests, &cx.world.schema()).map_err(|errors| SubsError {
            shape_request_error: errors,
            ..refusal("Could not establish a subscription due to errors on requests")
        })
    }
}

/// Whether the text is a UUID as it is written canonically: lower case, with hyphens.
fn is_canonical_uuid(text: &str) -> bool {
    text.len() == 36
        && text.bytes().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => byte == b'-',
            _ => matches!(byte, b'0'..=b'9' | b'a'..=b'f'),
        })
}

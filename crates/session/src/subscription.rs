//! The client's subscriptions: which shapes they ask for, and which of those count now.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use bytes::Bytes;
use change::{Lsn, RelationId, SubscriptionId, UserId};
use prost::Message as _;
use protocol::{
    SubsError, SubsErrorCode,
    wire::{SatRpcRequest, SatSubsReq},
};
use schema::Schema;
use shapes::{Plan, Shape, ShapeErrorCode, ShapeLimits};

use crate::{
    Delivery, Known, Millis, Now, Read, ReadKind, StoredSubscription, Tracker, Unavailable, World,
    block::{Block, Subject, Unanswered},
    catch_up::CatchUp,
    context::Context,
    outbound::Outbound,
    set::ShapeSet,
    shape,
    tracking::Trackers,
    wire,
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
    /// The encoded `SatSubsReq`.
    request: Bytes,
    /// What it asks for, in the order of its requests.
    shapes: Vec<Shape>,
}

/// What a stored subscription was once granted is not refused because the settings have changed.
const GRANTED: ShapeLimits = ShapeLimits { depth: 64, layers: 4_096, clause: 16 << 20 };

impl Subscription {
    /// A stored one, with the schema of the moment. It goes on without the tables that clients get nothing of any more; `None` if
    /// what is stored can't be read.
    pub(crate) fn restore(
        stored: &StoredSubscription,
        schema: &Schema,
        user: &UserId,
    ) -> Option<Subscription> {
        let request = stored.request.clone();
        let (shapes, _) = resolve(&request, schema, user)?;
        Some(Subscription { id: stored.id.clone(), state: State::Active, request, shapes })
    }

    /// One that the client no longer wants.
    pub(crate) fn leaving(self) -> Subscription {
        Subscription { state: State::Leaving, ..self }
    }

    /// Whether transactions may have additional data for it.
    pub(crate) fn has_one_to_many(&self) -> bool {
        self.plans().any(|plan| plan.has_one_to_many())
    }

    /// Whether one of its tables is one that clients had to make anew at some time.
    pub(crate) fn has_returned(&self, schema: &Schema) -> bool {
        self.plans().any(|plan| plan.layers.iter().any(|layer| schema.returned(layer.table.id).is_some()))
    }

    /// Takes the schema that holds from now on, if the newest is `newest`.
    fn adopt(&mut self, schema: &Schema, newest: &Schema, user: &UserId) {
        let resolved = resolve(&self.request, schema, user);
        match resolved {
            Some((shapes, is_whole)) if is_whole || self.counts() => self.shapes = shapes,
            // Its data is still to come: a table that it lacks here may be one that comes, or one that has gone.
            _ => {
                if let Some((shapes, false)) = resolve(&self.request, newest, user) {
                    self.shapes = shapes;
                }
            }
        }
    }

    fn counts(&self) -> bool {
        self.state != State::Pending
    }

    fn plans(&self) -> impl Iterator<Item = &Arc<Plan>> {
        self.shapes.iter().map(|shape| &shape.plan)
    }
}

/// What a schema can serve of a request, and whether that is all.
fn resolve(request: &Bytes, schema: &Schema, user: &UserId) -> Option<(Vec<Shape>, bool)> {
    let request = SatSubsReq::decode(request.clone()).ok()?;
    Some(shape::served(&request.shape_requests, schema, user, &GRANTED))
}

/// All subscriptions of a stream, and what they come to.
pub(crate) struct Subscriptions {
    all: Vec<Subscription>,
    user: UserId,
    trackers: Trackers,
    /// The shapes that count.
    set: ShapeSet,
    /// The schema of the stream, once that is known.
    stream: Option<Arc<Schema>>,
    /// The schema that the shapes were resolved with: that of the stream, without tables that can't be read any more although the
    /// stream has not come to where they go.
    schema: Option<Arc<Schema>>,
    /// Those tables, and the migration with which they came, if that is known.
    unreadable: BTreeMap<RelationId, Option<String>>,
}

impl Subscriptions {
    /// None of them count before the schema of the stream is known ([`Subscriptions::adopt`]).
    pub(crate) fn new(all: Vec<Subscription>, user: &UserId) -> Subscriptions {
        let set = ShapeSet::new(Vec::new(), |_| None);
        Subscriptions {
            all,
            user: user.clone(),
            trackers: Trackers::default(),
            set,
            stream: None,
            schema: None,
            unreadable: BTreeMap::new(),
        }
    }

    /// Whether one of their tables is one that clients had to make anew at some time.
    pub(crate) fn have_returned(&self, schema: &Schema) -> bool {
        self.all.iter().any(|subscription| subscription.has_returned(schema))
    }

    /// The shapes that count.
    pub(crate) fn set(&self) -> &ShapeSet {
        &self.set
    }

    /// Resolves the shapes with the schema that holds after `at`, if it is another one. They go on without the tables that clients
    /// get nothing of any more. `None` if it is not; else the trackers of the shapes that counted and are now less, by which rows
    /// of other tables may have come to the client: until those have left, more is followed than is needed
    /// ([`Subscriptions::settle`]).
    pub(crate) fn adopt(
        &mut self,
        schema: &Arc<Schema>,
        at: Lsn,
        world: &dyn World,
    ) -> Option<Vec<Arc<dyn Tracker>>> {
        if self.stream.as_ref().is_some_and(|known| Arc::ptr_eq(known, schema)) {
            return None;
        }
        self.stream = Some(schema.clone());
        Some(self.resolve_all(schema, at, world))
    }

    /// If tables turn out not to be there to be read any more, the shapes go on without them from here; see
    /// [`Subscriptions::adopt`].
    pub(crate) fn leave_out_unreadable(
        &mut self,
        at: Lsn,
        world: &dyn World,
    ) -> Option<Vec<Arc<dyn Tracker>>> {
        let schema = self.stream.clone()?;
        let newest = world.schema();
        let layers = self.trackers.unreadable().flat_map(|tracker| &tracker.plan().layers);
        let gone = layers.filter(|layer| !layer.is_of(&newest));
        let gone: Vec<_> =
            gone.map(|layer| (layer.table.id, layer.since.as_deref().map(str::to_owned))).collect();
        let known = self.unreadable.len();
        self.unreadable.extend(gone);
        (self.unreadable.len() > known).then(|| self.resolve_all(&schema, at, world))
    }

    fn resolve_all(&mut self, schema: &Arc<Schema>, at: Lsn, world: &dyn World) -> Vec<Arc<dyn Tracker>> {
        self.unreadable.retain(|id, since| {
            schema.table(*id).is_some_and(|table| table.held_back.is_none())
                && schema.returned(*id) == since.as_deref()
        });
        let schema = &match self.unreadable.is_empty() {
            true => schema.clone(),
            false => Arc::new(schema.without(&self.unreadable.keys().copied().collect::<Vec<_>>())),
        };
        let is_served = |id| schema.table(id).is_some_and(|table| table.held_back.is_none());
        let loses = |plan: &Plan| !plan.is_simple() && plan.layers.iter().any(|l| !is_served(l.table.id));
        let less: Vec<_> = self.set.trackers().iter().filter(|t| loses(t.plan())).cloned().collect();
        self.schema = Some(schema.clone());
        let newest = world.schema();
        for subscription in &mut self.all {
            subscription.adopt(schema, &newest, &self.user);
        }
        let plans = self.plans();
        self.trackers.retain(&plans);
        self.follow(at, world);
        if !less.is_empty() {
            self.trackers.follow_all(&plans, at, world);
        }
        self.recount();
        less
    }

    /// What counts, with all of it followed that is.
    pub(crate) fn followed(&self) -> ShapeSet {
        let counting: Vec<&Subscription> = self.all.iter().filter(|s| s.counts()).collect();
        self.set_of(&counting)
    }

    /// Follows no more than is needed.
    pub(crate) fn settle(&mut self) {
        self.trackers.keep_needed(&self.plans());
        self.recount();
    }

    /// Whether a transaction may hold anything for the client.
    pub(crate) fn are_touched_by(&self, delivery: &Delivery) -> bool {
        let (ours, theirs) = (self.set.relations(), delivery.relations());
        let (few, many) = if theirs.len() < ours.len() { (theirs, ours) } else { (ours, theirs) };
        few.iter().any(|relation| many.binary_search(relation).is_ok())
    }

    /// The first tracker that has not reached a transaction which may concern one of them. One that is lost is replaced by
    /// another, which starts where the client is.
    pub(crate) fn waits_for(
        &mut self,
        delivery: &Delivery,
        cursor: Lsn,
        world: &dyn World,
    ) -> Option<Arc<dyn Tracker>> {
        if !self.set.follows_any(delivery.relations()) {
            return None;
        }
        let at = delivery.transaction.lsn;
        if self.trackers.replace_lost(at, cursor, world) {
            self.recount();
        }
        self.set.trackers().iter().find(|tracker| !Trackers::has_reached(&***tracker, at)).cloned()
    }

    /// Likewise of all trackers, also those of shapes that do not count yet.
    pub(crate) fn all_wait_for(&mut self, at: Lsn, world: &dyn World) -> Option<Arc<dyn Tracker>> {
        if self.trackers.replace_lost(at, at, world) {
            self.recount();
        }
        self.trackers.first_behind(at)
    }

    /// A tracker turned out to be lost: all are asked for anew.
    pub(crate) fn follow_again(&mut self, cursor: Lsn, world: &dyn World) {
        self.trackers = Trackers::default();
        self.follow(cursor, world);
        self.recount();
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
        let plans = self.plans();
        self.trackers.retain(&plans);
        self.recount();
    }

    fn recount(&mut self) {
        let counting = self.all.iter().filter(|subscription| subscription.counts());
        let plans = counting.flat_map(Subscription::plans).cloned().collect();
        self.set = ShapeSet::new(plans, |plan| self.trackers.get(plan));
    }

    /// Follows every shape that needs it now, or will once the pending subscriptions count.
    fn follow(&mut self, at: Lsn, world: &dyn World) {
        let plans = self.plans();
        self.trackers.follow(&plans, at, world);
    }

    /// Those that can be followed where the stream is. A subscription that is still to come may ask for others.
    fn plans(&self) -> Vec<Arc<Plan>> {
        let Some(schema) = &self.schema else { return Vec::new() };
        self.all.iter().flat_map(Subscription::plans).filter(|plan| plan.is_of(schema)).cloned().collect()
    }

    /// What a new subscription has to read, with the request that each read is for: shapes that do not count yet once the blocks
    /// before it stand, less the rows of those that do.
    pub(crate) fn reads_for<'a>(
        &self,
        id: &SubscriptionId,
        earlier: impl Iterator<Item = &'a Subject>,
    ) -> (Vec<(usize, Read)>, Known) {
        let known = self.set_of(&self.counting_after(earlier));
        let wanted = self.all.iter().find(|subscription| subscription.id == *id);
        let mut seen: HashSet<&Arc<Plan>> = known.plans().iter().collect();
        let mut reads = Vec::new();
        for (request, shape) in wanted.iter().flat_map(|wanted| wanted.shapes.iter().enumerate()) {
            let plan = &shape.plan;
            let all_known = plan.is_simple() && plan.relations().iter().all(|id| known.has_all_of(*id));
            if !all_known && seen.insert(plan) {
                reads.push((request, Read { plan: plan.clone(), kind: ReadKind::Rows }));
            }
        }
        (reads, known_by(&known))
    }

    /// What has to be read again, since clients had to make tables anew at a migration: all rows of the shapes that count and have
    /// such a table.
    pub(crate) fn reads_again(&self, version: &str) -> Vec<(usize, Read)> {
        let mut seen: HashSet<&Arc<Plan>> = HashSet::new();
        let counting = self.all.iter().filter(|subscription| subscription.counts());
        let emptied = counting
            .flat_map(Subscription::plans)
            .filter(|plan| plan.layers.iter().any(|layer| layer.since.as_deref() == Some(version)));
        let again = emptied.filter(|plan| seen.insert(plan));
        again.map(|plan| (0, Read { plan: plan.clone(), kind: ReadKind::Rows })).collect()
    }

    /// What has to be read to end these subscriptions after the blocks before, and what is kept by others. Shapes that are
    /// followed have no need to be read.
    pub(crate) fn reads_without<'a>(
        &self,
        leaving: &[SubscriptionId],
        earlier: impl Iterator<Item = &'a Subject>,
    ) -> (Vec<(usize, Read)>, Known) {
        let (ending, kept) = self.parted(leaving, earlier);
        let is_followed = |plan: &Arc<Plan>| self.set.trackers().iter().any(|t| t.plan() == plan);
        let reads = ending
            .into_iter()
            .filter(|plan| !is_followed(plan))
            .filter(|plan| plan.relations().iter().any(|relation| !kept.has_all_of(*relation)));
        let reads = reads.map(|plan| (0, Read { plan, kind: ReadKind::Keys })).collect();
        (reads, known_by(&kept))
    }

    /// The trackers of the shapes that end with these subscriptions, and the shapes that stay.
    pub(crate) fn ending(&self, leaving: &[SubscriptionId]) -> (Vec<Arc<dyn Tracker>>, ShapeSet) {
        let (ending, kept) = self.parted(leaving, std::iter::empty());
        let trackers = self.set.trackers().iter().filter(|tracker| ending.contains(tracker.plan()));
        (trackers.cloned().collect(), kept)
    }

    /// The plans that end with these subscriptions and those that stay.
    fn parted<'a>(
        &self,
        leaving: &[SubscriptionId],
        earlier: impl Iterator<Item = &'a Subject>,
    ) -> (Vec<Arc<Plan>>, ShapeSet) {
        let (ending, staying): (Vec<&Subscription>, Vec<&Subscription>) = self
            .counting_after(earlier)
            .into_iter()
            .partition(|subscription| leaving.contains(&subscription.id));
        let kept = self.set_of(&staying);
        let mut plans: Vec<Arc<Plan>> = ending.into_iter().flat_map(Subscription::plans).cloned().collect();
        plans.retain(|plan| !kept.plans().contains(plan));
        let mut seen = HashSet::new();
        plans.retain(|plan| seen.insert(plan.clone()));
        (plans, kept)
    }

    /// The union of some subscriptions. What is followed at present is followed in it, too: rows that leave with the others may
    /// be rows of theirs.
    fn set_of(&self, subscriptions: &[&Subscription]) -> ShapeSet {
        let plans = subscriptions.iter().flat_map(|subscription| subscription.plans()).cloned().collect();
        ShapeSet::following(plans, |plan| self.trackers.get(plan))
    }

    /// The subscriptions that count once these blocks stand.
    fn counting_after<'a>(&self, blocks: impl Iterator<Item = &'a Subject>) -> Vec<&Subscription> {
        let mut counting: Vec<&Subscription> = self.all.iter().filter(|s| s.counts()).collect();
        for block in blocks {
            match block {
                Subject::Data { id, .. } => counting.extend(self.all.iter().filter(|s| s.id == *id)),
                Subject::Gone { leaving, .. } => counting.retain(|s| !leaving.contains(&s.id)),
                Subject::Again { .. } => {}
            }
        }
        counting
    }
}

fn known_by(set: &ShapeSet) -> Known {
    Known { filters: set.filters().to_vec(), trackers: set.trackers().to_vec() }
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
        let pending =
            Subscription { id: id.clone(), state: State::Pending, request: envelope.message.clone(), shapes };
        self.subscriptions.all.push(pending);
        self.subscriptions.follow(self.cursor, cx.world);
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
        let schema = cx.world.schema();
        shape::check(&request.shape_requests, &schema, &self.user, &cx.config.shapes).map_err(|errors| {
            SubsError {
                shape_request_error: errors,
                ..refusal("Could not establish a subscription due to errors on requests")
            }
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

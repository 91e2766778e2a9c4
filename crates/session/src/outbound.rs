//! The stream to the client: transactions in order, each either passed over or sent whole (spec 02 §6.9, 06 §10).

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use change::{ClientId, Lsn, Origin, SubscriptionId, UserId, Xid};
use protocol::wire::SatOpLogAck;
use schema::{Dialect, Migration, Schema};

use crate::{
    ClientUpdate, CloseCode, Delivery, Millis, Now, Output, Tracker, World,
    block::{Block, OpenBlock, Subject},
    context::{Context, Ending, Flow},
    delivery::{self, DeliveryError, Encoded, Rendering},
    live::UNKNOWN_TRANSACTION,
    subscription::{Doubtful, Subscription, Subscriptions},
    window::Window,
    wire,
};

/// Ids of transactions that never were: no Postgres transaction has this bit (spec 02 §7.3).
const OWN: u64 = 1 << 62;

/// Ended subscriptions remembered until the client has acknowledged their end. Beyond that the oldest is forgotten.
const MAX_ENDED: usize = 1_000;

/// A stream that has been granted.
pub(crate) struct Outbound {
    /// Everything at or before it has been sent or passed over.
    pub(super) cursor: Lsn,
    /// The schema at the cursor; unknown until the first transaction shows it, if the client is behind.
    pub(super) schema: Option<Arc<Schema>>,
    /// The schema whose relations the client has been told on this connection.
    announced: Option<Arc<Schema>>,
    /// The greatest id passed.
    pub(super) newest_xid: Xid,
    pub(super) subscriptions: Subscriptions,
    /// Blocks that wait for their place, in order.
    pub(super) blocks: VecDeque<Block>,
    /// A `subscribe` for a table that the stream may be about to bring.
    pub(super) doubtful: Option<Box<Doubtful>>,
    /// The block on the wire.
    pub(super) on_wire: Option<Box<OpenBlock>>,
    pub(super) ended: Vec<(SubscriptionId, Lsn)>,
    pub(super) window: Window,
    /// The position that the client stores.
    told: Lsn,
    /// When an idle client's position is looked at next.
    heartbeat_at: Millis,
    /// How many transactions of our own have been named.
    own_transactions: u64,
    dialect: Dialect,
    owed: OwedMigrations,
    /// Nothing is streamed before this store is durable.
    held_by: Option<u64>,
    /// The client has all migrations up to this version.
    newest_known: Option<String>,
    /// Where the initial sync ends, until the client has been there.
    unseen_until: Option<Lsn>,
    /// What the client may have missed of the transaction at its position.
    repeat: Option<Repeat>,
    /// The tracker that has to get to a position before the stream goes on.
    pub(super) stalled_on: Option<(Arc<dyn Tracker>, Lsn)>,
    /// Transactions up to here may have been seen already by the query for a block that they follow.
    pub(super) raced_until: Lsn,
    /// Shapes that have lost tables: the rows of other tables that they brought are to leave before the stream goes on.
    pub(super) less: Vec<Arc<dyn Tracker>>,
    /// A transaction of our own that follows the block on the wire directly: its id and messages.
    pub(super) afterwards: Option<(u64, Vec<Bytes>)>,
}

/// The additional data of the transaction at the client's position: sent again unless the client has seen it.
pub(crate) struct Repeat {
    /// The client's position.
    pub(crate) at: Lsn,
    /// Transactions whose additional data it has seen.
    pub(crate) observed: Vec<u64>,
}

/// Migrations that an initial sync still has to send, with their positions.
#[derive(Default)]
pub(crate) struct OwedMigrations {
    pub(crate) queue: VecDeque<(Lsn, Arc<Migration>)>,
    /// The store that must be durable first.
    pub(crate) stored_by: Option<u64>,
}

/// What a stream begins with.
pub(crate) struct Beginning {
    /// Transactions strictly after it are streamed.
    pub(crate) position: Lsn,
    /// What the client has stored.
    pub(crate) told: Lsn,
    pub(crate) dialect: Dialect,
    pub(crate) subscriptions: Vec<Subscription>,
    /// Subscriptions that the client did not name again.
    pub(crate) leaving: Vec<SubscriptionId>,
    pub(crate) migrations: OwedMigrations,
    /// Nothing is streamed before this store is durable.
    pub(crate) held_by: Option<u64>,
    pub(crate) newest_known: Option<String>,
    pub(crate) unseen_until: Option<Lsn>,
    /// Transactions whose additional data the client has seen.
    pub(crate) observed: Vec<u64>,
}

impl Outbound {
    /// Begins right after the reply to `startReplication`.
    pub(crate) fn begin(beginning: Beginning, user: &UserId, cx: &mut Context<'_>) -> Box<Outbound> {
        let schema = cx.world.schema();
        let at = beginning.position;
        // The transaction at the client's position is looked at once more if data may have been due after it.
        let before = Lsn(at.0.saturating_sub(1));
        let has_more = |s: &Subscription| s.has_one_to_many() || s.has_returned(&schema);
        let may_repeat = at == beginning.told
            && beginning.subscriptions.iter().any(has_more)
            && before >= cx.world.history_start()
            && before < at;
        let cursor = if may_repeat { before } else { at };
        let repeat = may_repeat.then_some(Repeat { at, observed: beginning.observed });
        let subscriptions = Subscriptions::new(beginning.subscriptions, user);
        let mut outbound = Box::new(Outbound {
            cursor,
            schema: None,
            announced: None,
            newest_xid: Xid(0),
            subscriptions,
            blocks: VecDeque::new(),
            doubtful: None,
            on_wire: None,
            ended: Vec::new(),
            window: Window::new(cx.config.unacked_window),
            told: beginning.told,
            heartbeat_at: cx.now.mono_ms.saturating_add(cx.config.heartbeat_interval),
            own_transactions: 0,
            dialect: beginning.dialect,
            owed: beginning.migrations,
            held_by: beginning.held_by,
            newest_known: beginning.newest_known,
            unseen_until: beginning.unseen_until,
            repeat,
            stalled_on: None,
            raced_until: Lsn(0),
            less: Vec::new(),
            afterwards: None,
        });
        if cx.world.position() <= outbound.cursor {
            outbound.learn(&schema, cx);
        } else if !outbound.subscriptions.have_returned(&schema) {
            // The newest schema for the time being. Tables that came back are not followed from before that.
            outbound.adopt(&schema, cx);
        }
        if !beginning.leaving.is_empty() {
            let leaving = beginning.leaving;
            let subject = Subject::Gone { names: leaving.clone(), leaving, unnamed: true };
            outbound.blocks.push_back(Block::new(subject, None, cx.now.mono_ms));
        }
        outbound
    }

    /// Where the next transactions may be handed in.
    pub(crate) fn cursor(&self) -> Option<Lsn> {
        (!self.is_held()).then_some(self.cursor)
    }

    fn is_held(&self) -> bool {
        self.on_wire.is_some()
            || self.held_by.is_some()
            || !self.owed.queue.is_empty()
            || !self.window.has_room()
            || self.is_held_by_blocks()
    }

    /// The tracker that has to reach a position before the stream can go on.
    pub(crate) fn stalled_on(&self) -> Option<(Arc<dyn Tracker>, Lsn)> {
        self.stalled_on.clone()
    }

    /// Something has happened: whether a tracker is still waited for shows anew.
    pub(crate) fn look_again(&mut self) {
        self.stalled_on = None;
    }

    /// Whether transactions that don't concern the subscriptions may be left out.
    pub(crate) fn is_selective(&self) -> bool {
        !self.is_held() && self.is_under_way() && self.blocks.is_empty() && self.doubtful.is_none()
    }

    /// Whether the stream has come to where the client is, and the schema there is known. No block is dealt with before.
    pub(super) fn is_under_way(&self) -> bool {
        self.schema.is_some() && self.repeat.is_none()
    }

    /// When to look again without any input.
    pub(crate) fn next_deadline(&self, now: Now, world: &dyn World) -> Millis {
        let doubtful = self.doubtful.as_ref().map(|doubtful| doubtful.deadline(now, world));
        [self.next_block_deadline(now, world), doubtful]
            .into_iter()
            .flatten()
            .fold(self.heartbeat_at, Millis::min)
    }

    /// The next transactions. What can't be taken now will be handed in again, since the cursor stays before it.
    pub(crate) fn take(
        &mut self,
        deliveries: &[Arc<Delivery>],
        reached: Lsn,
        client: &ClientId,
        cx: &mut Context<'_>,
    ) -> Flow {
        for delivery in deliveries {
            if delivery.transaction.lsn > self.cursor && !self.take_one(delivery, client, cx)? {
                return Ok(());
            }
        }
        if reached > self.cursor && !self.is_held() {
            if self.schema.is_none() {
                let schema = cx.world.schema();
                self.learn(&schema, cx);
            }
            self.move_to(reached);
        }
        Ok(())
    }

    fn move_to(&mut self, position: Lsn) {
        self.cursor = position;
        self.repeat.take_if(|repeat| repeat.at <= position);
    }

    fn take_one(&mut self, delivery: &Arc<Delivery>, client: &ClientId, cx: &mut Context<'_>) -> Flow<bool> {
        if self.schema.is_none() {
            self.learn(delivery.before(), cx);
        }
        let transaction = &delivery.transaction;
        // If there was no transaction at the client's position, nothing is repeated.
        self.repeat.take_if(|repeat| repeat.at < transaction.lsn);
        if self.is_held() || self.stops_before(delivery, cx) {
            return Ok(false);
        }
        self.adopt(delivery.during(), cx);
        if self.repeat.is_some() {
            // The client has got past it.
            self.less.clear();
            self.subscriptions.settle();
        }
        if !self.less.is_empty() && !self.let_go(delivery, cx)? {
            return Ok(false);
        }
        let own = transaction.origin.client() == Some(client);
        let migration = delivery.migration.as_ref().filter(|migration| !self.knows(migration));
        if own || migration.is_some() || self.subscriptions.are_touched_by(delivery) {
            let waits_for = self.subscriptions.waits_for(delivery, self.cursor, cx.world);
            if let Some(tracker) = waits_for {
                self.stalled_on = Some((tracker, transaction.lsn));
                return Ok(false);
            }
            let set = self.subscriptions.set();
            let rendering = Rendering {
                dialect: migration.map(|_| self.dialect),
                repeats: (transaction.lsn <= self.raced_until || self.counts_unnamed())
                    && !set.trackers().is_empty(),
                own: own && delivery.is_partly_blind(),
            };
            match delivery.frames(set, rendering) {
                Ok(encoded) => self.send(delivery, encoded, own, cx),
                Err(DeliveryError::Encode) => return Err(unencodable()),
                Err(DeliveryError::Lost) => {
                    self.subscriptions.follow_again(self.cursor, cx.world);
                    let waits_for = self.subscriptions.waits_for(delivery, self.cursor, cx.world);
                    self.stalled_on = waits_for.map(|tracker| (tracker, transaction.lsn));
                    return Ok(false);
                }
            }
        }
        let repeated = self.repeat.take_if(|repeat| repeat.at <= transaction.lsn);
        self.move_to(transaction.lsn);
        self.newest_xid = self.newest_xid.max(transaction.xid);
        if !self.schema.as_ref().is_some_and(|schema| Arc::ptr_eq(schema, &delivery.schema)) {
            self.schema = Some(delivery.schema.clone());
        }
        if let Some(migration) = &delivery.migration {
            // From here on the tables that it brought back count, too.
            self.adopt(&delivery.schema, cx);
            self.follow_up(migration, &repeated.map(|repeat| repeat.observed).unwrap_or_default(), cx);
        }
        Ok(true)
    }

    /// Whether shapes count of which the client may have no rows.
    fn counts_unnamed(&self) -> bool {
        self.blocks.iter().any(|block| matches!(block.subject, Subject::Gone { unnamed: true, .. }))
    }

    fn adopt(&mut self, schema: &Arc<Schema>, cx: &mut Context<'_>) {
        if let Some(less) = self.subscriptions.adopt(schema, self.cursor, cx.world) {
            self.resolved(less, cx);
        }
    }

    /// The shapes may have become others; these have lost tables.
    fn resolved(&mut self, less: Vec<Arc<dyn Tracker>>, cx: &mut Context<'_>) {
        self.less.extend(less);
        self.plan_again(0, cx);
        cx.out.push(Output::Watch(self.subscriptions.set().interests()));
    }

    fn send(&mut self, delivery: &Arc<Delivery>, encoded: Encoded, own: bool, cx: &mut Context<'_>) {
        let transaction = &delivery.transaction;
        let id = transaction.xid.0;
        let Encoded { frames, is_empty, additional } = encoded;
        if let Some(repeat) = &self.repeat {
            // The client has the transaction itself.
            if let Some(block) = additional.filter(|_| !repeat.observed.contains(&id)) {
                self.announce(&delivery.schema, cx);
                cx.out.push(Output::SendAll(block));
            }
            return;
        }
        if own || !is_empty {
            self.announce(&delivery.schema, cx);
            cx.out.push(Output::SendAll(frames));
            cx.out.extend(additional.map(Output::SendAll));
            self.window.sent(id);
            self.tell(transaction.lsn, cx);
        }
    }

    /// Whether the client was given this migration before: its data is sent without it then (spec 03 §10.2).
    fn knows(&self, migration: &Migration) -> bool {
        self.newest_known.as_ref().is_some_and(|known| migration.version <= *known)
    }

    /// Does everything that has become possible.
    pub(crate) fn go_on(&mut self, cx: &mut Context<'_>) -> Flow {
        if let Some(less) = self.subscriptions.leave_out_unreadable(self.cursor, cx.world) {
            self.resolved(less, cx);
        }
        self.held_by = self.held_by.filter(|number| !cx.ledger.is_durable(*number));
        self.send_owed_migrations(cx);
        self.settle_doubt(cx);
        self.refuse_late(cx);
        loop {
            self.open_next(cx);
            let waits = self.held_by.is_some() || !self.owed.queue.is_empty() || !self.is_under_way();
            if waits || !self.begin_head(cx)? {
                break;
            }
        }
        self.beat(cx);
        Ok(())
    }

    fn send_owed_migrations(&mut self, cx: &mut Context<'_>) {
        if self.owed.stored_by.is_some_and(|number| !cx.ledger.is_durable(number)) {
            return;
        }
        while self.window.has_room() {
            let Some((lsn, migration)) = self.owed.queue.pop_front() else { return };
            let frames = delivery::migration_frames(&migration, lsn, self.dialect);
            cx.out.extend(frames.into_iter().map(Output::Send));
            self.window.sent(migration.xid.0);
            self.tell(lsn, cx);
        }
    }

    /// An idle client's position is moved on now and then by an empty transaction, so that it stays in the window.
    fn beat(&mut self, cx: &mut Context<'_>) {
        let behind = self.cursor.0.saturating_sub(self.told.0);
        let due = cx.now.mono_ms >= self.heartbeat_at;
        if due {
            self.heartbeat_at = cx.now.mono_ms.saturating_add(cx.config.heartbeat_interval.max(1));
        }
        let idle = self.held_by.is_none()
            && self.on_wire.is_none()
            && self.blocks.is_empty()
            && self.owed.queue.is_empty();
        if behind == 0
            || !(due || behind >= cx.config.heartbeat_distance)
            || !idle
            || !self.window.is_mostly_free()
        {
            return;
        }
        self.move_client(cx);
    }

    /// Moves an idle client on to where the stream is, so that whoever serves it next finds it there (spec 07 §0 "Stop").
    pub(crate) fn hand_over(&mut self, cx: &mut Context<'_>) {
        let waits =
            self.is_held() || !self.is_under_way() || !self.blocks.is_empty() || !self.less.is_empty();
        if !waits && self.told < self.cursor {
            self.move_client(cx);
        }
    }

    /// An empty transaction at the cursor.
    fn move_client(&mut self, cx: &mut Context<'_>) {
        let id = self.name_own_transaction();
        let frames = delivery::empty_transaction(self.cursor, id, cx.now.wall_ms, &Origin::Postgres);
        cx.out.extend(frames.into_iter().map(Output::Send));
        self.window.sent(id);
        self.tell(self.cursor, cx);
    }

    /// An id for a transaction that never was.
    pub(super) fn name_own_transaction(&mut self) -> u64 {
        self.own_transactions += 1;
        OWN | self.own_transactions
    }

    /// The client will store this position.
    pub(super) fn tell(&mut self, position: Lsn, cx: &Context<'_>) {
        self.told = position;
        self.heartbeat_at = cx.now.mono_ms.saturating_add(cx.config.heartbeat_interval.max(1));
    }

    /// `SatOpLogAck`: the id decides, an odd position is no fault (spec 02 §6.8).
    pub(crate) fn acknowledged(&mut self, ack: &SatOpLogAck, cx: &mut Context<'_>) -> Flow {
        self.window.acknowledge(ack.transaction_id).map_err(|_| Ending::invalid(UNKNOWN_TRANSACTION))?;
        let Ok(position) = Lsn::from_wire(&ack.lsn) else { return Ok(()) };
        let mut updates = Vec::new();
        if self.unseen_until.is_some_and(|last| position >= last) {
            self.unseen_until = None;
            updates.push(ClientUpdate::MigrationsSeen);
        }
        if !self.ended.is_empty() {
            let seen = |(id, at): &(SubscriptionId, Lsn)| {
                position > *at || ack.gone_subscription_ids.iter().any(|gone| gone == id.as_str())
            };
            let forgotten: Vec<_> =
                self.ended.extract_if(.., |ended| seen(ended)).map(|(id, _)| id).collect();
            if !forgotten.is_empty() {
                updates.push(ClientUpdate::Forget(forgotten));
            }
        }
        if !updates.is_empty() {
            cx.store(updates);
        }
        Ok(())
    }

    /// Remembers that these were ended at the cursor, durably.
    pub(super) fn note_end(&mut self, ids: Vec<SubscriptionId>, cx: &mut Context<'_>) {
        if ids.is_empty() {
            return;
        }
        self.ended.extend(ids.iter().map(|id| (id.clone(), self.cursor)));
        let mut updates = vec![ClientUpdate::Gone(ids, self.cursor)];
        if self.ended.len() > MAX_ENDED {
            let oldest = self.ended.drain(..self.ended.len() - MAX_ENDED);
            updates.push(ClientUpdate::Forget(oldest.map(|(id, _)| id).collect()));
        }
        cx.store(updates);
    }

    /// This is the schema at the cursor.
    fn learn(&mut self, schema: &Arc<Schema>, cx: &mut Context<'_>) {
        self.schema = Some(schema.clone());
        self.announce(schema, cx);
        self.adopt(schema, cx);
        // Nothing has come by what was there before, on this connection.
        self.less.clear();
    }

    /// Tells the client the relations of a schema that differ from those it was told last. All of them right at the start:
    /// a client that has restarted knows the types of its columns from them only (spec 03 B-11).
    pub(super) fn announce(&mut self, schema: &Arc<Schema>, cx: &mut Context<'_>) {
        let announced = match &self.announced {
            Some(announced) if Arc::ptr_eq(announced, schema) => return,
            announced => announced.clone(),
        };
        for table in schema.tables().filter(|table| table.held_back.is_none()) {
            let known = announced.as_ref().and_then(|announced| announced.table(table.id));
            if known.is_none_or(|known| !Arc::ptr_eq(known, table) && known != table) {
                cx.send(wire::relation(table));
            }
        }
        self.announced = Some(schema.clone());
    }

    /// Ends the stream. Blocks not begun are given up; subscriptions stay stored.
    pub(crate) fn stop(self, cx: &mut Context<'_>) {
        let waiting = self.blocks.iter().filter_map(Block::snapshot);
        let begun = self.on_wire.iter().filter_map(|block| block.snapshot());
        cx.out.extend(waiting.chain(begun).map(|id| Output::DropSnapshot { id }));
        cx.out.push(Output::Watch(Arc::new([])));
    }
}

/// A row of ours can't be encoded. Closing without a message lets the client come back (spec 02 §10.2).
pub(super) fn unencodable() -> Box<Ending> {
    Ending::quiet(CloseCode::InternalError, "Internal server error while sending data")
}

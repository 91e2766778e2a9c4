//! Blocks on their way to their place in the stream (spec 06 §5.5, §8).
//!
//! Each block's snapshot is taken while this client's stream is held, so that the snapshot sees everything the stream has
//! passed. From then on the stream runs up to the first transaction that the snapshot does not see, or to the position at
//! which it was taken; there the block stands. Blocks keep their order. One snapshot is opened at a time, and only for a
//! `subscribe` that waits for its reply or for the block whose turn it is: a session holds the stream for no other, so it
//! can't wait for a connection of the pool that another of its own snapshots holds.

use std::sync::Arc;

use bytes::Bytes;
use change::{Lsn, Snapshot, SubscriptionId};
use schema::{Migration, Schema};

use crate::{
    ClientUpdate, CloseCode, Delivery, Known, Millis, Now, Output, ReadRequest, SnapshotFailure, SnapshotId,
    World,
    block::{Block, OpenBlock, Phase, Reads, Subject},
    context::{Context, Ending, Flow},
    leaving::Leaving,
    outbound::{Outbound, unencodable},
    subscription::{self, State},
    wire,
};

/// Transactions kept for a gone batch because its snapshot does not see them; with more, another snapshot is taken.
const MAX_RACED: usize = 1_000;

/// Marks the references of blocks with the rows of tables that a migration made anew: those of transactions' own additional data are
/// their ids, which don't have this bit.
const AGAIN: u64 = 1 << 61;

/// Snapshots that may fail for one block, once its request has been answered, before the connection is given up.
const MAX_TRIES: u32 = 8;

impl Outbound {
    /// Whether the stream has to stand still for a block.
    pub(super) fn is_held_by_blocks(&self) -> bool {
        let is_under_way = self.is_under_way();
        let head_waits = self.blocks.front().is_some_and(|head| {
            head.is_due(self.cursor, self.raced_until) || matches!(head.phase, Phase::Planned { .. })
        });
        is_under_way
            && (head_waits
                || self.blocks.iter().any(|block| match block.phase {
                    Phase::Opening { .. } => true,
                    Phase::Planned { .. } => block.unanswered.is_some(),
                    Phase::Open { .. } | Phase::Bare => false,
                }))
    }

    /// When a block has to be looked at again.
    pub(super) fn next_block_deadline(&self, now: Now, world: &dyn World) -> Option<Millis> {
        let answers = self
            .blocks
            .iter()
            .filter_map(|block| block.unanswered.as_ref().map(|unanswered| unanswered.until));
        let retry = self.next_to_open().and_then(|index| match self.blocks.get(index)?.phase {
            Phase::Planned { retry_at } => Some(retry_at),
            _ => None,
        });
        let begins = self
            .blocks
            .front()
            .filter(|head| head.is_due(self.cursor, self.raced_until))
            .map(Block::begins_at)
            .filter(|at| *at > now.mono_ms);
        // The stream has come to where it can be told what a snapshot sees.
        let told = self.blocks.front().and_then(|head| head.awaits);
        let told = told.filter(|lsn| world.position() >= *lsn).map(|_| now.mono_ms);
        answers.chain(retry).chain(begins).chain(told).min()
    }

    pub(crate) fn owes_a_reply(&self) -> bool {
        self.doubtful.is_some() || self.blocks.iter().any(|block| block.unanswered.is_some())
    }

    pub(crate) fn is_in_block(&self) -> bool {
        self.on_wire.is_some()
    }

    /// Whether the client would throw its data away if its connection ended now.
    pub(crate) fn is_amid_data(&self) -> bool {
        self.on_wire.as_ref().is_some_and(|block| block.is_begun_on_wire())
    }

    /// Blocks that wait, each counted with the ids it names.
    pub(crate) fn waiting_blocks(&self) -> usize {
        self.blocks.iter().map(Block::weight).sum()
    }

    pub(crate) fn wants_snapshot_frames(&self) -> Option<SnapshotId> {
        self.on_wire.as_ref().and_then(|block| block.snapshot())
    }

    /// The block whose snapshot may be opened now or at its `retry_at`.
    fn next_to_open(&self) -> Option<usize> {
        if !self.is_under_way()
            || self.blocks.iter().any(|block| matches!(block.phase, Phase::Opening { .. }))
        {
            return None;
        }
        self.blocks.iter().enumerate().position(|(index, block)| {
            let turn = block.unanswered.is_some() || (index == 0 && self.on_wire.is_none());
            turn && matches!(block.phase, Phase::Planned { .. })
        })
    }

    /// Opens the next snapshot, or finds that none is needed.
    pub(super) fn open_next(&mut self, cx: &mut Context<'_>) {
        while let Some(index) = self.next_to_open() {
            let reads = self.reads(index);
            let Some(block) = self.blocks.get_mut(index) else { return };
            if !matches!(block.phase, Phase::Planned { retry_at } if retry_at <= cx.now.mono_ms) {
                return;
            }
            if reads.request.reads.is_empty() {
                block.phase = Phase::Bare;
                block.accept(cx);
                continue;
            }
            let id = cx.name_snapshot();
            cx.out.push(Output::OpenSnapshot { id, request: reads.request.clone() });
            block.phase = Phase::Opening { id, reads };
        }
    }

    /// What a block has to read, given the blocks before it.
    fn reads(&self, index: usize) -> Reads {
        let earlier = self.blocks.iter().take(index).map(|block| &block.subject);
        let (reads, known) = match self.blocks.get(index).map(|block| &block.subject) {
            Some(Subject::Data { id, .. }) => self.subscriptions.reads_for(id, earlier),
            Some(Subject::Gone { leaving, .. }) => self.subscriptions.reads_without(leaving, earlier),
            Some(Subject::Again { version, .. }) => {
                (self.subscriptions.reads_again(version), Known::default())
            }
            None => return Reads::default(),
        };
        let (requests, reads) = reads.into_iter().unzip();
        Reads { request: Arc::new(ReadRequest { reads, known }), requests }
    }

    /// A block before these is no more, or shapes have become others: what they read may have to be more.
    pub(super) fn plan_again(&mut self, from: usize, cx: &mut Context<'_>) {
        for index in from..self.blocks.len() {
            let now = self.reads(index);
            let Some(block) = self.blocks.get_mut(index) else { return };
            let same = match &block.phase {
                Phase::Planned { .. } => true,
                Phase::Bare => now.request.reads.is_empty(),
                Phase::Opening { reads, .. } | Phase::Open { reads, .. } => reads.request == now.request,
            };
            if !same {
                block.start_over(cx);
            }
        }
    }

    /// The snapshot of a block is open.
    pub(crate) fn opened(&mut self, id: SnapshotId, sees: Snapshot, lsn: Lsn, cx: &mut Context<'_>) {
        let (cursor, newest_xid) = (self.cursor, self.newest_xid);
        let Some(block) = self.blocks.iter_mut().find(|block| block.snapshot() == Some(id)) else {
            return cx.out.push(Output::DropSnapshot { id });
        };
        if !matches!(block.phase, Phase::Opening { .. }) {
            return;
        }
        let misses = newest_xid.0 != 0 && !sees.sees(newest_xid);
        if misses || cx.world.passed_unseen(&sees, cursor) {
            return block.start_over(cx);
        }
        block.open(sees, lsn);
        block.accept(cx);
        cx.out.push(Output::ReadSnapshot { id });
        if lsn > cursor {
            cx.out.push(Output::Reach(lsn));
        }
    }

    /// The client has received what was before this probe.
    pub(crate) fn probed(&mut self, number: u64) {
        for block in &mut self.blocks {
            block.probe.take_if(|(probe, _)| *probe <= number);
        }
    }

    /// The client has got this migration at its position. If tables that it subscribes to were made anew by it, their rows follow,
    /// before anything else, unless it says that it has seen them.
    pub(super) fn follow_up(&mut self, migration: &Migration, observed: &[u64], cx: &Context<'_>) {
        let reference = AGAIN | migration.xid.0;
        if observed.contains(&reference) || self.subscriptions.reads_again(&migration.version).is_empty() {
            return;
        }
        let subject = Subject::Again { version: migration.version.clone(), reference };
        self.blocks.push_front(Block::new(subject, None, cx.now.mono_ms));
    }

    /// Whether a block's place is right before this transaction. A block behind the first whose place would be here has
    /// an older snapshot than the first: it takes another, so that the order is kept.
    ///
    /// The place of a gone batch is never before the position of its snapshot. A row that a transaction deleted which the
    /// snapshot sees is not among its keys, so that the client must have got the deletion before; and the rows written by
    /// transactions that it does not see are added to its keys.
    pub(super) fn stops_before(&mut self, delivery: &Arc<Delivery>, cx: &mut Context<'_>) -> bool {
        let transaction = &delivery.transaction;
        let raced_until = self.raced_until;
        let mut stops = false;
        for (index, block) in self.blocks.iter_mut().enumerate() {
            let Phase::Open { reads, sees, lsn, .. } = &block.phase else { continue };
            let is_gone = matches!(block.subject, Subject::Gone { .. });
            let place = if is_gone { raced_until.max(*lsn) } else { *lsn };
            let is_seen = sees.sees(transaction.xid);
            if is_seen && transaction.lsn <= place {
                continue;
            }
            if is_gone && transaction.lsn <= place && block.raced.len() < MAX_RACED {
                if reads.relations().any(|table| delivery.relations().binary_search(&table).is_ok()) {
                    block.raced.push(delivery.clone());
                }
            } else if is_gone && transaction.lsn <= place {
                block.start_over(cx);
            } else if index == 0 {
                block.at_its_place = true;
                stops = true;
            } else if !stops {
                block.start_over(cx);
            }
        }
        stops
    }

    /// Begins the first block if the stream has come to its place and nothing else is in the way; whether to look again.
    pub(super) fn begin_head(&mut self, cx: &mut Context<'_>) -> Flow<bool> {
        if self.on_wire.is_some() {
            return Ok(false);
        }
        let Some(schema) = self.schema.clone() else { return Ok(false) };
        let cursor = self.cursor;
        let has_room = self.window.has_room();
        let Some(head) = self.blocks.front_mut() else { return Ok(false) };
        if !head.is_due(cursor, self.raced_until)
            || !head.is_ready(cx)
            || !(head.raced.is_empty() || has_room)
        {
            return Ok(false);
        }
        if matches!(head.subject, Subject::Gone { .. }) && !self.is_followed_to_cursor(cx) {
            return Ok(false);
        }
        let Some(head) = self.blocks.front_mut() else { return Ok(false) };
        if let Phase::Open { reads, .. } = &head.phase
            && (reads.tables().any(|table| schema.table(table.id) != Some(table))
                || reads.request.reads.iter().any(|read| !read.plan.is_of(&schema)))
        {
            // Its rows were read under another definition than the one that holds here.
            head.start_over(cx);
            return Ok(true);
        }
        if let Phase::Open { reads, sees, lsn, .. } = &head.phase
            && (matches!(head.subject, Subject::Data { .. })
                || reads.request.reads.iter().any(|read| !read.plan.is_simple()))
        {
            // What refers to what can be told for a moment of the stream only, and nobody is to see an effect without its cause: not if
            // the snapshot sees a transaction without one before it, whose commit reached the log first and shows to queries later.
            head.awaits = (cx.world.position() < *lsn).then_some(*lsn);
            if head.awaits.is_some() {
                return Ok(false);
            }
            if cx.world.is_torn(sees, *lsn) {
                head.start_over(cx);
                return Ok(true);
            }
        }
        let Some(block) = self.blocks.pop_front() else { return Ok(false) };
        self.announce(&schema, cx);
        self.put_on_wire(block, &schema, cx)?;
        Ok(true)
    }

    /// Whether the trackers know who is in their shapes where the stream stands.
    fn is_followed_to_cursor(&mut self, cx: &Context<'_>) -> bool {
        let waits_for = self.subscriptions.all_wait_for(self.cursor, cx.world);
        let is_followed = waits_for.is_none();
        self.stalled_on = waits_for.map(|tracker| (tracker, self.cursor));
        is_followed
    }

    /// Puts a block on the wire. From here on its shapes count, or no longer do.
    fn put_on_wire(&mut self, block: Block, schema: &Schema, cx: &mut Context<'_>) -> Flow {
        let (snapshot, reads) = match block.phase {
            Phase::Open { id, reads, lsn, .. } => {
                self.raced_until = self.raced_until.max(lsn);
                (Some(id), reads)
            }
            Phase::Planned { .. } | Phase::Opening { .. } | Phase::Bare => (None, Reads::default()),
        };
        let (more, afterwards) = match &block.subject {
            Subject::Data { .. } | Subject::Again { .. } => Default::default(),
            Subject::Gone { leaving, .. } => {
                let (trackers, kept) = self.subscriptions.ending(leaving);
                let leaving = Leaving { trackers, kept, at: self.cursor, schema };
                let id = self.name_own_transaction();
                let keys = leaving.keys(&block.raced, &reads).map_err(|_| unencodable())?;
                let returned =
                    leaving.returned(&block.raced, &reads, id, cx.now).map_err(|_| unencodable())?;
                (keys, returned.map(|frames| (id, frames)))
            }
        };
        if matches!(block.subject, Subject::Again { .. }) && snapshot.is_none() {
            // Nothing that is subscribed to is left of it.
            return Ok(());
        }
        let own = self.window.is_free_for(1 + usize::from(afterwards.is_some()));
        let own = own.then(|| self.name_own_transaction());
        let rows = (reads.requests, more);
        let begun = OpenBlock::begin(&block.subject, snapshot, rows, self.cursor, own, cx);
        if !matches!(block.subject, Subject::Again { .. }) {
            self.tell(self.cursor, cx);
        }
        match block.subject {
            Subject::Data { id, .. } => self.subscriptions.activate(&id),
            Subject::Gone { leaving, .. } => {
                self.subscriptions.remove(&leaving);
                self.note_end(leaving, cx);
            }
            Subject::Again { .. } => {}
        }
        cx.out.push(Output::Watch(self.subscriptions.set().interests()));
        self.afterwards = afterwards;
        match snapshot {
            Some(_) => self.on_wire = Some(Box::new(begun)),
            None => self.finish_block(begun, cx),
        }
        Ok(())
    }

    /// Ends a block, and sends what has to follow it directly.
    fn finish_block(&mut self, block: OpenBlock, cx: &mut Context<'_>) {
        if let Some(id) = block.end(cx) {
            self.window.sent(id);
        }
        if let Some((id, frames)) = self.afterwards.take() {
            cx.out.extend(frames.into_iter().map(Output::Send));
            self.window.sent(id);
        }
    }

    /// A frame of the block on the wire.
    pub(crate) fn frame(&mut self, id: SnapshotId, read: usize, frame: Bytes, cx: &mut Context<'_>) {
        match &mut self.on_wire {
            Some(block) if block.snapshot() == Some(id) => block.frame(read, frame, cx),
            _ => self.came_too_early(id, cx),
        }
    }

    /// The block on the wire is complete.
    pub(crate) fn done(&mut self, id: SnapshotId, cx: &mut Context<'_>) {
        if self.wants_snapshot_frames() != Some(id) {
            return self.came_too_early(id, cx);
        }
        if let Some(block) = self.on_wire.take() {
            self.finish_block(*block, cx);
        }
    }

    /// Frames came before their block was begun. They can't be kept, so the snapshot is of no use any more.
    fn came_too_early(&mut self, id: SnapshotId, cx: &mut Context<'_>) {
        if let Some(block) = self.blocks.iter_mut().find(|block| block.snapshot() == Some(id)) {
            block.start_over(cx);
        }
    }

    /// A snapshot can't be had. Before the reply that is said in it; afterwards it is tried again, and in the end the
    /// connection is closed without a message: the client asks again (spec 06 §5.8).
    pub(crate) fn failed(&mut self, id: SnapshotId, why: SnapshotFailure, cx: &mut Context<'_>) -> Flow {
        let given_up = || Ending::quiet(CloseCode::InternalError, "");
        if self.wants_snapshot_frames() == Some(id) {
            return Err(given_up());
        }
        let Some(index) = self.blocks.iter().position(|block| block.snapshot() == Some(id)) else {
            return Ok(());
        };
        match self.blocks.get_mut(index) {
            Some(block) if block.unanswered.is_some() => self.refuse_unread(index, why, cx),
            Some(block) if block.tries >= MAX_TRIES => return Err(given_up()),
            Some(block) => block.start_over(cx),
            None => {}
        }
        Ok(())
    }

    /// Refuses requests that have waited too long for their snapshot.
    pub(super) fn refuse_late(&mut self, cx: &mut Context<'_>) {
        let now = cx.now.mono_ms;
        let is_late =
            |block: &Block| block.unanswered.as_ref().is_some_and(|unanswered| unanswered.until <= now);
        while let Some(index) = self.blocks.iter().position(is_late) {
            self.refuse_unread(index, SnapshotFailure::Unavailable, cx);
        }
    }

    fn refuse_unread(&mut self, index: usize, why: SnapshotFailure, cx: &mut Context<'_>) {
        let Some(block) = self.blocks.remove(index) else { return };
        if let Some(id) = block.snapshot() {
            cx.out.push(Output::DropSnapshot { id });
        }
        if let (Subject::Data { id, .. }, Some(unanswered)) = (block.subject, block.unanswered) {
            self.subscriptions.remove(std::slice::from_ref(&id));
            let refusal = match why {
                SnapshotFailure::Unavailable => {
                    subscription::refusal("Internal error while checking data availability")
                }
                SnapshotFailure::TooLarge { rows } => subscription::refusal(&format!(
                    "The shape has more than {rows} rows, the most that this service lets one have: narrow it with a where-clause"
                )),
            };
            cx.send(wire::not_subscribed(&unanswered.request, id.as_str(), refusal));
        }
        self.plan_again(index, cx);
    }

    /// `unsubscribe`, its reply already sent. One batch will name every id, known or not, delivered or not; what was not
    /// delivered never will be.
    pub(crate) fn unsubscribe(&mut self, names: Vec<SubscriptionId>, cx: &mut Context<'_>) {
        cx.flush();
        let mut leaving = Vec::new();
        let mut dropped = Vec::new();
        for name in &names {
            match self.subscriptions.leave(name) {
                Some(State::Pending) => dropped.push(name.clone()),
                Some(State::Active) => leaving.push(name.clone()),
                Some(State::Leaving) | None => {}
            }
        }
        if !dropped.is_empty() {
            self.drop_pending(&dropped, cx);
            cx.store(vec![ClientUpdate::Forget(dropped)]);
        }
        self.blocks.push_back(Block::new(
            Subject::Gone { names, leaving, unnamed: false },
            None,
            cx.now.mono_ms,
        ));
    }

    fn drop_pending(&mut self, ids: &[SubscriptionId], cx: &mut Context<'_>) {
        self.subscriptions.remove(ids);
        self.blocks.retain(|block| {
            let dropped = matches!(&block.subject, Subject::Data { id, .. } if ids.contains(id));
            if let Some(id) = block.snapshot().filter(|_| dropped) {
                cx.out.push(Output::DropSnapshot { id });
            }
            !dropped
        });
        self.plan_again(0, cx);
    }
}

//! `startReplication` from the client: from scratch, or from where it was (spec 02 §6.3, §11; 06 §11).

use std::{collections::VecDeque, mem, sync::Arc};

use change::{Lsn, UserId};
use protocol::{
    ReplicationError, ReplicationErrorCode as Code, response,
    wire::{SatInStartReplicationReq, SatInStartReplicationResp, SatRpcRequest},
};
use schema::Migration;

use crate::{
    ClientUpdate, CloseCode, Millis, Now, Output, PendingMigrations, StoredClient, StoredSubscription,
    Unavailable, World,
    catch_up::CatchUp,
    context::{Context, Ending, Flow},
    outbound::{Beginning, Outbound, OwedMigrations},
    subscription::Subscription,
};

/// Most transactions of which a client may say that it has seen their additional data.
const MAX_OBSERVED: usize = 100;

/// A request that is being decided.
pub(crate) struct Start {
    envelope: SatRpcRequest,
    body: SatInStartReplicationReq,
    step: Step,
    /// The client stops waiting soon after this.
    answer_by: Millis,
    /// The client has stopped waiting by then.
    close_at: Millis,
}

enum Step {
    /// Nothing has been looked at.
    Asked,
    /// The client's schema is unknown so far.
    Doubting(CatchUp),
    /// What is stored may be read once earlier changes of it are durable.
    Settling(Lsn),
    /// What is stored is being read.
    Loading(Lsn),
    /// The position is newer than ours. Is it Postgres' own?
    BeyondUs(Lsn, StoredClient),
    /// It is; the stream has perhaps not got there yet.
    CatchingUp(Lsn, StoredClient),
    /// What it takes could not be asked for. It is tried again at this time.
    Failed(Lsn, Millis),
    /// It took too long. A late answer would not be taken, and a client whose connection ends before it has stopped waiting would never
    /// connect again, so nothing is said until it has.
    TooLate,
}

/// Between two attempts to read what is stored about a client, in milliseconds.
const RETRY: Millis = 100;

impl Start {
    pub(crate) fn new(envelope: SatRpcRequest, body: SatInStartReplicationReq, cx: &Context<'_>) -> Start {
        let after = |time: Millis| cx.now.mono_ms.saturating_add(time);
        let (answer_by, close_at) = (after(cx.config.start_timeout), after(cx.config.unanswered_start));
        Start { envelope, body, step: Step::Asked, answer_by, close_at }
    }

    /// When to look again.
    pub(crate) fn deadline(&self, now: Now, world: &dyn World) -> Millis {
        match &self.step {
            Step::TooLate => self.close_at,
            Step::Failed(_, again) => self.answer_by.min(*again),
            Step::Doubting(catch_up) => catch_up.deadline(now, world).min(self.answer_by),
            Step::CatchingUp(position, stored) if world.position() >= resumes_at(*position, stored) => {
                now.mono_ms
            }
            _ => self.answer_by,
        }
    }

    /// Decides as much as is known. Returns the stream, the reply already sent, once all is.
    pub(crate) fn go_on(&mut self, user: &UserId, cx: &mut Context<'_>) -> Flow<Option<Box<Outbound>>> {
        if cx.now.mono_ms >= self.close_at {
            // No answer rather than a wrong one: the client connects again.
            return Err(Ending::quiet(CloseCode::InternalError, ""));
        }
        if cx.now.mono_ms >= self.answer_by {
            self.step = Step::TooLate;
            return Ok(None);
        }
        if matches!(self.step, Step::Asked) && self.unknown_version(cx).is_some() {
            // To be refused for that is fatal for the client, so it must be true of the database, not only of the stream.
            self.step = Step::Doubting(CatchUp::begin(self.answer_by, cx));
        }
        if let Step::Doubting(catch_up) = &mut self.step
            && !catch_up.is_over(cx)
        {
            return Ok(None);
        }
        self.step = match mem::replace(&mut self.step, Step::Asked) {
            Step::Asked | Step::Doubting(_) => match self.look(cx)? {
                Some(position) => Step::Settling(position),
                None => return Ok(Some(self.first_start(user, cx))),
            },
            Step::CatchingUp(position, stored) if cx.world.position() >= resumes_at(position, &stored) => {
                return self.resume(position, &stored, user, cx).map(Some);
            }
            Step::Failed(position, again) if cx.now.mono_ms >= again => Step::Settling(position),
            step => step,
        };
        if let Step::Settling(position) = self.step
            && cx.ledger.unstored() == 0
        {
            cx.out.push(Output::LoadClient);
            self.step = Step::Loading(position);
        }
        Ok(None)
    }

    /// The client's schema, if no migration has that version.
    fn unknown_version(&self, cx: &Context<'_>) -> Option<&str> {
        let version = self.body.schema_version.as_deref()?;
        let is_known = cx.world.migrations().iter().any(|migration| migration.version == version);
        (!is_known).then_some(version)
    }

    /// The checks that need no lookup, in the order of spec 02 §6.3. The position to resume at, unless it is a first start.
    fn look(&self, cx: &Context<'_>) -> Flow<Option<Lsn>> {
        if let Some(version) = self.unknown_version(cx) {
            return Err(self.refuse(Code::UnknownSchemaVsn, format!("Unknown schema version: \"{version}\"")));
        }
        if !self.body.lsn.is_empty() {
            let position = Lsn::from_wire(&self.body.lsn).map_err(|_| {
                self.refuse(Code::MalformedLsn, "Could not validate start replication request".to_owned())
            })?;
            return Ok(Some(position));
        }
        if !self.body.subscription_ids.is_empty() {
            let message = "Cannot resume subscriptions for a first-time client";
            return Err(self.refuse(Code::InvalidPosition, message.to_owned()));
        }
        Ok(None)
    }

    /// The answer to [`Output::LoadClient`].
    pub(crate) fn loaded(&mut self, stored: Result<StoredClient, Unavailable>, cx: &mut Context<'_>) {
        let Step::Loading(position) = self.step else { return };
        self.step = match stored {
            Err(Unavailable) => Step::Failed(position, cx.now.mono_ms.saturating_add(RETRY)),
            Ok(stored) if cx.world.position() >= resumes_at(position, &stored) => {
                Step::CatchingUp(position, stored)
            }
            Ok(stored) => {
                // After a crash the client may be ahead of what the stream has handed on so far (spec 02 §7.1).
                cx.ask_wal_end();
                Step::BeyondUs(position, stored)
            }
        };
    }

    /// The answer to [`Output::QueryWalEnd`].
    pub(crate) fn wal_end(&mut self, end: Result<Lsn, Unavailable>, cx: &mut Context<'_>) -> Flow {
        self.step = match mem::replace(&mut self.step, Step::Asked) {
            Step::BeyondUs(position, stored) => {
                let needed = resumes_at(position, &stored);
                match end {
                    Err(Unavailable) => Step::Failed(position, cx.now.mono_ms.saturating_add(RETRY)),
                    Ok(end) if needed > end => return Err(self.out_of_window(cx)),
                    Ok(_) => {
                        cx.out.push(Output::Reach(needed));
                        Step::CatchingUp(position, stored)
                    }
                }
            }
            Step::Doubting(mut catch_up) => {
                catch_up.wal_end(end, cx);
                Step::Doubting(catch_up)
            }
            step => step,
        };
        Ok(())
    }

    /// A client without a position: all migrations that it does not have, then the stream (spec 02 §6.3.1).
    fn first_start(&self, user: &UserId, cx: &mut Context<'_>) -> Box<Outbound> {
        // The position first: a migration that arrives in between is then sent now and left out of its transaction later.
        let position = cx.world.position();
        let known = self.body.schema_version.as_deref();
        let missing: Vec<Arc<Migration>> = cx
            .world
            .migrations()
            .iter()
            .filter(|migration| known.is_none_or(|known| migration.version.as_str() > known))
            .cloned()
            .collect();
        let newest =
            missing.last().map(|migration| migration.version.clone()).or_else(|| known.map(str::to_owned));
        let mut updates = vec![ClientUpdate::Clear];
        // One alone can't be cut off in between.
        let several = (missing.len() > 1).then(|| PendingMigrations {
            last: position,
            versions: missing.iter().map(|migration| migration.version.clone()).collect(),
        });
        let unseen_until = several.as_ref().map(|pending| pending.last);
        updates.extend(several.map(ClientUpdate::MigrationsSent));
        let number = cx.store(updates);
        self.accept(cx);
        let migrations = OwedMigrations::new(missing, position, unseen_until.map(|_| number));
        let beginning = Beginning {
            position,
            told: position,
            dialect: protocol::dialect(&self.body),
            subscriptions: Vec::new(),
            leaving: Vec::new(),
            migrations,
            held_by: None,
            newest_known: newest,
            unseen_until,
            observed: Vec::new(),
        };
        Outbound::begin(beginning, user, cx)
    }

    /// A client that was here before: its subscriptions are checked, those that it no longer names are ended.
    fn resume(
        &self,
        position: Lsn,
        stored: &StoredClient,
        user: &UserId,
        cx: &mut Context<'_>,
    ) -> Flow<Box<Outbound>> {
        let from = resumes_at(position, stored);
        if from < cx.world.history_start() {
            return Err(self.out_of_window(cx));
        }
        let schema = cx.world.schema();
        let mut updates = Vec::new();
        let mut subscriptions = Vec::new();
        // Ended, but the client never saw that: it never happened. That must be durable before the client gets past the
        // old end, which would count as having seen it.
        let mut revived: Vec<&StoredSubscription> = Vec::new();
        for id in &self.body.subscription_ids {
            let known = stored.subscriptions.iter().find(|known| known.id.as_str() == id);
            let known = known.filter(|known| !self.has_passed_end_of(known, position));
            let Some(subscription) = known.and_then(|known| Subscription::restore(known, &schema, user))
            else {
                return Err(self.refuse(Code::SubscriptionNotFound, unknown_subscription(id)));
            };
            if subscriptions.iter().any(|earlier: &Subscription| earlier.id == subscription.id) {
                continue;
            }
            revived.extend(known.filter(|known| known.gone_at.is_some()));
            subscriptions.push(subscription);
        }
        let mut leaving = Vec::new();
        let mut forgotten = Vec::new();
        for known in &stored.subscriptions {
            if subscriptions.iter().any(|subscription| subscription.id == known.id) {
                continue;
            }
            if self.has_passed_end_of(known, position) {
                forgotten.push(known.id.clone());
                continue;
            }
            // Not named, so it is over; until its gone batch stands its changes keep coming.
            leaving.push(known.id.clone());
            revived.extend(Some(known).filter(|known| known.gone_at.is_some()));
            if let Some(subscription) = Subscription::restore(known, &schema, user) {
                subscriptions.push(subscription.leaving());
            }
        }
        if !forgotten.is_empty() {
            updates.push(ClientUpdate::Forget(forgotten));
        }
        let (owed, unseen_until) = match &stored.pending_migrations {
            Some(pending) if position >= pending.last => {
                updates.push(ClientUpdate::MigrationsSeen);
                (VecDeque::new(), None)
            }
            Some(pending) if from > position => (self.rest_of(pending, position, cx)?, Some(pending.last)),
            _ => (VecDeque::new(), None),
        };
        let held_by = (!revived.is_empty()).then(|| {
            let again =
                |known: &&StoredSubscription| StoredSubscription { gone_at: None, ..(*known).clone() };
            cx.store(revived.iter().map(again).map(ClientUpdate::Subscribed).collect())
        });
        let observed = self.observed(stored);
        if observed != stored.observed {
            updates.push(ClientUpdate::Observed(observed.clone()));
        }
        let newest_known = owed.back().map(|(_, migration)| migration.version.clone());
        if !updates.is_empty() {
            cx.store(updates);
        }
        self.accept(cx);
        let beginning = Beginning {
            position: from,
            told: position,
            dialect: protocol::dialect(&self.body),
            subscriptions,
            leaving,
            migrations: OwedMigrations { queue: owed, stored_by: held_by },
            held_by,
            newest_known,
            unseen_until,
            observed,
        };
        Ok(Outbound::begin(beginning, user, cx))
    }

    /// Transactions whose additional data the client has seen. It names those at its position only, and not again later.
    fn observed(&self, stored: &StoredClient) -> Vec<u64> {
        let named = &self.body.observed_transaction_data;
        if named.is_empty() {
            stored.observed.clone()
        } else {
            named.iter().copied().take(MAX_OBSERVED).collect()
        }
    }

    /// Whether the client is known to have seen the end of a subscription (spec 02 §11.3).
    fn has_passed_end_of(&self, known: &StoredSubscription, position: Lsn) -> bool {
        known.gone_at.is_some_and(|gone_at| {
            let observed = || self.body.observed_gone_batch.iter().any(|id| id == known.id.as_str());
            gone_at < position || (gone_at == position && observed())
        })
    }

    /// The migrations of an initial sync that was cut off at `position`.
    fn rest_of(
        &self,
        pending: &PendingMigrations,
        position: Lsn,
        cx: &Context<'_>,
    ) -> Flow<VecDeque<(Lsn, Arc<Migration>)>> {
        let all = cx.world.migrations();
        let positions = positions(pending.last, pending.versions.len());
        let mut rest = VecDeque::new();
        for (at, version) in positions.zip(&pending.versions).filter(|(at, _)| *at > position) {
            let Some(migration) = all.iter().find(|migration| migration.version == *version) else {
                // It can't go on without it, and has no data that could be lost.
                return Err(
                    self.refuse(Code::InvalidPosition, format!("Unknown schema version: \"{version}\""))
                );
            };
            rest.push_back((at, migration.clone()));
        }
        Ok(rest)
    }

    fn accept(&self, cx: &mut Context<'_>) {
        let body = SatInStartReplicationResp {
            err: None,
            unacked_window_size: Some(cx.config.unacked_window.max(1)),
        };
        cx.send(response(&self.envelope, &body));
    }

    fn refuse(&self, code: Code, message: String) -> Box<Ending> {
        let err = Some(ReplicationError::new(code, message));
        Ending::refused(response(
            &self.envelope,
            &SatInStartReplicationResp { err, unacked_window_size: None },
        ))
    }

    /// The client has to begin anew; so does the service.
    fn out_of_window(&self, cx: &mut Context<'_>) -> Box<Ending> {
        cx.store(vec![ClientUpdate::Clear]);
        self.refuse(Code::BehindWindow, "Cannot catch up to the server's current state".to_owned())
    }
}

/// The positions of `count` migrations sent in an initial sync that ends at `last`.
pub(crate) fn positions(last: Lsn, count: usize) -> impl Iterator<Item = Lsn> {
    (0..count as u64).rev().map(move |behind| Lsn(last.0.saturating_sub(behind)))
}

/// Where the stream goes on for a client at `position`: there, unless it was cut off between the migrations of an initial
/// sync; those have no transactions of the stream between them.
fn resumes_at(position: Lsn, stored: &StoredClient) -> Lsn {
    match &stored.pending_migrations {
        Some(pending)
            if position < pending.last
                && positions(pending.last, pending.versions.len()).any(|at| at == position) =>
        {
            pending.last
        }
        _ => position,
    }
}

fn unknown_subscription(id: &str) -> String {
    if id.chars().count() <= 126 {
        return format!("Unknown subscription: {id}");
    }
    format!("Unknown subscription: {}...", id.chars().take(126).collect::<String>())
}

impl OwedMigrations {
    fn new(migrations: Vec<Arc<Migration>>, last: Lsn, stored_by: Option<u64>) -> OwedMigrations {
        OwedMigrations { queue: positions(last, migrations.len()).zip(migrations).collect(), stored_by }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_migration_of_an_initial_sync_stands_at_its_end() {
        assert_eq!(positions(Lsn(10), 3).collect::<Vec<_>>(), [Lsn(8), Lsn(9), Lsn(10)]);
        assert_eq!(positions(Lsn(10), 0).count(), 0);
    }

    #[test]
    fn a_client_cut_off_between_migrations_goes_on_at_their_end() {
        let pending =
            PendingMigrations { last: Lsn(10), versions: ["1", "2", "3"].map(str::to_owned).to_vec() };
        let stored = StoredClient {
            subscriptions: Vec::new(),
            pending_migrations: Some(pending),
            observed: Vec::new(),
        };
        let at = |n| resumes_at(Lsn(n), &stored).0;
        assert_eq!([at(7), at(8), at(9), at(10), at(11)], [7, 10, 10, 10, 11]);
    }

    #[test]
    fn a_long_unknown_id_is_cut() {
        let id = "x".repeat(127);
        assert!(unknown_subscription(&id).ends_with("xxx..."));
    }
}

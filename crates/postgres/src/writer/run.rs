//! Transactions of one client that follow each other, applied without waiting for each (spec 05 §7.7).
//!
//! Each is a transaction of Postgres' own. Those that need no look beforehand are sent one behind the other; each but the first is
//! applied only if the client's position is exactly that of the one before, so none is applied after one that was not. Only the
//! last waits until it is durable, and with it all before it: nothing is said of any of them before that. One that fails goes the
//! long way, and then the run goes on behind it.

use change::ClientTransaction;
use schema::Schema;
use tokio_postgres::Error;

use super::{
    Applied,
    apply::{attempt, undo},
    failpoints::strike,
    failure::Failure,
    job::Job,
    pipeline::{self, Pending},
    quick::{Quick, Ready},
    rejected::Settled,
    session::Session,
};

/// The most transactions that are sent ahead.
const MOST: usize = 256;

/// The most bytes of them, roughly.
const MOST_BYTES: usize = 4 << 20;

/// The most transactions that go the long way before another is tried.
const LONGEST_DETOUR: usize = 32;

/// Applies transactions of one client in their order.
pub struct Run<'a> {
    transactions: &'a [&'a ClientTransaction],
    /// Of the first ones.
    outcomes: Vec<Applied>,
    /// Whether something of the run may be committed that is not durable yet. Stays when an attempt breaks off.
    is_loose: bool,
    /// Whether an entry among those that were rejected may be settled by it.
    pub may_settle: bool,
    /// How many may be sent ahead: few after one that did not go that way.
    width: usize,
    /// How many go the long way without having been tried, and how many will the next time that one has been tried in vain.
    detour: usize,
    next_detour: usize,
}

impl<'a> Run<'a> {
    pub fn new(transactions: &'a [&'a ClientTransaction]) -> Run<'a> {
        Run {
            transactions,
            outcomes: Vec::new(),
            is_loose: false,
            may_settle: false,
            width: MOST,
            detour: 0,
            next_detour: 0,
        }
    }

    /// Begins, or begins anew, at the first transaction. Returns what became of the first ones, all durable; or why there is none.
    pub async fn attempt(&mut self, session: &mut Session, schema: &Schema) -> Result<Vec<Applied>, Failure> {
        self.outcomes.clear();
        let stopped = self.go(session, schema).await;
        if self.is_loose && !self.outcomes.is_empty() {
            strike(session.client(), "writer::flush").await.map_err(Failure::Transient)?;
            session.flush().await.map_err(Failure::Transient)?;
            self.is_loose = false;
        }
        match stopped {
            Err(failure) if self.outcomes.is_empty() => Err(failure),
            _ => Ok(std::mem::take(&mut self.outcomes)),
        }
    }

    fn rest(&self) -> &'a [&'a ClientTransaction] {
        self.transactions.get(self.outcomes.len()..).unwrap_or_default()
    }

    async fn go(&mut self, session: &mut Session, schema: &Schema) -> Result<(), Failure> {
        while !self.rest().is_empty() {
            let is_tried = !self.may_settle && self.detour == 0;
            let stretch = if is_tried { self.stretch(schema) } else { Vec::new() };
            if !stretch.is_empty() && self.send(session, &stretch).await? {
                continue;
            }
            self.detour = self.detour.saturating_sub(1);
            self.long_way(session, schema).await?;
        }
        Ok(())
    }

    /// What is to be sent ahead.
    fn stretch(&self, schema: &Schema) -> Vec<Quick<'a>> {
        let mut stretch: Vec<Quick<'a>> = Vec::new();
        let mut weight = 0;
        for tx in self.rest().iter().take(self.width) {
            let follows = stretch.last().is_none_or(|before| {
                before.tx.lsn.position() < tx.lsn.position() && before.tx.client == tx.client
            });
            let quick = if follows { Quick::new(tx, schema) } else { None };
            let Some(quick) = quick else { break };
            weight += quick.weight;
            if weight > MOST_BYTES && !stretch.is_empty() {
                break;
            }
            stretch.push(quick);
        }
        stretch
    }

    /// Sends a stretch, and takes note of what was applied. False if the next one has to go the long way.
    async fn send(&mut self, session: &mut Session, stretch: &[Quick<'_>]) -> Result<bool, Failure> {
        let last = self.rest().len() - 1;
        let mut ready: Vec<Ready<'_>> = Vec::with_capacity(stretch.len());
        let mut before = None;
        for (n, quick) in stretch.iter().enumerate() {
            match Ready::new(quick, session, (before, n < last)).await {
                Ok(Some(one)) => ready.push(one),
                Ok(None) if n == 0 => return Ok(false),
                Err(error) if n == 0 => return self.give_up(session, error).await,
                Ok(None) | Err(_) => break,
            }
            before = Some(quick.tx);
        }
        let answers = {
            let session = &*session;
            let pending = ready.iter().map(|one| Box::pin(one.send(session)) as Pending<'_, bool>);
            pipeline::each(pending.collect()).await
        };
        let applied = answers.iter().rposition(|answer| matches!(answer, Ok(true))).map_or(0, |n| n + 1);
        if applied > 0 {
            self.is_loose = applied <= last;
            self.next_detour = 0;
        }
        // What stands before one that was applied had been before, if it was not now.
        let outcome = |answer: &Result<bool, Error>| match answer {
            Ok(true) => Applied::Committed,
            Ok(false) | Err(_) => Applied::Duplicate,
        };
        self.outcomes.extend(answers.iter().take(applied).map(outcome));
        match answers.into_iter().nth(applied) {
            None => {
                self.width = (self.width * 2).min(MOST);
                Ok(true)
            }
            Some(Err(error)) => self.give_up(session, error).await,
            Some(Ok(_)) if applied > 0 => Ok(true),
            Some(Ok(_)) => self.skip(session).await,
        }
    }

    /// After the error of one that was sent ahead. Whatever it is, the long way tells, if there is any.
    async fn give_up(&mut self, session: &mut Session, error: Error) -> Result<bool, Failure> {
        session.forget_watched();
        self.width = 1;
        // The one that failed, at first.
        self.detour = self.next_detour + 1;
        self.next_detour = (self.detour * 2 - 1).min(LONGEST_DETOUR);
        match undo(session, error, &[]).await {
            failure @ Failure::Transient(_) => Err(failure),
            Failure::Race(_) | Failure::Permanent(_) => Ok(false),
        }
    }

    /// Passes over what has been applied before. The first one has.
    async fn skip(&mut self, session: &Session) -> Result<bool, Failure> {
        let Some(first) = self.rest().first() else { return Ok(true) };
        let stored = session.position(&first.client).await.map_err(Failure::Transient)?;
        let before = |tx: &&&ClientTransaction| tx.lsn.position() <= stored;
        let count = self.rest().iter().take_while(before).count().max(1);
        self.outcomes.extend(std::iter::repeat_n(Applied::Duplicate, count));
        // Whoever applied it may not have waited until it was durable.
        self.is_loose = true;
        Ok(true)
    }

    async fn long_way(&mut self, session: &mut Session, schema: &Schema) -> Result<(), Failure> {
        let Some(tx) = self.rest().first() else { return Ok(()) };
        let hasty = self.rest().len() > 1;
        let settles = self.may_settle.then_some(Settled::Applied);
        let applied = attempt(session, Job { tx, settles, hasty }, schema).await?;
        self.is_loose = hasty || applied == Applied::Duplicate;
        self.may_settle &= applied != Applied::Committed;
        self.outcomes.push(applied);
        Ok(())
    }
}

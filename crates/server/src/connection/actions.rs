//! What a session wants done elsewhere: asked of the rest of the service by tasks of their own, answered through the mailbox.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use change::{ClientId, ClientTransaction, Lsn, UserId};
use session::{Admission, ClientUpdate, Input, Output, Unavailable, WriteOutcome};

use super::{Hub, Letter, Mailbox, mailbox::Part, snapshots::Snapshots};
use crate::{
    backend::Binding,
    registry::{Hold, TooManyTakeovers},
    watchers::{ConnectionId, Seat},
};

/// Between two tries while Postgres can't be asked.
const RETRY: Duration = Duration::from_millis(250);

/// The doings of one connection.
pub(super) struct Actions {
    hub: Arc<Hub>,
    id: ConnectionId,
    mailbox: Arc<Mailbox>,
    client: Option<ClientId>,
    /// Kept by every task that works for the client, so that a successor waits for them.
    hold: Option<Arc<Hold>>,
    /// Among the watchers, once the client is admitted.
    pub(super) seat: Option<Arc<Seat>>,
    pub(super) snapshots: Snapshots,
    brought: Brought,
    writes: Writes,
    records: Lane<Record>,
}

/// A part of the stream from disk.
#[derive(Default)]
enum Brought {
    /// None is needed.
    #[default]
    Nothing,
    /// One is being loaded.
    OnItsWay,
    /// One is at hand for as long as this is held.
    Here(#[expect(dead_code, reason = "holding it is all that it is for")] Part),
}

/// Jobs that are done one after the other.
struct Lane<T> {
    waiting: VecDeque<T>,
    busy: bool,
}

impl<T> Default for Lane<T> {
    fn default() -> Lane<T> {
        Lane { waiting: VecDeque::new(), busy: false }
    }
}

impl<T> Lane<T> {
    /// The job to be begun now, if none is being done.
    fn next(&mut self) -> Option<T> {
        if self.busy {
            return None;
        }
        let job = self.waiting.pop_front();
        self.busy = job.is_some();
        if job.is_none() {
            self.waiting = VecDeque::new();
        }
        job
    }
}

/// What the client writes, handed on as runs, one after the other.
#[derive(Default)]
struct Writes {
    waiting: VecDeque<Arc<ClientTransaction>>,
    /// Transactions of the run that is being done without an outcome yet.
    unanswered: usize,
}

/// The most transactions of a run.
const LONGEST_RUN: usize = 256;

/// The most operations of a run of more than one transaction.
const MOST_OPERATIONS: usize = 20_000;

impl Writes {
    /// The run to be begun now, if none is being done.
    fn next(&mut self) -> Option<Vec<Arc<ClientTransaction>>> {
        if self.unanswered > 0 {
            return None;
        }
        let mut operations: usize = 0;
        let fits = |transaction: &&Arc<ClientTransaction>| {
            let is_first = operations == 0;
            operations = operations.saturating_add(transaction.ops.len().max(1));
            is_first || operations <= MOST_OPERATIONS
        };
        let length = self.waiting.iter().take(LONGEST_RUN).take_while(fits).count();
        let run: Vec<_> = self.waiting.drain(..length).collect();
        self.unanswered = run.len();
        if run.is_empty() {
            self.waiting = VecDeque::new();
        }
        Some(run).filter(|run| !run.is_empty())
    }

    /// What became of the oldest transaction of the run. After one that was refused nothing is written any more.
    fn answered(&mut self, outcome: &WriteOutcome) {
        match outcome {
            WriteOutcome::Done => self.unanswered = self.unanswered.saturating_sub(1),
            WriteOutcome::Refused { .. } => self.waiting.clear(),
        }
    }
}

/// What is stored about the client is read and changed in order.
enum Record {
    Load,
    Store { number: u64, updates: Vec<ClientUpdate> },
}

impl Actions {
    pub(super) fn new(hub: Arc<Hub>, id: ConnectionId, mailbox: Arc<Mailbox>) -> Actions {
        Actions {
            hub,
            id,
            mailbox,
            client: None,
            hold: None,
            seat: None,
            snapshots: Snapshots::default(),
            brought: Brought::Nothing,
            writes: Writes::default(),
            records: Lane::default(),
        }
    }

    /// Begins what a session asked for; `Send` and its like are not for here.
    pub(super) fn carry_out(&mut self, output: Output) {
        match output {
            Output::Admit { client, user } => {
                self.client = Some(client.clone());
                let admission = admit(self.hub.clone(), self.id, self.mailbox.clone(), client, user);
                self.hub.tasks.spawn(admission);
            }
            Output::LoadClient => self.record(Record::Load),
            Output::Store { number, updates } => self.record(Record::Store { number, updates }),
            Output::Write(transaction) => {
                self.writes.waiting.push_back(Arc::new(transaction));
                self.next_write();
            }
            Output::QueryWalEnd => {
                let answer = self.hub.backend.wal_end();
                let mailbox = self.mailbox.clone();
                self.hub.tasks.spawn(async move { mailbox.post(Input::WalEnd(answer.await)) });
            }
            Output::OpenSnapshot { id, request } => {
                self.snapshots.open(id, request, &self.hub, &self.mailbox);
            }
            Output::ReadSnapshot { id } => self.snapshots.begin(id),
            Output::DropSnapshot { id } => self.snapshots.drop(id),
            Output::Reach(position) => {
                // Asked for first: what is reached in between rings the bell as well.
                self.hub.stream.watchers.at(position, self.id, &self.mailbox);
                if position <= self.hub.stream.position() {
                    self.mailbox.wake();
                } else {
                    self.hub.backend.reach(position);
                }
            }
            Output::WriteRejected { position, reason } => {
                tracing::warn!(connection = self.id.0, client = ?self.client, position, "a client's transaction was rejected: {reason}");
            }
            Output::KeepRejected(transaction) => {
                let (kept, hold) = (self.hub.backend.keep_rejected(transaction), self.hold.clone());
                self.hub.tasks.spawn(async move {
                    kept.await;
                    drop(hold);
                });
            }
            Output::Watch(interests) => {
                if let Some(seat) = &self.seat {
                    self.hub.stream.watchers.watch(seat, &interests);
                }
            }
            Output::Send(_)
            | Output::SendAll(_)
            | Output::Ping
            | Output::Probe(_)
            | Output::Flush
            | Output::Close { .. }
            | Output::Refused { .. } => {}
        }
    }

    /// What a letter says to the session, if anything.
    pub(super) fn open(&mut self, letter: Letter) -> Option<Input> {
        match letter {
            Letter::Admitted { hold, acknowledged } => {
                self.hold = Some(Arc::new(hold));
                if let Some(client) = &self.client {
                    self.seat = Some(self.hub.stream.watchers.add(self.id, client, &self.mailbox));
                }
                Some(Input::Admission(Admission::Admitted { acknowledged }))
            }
            Letter::Opened { id, open, snapshot, lsn } => self.snapshots.opened(id, open, snapshot, lsn),
            Letter::Brought(part) => {
                self.brought = part.map_or(Brought::Nothing, Brought::Here);
                None
            }
            Letter::Input(input) => {
                match input {
                    Input::Written(ref outcome) => {
                        self.writes.answered(outcome);
                        self.next_write();
                    }
                    Input::Stored(_) | Input::Client(_) => {
                        self.records.busy = false;
                        self.next_record();
                    }
                    _ => {}
                }
                Some(input)
            }
        }
    }

    /// Has the part of the stream that follows a position brought from disk. The bell rings when it is there.
    pub(super) fn bring(&mut self, cursor: Lsn) {
        if self.is_bringing() {
            return;
        }
        self.brought = Brought::OnItsWay;
        let (hub, mailbox) = (self.hub.clone(), self.mailbox.clone());
        self.hub.tasks.spawn(async move {
            let part = hub.stream.load(cursor).await;
            mailbox.leave(Letter::Brought(part.ok().map(Part)));
        });
    }

    /// Whether such a part is on its way.
    pub(super) fn is_bringing(&self) -> bool {
        matches!(self.brought, Brought::OnItsWay)
    }

    /// The part that was brought has been read.
    pub(super) fn let_go(&mut self) {
        if !self.is_bringing() {
            self.brought = Brought::Nothing;
        }
    }

    /// Begins nothing new. What is being done for the client goes on to its end.
    pub(super) fn stop(&mut self) {
        self.snapshots = Snapshots::default();
        self.brought = Brought::Nothing;
        self.writes.waiting.clear();
        self.records.waiting.clear();
        if let Some(seat) = self.seat.take() {
            self.hub.stream.watchers.remove(&seat);
        }
        self.hold = None;
    }

    fn record(&mut self, record: Record) {
        self.records.waiting.push_back(record);
        self.next_record();
    }

    fn next_record(&mut self) {
        let Some(client) = self.client.clone() else { return };
        let Some(record) = self.records.next() else { return };
        let (hub, mailbox, hold) = (self.hub.clone(), self.mailbox.clone(), self.hold.clone());
        self.hub.tasks.spawn(async move {
            match record {
                Record::Load => mailbox.post(Input::Client(hub.backend.load(client).await)),
                Record::Store { number, updates } => {
                    let stored = until_done(&mailbox, || hub.backend.store(client.clone(), updates.clone()));
                    if stored.await.is_some() {
                        mailbox.post(Input::Stored(number));
                    }
                }
            }
            drop(hold);
        });
    }

    fn next_write(&mut self) {
        let Some(mut run) = self.writes.next() else { return };
        let (hub, mailbox, hold) = (self.hub.clone(), self.mailbox.clone(), self.hold.clone());
        self.hub.tasks.spawn(async move {
            while !run.is_empty() {
                let outcomes = until_done(&mailbox, || hub.backend.write_run(run.clone())).await;
                let Some(outcomes) = outcomes.filter(|outcomes| !outcomes.is_empty()) else { break };
                run.drain(..outcomes.len().min(run.len()));
                for outcome in outcomes {
                    if matches!(outcome, WriteOutcome::Refused { .. }) {
                        run.clear();
                    }
                    mailbox.post(Input::Written(outcome));
                }
            }
            drop(hold);
        });
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        self.stop();
        self.mailbox.close();
    }
}

/// Tries until Postgres can be asked; gives up when the connection has ended.
async fn until_done<T, F>(mailbox: &Mailbox, mut attempt: impl FnMut() -> F) -> Option<T>
where
    F: Future<Output = Result<T, Unavailable>>,
{
    loop {
        match attempt().await {
            Ok(answer) => return Some(answer),
            Err(Unavailable) if mailbox.is_closed() => return None,
            Err(Unavailable) => tokio::time::sleep(RETRY).await,
        }
    }
}

/// Binds the client id to the user, and takes it over from an older connection (spec 02 §12, 01 §6).
async fn admit(hub: Arc<Hub>, id: ConnectionId, mailbox: Arc<Mailbox>, client: ClientId, user: UserId) {
    let answer = match try_admit(&hub, id, &mailbox, &client, user).await {
        Ok(letter) => return mailbox.leave(letter),
        Err(answer) => answer,
    };
    mailbox.post(Input::Admission(answer));
}

async fn try_admit(
    hub: &Hub,
    id: ConnectionId,
    mailbox: &Arc<Mailbox>,
    client: &ClientId,
    user: UserId,
) -> Result<Letter, Admission> {
    let bind = async || match hub.backend.bind(client.clone(), user.clone()).await {
        Ok(Binding::Own { acknowledged }) => Ok(acknowledged),
        Ok(Binding::OtherUser) => Err(Admission::OtherUser),
        Err(Unavailable) => {
            tracing::debug!(%client, "a client can't be admitted: Postgres can't be asked");
            Err(Admission::NotNow)
        }
    };
    let mut acknowledged = bind().await?;
    let taken = hub.registry.take(client, id, mailbox).await;
    let (hold, replaced) = taken.map_err(|TooManyTakeovers| {
        tracing::info!(%client, "connections of this client take over from each other too often: sent away for a moment");
        Admission::NotNow
    })?;
    if replaced {
        // Only now has everything that the predecessor had in hand been applied.
        acknowledged = bind().await?;
    }
    Ok(Letter::Admitted { hold, acknowledged })
}

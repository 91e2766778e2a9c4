//! Rounds of the drift detector: at the start, when the stream shows a table that is not as it should be, and from time to
//! time; and whether it is needed much, that is, the guard's tier (spec 04 §11).

use std::{collections::HashMap, convert::Infallible, sync::Arc, time::Duration};

use postgres::{
    connection::{ConnectConfig, Purpose, connect},
    drift::{self, Action, GuardTier, Round, Seen, Settled},
    replication::Control,
};
use tokio_postgres::Client;

use crate::{connector_error::Failure, http::App};

/// How long the changing transaction, and others that follow it, are left alone after a suspicion.
const SETTLE: Duration = Duration::from_millis(200);

/// After how many rounds it is said that something can't be settled. Usually somebody holds a lock for a moment.
const PERSISTS: u32 = 5;

/// Looks for drift while the stream is followed.
pub struct Detector {
    /// Who is told of the tier.
    pub app: Arc<App>,
    /// Which database.
    pub config: ConnectConfig,
    /// Between two rounds when nothing looks suspicious.
    pub interval: Duration,
    /// Where suspicions come from.
    pub control: Control,
}

impl Detector {
    /// Goes on until it is dropped. A lost connection is made anew in the next round.
    pub async fn run(self) -> Infallible {
        let mut client = None;
        let mut seen = Seen::default();
        let mut postponed = HashMap::new();
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.interval) => {}
                () = self.control.suspicion() => tokio::time::sleep(SETTLE).await,
            }
            match self.round(&mut client, &mut seen).await {
                Ok(round) => report(&round, &mut postponed),
                Err(error) => {
                    tracing::debug!(%error, "tables could not be compared with what is recorded of them");
                    client = None;
                }
            }
        }
    }

    async fn round(&self, client: &mut Option<Client>, seen: &mut Seen) -> Result<Round, Failure> {
        let client = match client {
            Some(client) if !client.is_closed() => client,
            _ => client.insert(connect(&self.config, Purpose::Service).await?),
        };
        let round = drift::look(client, seen).await?;
        note_tier(&self.app, GuardTier::read(client).await?);
        Ok(round)
    }
}

/// The round of a start, which comes before the history is read.
///
/// # Errors
/// When Postgres can't be asked.
pub async fn at_start(app: &App, client: &Client) -> Result<(), tokio_postgres::Error> {
    report(&drift::settle(client).await?, &mut HashMap::new());
    note_tier(app, GuardTier::read(client).await?);
    Ok(())
}

/// Tells those who have to know how changes of synced tables are noticed, and says so in the log when it is another way.
fn note_tier(app: &App, tier: GuardTier) {
    if let Some(proxy) = &app.proxy {
        proxy.guarding().set(tier == GuardTier::Watching);
    }
    if app.guard.swap(Some(Arc::new(tier))).is_none_or(|before| *before != tier) {
        tracing::info!("schema guard: tier {}. {}", tier.number(), tier.meaning());
    }
}

/// Says what was done, and what can't be done although it was tried a number of times.
fn report(round: &Round, postponed: &mut HashMap<String, u32>) {
    for Settled { table, action } in &round.settled {
        match action {
            Action::Absorbed => tracing::info!(
                table,
                "a change that was made past the migrations proxy is passed on to clients as a migration of its own"
            ),
            Action::Suspended { reason } => tracing::error!(
                table,
                reason,
                "the table was changed in a way that clients can't follow: they get nothing more of it, and what they write to it is \
                 refused. Undo the change, and it comes back; or accept it with CALL electric.electrify('{}'), and clients load the \
                 table anew; or give the table up with CALL electric.disable('{}')",
                table.replace('\'', "''"),
                table.replace('\'', "''"),
            ),
            Action::Resumed => tracing::warn!(
                table,
                "the table is as it was again: clients may have it again, and load it anew"
            ),
            Action::Removed => {
                tracing::warn!(table, "the synced table was dropped: clients get nothing more of it");
            }
        }
    }
    postponed.retain(|why, _| round.postponed.contains(why));
    for why in &round.postponed {
        let rounds = postponed.entry(why.clone()).or_insert(0);
        *rounds += 1;
        if *rounds == PERSISTS {
            tracing::warn!("a changed table can't be dealt with, and is tried again and again: {why}");
        } else {
            tracing::debug!("a changed table is left for the next round: {why}");
        }
    }
}

//! The drift detector: finds changes of synced tables that were made behind the guard's back, and settles them (spec 04 §11).
//!
//! What clients can follow becomes a migration of its own. A table that they can't follow is suspended, and comes back when the
//! difference is undone. Where the catalogue says nothing new, a round costs next to nothing.

use tokio_postgres::{Client, error::SqlState, types::Oid};

use crate::connection::chain;

/// How changes of synced tables are noticed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GuardTier {
    /// By event triggers, in the changing transaction, whatever way it came.
    EventTriggers,
    /// By the proxy, and by this detector.
    Watching,
}

impl GuardTier {
    /// The tier of a database with schema `electric`.
    ///
    /// # Errors
    /// When Postgres can't be asked.
    pub async fn read(client: &Client) -> Result<GuardTier, tokio_postgres::Error> {
        let tier: i32 = client.query_one("SELECT electric.guard_tier()", &[]).await?.try_get(0)?;
        Ok(if tier == 1 { GuardTier::EventTriggers } else { GuardTier::Watching })
    }

    /// The number by which it goes: 1 or 2.
    #[must_use]
    pub fn number(self) -> u8 {
        match self {
            GuardTier::EventTriggers => 1,
            GuardTier::Watching => 2,
        }
    }

    /// What it means, in a sentence.
    #[must_use]
    pub fn meaning(self) -> &'static str {
        match self {
            GuardTier::EventTriggers => {
                "Event triggers capture or refuse every change of a synced table inside its transaction, whatever tool makes it."
            }
            GuardTier::Watching => {
                "The role may not make event triggers, which needs a superuser: changes of synced tables are captured or refused when they \
                 come through the migrations proxy, and those made elsewhere are found after the fact, by looking."
            }
        }
    }
}

/// What became of a table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Clients get the change as a migration.
    Absorbed,
    /// Clients get nothing more of it.
    Suspended {
        /// What was done to it.
        reason: String,
    },
    /// The difference was undone: clients may load it anew.
    Resumed,
    /// It was dropped.
    Removed,
}

/// A table that was settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settled {
    /// Its name with its schema, as SQL writes it.
    pub table: String,
    /// What became of it.
    pub action: Action,
}

/// What a round did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// In the order in which it was done, each in a transaction of its own.
    pub settled: Vec<Settled>,
    /// Why tables were left for the next round: Postgres' own words. Somebody works on them as a rule.
    pub postponed: Vec<String>,
}

/// Looks at all synced tables and settles what there is. Several services may do it at once: each thing is done once.
///
/// # Errors
/// When Postgres can't be asked. What was settled until then stays so.
pub async fn settle(client: &Client) -> Result<Round, tokio_postgres::Error> {
    let mut round = Round::default();
    for row in client.query("SELECT relation FROM electric.drift()", &[]).await? {
        let relation: Oid = row.try_get(0)?;
        match settle_one(client, relation).await {
            Ok(settled) => round.settled.extend(settled),
            Err(error) if may_pass(&error) => round.postponed.push(chain(&error)),
            Err(error) => return Err(error),
        }
    }
    Ok(round)
}

/// The state of the catalogue in which there was nothing to settle.
#[derive(Clone, Debug, Default)]
pub struct Seen(Option<String>);

/// Puts triggers on bookkeeping tables of migration frameworks that have appeared, and looks for drift if there is anything that
/// has not been seen.
///
/// # Errors
/// When Postgres can't be asked.
pub async fn look(client: &Client, seen: &mut Seen) -> Result<Round, tokio_postgres::Error> {
    client.batch_execute("CALL electric.watch_frameworks()").await?;
    let mark: String = client.query_one("SELECT electric.catalogue_mark()", &[]).await?.try_get(0)?;
    if seen.0.as_ref() == Some(&mark) {
        return Ok(Round::default());
    }
    let round = settle(client).await?;
    seen.0 = (round == Round::default()).then_some(mark);
    Ok(round)
}

async fn settle_one(client: &Client, relation: Oid) -> Result<Option<Settled>, tokio_postgres::Error> {
    let row = client
        .query_one("SELECT action, table_name, reason FROM electric.settle_drift($1)", &[&relation])
        .await?;
    let Some(action) = row.try_get::<_, Option<String>>(0)? else { return Ok(None) };
    let table = row.try_get::<_, Option<String>>(1)?.unwrap_or_default();
    let action = match action.as_str() {
        "absorbed" => Action::Absorbed,
        "resumed" => Action::Resumed,
        "removed" => Action::Removed,
        _ => Action::Suspended { reason: row.try_get::<_, Option<String>>(2)?.unwrap_or_default() },
    };
    Ok(Some(Settled { table, action }))
}

/// Whether another attempt may succeed: it says something of this one table at this moment, not of the connection.
fn may_pass(error: &tokio_postgres::Error) -> bool {
    let Some(refusal) = error.as_db_error() else { return false };
    let shuts_down = [SqlState::ADMIN_SHUTDOWN, SqlState::CRASH_SHUTDOWN, SqlState::CANNOT_CONNECT_NOW];
    !shuts_down.contains(refusal.code())
}

//! Schema `electric`: what the service needs inside the database. Its tables change by numbered migrations, its routines
//! are made anew at every start, and the triggers of synced tables with them.
//!
//! All of it happens in one transaction under a lock, so that services that start together and services that are killed
//! leave nothing half done. [`preflight`] runs first and touches nothing.

mod preflight;
mod scripts;
mod subscription;

use tokio_postgres::{Client, Transaction, error::SqlState};

pub use preflight::{PreflightFault, preflight};
pub use subscription::{LeftOverSubscription, drop_legacy_subscription};

use crate::connection::chain;
use scripts::{MIGRATIONS, ROUTINES};

/// The first version that is ours; legacy servers recorded smaller ones (spec 04 §6).
const FIRST_OWN_VERSION: i64 = 20_260_101_000_000;

/// What an installation found and did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Installed {
    /// Versions of the migrations that ran now; none on an ordinary start.
    pub applied: Vec<i64>,
    /// Whether a legacy server's objects were taken over now.
    pub took_over_legacy: bool,
    /// Made once for this database, and the same for good.
    pub cluster_id: String,
}

/// Schema `electric` could not be installed. Nothing has changed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// A newer release of the service has been here.
    #[error(
        "schema electric is at version {found}, which is newer than this release knows ({known}). Run the newer release"
    )]
    Newer {
        /// What the database has.
        found: i64,
        /// The newest that this release has.
        known: i64,
    },
    /// The role lacks a right.
    #[error(
        "the role may not install schema electric: {message}. It needs CREATE on the database and has to own schema electric, \
         the publication electric_publication and the tables that are synced"
    )]
    NotPermitted {
        /// Postgres' own words.
        message: String,
    },
    /// A script failed.
    #[error("the script {script} failed: {message} (SQLSTATE {code})")]
    Script {
        /// Which.
        script: &'static str,
        /// The SQLSTATE.
        code: String,
        /// Postgres' own words, which speak of objects, never of rows.
        message: String,
    },
    /// The connection broke, or Postgres refused something else.
    #[error("schema electric can't be installed: {}", chain(.0))]
    Postgres(#[from] tokio_postgres::Error),
}

impl InstallError {
    fn of(script: &'static str, error: tokio_postgres::Error) -> InstallError {
        match error.as_db_error() {
            Some(refusal) if *refusal.code() == SqlState::INSUFFICIENT_PRIVILEGE => {
                InstallError::NotPermitted { message: refusal.message().to_owned() }
            }
            Some(refusal) => InstallError::Script {
                script,
                code: refusal.code().code().to_owned(),
                message: refusal.message().to_owned(),
            },
            None => InstallError::Postgres(error),
        }
    }
}

/// Brings schema `electric` to this release's version and puts back what is missing, such as a dropped publication.
///
/// # Errors
/// [`InstallError`]; the database is as it was.
pub async fn install(client: &mut Client) -> Result<Installed, InstallError> {
    let transaction = client.transaction().await?;
    run(&transaction, "begin", scripts::BEGIN).await?;

    let recorded: Vec<i64> = transaction
        .query("SELECT version::bigint FROM electric.schema_migrations ORDER BY 1", &[])
        .await?
        .iter()
        .map(|row| row.try_get(0))
        .collect::<Result<_, _>>()?;
    let known = MIGRATIONS.last().map_or(0, |(version, ..)| *version);
    if let Some(found) = recorded.last().copied().filter(|found| *found > known) {
        return Err(InstallError::Newer { found, known });
    }

    let mut applied = Vec::new();
    for (version, name, script) in MIGRATIONS {
        if recorded.contains(version) {
            continue;
        }
        run(&transaction, name, script).await?;
        transaction
            .execute("INSERT INTO electric.schema_migrations (version) VALUES ($1::bigint)", &[version])
            .await
            .map_err(|error| InstallError::of(name, error))?;
        tracing::info!(version, name, "ran an extension migration");
        applied.push(*version);
    }
    for (name, script) in ROUTINES {
        run(&transaction, name, script).await?;
    }
    run(&transaction, "refresh", "CALL electric.refresh()").await?;

    let cluster_id = transaction
        .query_one(
            "SELECT coalesce(content #>> '{}', '') FROM electric.transaction_marker WHERE id = 'cluster_id'",
            &[],
        )
        .await?
        .try_get(0)?;
    transaction.commit().await.map_err(|error| InstallError::of("commit", error))?;

    let took_over_legacy =
        !applied.is_empty() && recorded.last().is_some_and(|newest| *newest < FIRST_OWN_VERSION);
    Ok(Installed { applied, took_over_legacy, cluster_id })
}

async fn run(transaction: &Transaction<'_>, name: &'static str, script: &str) -> Result<(), InstallError> {
    transaction.batch_execute(script).await.map_err(|error| InstallError::of(name, error))
}

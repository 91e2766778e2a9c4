//! What has to be true before anything is made in the database, checked all at once (spec 07 §8).

use tokio_postgres::Client;

use crate::connection::chain;

/// The oldest server that will do, as `server_version_num`.
const OLDEST_SERVER: i32 = 140_000;

/// Something that keeps the service from working with this database. Its text says what to do about it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PreflightFault {
    /// Too old.
    #[error("Postgres {version} is too old: 14 or newer is needed. Upgrade the server.")]
    ServerVersion {
        /// As the server prints it.
        version: String,
    },
    /// Logical decoding is off.
    #[error(
        "Your Postgres database is not configured with wal_level=logical (it is {found}). Set wal_level = logical and restart Postgres; \
         managed services have a switch for logical replication."
    )]
    WalLevel {
        /// The setting as it is.
        found: String,
    },
    /// No replication slot can be made.
    #[error(
        "All {limit} replication slots of the server are in use. Raise max_replication_slots and restart Postgres, or drop slots \
         that nobody needs (SELECT * FROM pg_replication_slots WHERE NOT active)."
    )]
    NoFreeSlot {
        /// The setting as it is.
        limit: i64,
    },
    /// No replication connection can be made.
    #[error("All {limit} WAL senders of the server are in use. Raise max_wal_senders and restart Postgres.")]
    NoFreeSender {
        /// The setting as it is.
        limit: i64,
    },
    /// The role may not replicate.
    #[error("The role {role} lacks the REPLICATION attribute: ALTER ROLE {role} WITH REPLICATION;")]
    NotReplication {
        /// The role, as SQL writes it.
        role: String,
    },
    /// The role may not make schemas and publications.
    #[error("The role {role} lacks CREATE on the database: GRANT CREATE ON DATABASE {database} TO {role};")]
    NoCreate {
        /// The role, as SQL writes it.
        role: String,
        /// The database, as SQL writes it.
        database: String,
    },
    /// Somebody else installed schema `electric`.
    #[error("Schema electric belongs to the role {owner}. Connect as that role, or GRANT {owner} TO {role};")]
    ForeignSchema {
        /// The schema's owner, as SQL writes it.
        owner: String,
        /// The role, as SQL writes it.
        role: String,
    },
    /// The server only reads.
    #[error("The server is a standby or read-only, and can't be written to. Connect to the primary.")]
    ReadOnly,
    /// A pooler hands each transaction to another session.
    #[error(
        "The connection goes through a pooler that shares sessions between transactions. Use the direct connection string of \
         the database."
    )]
    Pooler,
    /// The questions themselves failed.
    #[error("Failed to initialize Postgres state: {reason}")]
    Unanswered {
        /// Why.
        reason: String,
    },
}

impl PreflightFault {
    /// Whether only a change of the configuration helps, so that the service ends with status 1 instead of trying again
    /// (spec 07 §5.2).
    #[must_use]
    pub fn is_fatal(&self) -> bool {
        matches!(
            self,
            PreflightFault::ServerVersion { .. } | PreflightFault::WalLevel { .. } | PreflightFault::Pooler
        )
    }
}

const FACTS: &str = "
    SELECT current_setting('server_version_num')::integer AS version_number,
        current_setting('server_version') AS version,
        current_setting('wal_level') AS wal_level,
        current_setting('transaction_read_only')::boolean AS read_only,
        current_setting('max_replication_slots')::bigint AS slot_limit,
        (SELECT count(*) FROM pg_catalog.pg_replication_slots) AS slots,
        EXISTS (
            SELECT FROM pg_catalog.pg_replication_slots s
            WHERE s.database = current_database() AND s.slot_name LIKE 'electric\\_replication\\_out\\_%'
        ) AS own_slot,
        current_setting('max_wal_senders')::bigint AS sender_limit,
        (SELECT count(*) FROM pg_catalog.pg_stat_replication) AS senders,
        (SELECT r.rolreplication OR r.rolsuper FROM pg_catalog.pg_roles r WHERE r.rolname = current_user) AS may_replicate,
        has_database_privilege(current_database(), 'CREATE') AS may_create,
        quote_ident(current_user) AS role,
        quote_ident(current_database()) AS database,
        (SELECT quote_ident(pg_get_userbyid(n.nspowner)) FROM pg_catalog.pg_namespace n
            WHERE n.nspname = 'electric' AND NOT pg_has_role(n.nspowner, 'USAGE')) AS foreign_owner,
        pg_backend_pid() AS process";

/// Checks the server, the role and the way to them. Makes nothing and changes nothing.
///
/// # Errors
/// All faults together.
pub async fn preflight(client: &Client) -> Result<(), Vec<PreflightFault>> {
    let faults = facts(client)
        .await
        .unwrap_or_else(|error| vec![PreflightFault::Unanswered { reason: chain(&error) }]);
    if faults.is_empty() { Ok(()) } else { Err(faults) }
}

async fn facts(client: &Client) -> Result<Vec<PreflightFault>, tokio_postgres::Error> {
    let facts = client.query_one(FACTS, &[]).await?;
    let mut faults = Vec::new();

    if facts.try_get::<_, i32>("version_number")? < OLDEST_SERVER {
        faults.push(PreflightFault::ServerVersion { version: facts.try_get("version")? });
    }
    let wal_level: String = facts.try_get("wal_level")?;
    if wal_level != "logical" {
        faults.push(PreflightFault::WalLevel { found: wal_level });
    }
    let limit: i64 = facts.try_get("slot_limit")?;
    if !facts.try_get::<_, bool>("own_slot")? && facts.try_get::<_, i64>("slots")? >= limit {
        faults.push(PreflightFault::NoFreeSlot { limit });
    }
    let limit: i64 = facts.try_get("sender_limit")?;
    if facts.try_get::<_, i64>("senders")? >= limit {
        faults.push(PreflightFault::NoFreeSender { limit });
    }
    let role: String = facts.try_get("role")?;
    if !facts.try_get::<_, bool>("may_replicate")? {
        faults.push(PreflightFault::NotReplication { role: role.clone() });
    }
    if !facts.try_get::<_, bool>("may_create")? {
        faults.push(PreflightFault::NoCreate { role: role.clone(), database: facts.try_get("database")? });
    }
    if let Some(owner) = facts.try_get::<_, Option<String>>("foreign_owner")? {
        faults.push(PreflightFault::ForeignSchema { owner, role });
    }
    if facts.try_get("read_only")? {
        faults.push(PreflightFault::ReadOnly);
    }
    if is_pooled(client, facts.try_get("process")?).await? {
        faults.push(PreflightFault::Pooler);
    }
    Ok(faults)
}

/// Whether a later transaction of the same connection runs in another server process. A pooler that happens to have
/// nothing else to do goes unnoticed here; the replication connection finds it out.
async fn is_pooled(client: &Client, process: i32) -> Result<bool, tokio_postgres::Error> {
    let again: i32 = client.query_one("SELECT pg_backend_pid()", &[]).await?.try_get(0)?;
    Ok(again != process)
}

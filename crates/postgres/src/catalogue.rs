//! The history of the schema as the database keeps it: every migration, and the tables after each. Read at the start;
//! from there on the stream tells what changes.

use std::{collections::BTreeSet, sync::Arc};

use change::{Lsn, RelationId, Xid};
use schema::{Migration, Schema};
use tokio_postgres::{Client, Row};

use crate::{
    assemble::{self, RecordedSnapshot, migrate},
    connection::chain,
};

/// All migrations, oldest first.
#[derive(Clone, Debug, Default)]
pub struct Catalogue {
    /// One for each migrating transaction, in commit order; versions grow bytewise.
    pub steps: Vec<Step>,
    /// The synced tables as they are now: the last step's, but for those that were dropped behind the service's back.
    pub schema: Schema,
    /// Tables of the last step that are no longer there, by name.
    pub dropped: Vec<String>,
    /// Identifies this database for good.
    pub cluster_id: String,
}

/// One migration and what came of it.
#[derive(Clone, Debug)]
pub struct Step {
    /// What clients get.
    pub migration: Arc<Migration>,
    /// The tables after it.
    pub schema: Schema,
    /// A position before the commit of its transaction; zero where a legacy server recorded it.
    pub position: Lsn,
}

/// The history can't be read.
#[derive(Debug, thiserror::Error)]
pub enum CatalogueError {
    /// Postgres refused, or the connection broke.
    #[error("the schema's history can't be read: {}", chain(.0))]
    Postgres(#[from] tokio_postgres::Error),
    /// A recorded value is not of its form.
    #[error("migration {version} has a malformed {what} in electric.ddl_commands")]
    Malformed {
        /// The migration.
        version: String,
        /// Which value.
        what: &'static str,
    },
}

/// Rows of one transaction may lie apart: those adopted from a legacy server were written later.
const HISTORY: &str = "
    SELECT d.version, d.txid::text, floor(extract(epoch FROM d.recorded_at) * 1000)::bigint, d.position::text, d.snapshot::text
    FROM electric.ddl_commands d
    WHERE d.version IS NOT NULL
    ORDER BY min(d.id) OVER (PARTITION BY d.txid, d.version), d.txid, d.id";

/// Synced, or to be synced again as soon as what was done to them is undone.
const LIVE_TABLES: &str = "
    SELECT e.oid::bigint FROM electric.electrified e JOIN pg_catalog.pg_class c ON c.oid = e.oid
    UNION ALL SELECT s.relation::bigint FROM electric.suspended_tables() s";

const CLUSTER_ID: &str =
    "SELECT coalesce(content #>> '{}', '') FROM electric.transaction_marker WHERE id = 'cluster_id'";

/// Reads the whole history. A table whose definition can't be used is held back, by the rule of the stream, which makes
/// the same of the same rows.
///
/// # Errors
/// [`CatalogueError`] if the rows can't be read.
pub async fn load(client: &Client) -> Result<Catalogue, CatalogueError> {
    let rows = client.query(HISTORY, &[]).await?;
    let mut recorded = rows.iter().map(Recorded::read).collect::<Result<Vec<_>, _>>()?.into_iter().peekable();

    let mut catalogue = Catalogue::default();
    while let Some(Recorded { version, xid, position, snapshot }) = recorded.next() {
        let mut snapshots: Vec<RecordedSnapshot> = snapshot.into_iter().collect();
        while let Some(more) = recorded.next_if(|next| next.xid == xid && next.version == version) {
            snapshots.extend(more.snapshot);
        }
        let assemble::Step { migration, schema } = migrate(&catalogue.schema, &version, xid, &snapshots);
        catalogue.schema = Schema::clone(&schema);
        catalogue.steps.push(Step { migration, schema: Schema::clone(&schema), position });
    }

    let mut live = BTreeSet::new();
    for row in client.query(LIVE_TABLES, &[]).await? {
        live.extend(u32::try_from(row.try_get::<_, i64>(0)?).ok().map(RelationId));
    }
    let gone: Vec<RelationId> =
        catalogue.schema.tables().map(|table| table.id).filter(|id| !live.contains(id)).collect();
    for id in gone {
        catalogue.dropped.extend(catalogue.schema.remove(id).map(|table| table.name.clone()));
    }
    catalogue.cluster_id = client.query_one(CLUSTER_ID, &[]).await?.try_get(0)?;
    Ok(catalogue)
}

impl Catalogue {
    /// The migrations, oldest first.
    pub fn migrations(&self) -> impl ExactSizeIterator<Item = &Arc<Migration>> {
        self.steps.iter().map(|step| &step.migration)
    }
}

/// A row of `electric.ddl_commands`.
struct Recorded {
    version: String,
    xid: Xid,
    position: Lsn,
    snapshot: Option<RecordedSnapshot>,
}

impl Recorded {
    fn read(row: &Row) -> Result<Recorded, CatalogueError> {
        let version: String = row.try_get(0)?;
        let malformed = |what| CatalogueError::Malformed { version: version.clone(), what };
        let xid = row.try_get::<_, &str>(1)?.parse().map_err(|_| malformed("txid"))?;
        let recorded_ms = u64::try_from(row.try_get::<_, i64>(2)?).map_err(|_| malformed("recorded_at"))?;
        let position = row.try_get::<_, &str>(3)?.parse().map_err(|_| malformed("position"))?;
        let json = row.try_get::<_, Option<String>>(4)?;
        let snapshot = json.map(|json| RecordedSnapshot { recorded_ms, json: json.into_bytes() });
        Ok(Recorded { version, xid: Xid(xid), position, snapshot })
    }
}

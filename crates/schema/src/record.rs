//! The rows of `electric.ddl_commands`: what a transaction did to a synced table.

use change::RelationId;
use serde::Deserialize;

use crate::{Snapshot, SnapshotError, parse};

/// What one row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// A table as it is after the transaction.
    Snapshot(Box<Snapshot>),
    /// A table was taken out of the sync, or dropped.
    Removed(RelationId),
    /// A table was changed in a way that clients can't follow: they get nothing of it until a later snapshot.
    Suspended {
        /// The table.
        relation: RelationId,
        /// What happened to it.
        reason: String,
    },
}

/// Reads a row. A snapshot that can't be used suspends its table.
///
/// # Errors
/// [`SnapshotError`] if it is not even known which table it is about.
pub fn parse_record(json: &[u8]) -> Result<Record, SnapshotError> {
    match serde_json::from_slice(json)? {
        Raw { removed: Some(named), .. } => Ok(Record::Removed(RelationId(named.oid))),
        Raw { suspended: Some(RawSuspended { oid, reason }), .. } => {
            Ok(Record::Suspended { relation: RelationId(oid), reason })
        }
        Raw { table, .. } => match (parse(json), table) {
            (Ok(snapshot), _) => Ok(Record::Snapshot(Box::new(snapshot))),
            (Err(error), Some(named)) => {
                Ok(Record::Suspended { relation: RelationId(named.oid), reason: error.to_string() })
            }
            (Err(error), None) => Err(error),
        },
    }
}

#[derive(Deserialize)]
struct Raw {
    removed: Option<RawNamed>,
    suspended: Option<RawSuspended>,
    table: Option<RawNamed>,
}

#[derive(Deserialize)]
struct RawNamed {
    oid: u32,
}

#[derive(Deserialize)]
struct RawSuspended {
    oid: u32,
    #[serde(default)]
    reason: String,
}

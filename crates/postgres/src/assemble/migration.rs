//! Migrations in the stream: the rows that a migrating transaction writes into `electric.ddl_commands`.

use std::sync::Arc;

use change::Xid;
use schema::{Schema, evolve};

use super::{AssembleError, Step, relation::DdlColumns};
use crate::{
    pgoutput::{Datum, Message, Tuple},
    tag_text::timestamp_ms,
};

/// One row of `electric.ddl_commands`: what a table was like after a transaction, or that it was taken out of the sync or suspended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedSnapshot {
    /// When it was recorded: milliseconds since the Unix epoch.
    pub recorded_ms: u64,
    /// What [`schema::parse_record`] reads.
    pub json: Vec<u8>,
}

/// The step that the rows of one transaction, in the order of their ids, are. The same rows always make the same step, so that the
/// stream and what is loaded at the start agree.
///
/// A table that was changed in a way that clients can't follow is held back from then on, and said so in the log; the
/// others go on.
#[must_use]
pub fn migrate(before: &Schema, version: &str, xid: Xid, recorded: &[RecordedSnapshot]) -> Step {
    let mut records = Vec::with_capacity(recorded.len());
    for row in recorded {
        match schema::parse_record(&row.json) {
            Ok(record) => records.push(record),
            Err(error) => {
                tracing::error!(version, %error, "a change of a table can't be passed on to clients");
            }
        }
    }
    let recorded_ms = recorded.first().map_or(0, |row| row.recorded_ms);
    let evolution = evolve(version, xid, recorded_ms, &records, before);
    for held in &evolution.held {
        tracing::error!(
            version,
            table = held.table,
            "clients get nothing of the table from now on: {}",
            held.reason
        );
    }
    Step { migration: Arc::new(evolution.migration), schema: Arc::new(evolution.schema) }
}

/// The rows of one transaction. The version may be set by an update after the insert.
#[derive(Default)]
pub(super) struct DdlRows {
    rows: Vec<DdlRow>,
}

struct DdlRow {
    id: Vec<u8>,
    xid: Option<Xid>,
    version: Option<String>,
    snapshot: Option<Vec<u8>>,
    recorded_ms: u64,
}

impl DdlRows {
    /// Takes an insert or update. Updates of rows of earlier transactions don't matter.
    pub(super) fn add(&mut self, columns: &DdlColumns, bytes: &[u8]) -> Result<(), AssembleError> {
        let (new, is_insert) = match Message::parse(bytes)? {
            Message::Insert { new, .. } => (new, true),
            Message::Update { new, .. } => (new, false),
            _ => return Ok(()),
        };
        let datum = |column: usize| Tuple::iter(&new).nth(column).unwrap_or(Datum::Null);
        let Datum::Text(id) = datum(columns.id) else {
            return Err(malformed("a row has no id"));
        };
        if is_insert {
            self.rows.push(DdlRow {
                id: id.to_vec(),
                xid: None,
                version: None,
                snapshot: None,
                recorded_ms: 0,
            });
        }
        let Some(row) = self.rows.iter_mut().find(|row| row.id == id) else { return Ok(()) };
        match datum(columns.version) {
            Datum::Text(version) => {
                let version =
                    std::str::from_utf8(version).map_err(|_| malformed("a version is not UTF-8"))?;
                row.version = Some(version.to_owned());
            }
            Datum::Null => row.version = None,
            Datum::Unchanged => {}
        }
        match datum(columns.snapshot) {
            Datum::Text(json) => row.snapshot = Some(json.to_vec()),
            Datum::Null => row.snapshot = None,
            Datum::Unchanged => {}
        }
        if let Some(Datum::Text(xid)) = columns.txid.map(datum) {
            row.xid = std::str::from_utf8(xid).ok().and_then(|xid| xid.parse().ok()).map(Xid);
        }
        if let Some(Datum::Text(moment)) = columns.recorded_at.map(datum) {
            row.recorded_ms = timestamp_ms(moment).and_then(|ms| u64::try_from(ms).ok()).unwrap_or(0);
        }
        Ok(())
    }

    /// The migrations, in order. Rows without a snapshot or a version are another service's and say nothing.
    pub(super) fn finish(self) -> Vec<RecordedMigration> {
        let mut migrations: Vec<RecordedMigration> = Vec::new();
        for row in self.rows {
            let (Some(json), Some(version)) = (row.snapshot, row.version) else { continue };
            let snapshot = RecordedSnapshot { recorded_ms: row.recorded_ms, json };
            match migrations.iter_mut().find(|known| known.version == version) {
                Some(migration) => migration.snapshots.push(snapshot),
                None => {
                    migrations.push(RecordedMigration { version, xid: row.xid, snapshots: vec![snapshot] });
                }
            }
        }
        migrations
    }
}

/// The rows of one migration.
pub(super) struct RecordedMigration {
    pub(super) version: String,
    /// The transaction that migrated; another one than wrote the row if the migration was adopted from another service.
    pub(super) xid: Option<Xid>,
    pub(super) snapshots: Vec<RecordedSnapshot>,
}

fn malformed(problem: &'static str) -> AssembleError {
    AssembleError::Bookkeeping { table: "ddl_commands".to_owned(), problem }
}

//! From what Postgres recorded to what clients execute: one Postgres transaction, one migration.

mod builder;
mod diff;
mod intake;
mod order;
mod visible;

use std::collections::BTreeMap;

use change::{RelationId, Xid};

pub use diff::SchemaChange;

use self::{builder::Builder, intake::Intake};
use crate::{Migration, Record, Schema};

/// A migration and what it leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Evolution {
    /// What clients execute; without operations if none of it is for them.
    pub migration: Migration,
    /// The schema after it.
    pub schema: Schema,
    /// The tables that were synced before, or are new, and are held back from now on because of a change.
    pub held: Vec<Held>,
}

/// A table that clients get nothing of from now on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Held {
    /// The table.
    pub relation: RelationId,
    /// Its name, as clients know it.
    pub table: String,
    /// What happened, and what to do: advice for the developer.
    pub reason: String,
    /// What was done to it, if that was found by comparing definitions.
    pub change: Option<SchemaChange>,
}

/// The migration that one Postgres transaction is, and the schema after it. `records` are the rows that it recorded, in that
/// order; several may be of one table. `version` and `recorded_ms` (milliseconds since the Unix epoch) are those of the
/// migration. The same records always make the same.
///
/// New tables come in an order that can be executed: referenced ones first. Each table is the one after the whole
/// transaction (spec 04 §10.2). An enumeration is announced once, by the first migration that needs it, and again when it
/// gets labels.
///
/// A table that was changed in a way that clients can't follow is held back, and so are the tables that refer to it. When it comes
/// back, clients drop what they have of it and make it anew, since they may have missed changes of its rows.
#[must_use]
pub fn evolve(version: &str, xid: Xid, recorded_ms: u64, records: &[Record], before: &Schema) -> Evolution {
    let intake = Intake::of(records);
    let mut found = BTreeMap::new();
    // Once more for each table that turns out to have been changed too much; those are not looked at again.
    let (ops, mut schema) = loop {
        match Builder::new(version, &intake, &found, before).run() {
            Ok(built) => break built,
            Err((relation, change)) => drop(found.insert(relation, change)),
        }
    };
    schema.version = Some(version.to_owned());
    let held = schema.tables().filter(|table| schema.hold(table.id).is_some());
    let newly = held.filter(|table| before.table(table.id).is_none_or(|known| known.held_back.is_none()));
    let held = newly.map(|table| Held {
        relation: table.id,
        table: table.name.clone(),
        reason: table.held_back.clone().unwrap_or_default(),
        change: found.get(&table.id).cloned(),
    });
    let held = held.collect();
    let migration = Migration { version: version.to_owned(), xid, recorded_ms, ops };
    Evolution { migration, schema, held }
}

//! A transaction in the window, as the journal keeps it: in memory ready for connections, on disk as what it was made of.

use std::{collections::HashMap, sync::Arc};

use change::{Lsn, RelationId, Xid};
use journal::{Entry, Record, RecordRef};
use parking_lot::RwLock;
use postgres::assemble::History;
use schema::{Migration, Schema};
use session::Delivery;

/// A transaction in the window.
pub(super) struct Kept(Arc<Delivery>);

impl Kept {
    pub(super) fn new(delivery: Arc<Delivery>) -> Kept {
        Kept(delivery)
    }

    pub(super) fn delivery(&self) -> &Arc<Delivery> {
        &self.0
    }

    /// Whether it changes one of these tables (sorted).
    pub(super) fn touches(&self, relations: &[RelationId]) -> bool {
        self.0.relations().iter().any(|relation| relations.binary_search(relation).is_ok())
    }

    /// Makes it again of what was written, given the version of the schema before it. `None` if that speaks of a migration that
    /// nobody knows.
    pub(super) fn restore(record: Record, before: Option<&str>, versions: &Versions) -> Option<Kept> {
        let Record { transaction, migration, schema } = record;
        let schema = versions.schema(schema.as_deref())?;
        let delivery = match migration {
            Some(version) => {
                let (before, migration) = (versions.schema(before)?, versions.migration(&version)?);
                Delivery::new(transaction, schema, Some(migration)).after(before)
            }
            None => Delivery::new(transaction, schema, None),
        };
        Some(Kept(Arc::new(delivery)))
    }
}

impl Entry for Kept {
    fn lsn(&self) -> Lsn {
        self.0.transaction.lsn
    }

    fn xid(&self) -> Xid {
        self.0.transaction.xid
    }

    fn weight(&self) -> usize {
        self.0.weight()
    }

    fn record(&self) -> RecordRef<'_> {
        let migration = self.0.migration.as_ref().map(|migration| migration.version.as_str());
        RecordRef { transaction: &self.0.transaction, migration, schema: self.0.schema.version.as_deref() }
    }
}

/// The schemas and migrations by the versions that stand for them on disk. Schemas are shared with those of the live stream.
#[derive(Default)]
pub(super) struct Versions {
    /// Before the first migration.
    none: Arc<Schema>,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    schemas: HashMap<String, Arc<Schema>>,
    migrations: HashMap<String, Arc<Migration>>,
}

impl Versions {
    /// Those of a history.
    pub(super) fn of(history: &History) -> Versions {
        let versions = Versions::default();
        for step in &history.steps {
            versions.note(&step.schema, Some(&step.migration));
        }
        versions
    }

    /// Notes what the stream shows.
    pub(super) fn note(&self, schema: &Arc<Schema>, migration: Option<&Arc<Migration>>) {
        let schema = schema.version.as_ref().map(|version| (version, schema));
        {
            let known = self.known.read();
            let is_known = schema.is_none_or(|(version, _)| known.schemas.contains_key(version));
            if is_known && migration.is_none_or(|new| known.migrations.contains_key(&new.version)) {
                return;
            }
        }
        let mut known = self.known.write();
        if let Some((version, schema)) = schema {
            known.schemas.entry(version.clone()).or_insert_with(|| schema.clone());
        }
        if let Some(migration) = migration {
            known.migrations.entry(migration.version.clone()).or_insert_with(|| migration.clone());
        }
    }

    fn schema(&self, version: Option<&str>) -> Option<Arc<Schema>> {
        match version {
            Some(version) => self.known.read().schemas.get(version).cloned(),
            None => Some(self.none.clone()),
        }
    }

    fn migration(&self, version: &str) -> Option<Arc<Migration>> {
        self.known.read().migrations.get(version).cloned()
    }
}

#[cfg(test)]
mod tests {
    use change::{Origin, Transaction};
    use postgres::assemble::RecordedSnapshot;

    use super::*;

    fn history() -> History {
        let mut history = History::default();
        for (version, xid) in [("1", 5), ("2", 7)] {
            let json = br#"{"removed":{"oid":1,"schema":"public","name":"none"}}"#.to_vec();
            history.push(version, Xid(xid), &[RecordedSnapshot { recorded_ms: 7, json }]);
        }
        history
    }

    fn record(migration: Option<&str>, schema: Option<&str>) -> Record {
        let transaction =
            Transaction { lsn: Lsn(9), xid: Xid(7), commit_ms: 3, origin: Origin::Postgres, changes: vec![] };
        Record { transaction, migration: migration.map(str::to_owned), schema: schema.map(str::to_owned) }
    }

    #[test]
    fn what_is_restored_is_what_was_written() {
        let history = history();
        let versions = Versions::of(&history);
        for (migration, schema, before) in
            [(Some("2"), Some("2"), Some("1")), (None, Some("1"), Some("1")), (None, None, None)]
        {
            let written = record(migration, schema);
            let kept = Kept::restore(written.clone(), before, &versions).expect("both are known");
            assert_eq!(
                (&kept.record().transaction, kept.record().migration, kept.record().schema),
                (&&written.transaction, migration, schema)
            );
            let known = history.steps.iter().find(|step| Some(step.migration.version.as_str()) == schema);
            if let Some(step) = known {
                assert!(Arc::ptr_eq(&kept.delivery().schema, &step.schema), "schemas are shared");
            }
        }
    }

    #[test]
    fn what_nobody_knows_is_not_guessed() {
        let versions = Versions::of(&history());
        for (migration, schema, before) in [
            (Some("3"), Some("2"), Some("2")),
            (Some("2"), Some("3"), Some("1")),
            (Some("2"), Some("2"), Some("0")),
        ] {
            assert!(Kept::restore(record(migration, schema), before, &versions).is_none());
        }
    }

    #[test]
    fn what_the_stream_shows_is_known_from_then_on() {
        let (versions, history) = (Versions::default(), history());
        assert!(Kept::restore(record(None, Some("1")), None, &versions).is_none());
        versions.note(&history.steps[0].schema, Some(&history.steps[0].migration));
        assert!(Kept::restore(record(Some("1"), Some("1")), None, &versions).is_some());
    }
}

//! The schema's history as it was known when the stream started, and where in it the stream is.
//!
//! After a restart the stream begins at an older position and passes migrations again that are known already. Until it
//! does, rows are to be read with the schema of *then*; so the history is walked, not jumped to its end.

use std::sync::Arc;

use change::{Lsn, RelationId, Xid};
use schema::{Migration, Schema};

use super::migration::{RecordedSnapshot, migrate};
use crate::{catalogue::Catalogue, pgoutput::Relation};

/// A migration and what it led to.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The migration.
    pub migration: Arc<Migration>,
    /// The schema after it.
    pub schema: Arc<Schema>,
}

/// All migrations up to some moment, oldest first.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// The migrations, by version.
    pub steps: Vec<Step>,
    /// A position of the log at or after the commits of all of them: `pg_current_wal_insert_lsn()`, asked for together
    /// with the rows that they were made from or later.
    pub loaded_at: Lsn,
    /// So many steps are known to lie before where the stream begins.
    pub(super) behind: usize,
}

impl History {
    /// The history that the database keeps. `loaded_at` is `pg_current_wal_insert_lsn()`, asked for after the catalogue was read.
    #[must_use]
    pub fn of(catalogue: &Catalogue, loaded_at: Lsn) -> History {
        let mut steps: Vec<Step> = catalogue
            .steps
            .iter()
            .map(|step| Step {
                migration: Arc::clone(&step.migration),
                schema: Arc::new(step.schema.clone()),
            })
            .collect();
        // Without the tables that are gone.
        if let Some(last) = steps.last_mut() {
            last.schema = Arc::new(catalogue.schema.clone());
        }
        History { steps, loaded_at, behind: 0 }
    }

    /// The same for a stream that is continued from where the migration with this version was the last one, `None` for none so
    /// far. There is no such history if nobody knows the migration: then it was another database's, or it has been taken back.
    #[must_use]
    pub fn continued_after(self, version: Option<&str>) -> Option<History> {
        let behind = match version {
            Some(version) => 1 + self.steps.iter().position(|step| step.migration.version == version)?,
            None => 0,
        };
        Some(History { behind, ..self })
    }

    /// The schema where the stream begins, as far as that is known: no later one.
    #[must_use]
    pub fn schema_at_beginning(&self) -> Arc<Schema> {
        let last = self.behind.checked_sub(1).and_then(|last| self.steps.get(last));
        last.map_or_else(Arc::default, |step| Arc::clone(&step.schema))
    }

    /// Adds the migration that these rows of `electric.ddl_commands` are: those of one transaction, in the order of their ids.
    pub fn push(&mut self, version: &str, xid: Xid, recorded: &[RecordedSnapshot]) {
        self.steps.push(migrate(&self.schema(), version, xid, recorded));
    }

    /// The schema at the end.
    #[must_use]
    pub fn schema(&self) -> Arc<Schema> {
        self.steps.last().map_or_else(Arc::default, |step| Arc::clone(&step.schema))
    }
}

/// Where the stream is in the history.
#[derive(Debug)]
pub(super) struct Progress {
    steps: Vec<Step>,
    /// So many steps are behind the stream.
    applied: usize,
    loaded_at: Lsn,
    schema: Arc<Schema>,
}

impl Progress {
    pub(super) fn new(history: History) -> Progress {
        let schema = history.schema_at_beginning();
        Progress { steps: history.steps, applied: history.behind, loaded_at: history.loaded_at, schema }
    }

    pub(super) fn schema(&self) -> &Arc<Schema> {
        &self.schema
    }

    /// The migrations of all transactions before `settled` lie before the stream.
    pub(super) fn settle(&mut self, settled: Xid) {
        let before = self.steps.iter().take_while(|step| step.migration.xid < settled).count();
        self.advance(before);
    }

    /// The stream has passed `position`: with the last moment that the history speaks of, all of it. Says whether the
    /// schema is another one.
    pub(super) fn pass(&mut self, position: Lsn) -> bool {
        position >= self.loaded_at && self.advance(self.steps.len())
    }

    /// A relation is announced that only a later schema explains: that schema's migration lies before the stream, then, unless
    /// it is the transaction under way, which says so itself at its end. Says whether the schema is another one.
    pub(super) fn reveal(&mut self, relation: &Relation, under_way: Option<Xid>) -> bool {
        if explains(&self.schema, relation) {
            return false;
        }
        let ahead = self.steps.iter().skip(self.applied);
        let Some(more) = ahead.into_iter().position(|step| explains(&step.schema, relation)) else {
            return false;
        };
        let is_own = |step: &Step| Some(step.migration.xid) == under_way;
        let own = self.steps.get(self.applied + more).is_some_and(is_own);
        self.advance(self.applied + more + usize::from(!own))
    }

    /// The stream carries a migration: a known one, or one that is new.
    pub(super) fn migration(
        &mut self,
        version: &str,
        xid: Xid,
        snapshots: &[RecordedSnapshot],
    ) -> Arc<Migration> {
        let known = self.steps.iter().position(|step| step.migration.version == version);
        let at = known.unwrap_or_else(|| {
            self.advance(self.steps.len());
            self.steps.push(migrate(&self.schema, version, xid, snapshots));
            self.steps.len() - 1
        });
        self.advance(at + 1);
        self.steps.get(at).map_or_else(
            || Arc::clone(&migrate(&self.schema, version, xid, snapshots).migration),
            |step| Arc::clone(&step.migration),
        )
    }

    fn advance(&mut self, applied: usize) -> bool {
        if applied <= self.applied {
            return false;
        }
        let Some(step) = self.steps.get(applied - 1) else { return false };
        self.schema = Arc::clone(&step.schema);
        self.applied = applied;
        true
    }
}

/// Whether a relation looks as it should by a schema. Those of no schema look as they please, and so do tables that are held back:
/// what was done to them is why.
fn explains(schema: &Schema, relation: &Relation) -> bool {
    if relation.namespace == "electric" {
        return schema.tables().any(|table| table.shadow.id == RelationId(relation.id));
    }
    schema.table(RelationId(relation.id)).is_some_and(|table| {
        table.held_back.is_some()
            || relation.columns.iter().all(|name| table.columns.iter().any(|column| column.name == *name))
    })
}

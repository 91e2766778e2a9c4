//! Which tables clients can have, decided before any of them is made: foreign keys of others hang on that.

use std::collections::{BTreeMap, BTreeSet};

use change::RelationId;

use super::{diff::SchemaChange, intake::Intake};
use crate::{Schema, synced::Hold};

/// Which tables clients get after a migration, and why not the others.
pub(super) struct Visible(BTreeMap<RelationId, Result<(), String>>);

impl Visible {
    /// `before` is the schema in which what was removed or suspended is that already, and what refers to it is an orphan.
    pub(super) fn after(
        intake: &Intake<'_>,
        found: &BTreeMap<RelationId, SchemaChange>,
        before: &Schema,
    ) -> Visible {
        let mut verdicts = BTreeMap::new();
        let mut names = BTreeSet::new();
        let mut functions = BTreeSet::new();
        let is_recorded = |id: RelationId| intake.snapshots.iter().any(|snapshot| snapshot.table.id == id);
        for table in before.tables() {
            let is_judged_anew = !matches!(before.hold(table.id), Some(Hold::Orphaned))
                && table.held_back.is_some()
                && is_recorded(table.id);
            if is_judged_anew {
                continue;
            }
            let verdict = match before.hold(table.id) {
                Some(Hold::Orphaned) => Ok(()),
                _ => table.held_back.clone().map_or(Ok(()), Err),
            };
            if verdict.is_ok() {
                names.insert(table.name.to_ascii_lowercase());
                functions.extend(table.trigger_functions());
            }
            verdicts.insert(table.id, verdict);
        }
        for snapshot in &intake.snapshots {
            let table = &snapshot.table;
            verdicts.entry(table.id).or_insert_with(|| {
                table.held_back.clone().map_or(Ok(()), Err)?;
                if !names.insert(table.name.to_ascii_lowercase()) {
                    return Err(
                        "they have another table of this name; SQLite does not tell upper from lower case"
                            .into(),
                    );
                }
                let own = table.trigger_functions();
                if own.iter().any(|name| functions.contains(name)) {
                    return Err(
                        "Postgres clients can't tell its triggers from those of a table whose long name \
                                begins alike"
                            .into(),
                    );
                }
                functions.extend(own);
                Ok(())
            });
        }
        for (id, change) in found {
            verdicts.insert(*id, Err(change.to_string()));
        }
        let mut visible = Visible(verdicts);
        visible.leave_out_orphans(before);
        visible
    }

    /// An orphan stays one as long as a table that it refers to is not there.
    fn leave_out_orphans(&mut self, before: &Schema) {
        let orphans = || before.tables().filter(|table| before.hold(table.id) == Some(Hold::Orphaned));
        while let Some(orphan) = orphans().find(|table| {
            self.has(table.id)
                && table.foreign_keys.iter().any(|fk| fk.references != table.id && !self.has(fk.references))
        }) {
            let reason = orphan.held_back.clone().unwrap_or_default();
            self.0.insert(orphan.id, Err(reason));
        }
    }

    /// Whether clients get a table.
    pub(super) fn has(&self, id: RelationId) -> bool {
        matches!(self.0.get(&id), Some(Ok(())))
    }

    /// Why clients can't have a table, if that is so.
    pub(super) fn obstacle(&self, id: RelationId) -> Option<&str> {
        self.0.get(&id)?.as_ref().err().map(String::as_str)
    }
}

//! What the records of one transaction come to, table by table.

use std::collections::{BTreeMap, BTreeSet};

use change::RelationId;

use crate::{Record, Snapshot, Table};

/// The records of one transaction, with what later ones undo left out.
#[derive(Default)]
pub(super) struct Intake<'a> {
    /// Taken out; one that is in `snapshots` too was put in again.
    pub(super) removed: BTreeSet<RelationId>,
    /// Suspended in the end, with the definition if that came before.
    pub(super) suspended: BTreeMap<RelationId, (&'a str, Option<&'a Table>)>,
    /// Suspended, and good again.
    pub(super) resumed: BTreeSet<RelationId>,
    /// In the order in which they were recorded.
    pub(super) snapshots: Vec<&'a Snapshot>,
}

impl<'a> Intake<'a> {
    pub(super) fn of(records: &'a [Record]) -> Intake<'a> {
        let mut intake = Intake::default();
        for record in records {
            match record {
                Record::Snapshot(snapshot) => {
                    let id = snapshot.table.id;
                    if intake.suspended.remove(&id).is_some() {
                        intake.resumed.insert(id);
                    }
                    intake.snapshots.push(snapshot);
                }
                Record::Removed(id) => {
                    intake.suspended.remove(id);
                    intake.resumed.remove(id);
                    intake.snapshots.retain(|snapshot| snapshot.table.id != *id);
                    intake.removed.insert(*id);
                }
                Record::Suspended { relation, reason } => {
                    let of_it = |snapshot: &&&Snapshot| snapshot.table.id == *relation;
                    let definition = intake.snapshots.iter().rfind(of_it).map(|snapshot| &snapshot.table);
                    intake.snapshots.retain(|snapshot| snapshot.table.id != *relation);
                    intake.suspended.insert(*relation, (reason, definition));
                }
            }
        }
        intake
    }
}

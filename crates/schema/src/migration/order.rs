//! The order in which the snapshots of one transaction can be executed.

use std::collections::BTreeSet;

use change::RelationId;

use crate::{Schema, Snapshot};

/// Again and again the first snapshot all whose referenced tables exist by then, or the first at all where tables refer
/// to each other in a circle. Snapshots of one table keep their order.
pub(super) fn by_reference<'a>(
    snapshots: impl Iterator<Item = &'a Snapshot>,
    before: &Schema,
) -> Vec<&'a Snapshot> {
    let mut left: Vec<&Snapshot> = snapshots.collect();
    let mut to_come: BTreeSet<RelationId> =
        left.iter().map(|s| s.table.id).filter(|id| !before.is_live(*id)).collect();
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let next =
            left.iter().position(|s| is_ready(s, &to_come) && is_first_of_its_table(s, &left)).unwrap_or(0);
        let snapshot = left.remove(next);
        to_come.remove(&snapshot.table.id);
        ordered.push(snapshot);
    }
    ordered
}

fn is_ready(snapshot: &Snapshot, to_come: &BTreeSet<RelationId>) -> bool {
    let table = &snapshot.table;
    table.foreign_keys.iter().all(|fk| fk.references == table.id || !to_come.contains(&fk.references))
}

fn is_first_of_its_table(snapshot: &Snapshot, left: &[&Snapshot]) -> bool {
    left.iter().find(|s| s.table.id == snapshot.table.id).is_some_and(|first| std::ptr::eq(*first, snapshot))
}

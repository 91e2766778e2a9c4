//! What a transaction comes to for a set of shapes: one net operation per row, from visible through any shape before and after
//! it (spec 06 §6.6, §14.2).

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use change::{Change, Lsn, RelationId, Row, RowChange, Transaction};
use schema::{ForeignKey, Schema, Table};
use shapes::Key;

use crate::{Image, Lost, Moves, delivery::Rendering, set::ShapeSet};

/// The operations of one transaction, in the order in which they are sent.
#[derive(Debug, Default)]
pub(crate) struct Effect<'a> {
    /// Rows that the transaction changed.
    pub(crate) changes: Vec<(&'a Arc<Table>, &'a Change, Outcome)>,
    /// Rows that it did not change and that others of it refer to.
    pub(crate) brought: Vec<Image>,
    /// Rows that leave without having been changed.
    pub(crate) left: Vec<(RelationId, Key)>,
    /// Rows that follow as additional data; `None` if none are announced.
    pub(crate) additional: Option<Vec<Image>>,
}

/// What a changed row is to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It has become visible: sent as a whole, as if it were new.
    Insert,
    /// It was visible and is. Old and new image may be equal, when only tags changed.
    Update,
    /// It was visible and does not exist any more.
    Delete,
    /// It was visible, or its author believes that it is; it still exists, and is not visible any more.
    Gone,
}

impl Outcome {
    /// From membership before and after; `None` if the row was never visible.
    fn of(was: bool, now: bool, row: &RowChange) -> Option<Outcome> {
        match (was, now, row) {
            (_, true, RowChange::Insert { .. }) | (false, true, _) => Some(Outcome::Insert),
            (true, true, _) => Some(Outcome::Update),
            (true, false, RowChange::Delete { .. }) => Some(Outcome::Delete),
            (true, false, _) => Some(Outcome::Gone),
            (false, false, _) => None,
        }
    }
}

impl<'a> Effect<'a> {
    /// Works it out. If the set follows any of the transaction's tables, all its trackers have reached it. With `repeats`, rows that
    /// a shape brings come also if another has them. For its author (`own`), see [`Strays`].
    pub(crate) fn of(
        transaction: &'a Transaction,
        relations: &[RelationId],
        schema: &'a Schema,
        set: &ShapeSet,
        Rendering { repeats, own, .. }: Rendering,
    ) -> Result<Effect<'a>, Lost> {
        let trackers = if set.follows_any(relations) { set.trackers() } else { &[] };
        let moves: Vec<Option<Arc<Moves>>> =
            trackers.iter().map(|tracker| tracker.moves(transaction.lsn)).collect::<Result<_, _>>()?;
        let mut effect = Effect::default();
        let mut changed: HashSet<(RelationId, Key)> = HashSet::new();
        let mut strays = Strays { schema, set, rows: HashSet::new() };
        for change in &transaction.changes {
            let table = schema.table(change.relation).filter(|table| table.held_back.is_none());
            let Some(table) = table else { continue };
            let (old, new) = (change.row.before(), change.row.after());
            let passes = |row: Option<&Row>| row.is_some_and(|row| set.passes(table.id, row));
            let (mut was, mut now) = (passes(old), passes(new));
            let mut trackers = set.trackers_of(table.id).peekable();
            if trackers.peek().is_some()
                && let Some(key) = new.or(old).and_then(|row| Key::of(row, &table.primary_key))
            {
                for (at, _) in trackers {
                    let moved = moves.get(at).and_then(Option::as_deref).and_then(|m| m.of(table.id, &key));
                    was |= moved.is_some_and(|(was, _)| was);
                    now |= moved.is_some_and(|(_, now)| now);
                }
                changed.insert((table.id, key));
            }
            let strays = own && !now && strays.take(table, change);
            let outcome = Outcome::of(was, now, &change.row).or(strays.then_some(Outcome::Gone));
            if let Some(outcome) = outcome {
                effect.changes.push((table, change, outcome));
            }
        }
        effect.add_unchanged(&moves, &changed, transaction.lsn, set, repeats);
        Ok(effect)
    }

    /// Rows whose visibility has changed though they were not.
    fn add_unchanged(
        &mut self,
        moves: &[Option<Arc<Moves>>],
        changed: &HashSet<(RelationId, Key)>,
        at: Lsn,
        set: &ShapeSet,
        repeats: bool,
    ) {
        let all = || moves.iter().flatten();
        let touched = all().flat_map(|moves| &moves.delta.rows).map(|row| (row.relation, &row.key));
        let mut rows: Vec<(RelationId, &Key)> = touched.collect();
        rows.sort_unstable();
        rows.dedup();
        let has_additional = all().any(|moves| moves.delta.has_additional);
        let mut additional = Vec::new();
        for (relation, key) in rows {
            if changed.contains(&(relation, key.clone())) {
                continue;
            }
            let all_of_it = set.has_all_of(relation);
            let (mut was, mut now) = (all_of_it, all_of_it);
            for (place, tracker) in set.trackers_of(relation) {
                let moved = moves.get(place).and_then(Option::as_deref).and_then(|m| m.of(relation, key));
                // Not touched: it is there before and after, or neither.
                let (before, after) = moved.unwrap_or_else(|| {
                    let holds = tracker.holds(relation, key, at);
                    (holds, holds)
                });
                was |= before;
                now |= after;
            }
            match (was, now) {
                (true, false) => self.left.push((relation, key.clone())),
                (was, true) if !was || repeats => {
                    if let Some(image) = all().find_map(|moves| find(&moves.brought, relation, key)) {
                        self.brought.push(image.clone());
                    } else if let Some(image) = all().find_map(|m| find(&m.additional, relation, key)) {
                        additional.push(image.clone());
                    }
                }
                _ => {}
            }
        }
        self.additional = has_additional.then_some(additional);
    }

    /// Whether there is nothing to tell the client.
    pub(crate) fn is_empty(&self) -> bool {
        self.changes.is_empty()
            && self.brought.is_empty()
            && self.left.is_empty()
            && self.additional.is_none()
    }
}

/// Rows of a transaction that its author may have and that are in none of its shapes, though they never were (spec 06 §6.6).
///
/// The author's database holds on to a row that is deleted while a write to it is under way (spec 05 §4.3), and it has what it made
/// itself. If it wrote without knowing how the row stood, it is to let go of the row, of the tables that it has shapes of; so
/// it is of the rows that it made to hang on such a row, which it believed to be in a shape. What it made outside of its
/// shapes, and nobody else has touched, stays with it.
struct Strays<'a> {
    schema: &'a Schema,
    set: &'a ShapeSet,
    /// By table and primary key.
    rows: HashSet<(RelationId, Key)>,
}

impl Strays<'_> {
    /// Whether a row that is in none of the shapes now is one. What others refer to comes before them.
    fn take(&mut self, table: &Table, change: &Change) -> bool {
        let Some(row) = change.row.after().filter(|_| self.set.relations().contains(&table.id)) else {
            return false;
        };
        let is_new = matches!(change.row, RowChange::Insert { .. });
        let strays = change.blind || is_new && self.are_referred_to(table, row);
        if strays && let Some(key) = Key::of(row, &table.primary_key) {
            self.rows.insert((table.id, key));
        }
        strays
    }

    fn are_referred_to(&self, table: &Table, row: &Row) -> bool {
        let refers = |key: &ForeignKey| {
            let Some(parent) = self.schema.table(key.references) else { return false };
            // The columns here, in the order of the primary key there.
            let column = |n: &usize| {
                let name = &parent.columns.get(*n)?.name;
                let at = key.referenced_columns.iter().position(|referenced| referenced == name)?;
                key.columns.get(at).copied()
            };
            let columns = parent.primary_key.iter().map(column).collect::<Option<Vec<usize>>>();
            let key = columns.and_then(|columns| Key::of(row, &columns));
            key.is_some_and(|key| self.rows.contains(&(parent.id, key)))
        };
        !self.rows.is_empty() && table.foreign_keys.iter().filter(|key| key.to_key).any(refers)
    }
}

impl Moves {
    /// Membership of a row before and after, if it was touched.
    fn of(&self, relation: RelationId, key: &Key) -> Option<(bool, bool)> {
        let rows = &self.delta.rows;
        let at = rows.binary_search_by(|row| (row.relation, &row.key).cmp(&(relation, key))).ok()?;
        rows.get(at).map(|row| (row.was, row.now))
    }
}

fn find<'i>(images: &'i [Image], relation: RelationId, key: &Key) -> Option<&'i Image> {
    let at = images.binary_search_by(|image| (image.relation, &image.key).cmp(&(relation, key))).ok()?;
    images.get(at)
}

/// A row of which only the key is known.
pub(crate) fn key_row(table: &Table, key: &Key) -> Row {
    let values: BTreeMap<usize, &[u8]> =
        table.primary_key.iter().copied().zip(key.values(table.primary_key.len())).collect();
    (0..table.columns.len()).map(|column| values.get(&column).copied()).collect()
}

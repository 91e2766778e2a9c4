//! What belongs into the shape, found out in the simplest way: from all rows of all tables at each position.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
};

use change::{Change, Lsn, RelationId, Row, Transaction};
use session::{Delivery, Tracker};
use shapes::Key;

use super::support::{Setting, key};

type Member = (RelationId, Key);

/// All rows, by table and key.
#[derive(Clone, Default)]
pub struct Tables(BTreeMap<Member, Row>);

impl Tables {
    pub fn apply(&mut self, transaction: &Transaction) {
        for change in &transaction.changes {
            match change.row.after() {
                Some(row) => self.0.insert(member(change), row.clone()),
                None => self.0.remove(&member(change)),
            };
        }
    }

    fn rows(&self, relation: RelationId) -> impl Iterator<Item = &Row> {
        self.0
            .range((relation, key(""))..)
            .take_while(move |((of, _), _)| *of == relation)
            .map(|(_, row)| row)
    }

    /// The members of [`Setting::plan`].
    pub fn members(&self, setting: &Setting, user: &str) -> BTreeSet<Member> {
        let [members, projects, issues, comments] =
            ["members", "projects", "issues", "comments"].map(|table| setting.relation(table));
        let mut found = BTreeSet::new();
        let mut referred = Vec::new();
        let mut add = |relation, row: &Row, member: usize| {
            referred.extend(Key::of(row, &[member]));
            found.insert((relation, Key::of(row, &[0]).unwrap()))
        };
        let is_child =
            |row: &Row, keys: &HashSet<Key>| Key::of(row, &[1]).is_some_and(|key| keys.contains(&key));
        let mut parents = HashSet::new();
        for row in self.rows(projects) {
            if row.get(2).is_none_or(|owner| owner.is_empty() || owner == user.as_bytes()) {
                add(projects, row, 1);
                parents.insert(Key::of(row, &[0]).unwrap());
            }
        }
        for relation in [issues, comments] {
            let children: Vec<&Row> = self.rows(relation).filter(|row| is_child(row, &parents)).collect();
            parents.clear();
            for row in children {
                add(relation, row, 2);
                parents.insert(Key::of(row, &[0]).unwrap());
            }
        }
        found.extend(referred.into_iter().map(|key| (members, key)));
        found
    }
}

/// All that happened since the stream began.
pub struct Oracle {
    /// Each transaction, and the tables after it.
    history: Vec<(Arc<Delivery>, Tables)>,
}

impl Oracle {
    pub fn new(setting: &Setting) -> Oracle {
        let (deliveries, _) = setting.stream.read_after(setting.stream.start(), usize::MAX).unwrap();
        Oracle::of(deliveries)
    }

    /// Given all that happened.
    pub fn of(deliveries: Vec<Arc<Delivery>>) -> Oracle {
        let mut tables = Tables::default();
        let after = |delivery: Arc<Delivery>| {
            tables.apply(&delivery.transaction);
            (delivery, tables.clone())
        };
        Oracle { history: deliveries.into_iter().map(after).collect() }
    }

    /// Compares all that a tracker says of the positions from `from` to `to` with what is so.
    pub fn check(&self, setting: &Setting, user: &str, tracker: &dyn Tracker, from: Lsn, to: Lsn) {
        let mut before: BTreeSet<Member> = BTreeSet::new();
        let mut everyone: BTreeSet<Member> = BTreeSet::new();
        let members: Vec<_> = self.history.iter().map(|(_, tables)| tables.members(setting, user)).collect();
        let mut later = self.last_changes();
        for ((delivery, _), now) in self.history.iter().zip(members) {
            let transaction = &delivery.transaction;
            let own: BTreeSet<Member> = transaction.changes.iter().map(member).collect();
            later.retain(|_, last| *last > transaction.lsn);
            everyone.extend(now.iter().cloned());
            if transaction.lsn > from && transaction.lsn <= to {
                let expected: Vec<Member> = now.iter().cloned().collect();
                assert_eq!(tracker.members(transaction.lsn), expected, "members at {}", transaction.lsn);
                for row in &everyone {
                    let holds = tracker.holds(row.0, &row.1, transaction.lsn);
                    assert_eq!(holds, now.contains(row), "{row:?} at {}", transaction.lsn);
                }
                check_moves(tracker, transaction.lsn, &own, &later, &before, &now);
            }
            before = now;
        }
    }

    /// By row: the last transaction that changed it.
    fn last_changes(&self) -> BTreeMap<Member, Lsn> {
        let transactions = self.history.iter().map(|(delivery, _)| &delivery.transaction);
        transactions.flat_map(|tx| tx.changes.iter().map(|change| (member(change), tx.lsn))).collect()
    }
}

/// Compares all that a tracker says of the positions from `from` to `to` with what is so.
pub fn check(setting: &Setting, user: &str, tracker: &dyn Tracker, from: Lsn, to: Lsn) {
    Oracle::new(setting).check(setting, user, tracker, from, to);
}

fn member(change: &Change) -> Member {
    let image = change.row.after().or(change.row.before()).unwrap();
    (change.relation, Key::of(image, &[0]).unwrap())
}

/// The moves of one transaction: who came and who went, and an image of everybody who came and whom no transaction brings.
fn check_moves(
    tracker: &dyn Tracker,
    at: Lsn,
    own: &BTreeSet<Member>,
    later: &BTreeMap<Member, Lsn>,
    before: &BTreeSet<Member>,
    now: &BTreeSet<Member>,
) {
    let expected: Vec<(Member, bool, bool)> = before
        .union(now)
        .filter(|row| before.contains(row) != now.contains(row) || own.contains(row))
        .map(|row| (row.clone(), before.contains(row), now.contains(row)))
        .collect();
    let moves = tracker.moves(at).unwrap().unwrap_or_default();
    let moved: Vec<(Member, bool, bool)> =
        moves.delta.rows.iter().map(|row| ((row.relation, row.key.clone()), row.was, row.now)).collect();
    assert_eq!(moved, expected, "moves at {at}");

    let images = moves.brought.iter().chain(&moves.additional);
    let images: Vec<Member> = images.map(|image| (image.relation, image.key.clone())).collect();
    let images_once: BTreeSet<Member> = images.iter().cloned().collect();
    assert_eq!(images.len(), images_once.len(), "each image once");
    for row in now.difference(before).filter(|row| !own.contains(row)) {
        assert!(images_once.contains(row) || later.contains_key(row), "an image of {row:?} at {at}");
    }
    for row in &images_once {
        assert!(now.contains(row) && !before.contains(row) && !own.contains(row), "no image of {row:?}");
    }
}

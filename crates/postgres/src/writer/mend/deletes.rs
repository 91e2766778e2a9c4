//! What goes with the rows that a transaction deletes, and which of them can't go.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use merge::Effect;
use tokio_postgres::Error;

use super::{
    Place, Touched,
    constraints::{Constraint, OnDelete},
    questions,
};
use crate::writer::{
    apply::{key_arrays, references},
    session::Session,
};

/// The most rows that are followed; a delete that takes more with it is left to Postgres.
const MOST: usize = 200_000;

/// A deleted row, as indexes into the touched tables and their rows.
type Root = (usize, usize);

/// What deletes come to.
#[derive(Default)]
pub struct Doomed {
    /// All rows that go, each with the deletes that it goes by.
    rows: HashMap<Place, BTreeSet<usize>>,
    roots: Vec<Root>,
    /// The deletes that can't be, since rows refer to what would go.
    pub kept: BTreeSet<Root>,
}

impl Doomed {
    /// The deletes that a row goes by.
    pub fn roots_of(&self, place: &Place) -> impl Iterator<Item = Root> {
        let numbers = self.rows.get(place).into_iter().flatten();
        numbers.filter_map(|n| self.roots.get(*n)).copied()
    }

    fn add(&mut self, place: Place, root: usize) -> bool {
        self.rows.entry(place).or_default().insert(root)
    }
}

/// Follows the deletes of a transaction through what foreign keys do by themselves.
pub async fn doomed(
    session: &Session,
    touched: &[Touched],
    constraints: &[Constraint],
) -> Result<Doomed, Error> {
    let mut doomed = Doomed::default();
    let is_delete = |effect| effect == Effect::Delete;
    if !touched.iter().any(|table| table.rows.iter().any(|row| is_delete(row.merged.effect))) {
        return Ok(doomed);
    }
    // What becomes of rows of the transaction itself is known better than from what Postgres has of them.
    let mut own: HashSet<Place> = HashSet::new();
    let mut frontier: BTreeMap<u32, (Vec<String>, Vec<i64>)> = BTreeMap::new();
    for (t, Touched { table, rows }) in touched.iter().enumerate() {
        let keys = key_arrays(table, &rows.iter().map(|row| row.merged.key.as_slice()));
        for found in session.client().query(&questions::places(table), &references(&keys)).await? {
            let r = usize::try_from(found.try_get::<_, i64>(0)? - 1).unwrap_or(usize::MAX);
            let at: String = found.try_get(1)?;
            own.insert((table.id.0, at.clone()));
            if rows.get(r).is_some_and(|row| is_delete(row.merged.effect)) {
                let root = doomed.roots.len();
                doomed.roots.push((t, r));
                doomed.add((table.id.0, at.clone()), root);
                let (places, numbers) = frontier.entry(table.id.0).or_default();
                places.push(at);
                numbers.push(root as i64);
            }
        }
    }

    let mut blocking: Vec<(Place, usize, OnDelete)> = Vec::new();
    while !frontier.is_empty() && doomed.rows.len() + blocking.len() < MOST {
        let mut next: BTreeMap<u32, (Vec<String>, Vec<i64>)> = BTreeMap::new();
        for (parent, (places, numbers)) in &frontier {
            let by_it = |c: &&Constraint| c.parent == *parent && c.on_delete != OnDelete::Release;
            for constraint in constraints.iter().filter(by_it) {
                let sql = questions::children(constraint);
                for found in session.client().query(&sql, &[places, numbers]).await? {
                    let number: i64 = found.try_get(0)?;
                    let root = usize::try_from(number).unwrap_or(usize::MAX);
                    let place: Place = (constraint.child, found.try_get(1)?);
                    match constraint.on_delete {
                        OnDelete::Cascade => {
                            if doomed.add(place.clone(), root) {
                                let (places, numbers) = next.entry(constraint.child).or_default();
                                places.push(place.1);
                                numbers.push(number);
                            }
                        }
                        action => blocking.push((place, root, action)),
                    }
                }
            }
        }
        frontier = next;
    }
    for (child, root, action) in blocking {
        let goes_too = action == OnDelete::NoAction && doomed.rows.contains_key(&child);
        if !own.contains(&child) && !goes_too {
            doomed.kept.extend(doomed.roots.get(root).copied());
        }
    }
    Ok(doomed)
}

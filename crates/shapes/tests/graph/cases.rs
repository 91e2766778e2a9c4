//! Random tables, plans and transactions. Values come from small sets, so that rows meet.

use std::{collections::BTreeSet, sync::Arc};

use change::{Change, Row, RowChange, Tags, UserId};
use proptest::{collection::vec, prelude::*};
use schema::Table;
use shapes::{Direction, Filter, Key, Layer, Link, Plan};

use super::model::{Db, RowId};
use crate::support;

/// Columns of every table: two of which one or both are the key, one that is unique, the owner, and some for foreign keys.
const CODE: usize = 2;
const OWNER: usize = 3;
const REFERENCES: [usize; 4] = [4, 5, 6, 7];

/// Everything that a test needs, in a form that shrinks well.
#[derive(Clone, Debug)]
pub struct Case {
    /// For each table: its primary key, and whether rows have owners.
    tables: Vec<(Vec<usize>, bool)>,
    keys: Vec<ForeignKey>,
    root_user: u8,
    /// Parent layer, foreign key, user of the filter.
    children: Vec<(usize, usize, u8)>,
    /// Which foreign keys the closure follows, a bit each, and the user of its filters.
    closure: (u16, u8),
    initial: Vec<Op>,
    transactions: Vec<Vec<Op>>,
    pub whim: u64,
}

#[derive(Clone, Debug)]
struct ForeignKey {
    from: usize,
    to: usize,
    /// By the unique column instead of the primary key.
    by_code: bool,
    /// Where its columns begin among those for foreign keys.
    at: usize,
    /// Its columns in reverse order.
    is_reversed: bool,
}

/// What a transaction does to one row.
#[derive(Clone, Debug)]
struct Op {
    table: usize,
    key: (u8, u8),
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    /// It has these values now. A code that another row has is taken from it, or else left to it.
    Put {
        code: u8,
        owner: u8,
        references: [u8; 4],
        takes: bool,
    },
    /// One foreign-key column changes, if the row exists.
    Refer {
        column: usize,
        to: u8,
    },
    Own {
        owner: u8,
    },
    /// Nothing but tags.
    Touch,
    Delete,
}

fn op() -> impl Strategy<Value = Op> {
    let what = prop_oneof![
        5 => (0..5u8, 0..6u8, any::<[u8; 4]>(), any::<bool>())
            .prop_map(|(code, owner, references, takes)| What::Put { code, owner, references, takes }),
        3 => (0..4usize, any::<u8>()).prop_map(|(column, to)| What::Refer { column, to }),
        2 => (0..6u8).prop_map(|owner| What::Own { owner }),
        1 => Just(What::Touch),
        2 => Just(What::Delete),
    ];
    (0..4usize, (1..5u8, 1..3u8), what).prop_map(|(table, key, what)| Op { table, key, what })
}

pub fn case() -> impl Strategy<Value = Case> {
    let primary_key = prop_oneof![4 => Just(vec![0]), 1 => Just(vec![0, 1]), 1 => Just(vec![1, 0])];
    let key = (0..4usize, 0..4usize, 0..4u8, 0..4usize, any::<bool>()).prop_map(
        |(from, to, by_code, at, is_reversed)| ForeignKey {
            from,
            to,
            by_code: by_code == 0,
            at,
            is_reversed,
        },
    );
    let shape = (
        vec((primary_key, any::<bool>()), 1..4),
        vec(key, 0..6),
        0..3u8,
        vec((0..4usize, 0..6usize, 0..3u8), 0..4),
        (prop_oneof![1 => Just(0), 2 => Just(u16::MAX), 1 => any::<u16>()], 0..3u8),
    );
    (shape, vec(op(), 0..24), vec(vec(op(), 1..6), 1..5), any::<u64>()).prop_map(
        |((tables, keys, root_user, children, closure), initial, transactions, whim)| Case {
            tables,
            keys,
            root_user,
            children,
            closure,
            initial,
            transactions,
            whim,
        },
    )
}

impl Case {
    fn tables(&self) -> Vec<Arc<Table>> {
        let table = |(at, (primary_key, is_owned)): (usize, &(Vec<usize>, bool))| {
            let owner = if *is_owned { "electric_user_id" } else { "someone" };
            let columns = ["id", "sub", "code", owner, "r0", "r1", "r2", "r3"];
            let mut table = support::table(at as u32 + 1, &format!("t{at}"), &columns);
            table.primary_key.clone_from(primary_key);
            Arc::new(table)
        };
        self.tables.iter().enumerate().map(table).collect()
    }

    /// The foreign keys: tables and columns.
    fn keys(&self) -> Vec<(usize, Vec<usize>, usize, Vec<usize>)> {
        let key = |key: &ForeignKey| {
            let (from, to) = (key.from % self.tables.len(), key.to % self.tables.len());
            let mut to_columns = if key.by_code { vec![CODE] } else { self.tables[to].0.clone() };
            if key.is_reversed {
                to_columns.reverse();
            }
            let columns =
                (0..to_columns.len()).map(|n| REFERENCES[(key.at + n) % REFERENCES.len()]).collect();
            (from, columns, to, to_columns)
        };
        self.keys.iter().map(key).collect()
    }

    pub fn plan(&self) -> Plan {
        let (tables, keys) = (self.tables(), self.keys());
        let user = |user: u8| UserId::new(["a", "b", "nobody"][usize::from(user)]);
        let layer = |table: usize, links, by: u8, is_closure| Layer {
            table: tables[table].clone(),
            filter: Filter::new(None, &tables[table], &user(by)),
            links,
            since: None,
            is_closure,
        };
        let mut layers = vec![layer(0, Vec::new(), self.root_user, false)];
        let mut of = vec![0];
        for (parent, key, by) in &self.children {
            let parent = parent % layers.len();
            let Some((from, columns, to, to_columns)) = keys.get(key % keys.len().max(1)).cloned() else {
                continue;
            };
            let (table, link) = if to == of[parent] {
                let direction = Direction::OneToMany;
                (from, Link { parent, parent_columns: to_columns, own_columns: columns, direction })
            } else if from == of[parent] {
                let direction = Direction::ManyToOne;
                (to, Link { parent, parent_columns: columns, own_columns: to_columns, direction })
            } else {
                continue;
            };
            layers.push(layer(table, vec![link], *by, false));
            of.push(table);
        }
        self.add_closure(&keys, &mut layers, &mut of, &layer);
        Plan { layers }
    }

    fn add_closure(
        &self,
        keys: &[(usize, Vec<usize>, usize, Vec<usize>)],
        layers: &mut Vec<Layer>,
        of: &mut Vec<usize>,
        layer: &impl Fn(usize, Vec<Link>, u8, bool) -> Layer,
    ) {
        let mut parent = 0;
        while parent < layers.len() {
            for (bit, (from, columns, to, to_columns)) in keys.iter().enumerate() {
                if *from != of[parent] || self.closure.0 & 1 << bit == 0 {
                    continue;
                }
                let at = (0..layers.len()).find(|at| layers[*at].is_closure && of[*at] == *to);
                let at = at.unwrap_or_else(|| {
                    layers.push(layer(*to, Vec::new(), self.closure.1, true));
                    of.push(*to);
                    layers.len() - 1
                });
                layers[at].links.push(Link {
                    parent,
                    parent_columns: columns.clone(),
                    own_columns: to_columns.clone(),
                    direction: Direction::ManyToOne,
                });
            }
            parent += 1;
        }
    }

    pub fn initial(&self) -> Db {
        let mut db = Db::default();
        self.perform(&self.initial, &mut db);
        db
    }

    /// The transactions' changes, each with the database after it.
    pub fn transactions(&self, plan: &Plan) -> Vec<(Db, Vec<Change>)> {
        let mut old = self.initial();
        let mut all = Vec::new();
        for (at, ops) in self.transactions.iter().enumerate() {
            let mut db = old.clone();
            let touched = self.perform(ops, &mut db);
            let mut changes = db.since(&old, &touched);
            touch_orphans(plan, &old, &db, &mut changes);
            // No order is better than another.
            if !changes.is_empty() {
                let by = (self.whim as usize).wrapping_add(at) % changes.len();
                changes.rotate_left(by);
            }
            old = db.clone();
            all.push((db, changes));
        }
        all
    }

    fn perform(&self, ops: &[Op], db: &mut Db) -> BTreeSet<RowId> {
        let tables = self.tables();
        let mut touched = BTreeSet::new();
        for op in ops {
            let table = &tables[op.table % tables.len()];
            let mut values = vec![None; 8];
            values[0] = Some(op.key.0.to_string());
            values[1] = Some(op.key.1.to_string());
            let id = (table.id, Key::of(&row(&values), &table.primary_key).unwrap());
            touched.insert(id.clone());
            let existing = db.rows.get(&id).map(values_of);
            match (&op.what, existing) {
                (What::Delete, _) => {
                    db.rows.remove(&id);
                }
                (What::Put { code, owner, references, takes }, _) => {
                    values[CODE] = small(*code, 4);
                    values[OWNER] = owner_of(*owner);
                    for (column, to) in REFERENCES.iter().zip(references) {
                        values[*column] = small(*to, 6);
                    }
                    let has_code = |row: &Row| row.get(CODE) == values[CODE].as_deref().map(str::as_bytes);
                    let other = db.of_table(table).find(|(other, row)| **other != id && has_code(row));
                    if let Some((other, row_of)) = other.map(|(other, row)| (other.clone(), values_of(row)))
                        && values[CODE].is_some()
                    {
                        if *takes {
                            let mut without = row_of;
                            without[CODE] = None;
                            db.rows.insert(other, row(&without));
                        } else {
                            values[CODE] = None;
                        }
                    }
                    db.rows.insert(id, row(&values));
                }
                (What::Refer { column, to }, Some(mut values)) => {
                    values[REFERENCES[*column]] = small(*to, 6);
                    db.rows.insert(id, row(&values));
                }
                (What::Own { owner }, Some(mut values)) => {
                    values[OWNER] = owner_of(*owner);
                    db.rows.insert(id, row(&values));
                }
                _ => {}
            }
        }
        touched
    }
}

/// Postgres lets no row refer to one that does not exist yet, unless both are written in one transaction. (It lets rows refer to
/// nothing in these tests, and that is what they do until then.)
fn touch_orphans(plan: &Plan, old: &Db, new: &Db, changes: &mut Vec<Change>) {
    let mut orphans = BTreeSet::new();
    for layer in &plan.layers {
        for link in layer.links.iter().filter(|link| link.direction == Direction::OneToMany) {
            let parents = &plan.layers[link.parent].table;
            let had: BTreeSet<_> =
                old.of_table(parents).filter_map(|(_, row)| Key::of(row, &link.parent_columns)).collect();
            for (id, row) in new.of_table(&layer.table) {
                let Some(value) = Key::of(row, &link.own_columns) else { continue };
                let mut of_parents = new.of_table(parents).map(|(_, row)| Key::of(row, &link.parent_columns));
                if !had.contains(&value) && of_parents.any(|of_parent| of_parent == Some(value.clone())) {
                    orphans.insert(id.clone());
                }
            }
        }
    }
    for id in orphans {
        let (relation, row) = (id.0, &new.rows[&id]);
        let is_this = |change: &Change| change.relation == relation && change.row.after() == Some(row);
        if old.rows.get(&id) == Some(row) && !changes.iter().any(is_this) {
            let row = RowChange::Update { old: row.clone(), new: row.clone(), tags: Tags::new() };
            changes.push(Change { relation, row, blind: false });
        }
    }
}

fn row(values: &[Option<String>]) -> Row {
    values.iter().map(|value| value.as_deref().map(str::as_bytes)).collect()
}

fn values_of(row: &Row) -> Vec<Option<String>> {
    row.iter().map(|value| value.map(|value| String::from_utf8(value.to_vec()).unwrap())).collect()
}

/// One of `1`, `2`, …, or NULL.
fn small(of: u8, kinds: u8) -> Option<String> {
    match of % kinds {
        0 => None,
        n => Some(n.to_string()),
    }
}

fn owner_of(of: u8) -> Option<String> {
    ["", "a", "b", "a", "b"].get(usize::from(of)).map(|owner| (*owner).to_owned())
}

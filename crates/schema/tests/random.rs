//! Random histories of a few tables, as Postgres would record them.

use std::collections::{BTreeMap, BTreeSet};

use change::Xid;
use proptest::prelude::*;
use schema::{Migration, Record, Schema, evolve, parse_record};
use serde_json::json;

use crate::support::{TableJson, table};

/// Something that is done to a table, named by its place among the names.
#[derive(Clone, Debug)]
pub enum Action {
    /// Electrified: under the object id that it had last, or another; referring to another table.
    Enable {
        name: usize,
        same: bool,
        parent: Option<usize>,
        typed: bool,
    },
    /// Taken out of the sync, or dropped.
    Remove(usize),
    /// Changed beyond what clients can follow, and said so.
    Suspend(usize),
    /// Good again: as it was, with more columns, or another altogether.
    Resume {
        name: usize,
        change: Option<bool>,
    },
    /// Changed beyond what clients can follow; nobody says so.
    Retype(usize),
    AddColumn(usize),
    AddIndex(usize),
    DropIndex(usize),
    /// A label at this place.
    AddLabel(usize),
}

/// The third differs from the first in case only.
pub const NAMES: [&str; 4] = ["a", "b", "A", "c"];

fn action() -> impl Strategy<Value = Action> {
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (name(), any::<bool>(), proptest::option::of(name()), any::<bool>())
            .prop_map(|(name, same, parent, typed)| Action::Enable { name, same, parent, typed }),
        2 => name().prop_map(Action::Remove),
        1 => name().prop_map(Action::Suspend),
        2 => (name(), any::<Option<bool>>()).prop_map(|(name, change)| Action::Resume { name, change }),
        1 => name().prop_map(Action::Retype),
        3 => name().prop_map(Action::AddColumn),
        1 => name().prop_map(Action::AddIndex),
        1 => name().prop_map(Action::DropIndex),
        1 => (0..4usize).prop_map(Action::AddLabel),
    ]
}

/// Some transactions.
pub fn history() -> impl Strategy<Value = Vec<Vec<Action>>> {
    proptest::collection::vec(proptest::collection::vec(action(), 1..4), 1..10)
}

#[derive(Clone, Debug)]
struct Known {
    oid: u32,
    /// Added columns; their type changes with the generation.
    columns: usize,
    generation: usize,
    indexes: BTreeSet<usize>,
    parent: Option<usize>,
    typed: bool,
    /// Suspended by a row.
    suspended: bool,
}

/// Postgres, and what it records.
#[derive(Default)]
pub struct Database {
    tables: BTreeMap<usize, Known>,
    last: BTreeMap<usize, u32>,
    oids: u32,
    labels: Vec<String>,
    added: usize,
    /// Something happened after which [`Database::expected`] does not know what clients get: a table was changed in silence, or
    /// came without what it refers to, or there were two whose names differ in case only.
    pub is_vague: bool,
}

impl Database {
    pub fn new() -> Database {
        Database { labels: vec!["one".into()], ..Database::default() }
    }

    /// The records of one transaction.
    pub fn run(&mut self, actions: &[Action]) -> Vec<Record> {
        let mut records = Vec::new();
        let mut touched: Vec<usize> = Vec::new();
        for action in actions {
            self.apply(action, &mut records, &mut touched);
        }
        let live = self.expected();
        for name in touched {
            // Then it may come without its foreign key.
            let parent = self.tables.get(&name).and_then(|known| known.parent);
            self.is_vague |= parent.is_some_and(|parent| !live.contains(&NAMES[parent]));
            if let Some(json) = self.json(name) {
                records.push(parse_record(json.json().to_string().as_bytes()).unwrap());
            }
        }
        records
    }

    fn apply(&mut self, action: &Action, records: &mut Vec<Record>, touched: &mut Vec<usize>) {
        match *action {
            Action::Enable { name, same, parent, typed } if !self.tables.contains_key(&name) => {
                let parent = parent.filter(|p| self.tables.contains_key(p) || *p == name);
                let oid = self.last.get(&name).copied().filter(|_| same).unwrap_or_else(|| {
                    self.oids += 1;
                    self.oids
                });
                if self.last.insert(name, oid).is_some_and(|last| last != oid) {
                    self.drop_references(name, records, touched);
                }
                self.is_vague |= [0, 2].iter().all(|n| *n == name || self.tables.contains_key(n));
                let indexes = BTreeSet::new();
                let (columns, generation) = (0, 0);
                self.tables.insert(
                    name,
                    Known { oid, columns, generation, indexes, parent, typed, suspended: false },
                );
                touch(touched, name);
            }
            Action::Remove(name) => {
                if let Some(known) = self.tables.remove(&name) {
                    records.push(record(
                        &json!({"removed": {"oid": known.oid, "schema": "public", "name": NAMES[name]}}),
                    ));
                    touched.retain(|other| *other != name);
                }
            }
            Action::Suspend(name) => {
                if let Some(known) = self.tables.get_mut(&name) {
                    known.suspended = true;
                    records.push(suspended(known.oid, name));
                    touched.retain(|other| *other != name);
                }
            }
            Action::Resume { name, change } => {
                if let Some(known) = self.tables.get_mut(&name).filter(|known| known.suspended) {
                    known.suspended = false;
                    match change {
                        None => {}
                        Some(false) => known.columns += 1,
                        Some(true) => known.generation += 1,
                    }
                    touch(touched, name);
                }
            }
            Action::Retype(name) => {
                if let Some(known) =
                    self.tables.get_mut(&name).filter(|known| !known.suspended && known.columns > 0)
                {
                    known.generation += 1;
                    self.is_vague = true;
                    touch(touched, name);
                }
            }
            Action::AddColumn(name) => {
                if let Some(known) = self.tables.get_mut(&name).filter(|known| !known.suspended) {
                    known.columns += 1;
                    touch(touched, name);
                }
            }
            Action::AddIndex(name) => {
                if let Some(known) = self.tables.get_mut(&name).filter(|known| !known.suspended) {
                    known.indexes.insert(known.columns);
                    touch(touched, name);
                }
            }
            Action::DropIndex(name) => {
                if let Some(known) = self.tables.get_mut(&name).filter(|known| !known.suspended) {
                    known.indexes.pop_first();
                    touch(touched, name);
                }
            }
            Action::AddLabel(place) => {
                self.added += 1;
                self.labels.insert(place.min(self.labels.len()), format!("label_{}", self.added));
                for (name, known) in &self.tables {
                    if known.typed && !known.suspended {
                        touch(touched, *name);
                    }
                }
            }
            Action::Enable { .. } => {}
        }
    }

    /// The table of this name was dropped, and with it the foreign keys of others to it.
    fn drop_references(&mut self, name: usize, records: &mut Vec<Record>, touched: &mut Vec<usize>) {
        for (child, known) in self.tables.iter_mut().filter(|(_, known)| known.parent == Some(name)) {
            known.parent = None;
            known.suspended = true;
            records.push(suspended(known.oid, *child));
            touched.retain(|other| other != child);
        }
    }

    fn json(&self, name: usize) -> Option<TableJson> {
        let known = self.tables.get(&name)?;
        let mut json = table(known.oid, NAMES[name]);
        let labels: Vec<&str> = self.labels.iter().map(String::as_str).collect();
        if known.typed {
            json = json.enumeration("hue", &labels);
        }
        json = json.column("id", "text!").column("parent", "text");
        if known.typed {
            json = json.column("hue", "hue");
        }
        for n in 0..known.columns {
            let ty = ["text", "int4", "uuid"][(known.generation + n) % 3];
            json = json.column(&format!("added_{n}"), ty);
        }
        for n in &known.indexes {
            let index = format!("{}_idx_{n}", NAMES[name].to_ascii_lowercase());
            let column = if *n == 0 { "parent".to_owned() } else { format!("added_{}", n - 1) };
            let of = schema::quote_postgres(NAMES[name]);
            json = json.index(&index, &format!("CREATE INDEX {index} ON public.{of} USING btree ({column})"));
        }
        json = json.key(&["id"]);
        let parent = known.parent.and_then(|parent| {
            let oid = self.tables.get(&parent).map(|known| known.oid).or(self.last.get(&parent).copied())?;
            Some((oid, NAMES[parent]))
        });
        if let Some((oid, parent)) = parent {
            json = json.references(&["parent"], (oid, parent), &["id"], "aa", "");
        }
        Some(json)
    }

    /// The names of the tables that clients should get something of, unless [`Database::is_vague`].
    pub fn expected(&self) -> Vec<&'static str> {
        let mut live: BTreeSet<usize> =
            self.tables.iter().filter(|(_, known)| !known.suspended).map(|(name, _)| *name).collect();
        loop {
            let before = live.len();
            let there = live.clone();
            live.retain(|name| self.tables[name].parent.is_none_or(|parent| there.contains(&parent)));
            if live.len() == before {
                return live.into_iter().map(|name| NAMES[name]).collect();
            }
        }
    }
}

fn suspended(oid: u32, name: usize) -> Record {
    let row = json!({"oid": oid, "schema": "public", "name": NAMES[name], "reason": "it was changed"});
    record(&json!({"suspended": row}))
}

fn touch(touched: &mut Vec<usize>, name: usize) {
    touched.retain(|other| *other != name);
    touched.push(name);
}

fn record(json: &serde_json::Value) -> Record {
    parse_record(json.to_string().as_bytes()).unwrap()
}

/// The `n`-th step.
pub fn step(n: usize, records: &[Record], before: &Schema) -> (Migration, Schema) {
    let evolution = evolve(&format!("20240801120000_{n:03}"), Xid(n as u64), 0, records, before);
    (evolution.migration, evolution.schema)
}

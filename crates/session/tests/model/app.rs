//! What apps do to their databases, and others to Postgres: transactions that keep the rules that the model checks.

use std::collections::BTreeSet;

use change::RelationId;

use super::{
    database::{Model, Native},
    local::{Local, Op},
    tables::{self, CHILDREN, EVENTS, LEAVES, MARKS, NODES, PAIRS, PARENTS, TASKS},
};
use crate::{
    client::Values,
    simulator::{postgres::Database as _, random::Random},
};

/// One SQL transaction of an app, in the tables of which it has shapes.
pub fn transaction(local: &mut Local, shapes: &BTreeSet<&str>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let Some(shape) = pick(random, shapes.iter().copied()) else { return };
        match tables::table_of(shape) {
            "tasks" => task(local, shape, random),
            table => statement(local, table, random),
        }
    }
}

fn statement(local: &mut Local, table: &str, random: &mut Random) {
    let value = random.below(100).to_string();
    match table {
        "events" => {
            let id = format!("{}-{}", local.client, local.serial());
            // One that the app has: whoever has this row must have that one.
            let needs = pick(random, keys(local, "events"));
            local.upsert(table, row([("id", Some(id)), ("needs", needs)]));
        }
        "pairs" => {
            let name = some_key(random, "a", 2);
            for side in ["l", "r"] {
                let key = format!("{name}-{side}");
                if value.ends_with('0') {
                    local.delete(table, &key);
                } else {
                    local.upsert(table, row([("id", Some(key)), ("value", Some(value.clone()))]));
                }
            }
        }
        "parents" if random.one_in(4) => {
            if let Some(key) = pick(random, keys(local, table)) {
                delete_parent(local, &key);
            }
        }
        "parents" => {
            let key = ("id", Some(some_key(random, "p", 4)));
            let known = local.rows.contains_key(&(table.to_owned(), key.1.clone().unwrap()));
            local.upsert(
                table,
                match random.below(3) {
                    0 if known => row([key, ("value", Some(value))]),
                    1 if known => row([key, ("other", Some(value))]),
                    _ => row([key, ("value", Some(value)), ("other", None)]),
                },
            );
        }
        "children" => {
            let key = some_key(random, "c", 4);
            match random.below(4) {
                0 => local.delete(table, &key),
                1 if local.rows.contains_key(&(table.to_owned(), key.clone())) => {
                    local.upsert(table, row([("id", Some(key)), ("note", Some(value))]));
                }
                _ => {
                    let parent = pick(random, keys(local, "parents"));
                    local.upsert(table, row([("id", Some(key)), ("parent", parent), ("note", Some(value))]));
                }
            }
        }
        "leaves" => {
            let key = some_key(random, "l", 3);
            match pick(random, keys(local, "parents")).filter(|_| !random.one_in(3)) {
                None => local.delete(table, &key),
                parent => local.upsert(table, row([("id", Some(key)), ("parent", parent)])),
            }
        }
        "nodes" => {
            let key = some_key(random, "n", 4);
            if random.one_in(3) {
                if !children_of(local, "nodes", &key).iter().any(|child| *child != key) {
                    local.delete(table, &key);
                }
            } else {
                let parent = pick(random, keys(local, "nodes"));
                local.upsert(table, row([("id", Some(key)), ("parent", parent)]));
            }
        }
        _ => {
            let key = some_key(random, "m", 3);
            match random.one_in(2) {
                true => local.delete(table, &key),
                false => local.upsert(table, row([("id", Some(key))])),
            }
        }
    }
}

/// Tasks are made in the shape. Then they may be moved out of it, once it is sure that they were: what nobody but the app
/// ever had stays with it, wherever it belongs.
fn task(local: &mut Local, shape: &str, random: &mut Random) {
    let key = some_key(random, "t", 3);
    let place = ("tasks".to_owned(), key.clone());
    if random.one_in(6) {
        return local.delete("tasks", &key);
    }
    let is_known = local.rows.contains_key(&place);
    let is_new = local.oplog.iter().any(|entry| entry.place == place && entry.op == Op::Insert);
    let id = ("id", Some(key));
    let note = ("note", Some(random.below(100).to_string()));
    let level = loop {
        let level = random.below(10).to_string();
        if (is_known && !is_new) || tables::admits(shape, Some(&level)) {
            break ("level", Some(level));
        }
    };
    let change = match random.below(3) {
        0 if is_known => row([id, note]),
        1 if is_known => row([id, level]),
        _ => row([id, level, note]),
    };
    local.upsert("tasks", change);
}

/// The app deletes children itself; leaves go by the database's own rule.
fn delete_parent(local: &mut Local, key: &str) {
    for table in ["children", "leaves"] {
        for child in children_of(local, table, key) {
            local.delete(table, &child);
        }
    }
    local.delete("parents", key);
}

fn children_of(local: &Local, table: &str, key: &str) -> Vec<String> {
    let of_table = local.rows.iter().filter(|((known, _), _)| known == table);
    let refers = |row: &Values| row.get("parent").is_some_and(|parent| parent.as_deref() == Some(key));
    of_table.filter(|(_, row)| refers(row)).map(|((_, child), _)| child.clone()).collect()
}

/// One transaction that a session of Postgres' own tries.
pub fn native(model: &Model, serial: usize, random: &mut Random) -> Vec<Native> {
    let mut statements = Vec::new();
    for _ in 0..=random.below(3) {
        native_statement(model, serial + statements.len(), random, &mut statements);
    }
    statements
}

fn native_statement(model: &Model, serial: usize, random: &mut Random, to: &mut Vec<Native>) {
    let value = Some(random.below(100).to_string());
    // What a query finds: not what was committed a moment ago and does not show yet.
    let existing = |table: RelationId| {
        let keys = model.rows().map(|(key, _)| key);
        let seen = keys.filter(move |key| key.0 == table && !model.log().is_locked(key));
        seen.map(|(_, key)| key.clone())
    };
    match random.below(12) {
        9..=11 => {
            let key = some_key(random, "t", 3);
            to.push(match random.one_in(3) {
                true => Native::Delete((TASKS, key)),
                false => Native::Put(TASKS, vec![Some(key), Some(random.below(10).to_string()), value]),
            });
        }
        0 | 1 => {
            let name = some_key(random, "a", 2);
            let is_gone = random.one_in(4);
            for side in ["l", "r"] {
                let key = format!("{name}-{side}");
                to.push(match is_gone {
                    true => Native::Delete((PAIRS, key)),
                    false => Native::Put(PAIRS, vec![Some(key), value.clone()]),
                });
            }
        }
        2 => {
            let needs = pick(random, existing(EVENTS));
            to.push(Native::Put(EVENTS, vec![Some(format!("native-{serial}")), needs]));
        }
        3 => to.push(Native::Put(PARENTS, vec![Some(some_key(random, "p", 4)), value, None])),
        4 => {
            let parent = pick(random, existing(PARENTS));
            let key = Some(some_key(random, "c", 4));
            to.push(Native::Put(CHILDREN, vec![key, parent.clone(), value]));
            if parent.is_some() && random.one_in(2) {
                to.push(Native::Put(LEAVES, vec![Some(some_key(random, "l", 3)), parent]));
            }
        }
        5 => {
            let table = [PARENTS, CHILDREN, MARKS, NODES][random.below(4)];
            if let Some(key) = pick(random, existing(table)) {
                to.push(Native::Delete((table, key.clone())));
                if random.one_in(3) && table == MARKS {
                    to.push(Native::Put(MARKS, vec![Some(key)]));
                }
            }
        }
        6 => {
            let (table, name, many) =
                [(MARKS, "m", 3), (CHILDREN, "c", 4), (PARENTS, "p", 4)][random.below(3)];
            if let Some(key) = pick(random, existing(table)) {
                to.push(Native::Rekey((table, key), some_key(random, name, many)));
            }
        }
        7 if random.one_in(4) => {
            to.push(Native::Truncate([MARKS, PAIRS, CHILDREN, LEAVES, NODES][random.below(5)]));
        }
        _ => {
            let parent = pick(random, existing(NODES));
            to.push(Native::Put(NODES, vec![Some(some_key(random, "n", 4)), parent]));
        }
    }
}

fn keys(local: &Local, table: &str) -> impl Iterator<Item = String> {
    let of_table = local.rows.keys().filter(move |(known, _)| known == table);
    of_table.map(|(_, key)| key.clone())
}

fn some_key(random: &mut Random, name: &str, many: usize) -> String {
    format!("{name}{}", random.below(many))
}

fn pick<T>(random: &mut Random, all: impl Iterator<Item = T>) -> Option<T> {
    let mut all: Vec<T> = all.collect();
    (!all.is_empty()).then(|| all.swap_remove(random.below(all.len())))
}

fn row<const N: usize>(columns: [(&str, Option<String>); N]) -> Values {
    columns.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

//! The test vectors' own notation (spec 06 §13): rows like `e1 author_id=u1`, statements, and what a client sees.

use std::collections::{BTreeMap, BTreeSet};

use change::{RelationId, Row};
use schema::{ColumnType, Schema, Table};
use shapes::{Key, Purpose, SelectDef};

use super::{
    driver::{Followed, Step},
    model::{Db, RowId},
};
use crate::support;

/// A shape, followed from its initial data on.
pub struct Script {
    schema: Schema,
    followed: Followed,
    /// What the initial data was.
    pub data: String,
    /// How many reads the last pass took.
    pub reads: usize,
}

impl Script {
    /// Subscribes user 1 to a shape of the example schema, with these rows in the database.
    pub fn new(rows: &[&str], select: &SelectDef) -> Script {
        Script::of(support::example(), rows, select)
    }

    /// The same with another schema, whose tables' names have different initials.
    pub fn of(schema: Schema, rows: &[&str], select: &SelectDef) -> Script {
        let mut db = Db::default();
        rows.iter().for_each(|row| put(&schema, &mut db, row));
        let shape = support::shape(select, &schema, "1").unwrap();
        let (followed, step) = Followed::begin((*shape.plan).clone(), db, 1);
        let data = listed(&schema, step.images.keys().map(|id| ("I", id)));
        Script { schema, followed, data, reads: step.wants.len() }
    }

    /// Commits statements as one transaction: `+row` inserts, `~row` updates, `-row` deletes. Returns what the client sees of it: `I`
    /// insert, `U` update, `D` delete, `G` gone, then additional data, if a reference to it is announced.
    pub fn tx(&mut self, statements: &[&str]) -> String {
        let (old, mut db) = (self.followed.db.clone(), self.followed.db.clone());
        let mut order = BTreeMap::new();
        for (at, statement) in statements.iter().enumerate() {
            let (verb, row) = statement.split_at(1);
            let id = id_of(&self.schema, row);
            assert_eq!(db.rows.contains_key(&id), verb != "+", "{statement}");
            if verb == "-" {
                db.rows.remove(&id);
            } else {
                put(&self.schema, &mut db, row);
            }
            order.insert(id, at);
        }
        let touched: BTreeSet<RowId> = order.keys().cloned().collect();
        let mut changes = db.since(&old, &touched);
        changes.sort_by_key(|change| {
            let row = change.row.after().or(change.row.before()).unwrap();
            let table = self.schema.table(change.relation).unwrap();
            order[&(change.relation, Key::of(row, &table.primary_key).unwrap())]
        });
        let step = self.followed.commit(db, changes);
        self.reads = step.wants.len();
        self.shown(&step)
    }

    fn shown(&self, step: &Step) -> String {
        let is_additional = |id: &RowId| step.images.get(id) == Some(&Purpose::Additional);
        let ids = step.delta.rows.iter().map(|moved| (moved, (moved.relation, moved.key.clone())));
        let ops: Vec<_> = ids
            .filter(|(_, id)| !is_additional(id))
            .map(|(moved, id)| {
                let op = match (moved.was, moved.now) {
                    (false, _) => "I",
                    (true, true) => "U",
                    (true, false) if self.followed.db.rows.contains_key(&id) => "G",
                    (true, false) => "D",
                };
                (op, id)
            })
            .collect();
        let mut shown = listed(&self.schema, ops.iter().map(|(op, id)| (*op, id)));
        if step.delta.has_additional {
            let additional = step.images.keys().filter(|id| is_additional(id)).map(|id| ("I", id));
            shown += &format!(" + ADD[{}]", listed(&self.schema, additional));
        }
        shown
    }
}

/// Sorted by operation and name.
fn listed<'a>(schema: &Schema, ops: impl Iterator<Item = (&'static str, &'a RowId)>) -> String {
    let ops: BTreeSet<_> = ops.map(|(op, id)| format!("{op} {}", name_of(schema, id))).collect();
    ops.into_iter().collect::<Vec<_>>().join(", ")
}

/// A row's name as its id: `u1`.
pub fn uuid(name: &str) -> String {
    format!("{:02x}{:0>6}-0000-4000-8000-000000000000", name.as_bytes()[0], &name[1..])
}

fn table_of<'a>(schema: &'a Schema, name: &str) -> &'a Table {
    let named = schema.tables().find(|table| table.name.starts_with(&name[..1]) && table.name != "nums");
    named.unwrap()
}

fn id_of(schema: &Schema, row: &str) -> RowId {
    let name = row.split(' ').next().unwrap();
    let table = table_of(schema, name);
    let row = match name.strip_prefix("o(") {
        Some(key) => key.trim_end_matches(')').split(',').map(|value| Some(value.as_bytes())).collect(),
        None => support::row(&[Some(&uuid(name))]),
    };
    (table.id, Key::of(&row, &table.primary_key).unwrap())
}

fn name_of(schema: &Schema, (relation, key): &(RelationId, Key)) -> String {
    let table = schema.table(*relation).unwrap();
    let values = key.values(table.primary_key.len()).map(|value| String::from_utf8(value.to_vec()).unwrap());
    let values: Vec<_> = values.collect();
    match &values[..] {
        [id] => format!("{}{}", &table.name[..1], id[2..8].trim_start_matches('0')),
        _ => format!("{}({})", &table.name[..1], values.join(",")),
    }
}

/// Inserts a row, or changes the values that are given.
fn put(schema: &Schema, db: &mut Db, text: &str) {
    let id = id_of(schema, text);
    let table = schema.table(id.0).unwrap();
    let mut values: Vec<Option<String>> = match db.rows.get(&id) {
        Some(row) => row.iter().map(|v| v.map(|v| String::from_utf8(v.to_vec()).unwrap())).collect(),
        None => vec![None; table.columns.len()],
    };
    for (column, value) in table.primary_key.iter().zip(id.1.values(table.primary_key.len())) {
        values[*column] = Some(String::from_utf8(value.to_vec()).unwrap());
    }
    for (column, value) in text.split(' ').skip(1).map(|pair| pair.split_once('=').unwrap()) {
        let column = table.column_index(column).unwrap();
        let is_id = table.columns[column].ty == ColumnType::Uuid;
        values[column] = match value {
            "NULL" => None,
            name if is_id => Some(uuid(name)),
            value => Some(value.replace('_', " ")),
        };
    }
    let row: Row = values.iter().map(|value| value.as_deref().map(str::as_bytes)).collect();
    db.rows.insert(id, row);
}

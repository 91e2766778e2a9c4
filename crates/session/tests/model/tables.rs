//! The tables of the model, and the shapes that are asked of them.

use std::sync::Arc;

use change::RelationId;
use schema::{ForeignKey, ForeignKeyAction, Schema, Table};

use crate::tables::table;

/// `(id, value, other)`; rows refer to it.
pub const PARENTS: RelationId = RelationId(16_600);
/// `(id, parent, note)`; a parent can't go while it has children.
pub const CHILDREN: RelationId = RelationId(16_601);
/// `(id, parent)`; goes with its parent.
pub const LEAVES: RelationId = RelationId(16_602);
/// `(id, value)`: two rows of a name that every transaction writes alike.
pub const PAIRS: RelationId = RelationId(16_603);
/// `(id, needs)`: made once and never changed; each names another that its author had.
pub const EVENTS: RelationId = RelationId(16_604);
/// `(id)`: nothing but a key.
pub const MARKS: RelationId = RelationId(16_605);
/// `(id, parent)`: refers to itself.
pub const NODES: RelationId = RelationId(16_606);

/// `(id, level, note)`, of which a client has some by their levels, digits from 0 to 9.
pub const TASKS: RelationId = RelationId(16_607);

/// Sets of shapes that a client may ask for together. Those that refer to each other go together.
pub const WANTS: [&[&str]; 10] = [
    &["parents", "children", "leaves"],
    &["pairs"],
    &["events"],
    &["marks", "pairs"],
    &["nodes"],
    &["parents", "children", "leaves", "events"],
    &["nodes", "marks"],
    &["low tasks"],
    &["high tasks"],
    &["high tasks", "marks"],
];

/// The table that a shape is about.
pub fn table_of(shape: &str) -> &str {
    shape.strip_prefix("low ").or(shape.strip_prefix("high ")).unwrap_or(shape)
}

/// Whether a row of the shape's table with this level, if it is a task, is in the shape.
pub fn admits(shape: &str, level: Option<&str>) -> bool {
    match shape {
        "low tasks" => level < Some("5"),
        "high tasks" => level > Some("3"),
        _ => true,
    }
}

fn refer(table: &mut Table, column: usize, to: RelationId, name: &str, on_delete: ForeignKeyAction) {
    table.foreign_keys.push(ForeignKey {
        name: format!("{}_{column}", table.name),
        columns: vec![column],
        references: to,
        referenced_table: name.to_owned(),
        referenced_columns: vec!["id".to_owned()],
        on_delete,
        on_update: ForeignKeyAction::NoAction,
        to_key: true,
        definition: String::new(),
    });
}

pub fn schema() -> Arc<Schema> {
    let mut schema = Schema::default();
    schema.version = Some("20240101000000_000".to_owned());
    let mut children = Table::clone(&table(CHILDREN, "children", &["id", "parent", "note"]));
    refer(&mut children, 1, PARENTS, "parents", ForeignKeyAction::NoAction);
    let mut leaves = Table::clone(&table(LEAVES, "leaves", &["id", "parent"]));
    refer(&mut leaves, 1, PARENTS, "parents", ForeignKeyAction::Cascade);
    let mut nodes = Table::clone(&table(NODES, "nodes", &["id", "parent"]));
    refer(&mut nodes, 1, NODES, "nodes", ForeignKeyAction::NoAction);
    schema.insert(table(PARENTS, "parents", &["id", "value", "other"]));
    schema.insert(Arc::new(children));
    schema.insert(Arc::new(leaves));
    schema.insert(table(PAIRS, "pairs", &["id", "value"]));
    schema.insert(table(EVENTS, "events", &["id", "needs"]));
    schema.insert(table(MARKS, "marks", &["id"]));
    schema.insert(Arc::new(nodes));
    schema.insert(table(TASKS, "tasks", &["id", "level", "note"]));
    Arc::new(schema)
}

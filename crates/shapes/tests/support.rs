//! Small schemas, rows and requests.

use std::sync::Arc;

use change::{RelationId, RequestId, Row, UserId};
use schema::{Column, ColumnType, ForeignKey, ForeignKeyAction, Schema, Shadow, Table};
use shapes::{RelationDef, SelectDef, Shape, ShapeDef, ShapeError, ShapeLimits};

/// A table; the first column is the key. A column is of type text, or of another after a blank: `open bool`.
pub fn table(id: u32, name: &str, columns: &[&str]) -> Table {
    let column = |(i, text): (usize, &&str)| {
        let (name, ty) = text.split_once(' ').unwrap_or((text, "text"));
        Column {
            name: name.to_owned(),
            ty: ColumnType::from_typname(ty).unwrap(),
            modifiers: Vec::new(),
            sql_type: ty.into(),
            collation: None,
            not_null: i == 0,
            default: None,
            identity: None,
        }
    };
    Table {
        id: RelationId(id),
        schema: "public".into(),
        name: name.into(),
        columns: columns.iter().enumerate().map(column).collect(),
        primary_key_name: format!("{name}_pkey"),
        primary_key: vec![0],
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        shadow: Shadow {
            id: RelationId(id + 1000),
            name: format!("shadow__public__{name}"),
            tag_columns: columns
                .iter()
                .enumerate()
                .map(|(i, c)| (i > 0).then(|| format!("_tag_{c}")))
                .collect(),
        },
        held_back: None,
    }
}

/// Adds a foreign key.
pub fn refer(mut from: Table, columns: &[&str], to: &Table, referenced: &[&str]) -> Table {
    from.foreign_keys.push(foreign_key(&from, columns, to, referenced));
    from
}

/// Adds a foreign key to the table itself.
pub fn refer_to_itself(mut table: Table, columns: &[&str], referenced: &[&str]) -> Table {
    table.foreign_keys.push(foreign_key(&table, columns, &table, referenced));
    table
}

fn foreign_key(from: &Table, columns: &[&str], to: &Table, referenced: &[&str]) -> ForeignKey {
    ForeignKey {
        name: format!("{}_fkey{}", from.name, from.foreign_keys.len()),
        columns: columns.iter().map(|name| from.column_index(name).unwrap()).collect(),
        references: to.id,
        referenced_table: to.name.clone(),
        referenced_columns: referenced.iter().map(ToString::to_string).collect(),
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
        to_key: true,
        definition: String::new(),
    }
}

pub fn schema(tables: impl IntoIterator<Item = Table>) -> Schema {
    let mut schema = Schema::default();
    for table in tables {
        schema.insert(Arc::new(table));
    }
    schema
}

/// The schema of the test vectors (spec 06 §13), and a table that clients can't have.
pub fn example() -> Schema {
    let users = table(1, "users", &["id uuid", "name"]);
    let entries = table(2, "entries", &["id uuid", "content", "author_id uuid"]);
    let entries = refer(entries, &["author_id"], &users, &["id"]);
    let comments = table(3, "comments", &["id uuid", "content", "entry_id uuid", "author_id uuid"]);
    let comments = refer(comments, &["entry_id"], &entries, &["id"]);
    let comments = refer(comments, &["author_id"], &users, &["id"]);
    let projects = table(4, "projects", &["id uuid", "name", "status", "owner_id uuid"]);
    let projects = refer(projects, &["owner_id"], &users, &["id"]);
    let issues =
        table(5, "issues", &["id uuid", "title", "open bool", "project_id uuid", "assignee_id uuid"]);
    let issues = refer(issues, &["project_id"], &projects, &["id"]);
    let issues = refer(issues, &["assignee_id"], &users, &["id"]);
    let notes = table(6, "notes", &["id uuid", "body", "electric_user_id"]);
    let mut orders = table(7, "orders", &["tenant", "no"]);
    orders.primary_key = vec![0, 1];
    let lines = table(8, "lines", &["id uuid", "tenant", "no"]);
    let lines = refer(lines, &["tenant", "no"], &orders, &["tenant", "no"]);
    let nums = table(
        9,
        "nums",
        &["id uuid", "a int4", "b int4", "f float8", "t varchar", "d date", "ts timestamptz"],
    );
    let mut hidden = table(10, "hidden", &["id uuid"]);
    hidden.held_back = Some("odd".into());
    schema([users, entries, comments, projects, issues, notes, orders, lines, nums, hidden])
}

pub fn select(table: &str, include: Vec<RelationDef>) -> SelectDef {
    SelectDef { table: table.into(), where_clause: String::new(), include }
}

pub fn select_where(table: &str, where_clause: &str, include: Vec<RelationDef>) -> SelectDef {
    SelectDef { where_clause: where_clause.into(), ..select(table, include) }
}

pub fn over(key: &[&str], select: SelectDef) -> RelationDef {
    RelationDef { foreign_key: key.iter().map(ToString::to_string).collect(), select: Some(select) }
}

pub fn shape(select: &SelectDef, schema: &Schema, user: &str) -> Result<Shape, ShapeError> {
    let definition = ShapeDef { selects: vec![select.clone()] };
    Shape::new(RequestId::new("r"), Some(&definition), schema, &UserId::new(user), &ShapeLimits::default())
}

pub fn row(values: &[Option<&str>]) -> Row {
    values.iter().map(|value| value.map(str::as_bytes)).collect()
}

//! Tables, rows and transactions to stream.

use std::sync::Arc;

use change::{Change, ClientId, Lsn, Origin, RelationId, Row, RowChange, Tag, Tags, Transaction, Xid};
use protocol::wire::sat_shape_def::{Relation, Select};
use schema::{
    Column, ColumnType, ForeignKey, ForeignKeyAction, Migration, MigrationOp, Schema, Shadow, Statement,
    StatementKind, Table,
};
use session::Delivery;

pub const ITEMS: RelationId = RelationId(16_500);
pub const NOTES: RelationId = RelationId(16_501);
/// Has the column `electric_user_id`.
pub const OWNED: RelationId = RelationId(16_502);
/// Created by a migration.
pub const LATE: RelationId = RelationId(16_503);

/// Refers to `owned` by `lead_id`.
pub const PROJECTS: RelationId = RelationId(16_504);
/// Refers to `projects` by `project_id` and to itself by `parent_id`.
pub const ISSUES: RelationId = RelationId(16_505);

/// What a shape is called in the tests, as a client words it: a table, or one of the joined ones.
pub fn select(name: &str) -> Select {
    let whole = |table: &str, clause: &str| Select {
        tablename: table.to_owned(),
        r#where: clause.to_owned(),
        include: Vec::new(),
    };
    let include = |column: &str, select: Select| Relation {
        foreign_key: vec![column.to_owned()],
        select: Some(select),
    };
    match name {
        "a projects with a issues" => Select {
            include: vec![include("project_id", whole("issues", "this.status = 'a'"))],
            ..whole("projects", "this.status = 'a'")
        },
        "projects with issues with children" => Select {
            include: vec![include(
                "project_id",
                Select { include: vec![include("parent_id", whole("issues", ""))], ..whole("issues", "") },
            )],
            ..whole("projects", "this.status IN ('a', 'b')")
        },
        "a issues" => whole("issues", "this.status = 'a'"),
        "b issues" => whole("issues", "this.status = 'b'"),
        "a items" => whole("items", "this.content < '5'"),
        "b items" => whole("items", "this.content > '3'"),
        "low tasks" => whole("tasks", "this.level < '5'"),
        "high tasks" => whole("tasks", "this.level > '3'"),
        table => whole(table, ""),
    }
}

pub fn table(id: RelationId, name: &str, columns: &[&str]) -> Arc<Table> {
    let column = |(index, name): (usize, &&str)| Column {
        name: (*name).to_owned(),
        ty: ColumnType::Text,
        modifiers: Vec::new(),
        sql_type: "text".to_owned(),
        collation: None,
        not_null: index == 0,
        default: None,
        identity: None,
    };
    Arc::new(Table {
        id,
        schema: "public".to_owned(),
        name: name.to_owned(),
        columns: columns.iter().enumerate().map(column).collect(),
        primary_key_name: format!("{name}_pkey"),
        primary_key: vec![0],
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        shadow: Shadow {
            id: RelationId(id.0 + 10_000),
            name: format!("shadow__public__{name}"),
            tag_columns: columns.iter().map(|column| Some(format!("_tag_{column}"))).collect(),
        },
        held_back: None,
    })
}

pub fn schema() -> Arc<Schema> {
    let mut schema = Schema::default();
    schema.version = Some("20240101000000_000".to_owned());
    schema.insert(table(ITEMS, "items", &["id", "content"]));
    schema.insert(table(NOTES, "notes", &["id", "content"]));
    schema.insert(table(OWNED, "owned", &["id", "electric_user_id", "content"]));
    let reference = |column: usize, to: RelationId, name: &str| ForeignKey {
        name: format!("{name}_{column}"),
        columns: vec![column],
        references: to,
        referenced_table: name.to_owned(),
        referenced_columns: vec!["id".to_owned()],
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
        to_key: true,
        definition: String::new(),
    };
    let mut projects = Table::clone(&table(PROJECTS, "projects", &["id", "status", "lead_id"]));
    projects.foreign_keys = vec![reference(2, OWNED, "owned")];
    schema.insert(Arc::new(projects));
    let mut issues = Table::clone(&table(ISSUES, "issues", &["id", "status", "project_id", "parent_id"]));
    issues.foreign_keys = vec![reference(2, PROJECTS, "projects"), reference(3, ISSUES, "issues")];
    schema.insert(Arc::new(issues));
    Arc::new(schema)
}

/// The `n`-th migration: it adds a column to `items`.
pub fn migration(n: usize, schema: &Schema) -> (Arc<Migration>, Arc<Schema>) {
    let mut after = schema.clone();
    let mut items = Table::clone(schema.table(ITEMS).unwrap());
    let mut column = items.columns[1].clone();
    column.name = format!("added_{n}");
    items.columns.push(column);
    items.shadow.tag_columns.push(Some(format!("_tag_added_{n}")));
    let items = Arc::new(items);
    after.insert(items.clone());
    let version = format!("20240102000000_{n:03}");
    after.version = Some(version.clone());
    let sql = format!("ALTER TABLE items ADD COLUMN added_{n} text");
    let statement =
        Statement { kind: StatementKind::AlterAddColumn, sqlite: Some(format!("{sql};\n")), postgres: sql };
    let op = MigrationOp::Table { table: items, statements: vec![statement] };
    let migration =
        Migration { version, xid: Xid(500 + n as u64), recorded_ms: 1_700_000_000_000, ops: vec![op] };
    (Arc::new(migration), Arc::new(after))
}

/// The `n`-th migration: it creates the table `late`.
pub fn creation(n: usize, schema: &Schema) -> (Arc<Migration>, Arc<Schema>) {
    let mut after = schema.clone();
    let late = table(LATE, "late", &["id", "content"]);
    after.insert(late.clone());
    let version = format!("20240102000000_{n:03}");
    after.version = Some(version.clone());
    let sql = "CREATE TABLE late (id text PRIMARY KEY, content text)".to_owned();
    let statement =
        Statement { kind: StatementKind::CreateTable, sqlite: Some(format!("{sql};\n")), postgres: sql };
    let op = MigrationOp::Table { table: late, statements: vec![statement] };
    let migration =
        Migration { version, xid: Xid(500 + n as u64), recorded_ms: 1_700_000_000_000, ops: vec![op] };
    (Arc::new(migration), Arc::new(after))
}

pub fn row(values: &[Option<&str>]) -> Row {
    values.iter().map(|value| value.map(str::as_bytes)).collect()
}

pub fn tags(ms: i64) -> Tags {
    [Tag::postgres(ms)].into_iter().collect()
}

pub fn insert(relation: RelationId, values: &[&str]) -> Change {
    let values: Vec<_> = values.iter().map(|value| Some(*value)).collect();
    Change { relation, row: RowChange::Insert { new: row(&values), tags: tags(5) }, blind: false }
}

/// A transaction of Postgres' own.
pub fn transaction(lsn: u64, xid: u64, changes: Vec<Change>) -> Transaction {
    Transaction {
        lsn: Lsn(lsn),
        xid: Xid(xid),
        commit_ms: 1_700_000_000_000 + lsn,
        origin: Origin::Postgres,
        changes,
    }
}

pub fn delivery(lsn: u64, xid: u64, changes: Vec<Change>) -> Arc<Delivery> {
    Arc::new(Delivery::new(transaction(lsn, xid, changes), schema(), None))
}

/// A transaction that a client wrote.
pub fn echo(lsn: u64, xid: u64, client: &str, ms: u64, changes: Vec<Change>) -> Arc<Delivery> {
    let origin = Origin::Client(ClientId::new(client).unwrap());
    let transaction = Transaction { origin, commit_ms: ms, ..transaction(lsn, xid, changes) };
    Arc::new(Delivery::new(transaction, schema(), None))
}

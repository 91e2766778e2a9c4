//! `SatOpMigrate` (spec 03 §9).

use std::sync::Arc;

use change::RelationId;
use protocol::{
    Dialect, dialect, migrate_op,
    wire::{
        SatInStartReplicationReq,
        sat_op_migrate::{AffectedEntity, ForeignKey, Type},
    },
};
use schema::{ColumnType, EnumType, ForeignKeyAction, MigrationOp, Statement, StatementKind};

use super::support::table;

fn foreign_key(columns: Vec<usize>, referenced: &[&str]) -> schema::ForeignKey {
    schema::ForeignKey {
        name: "fk".into(),
        columns,
        references: RelationId(1),
        referenced_table: "orgs".into(),
        referenced_columns: referenced.iter().map(ToString::to_string).collect(),
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
        to_key: true,
        definition: String::new(),
    }
}

fn statement(kind: StatementKind, sqlite: Option<&str>, postgres: &str) -> Statement {
    Statement { kind, sqlite: sqlite.map(Into::into), postgres: postgres.into() }
}

#[test]
fn a_table_is_described_whole() {
    let columns =
        [("org_id", "uuid"), ("user_id", "text"), ("t3", "timestamp"), ("data", "jsonb"), ("c", "color")];
    let mut memberships = table(9, "memberships", &columns, &["user_id", "org_id"]);
    memberships.columns[2].modifiers = vec![3];
    memberships.foreign_keys = vec![foreign_key(vec![0], &["id"]), foreign_key(vec![0, 1], &["a", "b"])];
    let op = MigrationOp::Table {
        table: Arc::new(memberships),
        statements: vec![
            statement(
                StatementKind::CreateTable,
                Some("CREATE TABLE \"memberships\" (…);\n"),
                "CREATE TABLE memberships",
            ),
            statement(StatementKind::CreateIndex, None, "CREATE INDEX i"),
        ],
    };
    let sqlite = migrate_op("20240101", &op, Dialect::Sqlite).unwrap();
    assert_eq!(sqlite.version, "20240101");
    let stmts: Vec<_> = sqlite.stmts.iter().map(|s| (s.r#type(), s.sql.as_str())).collect();
    assert_eq!(stmts, [(Type::CreateTable, "CREATE TABLE \"memberships\" (…);\n")]);
    let Some(AffectedEntity::Table(table)) = sqlite.affected_entity else { panic!() };
    let described: Vec<_> = table
        .columns
        .iter()
        .map(|c| {
            let pg = c.pg_type.as_ref().unwrap();
            (c.name.as_str(), c.sqlite_type.as_str(), pg.name.as_str(), &pg.array[..], &pg.size[..])
        })
        .collect();
    assert_eq!(
        described,
        [
            ("org_id", "TEXT", "uuid", &[][..], &[][..]),
            ("user_id", "TEXT", "text", &[], &[]),
            ("t3", "TEXT(3)", "timestamp", &[], &[3]),
            ("data", "TEXT_JSON", "jsonb", &[], &[]),
            ("c", "TEXT", "color", &[], &[]),
        ]
    );
    assert_eq!(table.pks, ["user_id", "org_id"]);
    // The composite key would make clients fail.
    let single =
        ForeignKey { fk_cols: vec!["org_id".into()], pk_table: "orgs".into(), pk_cols: vec!["id".into()] };
    assert_eq!(table.fks, [single]);

    let postgres = migrate_op("20240101", &op, Dialect::Postgres).unwrap();
    let stmts: Vec<_> = postgres.stmts.iter().map(|s| (s.r#type(), s.sql.as_str())).collect();
    assert_eq!(
        stmts,
        [(Type::CreateTable, "CREATE TABLE memberships"), (Type::CreateIndex, "CREATE INDEX i")]
    );
}

#[test]
fn an_enumeration_has_statements_for_postgres_only() {
    let ty = EnumType { name: "app.state".into(), labels: vec!["open".into(), "done".into()] };
    let op =
        MigrationOp::Enum { ty: Arc::new(ty), postgres: vec!["CREATE TYPE app.state AS ENUM (…)".into()] };
    let sqlite = migrate_op("1", &op, Dialect::Sqlite).unwrap();
    assert_eq!(sqlite.stmts, []);
    let Some(AffectedEntity::EnumType(ty)) = sqlite.affected_entity else { panic!() };
    assert_eq!((ty.name.as_str(), &ty.values[..]), ("state", &["open".to_owned(), "done".into()][..]));
    let postgres = migrate_op("1", &op, Dialect::Postgres).unwrap();
    assert_eq!(postgres.stmts[0].r#type(), Type::CreateEnumType);
    assert_eq!(postgres.stmts[0].sql, "CREATE TYPE app.state AS ENUM (…)");
}

#[test]
fn an_index_alone_affects_nothing_and_a_table_held_back_is_left_out() {
    let index = statement(StatementKind::CreateIndex, Some("CREATE INDEX \"i\" …;\n"), "CREATE INDEX i …");
    let op = migrate_op("1", &MigrationOp::Statements(vec![index]), Dialect::Sqlite).unwrap();
    assert_eq!((op.affected_entity, op.stmts.len()), (None, 1));
    let mut odd = table(9, "odd name", &[("id", "int4")], &["id"]);
    odd.held_back = Some("its name".into());
    let op = MigrationOp::Table { table: Arc::new(odd), statements: vec![] };
    assert_eq!(migrate_op("1", &op, Dialect::Sqlite), None);
}

#[test]
fn a_column_added_later_says_so() {
    let add = statement(StatementKind::AlterAddColumn, Some("ALTER …;\n"), "ALTER …");
    let orgs = table(9, "orgs", &[("id", "uuid"), ("plan", "text")], &["id"]);
    let op = MigrationOp::Table { table: Arc::new(orgs), statements: vec![add] };
    assert_eq!(migrate_op("1", &op, Dialect::Sqlite).unwrap().stmts[0].r#type, 6);
    assert_eq!(ColumnType::Text.type_name(), "text");
}

#[test]
fn clients_that_name_no_dialect_have_sqlite() {
    let request = |sql_dialect| SatInStartReplicationReq { sql_dialect, ..Default::default() };
    let dialects = [None, Some(0), Some(1), Some(9)].map(|d| dialect(&request(d)));
    assert_eq!(dialects, [Dialect::Sqlite, Dialect::Sqlite, Dialect::Postgres, Dialect::Sqlite]);
}

/// By these names the published client decides which columns its triggers log as text.
#[test]
fn postgres_clients_log_exact_numbers_as_text() {
    let mut prices = table(9, "prices", &[("id", "uuid"), ("price", "numeric")], &["id"]);
    prices.columns[1].modifiers = vec![10, 2];
    let op = MigrationOp::Table { table: Arc::new(prices), statements: Vec::new() };
    for (dialect, name) in [(Dialect::Sqlite, "numeric"), (Dialect::Postgres, "float8")] {
        let Some(AffectedEntity::Table(table)) = migrate_op("1", &op, dialect).unwrap().affected_entity
        else {
            panic!("a table")
        };
        let column = &table.columns[1];
        let ty = column.pg_type.as_ref().unwrap();
        assert_eq!((ty.name.as_str(), ty.size.as_slice()), (name, [10, 2].as_slice()), "{dialect}");
        assert_eq!(column.sqlite_type, "TEXT(10, 2)");
    }
}

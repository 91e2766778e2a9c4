//! Migrations as clients execute them (spec 03 §9).

use schema::{ColumnType, Dialect, EnumType, MigrationOp, Statement, StatementKind, Table};

use crate::wire::{
    SatInStartReplicationReq, SatOpMigrate, sat_in_start_replication_req,
    sat_op_migrate::{self, AffectedEntity, PgColumnType, Stmt},
};

/// One operation of a migration for clients of a dialect; `None` for a table that no client may have
/// ([`Table::held_back`]). All operations of a transaction must carry the same `version`.
#[must_use]
pub fn migrate_op(version: &str, op: &MigrationOp, dialect: Dialect) -> Option<SatOpMigrate> {
    let (stmts, affected_entity) = match op {
        MigrationOp::Enum { ty, postgres } => {
            let stmts = match dialect {
                Dialect::Sqlite => Vec::new(),
                Dialect::Postgres => {
                    postgres.iter().map(|sql| stmt(StatementKind::CreateEnumType, sql)).collect()
                }
            };
            (stmts, Some(AffectedEntity::EnumType(enum_type(ty))))
        }
        MigrationOp::Table { table, .. } if table.held_back.is_some() => return None,
        MigrationOp::Table { table, statements } => {
            (stmts(statements, dialect), Some(AffectedEntity::Table(self::table(table, dialect))))
        }
        MigrationOp::Statements(statements) => (stmts(statements, dialect), None),
    };
    Some(SatOpMigrate { version: version.to_owned(), stmts, affected_entity })
}

/// The dialect that a client announces when it asks for the stream; SQLite if it says nothing, or something unknown.
#[must_use]
pub fn dialect(request: &SatInStartReplicationReq) -> Dialect {
    match request.sql_dialect() {
        sat_in_start_replication_req::Dialect::Sqlite => Dialect::Sqlite,
        sat_in_start_replication_req::Dialect::Postgres => Dialect::Postgres,
    }
}

fn stmts(statements: &[Statement], dialect: Dialect) -> Vec<Stmt> {
    statements.iter().filter_map(|s| s.sql(dialect).map(|sql| stmt(s.kind, sql))).collect()
}

fn stmt(kind: StatementKind, sql: &str) -> Stmt {
    let kind = match kind {
        StatementKind::CreateTable => sat_op_migrate::Type::CreateTable,
        StatementKind::CreateIndex => sat_op_migrate::Type::CreateIndex,
        StatementKind::CreateEnumType => sat_op_migrate::Type::CreateEnumType,
        StatementKind::AlterAddColumn => sat_op_migrate::Type::AlterAddColumn,
    };
    Stmt { r#type: kind.into(), sql: sql.to_owned() }
}

/// Clients rebuild their triggers from this, so it is the whole table as it results. Foreign keys of several columns,
/// on which clients fail, are in the SQL only.
fn table(table: &Table, dialect: Dialect) -> sat_op_migrate::Table {
    let name = |column: &usize| table.columns.get(*column).map(|column| column.name.clone());
    let columns = table.columns.iter().map(|column| sat_op_migrate::Column {
        name: column.name.clone(),
        sqlite_type: column.sqlite_type(),
        pg_type: Some(PgColumnType {
            name: pg_type_name(&column.ty, dialect).to_owned(),
            array: Vec::new(),
            size: column.modifiers.clone(),
        }),
    });
    let fks = table.listed_foreign_keys().map(|fk| sat_op_migrate::ForeignKey {
        fk_cols: fk.columns.iter().filter_map(name).collect(),
        pk_table: fk.referenced_table.clone(),
        pk_cols: fk.referenced_columns.clone(),
    });
    sat_op_migrate::Table {
        name: table.name.clone(),
        columns: columns.collect(),
        fks: fks.collect(),
        pks: table.primary_key.iter().filter_map(name).collect(),
    }
}

/// The name by which clients decide how their triggers log a column's values, and nothing else. They log as JSON: on Postgres a
/// `numeric` would become a number there, which JavaScript then rounds. A `float8` is logged as text, which is exact.
fn pg_type_name(ty: &ColumnType, dialect: Dialect) -> &str {
    match (ty, dialect) {
        (ColumnType::Numeric, Dialect::Postgres) => ColumnType::Float8.type_name(),
        _ => ty.type_name(),
    }
}

/// Here the name is bare even for an enumeration outside `public`; that of its columns is not.
fn enum_type(ty: &EnumType) -> sat_op_migrate::EnumType {
    let name = ty.name.rsplit_once('.').map_or(ty.name.as_str(), |(_, name)| name);
    sat_op_migrate::EnumType { name: name.to_owned(), values: ty.labels.clone() }
}

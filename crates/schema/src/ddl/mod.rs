//! The statements that clients execute, in both dialects (spec 03 §8.3, §8.4).

mod default;
mod expression;
mod index;
mod kind;
mod postgres;
mod sqlite;

pub(crate) use index::create_index;

use crate::{Column, EnumType, ForeignKey, Statement, StatementKind, Table};

/// `CREATE TABLE`. `deferred` says which foreign keys the Postgres text must leave out, since the table they refer to
/// is made later.
pub(crate) fn create_table(table: &Table, deferred: impl Fn(&ForeignKey) -> bool) -> Statement {
    Statement {
        kind: StatementKind::CreateTable,
        sqlite: Some(sqlite::create_table(table)),
        postgres: postgres::create_table(table, deferred),
    }
}

/// `ALTER TABLE … ADD COLUMN`, with the foreign key that the column came with. NOT NULL is left out: the local table
/// may have rows (spec 03 §8.3).
pub(crate) fn add_column(table: &Table, column: &Column, foreign_key: Option<&ForeignKey>) -> Statement {
    Statement {
        kind: StatementKind::AlterAddColumn,
        sqlite: Some(sqlite::add_column(table, column, foreign_key)),
        postgres: postgres::add_column(table, column, foreign_key),
    }
}

/// A foreign key that `CREATE TABLE` had to leave out. SQLite had it from the start. The protocol has no kind of its own
/// for this; clients treat what is of kind `ALTER_ADD_COLUMN` as it must be: they run it and rebuild the triggers.
pub(crate) fn add_foreign_key(table: &Table, foreign_key: &ForeignKey) -> Statement {
    Statement {
        kind: StatementKind::AlterAddColumn,
        sqlite: None,
        postgres: postgres::add_foreign_key(table, foreign_key),
    }
}

/// `DROP TABLE IF EXISTS`, of the kind of the `CREATE TABLE` that it makes room for: clients rebuild the triggers of the new table
/// after both.
pub(crate) fn drop_table(name: &str) -> Statement {
    Statement {
        kind: StatementKind::CreateTable,
        sqlite: Some(sqlite::drop_table(name)),
        postgres: postgres::drop_table(name),
    }
}

/// Foreign keys count when the migration is done: for tables that refer to each other and go together, none of which can be the
/// first one.
pub(crate) fn defer_foreign_keys() -> Statement {
    Statement {
        kind: StatementKind::CreateTable,
        sqlite: Some(sqlite::DEFER_FOREIGN_KEYS.to_owned()),
        postgres: "SET CONSTRAINTS ALL DEFERRED".to_owned(),
    }
}

/// `DROP INDEX IF EXISTS`.
pub(crate) fn drop_index(name: &str) -> Statement {
    Statement {
        kind: StatementKind::CreateIndex,
        sqlite: Some(sqlite::drop_index(name)),
        postgres: postgres::drop_index(name),
    }
}

/// `ALTER TYPE … ADD VALUE` for Postgres, for each label that `new` has and `old` has not.
pub(crate) fn add_labels(old: &EnumType, new: &EnumType) -> Vec<String> {
    postgres::add_labels(old, new)
}

/// `DROP TYPE` for Postgres, with the columns of tables that are not synced any more.
pub(crate) fn drop_enum(ty: &EnumType) -> String {
    postgres::drop_enum(ty)
}

/// `CREATE TYPE … AS ENUM` for Postgres.
pub(crate) fn create_enum(ty: &EnumType) -> String {
    postgres::create_enum(ty)
}

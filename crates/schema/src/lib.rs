//! The service's own model of the synced tables: tables, columns and types; the catalogue snapshot it is read from;
//! migrations; and the DDL that clients execute, in the SQLite and the Postgres dialect.

mod model;

pub use model::{
    Column, ColumnType, EnumType, ForeignKey, ForeignKeyAction, Index, Migration, MigrationOp, Schema, Shadow, Statement,
    StatementKind, Table,
};

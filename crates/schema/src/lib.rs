//! The service's own model of the synced tables: tables, columns and types; the catalogue snapshot it is read from;
//! migrations; and the DDL that clients execute, in the SQLite and the Postgres dialect.
//!
//! The way of a change: Postgres records a [`Snapshot`] of a table in the migrating transaction, and
//! [`evolve`] compares it with the [`Schema`] before and makes the [`Migration`] that clients get and the schema after.
//! Nothing is ever read from SQL that a user wrote (spec 04 §11).

mod clients;
mod ddl;
mod dialect;
mod identifier;
mod migration;
mod model;
mod record;
mod snapshot;
mod synced;
mod types;

pub use clients::OWNER_COLUMN;
pub use dialect::{Dialect, UnknownDialect};
pub use identifier::{is_plain_identifier, quote_postgres, quote_sqlite};
pub use migration::{Evolution, Held, SchemaChange, evolve};
pub use model::{
    Column, ColumnType, EnumType, ForeignKey, ForeignKeyAction, Identity, Index, Migration, MigrationOp,
    Shadow, Statement, StatementKind, Table,
};
pub use record::{Record, parse_record};
pub use snapshot::{EnumSnapshot, Snapshot, SnapshotError, parse};
pub use synced::Schema;

//! Tables, columns, types, and the migrations that change them.

use std::sync::Arc;

use change::{RelationId, Xid};

/// A synced table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Table {
    /// Its object id in Postgres; the same for all clients and connections.
    pub id: RelationId,
    /// Always `public` for now.
    pub schema: String,
    /// As stored in the catalogue.
    pub name: String,
    /// In table order; dropped columns don't appear.
    pub columns: Vec<Column>,
    /// Name of the primary-key constraint.
    pub primary_key_name: String,
    /// Indexes into `columns`, in the order of the constraint; never empty.
    pub primary_key: Vec<usize>,
    /// By name. In a [`Schema`] those are left out that clients can't have: to tables that are held back or not
    /// synced, and those added to columns that clients had already.
    pub foreign_keys: Vec<ForeignKey>,
    /// Indexes that belong to no constraint, by name.
    pub indexes: Vec<Index>,
    /// The companion table in schema `electric` that holds the row's tags.
    pub shadow: Shadow,
    /// Why clients get nothing of this table, if that is so: its names can't work there (spec 03 §10.3), it was changed in a way
    /// that they can't follow, or it refers to a table of which that is true.
    pub held_back: Option<String>,
}

/// A column.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Column {
    /// As stored in the catalogue.
    pub name: String,
    /// Its type.
    pub ty: ColumnType,
    /// Type modifiers as clients are told them: `[3]` for `timestamp(3)`, `[10, 2]` for `numeric(10,2)`; empty without any.
    pub modifiers: Vec<i32>,
    /// The type as `format_type` prints it: `timestamp(3) without time zone`; of a domain, what it is a domain over.
    pub sql_type: String,
    /// A collation other than the type's own, as it must be written in SQL.
    pub collation: Option<String>,
    /// Whether NULL is refused.
    pub not_null: bool,
    /// The expression of its DEFAULT as `pg_get_expr` prints it. Postgres evaluates it; clients have it only where it is a
    /// plain literal.
    pub default: Option<String>,
    /// Whether Postgres numbers the rows by it, if it is an identity column.
    pub identity: Option<Identity>,
}

/// Who may choose the values of an identity column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// Postgres, unless `OVERRIDING SYSTEM VALUE` is said: no UPDATE may.
    Always,
    /// Anybody.
    ByDefault,
}

/// The types that columns can have (spec 03 §2.1, `docs/types.md`). A domain's is that of what it is a domain over.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are Postgres' own")]
pub enum ColumnType {
    Bool,
    Int2,
    Int4,
    Int8,
    Float4,
    Float8,
    Numeric,
    Text,
    Varchar,
    /// `char(n)`
    Bpchar,
    Citext,
    Uuid,
    Date,
    Time,
    Timetz,
    Timestamp,
    Timestamptz,
    Interval,
    Json,
    Jsonb,
    Bytea,
    Inet,
    Cidr,
    Enum(Arc<EnumType>),
}

/// An enumeration.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EnumType {
    /// Bare for schema `public`, else `schema.name`.
    pub name: String,
    /// In their order.
    pub labels: Vec<String>,
}

/// A foreign key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ForeignKey {
    /// The constraint's name.
    pub name: String,
    /// Indexes into the table's own columns.
    pub columns: Vec<usize>,
    /// The referenced table.
    pub references: RelationId,
    /// Its name, without schema.
    pub referenced_table: String,
    /// The referenced columns, paired with `columns`.
    pub referenced_columns: Vec<String>,
    /// What deleting the referenced row does.
    pub on_delete: ForeignKeyAction,
    /// What changing the referenced key does.
    pub on_update: ForeignKeyAction,
    /// Whether it refers to the primary key. Clients know of no unique constraints, so they don't get others; shapes follow
    /// them all the same.
    pub to_key: bool,
    /// The constraint as `pg_get_constraintdef(oid, true)` prints it.
    pub definition: String,
}

/// What a foreign key does when the referenced row changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are SQL's own")]
pub enum ForeignKeyAction {
    NoAction,
    Restrict,
    Cascade,
    SetNull,
    SetDefault,
}

/// An index that belongs to no constraint.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Index {
    /// Its name.
    pub name: String,
    /// As `pg_get_indexdef` prints it.
    pub definition: String,
}

/// The companion table of a synced table (spec 05 §7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shadow {
    /// Its object id, as the replication stream names it.
    pub id: RelationId,
    /// Its name in schema `electric`.
    pub name: String,
    /// In table column order: the column that holds a column's tag; `None` for key columns.
    pub tag_columns: Vec<Option<String>>,
}

/// What one Postgres transaction did to the schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Migration {
    /// Grows bytewise with each migration (spec 04 §7.2).
    pub version: String,
    /// The transaction.
    pub xid: Xid,
    /// When it was recorded: milliseconds since the Unix epoch.
    pub recorded_ms: u64,
    /// In order.
    pub ops: Vec<MigrationOp>,
}

/// One message's worth of a migration: at most one table or one enumeration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MigrationOp {
    /// An enumeration that is new, or has got labels.
    Enum {
        /// The type after the migration.
        ty: Arc<EnumType>,
        /// `CREATE TYPE …`, or `ALTER TYPE … ADD VALUE …` for each label, for the Postgres dialect, without `;`. SQLite executes
        /// nothing.
        postgres: Vec<String>,
    },
    /// A table made or changed, with all statements that it takes.
    Table {
        /// The whole table after the migration.
        table: Arc<Table>,
        /// In order of execution.
        statements: Vec<Statement>,
    },
    /// Statements that change no table definition, such as an index of an existing table.
    Statements(Vec<Statement>),
}

/// One SQL statement for clients, in both dialects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Its kind.
    pub kind: StatementKind,
    /// For SQLite, ending in `;` and a line break; `None` if SQLite can't have it.
    pub sqlite: Option<String>,
    /// For Postgres, trimmed, without `;`.
    pub postgres: String,
}

/// The kinds of statement that reach clients (spec 03 §8.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are SQL's own")]
pub enum StatementKind {
    CreateTable,
    CreateIndex,
    CreateEnumType,
    AlterAddColumn,
}

//! From snapshots to what clients execute: one Postgres transaction, one migration.

mod diff;
mod order;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use change::{RelationId, Xid};

pub use diff::{IncompatibleChange, SchemaChange};

use crate::{
    EnumType, ForeignKey, Migration, MigrationOp, Schema, Snapshot, Statement, Table, ddl,
    is_plain_identifier, snapshot::EnumSnapshot,
};

/// The migration that one Postgres transaction is, and the schema after it. `snapshots` are those that it recorded, in
/// that order; several may be of one table. `version` and `recorded_ms` (milliseconds since the Unix epoch) are those
/// of the migration.
///
/// New tables come in an order that can be executed: referenced ones first. Each table is the one after the whole
/// transaction (spec 04 §10.2). An enumeration is announced once, by the first migration that needs it. A table that is
/// held back gets no operation.
///
/// # Errors
/// [`IncompatibleChange`] if a table was changed in a way that can't be told to clients.
pub fn from_snapshots(
    version: String,
    xid: Xid,
    recorded_ms: u64,
    snapshots: &[Snapshot],
    before: &Schema,
) -> Result<(Migration, Schema), IncompatibleChange> {
    let snapshots = order::by_reference(snapshots, before);
    let mut builder = Builder {
        visible: visible_tables(&snapshots, before),
        schema: before.clone(),
        ops: Vec::new(),
        deferred: Vec::new(),
    };
    for snapshot in snapshots {
        builder.take(snapshot)?;
    }
    let (ops, mut schema) = builder.finish();
    schema.version = Some(version.clone());
    Ok((Migration { version, xid, recorded_ms, ops }, schema))
}

/// Which tables clients can have, and why they can't have the others.
type Visible = BTreeMap<RelationId, Result<(), String>>;

fn visible_tables(snapshots: &[&Snapshot], before: &Schema) -> Visible {
    let verdict = |table: &Table| table.held_back.clone().map_or(Ok(()), Err);
    let mut visible: Visible = before.tables().map(|t| (t.id, verdict(t))).collect();
    let on_clients = || before.tables().filter(|t| t.held_back.is_none());
    let mut names: BTreeSet<String> = on_clients().map(|t| t.name.to_ascii_lowercase()).collect();
    let mut triggers: BTreeSet<String> = on_clients().flat_map(|t| t.trigger_functions()).collect();
    for table in snapshots.iter().map(|s| &s.table) {
        visible.entry(table.id).or_insert_with(|| {
            verdict(table)?;
            if !names.insert(table.name.to_ascii_lowercase()) {
                return Err(
                    "they have another table of this name; SQLite does not tell upper from lower case".into(),
                );
            }
            let own = table.trigger_functions();
            if own.iter().any(|name| triggers.contains(name)) {
                return Err("Postgres clients can't tell its triggers from those of a table whose long name begins alike".into());
            }
            triggers.extend(own);
            Ok(())
        });
    }
    visible
}

struct Builder {
    visible: Visible,
    schema: Schema,
    ops: Vec<MigrationOp>,
    /// Foreign keys that Postgres clients can't have before a later table is there.
    deferred: Vec<(RelationId, ForeignKey)>,
}

impl Builder {
    fn take(&mut self, snapshot: &Snapshot) -> Result<(), IncompatibleChange> {
        let mut table = snapshot.table.clone();
        table.held_back = self.visible.get(&table.id).and_then(|verdict| verdict.clone().err());
        table.foreign_keys.retain(|fk| {
            let parent = matches!(self.visible.get(&fk.references), Some(Ok(())));
            let column = fk.columns.first().and_then(|i| table.columns.get(*i));
            parent && (fk.columns.len() > 1 || column.is_some_and(|c| is_plain_identifier(&c.name)))
        });
        self.take_enums(&snapshot.enums, &table)?;
        match self.schema.table(table.id).cloned() {
            None => self.create(table),
            Some(old) => self.alter(&old, table)?,
        }
        Ok(())
    }

    /// Whether Postgres said `new` does not count: a type that clients have can't be made again.
    fn take_enums(&mut self, enums: &[EnumSnapshot], table: &Table) -> Result<(), IncompatibleChange> {
        for EnumSnapshot { ty, .. } in enums {
            match self.schema.enum_type(&ty.name).cloned() {
                Some(known) if known == *ty => {}
                Some(known) => {
                    diff::labels(&known, ty).map_err(|change| change.of(table))?;
                    self.replace_enum(ty);
                }
                None => {
                    self.schema.insert_enum(ty.clone());
                    self.ops.push(MigrationOp::Enum { ty: ty.clone(), postgres: ddl::create_enum(ty) });
                }
            }
        }
        Ok(())
    }

    /// Labels were added: all tables know them from now on.
    fn replace_enum(&mut self, ty: &Arc<EnumType>) {
        self.schema.insert_enum(ty.clone());
        let tables: Vec<Arc<Table>> = self.schema.tables().cloned().collect();
        for mut table in tables {
            let uses = |table: &Table| {
                table.columns.iter().any(|c| c.ty.as_enum().is_some_and(|e| e.name == ty.name))
            };
            if !uses(&table) {
                continue;
            }
            for column in &mut Arc::make_mut(&mut table).columns {
                if column.ty.as_enum().is_some_and(|e| e.name == ty.name) {
                    column.ty = crate::ColumnType::Enum(ty.clone());
                }
            }
            self.schema.insert(table);
        }
    }

    fn create(&mut self, table: Table) {
        let table = Arc::new(table);
        self.schema.insert(table.clone());
        if table.held_back.is_some() {
            return;
        }
        let is_missing = |fk: &ForeignKey| self.schema.table(fk.references).is_none();
        let mut statements = vec![ddl::create_table(&table, is_missing)];
        self.deferred
            .extend(table.foreign_keys.iter().filter(|fk| is_missing(fk)).map(|fk| (table.id, fk.clone())));
        for index in &table.indexes {
            statements.extend(self.index(&table, index));
        }
        self.ops.push(MigrationOp::Table { table, statements });
    }

    fn alter(&mut self, old: &Table, mut table: Table) -> Result<(), IncompatibleChange> {
        let added = diff::tables(old, &mut table).map_err(|change| change.of(old))?;
        let table = Arc::new(table);
        self.schema.insert(table.clone());
        if table.held_back.is_some() {
            return Ok(());
        }
        if !added.columns.is_empty() {
            let statements = added.columns.into_iter().filter_map(|position| {
                let column = table.columns.get(position)?;
                let foreign_key = table.foreign_keys.iter().find(|fk| fk.columns == [position]);
                Some(ddl::add_column(&table, column, foreign_key))
            });
            self.ops.push(MigrationOp::Table { table: table.clone(), statements: statements.collect() });
        }
        for index in added.indexes.into_iter().filter_map(|i| table.indexes.get(i)) {
            let statement = self.index(&table, index);
            self.ops.extend(statement.map(|s| MigrationOp::Statements(vec![s])));
        }
        Ok(())
    }

    /// An index that clients have under this name, perhaps one dropped in Postgres since, can't be made again.
    fn index(&mut self, table: &Table, index: &crate::Index) -> Option<Statement> {
        let free = !self.schema.sqlite_has_name(&index.name);
        if !self.schema.insert_index_name(&index.name) {
            return None;
        }
        ddl::create_index(table, index, free)
    }

    fn finish(mut self) -> (Vec<MigrationOp>, Schema) {
        for (relation, fk) in std::mem::take(&mut self.deferred) {
            if let Some(table) = self.schema.table(relation) {
                let statements = vec![ddl::add_foreign_key(table, &fk)];
                self.ops.push(MigrationOp::Table { table: table.clone(), statements });
            }
        }
        for op in &mut self.ops {
            if let MigrationOp::Table { table, .. } = op
                && let Some(last) = self.schema.table(table.id)
            {
                *table = last.clone();
            }
        }
        (self.ops, self.schema)
    }
}

//! Making the operations of one migration.

use std::{collections::BTreeMap, sync::Arc};

use change::RelationId;

use super::{
    diff::{self, SchemaChange},
    intake::Intake,
    order,
    visible::Visible,
};
use crate::{
    EnumType, ForeignKey, MigrationOp, Schema, Snapshot, Statement, Table, ddl, is_plain_identifier,
    snapshot::EnumSnapshot, synced::Hold,
};

/// Clients can't follow what was done to a table.
pub(super) type Refused = (RelationId, SchemaChange);

pub(super) struct Builder<'a> {
    version: &'a str,
    intake: &'a Intake<'a>,
    /// Tables that were found to have been changed too much.
    found: &'a BTreeMap<RelationId, SchemaChange>,
    visible: Visible,
    schema: Schema,
    ops: Vec<MigrationOp>,
    /// Foreign keys that Postgres clients can't have before a later table is there.
    deferred: Vec<(RelationId, ForeignKey)>,
}

impl<'a> Builder<'a> {
    /// What has gone and what has been suspended goes first.
    pub(super) fn new(
        version: &'a str,
        intake: &'a Intake<'a>,
        found: &'a BTreeMap<RelationId, SchemaChange>,
        before: &Schema,
    ) -> Builder<'a> {
        let mut schema = before.clone();
        for id in &intake.removed {
            schema.remove(*id);
        }
        for (id, (reason, definition)) in &intake.suspended {
            if let Some(definition) = definition.filter(|_| schema.table(*id).is_none()) {
                let held_back = Some((*reason).to_owned());
                schema.insert(Arc::new(Table { held_back, ..definition.clone() }));
            }
            schema.hold_back(*id, Hold::Told, (*reason).to_owned());
        }
        for id in replaced(intake, &schema) {
            schema.remove(id);
        }
        for snapshot in intake.snapshots.iter().filter(|s| intake.resumed.contains(&s.table.id)) {
            if schema.is_live(snapshot.table.id) && !continues(snapshot, &schema) {
                schema.hold_back(snapshot.table.id, Hold::Told, String::new());
            }
        }
        orphan(&mut schema, &[]);
        let visible = Visible::after(intake, found, &schema);
        Builder { version, intake, found, visible, schema, ops: Vec::new(), deferred: Vec::new() }
    }

    pub(super) fn run(mut self) -> Result<(Vec<MigrationOp>, Schema), Refused> {
        for snapshot in order::by_reference(self.intake.snapshots.iter().copied(), &self.schema) {
            self.take(snapshot)?;
        }
        self.settle_orphans();
        Ok(self.finish())
    }

    fn take(&mut self, snapshot: &Snapshot) -> Result<(), Refused> {
        let id = snapshot.table.id;
        if let Some(change) = self.found.get(&id) {
            self.hold_found(&snapshot.table, change);
            return Ok(());
        }
        let mut table = snapshot.table.clone();
        table.held_back = None;
        self.leave_out_foreign_keys(&mut table);
        self.take_enums(&snapshot.enums, id)?;
        let refused = |change| (id, change);
        let known = self.schema.table(id).cloned();
        match (known, self.schema.hold(id)) {
            (Some(old), None) if old.held_back.is_none() => self.alter(&old, table).map_err(refused)?,
            (Some(old), Some(Hold::Orphaned)) => {
                diff::tables(&old, &mut table).map_err(refused)?;
                table.held_back.clone_from(&old.held_back);
                self.schema.insert(Arc::new(table));
            }
            (known, hold) => {
                if let Some(obstacle) = self.visible.obstacle(id) {
                    table.held_back = Some(obstacle.to_owned());
                    self.schema.insert_unnameable(Arc::new(table));
                    return Ok(());
                }
                let as_on_clients = self.schema.retired(&table.name).filter(|retired| retired.id == id);
                if let (Some(_), Some(Hold::Found), Some(old)) = (known, hold, as_on_clients) {
                    // Undone, it comes back; the rest is for whoever did it to decide.
                    diff::tables(&Arc::clone(old), &mut table).map_err(refused)?;
                }
                self.create(table);
            }
        }
        Ok(())
    }

    /// Leaves out those that clients can't have.
    fn leave_out_foreign_keys(&self, table: &mut Table) {
        let known = self
            .schema
            .table(table.id)
            .filter(|known| known.held_back.is_none() || self.schema.hold(known.id) == Some(Hold::Orphaned));
        let Table { foreign_keys, columns, id, .. } = table;
        foreign_keys.retain(|fk| {
            if known.is_some_and(|known| known.foreign_keys.iter().any(|other| other.name == fk.name)) {
                return true;
            }
            let parent = fk.references == *id || self.visible.has(fk.references);
            let column = fk.columns.first().and_then(|i| columns.get(*i));
            parent && (fk.columns.len() > 1 || column.is_some_and(|c| is_plain_identifier(&c.name)))
        });
    }

    fn hold_found(&mut self, table: &Table, change: &SchemaChange) {
        let name = self.schema.table(table.id).map_or(&table.name, |known| &known.name);
        let reason = change.reason(name);
        if self.schema.table(table.id).is_none() {
            let held_back = Some(reason.clone());
            self.schema.insert(Arc::new(Table { held_back, ..table.clone() }));
        }
        self.schema.hold_back(table.id, Hold::Found, reason);
    }

    /// Whether Postgres said `new` does not count: a type that clients have can't be made again.
    fn take_enums(&mut self, enums: &[EnumSnapshot], of: RelationId) -> Result<(), Refused> {
        for EnumSnapshot { ty, .. } in enums {
            let postgres = match self.schema.enum_type(&ty.name).cloned() {
                Some(known) if known == *ty => continue,
                Some(known) => match diff::labels(&known, ty) {
                    Ok(()) => ddl::add_labels(&known, ty),
                    Err(change) if self.is_used(ty) => return Err((of, change)),
                    Err(_) => vec![ddl::drop_enum(ty), ddl::create_enum(ty)],
                },
                None => vec![ddl::create_enum(ty)],
            };
            self.replace_enum(ty);
            self.ops.push(MigrationOp::Enum { ty: ty.clone(), postgres });
        }
        Ok(())
    }

    /// Whether a table that clients get something of has a column of this type.
    fn is_used(&self, ty: &EnumType) -> bool {
        self.schema.tables().any(|table| table.held_back.is_none() && uses(table, ty))
    }

    /// All tables know the type as it is from now on.
    fn replace_enum(&mut self, ty: &Arc<EnumType>) {
        self.schema.insert_enum(ty.clone());
        let users: Vec<Arc<Table>> = self.schema.tables().filter(|table| uses(table, ty)).cloned().collect();
        for mut table in users {
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
        let dropped = self.schema.drop_retired(&table.name);
        let mut statements: Vec<Statement> = Vec::new();
        if refer_in_circles(&dropped) {
            statements.push(ddl::defer_foreign_keys());
        }
        statements.extend(dropped.iter().map(|table| ddl::drop_table(&table.name)));
        statements.extend(self.schema.drop_index(&table.name).map(|index| ddl::drop_index(&index)));
        let is_missing = |fk: &ForeignKey| fk.references != table.id && !self.schema.is_live(fk.references);
        statements.push(ddl::create_table(&table, is_missing));
        self.deferred
            .extend(table.client_foreign_keys().filter(|fk| is_missing(fk)).map(|fk| (table.id, fk.clone())));
        self.schema.serve(table.clone(), self.version);
        for index in &table.indexes {
            statements.extend(self.index(&table, index));
        }
        self.ops.push(MigrationOp::Table { table, statements });
    }

    fn alter(&mut self, old: &Table, mut table: Table) -> Result<(), SchemaChange> {
        let added = diff::tables(old, &mut table)?;
        let table = Arc::new(table);
        self.schema.insert(table.clone());
        if !added.columns.is_empty() {
            let statements = added.columns.into_iter().filter_map(|position| {
                let column = table.columns.get(position)?;
                let foreign_key = table.client_foreign_keys().find(|fk| fk.columns == [position]);
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
        if self.schema.postgres_has_retired(&index.name)
            || !self.schema.insert_index(&index.name, &table.name)
        {
            return None;
        }
        ddl::create_index(table, index, free)
    }

    /// Orphans that have found their tables come back, and those that lost them become orphans.
    fn settle_orphans(&mut self) {
        let orphans = self.schema.tables().filter(|t| self.schema.hold(t.id) == Some(Hold::Orphaned));
        let mut returning: Vec<Arc<Table>> = orphans.cloned().collect();
        loop {
            let count = returning.len();
            let ids = ids(&returning);
            returning.retain(|table| lost_reference(table, &self.schema, &ids).is_none());
            let any = orphan(&mut self.schema, &ids);
            if !any && returning.len() == count {
                break;
            }
        }
        while !returning.is_empty() {
            let ids = ids(&returning);
            let waits = |table: &Table| {
                table.foreign_keys.iter().any(|fk| fk.references != table.id && ids.contains(&fk.references))
            };
            let next = returning.iter().position(|table| !waits(table)).unwrap_or(0);
            let table = returning.remove(next);
            self.create(Table { held_back: None, ..Table::clone(&table) });
        }
    }

    fn finish(mut self) -> (Vec<MigrationOp>, Schema) {
        for (relation, fk) in std::mem::take(&mut self.deferred) {
            if let Some(table) = self.schema.table(relation) {
                let statements = vec![ddl::add_foreign_key(table, &fk)];
                self.ops.push(MigrationOp::Table { table: table.clone(), statements });
            }
        }
        let Builder { mut ops, schema, .. } = self;
        ops.retain_mut(|op| match op {
            MigrationOp::Table { table, .. } => match schema.table(table.id) {
                Some(last) => {
                    *table = last.clone();
                    last.held_back.is_none()
                }
                None => true,
            },
            MigrationOp::Enum { .. } | MigrationOp::Statements(_) => true,
        });
        (ops, schema)
    }
}

/// Tables under whose very name another has been recorded: they are gone, though nobody said so.
fn replaced(intake: &Intake<'_>, schema: &Schema) -> Vec<RelationId> {
    let recorded = || intake.snapshots.iter().map(|snapshot| &snapshot.table);
    let is_replaced = |table: &&Arc<Table>| {
        recorded().all(|other| other.id != table.id)
            && recorded().any(|other| other.name == table.name && other.schema == table.schema)
    };
    schema.tables().filter(is_replaced).map(|table| table.id).collect()
}

/// Whether a definition only adds to what clients have.
fn continues(snapshot: &Snapshot, schema: &Schema) -> bool {
    let Some(old) = schema.table(snapshot.table.id) else { return false };
    diff::tables(old, &mut snapshot.table.clone()).is_ok()
        && snapshot.enums.iter().all(|EnumSnapshot { ty, .. }| {
            schema.enum_type(&ty.name).is_none_or(|known| diff::labels(known, ty).is_ok())
        })
}

/// Tables that refer to one of which clients get nothing get nothing either: their rows could refer to rows that clients can't
/// have. `returning` will be there. Whether there were any.
fn orphan(schema: &mut Schema, returning: &[RelationId]) -> bool {
    let next = |schema: &Schema| {
        let mut live = schema.tables().filter(|table| table.held_back.is_none());
        live.find_map(|table| {
            let fk = lost_reference(table, schema, returning)?;
            Some((table.id, orphaned(table, fk)))
        })
    };
    let mut any = false;
    while let Some((id, reason)) = next(schema) {
        schema.hold_back(id, Hold::Orphaned, reason);
        any = true;
    }
    any
}

/// A foreign key that refers to a table of which clients get nothing.
fn lost_reference<'t>(table: &'t Table, schema: &Schema, returning: &[RelationId]) -> Option<&'t ForeignKey> {
    table.foreign_keys.iter().find(|fk| {
        fk.references != table.id && !schema.is_live(fk.references) && !returning.contains(&fk.references)
    })
}

fn ids(tables: &[Arc<Table>]) -> Vec<RelationId> {
    tables.iter().map(|table| table.id).collect()
}

fn uses(table: &Table, ty: &EnumType) -> bool {
    table.columns.iter().any(|column| column.ty.as_enum().is_some_and(|other| other.name == ty.name))
}

fn orphaned(table: &Table, fk: &ForeignKey) -> String {
    format!(
        "table {:?} can't go on being synced: its foreign key {:?} refers to table {:?}, which is not synced any more; \
         electrify that again, or drop the foreign key",
        table.name, fk.name, fk.referenced_table
    )
}

/// Whether one of these tables, of which those that refer to others should come before them, refers to one before it.
fn refer_in_circles(tables: &[Arc<Table>]) -> bool {
    let refers = |table: &Table, to: &Table| {
        table.foreign_keys.iter().any(|fk| fk.referenced_table.eq_ignore_ascii_case(&to.name))
    };
    let before = |n: usize| tables.get(..n).unwrap_or_default();
    tables.iter().enumerate().any(|(n, table)| before(n).iter().any(|earlier| refers(table, earlier)))
}

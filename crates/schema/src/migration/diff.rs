//! What changed in a table since clients were last told of it.

use crate::{Column, EnumType, ForeignKey, Table};

/// Changes that clients can't follow.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the texts say it")]
pub enum SchemaChange {
    #[error("it was renamed to {0:?}")]
    TableRenamed(String),
    #[error("it was moved to schema {0:?}")]
    SchemaChanged(String),
    #[error("column {0:?} was dropped or renamed")]
    ColumnGone(String),
    #[error("column {0:?} changed its place among the columns")]
    ColumnMoved(String),
    #[error("the type of column {0:?} was changed")]
    TypeChanged(String),
    #[error("column {0:?} no longer refuses NULL, or now does")]
    NullabilityChanged(String),
    #[error("column {0:?} was added, which SQLite does not tell from another that differs in case only")]
    ColumnClash(String),
    #[error("it was changed so that clients can't have it: {0}")]
    Unfit(String),
    #[error("its primary key was changed")]
    PrimaryKeyChanged,
    #[error("foreign key {0:?} was dropped, renamed or changed")]
    ForeignKeyChanged(String),
    #[error("labels of enumeration {0:?} were renamed or reordered")]
    LabelsChanged(String),
}

impl SchemaChange {
    /// Why the table is held back, and what to do.
    pub(super) fn reason(&self, table: &str) -> String {
        format!(
            "table {table:?} can't go on being synced: {self}; undo that in Postgres, or take the table out of the sync and \
             electrify it again"
        )
    }
}

/// What came to a table: positions in the new one.
#[derive(Default)]
pub(super) struct Added {
    pub(super) columns: Vec<usize>,
    pub(super) indexes: Vec<usize>,
}

/// Compares two definitions of a table. Foreign keys that came to columns which clients have already are taken out of
/// `new`: SQLite can't add one, and Postgres goes on enforcing it. Dropped indexes are no change to clients.
pub(super) fn tables(old: &Table, new: &mut Table) -> Result<Added, SchemaChange> {
    if old.name != new.name {
        return Err(SchemaChange::TableRenamed(new.name.clone()));
    }
    if old.schema != new.schema {
        return Err(SchemaChange::SchemaChanged(new.schema.clone()));
    }
    for (position, column) in old.columns.iter().enumerate() {
        same_column(position, column, new)?;
    }
    let columns: Vec<usize> = (old.columns.len()..new.columns.len()).collect();
    for (position, column) in new.columns.iter().enumerate().skip(old.columns.len()) {
        if new.columns.iter().take(position).any(|c| c.name.eq_ignore_ascii_case(&column.name)) {
            return Err(SchemaChange::ColumnClash(column.name.clone()));
        }
    }
    if let Some(obstacle) = new.obstacle() {
        return Err(SchemaChange::Unfit(obstacle));
    }
    if old.primary_key != new.primary_key || old.primary_key_name != new.primary_key_name {
        return Err(SchemaChange::PrimaryKeyChanged);
    }
    for fk in &old.foreign_keys {
        if !new.foreign_keys.iter().any(|other| same_foreign_key(fk, other)) {
            return Err(SchemaChange::ForeignKeyChanged(fk.name.clone()));
        }
    }
    new.foreign_keys.retain(|fk| {
        let came_with_its_column = matches!(*fk.columns, [column] if column >= old.columns.len());
        came_with_its_column || old.foreign_keys.iter().any(|other| other.name == fk.name)
    });
    let is_new = |name: &str| !old.indexes.iter().any(|index| index.name == name);
    let indexes =
        new.indexes.iter().enumerate().filter(|(_, index)| is_new(&index.name)).map(|(i, _)| i).collect();
    Ok(Added { columns, indexes })
}

/// Labels may be added, anywhere.
pub(super) fn labels(old: &EnumType, new: &EnumType) -> Result<(), SchemaChange> {
    let mut rest = new.labels.iter();
    if old.labels.iter().all(|label| rest.any(|other| other == label)) {
        Ok(())
    } else {
        Err(SchemaChange::LabelsChanged(new.name.clone()))
    }
}

fn same_column(position: usize, old: &Column, new: &Table) -> Result<(), SchemaChange> {
    let name = || old.name.clone();
    let Some(column) = new.columns.iter().find(|c| c.name == old.name) else {
        return Err(SchemaChange::ColumnGone(name()));
    };
    if new.columns.get(position).is_none_or(|c| c.name != old.name) {
        return Err(SchemaChange::ColumnMoved(name()));
    }
    // Labels are compared on their own.
    let same_type = column.ty.type_name() == old.ty.type_name()
        && column.modifiers == old.modifiers
        && column.collation == old.collation;
    if !same_type {
        return Err(SchemaChange::TypeChanged(name()));
    }
    if column.not_null != old.not_null {
        return Err(SchemaChange::NullabilityChanged(name()));
    }
    Ok(())
}

/// But for deferrability and validity, which clients don't know (spec 04 §11).
fn same_foreign_key(a: &ForeignKey, b: &ForeignKey) -> bool {
    a.name == b.name
        && a.columns == b.columns
        && a.references == b.references
        && a.referenced_columns == b.referenced_columns
        && a.on_delete == b.on_delete
        && a.on_update == b.on_update
}

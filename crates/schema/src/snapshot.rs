//! The catalogue snapshot of one table, as the SQL function `electric.table_snapshot` makes it: JSON, recorded in the
//! migrating transaction, and the only source of the schema.

use std::{collections::BTreeMap, sync::Arc};

use change::RelationId;
use serde::Deserialize;

use crate::{Column, ColumnType, EnumType, ForeignKey, ForeignKeyAction, Identity, Index, Shadow, Table};

/// One synced table and the enumerations it uses, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snapshot {
    /// The enumerations of its columns, in column order.
    pub enums: Vec<EnumSnapshot>,
    /// The table. `held_back` speaks of its own names only; all its foreign keys are there.
    pub table: Table,
}

/// An enumeration in a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnumSnapshot {
    /// The type.
    pub ty: Arc<EnumType>,
    /// Whether Postgres knew of no earlier migration that announced it.
    pub new: bool,
}

/// A snapshot can't be used. The texts name tables, columns and types, never values.
#[derive(Debug, thiserror::Error)]
pub enum SnapshotError {
    /// Not the JSON that was agreed on.
    #[error("the table snapshot is malformed: {0}")]
    Json(#[from] serde_json::Error),
    /// A type that can't be synced.
    #[error("column {column:?} of table {table:?} has type {ty}, which can't be synced")]
    UnsupportedType {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// Its type, as `format_type` prints it.
        ty: String,
    },
    /// An enumeration that the snapshot does not describe.
    #[error(
        "column {column:?} of table {table:?} has the enumeration {ty}, which the snapshot does not describe"
    )]
    UnknownEnum {
        /// The table.
        table: String,
        /// The column.
        column: String,
        /// The enumeration.
        ty: String,
    },
    /// A constraint or index over a column that is not there.
    #[error("{of} of table {table:?} names column {column:?}, which the table does not have")]
    UnknownColumn {
        /// The table.
        table: String,
        /// What names the column.
        of: String,
        /// The column.
        column: String,
    },
    /// Anything else that can't be.
    #[error("table {table:?} {problem}")]
    Inconsistent {
        /// The table.
        table: String,
        /// What is wrong with it.
        problem: &'static str,
    },
}

/// Reads a snapshot.
///
/// # Errors
/// [`SnapshotError`] for malformed JSON, for a column type that can't be synced and for a table that contradicts itself.
pub fn parse(json: &[u8]) -> Result<Snapshot, SnapshotError> {
    let raw: RawSnapshot = serde_json::from_slice(json)?;
    let enums: Vec<EnumSnapshot> = raw
        .enums
        .into_iter()
        .map(|e| {
            let name = EnumType::schema_and_name(&e.schema, &e.name);
            EnumSnapshot { ty: Arc::new(EnumType { name, labels: e.labels }), new: e.new }
        })
        .collect();
    let table = raw.table.resolve(&enums)?;
    Ok(Snapshot { enums, table })
}

#[derive(Deserialize)]
struct RawSnapshot {
    #[serde(default)]
    enums: Vec<RawEnum>,
    table: RawTable,
}

#[derive(Deserialize)]
struct RawEnum {
    schema: String,
    name: String,
    labels: Vec<String>,
    #[serde(default)]
    new: bool,
}

#[derive(Deserialize)]
struct RawTable {
    oid: u32,
    schema: String,
    name: String,
    columns: Vec<RawColumn>,
    primary_key: Option<RawPrimaryKey>,
    #[serde(default)]
    foreign_keys: Vec<RawForeignKey>,
    #[serde(default)]
    indexes: Vec<RawIndex>,
    shadow: RawShadow,
}

#[derive(Deserialize)]
struct RawColumn {
    attnum: i32,
    name: String,
    #[serde(rename = "type")]
    ty: String,
    type_schema: String,
    typtype: String,
    typmod: i32,
    sql_type: String,
    not_null: bool,
    #[serde(default)]
    collation: Option<String>,
    #[serde(default)]
    default: Option<String>,
    #[serde(default)]
    identity: Option<RawIdentity>,
}

/// The letters of `pg_attribute`.
#[derive(Clone, Copy, Deserialize)]
enum RawIdentity {
    #[serde(rename = "a")]
    Always,
    #[serde(rename = "d")]
    ByDefault,
}

#[derive(Deserialize)]
struct RawPrimaryKey {
    name: String,
    columns: Vec<String>,
}

#[derive(Deserialize)]
struct RawForeignKey {
    name: String,
    columns: Vec<String>,
    table: RawReferenced,
    referenced: Vec<String>,
    on_delete: RawAction,
    on_update: RawAction,
    definition: String,
    /// Whether it refers to the primary key, and not to other columns that are unique.
    #[serde(default = "yes")]
    to_key: bool,
}

fn yes() -> bool {
    true
}

#[derive(Deserialize)]
struct RawReferenced {
    oid: u32,
    name: String,
}

/// The letters of `pg_constraint`.
#[derive(Clone, Copy, Deserialize)]
enum RawAction {
    #[serde(rename = "a")]
    NoAction,
    #[serde(rename = "r")]
    Restrict,
    #[serde(rename = "c")]
    Cascade,
    #[serde(rename = "n")]
    SetNull,
    #[serde(rename = "d")]
    SetDefault,
}

#[derive(Deserialize)]
struct RawIndex {
    name: String,
    definition: String,
}

#[derive(Deserialize)]
struct RawShadow {
    oid: u32,
    name: String,
    #[serde(default)]
    tag_columns: BTreeMap<String, String>,
}

impl RawTable {
    fn resolve(mut self, enums: &[EnumSnapshot]) -> Result<Table, SnapshotError> {
        self.columns.sort_by_key(|c| c.attnum);
        let name = self.name;
        let inconsistent = |problem| SnapshotError::Inconsistent { table: name.clone(), problem };
        let mut columns = self
            .columns
            .into_iter()
            .map(|column| column.resolve(&name, enums))
            .collect::<Result<Vec<Column>, _>>()?;
        if columns
            .iter()
            .enumerate()
            .any(|(i, c)| columns.iter().skip(i + 1).any(|other| other.name == c.name))
        {
            return Err(inconsistent("has two columns of one name"));
        }

        let key = self.primary_key.ok_or_else(|| inconsistent("has no primary key"))?;
        let primary_key = positions(&name, &columns, "the primary key", &key.columns)?;
        if primary_key.is_empty() {
            return Err(inconsistent("has a primary key without columns"));
        }
        for position in &primary_key {
            if let Some(column) = columns.get_mut(*position) {
                column.not_null = true;
            }
        }

        let mut foreign_keys = Vec::with_capacity(self.foreign_keys.len());
        for fk in self.foreign_keys {
            if fk.columns.is_empty() || fk.columns.len() != fk.referenced.len() {
                return Err(inconsistent("has a foreign key whose columns are not paired"));
            }
            foreign_keys.push(ForeignKey {
                columns: positions(&name, &columns, &format!("foreign key {:?}", fk.name), &fk.columns)?,
                name: fk.name,
                references: RelationId(fk.table.oid),
                referenced_table: fk.table.name,
                referenced_columns: fk.referenced,
                on_delete: fk.on_delete.into(),
                on_update: fk.on_update.into(),
                to_key: fk.to_key,
                definition: fk.definition,
            });
        }
        foreign_keys.sort_by(|a, b| a.name.cmp(&b.name));

        let mut indexes: Vec<Index> =
            self.indexes.into_iter().map(|i| Index { name: i.name, definition: i.definition }).collect();
        indexes.sort_by(|a, b| a.name.cmp(&b.name));

        let mut tag_columns = self.shadow.tag_columns;
        let tag_columns = columns
            .iter()
            .enumerate()
            .map(|(i, column)| match tag_columns.remove(&column.name) {
                _ if primary_key.contains(&i) => Ok(None),
                Some(tag_column) => Ok(Some(tag_column)),
                None => Err(inconsistent("has a column without a tag column in its shadow table")),
            })
            .collect::<Result<_, _>>()?;

        let mut table = Table {
            id: RelationId(self.oid),
            schema: self.schema,
            columns,
            primary_key_name: key.name,
            primary_key,
            foreign_keys,
            indexes,
            shadow: Shadow { id: RelationId(self.shadow.oid), name: self.shadow.name, tag_columns },
            held_back: None,
            name,
        };
        table.held_back = table.obstacle();
        Ok(table)
    }
}

impl RawColumn {
    fn resolve(self, table: &str, enums: &[EnumSnapshot]) -> Result<Column, SnapshotError> {
        let ty = match self.typtype.as_str() {
            // What electrification lets through of that name is the extension's, in whatever schema it is.
            "b" if self.ty == "citext" => Some(ColumnType::Citext),
            "b" if self.type_schema == "pg_catalog" => ColumnType::from_typname(&self.ty),
            "e" => {
                let name = EnumType::schema_and_name(&self.type_schema, &self.ty);
                let Some(found) = enums.iter().find(|e| e.ty.name == name) else {
                    return Err(SnapshotError::UnknownEnum {
                        table: table.to_owned(),
                        column: self.name,
                        ty: name,
                    });
                };
                Some(ColumnType::Enum(found.ty.clone()))
            }
            _ => None,
        };
        let modifiers = ty.as_ref().and_then(|ty: &ColumnType| ty.modifiers(self.typmod));
        let (Some(ty), Some(modifiers)) = (ty, modifiers) else {
            return Err(SnapshotError::UnsupportedType {
                table: table.to_owned(),
                column: self.name,
                ty: self.sql_type,
            });
        };
        Ok(Column {
            name: self.name,
            ty,
            modifiers,
            sql_type: self.sql_type,
            collation: self.collation,
            not_null: self.not_null,
            default: self.default,
            identity: self.identity.map(|identity| match identity {
                RawIdentity::Always => Identity::Always,
                RawIdentity::ByDefault => Identity::ByDefault,
            }),
        })
    }
}

impl From<RawAction> for ForeignKeyAction {
    fn from(action: RawAction) -> ForeignKeyAction {
        match action {
            RawAction::NoAction => ForeignKeyAction::NoAction,
            RawAction::Restrict => ForeignKeyAction::Restrict,
            RawAction::Cascade => ForeignKeyAction::Cascade,
            RawAction::SetNull => ForeignKeyAction::SetNull,
            RawAction::SetDefault => ForeignKeyAction::SetDefault,
        }
    }
}

fn positions(
    table: &str,
    columns: &[Column],
    of: &str,
    names: &[String],
) -> Result<Vec<usize>, SnapshotError> {
    names
        .iter()
        .map(|name| {
            columns.iter().position(|c| c.name == *name).ok_or_else(|| SnapshotError::UnknownColumn {
                table: table.to_owned(),
                of: of.to_owned(),
                column: name.clone(),
            })
        })
        .collect()
}

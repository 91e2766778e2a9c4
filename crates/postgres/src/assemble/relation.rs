//! What a relation of the stream is to us, and how its columns lie.

use std::sync::Arc;

use change::RelationId;
use schema::{Schema, Table};

use super::AssembleError;
use crate::pgoutput::Relation;

/// A relation and what it is to us, by the schema of the moment.
#[derive(Debug)]
pub(super) struct Role {
    pub(super) relation: Relation,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    /// A synced table.
    Table(TableRole),
    /// The shadow of one.
    Shadow(ShadowRole),
    /// `electric.acknowledged_client_lsns`.
    Acknowledgement(AcknowledgementColumns),
    /// `electric.ddl_commands`.
    Ddl(DdlColumns),
    /// A table of which clients get nothing, though a migration in the same transaction may change that.
    Unsynced,
    /// Of no interest.
    Ignored,
}

#[derive(Debug)]
pub(super) struct TableRole {
    pub(super) table: Arc<Table>,
    /// For each column of the table, its place in the relation's rows; `None` if they don't have it yet.
    pub(super) positions: Vec<Option<usize>>,
    /// The places of the primary key's columns.
    pub(super) key: Vec<usize>,
}

#[derive(Debug)]
pub(super) struct ShadowRole {
    pub(super) table: Arc<Table>,
    pub(super) key: Vec<usize>,
    pub(super) tags: usize,
    pub(super) tag: Option<usize>,
    pub(super) image: Option<usize>,
}

#[derive(Debug)]
pub(super) struct AcknowledgementColumns {
    pub(super) client: usize,
    pub(super) ts: Option<usize>,
}

#[derive(Debug)]
pub(super) struct DdlColumns {
    pub(super) id: usize,
    pub(super) txid: Option<usize>,
    pub(super) version: usize,
    pub(super) snapshot: usize,
    pub(super) recorded_at: Option<usize>,
}

impl Role {
    /// Looks a relation up.
    pub(super) fn new(relation: Relation, schema: &Schema) -> Result<Role, AssembleError> {
        let kind = if relation.namespace == "electric" {
            bookkeeping(&relation, schema)?
        } else {
            user_table(&relation, schema)
        };
        Ok(Role { relation, kind })
    }

    /// The same relation by another schema.
    pub(super) fn reclassified(&self, schema: &Schema) -> Role {
        // What made the relation acceptable before does not depend on the schema, but for shadows.
        match Role::new(self.relation.clone(), schema) {
            Ok(role) => role,
            Err(_) => Role { relation: self.relation.clone(), kind: Kind::Ignored },
        }
    }
}

/// Whether a table that clients get has other columns than its definition says. Inside of a transaction that is no wonder.
pub(super) fn differs(relation: &Relation, schema: &Schema) -> bool {
    let table = schema.table(RelationId(relation.id)).filter(|table| table.held_back.is_none());
    table.is_some_and(|table| {
        relation.columns.len() != table.columns.len()
            || table.columns.iter().any(|column| position(relation, &column.name).is_none())
    })
}

fn position(relation: &Relation, column: &str) -> Option<usize> {
    relation.columns.iter().position(|name| name == column)
}

fn required(relation: &Relation, column: &str) -> Result<usize, AssembleError> {
    position(relation, column).ok_or_else(|| AssembleError::Bookkeeping {
        table: relation.name.clone(),
        problem: "a column is missing",
    })
}

fn user_table(relation: &Relation, schema: &Schema) -> Kind {
    let Some(table) = live(schema).find(|table| table.id == RelationId(relation.id)) else {
        return Kind::Unsynced;
    };
    let positions: Vec<Option<usize>> =
        table.columns.iter().map(|column| position(relation, &column.name)).collect();
    let key = table.primary_key.iter().map(|i| positions.get(*i).copied().flatten()).collect();
    match key {
        Some(key) => Kind::Table(TableRole { table: Arc::clone(table), positions, key }),
        None => Kind::Unsynced,
    }
}

/// The tables that clients get something of. What has become of the others, and of their shadows, is of no interest.
fn live(schema: &Schema) -> impl Iterator<Item = &Arc<Table>> {
    schema.tables().filter(|table| table.held_back.is_none())
}

fn bookkeeping(relation: &Relation, schema: &Schema) -> Result<Kind, AssembleError> {
    Ok(match relation.name.as_str() {
        "acknowledged_client_lsns" => Kind::Acknowledgement(AcknowledgementColumns {
            client: required(relation, "client_id")?,
            ts: position(relation, "ts"),
        }),
        "ddl_commands" => match position(relation, "snapshot") {
            // As another service made it, before this one's columns were added.
            None => Kind::Ignored,
            Some(snapshot) => Kind::Ddl(DdlColumns {
                id: required(relation, "id")?,
                txid: position(relation, "txid"),
                version: required(relation, "version")?,
                snapshot,
                recorded_at: position(relation, "recorded_at"),
            }),
        },
        _ => match live(schema).find(|table| table.shadow.id == RelationId(relation.id)) {
            None => Kind::Unsynced,
            Some(table) => {
                let key = table.primary_key.iter().filter_map(|i| table.columns.get(*i));
                Kind::Shadow(ShadowRole {
                    table: Arc::clone(table),
                    key: key.map(|column| required(relation, &column.name)).collect::<Result<_, _>>()?,
                    tags: required(relation, "_tags")?,
                    tag: position(relation, "_tag"),
                    image: position(relation, "_image"),
                })
            }
        },
    })
}

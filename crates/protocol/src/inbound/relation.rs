//! Relations as clients announce them: their own columns in their own order, found in the table by name (spec 03 §5.4).

use std::sync::Arc;

use change::RelationId;
use schema::{Schema, Table};

use super::{operation::Kind, rejection::RejectionReason};
use crate::{
    error::ErrorCode,
    op_log::RowOp,
    wire::{SatErrorResp, SatRelation},
};

/// A client's relation, bound to the table of its name. What the client says of types and keys is ignored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InboundRelation {
    table: Arc<Table>,
    columns: Vec<ClientColumn>,
}

/// A column of a client's relation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ClientColumn {
    /// Its index in the table.
    pub(super) index: usize,
    /// What the client says; the table's own word counts as well.
    pub(super) nullable: bool,
}

/// What a client may say of a relation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Announced {
    /// One of a table that it can write to.
    Synced(InboundRelation),
    /// One of a table that it has and can't write to any more: what it wrote is refused, but it may ask to keep rows of it alive,
    /// which its triggers do whenever it writes a row that refers to one. With the table as clients have it, if the relation fits.
    Retired {
        /// Its name.
        table: String,
        /// What its operations can be told by.
        known: Option<InboundRelation>,
    },
}

impl Announced {
    /// Finds the table.
    pub(super) fn bind(relation: &SatRelation, schema: &Schema) -> Result<Announced, RelationRefused> {
        match InboundRelation::bind(relation, schema) {
            Err(unknown @ RelationRefused::UnknownTable { .. }) => {
                let table = retired(relation, schema).ok_or(unknown)?;
                let known = InboundRelation::bind_to(table, relation).ok();
                Ok(Announced::Retired { table: table.name.clone(), known })
            }
            bound => bound.map(Announced::Synced),
        }
    }

    /// The relation that an operation is written by, if there is anything to write: a row of a table that is not synced any more needs
    /// no keeping.
    pub(super) fn writable(
        &mut self,
        kind: Kind,
        op: &RowOp<'_>,
        schema: &Schema,
    ) -> Result<Option<&mut InboundRelation>, RejectionReason> {
        let bound = match self {
            Announced::Synced(relation) => relation.rebind(schema).map(|()| Some(relation)),
            Announced::Retired { table, .. } => Err(RejectionReason::NotSynced { table: table.clone() }),
        };
        match bound {
            Err(RejectionReason::NotSynced { .. }) if kind.only_keeps(op) => Ok(None),
            bound => bound,
        }
    }

    /// What operations of it can be told by, whether they can be written or not.
    pub(super) fn known(&self) -> Option<&InboundRelation> {
        match self {
            Announced::Synced(relation) => Some(relation),
            Announced::Retired { known, .. } => known.as_ref(),
        }
    }
}

fn retired<'a>(relation: &SatRelation, schema: &'a Schema) -> Option<&'a Arc<Table>> {
    schema
        .retired(&relation.table_name)
        .filter(|table| table.name == relation.table_name && table.schema == relation.schema_name)
}

/// A relation does not fit the schema. Only names are shown, none of any row.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RelationRefused {
    /// No table of that name is synced.
    #[error("unknown table {schema}.{table}")]
    UnknownTable {
        /// Quoted.
        schema: String,
        /// Quoted.
        table: String,
    },
    /// The table has no column of that name.
    #[error("unknown column {column} of table {table}")]
    UnknownColumn {
        /// Quoted.
        table: String,
        /// Quoted.
        column: String,
    },
    /// A column occurs twice.
    #[error("column {column} of table {table} is announced twice")]
    DuplicateColumn {
        /// Quoted.
        table: String,
        /// Quoted.
        column: String,
    },
    /// A column of the primary key is not among the columns.
    #[error("primary key column {column} of table {table} is missing")]
    MissingKey {
        /// Quoted.
        table: String,
        /// Quoted.
        column: String,
    },
    /// More than [`InboundRelation::MAX`].
    #[error("more than {} relations announced", InboundRelation::MAX)]
    TooMany,
}

impl RelationRefused {
    /// The error that the client gets: `INVALID_REQUEST`. The close code after it is 1007 (spec 03 §6.3).
    #[must_use]
    pub fn response(&self) -> SatErrorResp {
        SatErrorResp::new(ErrorCode::InvalidRequest, self.to_string())
    }
}

impl InboundRelation {
    /// Most relations that one connection may announce.
    pub const MAX: usize = 10_000;

    /// Finds the table and the columns.
    ///
    /// # Errors
    /// [`RelationRefused`] names what does not fit. Tables that are held back from clients count as unknown.
    pub fn bind(relation: &SatRelation, schema: &Schema) -> Result<InboundRelation, RelationRefused> {
        let table = schema
            .table_named(&relation.table_name)
            .filter(|table| table.schema == relation.schema_name && table.held_back.is_none())
            .ok_or_else(|| RelationRefused::UnknownTable {
                schema: quote(&relation.schema_name),
                table: quote(&relation.table_name),
            })?;
        InboundRelation::bind_to(table, relation)
    }

    fn bind_to(table: &Arc<Table>, relation: &SatRelation) -> Result<InboundRelation, RelationRefused> {
        let mut columns: Vec<ClientColumn> = Vec::with_capacity(table.columns.len());
        for column in &relation.columns {
            let names = || (quote(&table.name), quote(&column.name));
            let index = table.columns.iter().position(|c| c.name == column.name).ok_or_else(|| {
                let (table, column) = names();
                RelationRefused::UnknownColumn { table, column }
            })?;
            if columns.iter().any(|known| known.index == index) {
                let (table, column) = names();
                return Err(RelationRefused::DuplicateColumn { table, column });
            }
            columns.push(ClientColumn { index, nullable: column.is_nullable });
        }
        let missing = table.primary_key.iter().find(|key| columns.iter().all(|column| column.index != **key));
        if let Some(column) = missing.and_then(|key| table.columns.get(*key)) {
            return Err(RelationRefused::MissingKey {
                table: quote(&table.name),
                column: quote(&column.name),
            });
        }
        Ok(InboundRelation { table: table.clone(), columns })
    }

    /// The table.
    #[must_use]
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// The table's id.
    #[must_use]
    pub fn id(&self) -> RelationId {
        self.table.id
    }

    /// The columns in the client's order.
    pub(super) fn columns(&self) -> &[ClientColumn] {
        &self.columns
    }

    /// Makes sure that the table is the one of the schema of the moment, which may have got columns since, or be another of the
    /// same name.
    pub(super) fn rebind(&mut self, schema: &Schema) -> Result<(), RejectionReason> {
        let stale = || RejectionReason::StaleRelation(self.table.name.clone());
        let is_live = |table: &&Arc<Table>| table.held_back.is_none();
        let same = schema.table(self.table.id).filter(is_live);
        let of_the_name = || schema.table_named(&self.table.name).filter(is_live);
        let table = same
            .or_else(of_the_name)
            .ok_or_else(|| RejectionReason::NotSynced { table: self.table.name.clone() })?;
        if Arc::ptr_eq(table, &self.table) {
            return Ok(());
        }
        let find = |column: &ClientColumn| {
            let name = &self.table.columns.get(column.index)?.name;
            let index = table.columns.iter().position(|c| c.name == *name)?;
            Some(ClientColumn { index, ..*column })
        };
        let columns = self.columns.iter().map(find).collect::<Option<Vec<_>>>().ok_or_else(stale)?;
        *self = InboundRelation { table: table.clone(), columns };
        Ok(())
    }
}

/// A name as a client gave it: in quotes, control characters escaped, cut after the longest that Postgres has.
fn quote(name: &str) -> String {
    format!("{:?}", name.chars().take(64).collect::<String>())
}

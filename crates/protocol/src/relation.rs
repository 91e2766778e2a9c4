//! Announcing tables to clients (spec 03 §5.1).

use schema::Table;

use crate::wire::{SatRelation, SatRelationColumn, sat_relation};

/// The relation that makes a table's rows readable to a client. It must be sent before the first row on each
/// connection, and again before the first row of another definition.
#[must_use]
pub fn relation(table: &Table) -> SatRelation {
    let columns = table.columns.iter().enumerate().map(|(i, column)| {
        let primary_key = table.primary_key.contains(&i);
        SatRelationColumn {
            name: column.name.clone(),
            r#type: column.ty.type_name().to_owned(),
            primary_key,
            is_nullable: !(column.not_null || primary_key),
        }
    });
    SatRelation {
        schema_name: table.schema.clone(),
        table_type: sat_relation::RelationType::Table.into(),
        table_name: table.name.clone(),
        relation_id: table.id.0,
        columns: columns.collect(),
    }
}

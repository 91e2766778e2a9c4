//! Small schemas.

use std::sync::Arc;

use change::RelationId;
use schema::{Column, ColumnType, ForeignKey, ForeignKeyAction, Schema, Shadow, Table};

/// A table of text columns; the first is the key.
pub fn table(id: u32, name: &str, columns: &[&str]) -> Table {
    let column = |(i, name): (usize, &&str)| Column {
        name: (*name).to_owned(),
        ty: ColumnType::Text,
        modifiers: Vec::new(),
        sql_type: "text".into(),
        collation: None,
        not_null: i == 0,
    };
    Table {
        id: RelationId(id),
        schema: "public".into(),
        name: name.into(),
        columns: columns.iter().enumerate().map(column).collect(),
        primary_key_name: format!("{name}_pkey"),
        primary_key: vec![0],
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        shadow: Shadow {
            id: RelationId(id + 1000),
            name: format!("shadow__public__{name}"),
            tag_columns: columns
                .iter()
                .enumerate()
                .map(|(i, c)| (i > 0).then(|| format!("_tag_{c}")))
                .collect(),
        },
        held_back: None,
    }
}

pub fn refer(mut from: Table, columns: &[usize], to: &Table) -> Table {
    from.foreign_keys.push(ForeignKey {
        name: format!("{}_fkey{}", from.name, from.foreign_keys.len()),
        columns: columns.to_vec(),
        references: to.id,
        referenced_table: to.name.clone(),
        referenced_columns: vec![to.columns[0].name.clone(); columns.len()],
        on_delete: ForeignKeyAction::NoAction,
        on_update: ForeignKeyAction::NoAction,
        definition: String::new(),
    });
    from
}

pub fn schema(tables: impl IntoIterator<Item = Table>) -> Schema {
    let mut schema = Schema::default();
    for table in tables {
        schema.insert(Arc::new(table));
    }
    schema
}

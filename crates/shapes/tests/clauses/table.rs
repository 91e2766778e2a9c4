//! The table of the clauses; shared with `fuzz/`.

use std::sync::Arc;

use change::RelationId;
use schema::{Column, ColumnType, EnumType, Shadow, Table};

/// A table with a column of every type.
pub fn everything() -> Table {
    let mood = EnumType { name: "mood".into(), labels: ["sad", "ok", "it's"].map(String::from).to_vec() };
    let columns = [
        ("id", ColumnType::Int4),
        ("a", ColumnType::Int4),
        ("b", ColumnType::Int4),
        ("i2", ColumnType::Int2),
        ("i8", ColumnType::Int8),
        ("f", ColumnType::Float8),
        ("f4", ColumnType::Float4),
        ("t", ColumnType::Text),
        ("name", ColumnType::Text),
        ("title", ColumnType::Text),
        ("test", ColumnType::Text),
        ("mixedCase", ColumnType::Text),
        ("order", ColumnType::Int4),
        ("v", ColumnType::Varchar),
        ("p", ColumnType::Bool),
        ("q", ColumnType::Bool),
        ("r", ColumnType::Bool),
        ("d", ColumnType::Date),
        ("ti", ColumnType::Time),
        ("ts", ColumnType::Timestamp),
        ("tz", ColumnType::Timestamptz),
        ("u", ColumnType::Uuid),
        ("j", ColumnType::Jsonb),
        ("raw", ColumnType::Bytea),
        ("mood", ColumnType::Enum(Arc::new(mood.clone()))),
        ("mood2", ColumnType::Enum(Arc::new(mood))),
    ];
    let column = |(name, ty): (&str, ColumnType)| Column {
        name: name.to_owned(),
        ty,
        modifiers: Vec::new(),
        sql_type: String::new(),
        collation: None,
        not_null: name == "id",
        default: None,
        identity: None,
    };
    Table {
        id: RelationId(1),
        schema: "public".into(),
        name: "everything".into(),
        columns: columns.into_iter().map(column).collect(),
        primary_key_name: "everything_pkey".into(),
        primary_key: vec![0],
        foreign_keys: Vec::new(),
        indexes: Vec::new(),
        shadow: Shadow {
            id: RelationId(2),
            name: "shadow__public__everything".into(),
            tag_columns: Vec::new(),
        },
        held_back: None,
    }
}

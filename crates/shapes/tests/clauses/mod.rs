//! Where-clauses: what is understood, what is refused, and what is the same (spec 06 §3).

mod canonical;
mod client;
mod messages;
mod precedence;
mod syntax;
mod typing;
mod untrusted;
mod values;
mod widened;

use std::sync::Arc;

use change::RelationId;
use schema::{Column, ColumnType, EnumType, Shadow, Table};
use shapes::Clause;

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

#[track_caller]
pub fn clause(text: &str) -> Clause {
    match Clause::parse(text, &everything()) {
        Ok(clause) => clause,
        Err(error) => panic!("{text}: {error}"),
    }
}

/// Each of these is understood.
#[track_caller]
pub fn understood(texts: &[&str]) {
    texts.iter().for_each(|text| _ = clause(text));
}

/// The message with which a clause is refused.
#[track_caller]
pub fn refused(text: &str) -> String {
    match Clause::parse(text, &everything()) {
        Ok(clause) => panic!("{text} is understood as {:?}", clause.expr()),
        Err(error) => error.to_string(),
    }
}

#[track_caller]
pub fn same(one: &str, other: &str) {
    assert_eq!(clause(one).expr(), clause(other).expr(), "{one} is not the same as {other}");
}

#[track_caller]
pub fn different(one: &str, other: &str) {
    assert_ne!(clause(one).expr(), clause(other).expr(), "{one} is the same as {other}");
}

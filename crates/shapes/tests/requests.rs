//! Requests, right and wrong (spec 06 §2.4, §13.6).

use change::{RelationId, RequestId};
use proptest::prelude::*;
use schema::Schema;
use shapes::{RelationDef, SelectDef, Shape, ShapeDef, ShapeError, ShapeErrorCode};

use crate::support::{refer, schema, table};

fn example() -> Schema {
    let users = table(1, "users", &["id", "name"]);
    let entries = refer(table(2, "entries", &["id", "content", "author_id"]), &[2], &users);
    let projects = refer(table(3, "projects", &["id", "owner_id"]), &[1], &users);
    let orders = table(5, "orders", &["tenant", "no"]);
    let lines = refer(table(6, "lines", &["id", "tenant", "no"]), &[1, 2], &orders);
    let mut hidden = table(7, "hidden", &["id"]);
    hidden.held_back = Some("odd".into());
    schema([users, entries, projects, orders, lines, hidden])
}

fn check(definition: Option<&ShapeDef>) -> Result<Shape, ShapeError> {
    Shape::new(RequestId::new("r"), definition, &example())
}

fn select(table: &str, include: Vec<RelationDef>) -> SelectDef {
    SelectDef { table: table.into(), where_clause: String::new(), include }
}

fn over(key: &[&str], select: SelectDef) -> RelationDef {
    RelationDef { foreign_key: key.iter().map(ToString::to_string).collect(), select: Some(select) }
}

#[track_caller]
fn refused(select: SelectDef, code: ShapeErrorCode, message: &str) {
    let error = check(Some(&ShapeDef { selects: vec![select] })).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code, message));
}

#[test]
fn a_whole_table() {
    let shape = check(Some(&ShapeDef { selects: vec![select("users", vec![])] })).unwrap();
    assert_eq!(shape, Shape { request: RequestId::new("r"), relation: RelationId(1) });
}

#[test]
fn nothing_and_too_much() {
    for empty in [None, Some(&ShapeDef::default())] {
        let error = check(empty).unwrap_err();
        assert_eq!(error.code, ShapeErrorCode::EmptyShapeDefinition);
        assert_eq!(error.message, "Empty shape requests are not allowed");
    }
    let two = ShapeDef { selects: vec![select("nope", vec![]), select("users", vec![])] };
    let error = check(Some(&two)).unwrap_err();
    assert_eq!(error.code, ShapeErrorCode::InvalidIncludeTree);
    assert_eq!(error.message, "Cannot have more than one top-level select");
}

#[test]
fn unknown_tables() {
    for name in ["who knows", "hidden", "USERS", "public.users"] {
        refused(select(name, vec![]), ShapeErrorCode::TableNotFound, &format!("Unknown table {name}"));
    }
    for name in ["", &"a".repeat(65), "a\u{7}", "a\nb", "\0"] {
        refused(select(name, vec![]), ShapeErrorCode::TableNotFound, "Invalid table name");
    }
    refused(
        select(&"a".repeat(64), vec![]),
        ShapeErrorCode::TableNotFound,
        &format!("Unknown table {}", "a".repeat(64)),
    );
}

#[test]
fn where_clauses_are_refused_behind_the_table() {
    let message = "Where-clauses are not supported by this version yet: sync the whole table";
    let with_where = |name: &str| SelectDef { where_clause: "true".into(), ..select(name, vec![]) };
    refused(with_where("users"), ShapeErrorCode::InvalidWhereClause, message);
    refused(with_where("x"), ShapeErrorCode::TableNotFound, "Unknown table x");
}

#[test]
fn includes_are_checked_and_then_refused() {
    let code = ShapeErrorCode::InvalidIncludeTree;
    let unsupported =
        "Includes are not supported by this version yet: sync each table with a shape of its own";
    let entries = || over(&["author_id"], select("entries", vec![]));
    refused(select("users", vec![entries()]), code, unsupported);
    refused(select("entries", vec![over(&["author_id"], select("users", vec![]))]), code, unsupported);
    refused(select("orders", vec![over(&["tenant", "no"], select("lines", vec![]))]), code, unsupported);
    refused(select("users", vec![entries(), entries()]), code, "Cannot traverse same relationship twice");
    refused(
        select("users", vec![RelationDef { foreign_key: vec!["author_id".into()], select: None }]),
        code,
        "Relation has to have a FK and a select",
    );
    let unknown = over(&["author_id"], select("x", vec![]));
    refused(
        select("users", vec![unknown, entries(), entries()]),
        ShapeErrorCode::TableNotFound,
        "Unknown table x",
    );
    refused(
        select("users", vec![over(&["author_id"], select("projects", vec![]))]),
        code,
        r#"Relation between {"public", "users"} and {"public", "projects"} over FK ["author_id"] does not exist"#,
    );
    refused(
        select("orders", vec![over(&["no", "tenant"], select("lines", vec![]))]),
        code,
        r#"Relation between {"public", "orders"} and {"public", "lines"} over FK ["no", "tenant"] does not exist"#,
    );
    refused(
        select("users", vec![over(&[], select("projects", vec![]))]),
        code,
        r#"Relation between {"public", "users"} and {"public", "projects"} over FK [] does not exist"#,
    );
}

#[test]
fn depth_is_bounded() {
    let mut nested = select("users", vec![]);
    for level in 0..2000 {
        nested = select(if level % 2 == 0 { "entries" } else { "users" }, vec![over(&["author_id"], nested)]);
    }
    refused(nested, ShapeErrorCode::InvalidIncludeTree, "Includes are nested more than 32 levels deep");
}

proptest! {
    #[test]
    fn never_panics_and_never_accepts_what_is_not_there(table: String, where_clause: String, key: Vec<String>) {
        let child = SelectDef { table: table.clone(), where_clause: where_clause.clone(), include: vec![] };
        let include = vec![RelationDef { foreign_key: key, select: Some(child) }];
        for select in [
            SelectDef { table, where_clause, include: vec![] },
            SelectDef { table: "users".into(), where_clause: String::new(), include },
        ] {
            let error = check(Some(&ShapeDef { selects: vec![select] })).unwrap_err();
            prop_assert!(error.message.len() < 4096);
        }
    }
}

//! Requests, right and wrong (spec 06 §2.4, §13.6).

use change::{RelationId, RequestId, UserId};
use proptest::prelude::*;
use shapes::{
    RelationDef, SelectDef, Shape, ShapeDef, ShapeError,
    ShapeErrorCode::{self, EmptyShapeDefinition, InvalidIncludeTree, InvalidWhereClause, TableNotFound},
    ShapeLimits,
};

use crate::support::{example, over, refer, schema, select, select_where, shape, table};

fn check(definition: Option<&ShapeDef>) -> Result<Shape, ShapeError> {
    check_within(definition, &ShapeLimits::default())
}

fn check_within(definition: Option<&ShapeDef>, limits: &ShapeLimits) -> Result<Shape, ShapeError> {
    Shape::new(RequestId::new("r"), definition, &example(), &UserId::new("1"), limits)
}

#[track_caller]
fn refused(select: SelectDef, code: ShapeErrorCode, message: &str) {
    let error = check(Some(&ShapeDef { selects: vec![select] })).unwrap_err();
    assert_eq!((error.code, error.message.as_str()), (code, message));
}

fn entries() -> RelationDef {
    over(&["author_id"], select("entries", vec![]))
}

#[test]
fn a_whole_table() {
    let shape = check(Some(&ShapeDef { selects: vec![select("users", vec![])] })).unwrap();
    assert_eq!(shape.request, RequestId::new("r"));
    assert!(shape.plan.is_simple());
    let root = shape.plan.root().unwrap();
    assert!(root.table.id == RelationId(1) && root.filter.is_all() && root.links.is_empty());
}

#[test]
fn e01_e02_nothing_is_asked_for() {
    for empty in [None, Some(&ShapeDef::default())] {
        let error = check(empty).unwrap_err();
        assert_eq!(error.code, EmptyShapeDefinition);
        assert_eq!(error.message, "Empty shape requests are not allowed");
    }
}

#[test]
fn e03_two_selects() {
    let two = ShapeDef { selects: vec![select("nope", vec![]), select("users", vec![])] };
    let error = check(Some(&two)).unwrap_err();
    assert_eq!(error.code, InvalidIncludeTree);
    assert_eq!(error.message, "Cannot have more than one top-level select");
}

#[test]
fn e04_unknown_tables() {
    for name in ["who knows", "hidden", "USERS", "public.users", &"a".repeat(64)] {
        refused(select(name, vec![]), TableNotFound, &format!("Unknown table {name}"));
    }
}

#[test]
fn e05_names_that_no_table_has() {
    for name in ["", &"a".repeat(65), &"a".repeat(100), "a\u{7}", "a\nb", "\0"] {
        refused(select(name, vec![]), TableNotFound, "Invalid table name");
    }
}

#[test]
fn e06_an_include_of_an_unknown_table() {
    refused(
        select("users", vec![over(&["author_id"], select("x", vec![]))]),
        TableNotFound,
        "Unknown table x",
    );
    refused(
        select("users", vec![over(&["author_id"], select("", vec![]))]),
        TableNotFound,
        "Invalid table name",
    );
}

#[test]
fn e07_no_such_relation() {
    refused(
        select("users", vec![over(&["author_id"], select("projects", vec![]))]),
        InvalidIncludeTree,
        r#"Relation between {"public", "users"} and {"public", "projects"} over FK ["author_id"] does not exist"#,
    );
    refused(
        select("orders", vec![over(&["no", "tenant"], select("lines", vec![]))]),
        InvalidIncludeTree,
        r#"Relation between {"public", "orders"} and {"public", "lines"} over FK ["no", "tenant"] does not exist"#,
    );
    refused(
        select("users", vec![over(&[], select("projects", vec![]))]),
        InvalidIncludeTree,
        r#"Relation between {"public", "users"} and {"public", "projects"} over FK [] does not exist"#,
    );
}

#[test]
fn e08_a_relation_without_a_select() {
    let incomplete = RelationDef { foreign_key: vec!["author_id".into()], select: None };
    refused(select("users", vec![incomplete]), InvalidIncludeTree, "Relation has to have a FK and a select");
}

#[test]
fn e09_the_same_relation_twice() {
    let message = "Cannot traverse same relationship twice";
    refused(select("users", vec![entries(), entries()]), InvalidIncludeTree, message);
    let author = || over(&["author_id"], select("users", vec![]));
    refused(select("entries", vec![author(), author()]), InvalidIncludeTree, message);
    let some = over(&["author_id"], select_where("entries", "this.content = 'x'", vec![]));
    refused(select("users", vec![some, entries()]), InvalidIncludeTree, message);
    let comments = || over(&["author_id"], select("comments", vec![]));
    check(Some(&ShapeDef { selects: vec![select("users", vec![entries(), comments()])] })).unwrap();
}

#[test]
fn e20_each_request_has_its_own_error() {
    refused(select("x", vec![]), TableNotFound, "Unknown table x");
    refused(
        select_where("users", "huh::boolean", vec![]),
        InvalidWhereClause,
        "At location 0: unknown reference huh",
    );
}

#[test]
fn e25_where_clauses_on_many_to_one_includes() {
    let author = over(&["author_id"], select_where("users", "this.name = 'x'", vec![]));
    refused(
        select("entries", vec![author]),
        InvalidIncludeTree,
        "Where clauses are not allowed on many-to-one relations",
    );
}

#[test]
fn the_first_error_is_told_depth_first() {
    let wrong_clause = "At location 0: unknown reference huh";
    let of = |name: &str, clause: &str, include| select_where(name, clause, include);
    // The table before the clause, the clause before the way there, that before what is below.
    refused(of("x", "huh", vec![]), TableNotFound, "Unknown table x");
    refused(of("users", "huh", vec![over(&["a"], select("x", vec![]))]), InvalidWhereClause, wrong_clause);
    refused(
        select("users", vec![over(&["a"], of("entries", "huh", vec![]))]),
        InvalidWhereClause,
        wrong_clause,
    );
    refused(
        select("users", vec![over(&["a"], select("entries", vec![over(&["b"], select("x", vec![]))]))]),
        InvalidIncludeTree,
        r#"Relation between {"public", "users"} and {"public", "entries"} over FK ["a"] does not exist"#,
    );
    // One include with all below it before the next, and all of them before whether two are the same.
    let wrong_below = over(&["author_id"], select("entries", vec![over(&["b"], select("x", vec![]))]));
    let wrong = over(&["author_id"], select("y", vec![]));
    refused(select("users", vec![wrong_below, wrong.clone()]), TableNotFound, "Unknown table x");
    refused(select("users", vec![entries(), entries(), wrong]), TableNotFound, "Unknown table y");
}

#[test]
fn depth_is_bounded() {
    let nested = |levels: usize| {
        (0..levels).fold(select("users", vec![]), |inner, level| {
            select(if level % 2 == 0 { "entries" } else { "users" }, vec![over(&["author_id"], inner)])
        })
    };
    shape(&nested(16), &example(), "1").unwrap();
    for levels in [17, 5000] {
        refused(
            nested(levels),
            InvalidIncludeTree,
            "Includes are nested more than 16 levels deep: sync the deeper tables with a shape of their own",
        );
    }
    let endless = ShapeLimits { depth: usize::MAX, layers: usize::MAX, clause: usize::MAX };
    let definition = ShapeDef { selects: vec![nested(5000)] };
    let error = check_within(Some(&definition), &endless).unwrap_err();
    assert!(error.message.starts_with("Includes are nested more than 64 levels deep"), "{error}");
}

#[test]
fn layers_are_bounded() {
    // The closure counts: comments, entries, users.
    let definition = ShapeDef { selects: vec![select("comments", vec![])] };
    check_within(Some(&definition), &ShapeLimits { layers: 3, ..ShapeLimits::default() }).unwrap();
    let error =
        check_within(Some(&definition), &ShapeLimits { layers: 2, ..ShapeLimits::default() }).unwrap_err();
    assert_eq!(error.code, InvalidIncludeTree);
    assert!(error.message.contains("more than 2 steps"), "{error}");

    // What is asked for is counted before anything is looked up.
    let many = select("users", (0..10_000).map(|_| entries()).collect());
    let error = check(Some(&ShapeDef { selects: vec![many] })).unwrap_err();
    assert!(error.message.contains("more than 256 steps"), "{error}");
}

#[test]
fn clauses_are_bounded() {
    let definition = ShapeDef { selects: vec![select_where("users", &"(".repeat(101), vec![])] };
    let limits = ShapeLimits { clause: 100, ..ShapeLimits::default() };
    let error = check_within(Some(&definition), &limits).unwrap_err();
    assert_eq!(error.code, InvalidWhereClause);
    assert!(error.message.starts_with("The where-clause has 101 bytes, and 100 are allowed"), "{error}");
}

#[test]
fn a_key_that_contradicts_the_table_it_refers_to_is_no_relation() {
    let users = table(1, "users", &["id"]);
    let entries = refer(table(2, "entries", &["id", "author_id"]), &["author_id"], &users, &["gone"]);
    let schema = schema([users, entries]);
    let nested = select("users", vec![over(&["author_id"], select("entries", vec![]))]);
    assert_eq!(shape(&nested, &schema, "1").unwrap_err().code, InvalidIncludeTree);
    assert!(shape(&select("entries", vec![]), &schema, "1").unwrap().plan.is_simple());
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

//! Filters: the owner and the where-clause together (spec 06 §9, §13.4).

use std::sync::Arc;

use change::UserId;
use schema::{ColumnType, EnumType, Table};
use shapes::{Clause, Filter};

use crate::support::{row, table};

fn notes(owner: &str) -> Table {
    table(1, "notes", &["id", "body", &format!("electric_user_id {owner}")])
}

fn filter(table: &Table, clause: &str, user: &str) -> Filter {
    let clause = (!clause.is_empty()).then(|| Arc::new(Clause::parse(clause, table).unwrap()));
    Filter::new(clause, table, &UserId::new(user))
}

fn is_seen(clause: &str, owner: Option<&str>, body: &str) -> bool {
    filter(&notes("text"), clause, "1").matches(&row(&[Some("n"), Some(body), owner]))
}

#[test]
fn v60_v61_rows_of_others_are_not_seen() {
    assert!(is_seen("", Some("1"), "x"));
    for other in ["2", "11", " 1", "01"] {
        assert!(!is_seen("", Some(other), "x"), "{other}");
    }
}

#[test]
fn v62_rows_of_nobody_are_seen_by_all() {
    assert!(is_seen("", None, "x") && is_seen("", Some(""), "x"));
}

#[test]
fn v65_a_clause_does_not_lead_past_the_owner() {
    let clause = "this.body = 'x' OR true";
    assert!(is_seen(clause, Some("1"), "y") && !is_seen(clause, Some("2"), "x"));
    assert!(!filter(&notes("text"), clause, "1").is_all());
    let sql =
        filter(&notes("text"), "this.body = 'x' OR this.body = 'y'", "1").sql(&notes("text"), "r").unwrap();
    assert!(
        sql.starts_with("(r.electric_user_id IS NULL OR r.electric_user_id IN ('', '1')) AND ("),
        "{sql}"
    );
}

#[test]
fn v66_nor_does_a_comment() {
    let clause = "this.body = 'x' -- ";
    assert!(is_seen(clause, Some("1"), "x"));
    assert!(!is_seen(clause, Some("1"), "y") && !is_seen(clause, Some("2"), "x"));
    let sql = filter(&notes("text"), clause, "1").sql(&notes("text"), "r").unwrap();
    assert!(!sql.contains("--"), "{sql}");
}

#[test]
fn no_clause_and_one_that_is_always_true_are_the_same() {
    let plain = table(1, "plain", &["id", "body"]);
    for always in ["", "true", "1::boolean", "1 = 1", "this.body = 'x' OR true"] {
        assert!(filter(&plain, always, "1").is_all(), "{always}");
        assert_eq!(filter(&plain, always, "1"), Filter::default());
        assert_eq!(filter(&plain, always, "1").sql(&plain, "r"), None);
        assert_eq!(filter(&notes("text"), always, "1"), filter(&notes("text"), "", "1"));
    }
    assert!(!filter(&plain, "false", "1").is_all());
}

#[test]
fn columns_are_those_of_the_clause_and_the_owners() {
    assert_eq!(filter(&notes("text"), "", "1").columns(), [2]);
    assert_eq!(filter(&notes("text"), "this.body = 'x'", "1").columns(), [1, 2]);
    assert_eq!(
        filter(&notes("text"), "this.electric_user_id = '1' AND this.id <> 'y'", "1").columns(),
        [0, 2]
    );
}

#[track_caller]
fn owner_sql(ty: &str, user: &str, expected: &str) {
    let table = notes(ty);
    assert_eq!(filter(&table, "", user).sql(&table, "r").unwrap(), expected);
}

#[test]
fn the_owners_condition_serves_an_index_and_never_raises() {
    owner_sql("text", "1", "r.electric_user_id IS NULL OR r.electric_user_id IN ('', '1')");
    owner_sql("varchar", "it's", "r.electric_user_id IS NULL OR r.electric_user_id IN ('', 'it''s')");
    owner_sql("text", r"a\'b", r"r.electric_user_id IS NULL OR r.electric_user_id IN ('', E'a\\''b')");
    owner_sql("text", "", "r.electric_user_id IS NULL OR r.electric_user_id = ''");
    owner_sql("text", "a\0b", "r.electric_user_id IS NULL OR r.electric_user_id = ''");
    let uuid = "0b1c2d3e-0000-4000-8000-00000000000f";
    owner_sql("uuid", uuid, &format!("r.electric_user_id IS NULL OR r.electric_user_id = '{uuid}'::uuid"));
    for other in ["1", &uuid.to_uppercase(), &uuid[1..], &format!("{uuid}'"), &uuid.replace('-', "0")] {
        owner_sql("uuid", other, "r.electric_user_id IS NULL");
    }
    owner_sql("int4", "-7", "r.electric_user_id IS NULL OR r.electric_user_id = '-7'::int4");
    for other in ["007", "+7", "", "3000000000", "7 "] {
        owner_sql("int4", other, "r.electric_user_id IS NULL");
    }
    owner_sql("int8", "3000000000", "r.electric_user_id IS NULL OR r.electric_user_id = '3000000000'::int8");
    owner_sql("bool", "t", "r.electric_user_id IS NULL OR r.electric_user_id");
    owner_sql("bool", "true", "r.electric_user_id IS NULL");
    owner_sql("date", "x", "r.electric_user_id IS NULL OR r.electric_user_id::text IN ('', 'x')");
    let mut labels = notes("text");
    let ty = EnumType { name: "kind".into(), labels: vec!["a".into()] };
    labels.columns[2].ty = ColumnType::Enum(Arc::new(ty));
    assert_eq!(
        filter(&labels, "", "a").sql(&labels, "r").unwrap(),
        "r.electric_user_id IS NULL OR r.electric_user_id::text IN ('', 'a')"
    );
}

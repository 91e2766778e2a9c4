//! What is no usable snapshot is refused with an error that says why.

use proptest::prelude::*;
use schema::{ColumnType, SnapshotError, parse};
use serde_json::{Value, json};

use crate::support::{orgs, table};

fn error(json: &Value) -> String {
    parse(json.to_string().as_bytes()).unwrap_err().to_string()
}

#[test]
fn reads_a_whole_snapshot() {
    let snapshot = table(7, "t")
        .enumeration("hue", &["red", "blue"])
        .column("a", "int4")
        .column("hue", "hue!")
        .key(&["a"])
        .references(&["a"], (9, "p"), &["id"], "rd", "")
        .snapshot();
    assert!(snapshot.enums[0].new);
    let table = &snapshot.table;
    assert_eq!((table.id.0, table.shadow.id.0, &*table.shadow.name), (7, 100_007, "shadow__public__t"));
    assert!(table.columns[0].not_null, "key columns never hold NULL");
    assert_eq!(table.columns[1].ty.type_name(), "hue");
    assert_eq!(table.foreign_keys[0].references.0, 9);
}

#[test]
fn an_enumeration_of_another_schema_carries_its_name() {
    let mut json = table(7, "t")
        .enumeration("hue", &["red"])
        .column("a", "int4")
        .column("hue", "hue")
        .key(&["a"])
        .json();
    json["enums"][0]["schema"] = "paint".into();
    json["table"]["columns"][1]["type_schema"] = "paint".into();
    let table = parse(json.to_string().as_bytes()).unwrap().table;
    assert_eq!(table.columns[1].ty.type_name(), "paint.hue");
    assert!(table.warnings()[0].contains("\"paint\""));
}

#[test]
fn refuses_types_that_can_not_be_synced() {
    for (name, schema, typtype, typmod) in [
        ("xml", "pg_catalog", "b", -1),
        ("_int4", "pg_catalog", "b", -1),
        ("jsonb", "pg_catalog", "b", 24),
        ("text", "public", "d", -1),
        ("text", "public", "b", -1),
        ("numrange", "pg_catalog", "r", -1),
    ] {
        let mut json = orgs().json();
        let column = &mut json["table"]["columns"][1];
        column["type"] = name.into();
        column["type_schema"] = schema.into();
        column["typtype"] = typtype.into();
        column["typmod"] = typmod.into();
        column["sql_type"] = "that type".into();
        assert_eq!(
            error(&json),
            "column \"name\" of table \"orgs\" has type that type, which can't be synced"
        );
    }
}

#[test]
fn refuses_tables_that_contradict_themselves() {
    let changed = |change: fn(&mut Value)| {
        let mut json = orgs().json();
        change(&mut json["table"]);
        error(&json)
    };
    assert_eq!(changed(|t| t["primary_key"] = Value::Null), "table \"orgs\" has no primary key");
    assert_eq!(
        changed(|t| t["primary_key"]["columns"] = json!([])),
        "table \"orgs\" has a primary key without columns"
    );
    assert_eq!(
        changed(|t| t["primary_key"]["columns"] = json!(["nope"])),
        "the primary key of table \"orgs\" names column \"nope\", which the table does not have"
    );
    assert_eq!(
        changed(|t| t["shadow"]["tag_columns"] = json!({})),
        "table \"orgs\" has a column without a tag column in its shadow table"
    );
    assert_eq!(
        changed(|t| t["columns"][1]["name"] = "id".into()),
        "table \"orgs\" has two columns of one name"
    );
    assert!(changed(|t| t["columns"] = json!(3)).starts_with("the table snapshot is malformed: "));
    let mut enumeration = table(1, "t").enumeration("hue", &[]).column("id", "hue").key(&["id"]).json();
    enumeration["enums"] = json!([]);
    assert!(error(&enumeration).contains("the enumeration hue, which the snapshot does not describe"));
    assert!(matches!(parse(b"{"), Err(SnapshotError::Json(_))));
}

#[test]
fn columns_are_in_table_order() {
    let mut json = orgs().json();
    json["table"]["columns"][0]["attnum"] = 9.into();
    let table = parse(json.to_string().as_bytes()).unwrap().table;
    let names: Vec<&str> = table.columns.iter().map(|c| c.name.as_str()).collect();
    assert_eq!(names, ["name", "created_at", "id"]);
    assert_eq!((table.primary_key, table.columns[2].ty.clone()), (vec![2], ColumnType::Uuid));
}

proptest! {
    #[test]
    fn never_panics(bytes: Vec<u8>) {
        let _ = parse(&bytes);
    }
}

//! Relations in both directions (spec 03 §5).

use protocol::{ErrorCode, InboundRelation, Message, RelationRefused, relation, wire::SatRelation};

use super::support::{announcement, schema_of, table};

#[test]
fn a_table_is_announced_with_names_types_and_keys_in_column_order() {
    let mut memberships = table(
        16500,
        "memberships",
        &[("org_id", "uuid"), ("user_id", "text"), ("color", "color"), ("at", "timestamptz")],
        &["user_id", "org_id"],
    );
    memberships.columns[3].not_null = true;
    let relation = relation(&memberships);
    let columns: Vec<_> = relation
        .columns
        .iter()
        .map(|c| (c.name.as_str(), c.r#type.as_str(), c.primary_key, c.is_nullable))
        .collect();
    assert_eq!(
        columns,
        [
            ("org_id", "uuid", true, false),
            ("user_id", "text", true, false),
            ("color", "color", false, true),
            ("at", "timestamptz", false, false),
        ]
    );
    assert_eq!((relation.schema_name.as_str(), relation.table_name.as_str()), ("public", "memberships"));
    assert_eq!((relation.relation_id, relation.table_type), (16500, 0));
    let message = Message::Relation(relation);
    assert_eq!(Message::decode(message.encode()), Ok(message));
}

#[test]
fn relation_id_zero_and_the_first_table_type_are_not_on_the_wire() {
    let relation = SatRelation { table_name: "t".into(), ..announcement(0, "t", &["a"]) };
    let frame = Message::Relation(relation).encode();
    assert_eq!(&frame[..], b"\x0a\x0a\x06public\x1a\x01t\x2a\x0b\x0a\x01a\x12\x04TEXT\x20\x01");
}

#[test]
fn a_clients_relation_is_found_by_name_whatever_its_order_and_types() {
    let schema = schema_of([table(1, "t", &[("a", "int4"), ("b", "text"), ("c", "bool")], &["a"])]);
    let bound = InboundRelation::bind(&announcement(0, "t", &["c", "a"]), &schema).unwrap();
    assert_eq!((bound.id().0, bound.table().name.as_str()), (1, "t"));
}

#[test]
fn vector_85_what_does_not_fit_is_named() {
    let mut hidden = table(3, "hidden", &[("a", "int4")], &["a"]);
    hidden.held_back = Some("its name".into());
    let schema = schema_of([table(1, "t", &[("a", "int4"), ("b", "text")], &["a"]), hidden]);
    let refused = |relation: &SatRelation| InboundRelation::bind(relation, &schema).unwrap_err();
    let other_schema = SatRelation { schema_name: "private".into(), ..announcement(0, "t", &["a"]) };
    for (relation, text) in [
        (announcement(0, "nope", &["a"]), r#"unknown table "public"."nope""#),
        (announcement(0, "T", &["a"]), r#"unknown table "public"."T""#),
        (announcement(0, "hidden", &["a"]), r#"unknown table "public"."hidden""#),
        (other_schema, r#"unknown table "private"."t""#),
        (announcement(0, "t", &["a", "x\ny"]), r#"unknown column "x\ny" of table "t""#),
        (announcement(0, "t", &["a", "b", "a"]), r#"column "a" of table "t" is announced twice"#),
        (announcement(0, "t", &["b"]), r#"primary key column "a" of table "t" is missing"#),
    ] {
        let error = refused(&relation);
        assert_eq!(error.to_string(), text);
        let response = error.response();
        assert_eq!((response.error_type(), response.message()), (ErrorCode::InvalidRequest, text));
    }
    let long = refused(&announcement(0, &"é".repeat(10_000), &["a"]));
    assert!(matches!(&long, RelationRefused::UnknownTable { .. }) && long.to_string().len() < 200);
}

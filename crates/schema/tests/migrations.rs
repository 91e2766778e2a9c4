//! Several tables, several snapshots, changes that clients can't follow, names that they can't take.

use schema::{MigrationOp, Schema, SchemaChange};

use crate::{
    local::sqlite_with,
    support::{TableJson, migrate, orgs, statements, table, try_migrate},
};

fn plain(oid: u32, name: &str) -> TableJson {
    table(oid, name).column("id", "uuid").key(&["id"])
}

fn created(migration: &schema::Migration) -> Vec<&str> {
    let tables = migration.ops.iter().filter_map(|op| match op {
        MigrationOp::Table { table, .. } => Some(table.name.as_str()),
        _ => None,
    });
    tables.collect()
}

#[test]
fn referenced_tables_come_first() {
    let c = plain(3, "c").column("b", "uuid").references(&["b"], (2, "b"), &["id"], "aa", "");
    let b = plain(2, "b").column("a", "uuid").references(&["a"], (1, "a"), &["id"], "aa", "");
    let a = plain(1, "a");
    let (migration, schema) = migrate(&[&c, &b, &a], &Schema::default());
    assert_eq!(created(&migration), ["a", "b", "c"]);
    assert_eq!(schema.tables().len(), 3);
    sqlite_with(&[&migration]);
}

#[test]
fn tables_that_refer_to_each_other_get_their_keys_when_both_exist() {
    let a =
        plain(1, "a").column("b", "uuid").references(&["b"], (2, "b"), &["id"], "ca", " ON DELETE CASCADE");
    let b = plain(2, "b").column("a", "uuid").references(&["a"], (1, "a"), &["id"], "aa", "");
    let (migration, _) = migrate(&[&a, &b], &Schema::default());
    assert_eq!(created(&migration), ["a", "b", "a"]);
    let statements = statements(&migration);
    assert!(
        !statements[0].postgres.contains("REFERENCES") && statements[1].postgres.contains("REFERENCES a(id)")
    );
    assert_eq!(statements[2].sqlite, None);
    assert_eq!(
        statements[2].postgres,
        "ALTER TABLE a ADD CONSTRAINT a_b_fkey FOREIGN KEY (b) REFERENCES b(id) ON DELETE CASCADE"
    );
    assert!(statements[0].sqlite.as_deref().unwrap().contains("REFERENCES \"b\""));
    sqlite_with(&[&migration]);
}

#[test]
fn several_snapshots_of_one_table_are_one_table() {
    let indexed =
        orgs().column("plan", "text").index("p", "CREATE INDEX p ON public.orgs USING btree (plan)");
    let (migration, schema) =
        migrate(&[&orgs(), &orgs().column("plan", "text"), &indexed], &Schema::default());
    let [
        MigrationOp::Table { table: first, .. },
        MigrationOp::Table { table: second, .. },
        MigrationOp::Statements(_),
    ] = &migration.ops[..]
    else {
        panic!("{migration:?}")
    };
    assert_eq!(first, second, "both are the table after the whole transaction");
    assert_eq!(first, schema.table_named("orgs").unwrap());
    assert_eq!(first.columns.len(), 4);
    sqlite_with(&[&migration]);
}

#[test]
fn an_enumeration_is_announced_once_and_grows() {
    let with_enum = |oid, name: &str, labels: &[&str]| {
        table(oid, name).enumeration("hue", labels).column("id", "uuid").column("hue", "hue").key(&["id"])
    };
    let announced =
        |m: &schema::Migration| m.ops.iter().filter(|op| matches!(op, MigrationOp::Enum { .. })).count();
    let (first, schema) =
        migrate(&[&with_enum(1, "a", &["red"]), &with_enum(2, "b", &["red"])], &Schema::default());
    assert_eq!(announced(&first), 1);
    let (second, schema) = migrate(&[&with_enum(3, "c", &["blue", "red"])], &schema);
    assert_eq!(announced(&second), 1, "it has got a label");
    for name in ["a", "b", "c"] {
        let labels = &schema.table_named(name).unwrap().columns[1].ty.as_enum().unwrap().labels;
        assert_eq!(labels, &["blue", "red"], "{name}");
    }
    let error = try_migrate(&[&with_enum(1, "a", &["blue"])], &schema).unwrap_err();
    assert_eq!(error.change, Some(SchemaChange::LabelsChanged("hue".into())));
}

#[test]
fn refuses_what_clients_can_not_follow() {
    let base = || orgs().column("x", "uuid").references(&["x"], (1, "orgs"), &["id"], "aa", "");
    let (_, schema) = migrate(&[&base()], &Schema::default());
    let orgs = |name: &str| table(1, name).column("id", "uuid!");
    let typed = |ty| {
        orgs("orgs").column("name", ty).column("created_at", "timestamptz!").column("x", "uuid").key(&["id"])
    };
    for (changed, expected) in [
        (orgs("firms").key(&["id"]), SchemaChange::TableRenamed("firms".into())),
        (orgs("orgs").key(&["id"]), SchemaChange::ColumnGone("name".into())),
        (typed("text!"), SchemaChange::TypeChanged("name".into())),
        (typed("varchar"), SchemaChange::NullabilityChanged("name".into())),
        (typed("varchar!"), SchemaChange::ForeignKeyChanged("orgs_x_fkey".into())),
        (base().key(&["name"]), SchemaChange::PrimaryKeyChanged),
        (base().column("NAME", "text"), SchemaChange::ColumnClash("NAME".into())),
        (
            orgs("orgs")
                .column("created_at", "timestamptz!")
                .column("name", "varchar!")
                .column("x", "uuid")
                .key(&["id"]),
            SchemaChange::ColumnMoved("name".into()),
        ),
    ] {
        let error = try_migrate(&[&changed], &schema).unwrap_err();
        assert_eq!(error.change, Some(expected));
        assert!(error.reason.starts_with("table \"orgs\" can't go on being synced: "), "{error:?}");
    }
}

#[test]
fn deferrability_is_no_change_and_orders_the_keys_of_sqlite() {
    let base = |tail: &str| {
        let t = orgs().column("x", "uuid").column("y", "uuid");
        t.references(&["x"], (1, "orgs"), &["id"], "aa", tail).references(
            &["y"],
            (1, "orgs"),
            &["id"],
            "aa",
            "",
        )
    };
    let (first, schema) = migrate(&[&base(" DEFERRABLE INITIALLY DEFERRED")], &Schema::default());
    let sql = statements(&first)[0].sqlite.clone().unwrap();
    assert!(sql.find("orgs_y_fkey").unwrap() < sql.find("orgs_x_fkey").unwrap(), "{sql}");
    let (none, _) = migrate(&[&base("")], &schema);
    assert!(none.ops.is_empty());
}

#[test]
fn a_column_may_come_with_its_foreign_key() {
    let (first, schema) = migrate(&[&orgs()], &Schema::default());
    let more =
        orgs().column("x", "uuid").references(&["x"], (1, "orgs"), &["id"], "na", " ON DELETE SET NULL");
    let (second, schema) = migrate(&[&more], &schema);
    let [add] = statements(&second)[..] else { panic!("{second:?}") };
    assert_eq!(
        add.sqlite.as_deref().unwrap(),
        "ALTER TABLE \"orgs\" ADD COLUMN \"x\" TEXT CONSTRAINT \"orgs_x_fkey\" REFERENCES \"orgs\" (\"id\") ON DELETE SET NULL;\n"
    );
    assert_eq!(
        add.postgres,
        "ALTER TABLE orgs ADD COLUMN x uuid CONSTRAINT orgs_x_fkey REFERENCES orgs(id) ON DELETE SET NULL"
    );
    sqlite_with(&[&first, &second]);
    let (third, after) = migrate(&[&more.references(&["id"], (1, "orgs"), &["id"], "aa", "")], &schema);
    assert!(third.ops.is_empty(), "a key that comes to an old column is Postgres' own");
    assert_eq!(after.table_named("orgs").unwrap().foreign_keys.len(), 1);
}

#[test]
fn composite_foreign_keys_are_in_the_text_only() {
    let a = table(1, "a").column("x", "int4").column("y", "int4").key(&["x", "y"]);
    let b = table(2, "b").column("y", "int4").column("x", "int4").key(&["x"]);
    let b = b.references(&["x", "y"], (1, "a"), &["x", "y"], "aa", "");
    let (migration, schema) = migrate(&[&a, &b], &Schema::default());
    let sql = statements(&migration)[1].sqlite.clone().unwrap();
    assert!(sql.contains(r#"FOREIGN KEY ("x", "y") REFERENCES "a" ("x", "y")"#), "{sql}");
    let b = schema.table_named("b").unwrap();
    assert_eq!((b.foreign_keys.len(), b.listed_foreign_keys().count()), (1, 0));
    sqlite_with(&[&migration]);
}

#[test]
fn tables_whose_names_clients_can_not_take_are_held_back() {
    let odd = plain(1, "my table");
    let child = plain(2, "child").column("p", "uuid").references(&["p"], (1, "my table"), &["id"], "aa", "");
    let odd_key = plain(3, "odd_key").column("the org", "uuid").references(
        &["the org"],
        (2, "child"),
        &["id"],
        "aa",
        "",
    );
    let reserved = plain(4, "sqlite_things");
    let meta = plain(5, "_electric_meta");
    let twins = plain(6, "twins").column("a", "text").column("A", "text");
    let upper = plain(7, "CHILD");
    let (migration, schema) =
        migrate(&[&child, &odd, &odd_key, &reserved, &meta, &twins, &upper], &Schema::default());
    assert_eq!(created(&migration), ["child"]);
    assert_eq!(schema.tables().filter(|t| t.held_back.is_some()).count(), 6);
    assert!(schema.table_named("child").unwrap().foreign_keys.is_empty());
    let sql = statements(&migration)[0];
    assert!(!sql.postgres.contains("REFERENCES") && !sql.sqlite.as_deref().unwrap().contains("REFERENCES"));
    let warnings = schema.table_named("my table").unwrap().warnings();
    assert!(warnings[0].contains("my table") && warnings[0].contains("plain identifier"), "{warnings:?}");

    let (again, schema) = migrate(&[&odd.column("more", "text"), &child.column("more", "text")], &schema);
    assert_eq!(created(&again), ["child"], "still held back, still told");
    assert_eq!(schema.table_named("my table").unwrap().columns.len(), 2);
    sqlite_with(&[&migration, &again]);
}

#[test]
fn warns_of_columns_that_sync_badly() {
    let bad = table(1, "t").column("at", "timestamptz").column("order", "int4").column("Mixed", "int4");
    let bad = bad.column("two words", "int4").column("fine", "text").key(&["at"]);
    let (_, schema) = migrate(&[&bad], &Schema::default());
    let table = schema.table_named("t").unwrap();
    assert_eq!(table.held_back, None);
    let warnings = table.warnings();
    assert_eq!(warnings.len(), 4, "{warnings:?}");
    for name in ["\"order\"", "\"Mixed\"", "\"two words\"", "\"at\""] {
        assert_eq!(warnings.iter().filter(|w| w.contains(name)).count(), 1, "{name}");
    }
}

/// Postgres clients cut the names of their triggers' functions at 63 bytes, and would have one table's replace the other's.
#[test]
fn long_names_that_begin_alike_are_not_told_apart() {
    let long = "a".repeat(45);
    let named = |oid, name: &str| table(oid, name).column("id", "int4!").key(&["id"]);
    let (x, y, short) = (named(1, &format!("{long}x")), named(2, &format!("{long}Y")), named(3, "short"));
    let (_, schema) = migrate(&[&x, &y, &short], &Schema::default());
    let held_back = |id| schema.table(change::RelationId(id)).unwrap().held_back.is_some();
    assert_eq!([1, 2, 3].map(held_back), [false, true, false]);
    let (_, schema) = migrate(&[&named(4, &format!("{long}z"))], &schema);
    assert!(schema.table(change::RelationId(4)).unwrap().held_back.is_some());
}

/// Clients know of no unique constraint that the foreign key could refer to.
#[test]
fn foreign_keys_to_anything_but_the_key_are_left_out() {
    let parent = table(1, "parent").column("id", "int4!").column("code", "text").key(&["id"]);
    let child = table(2, "child")
        .column("id", "int4!")
        .column("code", "text")
        .key(&["id"])
        .references(&["code"], (1, "parent"), &["code"], "aa", "")
        .refers_to_unique();
    let (migration, _) = migrate(&[&parent, &child], &Schema::default());
    for statement in statements(&migration) {
        assert!(!statement.postgres.contains("REFERENCES"), "{statement:?}");
        assert!(!statement.sqlite.as_ref().unwrap().contains("REFERENCES"), "{statement:?}");
    }
}

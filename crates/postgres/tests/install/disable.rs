//! Taking tables out of the sync, and what is refused instead of being carried out (spec 04 §3.3).

use tokio_postgres::Client;

use super::{installed, refused, rows, run, value};

const REGISTERED: &str = "SELECT table_name FROM electric.electrified ORDER BY 1";

/// What is recorded for the stream, in order: tables, and those that left.
const RECORDED: &str = "SELECT coalesce(snapshot -> 'table' ->> 'name', '-' || (snapshot -> 'removed' ->> 'name')) \
    FROM electric.ddl_commands ORDER BY version COLLATE \"C\", id";

/// Everything of ours that has to do with a table of this oid.
async fn traces(client: &Client, oid: &str) -> Vec<String> {
    let sql = format!(
        "SELECT 'trigger ' || tgname FROM pg_trigger WHERE tgrelid = {oid} AND NOT tgisinternal
         UNION ALL SELECT 'routine ' || proname FROM pg_proc WHERE proname LIKE '%\\_{oid}'
         UNION ALL SELECT 'relation ' || relname FROM pg_class
            WHERE relnamespace = 'electric'::regnamespace AND (relname LIKE 'shadow\\_\\_%' OR relname LIKE '%\\_{oid}')
         UNION ALL SELECT 'published ' || prrelid::regclass FROM pg_publication_rel
            JOIN pg_class c ON c.oid = prrelid WHERE prrelid = {oid} OR c.relname LIKE 'shadow\\_\\_%'
         UNION ALL SELECT 'identity ' || relreplident::text FROM pg_class WHERE oid = {oid} AND relreplident <> 'd'
         ORDER BY 1"
    );
    rows(client, &sql).await
}

async fn oid(client: &Client, table: &str) -> String {
    value(client, &format!("SELECT '{table}'::regclass::oid")).await
}

#[tokio::test]
async fn nothing_of_the_sync_stays_but_the_data() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE items (id int PRIMARY KEY, v text); INSERT INTO items VALUES (1, 'a')").await;
    run(&client, "CALL electric.electrify('items'); INSERT INTO items VALUES (2, 'b')").await;
    let oid = oid(&client, "items").await;
    assert!(!traces(&client, &oid).await.is_empty());

    run(&client, "CALL electric.disable('items')").await;
    assert_eq!(traces(&client, &oid).await, Vec::<String>::new());
    assert_eq!(rows(&client, REGISTERED).await, Vec::<String>::new());
    assert_eq!(rows(&client, "SELECT * FROM items ORDER BY id").await, ["1|a", "2|b"]);
    assert_eq!(rows(&client, RECORDED).await, ["items", "-items"]);
    let removed =
        value(&client, "SELECT snapshot FROM electric.ddl_commands WHERE snapshot ? 'removed'").await;
    let removed: serde_json::Value = serde_json::from_str(&removed).unwrap();
    let expected =
        serde_json::json!({"oid": oid.parse::<u32>().unwrap(), "schema": "public", "name": "items"});
    assert_eq!(removed["removed"], expected);

    // A table like any other: it can be changed in every way.
    run(
        &client,
        "ALTER TABLE items RENAME v TO w; INSERT INTO items VALUES (3, 'c'); UPDATE items SET w = 'd'",
    )
    .await;
    run(&client, "TRUNCATE items; ALTER TABLE items ALTER w TYPE varchar; DROP TABLE items").await;
}

#[tokio::test]
async fn it_can_be_synced_again() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE items (id int PRIMARY KEY, v text); CALL electric.electrify('items')").await;
    run(&client, "INSERT INTO items VALUES (1, 'a'); CALL electric.disable('items')").await;
    run(&client, "ALTER TABLE items DROP v, ADD w text; CALL electric.electrify('items')").await;
    run(&client, "INSERT INTO items VALUES (2, 'b')").await;
    assert_eq!(rows(&client, RECORDED).await, ["items", "-items", "items"]);
    // Of what was before, merging knows nothing.
    assert_eq!(rows(&client, "SELECT id FROM electric.shadow__public__items").await, ["2"]);
    assert_eq!(value(&client, "SELECT relreplident FROM pg_class WHERE oid = 'items'::regclass").await, "f");

    // In one transaction too, under one version.
    run(&client, "BEGIN; CALL electric.disable('items'); CALL electric.electrify('items'); COMMIT").await;
    assert_eq!(rows(&client, REGISTERED).await, ["items"]);
    assert_eq!(
        rows(&client, RECORDED).await.last().map(String::as_str),
        Some("items"),
        "what holds in the end is recorded last"
    );
    run(&client, "INSERT INTO items VALUES (3, 'c')").await;
}

#[tokio::test]
async fn it_belongs_to_the_callers_transaction() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE items (id int PRIMARY KEY); CALL electric.electrify('items')").await;
    let oid = oid(&client, "items").await;
    let before = traces(&client, &oid).await;
    run(&client, "BEGIN; CALL electric.disable('items'); ROLLBACK").await;
    assert_eq!(traces(&client, &oid).await, before);
    assert_eq!(rows(&client, RECORDED).await, ["items"]);
    run(
        &client,
        "BEGIN; CALL electric.migration_version('29990101'); CALL electric.disable('items'); DROP TABLE items; COMMIT",
    )
    .await;
    let removed = "SELECT version FROM electric.ddl_commands WHERE snapshot ? 'removed'";
    assert_eq!(rows(&client, removed).await, ["29990101"]);
}

#[tokio::test]
async fn names_are_resolved_like_those_of_electrify() {
    let (_database, client) = installed().await;
    for (table, name) in [
        ("items", "items"),
        ("items", "public.items"),
        ("items", "PUBLIC.Items"),
        ("items", "\"items\""),
        ("\"My Table\"", "My Table"),
        ("\"My Table\"", "public.\"My Table\""),
        ("\"My Table\"", "\"public\".\"My Table\""),
        ("\"a.b\"", "\"a.b\""),
        ("\"quo\"\"ted\"", "\"quo\"\"ted\""),
    ] {
        run(&client, &format!("CREATE TABLE {table} (id int PRIMARY KEY)")).await;
        run(&client, &format!("CALL electric.enable($$public.{table}$$)")).await;
        run(&client, &format!("CALL electric.disable($${name}$$)")).await;
        assert_eq!(rows(&client, REGISTERED).await, Vec::<String>::new(), "{name}");
        run(&client, &format!("DROP TABLE {table}")).await;
    }
    let missing = refused(&client, "CALL electric.disable('nope')").await;
    assert_eq!((missing.code().code(), missing.message()), ("42P01", "relation \"nope\" does not exist"));
    assert_eq!(refused(&client, "CALL electric.disable(NULL)").await.code().code(), "22004");
    assert!(!refused(&client, "CALL electric.disable('a.b.c.d')").await.message().is_empty());
}

#[tokio::test]
async fn once_more_is_no_error() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE items (id int PRIMARY KEY)").await;
    run(&client, "CALL electric.disable('items')").await;
    run(&client, "CALL electric.electrify('items')").await;
    run(&client, "CALL electric.disable('items')").await;
    run(&client, "CALL electric.disable('items')").await;
    assert_eq!(rows(&client, RECORDED).await, ["items", "-items"]);
    // Nothing done, nothing counted.
    assert_eq!(value(&client, "SELECT count(*) FROM electric.migration_versions").await, "2");
}

#[tokio::test]
async fn a_table_that_synced_ones_refer_to_stays() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE parent (id int PRIMARY KEY, next int REFERENCES parent);
         CREATE TABLE \"Child\" (id int PRIMARY KEY, parent int REFERENCES parent);
         CREATE TABLE other (id int PRIMARY KEY, parent int REFERENCES parent);
         CREATE TABLE outside (id int PRIMARY KEY, parent int REFERENCES parent)",
    )
    .await;
    run(
        &client,
        "BEGIN; CALL electric.electrify('parent'); CALL electric.electrify('Child'); CALL electric.electrify('other'); COMMIT",
    )
    .await;
    let error = refused(&client, "CALL electric.disable('parent')").await;
    assert_eq!(error.code().code(), "P0001");
    assert_eq!(
        error.message(),
        "Cannot disable parent because electrified tables have foreign keys to it:\n  \"Child\"\n  other"
    );
    let hint = error.hint().unwrap_or_default();
    assert!(hint.contains("CALL electric.disable('\"Child\"'); CALL electric.disable('other');"), "{hint}");
    assert_eq!(rows(&client, REGISTERED).await, ["Child", "other", "parent"]);

    // As the hint says, in any order.
    run(
        &client,
        "BEGIN; CALL electric.disable('parent'); CALL electric.disable('\"Child\"'); CALL electric.disable('other'); COMMIT",
    )
    .await;
    assert_eq!(rows(&client, REGISTERED).await, Vec::<String>::new());
    run(
        &client,
        "INSERT INTO parent VALUES (1, 1); INSERT INTO \"Child\" VALUES (1, 1); DROP TABLE parent CASCADE",
    )
    .await;
}

#[tokio::test]
async fn tables_that_refer_to_each_other_leave_together() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a);
         ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b",
    )
    .await;
    run(&client, "BEGIN; CALL electric.electrify('a'); CALL electric.electrify('b'); COMMIT").await;
    refused(&client, "CALL electric.disable('a')").await;
    refused(&client, "CALL electric.disable('b')").await;
    run(&client, "BEGIN; CALL electric.disable('a'); CALL electric.disable('b'); COMMIT").await;
    assert_eq!(rows(&client, RECORDED).await, ["a", "b", "-a", "-b"]);
}

#[tokio::test]
async fn what_is_not_carried_out_is_refused() {
    let (_database, client) = installed().await;
    for (call, tag) in [
        ("grant('SELECT', '\"public\".\"t\"', 'r', ARRAY['*'], '__global__', NULL, NULL)", "GRANT"),
        ("grant('a', 'b', 'c', '{x,y}', 'd', 'e', 'f')", "GRANT"),
        (
            "grant(privilege_name => 'a', on_table_name => 'b', role_name => 'c', columns => ARRAY['*'], scope_name => 'd', \
             using_path => NULL, check_fn => NULL)",
            "GRANT",
        ),
        ("revoke('a', 'b', 'c', ARRAY['*'], 'd')", "REVOKE"),
        ("assign('a', 'b', 'c', 'd', 'e', 'f')", "ASSIGN"),
        ("assign('a'::varchar, 'b'::name, NULL, 'd', NULL, NULL)", "ASSIGN"),
        ("assign(VARIADIC ARRAY['a', 'b'])", "ASSIGN"),
        ("assign()", "ASSIGN"),
        ("unassign('a', 'b', 'c', 'd', 'e')", "UNASSIGN"),
        ("unassign(NULL, NULL, NULL, NULL, NULL)", "UNASSIGN"),
        ("unassign()", "UNASSIGN"),
        ("sqlite('SELECT 1')", "SQLITE"),
        ("sqlite(sql => NULL)", "SQLITE"),
    ] {
        let error = refused(&client, &format!("CALL electric.{call}")).await;
        assert_eq!(
            (error.code().code(), error.message().to_owned(), error.detail()),
            (
                "EX001",
                format!("ELECTRIC {tag} is currently unsupported"),
                Some(
                    "We are working on implementing access controls -- when these features are completed then this command will work"
                )
            ),
            "{call}"
        );
    }
}

#[tokio::test]
async fn everybody_may_call_the_public_interface_and_nothing_else() {
    let (_database, client) = installed().await;
    let open = "SELECT p.oid::regprocedure::text FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a \
        WHERE p.pronamespace = 'electric'::regnamespace AND a.grantee = 0 ORDER BY p.proname, 1";
    assert_eq!(
        rows(&client, open).await,
        [
            "electric.assign()",
            "electric.assign(text[])",
            "electric.disable(text)",
            "electric.disable_table(oid,text,text)",
            "electric.electrify(text,text)",
            "electric.electrify_table(oid,text)",
            "electric.enable(text)",
            "electric.\"grant\"(text,text,text,text[],text,text,text)",
            "electric.guard_all()",
            "electric.guard_tier()",
            "electric.known_name(text[])",
            "electric.migration_version(text)",
            "electric.refuse(text)",
            "electric.revoke(text,text,text,text[],text)",
            "electric.sqlite(text)",
            "electric.unassign()",
            "electric.unassign(text[])",
        ]
    );
}

//! What electrification does, and that the catalogue reads it back.

use postgres::catalogue;
use schema::{ColumnType, MigrationOp, StatementKind};

use super::{installed, refused, rows, run, unguarded, value};

#[tokio::test]
async fn registers_publishes_and_records_the_table() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE items (id uuid PRIMARY KEY, v text); CALL electric.electrify('items')").await;
    let before = rows(&client, "SELECT * FROM electric.ddl_commands").await;
    run(&client, "CALL electric.electrify('items'); CALL electric.enable('\"public\".\"items\"')").await;
    assert_eq!(rows(&client, "SELECT * FROM electric.ddl_commands").await, before, "idempotent");
    assert_eq!(
        rows(&client, "SELECT schema_name, table_name FROM electric.electrified").await,
        ["public|items"]
    );
    assert_eq!(value(&client, "SELECT relreplident FROM pg_class WHERE relname = 'items'").await, "f");
    assert_eq!(
        value(&client, "SELECT relreplident FROM pg_class WHERE relname = 'shadow__public__items'").await,
        "d"
    );
    let published =
        "SELECT tablename, attnames::text FROM pg_publication_tables WHERE tablename ~ 'items' ORDER BY 1";
    assert_eq!(
        rows(&client, published).await,
        ["items|{id,v}", "shadow__public__items|{id,_tags,_tag,_image}"]
    );
    let columns = "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 'electric.shadow__public__items'::regclass AND attnum > 0";
    assert_eq!(value(&client, columns).await, "id,_tags,_tag,_base,_image,_tag_v");
}

#[tokio::test]
async fn the_catalogue_reads_the_history() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TYPE mood AS ENUM ('ok', 'bad');
         CREATE TABLE parent (id uuid PRIMARY KEY, mood mood, at timestamp(3) NOT NULL);
         CREATE TABLE child (b int, a text COLLATE \"C\", parent uuid REFERENCES parent ON DELETE CASCADE, mood mood, PRIMARY KEY (a, b));
         CREATE INDEX by_parent ON child (parent DESC)",
    )
    .await;
    run(&client, "BEGIN; CALL electric.migration_version('20300101'); CALL electric.electrify('child'); CALL electric.electrify('parent'); COMMIT").await;
    run(&client, "CREATE TABLE later (id int PRIMARY KEY, mood mood); CALL electric.electrify('later')")
        .await;

    let catalogue = catalogue::load(&client).await.unwrap();
    assert_eq!(catalogue.cluster_id.len(), 36);
    let versions: Vec<&str> = catalogue.migrations().map(|m| m.version.as_str()).collect();
    assert_eq!(versions, ["20300101", "20300101_0001"]);
    assert_eq!(catalogue.schema.version.as_deref(), Some("20300101_0001"));

    let first = &catalogue.steps[0];
    let kinds: Vec<_> = first
        .migration
        .ops
        .iter()
        .map(|op| match op {
            MigrationOp::Enum { ty, .. } => format!("enum {}", ty.name),
            MigrationOp::Table { table, statements } => {
                assert_eq!(statements[0].kind, StatementKind::CreateTable);
                format!("table {} {}", table.name, statements.len())
            }
            MigrationOp::Statements(_) => "statements".to_owned(),
        })
        .collect();
    assert_eq!(kinds, ["enum mood", "table parent 1", "table child 2"]);
    assert!(first.schema.table_named("later").is_none());
    assert_eq!(catalogue.steps[1].migration.ops.len(), 1, "the enumeration is announced once");

    let xid = value(&client, "SELECT txid FROM electric.migration_versions WHERE version = '20300101'").await;
    assert_eq!(first.migration.xid.to_string(), xid);
    assert!(first.position > change::Lsn(0) && first.position < catalogue.steps[1].position);

    let child = catalogue.schema.table_named("child").unwrap();
    let shadow = value(&client, "SELECT 'electric.shadow__public__child'::regclass::oid").await;
    assert_eq!(child.shadow.id.to_string(), shadow);
    assert_eq!(child.primary_key, [1, 0]);
    assert_eq!(child.columns[1].collation.as_deref(), Some("\"C\""));
    assert_eq!(child.shadow.tag_columns[2].as_deref(), Some("_tag_parent"));
    let parent = catalogue.schema.table_named("parent").unwrap();
    assert_eq!(parent.columns[2].sql_type, "timestamp(3) without time zone");
    assert!(matches!(&parent.columns[1].ty, ColumnType::Enum(ty) if ty.labels == ["ok", "bad"]));

    unguarded(&client, "DROP TABLE later").await;
    let catalogue = catalogue::load(&client).await.unwrap();
    assert_eq!(catalogue.dropped, ["later"]);
    assert!(catalogue.schema.table_named("later").is_none());
}

#[tokio::test]
async fn an_index_made_in_the_same_transaction_is_recorded() {
    let (_database, client) = installed().await;
    run(&client, "BEGIN; CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t'); CREATE INDEX i ON t (v); COMMIT").await;
    assert_eq!(catalogue::load(&client).await.unwrap().schema.table_named("t").unwrap().indexes.len(), 1);
}

#[tokio::test]
async fn a_rolled_back_electrification_leaves_nothing() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE t (id int PRIMARY KEY)").await;
    run(&client, "BEGIN; CALL electric.electrify('t'); ROLLBACK").await;
    run(&client, "BEGIN; SAVEPOINT s; CALL electric.electrify('t'); ROLLBACK TO s; COMMIT").await;
    let left = "SELECT (SELECT count(*) FROM electric.electrified) + (SELECT count(*) FROM electric.ddl_commands)
        + (SELECT count(*) FROM electric.captures) + (SELECT count(*) FROM pg_class WHERE relname LIKE 'shadow%')
        + (SELECT count(*) FROM pg_proc WHERE proname LIKE 'native\\_insert%') + (SELECT count(*) FROM electric.migration_versions)";
    assert_eq!(value(&client, left).await, "0");
    run(&client, "CALL electric.electrify('t')").await;
}

#[tokio::test]
async fn sessions_that_electrify_at_once() {
    let (database, client) = installed().await;
    run(&client, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY)").await;
    let mut sessions = tokio::task::JoinSet::new();
    for _ in 0..2 {
        for table in ["a", "b", "c"] {
            let session = database.client().await;
            sessions
                .spawn(async move { run(&session, &format!("CALL electric.electrify('{table}')")).await });
        }
    }
    sessions.join_all().await;
    assert_eq!(value(&client, "SELECT count(*) FROM electric.electrified").await, "3");
    assert_eq!(
        value(&client, "SELECT count(DISTINCT version) || ' ' || count(*) FROM electric.ddl_commands").await,
        "3 3"
    );
    assert_eq!(catalogue::load(&client).await.unwrap().schema.tables().len(), 3);
}

#[tokio::test]
async fn a_table_made_again_under_the_name_of_a_dropped_one() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t'); INSERT INTO t VALUES (1, 'x')").await;
    unguarded(&client, "DROP TABLE t").await;
    run(&client, "CREATE TABLE t (id text PRIMARY KEY, w text); CALL electric.electrify('t'); INSERT INTO t VALUES ('1', 'x')").await;
    assert_eq!(rows(&client, "SELECT id FROM electric.shadow__public__t").await, ["1"]);
    assert_eq!(value(&client, "SELECT count(*) FROM electric.electrified").await, "1");
}

#[tokio::test]
async fn a_role_with_usage_may_electrify_but_not_reach_inside() {
    let (database, client) = installed().await;
    let role = format!("developer_{}", database.name);
    run(&client, &format!("CREATE TABLE t (id int PRIMARY KEY); CREATE ROLE {role}; SET ROLE {role}")).await;
    assert_eq!(refused(&client, "CALL electric.electrify('t')").await.code().code(), "42501");
    run(&client, &format!("RESET ROLE; GRANT USAGE ON SCHEMA electric TO {role}; SET ROLE {role}")).await;
    run(&client, "BEGIN; CALL electric.migration_version('20300101'); CALL electric.electrify('t'); COMMIT")
        .await;
    for inside in [
        "CALL electric.sync_shadow('t'::regclass)",
        "CALL electric.assign_migration_version('9', 4)",
        "SELECT electric.native_write_body('t'::regclass, 'insert', false)",
        "DELETE FROM electric.electrified",
    ] {
        assert_eq!(refused(&client, inside).await.code().code(), "42501", "{inside}");
    }
}

//! Additive changes are passed on: exactly once, under one version for each transaction, and in order with the data.

use futures_util::{StreamExt, stream};
use postgres::catalogue;
use schema::{MigrationOp, StatementKind};
use tokio_postgres::{AsyncMessage, Client, NoTls, error::DbError};

use super::{installed, refused, rows, run, value};

/// The newest recorded definition is the present one.
pub(super) async fn assert_current(client: &Client, table: &str) {
    let sql = format!(
        "SELECT d.snapshot -> 'table' = electric.table_snapshot('{table}'::regclass) -> 'table'
            AND NOT EXISTS (SELECT FROM jsonb_array_elements(d.snapshot -> 'enums') o
                WHERE o - 'new' NOT IN (SELECT e - 'new' FROM jsonb_array_elements(electric.table_snapshot('{table}'::regclass) -> 'enums') e))
         FROM electric.ddl_commands d WHERE d.snapshot -> 'table' -> 'oid' = to_jsonb('{table}'::regclass::oid::bigint)
         ORDER BY d.id DESC LIMIT 1"
    );
    assert_eq!(value(client, &sql).await, "t", "the definition of {table}");
    let verdict = format!("SELECT verdict FROM electric.inspect('{table}'::regclass)");
    assert_eq!(value(client, &verdict).await, "same", "what is remembered of {table}");
}

async fn synced() -> (testkit::Database, Client) {
    let (database, client) = installed().await;
    run(
        &client,
        "CREATE TYPE mood AS ENUM ('ok', 'bad'); CREATE TABLE t (id int PRIMARY KEY, v text, m mood); CALL electric.electrify('t')",
    )
    .await;
    (database, client)
}

const ROWS: &str = "SELECT count(*) FROM electric.ddl_commands";
const VERSIONS: &str = "SELECT count(*) FROM electric.migration_versions";

#[tokio::test]
async fn columns_of_every_type_that_may_be_added() {
    let (_database, client) = synced().await;
    let types = [
        "bool",
        "bytea",
        "date",
        "float4",
        "float8",
        "int2",
        "int4",
        "int8",
        "jsonb",
        "text",
        "time",
        "timestamp",
        "timestamptz",
        "uuid",
        "varchar",
    ];
    for ty in types {
        run(&client, &format!("ALTER TABLE t ADD COLUMN c_{ty} {ty}")).await;
        assert_current(&client, "t").await;
    }
    run(&client, r#"ALTER TABLE t ADD "Odd Näme" text COLLATE "C" NULL, ADD IF NOT EXISTS v text"#).await;
    run(&client, "ALTER TABLE IF EXISTS public.t ADD COLUMN required int NOT NULL, ADD last text").await;
    assert_current(&client, "t").await;
    assert_eq!(value(&client, ROWS).await, "18");
    assert_eq!(value(&client, VERSIONS).await, "18");

    let catalogue = catalogue::load(&client).await.unwrap();
    let MigrationOp::Table { table, statements } = &catalogue.steps[17].migration.ops[0] else { panic!() };
    assert!(
        statements.iter().all(|statement| statement.kind == StatementKind::AlterAddColumn)
            && statements.len() == 2
    );
    assert_eq!(table.columns.len(), 3 + types.len() + 3);
    let added = "SELECT count(*) FROM pg_attribute WHERE attrelid = 'electric.shadow__public__t'::regclass AND attname LIKE '\\_tag\\_%'";
    assert_eq!(value(&client, added).await, (2 + types.len() + 3).to_string());
    // There are clients' rows of a table where a column is NOT NULL.
    run(&client, "INSERT INTO t (id, required) VALUES (1, 1)").await;
    assert_eq!(refused(&client, "ALTER TABLE t ADD COLUMN c int NOT NULL").await.code().code(), "23502");
}

#[tokio::test]
async fn indexes_come_and_go() {
    let (_database, client) = synced().await;
    for statement in [
        "CREATE INDEX plain ON t (v)",
        "CREATE UNIQUE INDEX CONCURRENTLY partial ON t (v, id DESC) WHERE id > 0",
        "CREATE INDEX IF NOT EXISTS by_function ON t USING hash (lower(v))",
        "DROP INDEX plain",
        "DROP INDEX CONCURRENTLY partial",
        "CREATE INDEX ON t (v)",
        "DROP INDEX by_function, t_v_idx",
    ] {
        let before: u32 = value(&client, ROWS).await.parse().unwrap();
        run(&client, statement).await;
        assert_current(&client, "t").await;
        assert_eq!(value(&client, ROWS).await, (before + 1).to_string(), "{statement}");
    }
    // Nothing is told of what is there already.
    run(&client, "CREATE INDEX i ON t (v)").await;
    let before = value(&client, ROWS).await;
    run(&client, "CREATE INDEX IF NOT EXISTS i ON t (id); ALTER TABLE t ADD COLUMN IF NOT EXISTS v text")
        .await;
    assert_eq!(value(&client, ROWS).await, before);
}

#[tokio::test]
async fn labels_are_told_to_every_table_that_has_them() {
    let (_database, client) = synced().await;
    run(&client, "CREATE TABLE u (id int PRIMARY KEY, a mood, b mood); CALL electric.electrify('u')").await;
    run(&client, "CREATE TABLE plain (m mood)").await;
    for (label, labels) in [
        ("'worst'", r#"["ok", "bad", "worst"]"#),
        ("'best' BEFORE 'ok'", r#"["best", "ok", "bad", "worst"]"#),
        ("'mid' AFTER 'ok'", r#"["best", "ok", "mid", "bad", "worst"]"#),
        ("IF NOT EXISTS 'mid'", r#"["best", "ok", "mid", "bad", "worst"]"#),
    ] {
        run(&client, &format!("ALTER TYPE mood ADD VALUE {label}")).await;
        for table in ["t", "u"] {
            assert_current(&client, table).await;
            let newest = format!(
                "SELECT snapshot -> 'enums' -> 0 -> 'labels' FROM electric.ddl_commands
                 WHERE snapshot -> 'table' ->> 'name' = '{table}' ORDER BY id DESC LIMIT 1"
            );
            assert_eq!(value(&client, &newest).await, labels, "{label}");
        }
    }
    assert_eq!(value(&client, ROWS).await, "8");
    assert_eq!(value(&client, VERSIONS).await, "5");
    run(
        &client,
        "CREATE TYPE other AS ENUM ('a'); ALTER TYPE other ADD VALUE 'b'; ALTER TYPE other RENAME TO another",
    )
    .await;
    assert_eq!(value(&client, VERSIONS).await, "5");
    run(&client, "INSERT INTO t VALUES (1, 'v', 'mid')").await;
}

#[tokio::test]
async fn says_what_it_does() {
    let (database, client) = synced().await;
    let (session, mut connection) = tokio_postgres::connect(&database.url, NoTls).await.unwrap();
    let (sender, mut notices) = tokio::sync::mpsc::unbounded_channel::<DbError>();
    tokio::spawn(async move {
        let mut messages = stream::poll_fn(move |context| connection.poll_message(context));
        while let Some(Ok(message)) = messages.next().await {
            if let AsyncMessage::Notice(notice) = message {
                let _ = sender.send(notice);
            }
        }
    });
    for (statement, captured) in [
        (
            "ALTER TABLE t ADD a int, ADD \"B b\" timestamptz NOT NULL",
            &[
                r#"ALTER TABLE "public"."t" ADD COLUMN "a" integer, ADD COLUMN "B b" timestamp with time zone NOT NULL"#,
            ][..],
        ),
        ("CREATE INDEX i ON t (v DESC)", &["CREATE INDEX i ON public.t USING btree (v DESC)"]),
        ("DROP INDEX i", &[r#"DROP INDEX "public"."i""#]),
        ("ALTER TYPE mood ADD VALUE 'mid' AFTER 'ok'", &["ALTER TYPE mood ADD VALUE 'mid' BEFORE 'bad'"]),
    ] {
        session.batch_execute(statement).await.unwrap();
        for statement in captured {
            let notice = loop {
                let notice = notices.recv().await.unwrap();
                if notice.severity() == "NOTICE" {
                    break notice;
                }
            };
            assert_eq!(notice.message(), r#"Migration affecting electrified table "public"."t""#);
            assert_eq!(notice.code().code(), "00000");
            assert_eq!(notice.detail(), Some(format!("Capturing migration: {statement}").as_str()));
            assert_eq!((notice.schema(), notice.table()), (Some("public"), Some("t")));
        }
    }
    drop(client);
}

#[tokio::test]
async fn one_transaction_is_one_migration() {
    let (_database, client) = synced().await;
    run(
        &client,
        "BEGIN; CREATE INDEX early ON t (v); CALL electric.migration_version('29990101'); ALTER TABLE t ADD COLUMN a int; INSERT INTO t VALUES (1, 'v', 'ok', 7);
         ALTER TABLE t ADD COLUMN b int NULL; UPDATE t SET b = 8; CREATE TABLE u (id int PRIMARY KEY); CALL electric.electrify('u');
         ALTER TABLE u ADD COLUMN c int; INSERT INTO u VALUES (1, 2); DROP INDEX early; COMMIT",
    )
    .await;
    assert_eq!(
        rows(
            &client,
            "SELECT version, snapshot -> 'table' ->> 'name' FROM electric.ddl_commands ORDER BY id OFFSET 1"
        )
        .await,
        ["29990101|t", "29990101|u"]
    );
    assert_current(&client, "t").await;
    assert_current(&client, "u").await;
    assert_eq!(value(&client, "SELECT count(*) FROM electric.captures").await, "0");
    // The triggers know the columns as soon as they are there: only `b` was written after the row was.
    assert_eq!(
        rows(&client, "SELECT cardinality(_tags), (_tag_a).\"timestamp\" IS NOT NULL, (_tag_b).\"timestamp\" IS NOT NULL FROM electric.shadow__public__t").await,
        ["1|f|t"]
    );
    run(&client, "UPDATE t SET b = 9; DELETE FROM t").await;
    assert_eq!(
        value(&client, "SELECT _image ->> 'b' FROM electric.shadow__public__t").await,
        "9",
        "the triggers know the new columns"
    );
}

#[tokio::test]
async fn what_is_rolled_back_never_was() {
    let (_database, client) = synced().await;
    let state = "SELECT (SELECT guarded FROM electric.electrified), (SELECT tag_columns FROM electric.electrified), (SELECT count(*) FROM electric.ddl_commands),
        (SELECT count(*) FROM electric.migration_versions), (SELECT version FROM electric.migration_head), (SELECT count(*) FROM electric.captures),
        (SELECT count(*) FROM pg_attribute WHERE attrelid = 'electric.shadow__public__t'::regclass), (SELECT md5(string_agg(prosrc, '' ORDER BY prosrc)) FROM pg_proc WHERE proname ~ '^native_')";
    let before = value(&client, state).await;
    run(&client, "BEGIN; ALTER TABLE t ADD COLUMN a int; CREATE INDEX i ON t (a); ALTER TYPE mood ADD VALUE 'x'; ROLLBACK").await;
    assert_eq!(value(&client, state).await, before);
    run(&client, "BEGIN; SAVEPOINT s; ALTER TABLE t ADD COLUMN a int; INSERT INTO t VALUES (1, 'v', 'ok', 1); ROLLBACK TO s; COMMIT").await;
    assert_eq!(value(&client, state).await, before);
    refused(&client, "ALTER TABLE t ADD COLUMN a int; CREATE INDEX i ON t (a); SELECT 1 / 0").await;
    assert_eq!(value(&client, state).await, before);
    run(
        &client,
        "BEGIN; SAVEPOINT s; ALTER TABLE t ADD COLUMN a int; ROLLBACK TO s; ALTER TABLE t ADD COLUMN b int; INSERT INTO t VALUES (1, 'v', 'ok', 1); RELEASE s; COMMIT",
    )
    .await;
    assert_current(&client, "t").await;
    assert_eq!(value(&client, "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute WHERE attrelid = 't'::regclass AND attnum > 0").await, "id,v,m,b");
    // With constraints checked at once the rows are written at once, and still belong together.
    run(&client, "BEGIN; SET CONSTRAINTS ALL IMMEDIATE; ALTER TABLE t ADD COLUMN c int; CALL electric.migration_version('29990101'); ALTER TABLE t ADD COLUMN d int; COMMIT").await;
    assert_eq!(
        rows(&client, "SELECT version, jsonb_array_length(snapshot -> 'table' -> 'columns') FROM electric.ddl_commands ORDER BY id OFFSET 2").await,
        ["29990101|5", "29990101|6"]
    );
    assert_current(&client, "t").await;
}

#[tokio::test]
async fn other_tables_are_not_our_concern() {
    let (_database, client) = synced().await;
    run(
        &client,
        "CREATE TABLE plain (id serial PRIMARY KEY, v text DEFAULT 'x' CHECK (v <> ''), t int REFERENCES t);
         CREATE INDEX plain_v ON plain (v); ALTER TABLE plain DROP COLUMN v, ALTER id TYPE bigint; ALTER TABLE plain RENAME TO renamed;
         ALTER INDEX plain_pkey RENAME TO p; CREATE TABLE copy AS SELECT * FROM t; SELECT * INTO another FROM t; DROP TABLE copy, another;
         CREATE TEMP TABLE t (id int); ALTER TABLE t ADD x int; DROP TABLE t; CREATE SCHEMA s CREATE TABLE t (id int) CREATE INDEX i ON t (id);
         CREATE VIEW view AS SELECT * FROM public.t; ALTER VIEW view RENAME TO seen; CREATE MATERIALIZED VIEW m AS SELECT * FROM seen; REFRESH MATERIALIZED VIEW m;
         CREATE DOMAIN d AS int; ALTER DOMAIN d RENAME TO e; CREATE TYPE ty AS (a int); ALTER TYPE ty ADD ATTRIBUTE b int; DROP SCHEMA s CASCADE; DROP TABLE renamed;
         CREATE FUNCTION f() RETURNS int LANGUAGE sql AS 'SELECT 1'; DROP FUNCTION f()",
    )
    .await;
    assert_eq!(value(&client, VERSIONS).await, "1");
    assert_eq!(value(&client, ROWS).await, "1");
}

/// A child's rows are nobody's but the child's; statements about both have to be told apart from then on.
#[tokio::test]
async fn a_table_that_others_inherit_from() {
    let (_database, client) = synced().await;
    run(&client, "CREATE TABLE child () INHERITS (t)").await;
    assert_eq!(
        rows(&client, "SELECT DISTINCT tgtype & 1 FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgname ~ '^electric_native_(insert|update|delete)$'").await,
        ["1"]
    );
    run(&client, "INSERT INTO t VALUES (1, 'own'); INSERT INTO child VALUES (2, 'child'); UPDATE t SET v = 'both'; DELETE FROM t WHERE id = 2").await;
    assert_eq!(rows(&client, "SELECT id FROM electric.shadow__public__t").await, ["1"]);
    run(&client, "ALTER TABLE t ADD COLUMN w int; DROP TABLE child; ALTER TABLE t ADD COLUMN x int").await;
    assert_current(&client, "t").await;
    assert_eq!(value(&client, VERSIONS).await, "2");
}

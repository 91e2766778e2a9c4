//! Where event triggers are and where the role may not make them: the second tier does the same when it is asked.

use postgres::{
    connection::{ConnectConfig, Purpose, connect},
    install::install,
};
use testkit::Database;
use tokio_postgres::Client;

use super::{capture::assert_current, installed, refused, rows, run, value};

const TRIGGERS: &str = "SELECT evtname, evtevent, evtenabled FROM pg_event_trigger ORDER BY 1";

/// A service that may do what is documented, and no more.
async fn service(database: &Database) -> Client {
    let admin = database.client().await;
    let role = format!("service_{}", database.name);
    run(
        &admin,
        &format!(
            "CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'pw'; GRANT CREATE ON DATABASE {} TO {role}; GRANT USAGE, CREATE ON SCHEMA public TO {role}",
            database.name
        ),
    )
    .await;
    let (mut config, _) =
        ConnectConfig::parse(&format!("{}?sslmode=disable", database.url), None, None).expect("a URL");
    config.user = role;
    let mut client = connect(&config, Purpose::Tool).await.expect("a connection");
    install(&mut client).await.expect("it installs without event triggers");
    client
}

#[tokio::test]
async fn the_first_where_it_is_permitted() {
    let (_database, mut client) = installed().await;
    let wanted = [
        "electric_guard_command_end|ddl_command_end|A",
        "electric_guard_command_start|ddl_command_start|A",
        "electric_guard_dropped|sql_drop|A",
        "electric_guard_rewrite|table_rewrite|A",
    ];
    assert_eq!(rows(&client, TRIGGERS).await, wanted);
    assert_eq!(value(&client, "SELECT electric.guard_tier()").await, "1");
    run(&client, "ALTER EVENT TRIGGER electric_guard_dropped DISABLE").await;
    assert_eq!(value(&client, "SELECT electric.guard_tier()").await, "2");
    run(
        &client,
        "DROP EVENT TRIGGER electric_guard_command_end; CREATE FUNCTION old() RETURNS event_trigger LANGUAGE plpgsql AS 'BEGIN END';
         CREATE EVENT TRIGGER electric_event_trigger_ddl_end ON ddl_command_end EXECUTE FUNCTION old();
         CREATE EVENT TRIGGER electric_event_trigger_sql_drop ON sql_drop EXECUTE FUNCTION old()",
    )
    .await;
    assert_eq!(value(&client, "SELECT electric.guard_tier()").await, "2");
    install(&mut client).await.unwrap();
    assert_eq!(rows(&client, TRIGGERS).await, wanted, "put back, and legacy's dropped");
    assert_eq!(value(&client, "SELECT electric.guard_tier()").await, "1");
}

/// What is done at every start is not taken for a migration, even with synced tables of all kinds.
#[tokio::test]
async fn starts_are_no_migrations() {
    let (_database, mut client) = installed().await;
    run(
        &client,
        "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE heir () INHERITS (t); CALL electric.electrify('t');
         ALTER TABLE t ADD COLUMN w int; DROP TRIGGER electric_native_insert ON t",
    )
    .await;
    for _ in 0..2 {
        install(&mut client).await.unwrap();
        assert_eq!(value(&client, "SELECT count(*) FROM electric.ddl_commands").await, "1");
    }
    // Tables of the time before the guard are remembered as they are found.
    run(&client, "UPDATE electric.electrified SET guarded = NULL").await;
    run(&client, "ALTER TABLE t OWNER TO CURRENT_USER").await;
    install(&mut client).await.unwrap();
    assert_eq!(refused(&client, "ALTER TABLE t DROP COLUMN v").await.code().code(), "EX010");
    assert_eq!(value(&client, "SELECT count(*) FROM electric.ddl_commands").await, "1");
}

#[tokio::test]
async fn the_second_refuses_and_captures_in_the_same_transaction() {
    let database = Database::create().await;
    let client = service(&database).await;
    assert_eq!(value(&client, "SELECT electric.guard_tier()").await, "2");
    run(&client, "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE gone (id int PRIMARY KEY)").await;
    run(&client, "CALL electric.electrify('t'); CALL electric.electrify('gone')").await;

    run(&client, "BEGIN; ALTER TABLE t ADD COLUMN c int; CREATE INDEX i ON t (c); CALL electric.guard_all(); INSERT INTO t VALUES (1, 'v', 2); UPDATE t SET c = 3; COMMIT").await;
    assert_current(&client, "t").await;
    assert_eq!(
        value(&client, "SELECT (_tag_c).\"timestamp\" IS NOT NULL FROM electric.shadow__public__t").await,
        "t"
    );
    assert_eq!(value(&client, "SELECT count(*) FROM electric.ddl_commands").await, "3");

    for (statement, code) in [
        ("ALTER TABLE t DROP COLUMN v", "EX010"),
        ("ALTER TABLE t RENAME TO u", "EX002"),
        ("ALTER TABLE t SET SCHEMA electric", "EX002"),
        ("ALTER TABLE t ADD COLUMN d int DEFAULT 1", "EX006"),
        ("ALTER TABLE t ADD COLUMN d serial", "EX005"),
        ("ALTER INDEX i RENAME TO j", "EX003"),
        ("DROP TABLE gone", "EX004"),
        ("DROP INDEX i; ALTER TABLE t ADD COLUMN d text; ALTER TABLE t ALTER v SET DEFAULT 'x'", "EX007"),
    ] {
        let refusal =
            refused(&client, &format!("BEGIN; {statement}; CALL electric.guard_all(); COMMIT")).await;
        assert_eq!(refusal.code().code(), code, "{statement}");
        run(&client, "ROLLBACK").await;
    }
    assert_eq!(
        rows(&client, "SELECT (electric.inspect(oid)).verdict FROM electric.electrified").await,
        ["same", "same"]
    );
    run(&client, "CALL electric.guard_all(); ALTER TABLE t OWNER TO CURRENT_USER; CALL electric.guard_all()")
        .await;
    run(&client, "BEGIN; CREATE TABLE plain (id int); CALL electric.guard_all(); DROP TABLE plain; CALL electric.guard_all(); COMMIT").await;
    assert_eq!(value(&client, "SELECT count(*) FROM electric.migration_versions").await, "2");

    run(&client, "BEGIN; SET LOCAL electric.bypass_guards = on; DROP TABLE gone; ALTER TABLE t DROP COLUMN v; CALL electric.guard_all(); COMMIT").await;
    assert_eq!(value(&client, "SELECT count(*) FROM electric.electrified").await, "0");
}

/// What the drift detector asks, without anything being captured or refused.
#[tokio::test]
async fn the_verdict_before_anything_is_done() {
    let database = Database::create().await;
    let client = service(&database).await;
    run(&client, "CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t')").await;
    let verdict =
        "SELECT verdict, code, message FROM electric.inspect((SELECT oid FROM electric.electrified))";
    assert_eq!(value(&client, verdict).await, "same||");
    run(&client, "ALTER TABLE t ADD COLUMN c int").await;
    assert_eq!(value(&client, verdict).await, "additive||");
    run(&client, "ALTER TABLE t DROP COLUMN v").await;
    assert_eq!(
        value(&client, verdict).await,
        r#"refused|EX010|Cannot drop column "v" of electrified table "public"."t""#
    );
    run(&client, "CALL electric.absorb('t'::regclass)").await;
    assert_eq!(value(&client, verdict).await, "same||");
    run(&client, "DROP TABLE t").await;
    assert_eq!(value(&client, verdict).await, r#"refused|EX004|Cannot drop electrified table "public"."t""#);
    assert!(rows(&client, "SELECT * FROM electric.inspect(1)").await.is_empty());
}

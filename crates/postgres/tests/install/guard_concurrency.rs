//! Sessions that migrate at the same time: one after the other, without deadlocks, each under a version of its own.

use testkit::Database;
use tokio::task::JoinSet;
use tokio_postgres::Client;

use super::{capture::assert_current, installed, refused, rows, run, value};

async fn synced(tables: &[&str]) -> (Database, Client) {
    let (database, client) = installed().await;
    for table in tables {
        run(
            &client,
            &format!("CREATE TABLE {table} (id int PRIMARY KEY, v text); CALL electric.electrify('{table}')"),
        )
        .await;
    }
    (database, client)
}

/// Waits until so many sessions of this database wait for a lock.
async fn until_waiting(client: &Client, sessions: usize) {
    let waiting = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    while value(client, waiting).await != sessions.to_string() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn many_sessions_alter_the_same_tables() {
    let (database, client) = synced(&["a", "b", "c"]).await;
    let mut sessions = JoinSet::new();
    for session in 0..6 {
        let connection = database.client().await;
        sessions.spawn(async move {
            for table in ["a", "b", "c"] {
                run(&connection, &format!("ALTER TABLE {table} ADD COLUMN c{session} int")).await;
                run(&connection, &format!("CREATE INDEX {table}_{session} ON {table} (c{session})")).await;
                run(&connection, &format!("INSERT INTO {table} (id, c{session}) VALUES ({session}, 1)"))
                    .await;
            }
        });
    }
    sessions.join_all().await;
    for table in ["a", "b", "c"] {
        assert_current(&client, table).await;
    }
    assert_eq!(
        value(&client, "SELECT count(*), count(DISTINCT version) FROM electric.ddl_commands").await,
        "39|39"
    );
    let order = "SELECT count(*) FROM (SELECT version COLLATE \"C\" <= lag(version COLLATE \"C\") OVER (ORDER BY id) AS wrong FROM electric.ddl_commands) o WHERE wrong";
    assert_eq!(value(&client, order).await, "0");
}

/// Two sessions that make indexes don't lock each other out of the table, and each finds the other's when it is done.
#[tokio::test]
async fn each_tells_of_its_own() {
    let (database, client) = synced(&["t"]).await;
    let (one, other) = (database.client().await, database.client().await);
    run(&one, "BEGIN; DO $$ BEGIN EXECUTE 'CREATE INDEX one ON ' || chr(116) || ' (v)'; END $$").await;
    let waiting = tokio::spawn(async move {
        run(&other, "DO $$ BEGIN EXECUTE 'CREATE INDEX other ON ' || chr(116) || ' (v)'; END $$").await;
    });
    until_waiting(&client, 1).await;
    run(&one, "COMMIT").await;
    waiting.await.unwrap();
    let indexes = "SELECT (SELECT string_agg(i ->> 'name', ',' ORDER BY i ->> 'name') FROM jsonb_array_elements(snapshot -> 'table' -> 'indexes') i)
        FROM electric.ddl_commands ORDER BY id OFFSET 1";
    assert_eq!(rows(&client, indexes).await, ["one", "one,other"]);
    assert_current(&client, "t").await;
}

/// A migration of several tables and a change of one of them: whoever comes second waits, and locks nothing meanwhile.
#[tokio::test]
async fn nobody_waits_with_a_table_locked() {
    let (database, client) = synced(&["first", "second"]).await;
    for migration in [
        "ALTER TABLE first ADD COLUMN a int",
        "CREATE TABLE new (id int PRIMARY KEY); CALL electric.electrify('new')",
    ] {
        let (one, other) = (database.client().await, database.client().await);
        run(&one, &format!("BEGIN; {migration}")).await;
        let waiting = tokio::spawn(async move {
            run(&other, "ALTER TABLE second ADD COLUMN IF NOT EXISTS b int; CREATE INDEX IF NOT EXISTS i ON second (b)").await;
        });
        until_waiting(&client, 1).await;
        run(&one, "ALTER TABLE second ADD COLUMN IF NOT EXISTS c int; COMMIT").await;
        waiting.await.unwrap();
        assert_current(&client, "second").await;
    }
}

/// What others do to tables that are not synced goes on all the while.
#[tokio::test]
async fn nobody_else_waits() {
    let (database, client) = synced(&["synced"]).await;
    let migrating = database.client().await;
    run(&migrating, "BEGIN; ALTER TABLE synced ADD COLUMN a int").await;
    run(&client, "SET lock_timeout = '1s'; CREATE TABLE plain (id int); ALTER TABLE plain ADD v text; CREATE INDEX i ON plain (v); DROP INDEX i; DROP TABLE plain").await;
    run(&migrating, "ROLLBACK").await;
}

/// A table that is electrified while somebody waits for it is guarded when the wait is over.
#[tokio::test]
async fn electrified_while_somebody_waits() {
    for isolation in ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"] {
        let (database, client) = installed().await;
        run(&client, "CREATE TABLE t (id int PRIMARY KEY, v text)").await;
        let (one, other) = (database.client().await, database.client().await);
        run(&other, &format!("BEGIN ISOLATION LEVEL {isolation}; SELECT 1")).await;
        run(&one, "BEGIN; CALL electric.electrify('t')").await;
        let waiting = tokio::spawn(async move { refused(&other, "ALTER TABLE t DROP COLUMN v").await });
        until_waiting(&client, 1).await;
        run(&one, "COMMIT").await;
        let code = waiting.await.unwrap().code().code().to_owned();
        assert_eq!(code, if isolation == "READ COMMITTED" { "EX010" } else { "40001" }, "{isolation}");
    }
}

/// An older view of the database is no way around the order of migrations.
#[tokio::test]
async fn repeatable_reads() {
    let (database, client) = synced(&["t"]).await;
    let old = database.client().await;
    run(&old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t").await;
    run(&client, "INSERT INTO t VALUES (1)").await;
    run(&old, "ALTER TABLE t ADD COLUMN a int; COMMIT").await;
    assert_current(&client, "t").await;
    run(&old, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM t").await;
    run(&client, "CREATE INDEX i ON t (v)").await;
    assert_eq!(refused(&old, "ALTER TABLE t ADD COLUMN b int").await.code().code(), "40001");
    run(&old, "ROLLBACK").await;
    assert_current(&client, "t").await;
}

#[tokio::test]
async fn a_migration_that_is_undone_lets_the_next_one_on() {
    let (database, client) = synced(&["t"]).await;
    let one = database.client().await;
    run(&one, "BEGIN; ALTER TABLE t ADD COLUMN a int").await;
    let other = database.client().await;
    let waiting = tokio::spawn(async move { run(&other, "ALTER TABLE t ADD COLUMN a text").await });
    until_waiting(&client, 1).await;
    run(&one, "ROLLBACK").await;
    waiting.await.unwrap();
    assert_current(&client, "t").await;
    assert_eq!(
        value(&client, "SELECT snapshot -> 'table' -> 'columns' -> 2 ->> 'type' FROM electric.ddl_commands ORDER BY id DESC LIMIT 1").await,
        "text"
    );
}

//! Databases in which Prisma Migrate tries migrations: they have no schema `electric`, and whatever would use it succeeds and does
//! nothing (spec 04 §9.6).

use testkit::Database;
use tokio_postgres::{Client, NoTls, SimpleQueryMessage, error::SqlState};

use crate::support::{Front, run, said};

/// What the name of every such database begins with.
const SHADOW: &str = "prisma_migrate_shadow_db";

/// A proxy, and a shadow database made through it, as Prisma does it.
async fn start() -> (Database, Front, String) {
    let (database, front) = Front::start().await;
    // The cluster is shared by tests, and the name is one of all databases in it.
    let name = format!("{SHADOW}_{}", database.name);
    front
        .client("postgres")
        .await
        .batch_execute(&format!("CREATE DATABASE \"{name}\""))
        .await
        .expect("a database");
    let url = front.url("postgres").replace("whatever", &name);
    (database, front, url)
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a session");
    tokio::spawn(connection);
    client
}

#[tokio::test]
async fn psql_is_told_of_success() {
    let (_database, _front, url) = start().await;
    let script = "
        CREATE TABLE t (id uuid PRIMARY KEY);
        ALTER TABLE t ENABLE ELECTRIC;
        BEGIN; CALL electric.migration_version('20240101'); ALTER TABLE public.\"t\" ENABLE ELECTRIC; COMMIT;
        CALL electric.electrify('t'); CALL electric.enable('\"public\".\"t\"');
        SELECT current_database() LIKE 'prisma_migrate_shadow_db%' AS there, count(*) FROM pg_namespace WHERE nspname = 'electric';
    ";
    let file = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(file.path(), script).expect("a script");
    let path = file.path().to_str().expect("a path");
    let shown = said(&run("psql", &url, &["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-f", path]).await);
    let expected =
        "CREATE TABLE\nELECTRIC ENABLE\nBEGIN\nCALL\nELECTRIC ENABLE\nCOMMIT\nELECTRIC ENABLE\nCALL\nt|0\n";
    assert_eq!(shown, expected);
}

#[tokio::test]
async fn a_migration_is_one_string() {
    let (_database, front, url) = start().await;
    let client = connect(&url).await;
    let migration = "CREATE TABLE t (id uuid PRIMARY KEY); ALTER TABLE t ENABLE ELECTRIC; CREATE INDEX i ON t (id); SELECT 7 AS seven";
    let messages = client.simple_query(migration).await.expect("it passes");
    let done =
        messages.iter().filter(|message| matches!(message, SimpleQueryMessage::CommandComplete(_))).count();
    assert_eq!(done, 4);
    // It is done as a whole or not at all, as any other string.
    let error = client
        .batch_execute("CREATE TABLE u (id int); ALTER TABLE u ENABLE ELECTRIC; SELECT 1/0")
        .await
        .unwrap_err();
    assert_eq!(error.code().map(SqlState::code), Some("22012"));
    let tables =
        client.query("SELECT relname FROM pg_class WHERE relname IN ('t', 'u')", &[]).await.expect("rows");
    assert_eq!(tables.iter().map(|row| row.get(0)).collect::<Vec<&str>>(), ["t"]);
    // Statements that are nearly right are refused here too, before they are deployed.
    let error = client.batch_execute("ALTER TABLE t ENABLE ELECTRIC NOW").await.unwrap_err();
    assert_eq!(error.code().map(SqlState::code), Some("42601"));
    drop(client);
    // The tables are there, and nowhere else.
    let main = front
        .client("postgres")
        .await
        .query("SELECT FROM pg_class WHERE relname = 't'", &[])
        .await
        .expect("rows");
    assert!(main.is_empty());
}

#[tokio::test]
async fn prepared_statements_succeed_and_do_nothing() {
    let (_database, _front, url) = start().await;
    let mut client = connect(&url).await;
    client.batch_execute("CREATE TABLE t (id uuid PRIMARY KEY)").await.expect("a table");
    for statement in [
        "ALTER TABLE t ENABLE ELECTRIC",
        "ELECTRIC ENABLE t",
        "CALL electric.electrify('t')",
        "CALL electric.migration_version('1')",
    ] {
        let prepared =
            client.prepare(statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
        assert!(prepared.params().is_empty() && prepared.columns().is_empty());
        assert_eq!(client.execute(&prepared, &[]).await.expect(statement), 0);
    }
    let transaction = client.transaction().await.expect("a transaction");
    transaction.execute("ALTER TABLE t ENABLE ELECTRIC", &[]).await.expect("it passes");
    transaction.execute("SELECT nonsense", &[]).await.unwrap_err();
    // In a failed transaction nothing succeeds, and neither does this.
    let error = transaction.execute("ALTER TABLE t ENABLE ELECTRIC", &[]).await.unwrap_err();
    assert_eq!(error.code().map(SqlState::code), Some("25P02"));
    transaction.rollback().await.expect("it ends");
    let row = client.query_one("SELECT count(*) FROM t", &[]).await.expect("a row");
    assert_eq!(row.get::<_, i64>(0), 0);
}

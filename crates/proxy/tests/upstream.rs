//! The connections to Postgres: how they are made, and how many.

use postgres::connection::ConnectConfig;
use testkit::{CERTIFICATE, CERTIFICATE_KEY, Cluster, Database, Options, encrypted_cluster};
use tokio_postgres::{NoTls, error::SqlState};

use crate::support::{Front, Wishes, said, within};

const HBA: &str = "host all postgres all trust\nhost all scram all scram-sha-256\n\
                   host all hashed all md5\nhost all plain all password\n";

const ROLES: &str = "SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN PASSWORD 'p@ss';
                     SET password_encryption = 'scram-sha-256'; CREATE ROLE scram LOGIN PASSWORD 'p@ss';
                     CREATE ROLE plain LOGIN PASSWORD 'p@ss'";

async fn guarded() -> Cluster {
    let options = Options { hba: Some(HBA.to_owned()), ..Options::default() };
    tokio::task::spawn_blocking(move || Cluster::temporary(&options)).await.unwrap().unwrap()
}

#[tokio::test]
async fn the_credentials_are_those_of_the_url() {
    let cluster = guarded().await;
    let database = Database::create_in(&cluster).await;
    database.client().await.batch_execute(ROLES).await.unwrap();
    let url = |role: &str, password: &str| database.url.replace("postgres@", &format!("{role}:{password}@"));
    for role in ["scram", "hashed"] {
        let front = Front::of(&url(role, "p%40ss"), Wishes::default()).await;
        let row = front.client("somebody").await.query_one("SELECT current_user::text", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), role);
        // What Postgres says to it is what the client hears.
        let front = Front::of(&url(role, "wrong"), Wishes::default()).await;
        let error = front.config("somebody").connect(NoTls).await.err().unwrap();
        let refusal = error.as_db_error().unwrap();
        assert_eq!(refusal.code(), &SqlState::INVALID_PASSWORD);
        assert_eq!(refusal.message(), format!("password authentication failed for user \"{role}\""));
        assert_eq!(refusal.routine(), Some("auth_failed"));
    }
    // The password does not go over an open line.
    let front = Front::of(&url("plain", "p%40ss"), Wishes::default()).await;
    let error = front.config("somebody").connect(NoTls).await.err().unwrap();
    let refusal = error.as_db_error().unwrap();
    assert_eq!(refusal.code().code(), "08001");
    assert!(refusal.message().contains("the connection is not encrypted"), "{refusal}");
}

#[tokio::test]
async fn tls_on_both_sides() {
    let hba = "hostnossl all postgres all trust\nhostssl all plain all password\nhostssl all scram all scram-sha-256\n";
    let cluster = tokio::task::spawn_blocking(move || encrypted_cluster(hba)).await.unwrap();
    let database = Database::create_in(&cluster).await;
    database.client().await.batch_execute(ROLES).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (chain, key) = (file("chain.pem", CERTIFICATE), file("key.pem", CERTIFICATE_KEY));
    for role in ["plain", "scram"] {
        let url = format!(
            "{}?channel_binding=prefer",
            database.url.replace("postgres@", &format!("{role}:p%40ss@"))
        );
        let (config, _) = ConnectConfig::parse(&url, Some(true), None).unwrap();
        let certificate = Some(proxy::Certificate::load(&chain, &key).unwrap());
        let front = Front::with(config, Wishes { certificate, ..Wishes::default() }).await;
        let by_name = front.url("app").replace("127.0.0.1", "localhost");
        for options in [
            "sslmode=disable",
            "sslmode=require",
            "sslmode=require&channel_binding=require",
            "sslmode=require&channel_binding=disable",
            &format!("sslmode=verify-full&sslrootcert={}&channel_binding=require", chain.display()),
        ] {
            let url = format!("{by_name}?{options}");
            let arguments =
                ["-XAtc", "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()", "-c", "\\conninfo"];
            let shown = said(&crate::support::run("psql", &url, &arguments).await);
            assert!(shown.starts_with("t\n"), "{options}: {shown}");
            assert_eq!(
                shown.contains("SSL connection"),
                !options.contains("disable\0") && options != "sslmode=disable",
                "{shown}"
            );
        }
        // A cancel request finds its way, encrypted like everything else.
        let client = front.client("app").await;
        let cancel = client.cancel_token();
        let observer = database.client().await;
        let asleep = async {
            let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE state = 'active' AND query LIKE 'SELECT pg_sleep%')";
            while !observer.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {}
            cancel.cancel_query(NoTls).await.unwrap();
        };
        let (slept, ()) =
            within(async { tokio::join!(client.batch_execute("SELECT pg_sleep(300)"), asleep) }).await;
        assert_eq!(slept.unwrap_err().code(), Some(&SqlState::QUERY_CANCELED));
    }
}

#[tokio::test]
async fn a_full_house_is_told_and_seats_come_back() {
    let database = Database::create().await;
    let front = Front::of(&database.url, Wishes { sessions: 2, ..Wishes::default() }).await;
    let (first, second) = (front.client("a").await, front.client("b").await);
    let error = front.config("c").connect(NoTls).await.err().unwrap();
    let refusal = error.as_db_error().unwrap();
    assert_eq!(refusal.code(), &SqlState::TOO_MANY_CONNECTIONS);
    assert!(refusal.hint().unwrap().contains("TIELINE_PROXY_CONNECTIONS"));
    // A wrong password is judged first: strangers learn nothing.
    let error = front.config("c").password("guess").connect(NoTls).await.err().unwrap();
    assert_eq!(error.code(), Some(&SqlState::INVALID_PASSWORD));
    drop(first);
    within(async { while front.config("c").connect(NoTls).await.is_err() {} }).await;
    drop(second);
}

#[tokio::test]
async fn the_database_is_the_one_of_the_url_except_for_shadows() {
    let (database, front) = Front::start().await;
    for requested in ["postgres", "template1", "no such database", "prisma_migrate"] {
        let (client, connection) = front.config("app").dbname(requested).connect(NoTls).await.unwrap();
        tokio::spawn(connection);
        let row = client.query_one("SELECT current_database()::text", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), database.name);
    }
    let shadow = "prisma_migrate_shadow_db_1f3a";
    let error = front.config("app").dbname(shadow).connect(NoTls).await.err().unwrap();
    let refusal = error.as_db_error().unwrap();
    assert_eq!(refusal.code(), &SqlState::UNDEFINED_DATABASE);
    assert_eq!(refusal.message(), format!("database \"{shadow}\" does not exist"));
    database.client().await.batch_execute(&format!("CREATE DATABASE {shadow}")).await.unwrap();
    let (client, connection) = front.config("app").dbname(shadow).connect(NoTls).await.unwrap();
    tokio::spawn(connection);
    let row = client.query_one("SELECT current_database()::text", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), shadow);
}

#[tokio::test]
async fn a_postgres_that_is_not_there_is_told() {
    let front = Front::of("postgresql://me@127.0.0.1:1/nothing", Wishes::default()).await;
    let error = front.config("app").connect(NoTls).await.err().unwrap();
    let refusal = error.as_db_error().unwrap();
    assert_eq!(refusal.code().code(), "08001");
    assert!(
        refusal.message().starts_with("the migrations proxy has no connection to Postgres: "),
        "{refusal}"
    );
}

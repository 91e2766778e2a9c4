//! Logging in: methods, refusals, and what is said of them.

use std::time::{Duration, Instant};

use postgres::{
    connection::{ConnectConfig, ConnectError, Purpose, connect},
    replication::Arrival,
    wire::Wire,
};
use testkit::{Cluster, Database, Options};

use super::config;

const HBA: &str = "host all postgres all trust\nhost replication postgres all trust\n\
                   host all scram all scram-sha-256\nhost all hashed all md5\nhost all plain all password\n";

async fn guarded() -> Cluster {
    let options = Options { hba: Some(HBA.to_owned()), ..Options::default() };
    tokio::task::spawn_blocking(move || Cluster::temporary(&options))
        .await
        .expect("no panic")
        .expect("a cluster")
}

#[tokio::test]
async fn every_kind_of_password() {
    let cluster = guarded().await;
    let database = Database::create_in(&cluster).await;
    let admin = database.client().await;
    admin
        .batch_execute(
            "SET password_encryption = 'md5'; CREATE ROLE hashed LOGIN REPLICATION PASSWORD 'p@ss';
             SET password_encryption = 'scram-sha-256'; CREATE ROLE scram LOGIN REPLICATION PASSWORD 'p@ss';
             CREATE ROLE plain LOGIN REPLICATION PASSWORD 'p@ss'; CREATE PUBLICATION p",
        )
        .await
        .expect("roles");
    for role in ["scram", "hashed", "plain"] {
        let url = |password: &str| database.url.replace("postgres@", &format!("{role}{password}@"));
        let good = config(&url(":p%40ss"));
        let client = connect(&good, Purpose::Tool).await.expect(role);
        let shown = client.query_one(
            "SELECT current_user::text, current_setting('bytea_output'), current_setting('DateStyle')",
            &[],
        );
        let shown = shown.await.expect("settings");
        assert_eq!((shown.get(0), shown.get(1), shown.get(2)), (role, "hex", "ISO, DMY"));
        let mut wire = Wire::log_in(&good, Purpose::Tool, &[]).await.expect(role);
        let shown = wire.query("SHOW TimeZone").await.expect("a setting");
        assert_eq!(shown, [[Some("UTC".to_owned())]]);

        for (config, is_expected) in [
            (config(&url(":wrong")), (|e| e.code() == Some("28P01")) as fn(&ConnectError) -> bool),
            (config(&url("")), |e| e.to_string().contains("DATABASE_URL has none")),
        ] {
            let error = connect(&config, Purpose::Tool).await.expect_err("refused");
            assert!(is_expected(&error), "{error:?}");
            let error = Wire::log_in(&config, Purpose::Tool, &[]).await.expect_err("refused");
            assert!(is_expected(&error), "{error:?}");
            assert!(!format!("{error:?} {error} {config:?}").contains("wrong"));
        }
    }
    let scram = config(&database.url.replace("postgres@", "scram:p%40ss@"));
    Arrival::log_in(&scram).await.expect("a replication connection");
}

#[tokio::test]
async fn what_is_asked_for_and_not_there_is_said() {
    let database = Database::create().await;
    let (required, _) = ConnectConfig::parse(&database.url, None, None).expect("a connection string");
    assert!(matches!(connect(&required, Purpose::Tool).await, Err(ConnectError::TlsRefused)));

    let missing = config(&database.url).with_database("no_such_database");
    let error = connect(&missing, Purpose::Tool).await.expect_err("no such database");
    assert_eq!(error.code(), Some("3D000"));

    let standby = config(&format!("{}?target_session_attrs=standby", database.url));
    assert!(matches!(connect(&standby, Purpose::Tool).await, Err(ConnectError::WrongTarget { .. })));
    let primary = config(&format!("{}?target_session_attrs=primary", database.url));
    connect(&primary, Purpose::Tool).await.expect("a primary");

    let nowhere = config("postgres://me@does-not-exist.invalid/d");
    assert!(matches!(connect(&nowhere, Purpose::Tool).await, Err(ConnectError::Resolve { .. })));

    // Accepts, and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = silent.local_addr().expect("an address").port();
    let silent_config = config(&format!("postgres://me@127.0.0.1:{port}/d?connect_timeout=1"));
    let begun = Instant::now();
    assert!(matches!(connect(&silent_config, Purpose::Tool).await, Err(ConnectError::TimedOut { .. })));
    assert!(begun.elapsed() < Duration::from_secs(5));
}

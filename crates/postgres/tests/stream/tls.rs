//! TLS: encrypted where it should be, verified where that was asked for, and SCRAM bound to it.

use std::{fs, path::Path};

use postgres::{
    connection::{ConnectConfig, ConnectError, Purpose, connect},
    replication::Arrival,
    wire::Wire,
};
use testkit::{CERTIFICATE, Database, encrypted_cluster};

const HBA: &str =
    "hostnossl all open all trust\nhost all postgres all trust\nhostssl all all all scram-sha-256\n";

fn parse(url: &str, require_ssl: Option<bool>) -> ConnectConfig {
    ConnectConfig::parse(url, require_ssl, None).expect("a connection string").0
}

async fn is_encrypted(config: &ConnectConfig) -> Result<bool, ConnectError> {
    let client = connect(config, Purpose::Tool).await?;
    let sql = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()";
    let by_driver = client.query_one(sql, &[]).await.expect("an answer").get(0);
    let mut wire = Wire::log_in(config, Purpose::Tool, &[]).await?;
    let by_wire = wire.query(sql).await.expect("an answer")[0][0].as_deref() == Some("t");
    assert_eq!(by_driver, by_wire);
    Ok(by_driver)
}

#[tokio::test]
async fn is_used_and_verified_as_asked() {
    let cluster = tokio::task::spawn_blocking(|| encrypted_cluster(HBA)).await.expect("no panic");
    let database = Database::create_in(&cluster).await;
    let admin = database.client().await;
    admin
        .batch_execute(
            "CREATE ROLE app LOGIN REPLICATION PASSWORD 'pw'; CREATE ROLE open LOGIN; CREATE PUBLICATION p",
        )
        .await
        .expect("roles");
    let root = cluster.data_directory().join("root.pem");
    fs::write(&root, CERTIFICATE).expect("a file");
    let missing = Path::new("/nowhere/root.pem");

    let by_name = database.url.replace("127.0.0.1", "localhost");
    let app = |query: &str| format!("{}?{query}", by_name.replace("postgres@", "app:pw@"));
    let by_address = |query: &str| app(query).replace("localhost", "127.0.0.1");
    let rooted = |query: &str| format!("{query}sslrootcert={}", root.display());

    for (url, require_ssl, encrypted) in [
        (app(""), None, true),
        (app("sslmode=require"), None, true),
        (app("sslmode=prefer"), None, true),
        (app(""), Some(false), true),
        (app("channel_binding=require"), None, true),
        (app("channel_binding=disable"), None, true),
        (app(&rooted("sslmode=verify-full&")), None, true),
        (by_address(&rooted("sslmode=verify-ca&")), None, true),
        (by_address(&rooted("")), None, true),
        (format!("{}?sslmode=disable", database.url.replace("postgres@", "open@")), None, false),
    ] {
        let config = parse(&url, require_ssl);
        assert_eq!(is_encrypted(&config).await.expect(&url), encrypted, "{url}");
    }
    for url in [
        app("sslmode=verify-full"),
        app("sslmode=verify-full&sslrootcert=system"),
        by_address(&rooted("sslmode=verify-full&")),
    ] {
        let error = connect(&parse(&url, None), Purpose::Tool).await.expect_err(&url);
        assert!(matches!(error, ConnectError::TlsHandshake { .. }), "{url}: {error}");
    }
    let unreadable = parse(&app(&format!("sslrootcert={}", missing.display())), None);
    assert!(matches!(connect(&unreadable, Purpose::Tool).await, Err(ConnectError::Roots(_))));
    let plain = parse(&app("sslmode=disable"), None);
    let error = connect(&plain, Purpose::Tool).await.expect_err("refused");
    assert!(error.wants_tls(), "{error:?}");

    let bound = parse(&app("channel_binding=require"), None);
    Arrival::log_in(&bound).await.expect("a replication connection");
}

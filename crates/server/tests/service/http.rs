//! The HTTP API.

use std::io::{Cursor, Read as _};

use testkit::Database;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::*;

fn upgrade_request(lines: &[&str]) -> String {
    let mut head =
        "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: close, Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
            .to_owned();
    for line in lines {
        head.push_str(&format!("Sec-WebSocket-Protocol: {line}\r\n"));
    }
    head + "\r\n"
}

#[tokio::test(flavor = "multi_thread")]
async fn status_and_unknown_routes() {
    let database = Database::create().await;
    let running = start(&database.url, &[]).await;
    let status = get(running.port, "/api/status").await;
    assert_eq!((status.code, status.text().as_str()), (200, "Connection to Postgres is up!"));
    let head =
        request(running.port, "HEAD /api/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").await;
    assert_eq!((head.code, head.body.len()), (200, 0));
    for path in ["/", "/api", "/api/status/", "/nothing"] {
        let answer = get(running.port, path).await;
        assert_eq!((answer.code, answer.text().as_str()), (404, "Not found"), "{path}");
    }
    let json = get(running.port, "/api/status.json").await;
    assert_eq!(json.code, 200);
    for part in [r#""status":"ready""#, r#""mode":"insecure""#, r#""position":"#] {
        assert!(json.text().contains(part), "{}", json.text());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ready_without_postgres() {
    let running = start_unready("postgresql://u@127.0.0.1:1/db", &[]).await;
    let status = get(running.port, "/api/status").await;
    assert_eq!((status.code, status.text().as_str()), (503, "Initializing connection to Posgres..."));
    let upgrade = request(running.port, &upgrade_request(&["electric.0.12"])).await;
    assert_eq!(upgrade.code, 503);
    assert_eq!(upgrade.text(), "Postgres connection is not ready: initialization...");
    let early = request(running.port, &upgrade_request(&["electric.0.9"])).await;
    assert_eq!(early.code, 400, "what is wrong with the request comes first");
}

#[tokio::test(flavor = "multi_thread")]
async fn upgrades_are_checked_in_order() {
    let database = Database::create().await;
    let running = start(&database.url, &[]).await;
    let cases = [
        (upgrade_request(&[]), 400, "Missing satellite websocket subprotocol"),
        (
            upgrade_request(&["electric.0.9"]),
            400,
            "Cannot connect satellite version 0.9.0: this server requires >= 0.10.0 and <= 0.12.1",
        ),
        ("GET /ws HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".to_owned(), 400, "Bad request"),
    ];
    for (head, code, text) in cases {
        let answer = request(running.port, &head).await;
        assert_eq!((answer.code, answer.text().as_str()), (code, text));
    }
    let head = upgrade_request(&["chat, electric.0.10", "electric.0.12"]);
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", running.port)).await.unwrap();
    socket.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(within(socket.read_u8()).await.unwrap());
    }
    let head = String::from_utf8(answer).unwrap();
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
    let head = head.to_ascii_lowercase();
    assert!(head.contains("sec-websocket-protocol: electric.0.12"), "{head}");
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_listed() {
    let database = Database::create().await;
    let running = start(&database.url, &[]).await;
    let missing = get(running.port, "/api/migrations").await;
    assert_eq!(
        (missing.code, missing.text().as_str()),
        (403, r#"{"error":"missing required parameter 'dialect'"}"#)
    );
    assert!(missing.head.contains("application/json; charset=utf-8"));
    let foreign = get(running.port, "/api/migrations?dialect=foo").await;
    assert_eq!((foreign.code, foreign.text().as_str()), (403, r#"{"error":"unsupported dialect \"foo\""}"#));
    let none = get(running.port, "/api/migrations?dialect=sqlite").await;
    assert_eq!((none.code, none.body.len()), (204, 0));

    let client = database.client().await;
    client
        .batch_execute(
            "BEGIN; CALL electric.migration_version('20240101_1'); CREATE TABLE a (id text PRIMARY KEY, v text);
             CALL electric.electrify('public.a'); COMMIT",
        )
        .await
        .unwrap();
    let listed = get(running.port, "/api/migrations?dialect=sqlite").await;
    assert_eq!(listed.code, 200);
    assert!(listed.head.contains("content-type: application/zip\r\n"), "{}", listed.head);
    let mut zip = zip::ZipArchive::new(Cursor::new(listed.body)).unwrap();
    let names: Vec<_> =
        (0..zip.len()).map(|i| zip.by_index(i).unwrap().name().unwrap().into_owned()).collect();
    assert_eq!(names, ["20240101_1/migration.sql", "20240101_1/metadata.json"]);
    let mut sql = String::new();
    zip.by_index(0).unwrap().read_to_string(&mut sql).unwrap();
    assert!(sql.starts_with("CREATE TABLE \"a\" (\n  \"id\" TEXT NOT NULL,"), "{sql}");

    let newer = get(running.port, "/api/migrations?dialect=postgresql&version=20240101_1").await;
    assert_eq!(newer.code, 204);
}

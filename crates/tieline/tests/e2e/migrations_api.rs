//! `GET /api/migrations` and its neighbours, from outside (spec 04 §10).

use std::{
    io::{Cursor, Read as _},
    process::Command,
    time::{Duration, Instant},
};

use serde_json::Value;

use super::{
    http::{Answer, ask, get},
    service::{Service, free_port},
};

const ALL: &str = "/api/migrations?dialect=sqlite";

/// The files of a zip, in order.
fn files(answer: &Answer) -> Vec<(String, String)> {
    let mut zip = zip::ZipArchive::new(Cursor::new(&answer.body)).expect("a zip");
    let names: Vec<String> = zip.file_names().map(|name| name.unwrap().into_owned()).collect();
    let file = |name: String| {
        let mut text = String::new();
        zip.by_name(&name).unwrap().read_to_string(&mut text).unwrap();
        (name, text)
    };
    names.into_iter().map(file).collect()
}

/// The versions in an answer, in order; none if it has none.
fn versions(answer: &Answer) -> Vec<String> {
    if answer.status == 204 {
        assert!(answer.body.is_empty());
        return Vec::new();
    }
    assert_eq!(answer.status, 200);
    assert_eq!(answer.header("content-type"), Some("application/zip"));
    let files = files(answer);
    let (scripts, metadata): (Vec<_>, Vec<_>) =
        files.iter().partition(|(name, _)| name.ends_with("/migration.sql"));
    assert_eq!(scripts.len(), metadata.len());
    let metadata = metadata.into_iter().map(|(name, text)| {
        let parsed: Value = serde_json::from_str(text).unwrap();
        let version = parsed["version"].as_str().unwrap().to_owned();
        assert_eq!(*name, format!("{version}/metadata.json"));
        assert!(text.starts_with(r#"{"format":"SatOpMigrate","ops":["#), "{text}");
        assert!(
            text.ends_with(&format!(r#"],"protocol_version":"Electric.Satellite","version":"{version}"}}"#)),
            "{text}"
        );
        version
    });
    metadata.collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_questions_are_refused() {
    let service = Service::insecure().await;
    for (path, error) in [
        ("/api/migrations", r#"{"error":"missing required parameter 'dialect'"}"#),
        ("/api/migrations?version=1", r#"{"error":"missing required parameter 'dialect'"}"#),
        ("/api/migrations?dialect=foo", r#"{"error":"unsupported dialect \"foo\""}"#),
        ("/api/migrations?dialect=", r#"{"error":"unsupported dialect \"\""}"#),
        ("/api/migrations?dialect=SQLite&version=1", r#"{"error":"unsupported dialect \"SQLite\""}"#),
    ] {
        let answer = get(service.port, path).await;
        assert_eq!((answer.status, answer.text()), (403, error), "{path}");
        assert_eq!(answer.header("content-type"), Some("application/json; charset=utf-8"));
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"));
    }
    for (method, path) in [
        ("POST", ALL),
        ("OPTIONS", ALL),
        ("GET", "/api/migrations/"),
        ("GET", "/api"),
        ("GET", "/"),
        ("DELETE", "/api/status"),
    ] {
        let answer = ask(service.port, method, path).await;
        assert_eq!((answer.status, answer.text()), (404, "Not found"), "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_are_listed_in_order() {
    let service = Service::insecure().await;
    let empty = get(service.port, ALL).await;
    assert_eq!(
        (empty.status, empty.body.len(), empty.header("access-control-allow-origin")),
        (204, 0, Some("*"))
    );

    service.sql("BEGIN; CALL electric.migration_version('1'); CREATE TABLE a (id uuid PRIMARY KEY, value text NOT NULL);
        CREATE INDEX a_idx ON a (value); CALL electric.electrify('a'); COMMIT").await;
    service
        .sql("BEGIN; CALL electric.migration_version('10'); ALTER TABLE a ADD COLUMN is_valid bool; COMMIT")
        .await;
    service.sql("BEGIN; CALL electric.migration_version('2'); DROP INDEX a_idx; COMMIT").await;
    let all = get(service.port, ALL).await;
    assert_eq!(all.header("access-control-allow-origin"), Some("*"));
    assert_eq!(versions(&all), ["1", "10", "2"]);
    let names: Vec<_> = files(&all).into_iter().map(|(name, _)| name).collect();
    assert_eq!(names[..4], ["1/migration.sql", "1/metadata.json", "10/migration.sql", "10/metadata.json"]);
    let sql: Vec<_> =
        files(&all).into_iter().filter(|(name, _)| name.ends_with(".sql")).map(|(_, sql)| sql).collect();
    assert_eq!(
        sql,
        [
            "CREATE TABLE \"a\" (\n  \"id\" TEXT NOT NULL,\n  \"value\" TEXT NOT NULL,\n  CONSTRAINT \"a_pkey\" PRIMARY KEY (\"id\")\n);\n\n\
         CREATE INDEX \"a_idx\" ON \"a\" (\"value\" ASC);",
            "ALTER TABLE \"a\" ADD COLUMN \"is_valid\" INTEGER;",
            "",
        ]
    );
    let other = get(service.port, "/api/migrations?dialect=postgresql").await;
    assert_eq!(versions(&other), ["1", "10", "2"]);
    assert!(
        files(&other)[0].1.starts_with("CREATE TABLE a (\n    id uuid NOT NULL,\n"),
        "{:?}",
        files(&other)[0]
    );

    for (query, expected) in [
        ("version=", &["1", "10", "2"][..]),
        ("version=1", &["10", "2"]),
        ("version=10", &["2"]),
        ("version=2", &[]),
        ("version=3", &[]),
        ("version=1%30", &["2"]),
    ] {
        let answer = get(service.port, &format!("{ALL}&{query}")).await;
        assert_eq!(versions(&answer), expected, "{query}");
    }
    // As the tool asks when ELECTRIC_SERVICE ends in a slash.
    assert_eq!(versions(&get(service.port, "//api//migrations?dialect=sqlite").await).len(), 3);
    let head = ask(service.port, "HEAD", ALL).await;
    assert_eq!(
        (head.status, head.body.len(), head.header("content-type")),
        (200, 0, Some("application/zip"))
    );
}

/// The tool puts versions into its question as they are.
#[tokio::test(flavor = "multi_thread")]
async fn versions_may_be_any_text() {
    let service = Service::insecure().await;
    let odd = ["1 first", "2+second&dialect=postgresql", "3%41/../third", "4=ü"];
    for (n, version) in odd.iter().enumerate() {
        service
            .sql(&format!(
                "BEGIN; CALL electric.migration_version('{version}'); CREATE TABLE t{n} (id uuid PRIMARY KEY);
                 CALL electric.electrify('t{n}'); COMMIT"
            ))
            .await;
    }
    // What a URL makes of them when they are just appended to it.
    for (after, asked) in
        ["1%20first", "2+second&dialect=postgresql", "3%41/../third", "4=%C3%BC"].iter().enumerate()
    {
        let answer = get(service.port, &format!("{ALL}&version={asked}")).await;
        let rest = if answer.status == 204 { 0 } else { files(&answer).len() / 2 };
        assert_eq!(rest, odd.len() - after - 1, "{asked}");
    }
    // No entry leads out of its folder.
    let all = files(&get(service.port, ALL).await);
    assert_eq!(all.len(), 8);
    assert!(all.iter().all(|(name, _)| name.split('/').count() == 2 && !name.contains('\\')), "{all:?}");
    assert!(all[5].1.contains(r#""version":"3%41/../third""#), "{}", all[5].1);
}

/// Whatever is committed when the question comes is in the answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_migration_is_listed_at_once() {
    let service = Service::insecure().await;
    service.sql("CREATE TABLE items (id uuid PRIMARY KEY); CALL electric.electrify('items')").await;
    for n in 1..=20 {
        service.sql(&format!("ALTER TABLE items ADD COLUMN c{n} text")).await;
        assert_eq!(versions(&get(service.port, ALL).await).len(), n + 1);
    }
}

/// A stream that does not move is waited for, but not for long.
#[tokio::test(flavor = "multi_thread")]
async fn an_answer_does_not_wait_for_ever() {
    let service = Service::insecure().await;
    service.sql("CREATE TABLE items (id uuid PRIMARY KEY); CALL electric.electrify('items')").await;
    assert_eq!(versions(&get(service.port, ALL).await).len(), 1);
    let sender: i32 = service
        .postgres
        .query_one("SELECT pid FROM pg_stat_activity WHERE backend_type = 'walsender' AND datname = current_database()", &[])
        .await
        .unwrap()
        .get(0);
    let signal = |name: &str| Command::new("kill").args([name, &sender.to_string()]).status().unwrap();
    assert!(signal("-STOP").success());
    service.sql("ALTER TABLE items ADD COLUMN content text").await;
    let asked = Instant::now();
    let stale = get(service.port, ALL).await;
    let took = asked.elapsed();
    assert!(signal("-CONT").success());
    assert_eq!(versions(&stale).len(), 1);
    assert!((Duration::from_secs(4)..Duration::from_secs(12)).contains(&took), "{took:?}");
    assert_eq!(versions(&get(service.port, ALL).await).len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_is_said_in_these_words() {
    let service = Service::insecure().await;
    let ready = get(service.port, "/api/status").await;
    assert_eq!((ready.status, ready.text()), (200, "Connection to Postgres is up!"));
    assert_eq!(ready.header("access-control-allow-origin"), Some("*"));
    let head = ask(service.port, "HEAD", "/api/status").await;
    assert_eq!((head.status, head.body.len()), (200, 0));

    // With a database that is not there.
    let (port, nowhere) = (free_port(), free_port());
    let url = format!("postgresql://postgres@127.0.0.1:{nowhere}/app");
    let mut waiting = Service::bare(&[
        ("DATABASE_URL", &url),
        ("DATABASE_REQUIRE_SSL", "false"),
        ("HTTP_PORT", &port.to_string()),
        ("AUTH_MODE", "insecure"),
        ("TIELINE_DATA_DIR", "none"),
    ]);
    let until = Instant::now() + super::service::PATIENCE;
    while tokio::net::TcpStream::connect(("127.0.0.1", port)).await.is_err() {
        assert!(Instant::now() < until, "it does not listen");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let status = get(port, "/api/status").await;
    assert_eq!((status.status, status.text()), (503, "Initializing connection to Posgres..."));
    let migrations = get(port, ALL).await;
    assert_eq!((migrations.status, migrations.header("access-control-allow-origin")), (503, Some("*")));
    waiting.kill().await.unwrap();
}

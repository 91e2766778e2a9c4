//! `GET /api/migrations`: all migrations as a zip, for the client generator (spec 04 §10.2).

use std::{
    fmt::Write as _,
    io::{Cursor, Write as _},
    sync::Arc,
    time::Duration,
};

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse as _, Response},
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use prost::Message as _;
use schema::{Dialect, Migration};
use serde::Serialize;
use zip::{ZipWriter, result::ZipResult, write::SimpleFileOptions};

use super::routes::App;
use crate::connection::Hub;

/// How long to wait for what was committed before the request (spec 04 §10.2).
const PATIENCE: Duration = Duration::from_secs(5);

/// Answers a request with this query string.
pub async fn answer(app: &App, query: &str) -> Response {
    let dialect = match parameter(query, "dialect").as_deref() {
        None => return refuse("missing required parameter 'dialect'"),
        Some("sqlite") => Dialect::Sqlite,
        Some("postgresql") => Dialect::Postgres,
        Some(other) => return refuse(&format!("unsupported dialect {other:?}")),
    };
    let Some(hub) = app.hub.load_full() else {
        let phase = app.readiness.phase();
        return (StatusCode::SERVICE_UNAVAILABLE, phase.status()).into_response();
    };
    wait_for_committed(&hub).await;
    let migrations = hub.stream.migrations();
    let wanted = match newer_than(&migrations, query) {
        [] => return StatusCode::NO_CONTENT.into_response(),
        wanted => wanted.to_vec(),
    };
    // Compressing thousands of migrations takes a while, which others' connections need not wait for.
    let zipped = tokio::task::spawn_blocking(move || archive(&wanted, dialect)).await;
    match zipped {
        Ok(Ok(bytes)) => ([(header::CONTENT_TYPE, "application/zip")], bytes).into_response(),
        _ => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

fn refuse(error: &str) -> Response {
    let body = serde_json::json!({ "error": error }).to_string();
    (StatusCode::FORBIDDEN, [(header::CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}

/// Everything committed when the request came is to be in the answer.
async fn wait_for_committed(hub: &Arc<Hub>) {
    let caught_up = async {
        if let Ok(end) = hub.backend.wal_end().await {
            if hub.stream.position() < end {
                hub.backend.reach(end);
            }
            hub.stream.reached(end).await;
        }
    };
    if tokio::time::timeout(PATIENCE, caught_up).await.is_err() {
        tracing::debug!(
            "the stream did not catch up in time: the newest migrations may be missing from an answer"
        );
    }
}

/// Those after the `version` of a query in the order of their transactions; none if there is no such version, and all if none is
/// named.
fn newer_than<'a>(migrations: &'a [Arc<Migration>], query: &str) -> &'a [Arc<Migration>] {
    let Some(version) = parameter(query, "version").filter(|version| !version.is_empty()) else {
        return migrations;
    };
    let appended = query.split_once("version=").map_or("", |(_, rest)| rest);
    let named = |m: &Arc<Migration>| m.version == version || as_appended(&m.version) == appended;
    match migrations.iter().rposition(named) {
        Some(at) => migrations.get(at + 1..).unwrap_or_default(),
        None => &[],
    }
}

/// What a URL makes of a text that is just appended to its query, as the client generator does with a version: only what can't
/// stand there is escaped.
fn as_appended(text: &str) -> String {
    let mut query = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'"' | b'<' | b'>' | b'\'' | ..=b' ' | 0x7F.. => {
                let _ = write!(query, "%{byte:02X}");
            }
            _ => query.push(byte.into()),
        }
    }
    query
}

/// A query parameter, percent-decoded. The first of several counts.
fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(key, value)| (decode(key), value))
        .find(|(key, _)| key == name)
        .map(|(_, value)| decode(value))
}

/// `+` and `%XX` of a query string; what is no escape is taken as it stands.
fn decode(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        let escaped = match (first, tail) {
            (b'%', [high, low, after @ ..]) => hex(*high).zip(hex(*low)).map(|(h, l)| (h << 4 | l, after)),
            _ => None,
        };
        match (escaped, first) {
            (Some((byte, after)), _) => {
                bytes.push(byte);
                rest = after;
            }
            (None, b'+') => bytes.push(b' '),
            (None, other) => bytes.push(*other),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

/// The keys in this order, and no others: the client generator validates strictly.
#[derive(Serialize)]
struct Metadata<'a> {
    format: &'static str,
    ops: Vec<String>,
    protocol_version: &'static str,
    version: &'a str,
}

fn archive(migrations: &[Arc<Migration>], dialect: Dialect) -> ZipResult<Vec<u8>> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    let options = SimpleFileOptions::default();
    for migration in migrations {
        let ops: Vec<_> = migration
            .ops
            .iter()
            .filter_map(|op| protocol::migrate_op(&migration.version, op, dialect))
            .collect();
        let statements: Vec<String> = ops
            .iter()
            .flat_map(|op| &op.stmts)
            .map(|stmt| format!("{};", stmt.sql.trim_end().trim_end_matches(';')))
            .collect();
        let metadata = Metadata {
            format: "SatOpMigrate",
            ops: ops.iter().map(|op| BASE64_STANDARD.encode(op.encode_to_vec())).collect(),
            protocol_version: "Electric.Satellite",
            version: &migration.version,
        };
        // A version may be any text that begins with a digit; as a folder's name it must not lead elsewhere.
        let folder = migration.version.replace('/', "%2F").replace('\\', "%5C");
        zip.start_file(format!("{folder}/migration.sql"), options)?;
        zip.write_all(statements.join("\n\n").as_bytes())?;
        zip.start_file(format!("{folder}/metadata.json"), options)?;
        serde_json::to_writer(&mut zip, &metadata).map_err(std::io::Error::from)?;
    }
    Ok(zip.finish()?.into_inner())
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use change::Xid;
    use schema::{EnumType, MigrationOp, Statement, StatementKind};

    use super::*;

    fn migration(version: &str, xid: u64, ops: Vec<MigrationOp>) -> Arc<Migration> {
        Arc::new(Migration { version: version.to_owned(), xid: Xid(xid), recorded_ms: 0, ops })
    }

    fn index(name: &str) -> Statement {
        Statement {
            kind: StatementKind::CreateIndex,
            sqlite: Some(format!("CREATE INDEX \"{name}\" ON \"a\" (\"v\" ASC);\n")),
            postgres: format!("CREATE INDEX {name} ON public.a USING btree (v)"),
        }
    }

    #[test]
    fn parameters_are_decoded() {
        assert_eq!(parameter("dialect=sqlite&version=1", "dialect").as_deref(), Some("sqlite"));
        assert_eq!(parameter("a=1&dialect=%73qlite+x%2", "dialect").as_deref(), Some("sqlite x%2"));
        assert_eq!(parameter("version", "version").as_deref(), Some(""));
        assert_eq!(parameter("", "dialect"), None);
    }

    #[test]
    fn only_newer_migrations_are_listed() {
        let all = [migration("1", 10, vec![]), migration("2", 20, vec![])];
        let versions = |query| newer_than(&all, query).iter().map(|m| m.version.clone()).collect::<Vec<_>>();
        assert_eq!(versions("dialect=sqlite"), ["1", "2"]);
        assert_eq!(versions("version="), ["1", "2"]);
        assert_eq!(versions("version=1&dialect=sqlite"), ["2"]);
        assert!(versions("version=2").is_empty() && versions("version=9").is_empty());
    }

    #[test]
    fn versions_are_known_as_they_are_appended() {
        assert_eq!(as_appended("20240801_1"), "20240801_1");
        assert_eq!(as_appended("1 a+b&c=%41'ü"), "1%20a+b&c=%41%27%C3%BC");
        let all = [migration("1 a+b&c=%41", 10, vec![]), migration("2", 20, vec![])];
        assert_eq!(newer_than(&all, "dialect=sqlite&version=1%20a+b&c=%41").len(), 1);
        assert_eq!(newer_than(&all, "dialect=sqlite&version=1%20a%2Bb%26c%3D%2541").len(), 1);
    }

    #[test]
    fn the_archive_has_two_files_for_each_migration() {
        let ty = Arc::new(EnumType { name: "color".to_owned(), labels: vec!["RED".to_owned()] });
        let ops = vec![
            MigrationOp::Enum { ty, postgres: vec!["CREATE TYPE public.color AS ENUM ('RED')".to_owned()] },
            MigrationOp::Statements(vec![index("i"), index("j")]),
        ];
        let migrations = [migration("20240101", 1, ops), migration("20240102", 2, vec![])];
        let bytes = archive(&migrations, Dialect::Sqlite).unwrap();
        let mut zip = zip::ZipArchive::new(Cursor::new(bytes)).unwrap();
        let mut files = Vec::new();
        for i in 0..zip.len() {
            let mut file = zip.by_index(i).unwrap();
            let mut text = String::new();
            file.read_to_string(&mut text).unwrap();
            files.push((file.name().unwrap().into_owned(), text));
        }
        let names: Vec<_> = files.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "20240101/migration.sql",
                "20240101/metadata.json",
                "20240102/migration.sql",
                "20240102/metadata.json"
            ]
        );
        let sql = "CREATE INDEX \"i\" ON \"a\" (\"v\" ASC);\n\nCREATE INDEX \"j\" ON \"a\" (\"v\" ASC);";
        assert_eq!(files[0].1, sql);
        assert!(files[1].1.starts_with(r#"{"format":"SatOpMigrate","ops":[""#), "{}", files[1].1);
        assert_eq!(files[2].1, "");
        let empty = r#"{"format":"SatOpMigrate","ops":[],"protocol_version":"Electric.Satellite","version":"20240102"}"#;
        assert_eq!(files[3].1, empty);
    }
}

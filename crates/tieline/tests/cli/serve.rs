//! `tieline serve` as a process: how it starts, refuses to start, and ends.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use testkit::Database;

use super::command::tieline;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn all_faults_of_the_configuration_are_told_at_once() {
    for arguments in [&[][..], &["serve"], &["start"]] {
        let done = tieline(arguments, &[("HTTP_PORT", "x"), ("AUTH_MODE", "insecure")]);
        assert_eq!(done.status, 1);
        assert!(done.out.contains("▓ │  CONFIGURATION ERROR  │"), "{}", done.out);
        for line in ["▓   * DATABASE_URL not set", "▓   * HTTP_PORT has invalid value: \"x\""] {
            assert!(done.out.contains(line), "{}", done.out);
        }
        assert!(done.out.trim_end().ends_with("••• Shutting down •••"));
        assert_eq!(done.err, "");
    }
}

#[test]
fn a_taken_port_ends_the_start() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let settings = [
        ("DATABASE_URL", "postgresql://u@127.0.0.1:1/db"),
        ("AUTH_MODE", "insecure"),
        ("TIELINE_DATA_DIR", "none"),
        ("HTTP_PORT", &port),
    ];
    let done = tieline(&["serve"], &settings);
    assert_eq!(done.status, 1);
    let text = format!("Failed to open a socket to listen for HTTP/WebSocket connections on port {port}.");
    assert!(done.out.contains("INITIALISATION ERROR") && done.out.contains(&text), "{}", done.out);
}

#[test]
fn a_taken_port_of_the_proxy_does_so_too() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port().to_string();
    let free = free_port();
    for setting in [port.clone(), format!("http:{port}")] {
        let settings = [
            ("DATABASE_URL", "postgresql://u@127.0.0.1:1/db"),
            ("AUTH_MODE", "insecure"),
            ("TIELINE_DATA_DIR", "none"),
            ("HTTP_PORT", &free),
            ("PG_PROXY_PASSWORD", "secret"),
            ("PG_PROXY_PORT", &setting),
        ];
        let done = tieline(&["serve"], &settings);
        assert_eq!(done.status, 1);
        let text = format!("Failed to open a socket to listen for TCP connections on port {port}.");
        assert!(done.out.contains("CONNECTION ERROR") && done.out.contains(&text), "{}", done.out);
        assert!(done.out.contains("already listening on the same port."), "{}", done.out);
    }
}

#[test]
fn a_database_without_logical_decoding_ends_the_start() {
    let options = testkit::Options { settings: vec!["wal_level = replica".to_owned()], ..Default::default() };
    let cluster = testkit::Cluster::temporary(&options).unwrap();
    let (url, port) = (cluster.url("postgres"), free_port());
    let settings = [
        ("DATABASE_URL", &*url),
        ("DATABASE_REQUIRE_SSL", "false"),
        ("AUTH_MODE", "insecure"),
        ("TIELINE_DATA_DIR", "none"),
        ("HTTP_PORT", &port),
    ];
    let done = tieline(&["serve"], &settings);
    assert_eq!(done.status, 1);
    assert!(done.out.contains("DATABASE CONFIGURATION ERROR"), "{}", done.out);
    assert!(
        done.out.contains("Your Postgres database is not configured with wal_level=logical"),
        "{}",
        done.out
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn signals_end_it_with_status_zero() {
    let database = Database::create().await;
    let postgres = database.client().await;
    for (round, signal) in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGTERM].into_iter().enumerate() {
        let url = database.url.clone();
        let said = tokio::task::spawn_blocking(move || {
            let port = free_port();
            let (mut child, mut lines, mut said) = start_with(&url, &port, &[]);
            let mut client = upgraded(&port);
            let begun = Instant::now();
            kill(Pid::from_raw(child.id() as i32), signal).unwrap();
            // A close frame, unmasked, with 1001 and nothing more.
            let mut close = [0; 4];
            client.read_exact(&mut close).expect("a farewell");
            assert_eq!(close, [0x88, 2, 0x03, 0xe9], "{signal}");
            drop(client);
            lines.read_to_string(&mut said).unwrap();
            let status = child.wait().unwrap();
            assert_eq!(status.code(), Some(0), "{signal}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{signal}");
            said
        });
        let said = said.await.unwrap();
        assert!(said.contains(&format!("{signal}: stopping")), "{said}");
        assert!(!said.contains("cut off"), "{said}");
        assert_eq!(said.contains("the stream goes on where the journal ends"), round > 0, "{said}");
        let until = Instant::now() + PATIENCE;
        let active = "SELECT active FROM pg_replication_slots WHERE database = current_database()";
        while postgres.query_one(active, &[]).await.unwrap().get::<_, bool>(0) {
            assert!(Instant::now() < until, "the slot is not let go of");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_signal_ends_it_at_once() {
    let database = Database::create().await;
    tokio::task::spawn_blocking(move || {
        let port = free_port();
        let (mut child, mut lines) = start_and_wait(&database.url, &port);
        // A client that does not answer when it is sent away: without a second signal it would be waited for.
        let _silent = upgraded(&port);
        let pid = Pid::from_raw(child.id() as i32);
        kill(pid, Signal::SIGTERM).unwrap();
        let mut said = String::new();
        while !said.contains("SIGTERM: stopping") {
            assert_ne!(lines.read_line(&mut said).unwrap(), 0, "{said}");
        }
        kill(pid, Signal::SIGINT).unwrap();
        lines.read_to_string(&mut said).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
        assert!(said.contains("SIGINT again: stopped at once"), "{said}");
    })
    .await
    .unwrap();
}

/// A WebSocket connection, up to the end of the answer to its request.
fn upgraded(port: &str) -> TcpStream {
    let mut socket = TcpStream::connect(format!("127.0.0.1:{port}")).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("a time limit");
    let head = "GET /ws HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Protocol: electric.0.12\r\n\r\n";
    socket.write_all(head.as_bytes()).expect("to be heard");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        socket.read_exact(&mut byte).expect("an answer");
        answer.extend(byte);
    }
    assert!(answer.starts_with(b"HTTP/1.1 101"));
    socket
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_is_told_of_once() {
    let database = Database::create().await;
    tokio::task::spawn_blocking(move || {
        let proxy = free_port();
        let (mut child, _lines, said) = start_with(
            &database.url,
            &free_port(),
            &[("PG_PROXY_PASSWORD", "secret"), ("PG_PROXY_PORT", &proxy)],
        );
        let line = format!("Starting Proxy server listening on port {proxy}");
        assert_eq!(said.matches(&line).count(), 1, "{said}");
        assert!(!said.contains("secret") && !said.contains("PG_PROXY_PASSWORD is unset"), "{said}");
        TcpStream::connect(format!("127.0.0.1:{proxy}")).unwrap();
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));

        let (mut child, _lines, said) = start_with(&database.url, &free_port(), &[]);
        assert_eq!(
            said.matches("PG_PROXY_PASSWORD is unset: the migrations proxy is off.").count(),
            1,
            "{said}"
        );
        assert!(!said.contains("Proxy server"), "{said}");
        kill(Pid::from_raw(child.id() as i32), Signal::SIGTERM).unwrap();
        assert_eq!(child.wait().unwrap().code(), Some(0));
    })
    .await
    .unwrap();
}

/// Starts it and waits for the line that scripts wait for.
fn start_and_wait(url: &str, port: &str) -> (Child, BufReader<std::process::ChildStdout>) {
    let (child, lines, _said) = start_with(url, port, &[]);
    (child, lines)
}

/// The same with more settings; what it said up to that line is told too.
fn start_with(
    url: &str,
    port: &str,
    settings: &[(&str, &str)],
) -> (Child, BufReader<std::process::ChildStdout>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_tieline"))
        .env_clear()
        .envs([("DATABASE_URL", url), ("DATABASE_REQUIRE_SSL", "false"), ("AUTH_MODE", "insecure")])
        .env("HTTP_PORT", port)
        .env("TIELINE_DATA_DIR", testkit::shared_cluster().data_directory().join("journals"))
        .envs(settings.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut lines = BufReader::new(child.stdout.take().expect("its output"));
    let until = Instant::now() + PATIENCE;
    let mut said = String::new();
    while !said.contains("Successfully initialized Postgres connector \"postgres_1\".") {
        let read = lines.read_line(&mut said).expect("a line");
        if read == 0 || Instant::now() > until {
            let _ = lines.read_to_string(&mut said);
            panic!("not ready:\n{said}");
        }
    }
    (child, lines, said)
}

fn free_port() -> String {
    TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port().to_string()
}

//! The migrations proxy as a part of the service: when it accepts, how it ends, and the tunnel (spec 04 §9.1, §9.8).

use futures_util::{SinkExt as _, StreamExt as _};
use testkit::{Cluster, Database, Options};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::{Client, Config, Connection, NoTls, error::SqlState};
use tokio_tungstenite::tungstenite::Message;

use super::support::*;

const PASSWORD: &str = "let me in";

fn credentials() -> Config {
    let mut config = Config::new();
    config.user("app").password(PASSWORD).dbname("whatever");
    config
}

async fn log_in(running: &Running) -> Result<Client, tokio_postgres::Error> {
    let port = running.service.proxy_port().expect("a proxy");
    let (client, connection) = credentials().host("127.0.0.1").port(port).connect(NoTls).await?;
    tokio::spawn(connection);
    Ok(client)
}

#[tokio::test(flavor = "multi_thread")]
async fn migrations_can_run_as_soon_as_the_status_says_so() {
    let database = Database::create().await;
    let running = start(&database.url, &[("PG_PROXY_PASSWORD", PASSWORD)]).await;
    assert_eq!(get(running.port, "/api/status").await.code, 200);
    let client = log_in(&running).await.unwrap();
    client
        .batch_execute("CREATE TABLE notes (id text PRIMARY KEY); CALL electric.electrify('public.notes')")
        .await
        .unwrap();
    stream_has_caught_up(running.port).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_accepted_before_postgres_has_been_prepared() {
    let variables = [("PG_PROXY_PASSWORD", PASSWORD), ("PG_PROXY_PORT", "http")];
    let running = start_unready("postgresql://nobody@127.0.0.1:1/nothing", &variables).await;
    let port = running.service.proxy_port().unwrap();
    let refused = TcpStream::connect(("127.0.0.1", port)).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    let answer = request(running.port, &upgrade("/proxy")).await;
    assert_eq!((answer.code, answer.text().as_str()), (503, "Migrations proxy is not accepting connections"));
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_password_there_is_none() {
    let database = Database::create().await;
    let running = start(&database.url, &[("PG_PROXY_PORT", "http")]).await;
    assert_eq!(running.service.proxy_port(), None);
    let answer = request(running.port, &upgrade("/proxy")).await;
    assert_eq!(answer.code, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_are_told_that_the_service_stops() {
    let database = Database::create().await;
    let mut running = start(&database.url, &[("PG_PROXY_PASSWORD", PASSWORD)]).await;
    let (idle, busy) = (log_in(&running).await.unwrap(), log_in(&running).await.unwrap());
    let observer = database.client().await;
    let asleep = async {
        let sql = "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active')";
        while !observer.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {}
        running.service.stop().await;
    };
    let (slept, ()) =
        within(async { tokio::join!(busy.batch_execute("SELECT pg_sleep(300)"), asleep) }).await;
    assert_eq!(slept.unwrap_err().code(), Some(&SqlState::ADMIN_SHUTDOWN));
    within(async {
        while !idle.is_closed() {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What they were told has ended has ended.
    let gone = async {
        let sql =
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%' AND state = 'active'";
        while observer.query_one(sql, &[]).await.unwrap().get::<_, i64>(0) > 0 {}
    };
    within(gone).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_with_postgres() {
    let mut cluster =
        tokio::task::spawn_blocking(|| Cluster::temporary(&Options::default())).await.unwrap().unwrap();
    let database = Database::create_in(&cluster).await;
    let running = start(&database.url, &[("PG_PROXY_PASSWORD", PASSWORD)]).await;
    assert!(log_in(&running).await.is_ok());
    let mut cluster = tokio::task::spawn_blocking(move || {
        cluster.stop().unwrap();
        cluster
    })
    .await
    .unwrap();
    let error = log_in(&running).await.err().unwrap();
    let refusal = error.as_db_error().unwrap();
    assert_eq!(refusal.code().code(), "08001");
    assert!(
        refusal.message().starts_with("the migrations proxy has no connection to Postgres: "),
        "{refusal}"
    );
    let _cluster = tokio::task::spawn_blocking(move || {
        cluster.restart().unwrap();
        cluster
    })
    .await
    .unwrap();
    assert!(log_in(&running).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn insecure_mode_is_for_this_machine_here_too() {
    let database = Database::create().await;
    let running = start(&database.url, &[("PG_PROXY_PASSWORD", PASSWORD)]).await;
    let port = running.service.proxy_port().unwrap();
    let listening = std::fs::read_to_string("/proc/net/tcp").unwrap()
        + &std::fs::read_to_string("/proc/net/tcp6").unwrap_or_default();
    let port = format!(":{port:04X}");
    let local: Vec<&str> = listening
        .lines()
        .filter_map(|line| line.split_whitespace().nth(1))
        .filter(|address| address.ends_with(&port))
        .collect();
    assert!(!local.is_empty());
    for address in local {
        assert!(
            ["0100007F:", "00000000000000000000000001000000:", "0000000000000000FFFF00000100007F:"]
                .iter()
                .any(|loopback| address.starts_with(loopback)),
            "{address}"
        );
    }
}

/// The request for a WebSocket.
fn upgrade(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade, close\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The Rust driver through a tunnel, as `electric-sql proxy-tunnel` digs it.
async fn through_tunnel(running: &Running, path: &str) -> (Client, tokio::task::JoinHandle<()>) {
    let url = format!("ws://127.0.0.1:{}{path}", running.port);
    let (socket, _) = tokio_tungstenite::connect_async(url).await.expect("a tunnel");
    let (mut to_server, mut from_server) = socket.split();
    let (ours, theirs) = tokio::io::duplex(16 * 1024);
    let (mut read, mut write) = tokio::io::split(theirs);
    let outward = tokio::spawn(async move {
        let mut chunk = vec![0; 10_000];
        while let Ok(length @ 1..) = read.read(&mut chunk).await {
            to_server.send(Message::binary(chunk[..length].to_vec())).await.expect("a server");
        }
        let _ = to_server.close().await;
    });
    let inward = tokio::spawn(async move {
        while let Some(Ok(message)) = from_server.next().await {
            match message {
                Message::Binary(bytes) => write.write_all(&bytes).await.expect("a driver"),
                Message::Close(_) => break,
                _ => {}
            }
        }
        outward.abort();
    });
    let (client, connection): (Client, Connection<_, _>) =
        credentials().connect_raw(ours, NoTls).await.expect("a session");
    tokio::spawn(connection);
    (client, inward)
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tunnel_leads_to_the_proxy() {
    let database = Database::create().await;
    let variables = [("PG_PROXY_PASSWORD", PASSWORD), ("PG_PROXY_PORT", "http")];
    let mut running = start(&database.url, &variables).await;
    for path in ["/proxy", "//proxy", "///proxy"] {
        let (client, tunnel) = through_tunnel(&running, path).await;
        // More than fits into all buffers on the way, in both directions.
        let long = "x".repeat(3_000_000);
        let row = client.query_one("SELECT $1::text || 'y'", &[&long]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0).len(), long.len() + 1);
        let rows = client.query("SELECT repeat('z', 1000) FROM generate_series(1, 5000)", &[]).await.unwrap();
        assert_eq!(rows.len(), 5000);
        drop(client);
        within(tunnel).await.unwrap();
    }
    let (client, tunnel) = through_tunnel(&running, "/proxy").await;
    // The proxy's side closes: so does the tunnel.
    let error = client.batch_execute("SELECT pg_terminate_backend(pg_backend_pid())").await.unwrap_err();
    assert_eq!(error.code(), Some(&SqlState::ADMIN_SHUTDOWN));
    within(tunnel).await.unwrap();
    let (_client, tunnel) = through_tunnel(&running, "/proxy").await;
    let (closed, ()) = within(async { tokio::join!(tunnel, running.service.stop()) }).await;
    closed.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_for_the_tunnel_wrongly_is_told() {
    let database = Database::create().await;
    let on = start(&database.url, &[("PG_PROXY_PASSWORD", PASSWORD), ("PG_PROXY_PORT", "HTTP:1")]).await;
    let off = Database::create().await;
    let off = start(&off.url, &[("PG_PROXY_PASSWORD", PASSWORD)]).await;
    for path in ["/proxy", "//proxy"] {
        let answer = request(off.port, &upgrade(path)).await;
        let text = "Migrations proxy is not configured to accept WebSocket connections";
        assert_eq!((answer.code, answer.text().as_str()), (404, text));
        let answer = get(on.port, path).await;
        assert_eq!((answer.code, answer.text().as_str()), (400, "Bad request"));
    }
    assert_eq!(get(on.port, "//api///status").await.code, 200);
    assert_eq!(get(on.port, "//api/migrations?dialect=sqlite").await.code, 204);
    let mut socket =
        tokio_tungstenite::connect_async(format!("ws://127.0.0.1:{}/proxy", on.port)).await.unwrap().0;
    socket.send(Message::text("SELECT 1")).await.unwrap();
    let code = within(async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| u16::from(frame.code)),
                Some(Ok(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    });
    assert_eq!(code.await, Some(1003));
}

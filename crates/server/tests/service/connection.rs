//! Connections before and around authentication.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use protocol::Message;
use testkit::{
    Database, Satellite,
    satellite::{Closed, Incoming, Socket},
    unsigned_token,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::support::*;

/// A token for a user that expires at a moment.
fn expiring_token(user: &str, exp: u64) -> String {
    let part = |json: String| BASE64_URL_SAFE_NO_PAD.encode(json);
    format!(
        "{}.{}.",
        part(r#"{"alg":"none"}"#.to_owned()),
        part(format!(r#"{{"sub":"{user}","exp":{exp}}}"#))
    )
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("a clock").as_secs()
}

async fn closed(socket: &mut Socket) -> (Vec<Message>, Closed) {
    let mut messages = Vec::new();
    loop {
        match within(socket.receive()).await.expect("an answer") {
            Incoming::Message(message) => messages.push(message),
            Incoming::Closed(closed) => return (messages, closed),
        }
    }
}

fn is_auth_required(message: &Message, text: &str) -> bool {
    matches!(message, Message::Error(error) if error.error_type == 1 && error.message() == text)
}

#[tokio::test(flavor = "multi_thread")]
async fn text_and_garbage_close_with_their_codes() {
    let database = Database::create().await;
    let running = start(&database.url, &[]).await;
    let mut socket = Socket::connect(running.port).await.unwrap();
    socket.send_text("hello").await.unwrap();
    let (messages, end) = closed(&mut socket).await;
    assert_eq!((messages.len(), end.code), (0, Some(1003)));

    let mut socket = Socket::connect(running.port).await.unwrap();
    socket.send_bytes(Bytes::from_static(&[0xFF, 1, 2])).await.unwrap();
    let (messages, end) = closed(&mut socket).await;
    assert!(matches!(messages[..], [Message::Error(_)]), "{messages:?}");
    assert_eq!(end.code, Some(1007));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_message_before_authentication_is_dropped_and_answered() {
    let database = Database::create().await;
    let running = start(&database.url, &[]).await;
    let mut socket = Socket::connect(running.port).await.unwrap();
    // A peer that goes on sending: without somebody reading, its writes fail before it reads the answer.
    socket.send_bytes(vec![0x15; 8 << 20].into()).await.unwrap();
    let (messages, end) = closed(&mut socket).await;
    assert!(is_auth_required(&messages[0], "Invalid token"), "{messages:?}");
    assert_eq!(end.code, Some(1009));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_token_is_answered_and_closed() {
    let database = Database::create().await;
    let running = start(&database.url, &[]).await;
    for token in ["x", &expiring_token("1", now() - 100)] {
        let error = Satellite::sign_in(running.port, "c", token).await.err().expect("a refusal").to_string();
        assert!(!error.is_empty());
    }
    assert!(Satellite::sign_in(running.port, "c", &unsigned_token("1")).await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_expired_token_closes_the_connection_within_a_second() {
    let database = Database::create().await;
    let running = start(&database.url, &[("AUTH_JWT_LEEWAY", "0")]).await;
    let exp = now() + 2;
    let mut client = Satellite::open(running.port, "c", &expiring_token("1", exp)).await.unwrap();
    let (_, end) = within(client.closed()).await.unwrap();
    assert_eq!(end, Closed { code: Some(4000), reason: "JWT-expired".to_owned() });
    assert!(now() <= exp + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn expiry_ends_the_connection_of_a_client_that_does_not_read() {
    let (_database, postgres, running) = start_with_items().await;
    postgres
        .batch_execute("INSERT INTO items SELECT i, repeat('x', 1000) FROM generate_series(1, 40000) i")
        .await
        .unwrap();
    let exp = now() + 4;
    let token = expiring_token("1", exp);
    let mut witness = Satellite::open(running.port, "witness", &token).await.unwrap();
    let mut client = Satellite::open(running.port, "c", &token).await.unwrap();
    client.subscribe("00000000-0000-4000-8000-000000000001", &["items"]).await.unwrap();
    within(witness.closed()).await.unwrap();
    // Of some 40 MB not a byte is read until the service has hung up, which is when nothing more can be sent to it. What the
    // system had taken before is all that is left.
    within(async {
        while !get(running.port, "/api/status.json").await.text().contains(r#""clients":0"#) {}
        while client.socket().send_text("dropped unread: the token has expired").await.is_ok() {}
    })
    .await;
    assert!(now() <= exp + 2);
    let end = within(client.data_of("00000000-0000-4000-8000-000000000001")).await;
    assert!(end.is_err(), "the data was cut off");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_connection_of_a_client_wins_and_another_user_is_refused() {
    let database = Database::create().await;
    let running = start(&database.url, &[]).await;
    let mut old = Satellite::open(running.port, "device", &unsigned_token("alice")).await.unwrap();
    let mut new = Satellite::open(running.port, "device", &unsigned_token("alice")).await.unwrap();
    let (_, end) = within(old.closed()).await.unwrap();
    assert!(matches!(end.code, Some(1000 | 4001)), "{end:?}");
    let error = Satellite::sign_in(running.port, "device", &unsigned_token("mallory"))
        .await
        .err()
        .expect("a refusal");
    assert!(error.to_string().contains("AUTH") || error.to_string().contains("token"), "{error}");
    // The one that was there is untouched.
    new.unsubscribe(&["00000000-0000-4000-8000-000000000001"]).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_are_bounded_in_number_and_time() {
    let database = Database::create().await;
    let running = start(&database.url, &[("MAX_UNAUTHENTICATED", "2")]).await;
    let mut first = Socket::connect(running.port).await.unwrap();
    let _second = Socket::connect(running.port).await.unwrap();
    let error = Socket::connect(running.port).await.err().expect("a refusal");
    assert!(format!("{error:#}").contains("503"), "{error:#}");
    // Nobody authenticates: 1008 after ten seconds, without a message.
    let start = Instant::now();
    let (messages, end) = closed(&mut first).await;
    assert_eq!((messages.len(), end.code), (0, Some(1008)));
    assert!(start.elapsed() > Duration::from_secs(8));
    // Their places are free once the sockets are gone, and who signs in takes none.
    let mut signed_in = Vec::new();
    let everybody = async {
        while signed_in.len() < 3 {
            let name = format!("client {}", signed_in.len());
            signed_in.extend(Satellite::sign_in(running.port, &name, &unsigned_token("1")).await);
        }
    };
    within(everybody).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_failures_are_answered_later_but_never_keep_a_good_token_out() {
    let database = Database::create().await;
    let running = start(&database.url, &[("AUTH_FAILURE_BURST", "2"), ("AUTH_FAILURE_RATE", "1")]).await;
    let mut slowest = Duration::ZERO;
    for _ in 0..4 {
        let start = Instant::now();
        Satellite::sign_in(running.port, "c", "nonsense").await.err().expect("a refusal");
        slowest = slowest.max(start.elapsed());
    }
    assert!(slowest > Duration::from_millis(900), "{slowest:?}");
    assert!(slowest < Duration::from_secs(3), "{slowest:?}");
    let start = Instant::now();
    Satellite::sign_in(running.port, "c", &unsigned_token("1")).await.unwrap();
    assert!(start.elapsed() < Duration::from_millis(900));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_frame_closes_with_a_protocol_error() {
    let database = Database::create().await;
    let running = start(&database.url, &[]).await;
    let mut socket = tokio::net::TcpStream::connect(("127.0.0.1", running.port)).await.unwrap();
    // An unmasked frame in the same breath as the request.
    let head = "GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\
                Sec-WebSocket-Protocol: electric.0.12\r\n\r\n";
    socket.write_all(&[head.as_bytes(), &[0x82, 0x01, 0x00]].concat()).await.unwrap();
    let mut answer = Vec::new();
    within(socket.read_to_end(&mut answer)).await.unwrap();
    assert!(answer.ends_with(&[0x88, 0x02, 0x03, 0xEA]), "closed with 1002");
}

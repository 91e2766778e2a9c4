//! Bad input at every stage of a connection: a clear error and a close, and nothing happens to anybody else.

use bytes::Bytes;
use protocol::{ErrorCode, Message, wire::SatOpLogAck};
use testkit::{
    Satellite,
    satellite::{Incoming, Socket, unsigned_token},
};

use super::service::{ITEMS, Service, has, id};

/// Messages that no client sends; each is answered with an error, and the connection closed.
fn garbage() -> Vec<(&'static str, Bytes)> {
    vec![
        ("nothing", Bytes::new()),
        ("a reserved type", Bytes::from_static(&[1])),
        ("an unknown type", Bytes::from_static(&[255, 1, 2, 3])),
        ("a torn request", Bytes::from_static(&[21, 10, 200])),
        ("a torn op log", Bytes::from_static(&[9, 10, 255, 255, 255, 255, 15])),
        ("a torn relation", Bytes::from_static(&[10, 42, 5, 1])),
        ("noise", Bytes::from(vec![0xA5; 4096])),
    ]
}

/// The errors that were sent and the code of the close.
async fn end_of(socket: &mut Socket) -> (Vec<Message>, Option<u16>) {
    let mut errors = Vec::new();
    loop {
        match socket.receive().await.unwrap() {
            Incoming::Message(message @ Message::Error(_)) => errors.push(message),
            Incoming::Message(_) => {}
            Incoming::Closed(closed) => return (errors, closed.code),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_at_every_stage_ends_that_connection_only() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    let token = unsigned_token("alice");
    let mut bystander = Satellite::open(service.port, "bystander", &token).await.unwrap();
    bystander.subscribe("11111111-1111-4111-8111-111111111111", &["items"]).await.unwrap();
    for (what, bytes) in garbage() {
        for stage in ["before sign-in", "signed in", "streaming", "subscribed"] {
            let mut socket;
            let mut client;
            let socket = if stage == "before sign-in" {
                socket = Socket::connect(service.port).await.unwrap();
                &mut socket
            } else {
                client = Satellite::sign_in(service.port, "fuzzer", &token).await.unwrap();
                if stage != "signed in" {
                    client.start(&[]).await.unwrap();
                }
                if stage == "subscribed" {
                    client.subscribe("22222222-2222-4222-8222-222222222222", &["items"]).await.unwrap();
                }
                client.socket()
            };
            socket.send_bytes(bytes.clone()).await.unwrap();
            let (errors, code) = end_of(socket).await;
            assert_eq!((errors.len(), code), (1, Some(1007)), "{what}, {stage}");
        }
    }
    let mut socket = Socket::connect(service.port).await.unwrap();
    socket.send_text("hello").await.unwrap();
    assert_eq!(end_of(&mut socket).await.1, Some(1003));
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'still here', 1)", id(1))).await;
    let (_, ops) = bystander.next_transaction().await.unwrap();
    assert!(!ops.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_but_signing_in_is_heard_before_it() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    let ack = Message::OpLogAck(SatOpLogAck { transaction_id: 1, ..Default::default() });
    let mut socket = Socket::connect(service.port).await.unwrap();
    socket.send(&ack).await.unwrap();
    let (errors, code) = end_of(&mut socket).await;
    let [Message::Error(error)] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!((error.error_type(), code), (ErrorCode::AuthRequired, Some(1007)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_huge_message_before_sign_in_is_answered_though_it_never_ends() {
    let service = Service::insecure().await;
    let mut socket = Socket::connect(service.port).await.unwrap();
    // The peer may cut us off while we still send; the answer must have reached us all the same.
    let _ = socket.send_bytes(Bytes::from(vec![21; 8 << 20])).await;
    let (errors, code) = end_of(&mut socket).await;
    let [Message::Error(error)] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!((error.error_type(), code), (ErrorCode::AuthRequired, Some(1009)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_bad_value_is_named_and_loses_nothing_that_came_before() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    let mut client = Satellite::open(service.port, "writer", &unsigned_token("alice")).await.unwrap();
    client.announce(7, "items", &["id", "content", "rank"]).await.unwrap();
    let (one, two) = (id(1), id(2));
    let row = |id: &'static str| [Some(id.as_bytes()), Some(b"good".as_slice()), None];
    let (one, two): (&'static str, &'static str) = (one.leak(), two.leak());
    client.write(vec![Satellite::insert(7, &row(one), &[])]).await.unwrap();
    let bad = [Some(two.as_bytes()), Some(b"bad".as_slice()), Some(b"many".as_slice())];
    client.write(vec![Satellite::insert(7, &bad, &[])]).await.unwrap();
    let (errors, closed) = client.closed().await.unwrap();
    let [Message::Error(error)] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!(error.error_type(), ErrorCode::InvalidRequest);
    assert_eq!(error.message.as_deref(), Some("Non-integer value given for int4 column: many"));
    assert_eq!(closed.code, Some(1007));
    service.wait(&has(1, "good")).await;
}

//! Who is let in, and how (spec 04 §9.1, §9.2).

use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use postgres::url::Secret;
use proxy::Credentials;
use rustls_pki_types::{CertificateDer, ServerName, pem::PemObject as _};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_postgres::{NoTls, error::SqlState};

use crate::support::{Front, PASSWORD, Wishes, run, said, within};

fn md5() -> Wishes {
    Wishes {
        credentials: Credentials::md5(Secret::from(PASSWORD.to_owned())).expect("a password"),
        ..Wishes::default()
    }
}

#[tokio::test]
async fn the_password_lets_any_user_in() {
    let (_database, front) = Front::start().await;
    for user in ["postgres", "app", "nobody-knows-me", "transparent"] {
        let client = front.client(user).await;
        let row = client.query_one("SELECT current_user::text, current_database()::text", &[]).await.unwrap();
        assert_eq!(row.get::<_, &str>(0), "postgres");
        assert!(row.get::<_, &str>(1).starts_with("test_"));
    }
    assert_eq!(said(&front.run("psql", &["-XAtc", "SELECT 1"]).await), "1\n");
    assert_eq!(front.failures(), 0);
}

#[tokio::test]
async fn nothing_else_does() {
    let (database, scram) = Front::start().await;
    let md5 = Front::of(&database.url, md5()).await;
    for front in [scram, md5] {
        for password in ["", "Let me in", "let me in ", "let me i", PASSWORD.repeat(50).as_str()] {
            let error =
                front.config("me\"you").password(password).connect(NoTls).await.err().expect(password);
            if let Some(refusal) = error.as_db_error() {
                assert_eq!(refusal.code(), &SqlState::INVALID_PASSWORD);
                assert_eq!(refusal.message(), "Password authentication failed for user \"me\"you\"");
                assert_eq!(refusal.severity(), "FATAL");
            }
        }
        assert!(front.failures() >= 4);
        // The parameter that once opened the door.
        let mut socket = TcpStream::connect(front.address()).await.unwrap();
        socket.write_all(&startup(3 << 16, &[("user", "me"), ("password", PASSWORD)])).await.unwrap();
        let (tag, body) = message(&mut socket).await;
        assert_eq!(tag, b'R');
        assert_ne!(&body[..4], &[0; 4]);
    }
}

#[tokio::test]
async fn psql_is_told_that_the_password_is_wrong() {
    let (_database, front) = Front::start().await;
    let url = front.url("app").replace("let%20me%20in", "sesame");
    let output = run("psql", &url, &["-XAtc", "SELECT 1"]).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("FATAL:  Password authentication failed for user \"app\""), "{error}");
}

#[tokio::test]
async fn md5_is_for_tools_that_know_nothing_better() {
    let (database, _) = Front::start().await;
    let front = Front::of(&database.url, md5()).await;
    assert_eq!(front.client("app").await.query_one("SELECT 1", &[]).await.unwrap().get::<_, i32>(0), 1);
    assert_eq!(said(&front.run("psql", &["-XAtc", "SELECT 1"]).await), "1\n");
}

#[tokio::test]
async fn malformed_proofs_are_wrong_passwords() {
    let (_database, front) = Front::start().await;
    let attempts: [&[u8]; 7] = [
        b"p\0\0\0\x04",
        b"p\0\0\0\x09SCRAM",
        b"p\0\0\0\x1aSCRAM-SHA-256\0\xFF\xFF\xFF\xFFn,,n",
        b"p\0\0\0\x1bSCRAM-SHA-256\0\0\0\0\x05n,,n=",
        b"p\0\0\0\x17SCRAM-SHA-1\0\0\0\0\x03n,,",
        b"p\x7F\xFF\xFF\xFF",
        b"Q\0\0\0\x0eSELECT 1\0",
    ];
    for (count, attempt) in attempts.into_iter().enumerate() {
        let mut socket = TcpStream::connect(front.address()).await.unwrap();
        socket.write_all(&startup(3 << 16, &[("user", "me")])).await.unwrap();
        assert_eq!(message(&mut socket).await.0, b'R');
        socket.write_all(attempt).await.unwrap();
        let (tag, body) = message(&mut socket).await;
        assert_eq!(tag, b'E');
        assert!(body.windows(7).any(|part| part == b"C28P01\0"), "{attempt:?}");
        assert_eq!(front.failures(), count + 1);
        // And nothing more.
        assert_eq!(within(socket.read(&mut [0])).await.unwrap_or(0), 0);
    }
}

#[tokio::test]
async fn encryption_that_is_not_there_is_declined() {
    let (_database, front) = Front::start().await;
    let mut socket = TcpStream::connect(front.address()).await.unwrap();
    for request in [80_877_104_u32, 80_877_103] {
        socket.write_u32(8).await.unwrap();
        socket.write_u32(request).await.unwrap();
        assert_eq!(within(socket.read_u8()).await.unwrap(), b'N');
    }
    socket.write_all(&startup(3 << 16, &[("user", "me")])).await.unwrap();
    assert_eq!(message(&mut socket).await.0, b'R');
    for mode in ["disable", "allow", "prefer"] {
        let url = format!("{}?sslmode={mode}", front.url("app"));
        assert_eq!(said(&run("psql", &url, &["-XAtc", "SELECT 1"]).await), "1\n");
    }
    let url = format!("{}?sslmode=require", front.url("app"));
    let output = run("psql", &url, &["-XAtc", "SELECT 1"]).await;
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("server does not support SSL"), "{error}");
}

#[tokio::test]
async fn later_versions_of_the_protocol_are_talked_down() {
    let (_database, front) = Front::start().await;
    let mut socket = TcpStream::connect(front.address()).await.unwrap();
    let parameters = [("user", "me"), ("_pq_.wonder", "on"), ("application_name", "x")];
    socket.write_all(&startup(3 << 16 | 2, &parameters)).await.unwrap();
    let (tag, body) = message(&mut socket).await;
    assert_eq!((tag, &body[..]), (b'v', &b"\0\x03\0\0\0\0\0\x01_pq_.wonder\0"[..]));
    assert_eq!(message(&mut socket).await.0, b'R');

    for (version, pairs, code) in
        [(2 << 16, &[("user", "me")][..], b"C0A000\0"), (3 << 16, &[("database", "d")][..], b"C28000\0")]
    {
        let mut socket = TcpStream::connect(front.address()).await.unwrap();
        socket.write_all(&startup(version, pairs)).await.unwrap();
        let (tag, body) = message(&mut socket).await;
        assert_eq!(tag, b'E');
        assert!(body.windows(7).any(|part| part == code));
    }
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let (database, _) = Front::start().await;
    let wishes = Wishes { login_timeout: std::time::Duration::from_millis(50), ..Wishes::default() };
    let front = Front::of(&database.url, wishes).await;
    let mut silent = TcpStream::connect(front.address()).await.unwrap();
    assert_eq!(within(silent.read(&mut [0])).await.unwrap_or(0), 0);
    let mut half = TcpStream::connect(front.address()).await.unwrap();
    half.write_all(&startup(3 << 16, &[("user", "me")])).await.unwrap();
    let mut all = Vec::new();
    let _ = within(half.read_to_end(&mut all)).await;
    assert_eq!(all.first(), Some(&b'R'));
    // Garbage gets no answer at all.
    let mut garbage = TcpStream::connect(front.address()).await.unwrap();
    garbage.write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    assert_eq!(within(garbage.read(&mut [0])).await.unwrap_or(0), 0);
}

/// A start-up packet.
fn startup(version: u32, pairs: &[(&str, &str)]) -> Vec<u8> {
    let mut body = BytesMut::new();
    body.put_u32(version);
    for text in pairs.iter().flat_map(|(name, value)| [name, value]) {
        body.put_slice(text.as_bytes());
        body.put_u8(0);
    }
    body.put_u8(0);
    let mut packet = (body.len() as u32 + 4).to_be_bytes().to_vec();
    packet.extend_from_slice(&body);
    packet
}

/// The next message.
async fn message(socket: &mut TcpStream) -> (u8, Vec<u8>) {
    let read = async {
        let tag = socket.read_u8().await.expect("a message");
        let length = socket.read_u32().await.expect("its length");
        let mut body = vec![0; length as usize - 4];
        socket.read_exact(&mut body).await.expect("its body");
        (tag, body)
    };
    within(read).await
}

#[tokio::test]
async fn tls_at_once_has_to_say_what_for() {
    let (database, _) = Front::start().await;
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (directory.path().join("chain.pem"), directory.path().join("key.pem"));
    std::fs::write(&chain, testkit::CERTIFICATE).unwrap();
    std::fs::write(&key, testkit::CERTIFICATE_KEY).unwrap();
    let certificate = Some(proxy::Certificate::load(&chain, &key).unwrap());
    let front = Front::of(&database.url, Wishes { certificate, ..Wishes::default() }).await;
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(
        CertificateDer::pem_slice_iter(testkit::CERTIFICATE.as_bytes()).map(Result::unwrap),
    );
    for (protocols, expected) in [(&[&b"postgresql"[..]][..], Some(b'R')), (&[], None)] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.to_vec()).collect();
        let tcp = TcpStream::connect(front.address()).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut tls = tokio_rustls::TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
        // Who has not said what for is gone before it hears of this.
        let _ = tls.write_all(&startup(3 << 16, &[("user", "me")])).await;
        assert_eq!(within(tls.read_u8()).await.ok(), expected);
    }
    // What is sent in plain text behind the wish for TLS is not taken for something encrypted.
    let mut socket = TcpStream::connect(front.address()).await.unwrap();
    let mut early = [&8_u32.to_be_bytes()[..], &80_877_103_u32.to_be_bytes()].concat();
    early.extend(startup(3 << 16, &[("user", "me")]));
    socket.write_all(&early).await.unwrap();
    assert_eq!(within(socket.read_u8()).await.unwrap(), b'S');
    let mut rest = Vec::new();
    let _ = within(socket.read_to_end(&mut rest)).await;
    assert_ne!(rest.first(), Some(&b'R'));
}

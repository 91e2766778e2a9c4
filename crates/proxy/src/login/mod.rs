//! Finding out whether a client knows the password (spec 04 §9.2).

mod scram;

use std::{fmt, io};

use aws_lc_rs::constant_time;
use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use postgres::{socket::Socket, url::Secret};
use postgres_protocol::authentication::md5_hash;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::Frame;
use scram::{Binding, NotProven, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, Verifier};

/// Bytes of the longest message that a client may prove itself with.
const LONGEST: u32 = 2048;

/// AuthenticationOk, AuthenticationMD5Password, AuthenticationSASL, …SASLContinue, …SASLFinal.
const OK: u32 = 0;
const MD5: u32 = 5;
const SASL: u32 = 10;
const SASL_CONTINUE: u32 = 11;
const SASL_FINAL: u32 = 12;

/// The one password, and how it is asked for. Its `Debug` shows the latter only.
#[derive(Clone)]
pub struct Credentials(Method);

#[derive(Clone)]
enum Method {
    Scram(Verifier),
    Md5(Secret),
}

impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Method::Scram(_) => "Credentials(scram-sha-256)",
            Method::Md5(_) => "Credentials(md5)",
        })
    }
}

/// There is a password, but it is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("an empty password protects nothing")]
pub struct EmptyPassword;

impl Credentials {
    /// Asked for by SCRAM-SHA-256, which tells nobody what it is. Takes some milliseconds.
    ///
    /// # Errors
    /// [`EmptyPassword`].
    pub fn scram(password: &Secret) -> Result<Credentials, EmptyPassword> {
        let password = Some(password.expose()).filter(|text| !text.is_empty()).ok_or(EmptyPassword)?;
        Ok(Credentials(Method::Scram(Verifier::new(password))))
    }

    /// Asked for as an MD5 hash, for tools that know nothing better.
    ///
    /// # Errors
    /// [`EmptyPassword`].
    pub fn md5(password: Secret) -> Result<Credentials, EmptyPassword> {
        if password.expose().is_empty() {
            return Err(EmptyPassword);
        }
        Ok(Credentials(Method::Md5(password)))
    }
}

/// A client was not let in.
#[derive(Debug)]
pub enum NotLetIn {
    /// It does not know the password.
    Password,
    /// It went away while it was asked.
    Gone,
}

impl From<NotProven> for NotLetIn {
    fn from(_: NotProven) -> NotLetIn {
        NotLetIn::Password
    }
}

impl From<io::Error> for NotLetIn {
    fn from(_: io::Error) -> NotLetIn {
        NotLetIn::Gone
    }
}

/// Asks `client` for the password and tells it if it was right. `end_point` is what our certificate makes of SCRAM's
/// `tls-server-end-point`, on a TLS connection.
///
/// # Errors
/// [`NotLetIn`]; the client has not been told.
pub async fn authenticate(
    client: &mut Socket,
    user: &[u8],
    credentials: &Credentials,
    end_point: Option<&[u8]>,
) -> Result<(), NotLetIn> {
    let mut last = BytesMut::new();
    match &credentials.0 {
        Method::Md5(password) => by_md5(client, user, password).await?,
        Method::Scram(verifier) => {
            let proof = by_scram(client, verifier, end_point).await?;
            last.extend_from_slice(request(SASL_FINAL, proof.as_bytes()).wire());
        }
    }
    last.extend_from_slice(request(OK, &[]).wire());
    send(client, &last).await?;
    Ok(())
}

async fn by_md5(client: &mut Socket, user: &[u8], password: &Secret) -> Result<(), NotLetIn> {
    let salt = scram::random::<4>();
    send(client, request(MD5, &salt).wire()).await?;
    let answer = receive(client).await?;
    let expected = md5_hash(user, password.expose().as_bytes(), salt);
    let given = answer.strip_suffix(b"\0").ok_or(NotProven)?;
    constant_time::verify_slices_are_equal(given, expected.as_bytes()).map_err(|_| NotLetIn::Password)
}

/// The answer is the server's own proof.
async fn by_scram(
    client: &mut Socket,
    verifier: &Verifier,
    end_point: Option<&[u8]>,
) -> Result<String, NotLetIn> {
    let mut offer = BytesMut::new();
    for mechanism in end_point.map(|_| SCRAM_SHA_256_PLUS).into_iter().chain([SCRAM_SHA_256]) {
        offer.put_slice(mechanism.as_bytes());
        offer.put_u8(0);
    }
    offer.put_u8(0);
    send(client, request(SASL, &offer).wire()).await?;
    let answer = receive(client).await?;
    let (mechanism, first) = initial_response(answer).ok_or(NotProven)?;
    let binding = match (std::str::from_utf8(&mechanism), end_point) {
        (Ok(SCRAM_SHA_256), None) => Binding::Impossible,
        (Ok(SCRAM_SHA_256), Some(_)) => Binding::Offered,
        (Ok(SCRAM_SHA_256_PLUS), Some(end_point)) => Binding::Chosen(end_point),
        _ => return Err(NotLetIn::Password),
    };
    let exchange = verifier.begin(&first, binding)?;
    send(client, request(SASL_CONTINUE, exchange.challenge().as_bytes()).wire()).await?;
    let answer = receive(client).await?;
    Ok(exchange.finish(verifier, &answer)?)
}

/// The mechanism and the first message of a SASLInitialResponse.
fn initial_response(mut body: Bytes) -> Option<(Bytes, Bytes)> {
    let end = body.iter().position(|byte| *byte == 0)?;
    let mechanism = body.split_to(end);
    body.advance(1);
    let length = body.try_get_u32().ok()?;
    (usize::try_from(length).ok()? == body.len()).then_some((mechanism, body))
}

/// An authentication message of this kind.
fn request(kind: u32, content: &[u8]) -> Frame {
    let mut body = BytesMut::with_capacity(4 + content.len());
    body.put_u32(kind);
    body.put_slice(content);
    Frame::new(b'R', &body)
}

async fn send(client: &mut Socket, bytes: &[u8]) -> io::Result<()> {
    client.write_all(bytes).await?;
    client.flush().await
}

/// The body of the message that the client answers with.
async fn receive(client: &mut Socket) -> Result<Bytes, NotLetIn> {
    let tag = client.read_u8().await?;
    let length = client.read_u32().await?;
    if tag != b'p' || !(4..=LONGEST).contains(&length) {
        return Err(NotLetIn::Password);
    }
    let mut body = vec![0; length as usize - 4];
    client.read_exact(&mut body).await?;
    Ok(body.into())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_empty_password_is_none() {
        let empty = || Secret::from(String::new());
        assert!(Credentials::scram(&empty()).is_err() && Credentials::md5(empty()).is_err());
        let credentials = Credentials::md5(Secret::from("hidden".to_owned())).unwrap();
        assert_eq!(format!("{credentials:?}"), "Credentials(md5)");
    }

    proptest! {
        #[test]
        fn any_first_answer_is_judged(bytes: Vec<u8>) {
            let _ = initial_response(Bytes::from(bytes));
        }
    }
}

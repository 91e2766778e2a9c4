//! A connection from its first byte to the point where the client has shown that it knows the password.

use std::{io, net::IpAddr, time::Duration};

use bytes::Bytes;
use postgres::socket::Socket;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::{
    login::{self, Credentials, NotLetIn},
    refusal::Refusal,
    startup::{self, CancelKey, Packet, Startup},
    tls::Certificate,
};

/// The first byte of TLS.
const HANDSHAKE: u8 = 0x16;

/// What is done about somebody who fails to log in.
pub trait Strangers: Send + Sync {
    /// Takes note of a failed attempt. The answer to it is held back for as long as this says.
    fn failed(&self, peer: IpAddr) -> Duration;
}

/// What a connection turned out to be.
pub enum Greeting {
    /// A client that may have a session.
    Guest(Socket, Startup),
    /// A cancel request, whose sender waits for the connection to be closed.
    Cancel(Socket, CancelKey),
    /// Nothing: it is gone, or has been told why not.
    Nothing,
}

/// What a greeting needs to know.
pub struct Porter<'a> {
    /// TLS, if there is any.
    pub certificate: Option<&'a Certificate>,
    /// The password.
    pub credentials: &'a Credentials,
    /// Who is told of failures.
    pub strangers: &'a dyn Strangers,
    /// Who is at the other end.
    pub peer: IpAddr,
}

impl Porter<'_> {
    /// Finds out what a connection is for, and if it is for a session, who may have one.
    ///
    /// # Errors
    /// The connection's.
    pub async fn greet(&self, tcp: TcpStream) -> io::Result<Greeting> {
        let (mut socket, packet) = match self.open(tcp).await? {
            (socket, Ok(packet)) => (socket, packet),
            (mut socket, Err(refusal)) => {
                part(&mut socket, &refusal).await?;
                return Ok(Greeting::Nothing);
            }
        };
        let startup = match packet {
            Packet::Startup(startup) => startup,
            Packet::Cancel(key) => return Ok(Greeting::Cancel(socket, key)),
            Packet::Ssl | Packet::GssEnc => return Ok(Greeting::Nothing),
        };
        if let Some(negotiation) = startup.negotiation() {
            socket.write_all(negotiation.wire()).await?;
        }
        let end_point = self.certificate.filter(|_| socket.is_encrypted()).and_then(Certificate::end_point);
        match login::authenticate(&mut socket, &startup.user, self.credentials, end_point).await {
            Ok(()) => Ok(Greeting::Guest(socket, startup)),
            Err(NotLetIn::Gone) => Ok(Greeting::Nothing),
            Err(NotLetIn::Password) => {
                tokio::time::sleep(self.strangers.failed(self.peer)).await;
                part(&mut socket, &Refusal::password(&startup.user)).await?;
                Ok(Greeting::Nothing)
            }
        }
    }

    /// Answers requests for encryption, each once, up to the packet that says what the connection is for.
    async fn open(&self, tcp: TcpStream) -> io::Result<(Socket, Result<Packet, Refusal>)> {
        let mut first = [0];
        let mut socket = match self.certificate {
            Some(certificate) if tcp.peek(&mut first).await? == 1 && first == [HANDSHAKE] => {
                certificate.accept(tcp, true).await?
            }
            _ => Socket::Plain(tcp),
        };
        let (mut tls_asked, mut gss_asked) = (socket.is_encrypted(), false);
        loop {
            let bytes = read_packet(&mut socket).await?;
            match Packet::parse(&bytes) {
                Ok(Packet::Ssl) if !tls_asked => {
                    tls_asked = true;
                    socket = match (socket, self.certificate) {
                        (Socket::Plain(mut tcp), Some(certificate)) => {
                            // Read byte by byte up to here, so nothing that was sent in plain text can be taken for encrypted.
                            tcp.write_all(b"S").await?;
                            certificate.accept(tcp, false).await?
                        }
                        (mut socket, _) => {
                            socket.write_all(b"N").await?;
                            socket.flush().await?;
                            socket
                        }
                    };
                }
                Ok(Packet::GssEnc) if !gss_asked => {
                    gss_asked = true;
                    socket.write_all(b"N").await?;
                    socket.flush().await?;
                }
                Ok(Packet::Ssl | Packet::GssEnc) => {
                    let refusal = Refusal::new("08P01", "encryption has been asked for before");
                    return Ok((socket, Err(refusal)));
                }
                other => return Ok((socket, other)),
            }
        }
    }
}

/// A packet without its length.
async fn read_packet(socket: &mut Socket) -> io::Result<Bytes> {
    let mut prefix = [0; 4];
    socket.read_exact(&mut prefix).await?;
    let length = startup::length(prefix)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "an impossible start-up packet"))?;
    let mut body = vec![0; length.saturating_sub(prefix.len())];
    socket.read_exact(&mut body).await?;
    Ok(body.into())
}

/// Last words to a client that gets no session.
///
/// # Errors
/// The connection's.
pub async fn part(socket: &mut Socket, words: &Refusal) -> io::Result<()> {
    socket.write_all(words.frame().wire()).await?;
    socket.shutdown().await
}

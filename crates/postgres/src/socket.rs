//! A TCP connection, encrypted as agreed: the part that all connections share.

use std::{
    collections::VecDeque,
    io,
    net::SocketAddr,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::BytesMut;
use postgres_protocol::message::frontend;
use rustls_pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{TlsConnector, TlsStream};

use crate::{
    connection::{ConnectConfig, ConnectError},
    tls::{TlsPolicy, end_point},
};

/// How long a peer may stay silent to the kernel before the connection counts as broken (spec 07 §0: within 10 s).
const SILENCE: Duration = Duration::from_secs(9);

/// A connection before the Postgres protocol begins on it. We may be at either end.
#[derive(Debug)]
pub enum Socket {
    /// Not encrypted.
    Plain(TcpStream),
    /// Encrypted.
    Tls(Box<TlsStream<TcpStream>>),
}

impl Socket {
    /// Whether it is encrypted.
    #[must_use]
    pub fn is_encrypted(&self) -> bool {
        matches!(self, Socket::Tls(_))
    }

    /// The address at the other end.
    ///
    /// # Errors
    /// The system's, if it has forgotten.
    pub fn peer(&self) -> io::Result<SocketAddr> {
        match self {
            Socket::Plain(stream) => stream.peer_addr(),
            Socket::Tls(stream) => stream.get_ref().0.peer_addr(),
        }
    }

    /// What SCRAM's `tls-server-end-point` is made of as the client sees it, if there is such a thing here.
    #[must_use]
    pub fn end_point(&self) -> Option<Vec<u8>> {
        let Socket::Tls(stream) = self else { return None };
        let (_, session) = stream.get_ref();
        end_point(session.peer_certificates()?.first()?)
    }
}

/// The addresses of a host, each to be tried until one will do.
pub struct Dialer<'a> {
    config: &'a ConnectConfig,
    addresses: VecDeque<SocketAddr>,
    last: Option<ConnectError>,
}

impl Dialer<'_> {
    /// Looks up the host, afresh each time: after a failover the name leads elsewhere. Addresses of the family that was
    /// asked for come first.
    ///
    /// # Errors
    /// [`ConnectError::Resolve`].
    pub async fn resolve(config: &ConnectConfig) -> Result<Dialer<'_>, ConnectError> {
        let failed = |reason: String| ConnectError::Resolve { host: config.host.clone(), reason };
        let lookup = tokio::net::lookup_host((config.host.as_str(), config.port));
        let found = timeout(config.connect_timeout, lookup)
            .await
            .map_err(|_| failed("no answer in time".to_owned()))?
            .map_err(|error| failed(error.to_string()))?;
        let mut addresses: Vec<SocketAddr> = found.collect();
        addresses.sort_by_key(|address| address.is_ipv6() != config.prefer_ipv6);
        if addresses.is_empty() {
            return Err(failed("the name has no addresses".to_owned()));
        }
        Ok(Dialer { config, addresses: addresses.into(), last: None })
    }

    /// One address that is known already.
    #[must_use]
    pub fn at(config: &ConnectConfig, address: SocketAddr) -> Dialer<'_> {
        Dialer { config, addresses: VecDeque::from([address]), last: None }
    }

    /// Whether there are addresses left to try.
    #[must_use]
    pub fn has_more(&self) -> bool {
        !self.addresses.is_empty()
    }

    /// A socket to the next address that accepts one.
    ///
    /// # Errors
    /// The last address' failure, when none is left.
    pub async fn next(&mut self) -> Result<Socket, ConnectError> {
        while let Some(address) = self.addresses.pop_front() {
            let attempt = timeout(self.config.connect_timeout, open(self.config, address)).await;
            match attempt.unwrap_or_else(|_| Err(ConnectError::TimedOut { host: self.config.host.clone() })) {
                Ok(socket) => return Ok(socket),
                Err(error) => self.last = Some(error),
            }
        }
        Err(self.last.take().unwrap_or(ConnectError::TimedOut { host: self.config.host.clone() }))
    }
}

/// Opens one address by the rules for TLS.
async fn open(config: &ConnectConfig, address: SocketAddr) -> Result<Socket, ConnectError> {
    let tcp = open_tcp(address).await?;
    if config.tls.policy == TlsPolicy::Disabled {
        return Ok(Socket::Plain(tcp));
    }
    match encrypt(config, tcp).await {
        Err(ConnectError::TlsHandshake { reason, .. }) if config.tls.policy == TlsPolicy::Opportunistic => {
            tracing::warn!(
                reason,
                "Falling back to trying an unencrypted connection to Postgres, since DATABASE_REQUIRE_SSL=false."
            );
            Ok(Socket::Plain(open_tcp(address).await?))
        }
        other => other,
    }
}

/// Opens a TCP connection on which a vanished peer is noticed.
async fn open_tcp(address: SocketAddr) -> Result<TcpStream, ConnectError> {
    let failed = |source: io::Error| ConnectError::Unreachable { address, source };
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    let socket = SockRef::from(&stream);
    let keepalive =
        TcpKeepalive::new().with_time(Duration::from_secs(3)).with_interval(Duration::from_secs(2));
    #[cfg(not(target_os = "openbsd"))]
    let keepalive = keepalive.with_retries(3);
    socket.set_tcp_keepalive(&keepalive).map_err(failed)?;
    #[cfg(target_os = "linux")]
    socket.set_tcp_user_timeout(Some(SILENCE)).map_err(failed)?;
    Ok(stream)
}

async fn encrypt(config: &ConnectConfig, mut tcp: TcpStream) -> Result<Socket, ConnectError> {
    let lost = |source| ConnectError::Lost { source };
    let mut request = BytesMut::new();
    frontend::ssl_request(&mut request);
    tcp.write_all(&request).await.map_err(lost)?;
    // Exactly one byte: anything more before the handshake would be someone else's (CVE-2021-23222).
    if tcp.read_u8().await.map_err(lost)? != b'S' {
        return match config.tls.policy {
            TlsPolicy::Required => Err(ConnectError::TlsRefused),
            _ => Ok(Socket::Plain(tcp)),
        };
    }
    let failed = |reason: String| ConnectError::TlsHandshake { host: config.host.clone(), reason };
    let name = ServerName::try_from(config.host.clone()).map_err(|error| failed(error.to_string()))?;
    let connector = TlsConnector::from(config.tls.client()?);
    let stream = connector.connect(name, tcp).await.map_err(|error| failed(error.to_string()))?;
    Ok(Socket::Tls(Box::new(stream.into())))
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write(cx, buf),
            Socket::Tls(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
            Socket::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, bufs),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Socket::Plain(stream) => stream.is_write_vectored(),
            Socket::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Socket::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Socket::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

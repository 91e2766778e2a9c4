//! The WebSocket under a scripted client.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use protocol::Message;
use tokio::net::TcpStream;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        self,
        client::IntoClientRequest,
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::WebSocketConfig,
    },
};

/// How long a test waits for the service before it gives up.
const PATIENCE: Duration = Duration::from_secs(20);

/// The sub-protocol that the real client of version 0.12.1 offers.
const SUBPROTOCOL: &str = "electric.0.12";

/// How a connection ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Closed {
    /// The close code; `None` if the peer sent none, or just went away.
    pub code: Option<u16>,
    /// The reason text.
    pub reason: String,
}

/// What came from the service.
#[derive(Clone, Debug, PartialEq)]
pub enum Incoming {
    /// A message.
    Message(Message),
    /// The end.
    Closed(Closed),
}

/// An open WebSocket with the protocol's framing.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
}

impl Socket {
    /// Connects to a service on loopback and shakes hands as the real client does.
    ///
    /// # Errors
    /// If nothing listens there or the handshake is refused; the HTTP status is in the text.
    pub async fn connect(port: u16) -> Result<Socket> {
        let tcp = TcpStream::connect(("127.0.0.1", port)).await.context("connecting")?;
        tcp.set_nodelay(true)?;
        let mut request = format!("ws://127.0.0.1:{port}/ws").into_client_request()?;
        request.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(SUBPROTOCOL));
        // Small buffers: a bench holds thousands of these.
        let config = WebSocketConfig::default()
            .read_buffer_size(8 << 10)
            .write_buffer_size(8 << 10)
            .max_message_size(Some(100 << 20))
            .max_frame_size(Some(100 << 20));
        let shake = tokio_tungstenite::client_async_with_config(request, tcp, Some(config));
        let (stream, _) =
            tokio::time::timeout(PATIENCE, shake).await.context("no answer to the handshake")??;
        Ok(Socket { stream })
    }

    /// Sends a message.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send(&mut self, message: &Message) -> Result<()> {
        self.send_bytes(message.encode()).await
    }

    /// Sends any bytes as one binary message.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send_bytes(&mut self, bytes: Bytes) -> Result<()> {
        Ok(self.stream.send(tungstenite::Message::Binary(bytes)).await?)
    }

    /// Sends a text message, which the protocol does not have.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn send_text(&mut self, text: &str) -> Result<()> {
        Ok(self.stream.send(tungstenite::Message::text(text)).await?)
    }

    /// Queues bytes without waiting for the socket; [`Socket::flush`] sends what is queued.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn feed(&mut self, bytes: Bytes) -> Result<()> {
        Ok(self.stream.feed(tungstenite::Message::Binary(bytes)).await?)
    }

    /// Sends what is queued.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn flush(&mut self) -> Result<()> {
        Ok(self.stream.flush().await?)
    }

    /// The next message or the end.
    ///
    /// # Errors
    /// If nothing comes for twenty seconds, or something that is no message.
    pub async fn receive(&mut self) -> Result<Incoming> {
        tokio::time::timeout(PATIENCE, self.receive_patiently()).await.context("nothing came for 20 s")?
    }

    /// Like [`Socket::receive`], without an end to its patience.
    ///
    /// # Errors
    /// If something comes that is no message.
    pub async fn receive_patiently(&mut self) -> Result<Incoming> {
        loop {
            let closed = match self.stream.next().await {
                Some(Ok(tungstenite::Message::Binary(bytes))) => {
                    return Ok(Incoming::Message(Message::decode(bytes)?));
                }
                Some(Ok(tungstenite::Message::Ping(_) | tungstenite::Message::Pong(_))) => continue,
                Some(Ok(tungstenite::Message::Close(frame))) => {
                    frame.map_or(Closed { code: None, reason: String::new() }, |frame| Closed {
                        code: Some(frame.code.into()),
                        reason: frame.reason.to_string(),
                    })
                }
                Some(Ok(other)) => bail!("the service sent {other:?}"),
                Some(Err(_)) | None => Closed { code: None, reason: String::new() },
            };
            return Ok(Incoming::Closed(closed));
        }
    }

    /// Closes without a code, as the real client does.
    pub async fn close(mut self) {
        // The service may have closed first.
        let _ = self.stream.close(None).await;
    }
}

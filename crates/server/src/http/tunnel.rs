//! The migrations proxy through a WebSocket (spec 04 §9.8): what a client sends in binary frames are the bytes of a connection
//! to the proxy, and the other way round.

use std::{io, time::Duration};

use bytes::BytesMut;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    time::timeout,
};

use crate::websocket::{CloseCode, Decoder, Event, Outbox};

/// Bytes that are read at once, and about as many wait in each direction.
const CHUNK: usize = 64 * 1024;

/// Longest message that is taken; the CLI's are as long as what it read from its socket at once.
const LONGEST: usize = 4 << 20;

/// How long a peer may take to answer a close frame.
const FAREWELL: Duration = Duration::from_secs(2);

/// A tunnel between a WebSocket and the proxy.
pub struct Tunnel {
    socket: TcpStream,
    /// Bytes that came with the upgrade request.
    early: BytesMut,
    proxy: TcpStream,
}

/// The client's end of it.
struct Peer {
    decoder: Decoder,
    outbox: Outbox,
    /// Laid out, but not yet written.
    laid_out: Vec<u8>,
    /// For the proxy.
    inward: BytesMut,
    /// A close frame has come, or the connection is to be failed.
    over: bool,
}

impl Tunnel {
    /// Between `socket`, on which a WebSocket has been agreed upon, and a connection to the proxy.
    #[must_use]
    pub fn new(socket: TcpStream, early: BytesMut, proxy: TcpStream) -> Tunnel {
        Tunnel { socket, early, proxy }
    }

    /// Carries bytes both ways until either side closes, and closes the other. Each direction waits for its target alone.
    ///
    /// # Errors
    /// Whichever connection broke.
    pub async fn run(self) -> io::Result<()> {
        self.socket.set_nodelay(true)?;
        let (mut from_client, mut to_client) = self.socket.into_split();
        let (mut from_proxy, mut to_proxy) = self.proxy.into_split();
        let mut peer = Peer {
            decoder: Decoder::new(LONGEST),
            outbox: Outbox::default(),
            laid_out: Vec::new(),
            inward: BytesMut::new(),
            over: false,
        };
        peer.receive(&self.early);
        let (mut input, mut outward) = (BytesMut::with_capacity(CHUNK), BytesMut::new());
        while !peer.over {
            outward.reserve(CHUNK);
            peer.lay_out();
            tokio::select! {
                read = from_client.read_buf(&mut input), if peer.wants_more() => {
                    if read? == 0 {
                        break;
                    }
                    peer.receive(&input);
                    input.clear();
                }
                written = to_proxy.write_buf(&mut peer.inward), if !peer.inward.is_empty() => {
                    written?;
                }
                read = from_proxy.read_buf(&mut outward), if peer.laid_out.is_empty() => {
                    if read? == 0 {
                        peer.outbox.close(CloseCode::Normal.into(), "");
                        break;
                    }
                    peer.outbox.binary(outward.split().freeze());
                }
                written = to_client.write(&peer.laid_out), if !peer.laid_out.is_empty() => {
                    peer.wrote(written?);
                }
            }
        }
        // What the client sent before it closed, such as the end of its session, is for the proxy.
        let _ = timeout(FAREWELL, peer.hand_in(&mut to_proxy)).await;
        drop((to_proxy, from_proxy));
        let _ = timeout(FAREWELL, peer.part(&mut from_client, &mut to_client)).await;
        Ok(())
    }
}

impl Peer {
    /// Takes in what the client sent.
    fn receive(&mut self, mut bytes: &[u8]) {
        while !self.over {
            match self.decoder.next(&mut bytes) {
                Ok(None) => return,
                Ok(Some(Event::Binary(message))) => self.inward.extend_from_slice(&message),
                Ok(Some(Event::Ping(payload))) => self.outbox.pong(payload),
                Ok(Some(Event::Pong(_))) => {}
                Ok(Some(Event::Close(code))) => {
                    self.outbox.close(code.unwrap_or(CloseCode::Normal.into()), "");
                    self.over = true;
                }
                Ok(Some(Event::Text)) => self.fail(CloseCode::Unsupported),
                Ok(Some(Event::Oversized)) => self.fail(CloseCode::Size),
                Err(_) => self.fail(CloseCode::Protocol),
            }
        }
    }

    /// Whether what was received has been passed on, and answers to it have been written.
    fn wants_more(&self) -> bool {
        self.inward.is_empty() && self.outbox.queued() < 2 * CHUNK
    }

    fn fail(&mut self, code: CloseCode) {
        self.outbox.close(code.into(), "");
        self.over = true;
    }

    /// Lays out what is to be written next.
    fn lay_out(&mut self) {
        if self.laid_out.is_empty() && !self.outbox.is_empty() {
            self.laid_out.resize(CHUNK + 64, 0);
            let filled = self.outbox.fill(&mut self.laid_out);
            self.laid_out.truncate(filled);
        }
    }

    fn wrote(&mut self, written: usize) {
        self.outbox.advance(written);
        self.laid_out.clear();
    }

    async fn hand_in(&mut self, to_proxy: &mut OwnedWriteHalf) -> io::Result<()> {
        while !self.inward.is_empty() {
            to_proxy.write_buf(&mut self.inward).await?;
        }
        to_proxy.shutdown().await
    }

    /// Writes what is left, the close frame last, and waits for the client to close the connection.
    async fn part(&mut self, from: &mut OwnedReadHalf, to: &mut OwnedWriteHalf) -> io::Result<()> {
        loop {
            self.lay_out();
            if self.laid_out.is_empty() {
                break;
            }
            let written = to.write(&self.laid_out).await?;
            self.wrote(written);
        }
        to.shutdown().await?;
        let mut rest = vec![0; CHUNK];
        while from.read(&mut rest).await? > 0 {}
        Ok(())
    }
}

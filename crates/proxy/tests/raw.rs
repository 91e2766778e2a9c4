//! A client at the level of messages: it says exactly what a test wants, to Postgres or to the proxy.

use bytes::{Buf as _, BufMut as _, BytesMut};
use postgres::{
    connection::ConnectConfig,
    socket::Socket,
    wire::{Login, Wire},
};
use proxy::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, ReadHalf, WriteHalf};

use crate::support::within;

/// A connection that has logged in.
pub struct Raw {
    pub read: ReadHalf<Socket>,
    pub write: WriteHalf<Socket>,
    pub input: BytesMut,
    /// What was said up to the first ReadyForQuery.
    pub greeting: Vec<Frame>,
}

impl Raw {
    /// Connects with a connection string, without TLS.
    pub async fn connect(url: &str) -> Raw {
        let (config, _) = ConnectConfig::parse(url, Some(false), None).expect("a connection string");
        let parameters: &[(&[u8], &[u8])] = &[(b"application_name", b"raw")];
        let wire = Wire::admit(&config, Login { parameters, cleartext: false }).await.expect("a session");
        let (socket, input) = wire.into_parts();
        let (read, write) = tokio::io::split(socket);
        let mut raw = Raw { read, write, input, greeting: Vec::new() };
        loop {
            let frame = raw.next().await.expect("a greeting");
            let tag = frame.tag();
            raw.greeting.push(frame);
            if tag == b'Z' {
                return raw;
            }
        }
    }

    /// Sends messages.
    pub async fn send(&mut self, messages: &[Frame]) {
        for message in messages {
            self.write.write_all(message.wire()).await.expect("to be heard");
        }
    }

    /// The next message; `None` when the connection ends.
    pub async fn next(&mut self) -> Option<Frame> {
        loop {
            if let Some(frame) = take(&mut self.input) {
                return Some(frame);
            }
            match within(self.read.read_buf(&mut self.input)).await {
                Ok(1..) => {}
                _ => return None,
            }
        }
    }

    /// Messages up to and with the next ReadyForQuery, or the end.
    pub async fn answers(&mut self) -> Vec<Frame> {
        let mut all = Vec::new();
        while let Some(frame) = self.next().await {
            let tag = frame.tag();
            all.push(frame);
            if tag == b'Z' {
                break;
            }
        }
        all
    }

    /// The server process of the session.
    pub fn process(&self) -> i32 {
        let key = self.greeting.iter().find(|frame| frame.tag() == b'K').expect("a key");
        key.body().get_i32()
    }
}

/// The first message of `input`, if it is whole.
fn take(input: &mut BytesMut) -> Option<Frame> {
    let length = input.get(1..5)?.get_u32() as usize + 1;
    (input.len() >= length).then(|| Frame::from_wire(input.split_to(length).freeze()).expect("a message"))
}

/// Query.
pub fn query(sql: &str) -> Frame {
    Frame::new(b'Q', &text(sql))
}

/// Parse, without types.
pub fn parse(name: &str, sql: &str) -> Frame {
    Frame::new(b'P', &[text(name), text(sql), vec![0, 0]].concat())
}

/// Bind, with parameters as text, and results as text or binary.
pub fn bind(portal: &str, name: &str, parameters: &[Option<&str>], binary: bool) -> Frame {
    let mut body = BytesMut::new();
    body.put_slice(&text(portal));
    body.put_slice(&text(name));
    body.put_u16(0);
    body.put_u16(parameters.len() as u16);
    for parameter in parameters {
        match parameter {
            None => body.put_i32(-1),
            Some(value) => {
                body.put_i32(value.len() as i32);
                body.put_slice(value.as_bytes());
            }
        }
    }
    body.put_u16(1);
    body.put_u16(u16::from(binary));
    Frame::new(b'B', &body)
}

/// Describe (`D`) or Close (`C`) of a statement (`S`) or portal (`P`).
pub fn about(tag: u8, kind: u8, name: &str) -> Frame {
    Frame::new(tag, &[vec![kind], text(name)].concat())
}

/// Execute, with a limit on rows.
pub fn execute(portal: &str, limit: u32) -> Frame {
    Frame::new(b'E', &[text(portal), limit.to_be_bytes().to_vec()].concat())
}

/// A message without a body, such as Sync, Flush, CopyDone and Terminate.
pub fn bare(tag: u8) -> Frame {
    Frame::new(tag, &[])
}

/// A text with its zero byte.
pub fn text(text: &str) -> Vec<u8> {
    [text.as_bytes(), b"\0"].concat()
}

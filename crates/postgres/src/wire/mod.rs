//! One connection at the level of messages, after logging in: for what the query driver can't do.

mod login;

use std::{fmt, io};

use bytes::{Buf, Bytes, BytesMut};
use postgres_protocol::message::{backend, frontend};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::timeout,
};

use crate::{
    connection::{ConnectConfig, ConnectError, Purpose, SESSION_SETTINGS},
    socket::Socket,
};

pub use login::{LARGEST_STARTUP, Login, LoginError};

/// No message of Postgres' is larger: a value is limited to 1 GiB, and rows are sent as one message.
const LARGEST_MESSAGE: usize = 0x7FFF_FFFF;

/// How much is read at once where possible.
const READ_SIZE: usize = 128 * 1024;

/// A connection that has logged in.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    input: BytesMut,
    output: BytesMut,
    process_id: i32,
}

/// A message from the server.
#[derive(Clone)]
pub struct Frame {
    /// Its kind.
    pub tag: u8,
    /// What follows the length.
    pub body: Bytes,
}

impl fmt::Debug for Frame {
    /// The body may hold anybody's values.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Frame({:?}, {} bytes)", char::from(self.tag), self.body.len())
    }
}

/// What Postgres says when it refuses something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} (SQLSTATE {code})")]
pub struct ServerError {
    /// The SQLSTATE.
    pub code: String,
    /// The primary message.
    pub message: String,
}

/// A connection at message level failed.
#[derive(Debug, thiserror::Error)]
pub enum WireError {
    /// It broke.
    #[error("the connection to Postgres broke: {0}")]
    Broken(#[from] io::Error),
    /// Postgres refused.
    #[error(transparent)]
    Server(#[from] ServerError),
    /// The peer does not speak the protocol as it should.
    #[error("Postgres broke the protocol: {0}")]
    Protocol(&'static str),
}

impl WireError {
    /// The SQLSTATE, if Postgres itself answered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            WireError::Server(error) => Some(&error.code),
            _ => None,
        }
    }
}

impl Wire {
    /// Connects and logs in, with the session settings and `parameters` in force.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub async fn log_in(
        config: &ConnectConfig,
        purpose: Purpose,
        parameters: &[(&str, &str)],
    ) -> Result<Wire, ConnectError> {
        let name = config.application_name(purpose);
        let own = [("application_name", name.as_str()), ("client_encoding", "UTF8")];
        let all = own.into_iter().chain(SESSION_SETTINGS).chain(parameters.iter().copied());
        let all: Vec<_> = all.map(|(name, value)| (name.as_bytes(), value.as_bytes())).collect();
        let mut wire = Wire::admit(config, Login { parameters: &all, cleartext: true }).await?;
        match timeout(config.connect_timeout, wire.begin()).await {
            Err(_) => Err(ConnectError::TimedOut { host: config.host.clone() }),
            Ok(Ok(())) => Ok(wire),
            Ok(Err(WireError::Server(ServerError { code, message }))) => {
                Err(ConnectError::Refused { code, message, encrypted: wire.socket.is_encrypted() })
            }
            Ok(Err(error)) => Err(LoginError::from(error).into()),
        }
    }

    /// Reads on until the session is ready.
    async fn begin(&mut self) -> Result<(), WireError> {
        loop {
            let frame = self.receive().await?;
            match frame.tag {
                backend::READY_FOR_QUERY_TAG => return Ok(()),
                backend::BACKEND_KEY_DATA_TAG if frame.body.len() >= 8 => {
                    self.process_id = frame.body.clone().get_i32();
                }
                _ => {}
            }
        }
    }

    /// The socket, and what has been received on it but not taken.
    #[must_use]
    pub fn into_parts(self) -> (Socket, BytesMut) {
        (self.socket, self.input)
    }

    /// The id of the server process, as `pg_stat_activity` shows it.
    #[must_use]
    pub fn process_id(&self) -> i32 {
        self.process_id
    }

    /// Sends whole messages. They are sent all the same, with the next, if the future is dropped.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn send(&mut self, messages: &[u8]) -> io::Result<()> {
        self.output.extend_from_slice(messages);
        while !self.output.is_empty() {
            self.socket.write_buf(&mut self.output).await?;
        }
        self.socket.flush().await
    }

    /// The next message that has been received already, as it came; nothing is copied.
    ///
    /// # Errors
    /// [`WireError::Protocol`] for an impossible length.
    pub fn buffered(&mut self) -> Result<Option<Frame>, WireError> {
        let Some([tag, a, b, c, d]) = self.input.first_chunk::<5>() else { return Ok(None) };
        let (tag, length) = (*tag, u32::from_be_bytes([*a, *b, *c, *d]) as usize);
        if !(4..=LARGEST_MESSAGE).contains(&length) {
            return Err(WireError::Protocol("a message has an impossible length"));
        }
        if self.input.len() <= length {
            return Ok(None);
        }
        let mut body = self.input.split_to(length + 1).freeze();
        body.advance(5);
        Ok(Some(Frame { tag, body }))
    }

    /// Waits for more bytes from the server. Nothing is lost if the future is dropped.
    ///
    /// # Errors
    /// If the connection breaks.
    pub async fn fill(&mut self) -> io::Result<()> {
        // Room for the whole of a large message at once, and for many small ones.
        let wanted = match self.input.first_chunk::<5>() {
            Some([_, a, b, c, d]) => (u32::from_be_bytes([*a, *b, *c, *d]) as usize).min(LARGEST_MESSAGE) + 1,
            None => 0,
        };
        let missing = wanted.saturating_sub(self.input.len()).min(64 << 20);
        if self.input.capacity() - self.input.len() < missing.max(READ_SIZE / 8) {
            self.input.reserve(missing.max(READ_SIZE));
        }
        match self.socket.read_buf(&mut self.input).await? {
            0 => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "Postgres closed it")),
            _ => Ok(()),
        }
    }

    /// The next message that is not a notice or a setting. An error of the server's is an error here.
    ///
    /// # Errors
    /// [`WireError`].
    pub async fn receive(&mut self) -> Result<Frame, WireError> {
        loop {
            match self.buffered()? {
                Some(frame) => match frame.tag {
                    backend::ERROR_RESPONSE_TAG => return Err(frame.server_error().into()),
                    backend::NOTICE_RESPONSE_TAG
                    | backend::PARAMETER_STATUS_TAG
                    | backend::NOTIFICATION_RESPONSE_TAG => {}
                    _ => return Ok(frame),
                },
                None => self.fill().await?,
            }
        }
    }

    /// Runs one statement and returns its rows as text.
    ///
    /// # Errors
    /// [`WireError`]; after [`WireError::Server`] the connection can be used again.
    pub async fn query(&mut self, sql: &str) -> Result<Vec<Vec<Option<String>>>, WireError> {
        let mut message = BytesMut::new();
        frontend::query(sql, &mut message)?;
        self.send(&message).await?;
        let mut rows = Vec::new();
        let mut failure = None;
        loop {
            match self.receive().await {
                Ok(frame) if frame.tag == backend::READY_FOR_QUERY_TAG => break,
                Ok(frame) if frame.tag == backend::DATA_ROW_TAG => rows.push(frame.data_row()?),
                Ok(_) => {}
                Err(WireError::Server(error)) => failure = Some(error),
                Err(error) => return Err(error),
            }
        }
        failure.map_or(Ok(rows), |error| Err(error.into()))
    }
}

impl Frame {
    /// The server's error that this message is.
    #[must_use]
    pub fn server_error(&self) -> ServerError {
        let mut error = ServerError { code: String::new(), message: "an error without a message".to_owned() };
        // Fields of one byte for the kind and a text, each ended by a zero byte.
        for field in self.body.split(|byte| *byte == 0) {
            let Some((kind, value)) = field.split_first() else { break };
            let value = || String::from_utf8_lossy(value).into_owned();
            match kind {
                b'C' => error.code = value(),
                b'M' => error.message = value(),
                _ => {}
            }
        }
        error
    }

    fn data_row(mut self) -> Result<Vec<Option<String>>, WireError> {
        const MALFORMED: WireError = WireError::Protocol("a row is malformed");
        let count = self.body.try_get_u16().map_err(|_| MALFORMED)?;
        (0..count)
            .map(|_| match self.body.try_get_i32().map_err(|_| MALFORMED)? {
                -1 => Ok(None),
                length => {
                    let length = usize::try_from(length).map_err(|_| MALFORMED)?;
                    if length > self.body.len() {
                        return Err(MALFORMED);
                    }
                    let value = self.body.split_to(length);
                    Ok(Some(String::from_utf8_lossy(&value).into_owned()))
                }
            })
            .collect()
    }
}

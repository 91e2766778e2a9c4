//! Logging in: the start-up packet, and the proofs that Postgres asks for.

use std::io;

use bytes::{Buf as _, BufMut as _, BytesMut};
use postgres_protocol::{
    authentication::{
        md5_hash,
        sasl::{self, ScramSha256},
    },
    message::{backend, frontend},
};
use tokio::time::timeout;

use super::{Frame, READ_SIZE, Wire, WireError};
use crate::{
    connection::{ConnectConfig, ConnectError, PASSWORD_MISSING},
    socket::{Dialer, Socket},
    url::ChannelBinding,
};

/// Version 3.0 of the protocol.
const PROTOCOL: u32 = 3 << 16;

/// Postgres takes no longer start-up packet.
pub const LARGEST_STARTUP: usize = 10_000;

/// What is to be said in the start-up packet, and how far a login may go.
#[derive(Clone, Copy, Debug)]
pub struct Login<'a> {
    /// Everything but role and database, in this order.
    pub parameters: &'a [(&'a [u8], &'a [u8])],
    /// Whether the password may go over a connection that is not encrypted, if Postgres wants it as it is.
    pub cleartext: bool,
}

/// A login failed.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// Before Postgres had its say.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// Postgres refused.
    #[error("Postgres refused the connection: {}", .answer.server_error())]
    Refused {
        /// Its answer, an ErrorResponse.
        answer: Frame,
        /// Whether the connection was encrypted when it said so.
        encrypted: bool,
    },
}

impl From<LoginError> for ConnectError {
    fn from(error: LoginError) -> ConnectError {
        match error {
            LoginError::Connect(error) => error,
            LoginError::Refused { answer, encrypted } => {
                let error = answer.server_error();
                ConnectError::Refused { code: error.code, message: error.message, encrypted }
            }
        }
    }
}

impl From<WireError> for LoginError {
    fn from(error: WireError) -> LoginError {
        LoginError::Connect(match error {
            WireError::Broken(source) => ConnectError::Lost { source },
            WireError::Protocol(problem) => ConnectError::Protocol(problem.to_owned()),
            WireError::Server(error) => ConnectError::Protocol(error.to_string()),
        })
    }
}

impl From<io::Error> for LoginError {
    fn from(source: io::Error) -> LoginError {
        LoginError::Connect(ConnectError::Lost { source })
    }
}

impl LoginError {
    /// Whether another address of the same host can't change the answer.
    fn is_decided(&self) -> bool {
        match self {
            LoginError::Connect(error) => error.is_decided(),
            LoginError::Refused { answer, .. } => {
                let code = answer.server_error().code;
                code.starts_with("28") || code == "3D000"
            }
        }
    }
}

impl Wire {
    /// Connects and is let in, as role and into database of `config`, with nothing else set than `login` says. What Postgres
    /// says after AuthenticationOk has not been read by this. All addresses of the host are tried.
    ///
    /// # Errors
    /// [`LoginError`].
    pub async fn admit(config: &ConnectConfig, login: Login<'_>) -> Result<Wire, LoginError> {
        let mut dialer = Dialer::resolve(config).await?;
        loop {
            let socket = dialer.next().await?;
            let attempt = timeout(config.connect_timeout, Wire::knock(config, socket, login)).await;
            match attempt.unwrap_or_else(|_| Err(ConnectError::TimedOut { host: config.host.clone() }.into()))
            {
                Err(error) if dialer.has_more() && !error.is_decided() => {}
                other => return other,
            }
        }
    }

    async fn knock(config: &ConnectConfig, socket: Socket, login: Login<'_>) -> Result<Wire, LoginError> {
        let (input, output) = (BytesMut::with_capacity(READ_SIZE), BytesMut::new());
        let mut wire = Wire { socket, input, output, process_id: 0 };
        wire.send(&startup_packet(config, login.parameters)?).await?;
        wire.authenticate(config, login.cleartext).await?;
        Ok(wire)
    }

    /// Answers the server's demands for proof until it is content.
    async fn authenticate(&mut self, config: &ConnectConfig, cleartext: bool) -> Result<(), LoginError> {
        let password = || config.password.as_ref().map(|p| p.expose().as_bytes()).ok_or(PASSWORD_MISSING);
        let bound = config.channel_binding == ChannelBinding::Require;
        let unbound =
            "the server does not bind the login to the TLS connection, as channel_binding=require asks";
        let mut scram: Option<ScramSha256> = None;
        let mut proven = false;
        loop {
            let mut frame = self.demand().await?;
            let mut answer = BytesMut::new();
            match frame.body.get_u32() {
                0 if bound && !proven => return Err(ConnectError::Authentication(unbound).into()),
                0 => return Ok(()),
                3 | 5 if bound => return Err(ConnectError::Authentication(unbound).into()),
                3 if !cleartext && !self.socket.is_encrypted() => {
                    let refusal = "Postgres asks for the password as it is, and the connection is not encrypted. \
                                   Require TLS, or scram-sha-256 in pg_hba.conf";
                    return Err(ConnectError::Authentication(refusal).into());
                }
                3 => frontend::password_message(password()?, &mut answer)?,
                5 if frame.body.len() >= 4 => {
                    let salt = frame.body.get_u32().to_be_bytes();
                    let hash = md5_hash(config.user.as_bytes(), password()?, salt);
                    frontend::password_message(hash.as_bytes(), &mut answer)?;
                }
                10 => {
                    let (mechanism, binding) = self.mechanism(config, &frame.body)?;
                    if bound && mechanism != sasl::SCRAM_SHA_256_PLUS {
                        return Err(ConnectError::Authentication(unbound).into());
                    }
                    let exchange = scram.insert(ScramSha256::new(password()?, binding));
                    frontend::sasl_initial_response(mechanism, exchange.message(), &mut answer)?;
                }
                11 => {
                    let exchange = scram.as_mut().ok_or(WireError::Protocol("SCRAM out of order"))?;
                    exchange.update(&frame.body)?;
                    frontend::sasl_response(exchange.message(), &mut answer)?;
                }
                12 => {
                    let mut exchange = scram.take().ok_or(WireError::Protocol("SCRAM out of order"))?;
                    exchange.finish(&frame.body)?;
                    proven = true;
                    continue;
                }
                _ => {
                    return Err(ConnectError::Authentication(
                        "Postgres asks for a login method that is not supported. Use a password",
                    )
                    .into());
                }
            }
            self.send(&answer).await?;
        }
    }

    /// The next authentication message, at least four bytes long.
    async fn demand(&mut self) -> Result<Frame, LoginError> {
        loop {
            match self.buffered()? {
                Some(frame) => match frame.tag {
                    backend::AUTHENTICATION_TAG if frame.body.len() >= 4 => return Ok(frame),
                    backend::ERROR_RESPONSE_TAG => {
                        return Err(LoginError::Refused {
                            answer: frame,
                            encrypted: self.socket.is_encrypted(),
                        });
                    }
                    backend::NOTICE_RESPONSE_TAG => {}
                    _ => return Err(WireError::Protocol("it does not answer the login").into()),
                },
                None => self.fill().await?,
            }
        }
    }

    /// Chooses among the SASL mechanisms on offer: bound to the TLS connection if both sides can.
    fn mechanism(
        &self,
        config: &ConnectConfig,
        offer: &[u8],
    ) -> Result<(&'static str, sasl::ChannelBinding), ConnectError> {
        let offers = |name: &str| offer.split(|byte| *byte == 0).any(|offered| offered == name.as_bytes());
        let end_point = match config.channel_binding {
            ChannelBinding::Disable => None,
            ChannelBinding::Prefer | ChannelBinding::Require => self.socket.end_point(),
        };
        match end_point {
            Some(end_point) if offers(sasl::SCRAM_SHA_256_PLUS) => {
                Ok((sasl::SCRAM_SHA_256_PLUS, sasl::ChannelBinding::tls_server_end_point(end_point)))
            }
            Some(_) if offers(sasl::SCRAM_SHA_256) => {
                Ok((sasl::SCRAM_SHA_256, sasl::ChannelBinding::unrequested()))
            }
            None if offers(sasl::SCRAM_SHA_256) => {
                Ok((sasl::SCRAM_SHA_256, sasl::ChannelBinding::unsupported()))
            }
            _ => Err(ConnectError::Authentication(
                "Postgres offers no login method that is supported. Use SCRAM-SHA-256",
            )),
        }
    }
}

/// The first packet of a connection. Texts go as they are: Postgres has its own opinion of encodings at this point.
fn startup_packet(config: &ConnectConfig, parameters: &[(&[u8], &[u8])]) -> Result<BytesMut, ConnectError> {
    let own = [("user", &config.user), ("database", &config.database)];
    let own = own.map(|(name, value)| (name.as_bytes(), value.as_bytes()));
    let mut packet = BytesMut::from(&[0; 4][..]);
    packet.put_u32(PROTOCOL);
    for (name, value) in own.iter().chain(parameters) {
        for text in [name, value] {
            packet.put_slice(text);
            packet.put_u8(0);
        }
    }
    packet.put_u8(0);
    if packet.len() > LARGEST_STARTUP {
        return Err(ConnectError::Protocol("the start-up parameters are too long for Postgres".to_owned()));
    }
    let length = (packet.len() as u32).to_be_bytes();
    packet[..4].copy_from_slice(&length);
    Ok(packet)
}

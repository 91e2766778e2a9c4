//! Where Postgres is, how to get there, and connections that are ready for use.

use std::{fmt, future, io, net::SocketAddr, time::Duration};

use tokio::time::timeout;
use tokio_postgres::{
    CancelToken, Client,
    config::{self, SslNegotiation},
    tls::{self as pg_tls, TlsConnect},
};

use crate::{
    pulse::{Heard, Listening, Pulse},
    socket::{Dialer, Socket},
    tls::{RootsError, Tls, TlsPolicy, Verification},
    url::{ChannelBinding, DatabaseUrl, Secret, TargetSession},
};

/// The settings of every session, whatever the database or the role say (spec 03 §1). The first five fix the text of
/// values; `standard_conforming_strings` fixes how quoted literals are read; the timeouts are ours to set.
pub const SESSION_SETTINGS: [(&str, &str); 9] = [
    ("bytea_output", "hex"),
    ("DateStyle", "ISO, DMY"),
    ("TimeZone", "UTC"),
    ("IntervalStyle", "postgres"),
    ("extra_float_digits", "1"),
    ("standard_conforming_strings", "on"),
    ("statement_timeout", "0"),
    ("lock_timeout", "0"),
    ("idle_in_transaction_session_timeout", "0"),
];

/// How long a connection may take unless the connection string says otherwise (spec 07 §2).
pub const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Everything needed to connect. Holds the password; its `Debug` does not show it.
#[derive(Clone, Debug)]
pub struct ConnectConfig {
    /// Host name or address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The role.
    pub user: String,
    /// The role's password.
    pub password: Option<Secret>,
    /// The database.
    pub database: String,
    /// The name to show in `pg_stat_activity`; by default ours and the connection's purpose.
    pub application_name: Option<String>,
    /// For each address: the TCP connection and TLS together, and then logging in.
    pub connect_timeout: Duration,
    /// Whether IPv6 addresses are tried first.
    pub prefer_ipv6: bool,
    /// Whether and how to encrypt.
    pub tls: Tls,
    /// Whether SCRAM is to be tied to the TLS connection.
    pub channel_binding: ChannelBinding,
    /// Which kind of server will do.
    pub target: TargetSession,
}

/// What a connection is for, as `pg_stat_activity` shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Installation, catalogue queries, positions.
    Service,
    /// The replication stream.
    Replication,
    /// Initial data.
    Snapshot,
    /// Client transactions.
    Writer,
    /// What is stored about clients.
    Clients,
    /// A session of the migrations proxy.
    Proxy,
    /// A test or a tool.
    Tool,
}

impl fmt::Display for Purpose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Purpose::Service => "service",
            Purpose::Replication => "replication",
            Purpose::Snapshot => "snapshot",
            Purpose::Writer => "writer",
            Purpose::Clients => "clients",
            Purpose::Proxy => "proxy",
            Purpose::Tool => "tool",
        })
    }
}

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The name leads nowhere.
    #[error("the host {host:?} can't be resolved to an address: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// Why.
        reason: String,
    },
    /// Nothing answers at the address.
    #[error("nothing answers at {address}: {source}")]
    Unreachable {
        /// Where.
        address: SocketAddr,
        /// Why.
        source: io::Error,
    },
    /// No answer in time.
    #[error("{host} did not answer in time")]
    TimedOut {
        /// Who.
        host: String,
    },
    /// TLS is required, and the server has none.
    #[error("Postgres refuses TLS. Set DATABASE_REQUIRE_SSL=false if the connection may go unencrypted")]
    TlsRefused,
    /// TLS is required, and the handshake failed.
    #[error("the TLS handshake with {host} failed: {reason}")]
    TlsHandshake {
        /// Who.
        host: String,
        /// Why.
        reason: String,
    },
    /// The authorities to verify by can't be loaded.
    #[error(transparent)]
    Roots(#[from] RootsError),
    /// The connection broke while it was being made.
    #[error("the connection to Postgres broke while it was being made: {source}")]
    Lost {
        /// How.
        source: io::Error,
    },
    /// Postgres said no.
    #[error("Postgres refused the connection: {message} (SQLSTATE {code})")]
    Refused {
        /// The SQLSTATE.
        code: String,
        /// Its primary message.
        message: String,
        /// Whether the connection was encrypted when it said so.
        encrypted: bool,
    },
    /// The server asks for what we can't give.
    #[error("{0}")]
    Authentication(&'static str),
    /// The server is not of the kind asked for.
    #[error("no server of the kind that target_session_attrs asks for answers at {host}")]
    WrongTarget {
        /// Who.
        host: String,
    },
    /// The peer does not speak Postgres' protocol as it should.
    #[error("the server broke the protocol: {0}")]
    Protocol(String),
}

impl ConnectError {
    /// The SQLSTATE, if Postgres itself answered.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            ConnectError::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether Postgres refused because the connection was not encrypted: set `DATABASE_REQUIRE_SSL=true`.
    #[must_use]
    pub fn wants_tls(&self) -> bool {
        matches!(self, ConnectError::Refused { code, encrypted: false, .. } if code == "28000")
    }

    /// Whether another address of the same host can't change the answer.
    pub(crate) fn is_decided(&self) -> bool {
        matches!(self, ConnectError::Authentication(_) | ConnectError::Roots(_))
            || self.code().is_some_and(|code| code.starts_with("28") || code == "3D000")
    }

    pub(crate) fn from_login(error: &tokio_postgres::Error, encrypted: bool) -> ConnectError {
        match error.as_db_error() {
            Some(refusal) => ConnectError::Refused {
                code: refusal.code().code().to_owned(),
                message: refusal.message().to_owned(),
                encrypted,
            },
            None => ConnectError::Protocol(chain(error)),
        }
    }
}

/// An error with its causes, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

impl ConnectConfig {
    /// Reads `DATABASE_URL`, given the values of `DATABASE_REQUIRE_SSL` and `DATABASE_USE_IPV6` if they are set. The
    /// second part of the answer are warnings. Faults and warnings are texts that follow the words `DATABASE_URL`.
    ///
    /// # Errors
    /// All faults of the connection string together.
    pub fn parse(
        url: &str,
        require_ssl: Option<bool>,
        use_ipv6: Option<bool>,
    ) -> Result<(ConnectConfig, Vec<String>), Vec<String>> {
        let DatabaseUrl { host, port, user, password, database, options, mut warnings } =
            DatabaseUrl::parse(url)?;
        let (tls, warning) = Tls::decide(require_ssl, &options);
        warnings.extend(warning);
        if options.channel_binding == ChannelBinding::Require && tls.policy != TlsPolicy::Required {
            return Err(vec!["asks for channel_binding=require, which needs TLS to be required".to_owned()]);
        }
        let connect_timeout = match options.connect_timeout {
            None => DEFAULT_CONNECT_TIMEOUT,
            Some(Duration::ZERO) => Duration::from_secs(120),
            Some(given) => given,
        };
        let config = ConnectConfig {
            host,
            port,
            user,
            password,
            database,
            application_name: options.application_name,
            connect_timeout,
            prefer_ipv6: use_ipv6.unwrap_or(false),
            tls,
            channel_binding: options.channel_binding,
            target: options.target,
        };
        Ok((config, warnings))
    }

    /// Whether the server's certificate goes unverified though connections are encrypted; said once at the start.
    #[must_use]
    pub fn is_unverified(&self) -> bool {
        self.tls.policy != TlsPolicy::Disabled && self.tls.verification == Verification::None
    }

    /// The same place, another database.
    #[must_use]
    pub fn with_database(&self, database: &str) -> ConnectConfig {
        ConnectConfig { database: database.to_owned(), ..self.clone() }
    }

    /// The name of a connection for `purpose`.
    #[must_use]
    pub fn application_name(&self, purpose: Purpose) -> String {
        self.application_name.clone().unwrap_or_else(|| format!("tieline {purpose}"))
    }
}

/// Connects for ordinary queries, with [`SESSION_SETTINGS`] in force. The connection is driven by a task of its own, which
/// ends when the client is dropped or the connection breaks ([`Client::is_closed`]).
///
/// # Errors
/// [`ConnectError`] says what failed; nothing is retried but the host's other addresses.
pub async fn connect(config: &ConnectConfig, purpose: Purpose) -> Result<Client, ConnectError> {
    connect_with_pulse(config, purpose).await.map(|(client, _)| client)
}

/// The same, with what tells whether anything is still heard on the connection.
///
/// # Errors
/// As [`connect`].
pub(crate) async fn connect_with_pulse(
    config: &ConnectConfig,
    purpose: Purpose,
) -> Result<(Client, Pulse), ConnectError> {
    let mut dialer = Dialer::resolve(config).await?;
    loop {
        let socket = dialer.next().await?;
        let login = timeout(config.connect_timeout, log_in(config, socket, purpose)).await;
        match login.unwrap_or_else(|_| Err(ConnectError::TimedOut { host: config.host.clone() })) {
            Err(error) if dialer.has_more() && !error.is_decided() => {}
            other => return other,
        }
    }
}

/// Asks Postgres to cancel what the connection of `token` is doing. Whether there was anything to cancel is not known.
///
/// # Errors
/// [`ConnectError`] if the request can't be delivered.
pub async fn cancel(config: &ConnectConfig, token: &CancelToken) -> Result<(), ConnectError> {
    let socket = Dialer::resolve(config).await?.next().await?;
    let encrypted = socket.is_encrypted();
    let socket = Listening { socket, heard: Heard::default() };
    let request = timeout(config.connect_timeout, token.cancel_query_raw(socket, Established)).await;
    let request = request.map_err(|_| ConnectError::TimedOut { host: config.host.clone() })?;
    request.map_err(|error| ConnectError::from_login(&error, encrypted))
}

async fn log_in(
    config: &ConnectConfig,
    socket: Socket,
    purpose: Purpose,
) -> Result<(Client, Pulse), ConnectError> {
    let encrypted = socket.is_encrypted();
    let heard = Heard::default();
    let socket = Listening { socket, heard: heard.clone() };
    let failed = |error: tokio_postgres::Error| ConnectError::from_login(&error, encrypted);
    let (client, connection) =
        session(config, purpose).connect_raw(socket, Established).await.map_err(|error| {
            match config.password {
                None if asks_for_password(&error) => PASSWORD_MISSING,
                _ => failed(error),
            }
        })?;
    let driver = tokio::spawn(async move {
        if let Err(error) = connection.await {
            tracing::debug!(%purpose, error = chain(&error), "a connection to Postgres ended");
        }
    });
    let pulse = Pulse::new(heard, driver.abort_handle());
    let wanted = match config.target {
        TargetSession::Any => return Ok((client, pulse)),
        TargetSession::ReadWrite => "SELECT NOT current_setting('transaction_read_only')::boolean",
        TargetSession::ReadOnly => "SELECT current_setting('transaction_read_only')::boolean",
        TargetSession::Primary => "SELECT NOT pg_is_in_recovery()",
        TargetSession::Standby => "SELECT pg_is_in_recovery()",
    };
    match client.query_one(wanted, &[]).await.and_then(|row| row.try_get(0)).map_err(failed)? {
        true => Ok((client, pulse)),
        false => Err(ConnectError::WrongTarget { host: config.host.clone() }),
    }
}

pub(crate) const PASSWORD_MISSING: ConnectError =
    ConnectError::Authentication("Postgres asks for a password, and DATABASE_URL has none");

/// Whether logging in failed for want of a password, before Postgres was asked.
fn asks_for_password(error: &tokio_postgres::Error) -> bool {
    error.as_db_error().is_none() && chain(error).contains("password missing")
}

/// The driver's own form of the configuration.
fn session(config: &ConnectConfig, purpose: Purpose) -> tokio_postgres::Config {
    let mut session = tokio_postgres::Config::new();
    session.user(&config.user).dbname(&config.database).application_name(config.application_name(purpose));
    if let Some(password) = &config.password {
        session.password(password.expose());
    }
    // The socket is encrypted already, or is not to be: the driver takes it as it is.
    session.ssl_mode(config::SslMode::Require).ssl_negotiation(SslNegotiation::Direct);
    session.channel_binding(match config.channel_binding {
        ChannelBinding::Disable => config::ChannelBinding::Disable,
        ChannelBinding::Prefer => config::ChannelBinding::Prefer,
        ChannelBinding::Require => config::ChannelBinding::Require,
    });
    let options: Vec<String> = SESSION_SETTINGS
        .iter()
        .map(|(name, value)| format!("-c {name}={}", value.replace('\\', "\\\\").replace(' ', "\\ ")))
        .collect();
    session.options(options.join(" "));
    session
}

/// The driver's view of a socket that needs no more negotiation.
struct Established;

impl TlsConnect<Listening> for Established {
    type Stream = Listening;
    type Error = io::Error;
    type Future = future::Ready<io::Result<Listening>>;

    fn connect(self, stream: Listening) -> Self::Future {
        future::ready(Ok(stream))
    }
}

impl pg_tls::TlsStream for Listening {
    fn channel_binding(&self) -> pg_tls::ChannelBinding {
        self.socket
            .end_point()
            .map_or_else(pg_tls::ChannelBinding::none, pg_tls::ChannelBinding::tls_server_end_point)
    }
}

//! Configuration: from environment variables to one checked value (spec 07 §0–§5).
//!
//! The environment is read here and nowhere else, through a lookup that tests replace. Everything that is wrong is found
//! before a port is opened or Postgres touched, and told in one [`Banner`].

mod banner;
mod data_dir;
mod parse;
mod proxy;
mod reference;
mod setting;
mod shapes;
mod source;

use std::{path::PathBuf, time::Duration};

use postgres::{connection::ConnectConfig, writer::Limits};
use uuid::Uuid;

pub use self::proxy::ProxyConfig;
pub use banner::{Banner, REFERENCE};
pub use reference::{help, markdown};
pub use setting::Setting;
pub use shapes::{InitialLimits, ShapeConfig};
pub use source::{Lookup, Notice};

use setting as s;
use source::Source;

/// The whole configuration, checked.
#[derive(Debug)]
pub struct Config {
    /// Who may connect.
    pub auth: auth::AuthConfig,
    /// Which database.
    pub database: ConnectConfig,
    /// Where to listen.
    pub listen: Listen,
    /// The migrations proxy; without a password there is none.
    pub proxy: Option<ProxyConfig>,
    /// Bounds on clients.
    pub clients: ClientLimits,
    /// Bounds of the window of transactions.
    pub window: journal::Limits,
    /// Where journals live, a folder for each database; `None` for a window in memory only.
    pub data_dir: Option<PathBuf>,
    /// Bounds on shapes, and on what they cost.
    pub shapes: ShapeConfig,
    /// Bounds of one attempt to apply a client's transaction.
    pub writer: Limits,
    /// Between two looks for changes of synced tables that nobody captured.
    pub drift_interval: Duration,
    /// What clients are told as the server's identity; never empty.
    pub instance_id: String,
    /// How long an orderly stop may take.
    pub shutdown_timeout: Duration,
    /// How much is logged, and how.
    pub log: Log,
    /// What is to be said once, when logging works.
    pub notices: Vec<Notice>,
}

/// Where to listen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Zero, which no setting can say, lets the system choose: for tests and `tieline dev`.
    pub port: u16,
    /// IPv6 as well as IPv4.
    pub ipv6: bool,
    /// This machine only: insecure mode, unless it was told otherwise (spec 01 §1).
    pub loopback: bool,
}

/// Bounds on clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClientLimits {
    /// Connections that have not authenticated.
    pub unauthenticated: usize,
    /// Failed attempts that an address has at once.
    pub failure_burst: u32,
    /// Failed attempts that an address gets back per second.
    pub failure_rate: u32,
    /// Longest message after authentication, in bytes.
    pub max_message: usize,
    /// How long a client may leave what it was sent unread.
    pub slow_reader: Duration,
}

/// Logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// From which level on.
    pub level: LogLevel,
    /// How a line looks.
    pub format: LogFormat,
}

/// Levels of logging.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names are the settings' own")]
pub enum LogLevel {
    Error,
    Warning,
    Info,
    Debug,
    Trace,
}

/// Forms of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object.
    Json,
}

/// `LOG_LEVEL`'s words.
const LEVELS: [(&str, LogLevel); 10] = [
    ("emergency", LogLevel::Error),
    ("alert", LogLevel::Error),
    ("critical", LogLevel::Error),
    ("error", LogLevel::Error),
    ("warning", LogLevel::Warning),
    ("warn", LogLevel::Warning),
    ("notice", LogLevel::Info),
    ("info", LogLevel::Info),
    ("debug", LogLevel::Debug),
    ("trace", LogLevel::Trace),
];

impl Config {
    /// Reads and checks everything.
    ///
    /// # Errors
    /// The banner that names every fault.
    pub fn from_lookup(lookup: Lookup<'_>) -> Result<Config, Banner> {
        let mut source = Source::new(lookup);
        let auth = read_auth(&mut source, lookup);
        let database = read_database(&mut source);
        read_write_mode(&mut source);
        let log = read_log(&mut source);
        let proxy = proxy::read(&mut source);
        let insecure = auth.as_ref().is_some_and(auth::AuthConfig::is_insecure);
        let listen = read_listen(&mut source, insecure);
        let clients = read_client_limits(&mut source);
        let window = journal::Limits {
            memory: source
                .read(s::ELECTRIC_TXN_CACHE_SIZE, parse::size)
                .map_or(256 << 20, |bytes| usize::try_from(bytes).unwrap_or(usize::MAX)),
            span: source.read(s::ELECTRIC_RESUMABLE_WAL_WINDOW, parse::size).unwrap_or(2 << 30),
        };
        let data_dir = data_dir::read(&mut source, lookup);
        let shapes = shapes::read(&mut source);
        let writer = read_writer(&mut source);
        let drift_interval = source
            .read(s::TIELINE_DRIFT_INTERVAL, |v| parse::duration_from(v, Duration::from_secs(1), "1s"))
            .unwrap_or(Duration::from_secs(10));
        let instance_id = source.text(s::ELECTRIC_INSTANCE_ID).unwrap_or_else(|| Uuid::new_v4().to_string());
        let shutdown_timeout =
            source.read(s::TIELINE_SHUTDOWN_TIMEOUT, parse::duration).unwrap_or(Duration::from_secs(5));
        note_unused(&mut source);
        let (faults, notices) = source.finish();
        match (auth, database) {
            (Some(auth), Some(database)) if faults.is_empty() => Ok(Config {
                auth,
                database,
                listen,
                proxy,
                clients,
                window,
                data_dir,
                shapes,
                writer,
                drift_interval,
                instance_id,
                shutdown_timeout,
                log,
                notices,
            }),
            _ => Err(Banner::configuration(&faults)),
        }
    }

    /// From the environment of the process.
    ///
    /// # Errors
    /// As [`Config::from_lookup`].
    pub fn from_environment() -> Result<Config, Banner> {
        Config::from_lookup(&|name| std::env::var_os(name))
    }

    /// What a command needs that only works on the database: where that is, and the bounds of what it does there. Other
    /// settings are not looked at. From the environment of the process.
    ///
    /// # Errors
    /// The banner that names every fault.
    pub fn database_from_environment() -> Result<(ConnectConfig, Limits), Banner> {
        let lookup = |name: &str| std::env::var_os(name);
        let mut source = Source::new(&lookup);
        let (database, writer) = (read_database(&mut source), read_writer(&mut source));
        match (database, source.finish().0) {
            (Some(database), faults) if faults.is_empty() => Ok((database, writer)),
            (_, faults) => Err(Banner::configuration(&faults)),
        }
    }
}

fn read_auth(source: &mut Source<'_>, lookup: Lookup<'_>) -> Option<auth::AuthConfig> {
    match auth::AuthConfig::from_lookup(lookup) {
        Ok((config, warnings)) => {
            for warning in warnings {
                source.notice(Notice::Warning(warning));
            }
            Some(config)
        }
        Err(faults) => {
            source.faults(faults.iter().map(ToString::to_string));
            None
        }
    }
}

fn read_writer(source: &mut Source<'_>) -> Limits {
    let least = |value: &str| parse::duration_from(value, Duration::from_secs(1), "1s");
    let statement = source.read(s::TIELINE_STATEMENT_TIMEOUT, least);
    Limits { statement: statement.unwrap_or(Limits::default().statement), ..Limits::default() }
}

fn read_database(source: &mut Source<'_>) -> Option<ConnectConfig> {
    let require_ssl = source.read(s::DATABASE_REQUIRE_SSL, parse::boolean);
    let use_ipv6 = source.read(s::DATABASE_USE_IPV6, parse::boolean);
    let Some(text) = source.text(s::DATABASE_URL) else {
        source.fault(s::DATABASE_URL, "not set");
        return None;
    };
    match ConnectConfig::parse(&text, require_ssl, use_ipv6) {
        Ok((config, warnings)) => {
            for warning in warnings {
                source.notice(Notice::Warning(format!("{} {warning}.", s::DATABASE_URL.name)));
            }
            if config.is_unverified() {
                source.notice(Notice::Info(
                    "Connections to Postgres are encrypted where possible, but its certificate is not verified. \
                     sslmode=verify-full in DATABASE_URL has it verified."
                        .to_owned(),
                ));
            }
            Some(config)
        }
        Err(faults) => {
            for fault in faults {
                source.fault(s::DATABASE_URL, &fault);
            }
            None
        }
    }
}

fn read_write_mode(source: &mut Source<'_>) {
    let words = [("direct_writes", false), ("logical_replication", true)];
    let shown = ["direct_writes", "logical_replication"];
    if source.read(s::ELECTRIC_WRITE_TO_PG_MODE, |v| parse::word(v, &words, &shown)) == Some(true) {
        source.notice(Notice::Info(
            "ELECTRIC_WRITE_TO_PG_MODE=logical_replication is served by direct writes. Nothing else needs to be changed."
                .to_owned(),
        ));
    }
    let _ = source.read(s::LOGICAL_PUBLISHER_PORT, parse::port);
}

fn read_log(source: &mut Source<'_>) -> Log {
    let shown = ["error", "warning", "info", "debug"];
    let level = source.read(s::LOG_LEVEL, |v| parse::word(v, &LEVELS, &shown)).unwrap_or(LogLevel::Info);
    let formats = [("text", LogFormat::Text), ("json", LogFormat::Json)];
    let format = source.read(s::LOG_FORMAT, |v| parse::word(v, &formats, &["text", "json"]));
    Log { level, format: format.unwrap_or(LogFormat::Text) }
}

fn read_listen(source: &mut Source<'_>, insecure: bool) -> Listen {
    let remote = source.read(s::AUTH_INSECURE_ALLOW_REMOTE, parse::boolean).unwrap_or(false);
    let container = source.read(s::TIELINE_CONTAINER, parse::boolean).unwrap_or(false);
    Listen {
        port: source.read(s::HTTP_PORT, parse::port).unwrap_or(5133),
        ipv6: source.read(s::ELECTRIC_USE_IPV6, parse::boolean).unwrap_or(true),
        loopback: insecure && !remote && !container,
    }
}

fn read_client_limits(source: &mut Source<'_>) -> ClientLimits {
    let mut number =
        |setting, range, default: u64| source.read(setting, |v| parse::integer(v, range)).unwrap_or(default);
    let unauthenticated = number(s::MAX_UNAUTHENTICATED, 1..=1_000_000, 1000) as usize;
    let failure_burst = number(s::AUTH_FAILURE_BURST, 1..=1_000_000, 300) as u32;
    let failure_rate = number(s::AUTH_FAILURE_RATE, 1..=1_000_000, 20) as u32;
    let max_message = source.read(s::TIELINE_MAX_MESSAGE_SIZE, |v| {
        parse::size_within(v, 0x1_0000..=0x4000_0000, "between 64K and 1G")
    });
    let slow_reader = source
        .read(s::TIELINE_SLOW_READER_TIMEOUT, |v| parse::duration_from(v, Duration::from_secs(1), "1s"));
    ClientLimits {
        unauthenticated,
        failure_burst,
        failure_rate,
        max_message: max_message.unwrap_or(64 << 20),
        slow_reader: slow_reader.unwrap_or(Duration::from_secs(60)),
    }
}

/// Settings of the old service that switched something on which does not exist here get one line each.
fn note_unused(source: &mut Source<'_>) {
    let acted_on = [
        (s::STATSD_HOST, "no StatsD metrics are sent"),
        (s::OTEL_EXPORT, "no OpenTelemetry data is sent"),
        (s::PROXY_TRACING_ENABLE, "messages that pass through the proxy are never printed"),
        (s::ELECTRIC_FEATURES, "there are no features to switch on"),
    ];
    for (setting, what) in acted_on {
        if source.text(setting).is_some_and(|value| parse::boolean(&value) != Ok(false)) {
            source.notice(Notice::Info(format!("{} is set: {what}.", setting.name)));
        }
    }
}

#[cfg(test)]
mod tests;

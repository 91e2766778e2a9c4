//! Log lines: to standard output, as text with date and UTC offset or as JSON.

use std::io::IsTerminal as _;

use server::config::{Log, LogFormat, LogLevel};
use time::macros::format_description;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{filter::Targets, fmt, fmt::time::UtcTime, prelude::*};

/// The crates whose lines may go below `info`. Others' debug lines may show values: the Postgres driver prints parameters.
const OWN: [&str; 7] = ["tieline", "server", "session", "postgres", "proxy", "journal", "auth"];

/// Sets logging up. Does nothing if that has been done before.
pub fn logging(log: Log) {
    let level = match log.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warning => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let filter = Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_targets(OWN.map(|target| (target, level)));
    let timer = UtcTime::new(format_description!(
        "[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:3]+00:00"
    ));
    let lines = fmt::layer().with_timer(timer).with_target(false).with_writer(std::io::stdout);
    let lines = match log.format {
        LogFormat::Text => lines.with_ansi(std::io::stdout().is_terminal()).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).boxed(),
    };
    // A second call in one process, as by a test, keeps what the first set up.
    let _ = tracing_subscriber::registry().with(lines.with_filter(filter)).try_init();
}

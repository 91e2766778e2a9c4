//! What can go wrong between the service and Postgres, and what is done about it (spec 07 §5.2, §9).

use std::time::Duration;

use journal::OpenError;
use postgres::{
    catalogue::CatalogueError,
    connection::ConnectError,
    install::{InstallError, PreflightFault},
    replication::{Gap, StreamError},
};

use crate::config::Banner;

/// Why Postgres is not being followed.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// No connection.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The database, the server or the role is not as needed.
    #[error("{}", list(.0))]
    Preflight(Vec<PreflightFault>),
    /// Schema `electric` can't be installed.
    #[error(transparent)]
    Install(#[from] InstallError),
    /// The history of the schema can't be read.
    #[error(transparent)]
    Catalogue(#[from] CatalogueError),
    /// The stream ended or did not begin.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// A query failed.
    #[error("Postgres did not answer: {0}")]
    Query(#[from] tokio_postgres::Error),
    /// An answer makes no sense.
    #[error("Postgres answered {0} with something that it can't be")]
    Answer(&'static str),
    /// The port of the migrations proxy can't be had.
    #[error("{}", .0.text())]
    ProxyPort(Banner),
    /// The stream can't be continued.
    #[error("the stream can't be continued without a gap: {0}")]
    Gap(Gap),
    /// Another instance follows the database now, which this one followed until a moment ago.
    #[error("another instance of the service follows the database")]
    TakenOver,
    /// The journal can't be had.
    #[error(transparent)]
    Journal(#[from] OpenError),
}

impl Failure {
    /// What it is for whoever looks at the status: plain, and without anything about the network or the role.
    #[must_use]
    pub fn plainly(&self) -> &'static str {
        match self {
            failure if failure.is_busy() => ANOTHER_INSTANCE,
            failure if failure.is_absence() => {
                "Postgres can't be reached, or is starting. It is tried again all the time"
            }
            Failure::Connect(error) if error.code().is_some() => {
                "Postgres refuses the connection; the log says why. It is tried again all the time"
            }
            Failure::Connect(_) => {
                "Postgres can't be connected to; the log says why. It is tried again all the time"
            }
            Failure::Preflight(_) | Failure::Install(_) | Failure::Catalogue(_) => {
                "the database can't be prepared; the log says why. It is tried again all the time"
            }
            Failure::Journal(_) => {
                "the journal can't be opened; the log says why. It is tried again all the time"
            }
            Failure::Gap(Gap::SlotInvalidated) => {
                "Postgres has invalidated the replication slot (max_slot_wal_keep_size). A new one is being made, and the stream of \
                 changes begins anew"
            }
            Failure::Gap(Gap::SlotMissing) => {
                "the replication slot is gone. A new one is being made, and the stream of changes begins anew"
            }
            Failure::Gap(_) => "the stream of changes begins anew; the log says why",
            Failure::Stream(_)
            | Failure::TakenOver
            | Failure::Query(_)
            | Failure::Answer(_)
            | Failure::ProxyPort(_) => "the connection to Postgres broke. It is made again at once",
        }
    }

    /// Whether another process has what is needed, and may be about to go.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        match self {
            Failure::TakenOver => true,
            Failure::Stream(error) => error.is_slot_busy(),
            Failure::Journal(error) => matches!(error, OpenError::Locked(_)),
            _ => false,
        }
    }

    /// Whether there is no Postgres at the moment: it is away, starting, stopping, or full.
    #[must_use]
    pub fn is_absence(&self) -> bool {
        let (Failure::Connect(error) | Failure::Stream(StreamError::Connect(error))) = self else {
            return false;
        };
        match error {
            ConnectError::Unreachable { .. }
            | ConnectError::Resolve { .. }
            | ConnectError::Lost { .. }
            | ConnectError::TimedOut { .. }
            | ConnectError::WrongTarget { .. } => true,
            other => other.code().is_some_and(|code| code.starts_with("57P") || code == "53300"),
        }
    }
}

/// What is said while another instance serves.
pub const ANOTHER_INSTANCE: &str =
    "another instance of the service follows this database. This one takes over as soon as that one stops";

/// What a failpoint does, in tests: `return` is a failure, `return(abort)` the end of the process, as a power cut would be. They are
/// `connector::begin_anew`, `connector::begun_anew`, `service::stop` and `service::stopped`.
#[cfg_attr(not(test), allow(dead_code, reason = "only with failpoints"))]
pub fn tripped<T>(what: Option<&str>) -> Result<T, Failure> {
    if what == Some("abort") {
        std::process::abort();
    }
    Err(Failure::Answer("a failpoint"))
}

fn list(faults: &[PreflightFault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}

/// Decides when to try again.
#[derive(Debug, Default)]
pub struct Recovery {
    failures: u32,
    succeeded_once: bool,
    last: String,
}

impl Recovery {
    /// Longest pause.
    const LONGEST: Duration = Duration::from_secs(10);
    /// A server that is only not there yet is asked more often, so that the service is ready soon after it.
    const LONGEST_ABSENT: Duration = Duration::from_secs(1);
    /// Another instance that may be about to go.
    const LONGEST_BUSY: Duration = Duration::from_millis(200);

    /// The stream runs.
    pub fn succeeded(&mut self) {
        *self = Recovery { succeeded_once: true, ..Recovery::default() };
    }

    /// Logs a failure and says how long to wait.
    ///
    /// # Errors
    /// A banner, if waiting does not help.
    pub fn after(&mut self, failure: &Failure) -> Result<Duration, Banner> {
        if let Some(banner) = self.fatal(failure) {
            return Err(banner);
        }
        let (absent, busy) = (failure.is_absence(), failure.is_busy());
        let first_loss = self.succeeded_once && self.failures == 0;
        self.failures += 1;
        let delay = match self.failures {
            _ if first_loss => Duration::from_millis(100),
            n if absent => Duration::from_millis(125 << n.min(6)),
            n => Duration::from_millis(500 << n.min(6)),
        };
        let longest = match (busy, absent) {
            (true, _) => Self::LONGEST_BUSY,
            (_, true) => Self::LONGEST_ABSENT,
            _ => Self::LONGEST,
        };
        let delay = delay.min(longest);
        let text = if busy {
            format!("{failure}. Another instance of Electric appears to be connected to this database")
        } else {
            failure.to_string()
        };
        // A server that is away for an hour is worth one line, not a thousand.
        if self.last == text && !self.failures.is_multiple_of(30) {
            tracing::debug!("still no connection to Postgres: {text}");
        } else {
            tracing::warn!("Failed to initialize Postgres state: {text}. Trying again");
        }
        self.last = text;
        Ok(delay)
    }

    fn fatal(&self, failure: &Failure) -> Option<Banner> {
        match failure {
            Failure::Connect(ConnectError::Resolve { .. }) if !self.succeeded_once => Some(Banner::new(
                "INITIALISATION ERROR",
                vec![
                    "Failed to resolve the database domain name to an IP address.".to_owned(),
                    format!(
                        "Please double-check your database connection string: {failure}.\n\
                         If the database has IPv6 addresses only, set DATABASE_USE_IPV6=true."
                    ),
                ],
            )),
            Failure::Preflight(faults) if faults.iter().any(PreflightFault::is_fatal) => {
                let title = if faults.contains(&PreflightFault::Pooler) {
                    "CONFIGURATION ERROR"
                } else {
                    "DATABASE CONFIGURATION ERROR"
                };
                Some(Banner::new(title, faults.iter().map(ToString::to_string).collect()))
            }
            Failure::ProxyPort(banner) => Some(banner.clone()),
            Failure::Journal(error @ (OpenError::Foreign { .. } | OpenError::Newer { .. })) => {
                Some(Banner::new("CONFIGURATION ERROR", vec![error.to_string()]))
            }
            Failure::Install(error @ InstallError::Newer { .. }) => {
                Some(Banner::new("DATABASE CONFIGURATION ERROR", vec![error.to_string()]))
            }
            Failure::Stream(error) if error.is_pooler() => Some(Banner::new(
                "CONFIGURATION ERROR",
                vec![
                    format!("Failed to establish replication connection to Postgres:\n{error}"),
                    "The connection goes through a pooler. Use the direct connection string of the database."
                        .to_owned(),
                ],
            )),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused() -> Failure {
        Failure::Connect(ConnectError::Refused {
            code: "28P01".to_owned(),
            message: "password authentication failed".to_owned(),
            encrypted: false,
        })
    }

    #[test]
    fn pauses_grow_up_to_a_bound() {
        let mut recovery = Recovery::default();
        let seconds: Vec<u64> = (0..6).map(|_| recovery.after(&refused()).unwrap().as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 10, 10]);
        recovery.succeeded();
        assert_eq!(recovery.after(&refused()).unwrap(), Duration::from_millis(100));
    }

    #[test]
    fn a_server_that_is_not_there_yet_is_asked_often() {
        let starting = || {
            Failure::Connect(ConnectError::Refused {
                code: "57P03".to_owned(),
                message: "the database system is starting up".to_owned(),
                encrypted: false,
            })
        };
        let mut recovery = Recovery::default();
        let pauses: Vec<u128> = (0..5).map(|_| recovery.after(&starting()).unwrap().as_millis()).collect();
        assert_eq!(pauses, [250, 500, 1000, 1000, 1000]);
        let busy = || Failure::Stream(StreamError::Busy);
        assert!(recovery.after(&busy()).unwrap() <= Duration::from_millis(250));
        assert!(busy().plainly().contains("another instance"), "{}", busy().plainly());
    }

    #[test]
    fn what_only_a_change_mends_ends_the_start() {
        let mut recovery = Recovery::default();
        let faults = vec![PreflightFault::WalLevel { found: "replica".to_owned() }];
        let banner = recovery.after(&Failure::Preflight(faults)).unwrap_err().to_string();
        assert!(banner.contains("not configured with wal_level=logical"), "{banner}");
        let unresolved =
            || Failure::Connect(ConnectError::Resolve { host: "db".to_owned(), reason: "no".to_owned() });
        assert!(recovery.after(&unresolved()).is_err());
        recovery.succeeded();
        assert!(
            recovery.after(&unresolved()).is_ok(),
            "a name server that is away for a moment ends nothing"
        );
    }
}

//! Whether the service can serve, and if not, how far it has come.

use std::{sync::Arc, time::SystemTime};

use tokio::sync::watch;

/// What the service is doing about Postgres. The words of the first three are those of the old service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Connecting, checking, installing.
    Initialization,
    /// Starting the replication stream.
    EstablishingReplConn,
    /// Streaming, but not yet up to where Postgres was when it began.
    Subscribing,
    /// Serving.
    Ready,
    /// The part that talks to Postgres has died and is being started again.
    Failed,
    /// Stopping for good.
    Stopping,
}

impl Phase {
    /// The answer of `GET /api/status` (spec 04 §10.3, 07 §0), byte for byte.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Phase::Ready => "Connection to Postgres is up!",
            Phase::Failed => "Database connection failure.",
            Phase::Stopping => "Shutting down",
            Phase::Initialization | Phase::EstablishingReplConn | Phase::Subscribing => {
                "Initializing connection to Posgres..."
            }
        }
    }

    /// The answer to an upgrade request while not ready (spec 02 §2.2).
    #[must_use]
    pub fn upgrade_refusal(self) -> String {
        match self {
            Phase::Stopping => self.status().to_owned(),
            phase => format!("Postgres connection is not ready: {}...", phase.word()),
        }
    }

    /// One word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Phase::Initialization | Phase::Failed => "initialization",
            Phase::EstablishingReplConn => "establishing_repl_conn",
            Phase::Subscribing => "subscribing",
            Phase::Ready => "ready",
            Phase::Stopping => "stopping",
        }
    }
}

/// How the service is, for whoever asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Condition {
    /// What it is doing.
    pub phase: Phase,
    /// Since when it serves, or does not.
    pub since: SystemTime,
    /// Why it does not, in plain words, if that is known. Holds no secrets, and no addresses.
    pub why: Option<Arc<str>>,
}

/// The condition, shared. Stopping is final.
#[derive(Debug)]
pub struct Readiness(watch::Sender<Condition>);

impl Default for Readiness {
    fn default() -> Readiness {
        let phase = Phase::Initialization;
        Readiness(watch::Sender::new(Condition { phase, since: SystemTime::now(), why: None }))
    }
}

impl Readiness {
    /// The phase now.
    #[must_use]
    pub fn phase(&self) -> Phase {
        self.0.borrow().phase
    }

    /// The phase, since when, and why.
    #[must_use]
    pub fn condition(&self) -> Condition {
        self.0.borrow().clone()
    }

    /// Whether clients are served.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.phase() == Phase::Ready
    }

    /// Enters a phase, unless the service is stopping.
    pub fn enter(&self, phase: Phase) {
        self.0.send_if_modified(|now| {
            let changes = now.phase != phase && now.phase != Phase::Stopping;
            if changes {
                if phase == Phase::Stopping || (now.phase == Phase::Ready) != (phase == Phase::Ready) {
                    now.since = SystemTime::now();
                    now.why = None;
                }
                now.phase = phase;
            }
            changes
        });
    }

    /// Says why clients are not served, until they are.
    pub fn explain(&self, why: &str) {
        self.0.send_if_modified(|now| {
            let changes =
                !matches!(now.phase, Phase::Ready | Phase::Stopping) && now.why.as_deref() != Some(why);
            if changes {
                now.why = Some(why.into());
            }
            changes
        });
    }

    /// Waits for a phase.
    pub async fn reached(&self, phase: Phase) {
        // The sender lives as long as `self`, so waiting can't fail.
        let _ = self.0.subscribe().wait_for(|now| now.phase == phase).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_is_final() {
        let readiness = Readiness::default();
        readiness.enter(Phase::Stopping);
        readiness.enter(Phase::Ready);
        assert_eq!(readiness.phase(), Phase::Stopping);
    }

    #[test]
    fn an_outage_keeps_its_beginning_and_its_newest_reason() {
        let readiness = Readiness::default();
        readiness.enter(Phase::Ready);
        readiness.explain("nothing is wrong");
        assert_eq!(readiness.condition().why, None);
        readiness.enter(Phase::Initialization);
        let since = readiness.condition().since;
        readiness.explain("Postgres can't be reached");
        readiness.enter(Phase::EstablishingReplConn);
        let now = readiness.condition();
        assert_eq!((now.since, now.why.as_deref()), (since, Some("Postgres can't be reached")));
        readiness.enter(Phase::Ready);
        assert_eq!(readiness.condition().why, None);
    }

    #[test]
    fn upgrades_are_refused_in_the_old_words() {
        let text = Phase::Subscribing.upgrade_refusal();
        assert_eq!(text, "Postgres connection is not ready: subscribing...");
    }
}

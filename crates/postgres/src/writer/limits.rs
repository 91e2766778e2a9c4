//! How long one attempt may take (spec 05 §7.6).
//!
//! To wait for somebody's row is no error, and a transaction may wait as long as it takes. But it must not wait on a connection
//! that others need: so each attempt is bounded, and given up and made again later where that does not suffice.

use std::time::Duration;

/// Bounds of one attempt to apply a transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// What one statement may take. A transaction for which that is not enough, however often, is refused.
    pub statement: Duration,
    /// What a statement may wait for one lock, before the attempt is given up for now.
    pub lock: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { statement: Duration::from_secs(30), lock: Duration::from_secs(1) }
    }
}

/// How much longer than a statement may take an answer may be on its way.
const ON_ITS_WAY: Duration = Duration::from_secs(5);

impl Limits {
    /// After how much silence of a connection that an answer is awaited on it is given up: Postgres would have answered by then, if only
    /// that the statement takes too long.
    pub(super) fn silence(self) -> Duration {
        self.statement.saturating_add(ON_ITS_WAY)
    }

    /// As settings of a session. The last one is for the case that we are cut off in the middle: locks that nobody will ever let go
    /// of would stop others.
    pub(super) fn settings(self) -> String {
        let ms = |limit: Duration| limit.as_millis().clamp(1, i32::MAX as u128);
        format!(
            "SET statement_timeout = {}; SET lock_timeout = {}; SET idle_in_transaction_session_timeout = '60s'",
            ms(self.statement),
            ms(self.lock)
        )
    }
}

//! How a connection ends.

use std::time::{Duration, Instant};

use session::CloseCode;

/// How long a peer has to take what is still queued, and to answer the close frame (spec 01 §6: an answer must reach a peer
/// that is still sending megabytes, so reading goes on meanwhile).
const LINGER: Duration = Duration::from_secs(2);

/// The same after expiry, which promises an end within a second.
const LINGER_EXPIRED: Duration = Duration::from_millis(500);

/// Where a connection is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// Serving.
    Open,
    /// The close frame is queued or sent. The peer's own is waited for, unless it came first.
    Closing {
        /// The connection is cut then.
        until: Instant,
        /// The peer has closed already.
        answered: bool,
    },
    /// Nothing left to do.
    Ended,
}

impl Stage {
    /// The close frame has just been queued by us.
    pub(super) fn closing(code: CloseCode, delay: Duration) -> Stage {
        let linger = if code == CloseCode::TokenExpired { LINGER_EXPIRED } else { LINGER };
        Stage::Closing { until: Instant::now() + delay + linger, answered: false }
    }

    /// The peer broke RFC 6455, or said goodbye.
    pub(super) fn answered(answered: bool) -> Stage {
        Stage::Closing { until: Instant::now() + LINGER, answered }
    }
}

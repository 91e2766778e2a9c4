//! Why a read did not answer.

use change::Lsn;

/// The position asked for lies before the window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the position lies before the window")]
pub struct Trimmed;

/// What a read asked for is not at hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Miss {
    /// It lies before the window and will not come back.
    #[error("the position lies before the window")]
    Trimmed,
    /// It is in the window, but on disk: give this position to [`Journal::load`](crate::Journal::load), then read again.
    #[error("what follows {0} has to be loaded first")]
    Cold(Lsn),
}

impl From<Trimmed> for Miss {
    fn from(Trimmed: Trimmed) -> Miss {
        Miss::Trimmed
    }
}

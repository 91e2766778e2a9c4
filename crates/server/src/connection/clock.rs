//! Time as sessions are told it.

use std::{
    sync::LazyLock,
    time::{Duration, Instant, SystemTime, UNIX_EPOCH},
};

use session::{Millis, Now};

/// When the monotonic clock of this process began.
static START: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Both clocks, now.
#[must_use]
pub fn now() -> Now {
    let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Now { wall_ms: wall.as_millis() as Millis, mono_ms: START.elapsed().as_millis() as Millis }
}

/// The first moment at which [`now`] says at least `deadline`.
#[must_use]
pub fn instant(deadline: Millis) -> Instant {
    // Far-off deadlines are as good as none; a day is far-off, and the sum can't overflow.
    *START + Duration::from_millis(deadline).min(START.elapsed() + Duration::from_secs(86_400))
}

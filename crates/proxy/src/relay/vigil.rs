//! Staying awake for the next message.
//!
//! Waking a thread whose processor sleeps takes a virtual machine up to a tenth of a millisecond, which is longer than most
//! statements take. A session that talks alone, a migration's as a rule, would wait for that twice in each round trip. So after
//! each message of such a session its thread looks for the next one without sleeping, for [`PATIENCE`] at most. Sessions that
//! talk at the same time keep each other's thread awake anyway, and leave the processors to Postgres and its clients.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    task::Context,
    thread,
    time::{Duration, Instant},
};

/// How long the next message is looked for: longer than a statement takes that writes nothing to disk.
const PATIENCE: Duration = Duration::from_millis(1);

/// How long no other session must have talked.
const SILENCE: Duration = Duration::from_millis(5);

/// Who talks, as far as the sessions of a proxy have to know that of each other. Clones are the same thing.
#[derive(Clone, Debug)]
pub struct Floor(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    begun: Instant,
    /// The number of the next session; the first is 1.
    next: AtomicU64,
    /// The number of the session that talked last.
    speaker: AtomicU64,
    /// Since when only that one has, in microseconds since `begun`.
    alone_since: AtomicU64,
    /// Whether there are processors for others while one is kept awake.
    is_affordable: bool,
}

impl Default for Floor {
    fn default() -> Floor {
        Floor(Arc::new(Shared {
            begun: Instant::now(),
            next: AtomicU64::new(1),
            speaker: AtomicU64::new(0),
            alone_since: AtomicU64::new(0),
            is_affordable: thread::available_parallelism().is_ok_and(|processors| processors.get() > 1),
        }))
    }
}

/// A session's part in it.
#[derive(Debug)]
pub struct Vigil {
    floor: Floor,
    number: u64,
    talked_at: Option<Instant>,
}

impl Vigil {
    /// Of a session that has not talked.
    #[must_use]
    pub fn new(floor: &Floor) -> Vigil {
        let number = floor.0.next.fetch_add(1, Ordering::Relaxed);
        Vigil { floor: floor.clone(), number, talked_at: None }
    }

    /// The session talks `now`.
    pub fn talked(&mut self, now: Instant) {
        let Floor(shared) = &self.floor;
        if shared.speaker.swap(self.number, Ordering::Relaxed) != self.number {
            shared.alone_since.store(shared.micros(now), Ordering::Relaxed);
        }
        self.talked_at = Some(now);
    }

    /// Whether the session's next message is worth staying awake for.
    #[must_use]
    pub fn is_kept(&self, now: Instant) -> bool {
        let Floor(shared) = &self.floor;
        shared.is_affordable
            && self.talked_at.is_some_and(|talked_at| now.saturating_duration_since(talked_at) < PATIENCE)
            && shared.speaker.load(Ordering::Relaxed) == self.number
            && shared.micros(now).saturating_sub(shared.alone_since.load(Ordering::Relaxed))
                >= micros(SILENCE)
    }

    /// Has the task polled again after everything else that is ready, and after a look at the sockets.
    pub fn stay_awake(cx: &mut Context<'_>) {
        // The runtime keeps the waker of what yields; the future itself has no more to do.
        let _ = pin!(tokio::task::yield_now()).poll(cx);
    }
}

impl Shared {
    fn micros(&self, now: Instant) -> u64 {
        micros(now.saturating_duration_since(self.begun))
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floor(is_affordable: bool) -> Floor {
        let Floor(shared) = Floor::default();
        let Ok(shared) = Arc::try_unwrap(shared) else { panic!("nobody else has it") };
        Floor(Arc::new(Shared { is_affordable, ..shared }))
    }

    #[test]
    fn a_session_that_talks_alone_is_waited_for_and_not_for_long() {
        let floor = floor(true);
        let begun = floor.0.begun;
        let mut vigil = Vigil::new(&floor);
        assert!(!vigil.is_kept(begun), "it has not talked");
        vigil.talked(begun);
        assert!(!vigil.is_kept(begun), "others may have, just before");
        let later = begun + SILENCE;
        assert!(!vigil.is_kept(later), "its message is long past");
        vigil.talked(later);
        assert!(vigil.is_kept(later));
        assert!(vigil.is_kept(later + PATIENCE / 2));
        assert!(!vigil.is_kept(later + PATIENCE));
    }

    #[test]
    fn sessions_that_talk_at_once_are_not_waited_for() {
        let floor = floor(true);
        let mut now = floor.0.begun;
        let (mut one, mut other) = (Vigil::new(&floor), Vigil::new(&floor));
        for _ in 0..100 {
            now += SILENCE / 2;
            one.talked(now);
            assert!(!one.is_kept(now));
            other.talked(now);
            assert!(!one.is_kept(now) && !other.is_kept(now));
        }
        // Until one has fallen silent.
        now += SILENCE;
        other.talked(now);
        assert!(other.is_kept(now) && !one.is_kept(now));
    }

    #[test]
    fn the_only_processor_is_left_to_others() {
        let floor = floor(false);
        let later = floor.0.begun + SILENCE;
        let mut vigil = Vigil::new(&floor);
        vigil.talked(floor.0.begun);
        vigil.talked(later);
        assert!(!vigil.is_kept(later));
    }
}

//! Staying awake for the next message.
//!
//! Waking a thread whose processor sleeps takes a virtual machine up to a tenth of a millisecond, which is longer than most
//! statements take. A session that talks alone, a migration's as a rule, would wait for that twice in each round trip. So after
//! each message of such a session its thread looks for the next one without sleeping, for [`PATIENCE`] at most. Sessions that
//! talk at the same time keep each other's thread awake anyway; and where no processor has time for it, none falls asleep, and
//! they are left to those who have something to do.

use std::{
    future::Future,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    task::Context,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use super::spare::Sample;

/// How long the next message is looked for: longer than a statement takes that writes nothing to disk.
const PATIENCE: Duration = Duration::from_millis(1);

/// How long no other session must have talked.
const SILENCE: Duration = Duration::from_millis(5);

/// How often is asked whether there is a processor for it, while a session talks alone.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// An answer is no more than this much older than the next.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// The processors that must have nothing to do for anybody else.
const SPARE: f64 = 1.0;

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
    /// Whether there was a processor for it when last asked.
    is_affordable: AtomicBool,
    asked: Mutex<Option<Sample>>,
}

impl Default for Floor {
    fn default() -> Floor {
        Floor(Arc::new(Shared {
            begun: Instant::now(),
            next: AtomicU64::new(1),
            speaker: AtomicU64::new(0),
            alone_since: AtomicU64::new(0),
            is_affordable: AtomicBool::new(false),
            asked: Mutex::new(None),
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

    /// Whether the session's next message is to be awaited awake.
    #[must_use]
    pub fn is_kept(&self, now: Instant) -> bool {
        self.is_worth_it(now) && self.floor.0.is_affordable(now, Sample::take)
    }

    /// Whether it is likely to come soon, and to find the thread asleep.
    fn is_worth_it(&self, now: Instant) -> bool {
        let Floor(shared) = &self.floor;
        self.talked_at.is_some_and(|talked_at| now.saturating_duration_since(talked_at) < PATIENCE)
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

    /// Whether there is a processor to be kept awake; found out now and then by `take`.
    fn is_affordable(&self, now: Instant, take: impl FnOnce(Instant) -> Option<Sample>) -> bool {
        if let Some(mut asked) = self.asked.try_lock() {
            let age = asked.map(|asked| now.saturating_duration_since(asked.at()));
            if age.is_none_or(|age| age >= ASK_EVERY) {
                let (earlier, sample) = (*asked, take(now));
                let spare = match (earlier, sample) {
                    (Some(earlier), Some(sample)) if age < Some(ASK_AGAIN) => sample.spare_since(&earlier),
                    _ => 0.0,
                };
                self.is_affordable.store(spare >= SPARE, Ordering::Relaxed);
                *asked = sample;
            }
        }
        self.is_affordable.load(Ordering::Relaxed)
    }
}

fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_that_talks_alone_is_waited_for_and_not_for_long() {
        let floor = Floor::default();
        let begun = floor.0.begun;
        let mut vigil = Vigil::new(&floor);
        assert!(!vigil.is_worth_it(begun), "it has not talked");
        vigil.talked(begun);
        assert!(!vigil.is_worth_it(begun), "others may have, just before");
        let later = begun + SILENCE;
        assert!(!vigil.is_worth_it(later), "its message is long past");
        vigil.talked(later);
        assert!(vigil.is_worth_it(later));
        assert!(vigil.is_worth_it(later + PATIENCE / 2));
        assert!(!vigil.is_worth_it(later + PATIENCE));
    }

    #[test]
    fn sessions_that_talk_at_once_are_not_waited_for() {
        let floor = Floor::default();
        let mut now = floor.0.begun;
        let (mut one, mut other) = (Vigil::new(&floor), Vigil::new(&floor));
        for _ in 0..100 {
            now += SILENCE / 2;
            one.talked(now);
            assert!(!one.is_worth_it(now));
            other.talked(now);
            assert!(!one.is_worth_it(now) && !other.is_worth_it(now));
        }
        // Until one has fallen silent.
        now += SILENCE;
        other.talked(now);
        assert!(other.is_worth_it(now) && !one.is_worth_it(now));
    }

    #[test]
    fn a_processor_must_have_nothing_else_to_do() {
        let Floor(shared) = Floor::default();
        let begun = shared.begun;
        let at = |ms| begun + Duration::from_millis(ms);
        let sample =
            |ms: u64, idle: u64| Some(Sample::new(at(ms), Duration::from_millis(idle), Duration::ZERO));
        assert!(!shared.is_affordable(at(0), |_| sample(0, 0)), "nobody knows yet");
        assert!(!shared.is_affordable(at(50), |_| unreachable!()));
        assert!(shared.is_affordable(at(100), |_| sample(100, 150)));
        assert!(shared.is_affordable(at(199), |_| unreachable!()));
        assert!(!shared.is_affordable(at(200), |_| sample(200, 230)));
        assert!(shared.is_affordable(at(300), |_| sample(300, 330)));
        // A long silence says nothing of the present.
        assert!(!shared.is_affordable(at(5000), |_| sample(5000, 9000)));
        assert!(!shared.is_affordable(at(5100), |_| None), "the system does not tell");
    }
}

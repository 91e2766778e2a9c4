//! Whether a processor has nothing to do, as Linux tells in `/proc` (see `man 5 proc`). Elsewhere, nobody knows.

use std::{
    fs,
    time::{Duration, Instant},
};

/// The unit of `/proc/stat`.
const TICK: Duration = Duration::from_millis(10);

/// What had been spent until a moment.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    at: Instant,
    /// By all processors, on nothing.
    idle: Duration,
    /// By the present thread, on anything.
    own: Duration,
}

impl Sample {
    /// Asks the system, which takes some 20 µs. `None` where it does not tell.
    #[must_use]
    pub fn take(now: Instant) -> Option<Sample> {
        let idle = idle(&fs::read_to_string("/proc/stat").ok()?)?;
        let own = own(&fs::read_to_string("/proc/thread-self/schedstat").ok()?)?;
        Some(Sample { at: now, idle, own })
    }

    /// One made up.
    #[cfg(test)]
    pub fn new(at: Instant, idle: Duration, own: Duration) -> Sample {
        Sample { at, idle, own }
    }

    /// How many processors had nothing to do for anybody but the present thread since `earlier`, on the average.
    #[must_use]
    pub fn spare_since(&self, earlier: &Sample) -> f64 {
        let free = self.idle.saturating_sub(earlier.idle) + self.own.saturating_sub(earlier.own);
        free.as_secs_f64()
            / self.at.saturating_duration_since(earlier.at).as_secs_f64().max(f64::MIN_POSITIVE)
    }

    /// When it was taken.
    #[must_use]
    pub fn at(&self) -> Instant {
        self.at
    }
}

/// From `cpu  user nice system idle iowait …`, in ticks.
fn idle(stat: &str) -> Option<Duration> {
    let mut times = stat.lines().find_map(|line| line.strip_prefix("cpu "))?.split_ascii_whitespace().skip(3);
    let mut ticks = || times.next()?.parse::<u32>().ok();
    let (idle, waiting) = (ticks()?, ticks()?);
    Some(TICK * idle + TICK * waiting)
}

/// From `running waiting slices`, in nanoseconds.
fn own(schedstat: &str) -> Option<Duration> {
    Some(Duration::from_nanos(schedstat.split_ascii_whitespace().next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_system_says_is_read() {
        let stat = "cpu  10 20 30 400 50 6 7 8 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n";
        assert_eq!(idle(stat), Some(TICK * 450));
        assert_eq!(own("1500000 7 12\n"), Some(Duration::from_micros(1500)));
        for nonsense in ["", "cpu ", "cpu  1 2 3", "cpu0 1 2 3 4 5", "cpu  1 2 3 x 5"] {
            assert_eq!(idle(nonsense), None, "{nonsense}");
        }
        assert_eq!(own(""), None);
    }

    #[test]
    fn what_this_thread_uses_is_spare() {
        let begun = Instant::now();
        let sample = |ms, idle, own| {
            let [ms, idle, own] = [ms, idle, own].map(Duration::from_millis);
            Sample::new(begun + ms, idle, own)
        };
        let spare = sample(200, 1070, 580).spare_since(&sample(100, 1000, 500));
        assert!((spare - 1.5).abs() < 1e-9, "{spare}");
        assert!(sample(0, 0, 0).spare_since(&sample(0, 0, 0)) < f64::EPSILON);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_that_works_is_seen_to() {
        let first = Sample::take(Instant::now()).expect("Linux tells");
        let mut last = first;
        while last.own < first.own + Duration::from_millis(5) {
            last = Sample::take(Instant::now()).expect("Linux tells");
        }
        assert!(last.spare_since(&first) > 0.0);
    }
}

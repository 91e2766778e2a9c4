//! Bounds on strangers: how many connections may be unauthenticated, and how often an address may fail (spec 01 §6).

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Counts connections that have not authenticated yet.
#[derive(Clone, Debug)]
pub struct Gate(Arc<Semaphore>);

/// A connection's place among the unauthenticated; dropped when it authenticates or ends.
#[derive(Debug)]
pub struct Place {
    _permit: OwnedSemaphorePermit,
}

impl Gate {
    /// Lets `places` in at once.
    #[must_use]
    pub fn new(places: usize) -> Gate {
        Gate(Arc::new(Semaphore::new(places)))
    }

    /// A place, if there is one left.
    #[must_use]
    pub fn enter(&self) -> Option<Place> {
        self.0.clone().try_acquire_owned().ok().map(|permit| Place { _permit: permit })
    }
}

/// What becomes of a failed attempt. It never changes the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// Log it and answer at once. If lines of this address were folded before, how many.
    Ordinary {
        /// Attempts since the last line that got none of their own.
        folded: u64,
    },
    /// Answer after [`Failures::DELAY`]; the line is folded.
    Limited,
}

/// A token bucket of failed attempts for each peer address.
#[derive(Debug)]
pub struct Failures {
    burst: f64,
    per_second: f64,
    buckets: Mutex<HashMap<IpAddr, Bucket>>,
}

#[derive(Debug)]
struct Bucket {
    tokens: f64,
    at: Instant,
    folded: u64,
}

impl Failures {
    /// How much later the answer to a limited attempt comes.
    pub const DELAY: Duration = Duration::from_secs(1);

    /// Most addresses remembered. Full buckets are forgotten first; beyond that the table begins anew, which is lenient to
    /// strangers and never unjust to others.
    const CAPACITY: usize = 100_000;

    /// `burst` at once, `per_second` more.
    #[must_use]
    pub fn new(burst: u32, per_second: u32) -> Failures {
        Failures { burst: f64::from(burst), per_second: f64::from(per_second), buckets: Mutex::default() }
    }

    /// Counts a failed attempt of `peer`.
    pub fn note(&self, peer: IpAddr, now: Instant) -> Failure {
        let mut buckets = self.buckets.lock();
        if buckets.len() >= Self::CAPACITY {
            buckets.retain(|_, bucket| self.level(bucket, now) < self.burst || bucket.folded > 0);
            if buckets.len() >= Self::CAPACITY {
                buckets.clear();
            }
        }
        let bucket =
            buckets.entry(network(peer)).or_insert(Bucket { tokens: self.burst, at: now, folded: 0 });
        bucket.tokens = self.level(bucket, now);
        bucket.at = now;
        if bucket.tokens >= 1.0 {
            bucket.tokens -= 1.0;
            Failure::Ordinary { folded: std::mem::take(&mut bucket.folded) }
        } else {
            bucket.folded += 1;
            Failure::Limited
        }
    }

    /// Takes the counts of folded lines of all addresses, for a log line about each.
    pub fn take_folded(&self, now: Instant) -> Vec<(IpAddr, u64)> {
        let mut buckets = self.buckets.lock();
        let folded = buckets
            .iter_mut()
            .filter(|(_, bucket)| bucket.folded > 0)
            .map(|(peer, bucket)| (*peer, std::mem::take(&mut bucket.folded)))
            .collect();
        buckets.retain(|_, bucket| self.level(bucket, now) < self.burst);
        folded
    }

    fn level(&self, bucket: &Bucket, now: Instant) -> f64 {
        let earned = now.saturating_duration_since(bucket.at).as_secs_f64() * self.per_second;
        (bucket.tokens + earned).min(self.burst)
    }
}

/// Whom an address stands for: a subscriber with IPv6 has a whole /64 to choose from, and an IPv4 client of a dual-stack
/// socket is still an IPv4 client.
fn network(peer: IpAddr) -> IpAddr {
    match peer.to_canonical() {
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            IpAddr::V6(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0))
        }
        v4 @ IpAddr::V4(_) => v4,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEER: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
    const ORDINARY: Failure = Failure::Ordinary { folded: 0 };

    #[test]
    fn the_bucket_empties_and_fills_and_counts_honestly() {
        let failures = Failures::new(3, 2);
        let start = Instant::now();
        for _ in 0..3 {
            assert_eq!(failures.note(PEER, start), ORDINARY);
        }
        for _ in 0..4 {
            assert_eq!(failures.note(PEER, start), Failure::Limited);
        }
        let later = start + Duration::from_millis(600);
        assert_eq!(failures.note(PEER, later), Failure::Ordinary { folded: 4 });
        assert_eq!(failures.note(PEER, later), Failure::Limited);
        assert_eq!(failures.take_folded(later), [(PEER, 1)]);
        assert_eq!(failures.take_folded(later), []);
    }

    #[test]
    fn addresses_do_not_answer_for_each_other() {
        let failures = Failures::new(1, 1);
        let now = Instant::now();
        let other = "198.51.100.7".parse().unwrap();
        assert_eq!(failures.note(PEER, now), ORDINARY);
        assert_eq!(failures.note(other, now), ORDINARY);
        assert_eq!(failures.note("::ffff:192.0.2.1".parse().unwrap(), now), Failure::Limited);
        assert_eq!(failures.note("2001:db8::1".parse().unwrap(), now), ORDINARY);
        assert_eq!(failures.note("2001:db8::2".parse().unwrap(), now), Failure::Limited);
    }

    #[test]
    fn full_buckets_are_forgotten() {
        let failures = Failures::new(1, 1);
        let now = Instant::now();
        failures.note(PEER, now);
        failures.take_folded(now + Duration::from_secs(2));
        assert!(failures.buckets.lock().is_empty());
    }

    #[test]
    fn places_come_back() {
        let gate = Gate::new(1);
        let place = gate.enter();
        assert!(place.is_some() && gate.enter().is_none());
        drop(place);
        assert!(gate.enter().is_some());
    }
}

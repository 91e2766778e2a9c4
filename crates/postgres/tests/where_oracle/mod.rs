//! Where-clauses in memory against Postgres itself: the same text, the same rows, the same answer; and the condition that is
//! handed to Postgres beforehand keeps every row that is selected, and never raises.
//!
//! `WHERE_ORACLE_CASES` sets how many pairs of a clause and a row are tried, `WHERE_ORACLE_SEED` where to begin.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod atoms;
mod catalogue;
mod judge;
mod literals;
mod named;
mod operands;
mod pools;
mod property;
mod tree;

/// A small generator of random numbers, the same for the same seed.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 11) % bound as u64).unwrap()
    }

    /// True once in so many times.
    pub fn one_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// A number from the environment.
pub fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

//! Memory that all tapes share.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// A number of bytes to be divided.
#[derive(Debug)]
pub(in crate::initial) struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// What somebody has of it; given back when dropped.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    size: usize,
}

impl Budget {
    pub(in crate::initial) fn new(limit: usize) -> Arc<Budget> {
        Arc::new(Budget { limit, used: AtomicUsize::new(0) })
    }

    /// A share of no bytes.
    pub(super) fn share(self: &Arc<Budget>) -> Share {
        Share { budget: self.clone(), size: 0 }
    }

    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }
}

impl Share {
    /// Makes the share this large; `false`, and it stays as it is, if there is not so much left.
    pub(super) fn resize(&mut self, size: usize) -> bool {
        let (own, limit) = (self.size, self.budget.limit);
        let change = |used: usize| {
            let others = used - own;
            (size <= own || others.saturating_add(size) <= limit).then_some(others + size)
        };
        let done = self.budget.used.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok();
        if done {
            self.size = size;
        }
        done
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.size, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_never_exceeded_and_comes_back() {
        let budget = Budget::new(100);
        let (mut one, mut two) = (budget.share(), budget.share());
        assert!(one.resize(60) && !two.resize(41) && two.resize(40));
        assert!(!one.resize(61) && one.resize(10) && two.resize(90));
        assert_eq!(budget.used(), 100);
        drop(two);
        assert!(one.resize(100) && !one.resize(usize::MAX));
        drop(one);
        assert_eq!(budget.used(), 0);
    }
}

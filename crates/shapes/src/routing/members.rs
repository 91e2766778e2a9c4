//! Who is filed in one place.

use std::collections::BTreeMap;

/// A multiset: what was put in twice has to be taken out twice.
#[derive(Clone)]
pub(super) struct Members<T>(BTreeMap<T, usize>);

impl<T> Default for Members<T> {
    fn default() -> Members<T> {
        Members(BTreeMap::new())
    }
}

impl<T: Ord> Members<T> {
    pub fn insert(&mut self, who: T) {
        *self.0.entry(who).or_default() += 1;
    }

    pub fn remove(&mut self, who: &T) {
        if let Some(times) = self.0.get_mut(who) {
            *times -= 1;
            if *times == 0 {
                self.0.remove(who);
            }
        }
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each once.
    pub fn each(&self, found: &mut impl FnMut(&T)) {
        self.0.keys().for_each(found);
    }
}

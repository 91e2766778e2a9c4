//! Keys as small numbers: each distinct key is kept once, however many rows have it as theirs or refer to it.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;

use crate::Key;

/// A key's number, as long as something holds it and until the next [`Names::sweep`].
pub(super) type Name = u32;

/// Stands for values of which one is NULL; never a key's number.
pub(super) const NULL: Name = u32::MAX;

/// Places that may be kept whatever happens.
pub(super) const ROOM: usize = 64;

/// All keys of a graph: of rows, and of the values that tie them. Users choose the bytes, so they are hashed with SipHash.
#[derive(Default)]
pub(super) struct Names {
    keys: Vec<Key>,
    /// For each key: how many cells of rows hold its number.
    holders: Vec<u32>,
    by_key: HashTable<Name>,
    hasher: RandomState,
    free: Vec<Name>,
    /// Numbers that lost their last holder and may have found another since.
    let_go: Vec<Name>,
    /// How many there were places for when room was given back the last time.
    settled: usize,
    /// What the allocator has given for the keys' bytes.
    heap: usize,
}

impl Names {
    /// The number of a key that is held.
    pub(super) fn find(&self, bytes: &[u8]) -> Option<Name> {
        let hash = self.hasher.hash_one(bytes);
        self.by_key.find(hash, |name| self.keys[*name as usize].as_bytes() == bytes).copied()
    }

    /// The number of a key, held once more.
    pub(super) fn hold(&mut self, bytes: &[u8]) -> Name {
        let name = self.find(bytes).unwrap_or_else(|| self.add(bytes));
        self.holders[name as usize] += 1;
        name
    }

    fn add(&mut self, bytes: &[u8]) -> Name {
        let key = Key::from_bytes(bytes);
        self.heap += allocated(bytes.len());
        let name = if let Some(name) = self.free.pop() {
            self.keys[name as usize] = key;
            name
        } else {
            self.keys.push(key);
            self.holders.push(0);
            // That many keys would take 300 GB.
            (self.keys.len() - 1) as Name
        };
        let hash = self.hasher.hash_one(bytes);
        let Names { keys, hasher, .. } = self;
        self.by_key.insert_unique(hash, name, |name| hasher.hash_one(keys[*name as usize].as_bytes()));
        name
    }

    /// Undoes one [`Names::hold`]. [`NULL`] is ignored.
    pub(super) fn release(&mut self, name: Name) {
        if name == NULL {
            return;
        }
        let holders = &mut self.holders[name as usize];
        *holders -= 1;
        if *holders == 0 {
            self.let_go.push(name);
        }
    }

    /// The key.
    pub(super) fn key(&self, name: Name) -> &Key {
        &self.keys[name as usize]
    }

    /// Forgets keys that nothing holds. Their numbers are given to others from now on.
    pub(super) fn sweep(&mut self) {
        let nothing = Key::from_bytes(&[]);
        for name in std::mem::take(&mut self.let_go) {
            if self.holders[name as usize] > 0 {
                continue;
            }
            let hash = self.hasher.hash_one(self.keys[name as usize].as_bytes());
            // One that was let go twice is no longer there.
            let Ok(entry) = self.by_key.find_entry(hash, |other| *other == name) else { continue };
            entry.remove();
            let key = std::mem::replace(&mut self.keys[name as usize], nothing.clone());
            self.heap -= allocated(key.as_bytes().len());
            self.free.push(name);
        }
    }

    /// Whether most of what is reserved is of no use: a large transaction has passed that touched few rows of the shape.
    pub(super) fn is_roomy(&self) -> bool {
        self.free.len() / 4 > self.by_key.len() && self.keys.len() > 2 * self.settled + ROOM
    }

    /// Gives back what was reserved for more.
    pub(super) fn shrink(&mut self) {
        self.free.sort_unstable();
        while self.free.last().is_some_and(|name| *name as usize + 1 == self.keys.len()) {
            self.free.pop();
            self.keys.pop();
            self.holders.pop();
        }
        self.settled = self.keys.len();
        self.keys.shrink_to_fit();
        self.holders.shrink_to_fit();
        self.free.shrink_to_fit();
        self.let_go.shrink_to_fit();
        let Names { by_key, keys, hasher, .. } = self;
        by_key.shrink_to_fit(|name| hasher.hash_one(keys[*name as usize].as_bytes()));
    }

    /// Bytes in memory.
    pub(super) fn weight(&self) -> usize {
        self.heap
            + self.keys.capacity() * size_of::<Key>()
            + (self.holders.capacity() + self.free.capacity() + self.let_go.capacity()) * size_of::<Name>()
            + self.by_key.allocation_size()
    }
}

/// What an allocator usually takes for so many bytes.
fn allocated(len: usize) -> usize {
    match len {
        0 => 0,
        _ => (len + size_of::<usize>()).next_multiple_of(16).max(32),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_has_one_number_while_it_is_held() {
        let mut names = Names::default();
        let (a, b) = (names.hold(b"a"), names.hold(b"b"));
        assert_ne!(a, b);
        assert_eq!(names.hold(b"a"), a);
        names.release(a);
        names.sweep();
        assert_eq!(names.find(b"a"), Some(a));
        assert_eq!(names.key(a).as_bytes(), b"a");
    }

    #[test]
    fn a_number_is_given_again_only_after_a_sweep() {
        let mut names = Names::default();
        let a = names.hold(b"a");
        names.release(a);
        assert_ne!(names.hold(b"b"), a);
        assert_eq!(names.hold(b"a"), a, "it was let go, but not yet forgotten");
        names.sweep();
        assert_eq!(names.find(b"a"), Some(a));
        // Let go twice, it is forgotten once.
        names.release(a);
        names.hold(b"a");
        names.release(a);
        names.sweep();
        assert_eq!(names.find(b"a"), None);
        assert_eq!((names.hold(b"c"), names.hold(b"d")), (a, 2));
    }

    #[test]
    fn the_empty_key_is_a_key() {
        let mut names = Names::default();
        let empty = names.hold(b"");
        let other = names.hold(b"x");
        names.release(other);
        names.sweep();
        assert_eq!(names.find(b""), Some(empty));
        names.release(empty);
        names.sweep();
        assert_eq!(names.find(b""), None);
    }

    #[test]
    fn gives_back_the_room_of_a_large_transaction() {
        let mut names = Names::default();
        let first = names.hold(b"first");
        let held: Vec<_> = (0..1000_u32).map(|n| names.hold(&n.to_be_bytes())).collect();
        let full = names.weight();
        held.into_iter().for_each(|name| names.release(name));
        names.sweep();
        assert!(names.is_roomy());
        names.shrink();
        assert!(names.weight() < full / 50 && !names.is_roomy(), "{} of {full}", names.weight());
        let next = names.hold(b"next");
        assert_eq!((names.find(b"first"), names.find(b"next")), (Some(first), Some(next)));
    }

    #[test]
    fn weighs_nothing_more_once_all_is_forgotten() {
        let mut names = Names::default();
        for _ in 0..3 {
            let held: Vec<_> = (0..1000_u32).map(|n| names.hold(&n.to_be_bytes())).collect();
            held.into_iter().for_each(|name| names.release(name));
            names.sweep();
            assert_eq!(names.heap, 0);
            assert_eq!(names.keys.len(), 1000);
        }
    }
}

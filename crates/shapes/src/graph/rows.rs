//! The rows of one table that a graph knows: in which layers they are, and the values that tie them to others.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::{
    layout::TableLayout,
    names::{NULL, Name, ROOM},
};

/// Where a row lies. Stays the same as long as the row is known.
pub(super) type Slot = u32;

/// No row.
const NONE: Slot = u32::MAX;

/// Rows of fixed width in one piece of memory. Each is so many numbers:
///
/// * the name of its key, then those of its values of every other [tie](TableLayout::ties),
/// * the layers it is in, then those whose filter it passes: a bit each,
/// * for each tie that is looked up by value: the next and the previous row with the same value.
pub(super) struct Rows {
    cells: Vec<u32>,
    width: usize,
    ties: usize,
    /// Numbers that the bits of all the table's layers take.
    words: usize,
    /// For each tie: which of `heads` it has.
    index: Vec<Option<usize>>,
    /// The first row that has a value.
    heads: Vec<HashMap<Name, Slot>>,
    by_key: HashTable<Slot>,
    /// Names are no user's choice; the hasher is seeded all the same.
    hasher: DefaultHashBuilder,
    free: Vec<Slot>,
    /// How many cells there were when room was given back the last time.
    settled: usize,
}

impl Rows {
    pub(super) fn new(table: &TableLayout) -> Rows {
        let ties = table.ties.len();
        let words = table.layers.len().div_ceil(32);
        let mut indexes = 0..;
        // The key's own index is `by_key`.
        let indexed =
            |(tie, is_indexed): (usize, &bool)| (tie > 0 && *is_indexed).then(|| indexes.next()).flatten();
        let index: Vec<_> = table.is_indexed.iter().enumerate().map(indexed).collect();
        let heads: Vec<_> = index.iter().flatten().map(|_| HashMap::default()).collect();
        Rows {
            cells: Vec::new(),
            width: ties + 2 * words + 2 * heads.len(),
            ties,
            words,
            index,
            heads,
            by_key: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            free: Vec::new(),
            settled: 0,
        }
    }

    /// Number of rows.
    pub(super) fn len(&self) -> usize {
        self.by_key.len()
    }

    /// The slots of all rows, in no order.
    pub(super) fn slots(&self) -> impl Iterator<Item = Slot> {
        self.by_key.iter().copied()
    }

    /// The row with a key.
    pub(super) fn find(&self, key: Name) -> Option<Slot> {
        self.by_key.find(self.hasher.hash_one(key), |slot| self.value(*slot, 0) == key).copied()
    }

    /// Adds a row that is in no layer, passes no filter and has no values but the key. It must not be there yet.
    pub(super) fn add(&mut self, key: Name) -> Slot {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.cells.resize(self.cells.len() + self.width, 0);
            (self.cells.len() / self.width - 1) as Slot
        });
        let start = self.start(slot);
        self.cells[start..start + self.width].fill(0);
        self.cells[start] = key;
        self.cells[start + 1..start + self.ties].fill(NULL);
        let Rows { by_key, hasher, cells, width, .. } = self;
        by_key.insert_unique(hasher.hash_one(key), slot, |slot| {
            hasher.hash_one(cells[*slot as usize * *width])
        });
        slot
    }

    /// Takes a row out. Its values other than the key must be NULL by now.
    pub(super) fn remove(&mut self, slot: Slot) {
        let key = self.value(slot, 0);
        if let Ok(entry) = self.by_key.find_entry(self.hasher.hash_one(key), |other| *other == slot) {
            entry.remove();
            self.free.push(slot);
        }
    }

    /// What a row has for a tie; 0 is the key.
    pub(super) fn value(&self, slot: Slot, tie: usize) -> Name {
        self.cells[self.start(slot) + tie]
    }

    /// Gives a row another value for a tie other than the key, and returns the one it had.
    pub(super) fn set_value(&mut self, slot: Slot, tie: usize, value: Name) -> Name {
        let cell = self.start(slot) + tie;
        let old = self.cells[cell];
        if let Some(index) = self.index[tie]
            && old != value
        {
            self.unlink(slot, index, old);
            self.cells[cell] = value;
            self.link(slot, index, value);
        }
        self.cells[cell] = value;
        old
    }

    /// Whether a row is in a layer, given by its bit.
    pub(super) fn is_in(&self, slot: Slot, bit: usize) -> bool {
        self.cells[self.layers(slot) + bit / 32] & mask(bit) != 0
    }

    /// Whether a row is in any layer.
    pub(super) fn is_in_any(&self, slot: Slot) -> bool {
        let start = self.layers(slot);
        self.cells[start..start + self.words].iter().any(|word| *word != 0)
    }

    /// Puts a row into a layer or takes it out.
    pub(super) fn set_in(&mut self, slot: Slot, bit: usize, is_in: bool) {
        let word = self.layers(slot) + bit / 32;
        if is_in {
            self.cells[word] |= mask(bit);
        } else {
            self.cells[word] &= !mask(bit);
        }
    }

    /// Whether a row passes a layer's filter.
    pub(super) fn passes(&self, slot: Slot, bit: usize) -> bool {
        self.cells[self.layers(slot) + self.words + bit / 32] & mask(bit) != 0
    }

    /// Notes which layers' filters a row passes.
    pub(super) fn set_passes(&mut self, slot: Slot, passes: &Bits) {
        let start = self.layers(slot) + self.words;
        for (cell, word) in self.cells[start..start + self.words].iter_mut().zip(&passes.0) {
            *cell = *word;
        }
    }

    /// The first row that has a value for a tie. Only for ties that are indexed.
    pub(super) fn first(&self, tie: usize, value: Name) -> Option<Slot> {
        match self.index[tie] {
            None => self.find(value),
            Some(index) => self.heads[index].get(&value).copied(),
        }
    }

    /// The row after that with the same value.
    pub(super) fn next(&self, tie: usize, slot: Slot) -> Option<Slot> {
        let next = self.cells[self.links(slot, self.index[tie]?)];
        (next != NONE).then_some(next)
    }

    fn link(&mut self, slot: Slot, index: usize, value: Name) {
        if value == NULL {
            return;
        }
        let next = self.heads[index].insert(value, slot).unwrap_or(NONE);
        if next != NONE {
            let previous = self.links(next, index) + 1;
            self.cells[previous] = slot;
        }
        let links = self.links(slot, index);
        self.cells[links] = next;
        self.cells[links + 1] = NONE;
    }

    fn unlink(&mut self, slot: Slot, index: usize, value: Name) {
        if value == NULL {
            return;
        }
        let links = self.links(slot, index);
        let (next, previous) = (self.cells[links], self.cells[links + 1]);
        if next != NONE {
            let cell = self.links(next, index) + 1;
            self.cells[cell] = previous;
        }
        if previous != NONE {
            let cell = self.links(previous, index);
            self.cells[cell] = next;
        } else if next != NONE {
            self.heads[index].insert(value, next);
        } else {
            self.heads[index].remove(&value);
        }
    }

    fn start(&self, slot: Slot) -> usize {
        slot as usize * self.width
    }

    fn layers(&self, slot: Slot) -> usize {
        self.start(slot) + self.ties
    }

    fn links(&self, slot: Slot, index: usize) -> usize {
        self.layers(slot) + 2 * self.words + 2 * index
    }

    /// Whether most of what is reserved is of no use: a large transaction has passed that touched few rows of the shape.
    pub(super) fn is_roomy(&self) -> bool {
        self.free.len() / 4 > self.by_key.len() && self.cells.len() > 2 * self.settled + ROOM * self.width
    }

    /// Gives back what was reserved for more.
    pub(super) fn shrink(&mut self) {
        self.free.sort_unstable();
        while self.free.last().is_some_and(|slot| (*slot as usize + 1) * self.width == self.cells.len()) {
            self.free.pop();
            self.cells.truncate(self.cells.len() - self.width);
        }
        self.settled = self.cells.len();
        self.cells.shrink_to_fit();
        self.free.shrink_to_fit();
        self.heads.iter_mut().for_each(HashMap::shrink_to_fit);
        let Rows { by_key, hasher, cells, width, .. } = self;
        by_key.shrink_to_fit(|slot| hasher.hash_one(cells[*slot as usize * *width]));
    }

    /// Bytes in memory.
    pub(super) fn weight(&self) -> usize {
        (self.cells.capacity() + self.free.capacity()) * size_of::<u32>()
            + self.by_key.allocation_size()
            + self.heads.iter().map(HashMap::allocation_size).sum::<usize>()
    }
}

fn mask(bit: usize) -> u32 {
    1 << (bit % 32)
}

/// Some of a table's layers.
#[derive(Clone, Debug, Default)]
pub(super) struct Bits(Vec<u32>);

impl Bits {
    /// None of so many.
    pub(super) fn clear(&mut self, layers: usize) {
        self.0.clear();
        self.0.resize(layers.div_ceil(32), 0);
    }

    pub(super) fn insert(&mut self, bit: usize) {
        if let Some(word) = self.0.get_mut(bit / 32) {
            *word |= mask(bit);
        }
    }

    pub(super) fn contains(&self, bit: usize) -> bool {
        self.0.get(bit / 32).is_some_and(|word| word & mask(bit) != 0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }
}

//! How many parents each join value has.

use hashbrown::HashMap;

use super::names::Name;

/// For one set of columns by which rows get into a layer: the parent rows that have a value in theirs, counted.
///
/// A count above zero keeps a row in an acyclic layer. In a cyclic one, rows can hold each other up; those are counted apart,
/// since only the others prove that a row is reached from the root.
#[derive(Default)]
pub(super) struct Supports {
    /// By rows of layers that the layer itself does not lead to.
    outer: HashMap<Name, u32>,
    /// By rows of layers of the same cycle.
    inner: HashMap<Name, u32>,
}

impl Supports {
    /// Whether a parent has the value.
    pub(super) fn is_held(&self, value: Name) -> bool {
        self.is_anchored(value) || self.inner.contains_key(&value)
    }

    /// Whether a parent outside the cycle has it.
    pub(super) fn is_anchored(&self, value: Name) -> bool {
        self.outer.contains_key(&value)
    }

    /// One more parent; whether it is the first.
    pub(super) fn add(&mut self, value: Name, is_inner: bool) -> bool {
        let is_first = !self.is_held(value);
        *self.side(is_inner).entry(value).or_default() += 1;
        is_first
    }

    /// One parent less.
    pub(super) fn remove(&mut self, value: Name, is_inner: bool) {
        let side = self.side(is_inner);
        if let Some(count) = side.get_mut(&value) {
            *count -= 1;
            if *count == 0 {
                side.remove(&value);
            }
        }
    }

    fn side(&mut self, is_inner: bool) -> &mut HashMap<Name, u32> {
        if is_inner { &mut self.inner } else { &mut self.outer }
    }

    /// Bytes in memory.
    pub(super) fn weight(&self) -> usize {
        self.outer.allocation_size() + self.inner.allocation_size()
    }
}

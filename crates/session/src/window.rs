//! The window of transactions that are on the wire and not yet acknowledged (spec 02 §6.8).

use std::collections::VecDeque;

/// Ids of sent transactions, oldest first. Never holds more than its size.
#[derive(Debug)]
pub(crate) struct Window {
    size: usize,
    ids: VecDeque<u64>,
}

/// The client acknowledged a transaction that is not in the window.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UnknownTransaction;

impl Window {
    /// An empty window; a size of 0 is taken as 1.
    pub(crate) fn new(size: u32) -> Window {
        Window { size: (size as usize).max(1), ids: VecDeque::new() }
    }

    /// Whether one more may be sent.
    pub(crate) fn has_room(&self) -> bool {
        self.ids.len() < self.size
    }

    /// Whether there is room for so many.
    pub(crate) fn is_free_for(&self, count: usize) -> bool {
        self.ids.len() + count <= self.size
    }

    /// Whether less than half is used, so that a transaction nobody asked for takes nobody's place.
    pub(crate) fn is_mostly_free(&self) -> bool {
        self.ids.len() * 2 < self.size
    }

    /// Notes that this one was sent.
    pub(crate) fn sent(&mut self, id: u64) {
        debug_assert!(self.has_room(), "the window is never exceeded");
        self.ids.push_back(id);
    }

    /// Releases everything up to and including `id`; 0 releases nothing.
    pub(crate) fn acknowledge(&mut self, id: u64) -> Result<(), UnknownTransaction> {
        if id == 0 {
            return Ok(());
        }
        let at = self.ids.iter().position(|sent| *sent == id).ok_or(UnknownTransaction)?;
        self.ids.drain(..=at);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_ack_releases_everything_up_to_it_and_nothing_after() {
        let mut window = Window::new(2);
        window.sent(7);
        window.sent(9);
        assert!(!window.has_room());
        assert_eq!(window.acknowledge(7), Ok(()));
        assert!(window.has_room());
        window.sent(8);
        assert_eq!(window.acknowledge(0), Ok(()), "0 acknowledges nothing");
        assert!(!window.has_room());
        assert_eq!(window.acknowledge(8), Ok(()));
        assert_eq!(window.acknowledge(9), Err(UnknownTransaction), "it was released with the one after it");
    }

    #[test]
    fn a_window_of_nothing_still_lets_one_through() {
        assert!(Window::new(0).has_room());
    }
}

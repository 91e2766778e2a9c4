//! A connection's place among the watchers: its bell, and the transactions that it was rung for.

use std::{collections::VecDeque, sync::Arc};

use change::Lsn;
use parking_lot::Mutex;

use super::ConnectionId;
use crate::connection::Mailbox;

/// Transactions that are remembered for a connection. One that is further behind goes through the whole window once.
const REMEMBERED: usize = 64;

/// What is known of one connection. The stream's task writes the notes, the connection's own task reads them; neither ever
/// waits for another connection's.
#[derive(Debug)]
pub struct Seat {
    /// Whose it is.
    pub(super) id: ConnectionId,
    /// Its bell.
    pub(super) mailbox: Arc<Mailbox>,
    notes: Mutex<Notes>,
}

/// Which transactions concern a connection.
#[derive(Debug)]
struct Notes {
    /// All of them that are later than this are here, and none that is not.
    after: Lsn,
    /// Ascending.
    positions: VecDeque<Lsn>,
}

impl Seat {
    /// A seat for a connection that is noted whatever concerns it after `noted`.
    pub(super) fn new(id: ConnectionId, mailbox: Arc<Mailbox>, noted: Lsn) -> Arc<Seat> {
        let notes = Mutex::new(Notes { after: noted, positions: VecDeque::new() });
        Arc::new(Seat { id, mailbox, notes })
    }

    /// Notes a transaction; later than all before, or the last one again. Whether it was not noted yet.
    pub(super) fn note(&self, position: Lsn) -> bool {
        let mut notes = self.notes.lock();
        if notes.positions.back() == Some(&position) {
            return false;
        }
        if notes.positions.len() == REMEMBERED
            && let Some(oldest) = notes.positions.pop_front()
        {
            notes.after = oldest;
        }
        notes.positions.push_back(position);
        true
    }

    /// What concerns the connection has changed: the notes begin anew after `noted`.
    pub(super) fn begin_anew(&self, noted: Lsn) {
        *self.notes.lock() = Notes { after: noted, positions: VecDeque::new() };
    }

    /// The transactions after `cursor`, and not after `until`, that concern the connection; `None` if that is not known
    /// from so far back. Forgets those up to `cursor`, which never goes back.
    #[must_use]
    pub fn concerning(&self, cursor: Lsn, until: Lsn) -> Option<Vec<Lsn>> {
        let mut notes = self.notes.lock();
        if cursor < notes.after {
            return None;
        }
        notes.after = cursor;
        let seen = notes.positions.partition_point(|position| *position <= cursor);
        notes.positions.drain(..seen);
        if notes.positions.is_empty() {
            // Most connections are idle most of the time.
            notes.positions = VecDeque::new();
        }
        Some(notes.positions.iter().copied().take_while(|position| *position <= until).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(noted: u64) -> Arc<Seat> {
        Seat::new(ConnectionId(1), Mailbox::new(), Lsn(noted))
    }

    fn concerning(seat: &Seat, cursor: u64, until: u64) -> Option<Vec<u64>> {
        let positions = seat.concerning(Lsn(cursor), Lsn(until))?;
        Some(positions.iter().map(|position| position.0).collect())
    }

    #[test]
    fn notes_stay_until_the_cursor_has_passed_them() {
        let seat = seat(10);
        assert!(seat.note(Lsn(20)) && !seat.note(Lsn(20)) && seat.note(Lsn(30)));
        assert_eq!(concerning(&seat, 9, 40), None, "nobody noted anything up to 10");
        assert_eq!(concerning(&seat, 10, 25), Some(vec![20]));
        assert_eq!(concerning(&seat, 10, 40), Some(vec![20, 30]));
        assert_eq!(concerning(&seat, 20, 40), Some(vec![30]));
        assert_eq!(concerning(&seat, 40, 50), Some(vec![]));
    }

    #[test]
    fn what_does_not_fit_is_not_claimed_to_be_known() {
        let seat = seat(0);
        let last = REMEMBERED as u64 + 2;
        (1..=last).for_each(|position| assert!(seat.note(Lsn(position))));
        assert_eq!(concerning(&seat, 1, last), None);
        assert_eq!(concerning(&seat, 2, last), Some((3..=last).collect()));
    }

    #[test]
    fn other_interests_begin_anew() {
        let seat = seat(0);
        seat.note(Lsn(5));
        seat.begin_anew(Lsn(7));
        assert_eq!(concerning(&seat, 6, 9), None);
        assert_eq!(concerning(&seat, 7, 9), Some(vec![]));
    }
}

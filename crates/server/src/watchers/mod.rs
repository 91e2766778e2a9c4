//! Who is to be woken for which transaction. An idle connection costs nothing while what it does not watch is written, and one
//! that is woken is told which transactions it was woken for.

mod groups;
mod seat;

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};

use change::{ClientId, Lsn};
use parking_lot::Mutex;
use session::{Delivery, Interest};

pub use seat::Seat;

use crate::connection::Mailbox;
use groups::Groups;

/// Names a connection within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// All connections by what they wait for.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    all: HashMap<ConnectionId, Watcher>,
    groups: Groups,
    authors: HashMap<ClientId, Arc<Seat>>,
    positions: BTreeMap<(Lsn, ConnectionId), Arc<Mailbox>>,
    /// The newest transaction that [`Watchers::note`] was told of.
    noted: Lsn,
}

#[derive(Debug)]
struct Watcher {
    seat: Arc<Seat>,
    client: ClientId,
    interests: Arc<[Interest]>,
}

/// Those whom a transaction may concern.
#[derive(Debug)]
#[must_use = "nobody is woken otherwise"]
pub struct Concerned(Vec<Arc<Seat>>);

impl Concerned {
    /// Makes them look at the stream.
    pub fn wake(self) {
        self.0.iter().for_each(|seat| seat.mailbox.wake());
    }
}

impl Watchers {
    /// Nobody. Whatever comes after `position` will be noted.
    #[must_use]
    pub fn after(position: Lsn) -> Watchers {
        Watchers(Mutex::new(Index { noted: position, ..Index::default() }))
    }

    /// Adds an authenticated connection. It is woken for its client's own transactions and for migrations.
    pub fn add(&self, id: ConnectionId, client: &ClientId, mailbox: &Arc<Mailbox>) -> Arc<Seat> {
        let mut index = self.0.lock();
        let seat = Seat::new(id, mailbox.clone(), index.noted);
        index.authors.insert(client.clone(), seat.clone());
        let watcher = Watcher { seat: seat.clone(), client: client.clone(), interests: Arc::default() };
        index.all.insert(id, watcher);
        seat
    }

    /// Replaces what a connection watches, and wakes it if that is more than before. Only the connection itself calls this, and
    /// [`Watchers::remove`].
    pub fn watch(&self, seat: &Arc<Seat>, interests: &Arc<[Interest]>) {
        let before = {
            let mut index = self.0.lock();
            let Some(watcher) = index.all.get_mut(&seat.id) else { return };
            std::mem::replace(&mut watcher.interests, interests.clone())
        };
        let old: HashSet<&Interest> = before.iter().collect();
        let new: HashSet<&Interest> = interests.iter().collect();
        // The lock is taken for each: an interest may list thousands of values, and the stream must not wait for all of them.
        for interest in old.difference(&new) {
            self.0.lock().groups.leave(interest, seat);
        }
        if new.is_subset(&old) {
            // The notes may hold more than what concerns it now, never less.
            return;
        }
        for interest in new.difference(&old) {
            self.0.lock().groups.join(interest, seat);
        }
        let index = self.0.lock();
        seat.begin_anew(index.noted);
        // What came while the interests were filed may have rung for nobody.
        seat.mailbox.wake();
    }

    /// Wakes a connection once the stream has reached a position.
    pub fn at(&self, position: Lsn, id: ConnectionId, mailbox: &Arc<Mailbox>) {
        self.0.lock().positions.insert((position, id), mailbox.clone());
    }

    /// Forgets a connection.
    pub fn remove(&self, seat: &Arc<Seat>) {
        let interests = {
            let mut index = self.0.lock();
            let Some(watcher) = index.all.remove(&seat.id) else { return };
            if index.authors.get(&watcher.client).is_some_and(|author| Arc::ptr_eq(author, seat)) {
                index.authors.remove(&watcher.client);
            }
            index.positions.retain(|(_, waiting), _| *waiting != seat.id);
            watcher.interests
        };
        for interest in interests.iter() {
            self.0.lock().groups.leave(interest, seat);
        }
    }

    /// Notes the next transaction for everyone whom it may concern. They are to be woken once it can be read.
    pub fn note(&self, delivery: &Delivery) -> Concerned {
        let mut index = self.0.lock();
        let Index { all, groups, authors, noted, .. } = &mut *index;
        *noted = delivery.transaction.lsn;
        let mut concerned = Vec::new();
        let mut concern = |seat: &Arc<Seat>| {
            if seat.note(delivery.transaction.lsn) {
                concerned.push(seat.clone());
            }
        };
        if delivery.migration.is_some() {
            all.values().for_each(|watcher| concern(&watcher.seat));
        } else {
            groups.concerned(delivery, &mut concern);
            let author = delivery.transaction.origin.client().and_then(|id| authors.get(id));
            author.into_iter().for_each(concern);
        }
        Concerned(concerned)
    }

    /// Wakes those who wait for a position up to here.
    pub fn reached(&self, position: Lsn) {
        self.0.lock().wake_reached(position);
    }

    /// Wakes everyone, so that no idle connection's cursor falls out of the window.
    pub fn wake_all(&self) {
        self.0.lock().all.values().for_each(|watcher| watcher.seat.mailbox.wake());
    }

    /// Authenticated connections.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().all.len()
    }
}

impl Index {
    fn wake_reached(&mut self, position: Lsn) {
        while let Some(entry) = self.positions.first_entry() {
            if entry.key().0 > position {
                break;
            }
            entry.remove().wake();
        }
    }
}

#[cfg(test)]
mod tests;

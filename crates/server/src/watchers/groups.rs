//! Connections by their interests. Those with the same interest are one group, so that the cost of a change depends on how many
//! distinct interests it may touch, and every connection is told once however many rows a transaction has.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::Arc,
};

use change::Lsn;
use session::{Delivery, Interest};
use shapes::RoutingIndex;

use super::{ConnectionId, Seat};

/// All groups.
#[derive(Debug, Default)]
pub(super) struct Groups {
    routes: RoutingIndex<usize>,
    by_interest: HashMap<Interest, usize>,
    all: Vec<Group>,
    /// Places in `all` that are not used.
    vacant: Vec<usize>,
}

/// Everyone who has an interest.
#[derive(Debug, Default)]
struct Group {
    seats: HashMap<ConnectionId, Arc<Seat>>,
    /// The last transaction that concerned it.
    noted: Lsn,
}

impl Groups {
    /// Adds a connection to those who have an interest.
    pub(super) fn join(&mut self, interest: &Interest, seat: &Arc<Seat>) {
        let name = match self.by_interest.entry(interest.clone()) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(place) => {
                let name = self.vacant.pop().unwrap_or_else(|| {
                    self.all.push(Group::default());
                    self.all.len() - 1
                });
                self.routes.insert(interest.relation, &interest.route, name);
                *place.insert(name)
            }
        };
        if let Some(group) = self.all.get_mut(name) {
            group.seats.insert(seat.id, seat.clone());
        }
    }

    /// Takes a connection out again.
    pub(super) fn leave(&mut self, interest: &Interest, seat: &Seat) {
        let Some(name) = self.by_interest.get(interest).copied() else { return };
        let Some(group) = self.all.get_mut(name) else { return };
        group.seats.remove(&seat.id);
        if group.seats.is_empty() {
            *group = Group::default();
            self.by_interest.remove(interest);
            self.routes.remove(interest.relation, &interest.route, &name);
            self.vacant.push(name);
        }
    }

    /// Hands on the connections that a transaction may concern; one with several interests possibly several times.
    pub(super) fn concerned(&mut self, delivery: &Delivery, mut found: impl FnMut(&Arc<Seat>)) {
        let Groups { routes, all, .. } = self;
        let position = delivery.transaction.lsn;
        for change in &delivery.transaction.changes {
            routes.concerned(change.relation, &change.row, |name| {
                if let Some(group) = all.get_mut(*name).filter(|group| group.noted != position) {
                    group.noted = position;
                    group.seats.values().for_each(&mut found);
                }
            });
        }
    }

    /// Distinct interests.
    #[cfg(test)]
    pub(super) fn count(&self) -> usize {
        self.by_interest.len()
    }
}

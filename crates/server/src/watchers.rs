//! Who is to be woken for which transaction. An idle connection costs nothing while others' tables are written.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use change::{ClientId, Lsn, RelationId};
use parking_lot::Mutex;
use session::Delivery;

use crate::connection::Mailbox;

/// Names a connection within this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(pub u64);

/// All connections by what they wait for.
#[derive(Debug, Default)]
pub struct Watchers(Mutex<Index>);

#[derive(Debug, Default)]
struct Index {
    all: HashMap<ConnectionId, Watcher>,
    tables: HashMap<RelationId, HashMap<ConnectionId, Arc<Mailbox>>>,
    authors: HashMap<ClientId, Arc<Mailbox>>,
    positions: BTreeMap<(Lsn, ConnectionId), Arc<Mailbox>>,
}

#[derive(Debug)]
struct Watcher {
    mailbox: Arc<Mailbox>,
    client: ClientId,
    tables: Arc<[RelationId]>,
}

impl Watchers {
    /// Adds an authenticated connection. It is woken for its client's own transactions and for migrations.
    pub fn add(&self, id: ConnectionId, client: &ClientId, mailbox: &Arc<Mailbox>) {
        let mut index = self.0.lock();
        let watcher = Watcher { mailbox: mailbox.clone(), client: client.clone(), tables: Arc::default() };
        index.all.insert(id, watcher);
        index.authors.insert(client.clone(), mailbox.clone());
    }

    /// Replaces the set of tables that a connection watches.
    pub fn watch(&self, id: ConnectionId, tables: &Arc<[RelationId]>) {
        let mut index = self.0.lock();
        let Some(watcher) = index.all.get_mut(&id) else { return };
        let (before, mailbox) =
            (std::mem::replace(&mut watcher.tables, tables.clone()), watcher.mailbox.clone());
        index.forget_tables(id, &before);
        for table in tables.iter() {
            index.tables.entry(*table).or_default().insert(id, mailbox.clone());
        }
    }

    /// Wakes a connection once the stream has reached a position.
    pub fn at(&self, position: Lsn, id: ConnectionId, mailbox: &Arc<Mailbox>) {
        self.0.lock().positions.insert((position, id), mailbox.clone());
    }

    /// Forgets a connection.
    pub fn remove(&self, id: ConnectionId) {
        let mut index = self.0.lock();
        let Some(watcher) = index.all.remove(&id) else { return };
        index.forget_tables(id, &watcher.tables);
        if index.authors.get(&watcher.client).is_some_and(|mailbox| Arc::ptr_eq(mailbox, &watcher.mailbox)) {
            index.authors.remove(&watcher.client);
        }
        index.positions.retain(|(_, waiting), _| *waiting != id);
    }

    /// Wakes everyone whom a new transaction may concern.
    pub fn delivered(&self, delivery: &Delivery) {
        let mut index = self.0.lock();
        if delivery.migration.is_some() {
            index.all.values().for_each(|watcher| watcher.mailbox.wake());
        } else {
            for table in delivery.relations() {
                if let Some(watchers) = index.tables.get(table) {
                    watchers.values().for_each(|mailbox| mailbox.wake());
                }
            }
            if let Some(author) = delivery.transaction.origin.client().and_then(|id| index.authors.get(id)) {
                author.wake();
            }
        }
        index.wake_reached(delivery.transaction.lsn);
    }

    /// Wakes those who wait for a position up to here.
    pub fn reached(&self, position: Lsn) {
        self.0.lock().wake_reached(position);
    }

    /// Wakes everyone, so that no idle connection's cursor falls out of the window.
    pub fn wake_all(&self) {
        self.0.lock().all.values().for_each(|watcher| watcher.mailbox.wake());
    }

    /// Authenticated connections.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.lock().all.len()
    }
}

impl Index {
    fn forget_tables(&mut self, id: ConnectionId, tables: &[RelationId]) {
        for table in tables {
            if let Some(watchers) = self.tables.get_mut(table) {
                watchers.remove(&id);
                if watchers.is_empty() {
                    self.tables.remove(table);
                }
            }
        }
    }

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
mod tests {
    use change::{Change, Origin, Row, RowChange, Transaction, Xid};

    use super::*;

    fn delivery(lsn: u64, tables: &[u32], origin: Origin) -> Delivery {
        let row = || Row::from_iter([Some(b"x".as_slice())]);
        let changes = tables
            .iter()
            .map(|t| Change { relation: RelationId(*t), row: RowChange::Delete { old: row() } })
            .collect();
        let transaction = Transaction { lsn: Lsn(lsn), xid: Xid(lsn), commit_ms: 0, origin, changes };
        Delivery::new(transaction, Arc::default(), None)
    }

    async fn is_rung(mailbox: &Mailbox) -> bool {
        tokio::select! {
            biased;
            () = mailbox.rung() => true,
            () = std::future::ready(()) => false,
        }
    }

    #[tokio::test]
    async fn only_those_concerned_are_woken() {
        let watchers = Watchers::default();
        let (a, b) = (Mailbox::new(), Mailbox::new());
        let (alice, bob) = (ClientId::new("a").unwrap(), ClientId::new("b").unwrap());
        watchers.add(ConnectionId(1), &alice, &a);
        watchers.add(ConnectionId(2), &bob, &b);
        watchers.watch(ConnectionId(1), &Arc::from([RelationId(7)]));

        watchers.delivered(&delivery(1, &[7], Origin::Postgres));
        assert!(is_rung(&a).await && !is_rung(&b).await);
        watchers.delivered(&delivery(2, &[8], Origin::Client(bob)));
        assert!(!is_rung(&a).await && is_rung(&b).await);

        watchers.watch(ConnectionId(1), &Arc::from([RelationId(8)]));
        watchers.delivered(&delivery(3, &[7], Origin::Postgres));
        assert!(!is_rung(&a).await);
        watchers.at(Lsn(9), ConnectionId(1), &a);
        watchers.reached(Lsn(8));
        assert!(!is_rung(&a).await);
        watchers.reached(Lsn(9));
        assert!(is_rung(&a).await);

        watchers.remove(ConnectionId(1));
        watchers.delivered(&delivery(4, &[8], Origin::Client(alice)));
        assert!(!is_rung(&a).await);
        let index = watchers.0.lock();
        assert!(index.tables.is_empty() && index.positions.is_empty() && index.authors.len() == 1);
    }
}

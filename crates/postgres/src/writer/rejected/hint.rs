//! Which clients may have an entry that waits, so that for all others nothing need be asked or written.

use std::collections::HashSet;

use change::ClientId;
use parking_lot::Mutex;
use tokio_postgres::{Client, Error};

use super::MAX_ENTRIES;

/// The most clients that are kept in mind: twice as many as can have an entry.
const MOST: usize = 2 * MAX_ENTRIES as usize;

/// A guess on the safe side; what counts is the table.
#[derive(Debug, Default)]
pub struct Hint {
    /// `None` until the table has been read.
    clients: Mutex<Option<HashSet<ClientId>>>,
}

impl Hint {
    /// Whether a client may have an entry that waits. Reads the table when first asked.
    pub async fn may_wait(&self, session: &Client, client: &ClientId) -> Result<bool, Error> {
        if let Some(clients) = &*self.clients.lock() {
            return Ok(clients.contains(client));
        }
        let waiting = "SELECT DISTINCT client_id FROM electric.rejected_transactions WHERE state = 'waiting'";
        let rows = session.query(waiting, &[]).await?;
        let read = rows.iter().filter_map(|row| ClientId::new(row.try_get(0).ok()?).ok());
        let mut clients = self.clients.lock();
        let known = clients.get_or_insert_default();
        known.extend(read);
        Ok(known.contains(client))
    }

    /// A client's transaction was rejected.
    pub fn add(&self, client: &ClientId) {
        let mut clients = self.clients.lock();
        if let Some(known) = &mut *clients {
            known.insert(client.clone());
            if known.len() > MOST {
                // Most of them have no entry any more: the table is read anew.
                *clients = None;
            }
        }
    }

    /// A client's transaction went well.
    pub fn remove(&self, client: &ClientId) {
        if let Some(clients) = &mut *self.clients.lock() {
            clients.remove(client);
        }
    }
}

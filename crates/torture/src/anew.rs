//! What a failover does to a client: the new primary has no replication slot, so that everybody has to load everything again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use anyhow::Result;
use node_client::NodeClient;
use serde_json::Value;

use crate::rig::Failovers;

/// How long the app waits for the rows it asked for before it looks whether they have come otherwise: a promise of the client
/// library is forgotten when its connection breaks.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a client is with it.
pub(crate) struct Anew {
    failovers: Arc<Failovers>,
    /// The client has thrown its rows away and does not have them again.
    under_way: AtomicBool,
    /// How many failovers there were when the client was last reset.
    reset_after: AtomicU32,
    /// The same when it had everything again.
    whole_after: AtomicU32,
}

impl Anew {
    pub(crate) fn new(failovers: Arc<Failovers>) -> Anew {
        Anew {
            failovers,
            under_way: AtomicBool::new(false),
            reset_after: AtomicU32::new(0),
            whole_after: AtomicU32::new(0),
        }
    }

    /// The client was reset. Whether it had reason to be: there was a failover since the last time.
    pub(crate) fn begin(&self) -> bool {
        self.under_way.store(true, Ordering::Relaxed);
        let failovers = self.failovers.count();
        self.reset_after.swap(failovers, Ordering::Relaxed) < failovers
    }

    /// Its process has ended, perhaps before its database knew of the reset: it may be reset by the same failover again.
    pub(crate) fn interrupted(&self) {
        if self.is_under_way() {
            self.reset_after.store(self.whole_after.load(Ordering::Relaxed), Ordering::Relaxed);
        }
    }

    pub(crate) fn is_under_way(&self) -> bool {
        self.under_way.load(Ordering::Relaxed)
    }

    /// Asks for everything, and for what comes of what the client had not sent. Whether all of it is there.
    ///
    /// # Errors
    /// The client's own: it is not connected, or its connection broke. To be tried again.
    pub(crate) async fn go_on(
        &self,
        client: &NodeClient,
        whole: &[&str],
        (table, options): (&str, Value),
    ) -> Result<bool> {
        self.forget_acknowledged(client).await?;
        if client.connectivity().borrow().status != "connected" {
            return Ok(false);
        }
        if let Ok(answer) = tokio::time::timeout(PATIENCE, client.sync(whole)).await {
            answer?;
        }
        if let Ok(answer) = tokio::time::timeout(PATIENCE, client.sync_table(table, options)).await {
            answer?;
        }
        let subscriptions = client.subscriptions().await?;
        if subscriptions.len() < 2 || subscriptions.iter().any(|status| status != "active") {
            return Ok(false);
        }
        let sql = "SELECT (SELECT count(*) FROM _electric_oplog) AS waiting, (SELECT count(*) FROM fences) AS fences";
        let rows = client.transact(&[sql.to_owned()]).await?;
        let row = rows.first().and_then(|rows| rows.get(0)).cloned().unwrap_or_default();
        let is = |column: &str, count: &str| row[column].to_string().trim_matches('"') == count;
        let is_whole = is("waiting", "0") && is("fences", "1");
        if is_whole {
            self.whole_after.store(self.reset_after.load(Ordering::Relaxed), Ordering::Relaxed);
            self.under_way.store(false, Ordering::Relaxed);
        }
        Ok(is_whole)
    }

    /// Has the client forget what was applied before the failover and never came back to it. The client library keeps that in its log
    /// of what is to be sent, though nothing will ever come of it, and merges whatever comes later with it.
    async fn forget_acknowledged(&self, client: &NodeClient) -> Result<()> {
        let sql = "SELECT value FROM _electric_meta WHERE key = 'clientId'";
        let rows = client.transact(&[sql.to_owned()]).await?;
        let id = rows.first().and_then(|rows| rows[0]["value"].as_str()).unwrap_or_default();
        if let Some(position) = self.failovers.acknowledged(id) {
            client.transact(&[format!("DELETE FROM _electric_oplog WHERE rowid <= {position}")]).await?;
        }
        Ok(())
    }
}

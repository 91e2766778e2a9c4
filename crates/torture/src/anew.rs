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

use crate::{history::Process, rig::Rig};

/// How long the app waits for the rows it asked for before it looks whether they have come otherwise: a promise of the client
/// library is forgotten when its connection breaks.
const PATIENCE: Duration = Duration::from_secs(5);

/// How far a client is with it.
pub(crate) struct Anew {
    rig: Arc<Rig>,
    process: Process,
    /// The client has thrown its rows away and does not have them again.
    under_way: AtomicBool,
    /// How many failovers there were when the client was last reset.
    reset_after: AtomicU32,
    /// The same when it had everything again.
    whole_after: AtomicU32,
    /// The number of the client's own fence in the table of fences: what was applied before that has come when it comes.
    fence: AtomicU32,
    /// Whether that fence was made since the client was last reset.
    has_asked: AtomicBool,
}

impl Anew {
    pub(crate) fn new(rig: Arc<Rig>, process: Process) -> Anew {
        Anew {
            rig,
            process,
            fence: AtomicU32::new(0),
            has_asked: AtomicBool::new(false),
            under_way: AtomicBool::new(false),
            reset_after: AtomicU32::new(0),
            whole_after: AtomicU32::new(0),
        }
    }

    /// The client was reset. Whether it had reason to be: there was a failover since the last time.
    pub(crate) fn begin(&self) -> bool {
        self.under_way.store(true, Ordering::Relaxed);
        self.has_asked.store(false, Ordering::Relaxed);
        let failovers = self.rig.failovers();
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
        let sql = "SELECT count(*) AS waiting FROM _electric_oplog";
        if number(client, sql).await? > 0 {
            return Ok(false);
        }
        if !self.has_fence(client).await? {
            return Ok(false);
        }
        self.whole_after.store(self.reset_after.load(Ordering::Relaxed), Ordering::Relaxed);
        self.under_way.store(false, Ordering::Relaxed);
        Ok(true)
    }

    /// Whether everything has come to the client that was applied before now, or before this was asked last.
    async fn has_fence(&self, client: &NodeClient) -> Result<bool> {
        let fence = self.fence.load(Ordering::Relaxed);
        // Those of the clients are beside the one that everybody waits for.
        let id = self.process.0 + 1;
        if self.has_asked.load(Ordering::Relaxed) {
            let sql = format!("SELECT count(*) AS fences FROM fences WHERE id = {id} AND number >= {fence}");
            return Ok(number(client, &sql).await? == 1);
        }
        let fence = fence + 1;
        let sql = format!(
            "INSERT INTO fences VALUES ({id}, {fence}) ON CONFLICT (id) DO UPDATE SET number = {fence}"
        );
        self.rig.connect().await?.batch_execute(&sql).await?;
        self.fence.store(fence, Ordering::Relaxed);
        self.has_asked.store(true, Ordering::Relaxed);
        Ok(false)
    }

    /// Has the client forget what was applied and never came back to it: before the failover, or while it had no position in the new
    /// stream. The client library keeps that in its log of what is to be sent, though nothing will ever come of it, and merges whatever
    /// comes later with it.
    async fn forget_acknowledged(&self, client: &NodeClient) -> Result<()> {
        let sql = "SELECT value AS id FROM _electric_meta WHERE key = 'clientId'";
        let rows = client.transact(&[sql.to_owned()]).await?;
        let id = rows.first().and_then(|rows| rows[0]["id"].as_str()).unwrap_or_default();
        let sql = "SELECT lsn FROM electric.acknowledged_client_lsns WHERE client_id = $1";
        if let Some(row) = self.rig.connect().await?.query_opt(sql, &[&id]).await? {
            let position: Vec<u8> = row.get(0);
            let position = position.iter().fold(0_i64, |position, byte| position << 8 | i64::from(*byte));
            client.transact(&[format!("DELETE FROM _electric_oplog WHERE rowid <= {position}")]).await?;
        }
        Ok(())
    }
}

/// The only number that a query answers.
async fn number(client: &NodeClient, sql: &str) -> Result<i64> {
    let rows = client.transact(&[sql.to_owned()]).await?;
    let column = rows.first().and_then(|rows| rows[0].as_object()?.values().next());
    Ok(column.and_then(|value| value.as_i64().or_else(|| value.as_str()?.parse().ok())).unwrap_or(-1))
}

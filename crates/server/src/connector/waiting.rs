//! Waiting for another instance to stop: for its journal, and for its place at Postgres. Nothing is taken from it.

use std::time::Duration;

use journal::{Identity, OpenError};
use postgres::replication::{Arrival, Process};

use super::Connector;
use crate::{
    connector_error::{ANOTHER_INSTANCE, Failure},
    history::{self, Opened},
};

/// Between two questions whether the other instance is gone.
const ASK: Duration = Duration::from_millis(100);

impl Connector {
    /// Opens the journal of the database that `arrival` has arrived at, as soon as no other process has it open.
    pub(super) async fn open_journal(&self, arrival: &mut Arrival) -> Result<Opened, Failure> {
        let identity = arrival.identity().await?;
        let mut waits = false;
        loop {
            let identity = Identity { system: identity.system.clone(), database: identity.database };
            match history::open(self.data_dir.as_deref(), self.window, identity).await {
                Err(locked @ OpenError::Locked(_)) => {
                    self.wait(&mut waits, &locked.to_string()).await;
                    // Notices when Postgres goes away meanwhile.
                    arrival.identity().await?;
                }
                answer => return Ok(answer?),
            }
        }
    }

    /// Becomes the one that follows the database, as soon as nobody else does.
    pub(super) async fn claim(
        &self,
        arrival: &mut Arrival,
        predecessor: Option<&Process>,
    ) -> Result<(), Failure> {
        let mut waits = false;
        while !arrival.claim(predecessor).await? {
            self.wait(&mut waits, "its connection to Postgres is open").await;
        }
        Ok(())
    }

    async fn wait(&self, waits: &mut bool, detail: &str) {
        if !std::mem::replace(waits, true) {
            tracing::info!("{ANOTHER_INSTANCE} ({detail})");
        }
        self.app.readiness.explain(ANOTHER_INSTANCE);
        tokio::time::sleep(ASK).await;
    }
}

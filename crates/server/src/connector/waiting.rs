//! Waiting for another instance to stop: for its journal, and for its place at Postgres. Nothing is taken from it.

use std::time::{Duration, Instant};

use journal::{Identity, OpenError};
use postgres::replication::Arrival;

use super::{Connector, Following};
use crate::{
    connector_error::{ANOTHER_INSTANCE, Failure},
    history::{self, Opened},
};

/// How long clients are kept while another instance follows their database.
const FOLLOWED: Duration = Duration::from_secs(2);

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

    /// Becomes the one that follows the database, as soon as nobody else does. One that followed it until a moment ago does not wait for
    /// long: its clients are better off with whoever does now.
    pub(super) async fn claim(
        &self,
        arrival: &mut Arrival,
        following: Option<&Following>,
    ) -> Result<(), Failure> {
        let predecessor = following.and_then(|following| following.stream.process());
        let begun = Instant::now();
        let mut waits = false;
        while !arrival.claim(predecessor).await? {
            if following.is_some() && begun.elapsed() > FOLLOWED {
                return Err(Failure::TakenOver);
            }
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

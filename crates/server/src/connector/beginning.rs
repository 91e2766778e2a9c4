//! The beginning of a stream: where the journal ends, or anew.

use std::{sync::Arc, time::SystemTime};

use change::{Lsn, Xid};
use journal::Recovered;
use postgres::{
    assemble::History,
    catalogue::{self, Catalogue},
    clients,
    replication::{
        self, Arrival, Beginning, Gap, Kept, Publication, Situation, Slot, SlotState, decide, first_position,
        write_beyond,
    },
};
use session::SessionConfig;
use tokio_postgres::Client;

use super::{Connector, Following, PUBLICATION, Past, database_position};
use crate::{
    connection::{BegunAnew, Hub},
    connector_error::Failure,
    database::Database,
    history::Opened,
    instances::{self, Instances, SharedWorld},
    stream::Stream,
};

/// How much log is written, at most, so that no position is given out again with another meaning: a quarter of what Postgres keeps between
/// checkpoints unless told otherwise. A database that is restored to a moment further back than that relies on what is stored
/// about its clients being forgotten.
const MOST_SKIPPED: u64 = 256 << 20;

/// Which part of the log that Postgres keeps for a slot (`max_slot_wal_keep_size`) a window may span that is in memory only, and so
/// holds the slot back: where the slot is read from again follows in steps, each as long as the window.
const SHARE_OF_KEPT_LOG: u64 = 4;

/// Where a stream begins.
struct Place {
    slot: Slot,
    position: Lsn,
    history: History,
}

impl Connector {
    /// Decides where the stream goes on, and begins it there; makes what connections share.
    pub(super) async fn begin(
        &self,
        client: &Client,
        mut arrival: Arrival,
        situation: Situation,
        mut opened: Opened,
    ) -> Result<Following, Failure> {
        let past = self.past.lock().clone();
        let found = opened.found().cloned();
        if let Some(lost) = found.as_ref().and_then(|found| found.lost.as_ref()) {
            tracing::warn!("the journal is damaged: {lost}");
        }
        if !opened.is_durable() {
            keep_within_log(client, &mut opened).await?;
        }
        let mut begun_anew = None;
        let place = match judge(found.as_ref(), &past, &situation) {
            Ok(position) => continued(client, &situation, position, found.as_ref()).await?,
            Err(gap) => Err(gap),
        };
        let place = match place {
            Ok(place) => {
                opened.note_timeline(situation.timelines.present);
                place
            }
            Err(gap) => {
                let handed_out = [found.as_ref().map(|found| found.position), handed_out(&past)];
                let floor = handed_out.into_iter().flatten().max();
                begun_anew = costs_somebody(&gap, &situation.slot).then(|| reason(&gap, &situation.slot));
                self.begin_anew(client, &mut arrival, &situation, &mut opened, &gap, floor).await?
            }
        };
        let heartbeat_distance = (opened.span() / 4).max(1);
        let stream = opened.into_stream(&place.history).await?;
        let publication = Publication { config: self.config.clone(), name: PUBLICATION.to_owned() };
        let mut replication = replication::Stream::new(publication, place.history);
        let timeline = situation.timelines.present;
        let beginning = Beginning { identity: situation.identity, timeline, position: place.position };
        replication.begin(arrival, &place.slot, beginning).await?;
        *self.past.lock() = Past::default();
        let hub = self.make_hub(&replication, stream, heartbeat_distance);
        // It is new, so nobody has said.
        let _ = hub.slot.set(place.slot.name);
        if let Some(why) = begun_anew {
            let _ = hub.begun_anew.set(BegunAnew { at: SystemTime::now(), why });
        }
        Ok(Following { stream: replication, hub, unpublished_at: None })
    }

    /// Begins another history, above every position of the one before it.
    async fn begin_anew(
        &self,
        client: &Client,
        arrival: &mut Arrival,
        situation: &Situation,
        opened: &mut Opened,
        gap: &Gap,
        floor: Option<Lsn>,
    ) -> Result<Place, Failure> {
        tell(gap, &situation.slot, opened.is_durable());
        // In this order, so that what was begun and cut off is begun again: as long as the slot is as it was found and the journal says
        // what it said, the decision is the same.
        if gap.disowns_clients(&situation.slot) {
            clients::forget_all(client).await?;
        }
        let mut now = database_position(client).await?;
        let floor = floor.unwrap_or(Lsn::ZERO);
        let missing = floor.0.saturating_sub(now.0);
        if floor >= now && missing <= MOST_SKIPPED {
            tracing::info!(bytes = missing, "writing log until it is longer than it was for clients");
            write_beyond(client, floor).await?;
            now = database_position(client).await?;
        }
        fail::fail_point!("connector::begin_anew", |what| crate::connector_error::tripped(what.as_deref()));
        if !matches!(situation.slot, SlotState::Found(_)) {
            self.app.readiness.explain(
                "the replication slot is being made, which waits for every transaction under way in the database",
            );
        }
        let slot = arrival.slot(situation).await?;
        let from_now = *gap == Gap::Unpublished;
        let position = match first_position(if from_now { now } else { slot.confirmed }, floor) {
            position if position <= now.max(slot.confirmed) => position,
            // Further back than is worth writing so much log.
            _ => slot.confirmed,
        };
        let catalogue = load(client).await?;
        let settled = if position > slot.confirmed { arrival.next_xid() } else { slot.settled };
        let version = version_before(&catalogue, settled);
        let loaded_at = database_position(client).await?;
        let timeline = situation.timelines.present;
        opened.begin_anew(position, timeline, version.as_deref()).await?;
        fail::fail_point!("connector::begun_anew", |what| crate::connector_error::tripped(what.as_deref()));
        let history = History::of(&catalogue, loaded_at).continued_after(version.as_deref());
        Ok(Place { slot, position, history: history.unwrap_or_default() })
    }

    /// What connections share.
    fn make_hub(
        &self,
        replication: &replication::Stream,
        stream: Arc<Stream>,
        heartbeat_distance: u64,
    ) -> Arc<Hub> {
        let control = replication.control();
        let kept = instances::Settings { kept: self.shapes.cache, ..instances::Settings::default() };
        let instances = Instances::new(&self.config, stream.clone(), control.clone(), kept);
        let world = Arc::new(SharedWorld::new(stream.clone(), instances));
        let database = Arc::new(Database::new(&self.config, (&self.shapes, self.writer), &stream, control));
        let verifier = auth::Verifier::new(self.auth.clone());
        let session = SessionConfig { heartbeat_distance, ..self.session.clone() };
        let hub = Hub::new(session, verifier, stream, world, database, self.limits);
        self.app.hub.store(Some(hub.clone()));
        hub
    }
}

fn handed_out(past: &Past) -> Option<Lsn> {
    past.handed_out.as_ref().map(|kept| kept.position)
}

/// Whether the journal can be continued, and where. What clients were told counts, too, which may be more than was written down.
fn judge(found: Option<&Recovered>, past: &Past, situation: &Situation) -> Result<Lsn, Gap> {
    if let Some(ended) = &past.ended {
        return Err(ended.clone());
    }
    if let Some(told) = past.handed_out.as_ref().filter(|told| told.identity == situation.identity) {
        decide(Some(told), situation)?;
    }
    // A journal is kept in a folder that is named after its database.
    let kept = found.map(|found| Kept {
        identity: situation.identity.clone(),
        timeline: found.timeline,
        position: found.position,
    });
    decide(kept.as_ref(), situation)
}

/// Where the journal ends, if the database still has the migrations that it knows.
async fn continued(
    client: &Client,
    situation: &Situation,
    position: Lsn,
    found: Option<&Recovered>,
) -> Result<Result<Place, Gap>, Failure> {
    let (SlotState::Found(slot), Some(found)) = (&situation.slot, found) else {
        return Ok(Err(Gap::NothingKept));
    };
    let catalogue = load(client).await?;
    let history = History::of(&catalogue, database_position(client).await?);
    let Some(history) = history.continued_after(found.schema.as_deref()) else {
        return Ok(Err(Gap::UnknownMigration { version: found.schema.clone().unwrap_or_default() }));
    };
    tracing::info!(%position, "the stream goes on where the journal ends");
    Ok(Ok(Place { slot: slot.clone(), position, history }))
}

async fn load(client: &Client) -> Result<Catalogue, Failure> {
    let catalogue = catalogue::load(client).await?;
    for table in &catalogue.dropped {
        tracing::warn!(table, "a synced table has been dropped while nobody looked");
    }
    Ok(catalogue)
}

/// The last migration of which it is known that it was over before the stream begins.
fn version_before(catalogue: &Catalogue, settled: Xid) -> Option<String> {
    let before = catalogue.steps.iter().take_while(|step| step.migration.xid < settled);
    before.last().map(|step| step.migration.version.clone())
}

/// Sees to it that a window in memory does not hold the slot back for longer than Postgres puts up with: it would invalidate the slot,
/// and everybody would have to load everything again, time after time.
async fn keep_within_log(client: &Client, opened: &mut Opened) -> Result<(), Failure> {
    let sql = "SELECT setting::int8 << 20 FROM pg_settings WHERE name = 'max_slot_wal_keep_size' AND setting::int8 >= 0";
    let Some(row) = client.query_opt(sql, &[]).await? else { return Ok(()) };
    let kept = u64::try_from(row.try_get::<_, i64>(0)?).unwrap_or(0);
    let span = (kept / SHARE_OF_KEPT_LOG).max(1);
    if let Some(wanted) = opened.bound_span(span) {
        tracing::warn!(
            "Postgres keeps {kept} bytes of its log for a slot (max_slot_wal_keep_size), so without a journal on disk clients can \
             resume from no more than {span} bytes of it instead of {wanted} (ELECTRIC_RESUMABLE_WAL_WINDOW). With TIELINE_DATA_DIR \
             they can"
        );
    }
    Ok(())
}

/// Whether somebody has to load data again. Nobody has who never had a place in the stream, or who can be told where it is.
fn costs_somebody(gap: &Gap, slot: &SlotState) -> bool {
    !matches!((gap, slot), (Gap::NothingKept, SlotState::Found(_) | SlotState::Missing { .. }))
}

/// Why it begins anew.
fn reason(gap: &Gap, slot: &SlotState) -> String {
    match (gap, slot) {
        // Nothing else is known of what was before.
        (Gap::NothingKept, SlotState::Invalidated { .. }) => Gap::SlotInvalidated.to_string(),
        _ => gap.to_string(),
    }
}

/// Says why it begins anew; loudly, if that costs somebody something.
fn tell(gap: &Gap, slot: &SlotState, durable: bool) {
    match (gap, slot) {
        (Gap::NothingKept, SlotState::Found(_)) if !durable => {
            tracing::debug!("the window of transactions is filled from the replication slot");
        }
        (Gap::NothingKept, SlotState::Missing { .. }) => {
            tracing::info!("nobody has followed this database yet: the stream of changes begins now");
        }
        (Gap::NothingKept, SlotState::Found(_)) => tracing::warn!(
            "{gap}: a new one begins where the replication slot stands. Clients that have not seen everything before that load their \
             data again"
        ),
        _ => tracing::warn!(
            "the stream of changes begins anew, and clients load their data again: {}",
            reason(gap, slot)
        ),
    }
}

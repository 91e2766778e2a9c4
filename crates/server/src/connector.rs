//! The task that follows Postgres: connect, check, install, decide where to go on, stream; and again when the connection is lost.
//!
//! What connections share (the [`Hub`] with its window of transactions) outlives a lost connection: the stream goes on after the
//! last transaction that was handed over, so clients notice nothing but a pause. Only when the stream can't go on without a
//! gap is everything made anew, and clients are sent away to come back; see [`postgres::replication::decide`].

mod beginning;
mod waiting;

use std::{convert::Infallible, path::PathBuf, sync::Arc, time::Duration};

use change::Lsn;
use parking_lot::Mutex;
use postgres::{
    connection::{ConnectConfig, Purpose, connect},
    install::{self, LeftOverSubscription},
    replication::{self, Beginning, Control, Event, Gap, Kept, Situation, SlotState, decide},
    writer::Limits,
};
use session::SessionConfig;
use tokio_postgres::Client;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Banner, ClientLimits, Config, ShapeConfig},
    connection::Hub,
    connector_error::{Failure, Recovery},
    drift::{self, Detector},
    history,
    http::App,
    readiness::Phase,
};

/// The publication that everything synced is in.
const PUBLICATION: &str = "electric_publication";

/// After a panic.
const RESTART: Duration = Duration::from_secs(1);

/// Follows Postgres for as long as the service runs.
#[derive(Clone)]
pub struct Connector {
    app: Arc<App>,
    stop: CancellationToken,
    config: ConnectConfig,
    auth: auth::AuthConfig,
    session: SessionConfig,
    limits: ClientLimits,
    window: journal::Limits,
    data_dir: Option<PathBuf>,
    shapes: ShapeConfig,
    writer: Limits,
    drift_interval: Duration,
    past: Arc<Mutex<Past>>,
}

/// What outlives a lost connection.
struct Following {
    stream: replication::Stream,
    hub: Arc<Hub>,
    /// Where the publication was missing when the stream was last there.
    unpublished_at: Option<Lsn>,
}

/// What a history that has ended leaves to the one after it.
#[derive(Clone, Default)]
struct Past {
    /// How far clients may have been told of it.
    handed_out: Option<Kept>,
    /// It ended for this, and can't be continued whatever else may be found.
    ended: Option<Gap>,
}

impl Connector {
    /// Does nothing yet.
    #[must_use]
    pub fn new(config: Config, app: Arc<App>, stop: CancellationToken) -> Connector {
        let session = SessionConfig {
            instance_id: config.instance_id,
            shapes: config.shapes.limits,
            ..SessionConfig::default()
        };
        Connector {
            app,
            stop,
            config: config.database,
            auth: config.auth,
            session,
            limits: config.clients,
            window: config.window,
            data_dir: config.data_dir,
            shapes: config.shapes,
            writer: config.writer,
            drift_interval: config.drift_interval,
            past: Arc::default(),
        }
    }

    /// Follows until told to stop. A banner is the answer if only a change of the configuration helps.
    pub async fn supervise(self) -> Option<Banner> {
        loop {
            // A task of its own, so that a panic is its end and not the service's.
            match tokio::spawn(self.clone().run()).await {
                Ok(outcome) => return outcome,
                Err(_) => {
                    self.app.readiness.enter(Phase::Failed);
                    tracing::error!("the task that follows Postgres has failed, and is started again");
                    self.send_away(None, None).await;
                }
            }
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(RESTART) => {}
            }
        }
    }

    async fn run(self) -> Option<Banner> {
        let mut following = None;
        let mut recovery = Recovery::default();
        loop {
            self.app.readiness.enter(Phase::Initialization);
            let failure = tokio::select! {
                biased;
                () = self.stop.cancelled() => return None,
                failure = self.follow(&mut following, &mut recovery) => failure,
            };
            self.app.readiness.enter(Phase::Initialization);
            self.app.readiness.explain(failure.plainly());
            match failure {
                Failure::Gap(gap) => {
                    tracing::warn!(
                        "clients are disconnected to load their data again, since the stream of changes can't be continued: {gap}"
                    );
                    self.send_away(following.take(), Some(gap)).await;
                    continue;
                }
                Failure::TakenOver => {
                    tracing::warn!(
                        "another instance took over while there was no connection to Postgres: clients are disconnected, to go on there"
                    );
                    self.send_away(following.take(), None).await;
                    continue;
                }
                _ => {}
            }
            let delay = match recovery.after(&failure) {
                Ok(delay) => delay,
                Err(banner) => return Some(banner),
            };
            tokio::select! {
                () = self.stop.cancelled() => return None,
                () = tokio::time::sleep(delay) => {}
            }
        }
    }

    /// Ends what is followed, for a reason if the history ends with it: sends everybody away, who may come back when there is a new hub,
    /// and lets go of the journal.
    async fn send_away(&self, following: Option<Following>, gap: Option<Gap>) {
        if let Some(following) = following {
            let mut past = self.past.lock();
            past.handed_out = following.stream.kept().cloned();
            // Whatever else it was, may turn out to have been for a moment only.
            past.ended = gap.filter(|gap| *gap == Gap::Unpublished);
        }
        if let Some(hub) = self.app.hub.swap(None) {
            hub.closing.cancel();
            // What can't be written comes from Postgres again.
            let _ = hub.stream.close().await;
        }
    }

    /// Goes on until something fails.
    async fn follow(&self, following: &mut Option<Following>, recovery: &mut Recovery) -> Failure {
        match self.try_follow(following, recovery).await {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    async fn try_follow(
        &self,
        following: &mut Option<Following>,
        recovery: &mut Recovery,
    ) -> Result<Infallible, Failure> {
        let mut client = connect(&self.config, Purpose::Service).await?;
        install::preflight(&client).await.map_err(Failure::Preflight)?;
        let mut arrival = replication::Arrival::log_in(&self.config).await?;
        let opened = match following {
            None => Some(self.open_journal(&mut arrival).await?),
            Some(_) => None,
        };
        self.claim(&mut arrival, following.as_ref()).await?;
        if client.is_closed() {
            client = connect(&self.config, Purpose::Service).await?;
        }
        self.prepare(&mut client).await?;
        let situation = arrival.look().await?;
        self.app.readiness.enter(Phase::EstablishingReplConn);
        let following = match (following, opened) {
            (Some(following), _) => {
                go_on(following, arrival, situation).await?;
                following
            }
            (nothing, Some(opened)) => nothing.insert(self.begin(&client, arrival, situation, opened).await?),
            (None, None) => return Err(Failure::Answer("a question that was not asked")),
        };
        let target = database_position(&client).await?;
        drop(client);
        if let Some(proxy) = &self.app.proxy {
            proxy.open().map_err(Failure::ProxyPort)?;
        }
        self.app.readiness.enter(Phase::Subscribing);
        self.app.readiness.explain("Postgres' log is read up to its present end");
        let control = following.stream.control();
        control.reach(target);
        let detector = Detector {
            app: self.app.clone(),
            config: self.config.clone(),
            interval: self.drift_interval,
            control: control.clone(),
        };
        let hub = following.hub.clone();
        tokio::select! {
            failed = self.stream(following, target, recovery) => failed,
            never = detector.run() => match never {},
            never = self.confirm(&hub, &control) => match never {},
        }
    }

    /// Everything that the database needs before it can be streamed from.
    async fn prepare(&self, client: &mut Client) -> Result<(), Failure> {
        let installed = install::install(client).await?;
        if installed.took_over_legacy {
            tracing::info!("took over the tables that the old service has synced in this database");
        }
        match install::drop_legacy_subscription(client).await? {
            LeftOverSubscription::Absent => {}
            LeftOverSubscription::Dropped => tracing::info!("dropped the left-over subscription postgres_1"),
            LeftOverSubscription::NotPermitted { sql } => tracing::warn!(
                "the left-over subscription postgres_1 makes Postgres retry for ever, and the role may not drop it. Run as superuser: {sql}"
            ),
        }
        Ok(drift::at_start(&self.app, client).await?)
    }

    /// Hands on what the stream brings.
    async fn stream(
        &self,
        following: &mut Following,
        target: Lsn,
        recovery: &mut Recovery,
    ) -> Result<Infallible, Failure> {
        let Following { stream, hub, unpublished_at } = following;
        loop {
            // Looked at before the first event: an idle database may have none for a long while.
            if !self.app.readiness.is_ready() && hub.stream.position() >= target {
                self.app.readiness.enter(Phase::Ready);
                recovery.succeeded();
                tracing::info!("Successfully initialized Postgres connector \"postgres_1\".");
            }
            let events = match stream.next_batch().await {
                Ok(events) => events,
                // Once more in the same place, though it has been made again meanwhile.
                Err(error) if error.is_unpublished() && *unpublished_at == Some(hub.stream.position()) => {
                    return Err(Failure::Gap(Gap::Unpublished));
                }
                Err(error) => {
                    *unpublished_at = error.is_unpublished().then(|| hub.stream.position());
                    return Err(error.into());
                }
            };
            for event in events {
                match event {
                    Event::Commit(committed) => hub.stream.append(*committed),
                    Event::Reached(position) => hub.stream.advance(position),
                }
            }
            tokio::select! {
                biased;
                () = hub.stream.has_room() => {}
                broken = stream.idle() => return Err(broken.into()),
            }
        }
    }

    /// Lets Postgres forget what is durable; no more of it once the service stops. So whoever comes after us, even without our journal,
    /// finds a slot that stands before the positions that idle clients are moved to when they are sent away.
    async fn confirm(&self, hub: &Hub, control: &Control) -> Infallible {
        tokio::select! {
            biased;
            () = self.app.readiness.reached(Phase::Stopping) => std::future::pending().await,
            never = history::confirm(&hub.stream, control) => match never {},
        }
    }
}

/// Continues on another connection.
async fn go_on(
    following: &mut Following,
    arrival: replication::Arrival,
    situation: Situation,
) -> Result<(), Failure> {
    let kept = following.stream.kept();
    let position = decide(kept, &situation).map_err(Failure::Gap)?;
    let timeline = situation.timelines.present;
    if kept.is_some_and(|kept| kept.timeline != timeline) {
        tracing::warn!(
            timeline,
            "another server has taken over from the one before it, with everything that clients have seen and with the replication slot: \
             the stream goes on"
        );
        following.hub.stream.note_timeline(timeline);
    }
    let SlotState::Found(slot) = situation.slot else { return Err(Failure::Gap(Gap::SlotMissing)) };
    let beginning = Beginning { identity: situation.identity, timeline, position };
    Ok(following.stream.begin(arrival, &slot, beginning).await?)
}

async fn database_position(client: &Client) -> Result<Lsn, Failure> {
    let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await?;
    row.try_get::<_, &str>(0)?.parse().map_err(|_| Failure::Answer("pg_current_wal_insert_lsn()"))
}

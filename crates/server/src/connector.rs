//! The task that follows Postgres: connect, check, install, load, stream; and begin again when the connection is lost.
//!
//! What connections share (the [`Hub`] with its window of transactions) outlives a lost connection: the stream goes on after the
//! last transaction that was handed over, so clients notice nothing but a pause. Only when the stream can't go on without a
//! gap (the slot is gone, the database is another one) is everything made anew, and clients are sent away to come back.

use std::{convert::Infallible, sync::Arc, time::Duration};

use change::Lsn;
use postgres::{
    assemble::History,
    catalogue,
    connection::{ConnectConfig, Purpose, connect},
    install::{self, LeftOverSubscription},
    replication::{self, Control, Event, Publication, SlotFate, Started},
};
use session::SessionConfig;
use tokio_util::sync::CancellationToken;

use crate::{
    config::{Banner, ClientLimits, Config, ShapeConfig},
    connection::Hub,
    connector_error::{Failure, Recovery},
    database::Database,
    drift::{self, Detector},
    http::App,
    instances::{self, Instances, SharedWorld},
    readiness::Phase,
    stream::Stream,
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
    shapes: ShapeConfig,
    drift_interval: Duration,
}

/// What outlives a lost connection.
struct Following {
    stream: replication::Stream,
    /// There is one from the first time that the stream is connected.
    begun: Option<Begun>,
    history: History,
}

struct Begun {
    hub: Arc<Hub>,
    /// Tells one database from another.
    identity: (String, u32),
}

impl Connector {
    /// Does nothing yet.
    #[must_use]
    pub fn new(config: Config, app: Arc<App>, stop: CancellationToken) -> Connector {
        let session = SessionConfig {
            instance_id: config.instance_id,
            heartbeat_distance: (config.window.span / 4).max(1),
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
            shapes: config.shapes,
            drift_interval: config.drift_interval,
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
                    self.begin_anew();
                    tracing::error!("the task that follows Postgres has failed, and is started again");
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
            if let Failure::Gap = failure {
                tracing::warn!(
                    "the stream can't be continued without a gap: clients are disconnected and begin anew"
                );
                self.begin_anew();
                following = None;
                continue;
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

    /// Sends everybody away; they may come back when there is a new hub.
    fn begin_anew(&self) {
        if let Some(hub) = self.app.hub.swap(None) {
            hub.closing.cancel();
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
        let target = self.prepare(following).await?;
        let Some(following) = following else { return Err(Failure::Gap) };
        if let Some(proxy) = &self.app.proxy {
            proxy.open().map_err(Failure::ProxyPort)?;
        }
        self.app.readiness.enter(Phase::EstablishingReplConn);
        let started = following.stream.connect().await?;
        let hub = self.hub(following, &started)?;
        self.app.readiness.enter(Phase::Subscribing);
        let control = following.stream.control();
        control.reach(target);
        let detector = Detector {
            app: self.app.clone(),
            config: self.config.clone(),
            interval: self.drift_interval,
            control: control.clone(),
        };
        tokio::select! {
            failed = self.stream(following, &hub, target, &control, recovery) => failed,
            never = detector.run() => match never {},
        }
    }

    /// Hands on what the stream brings.
    async fn stream(
        &self,
        following: &mut Following,
        hub: &Hub,
        target: Lsn,
        control: &Control,
        recovery: &mut Recovery,
    ) -> Result<Infallible, Failure> {
        loop {
            // Looked at before the first event: an idle database may have none for a long while.
            if !self.app.readiness.is_ready() && hub.stream.position() >= target {
                self.app.readiness.enter(Phase::Ready);
                recovery.succeeded();
                tracing::info!("Successfully initialized Postgres connector \"postgres_1\".");
            }
            for event in following.stream.next_batch().await? {
                match event {
                    Event::Commit(committed) => {
                        hub.stream.append(*committed);
                    }
                    Event::Reached(position) => hub.stream.advance(position),
                }
            }
            control.confirm(hub.stream.confirmable());
        }
    }

    /// Everything before the stream: the checks, schema `electric`, and the first time the history. The answer is the position
    /// that has to be reached before clients are served.
    async fn prepare(&self, following: &mut Option<Following>) -> Result<Lsn, Failure> {
        let mut client = connect(&self.config, Purpose::Service).await?;
        install::preflight(&client).await.map_err(Failure::Preflight)?;
        let installed = install::install(&mut client).await?;
        if installed.took_over_legacy {
            tracing::info!("took over the tables that the old service has synced in this database");
        }
        match install::drop_legacy_subscription(&client).await? {
            LeftOverSubscription::Absent => {}
            LeftOverSubscription::Dropped => tracing::info!("dropped the left-over subscription postgres_1"),
            LeftOverSubscription::NotPermitted { sql } => tracing::warn!(
                "the left-over subscription postgres_1 makes Postgres retry for ever, and the role may not drop it. Run as superuser: {sql}"
            ),
        }
        drift::at_start(&self.app, &client).await?;
        if following.is_none() {
            let catalogue = catalogue::load(&client).await?;
            for table in &catalogue.dropped {
                tracing::warn!(table, "a synced table has been dropped while nobody looked");
            }
            let position = database_position(&client).await?;
            let history = History::of(&catalogue, position);
            let publication = Publication { config: self.config.clone(), name: PUBLICATION.to_owned() };
            let stream = replication::Stream::new(publication, history.clone(), None);
            *following = Some(Following { stream, begun: None, history });
            return Ok(position);
        }
        database_position(&client).await
    }

    /// What connections share: made when the stream has begun for the first time.
    fn hub(&self, following: &mut Following, started: &Started) -> Result<Arc<Hub>, Failure> {
        let identity = (started.system.clone(), started.database);
        if let Some(begun) = &following.begun {
            let continues = begun.identity == identity && !started.gap;
            return if continues { Ok(begun.hub.clone()) } else { Err(Failure::Gap) };
        }
        match started.slot.fate {
            SlotFate::Found => {}
            SlotFate::Made => tracing::info!(slot = started.slot.name, "made the replication slot"),
            SlotFate::MadeAnew => tracing::warn!(
                slot = started.slot.name,
                "Postgres had invalidated the replication slot; it was made anew. Clients have to load their data again"
            ),
        }
        let history = std::mem::take(&mut following.history);
        let stream = Arc::new(Stream::in_memory(started.position, self.window, &history));
        let control = following.stream.control();
        let kept = instances::Settings { kept: self.shapes.cache, ..instances::Settings::default() };
        let instances = Instances::new(&self.config, stream.clone(), control.clone(), kept);
        let world = Arc::new(SharedWorld::new(stream.clone(), instances));
        let database = Arc::new(Database::new(&self.config, &self.shapes, &stream, control));
        let verifier = auth::Verifier::new(self.auth.clone());
        let hub = Hub::new(self.session.clone(), verifier, stream, world, database, self.limits);
        following.begun = Some(Begun { hub: hub.clone(), identity });
        self.app.hub.store(Some(hub.clone()));
        Ok(hub)
    }
}

async fn database_position(client: &tokio_postgres::Client) -> Result<Lsn, Failure> {
    let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await?;
    row.try_get::<_, &str>(0)?.parse().map_err(|_| Failure::Answer("pg_current_wal_insert_lsn()"))
}

//! An app: a real client in a process of its own over a database that stays, started again whenever its process ends.

use std::{
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use node_client::{Launch, LocalDatabase, NodeClient};
use serde_json::{Value, json};
use testkit::{FaultProxy, unsigned_token};
use tokio::sync::RwLock;

use crate::{
    anew::Anew,
    history::{Outcome, Process, Step, Transaction},
    notes::Notes,
    plan::{Plan, Planner},
    rig::Rig,
    tables,
};

/// Whether it is this defect: of a connection that breaks amid the data of a subscription the library keeps what it has begun to take, and
/// takes the next transaction for more of it. It then resets itself, without those relations that the rest of the transaction names.
fn has_mistaken_a_transaction(client: &NodeClient, error: &str) -> bool {
    let resets = client.resets();
    error.contains("missing relation")
        && resets.last().is_some_and(|place| place.contains("_handleSubscriptionError"))
}

/// How long a client may be disconnected, without a fault of its own, before its app asks it to connect again.
const UNCONNECTED: Duration = Duration::from_secs(4);

/// What an app is made of.
pub(crate) struct Settings {
    pub(crate) process: Process,
    pub(crate) kind: LocalDatabase,
    pub(crate) skew: i64,
    pub(crate) scripts: PathBuf,
    pub(crate) folder: PathBuf,
    pub(crate) tables: Value,
    /// The tables that it has as a whole.
    pub(crate) whole: Vec<&'static str>,
}

/// How far a client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// Entries that are not yet known to be in Postgres.
    pub(crate) waiting: i64,
    /// The number of the last fence that came.
    pub(crate) fence: i64,
    /// Its position in the stream, as it writes it down.
    pub(crate) position: String,
}

/// The app.
pub(crate) struct App {
    settings: Settings,
    /// Between its client and the service.
    pub(crate) proxy: FaultProxy,
    client: RwLock<Option<Arc<NodeClient>>>,
    notes: Notes,
    /// Its client is to be offline for now.
    offline: AtomicBool,
    /// Its process was killed by a fault.
    killed: AtomicBool,
    /// It has subscribed; a new process goes on from there.
    begun: AtomicBool,
    /// What a failover does to it.
    anew: Anew,
}

impl App {
    pub(crate) fn new(settings: Settings, proxy: FaultProxy, notes: Notes, rig: Arc<Rig>) -> App {
        App {
            anew: Anew::new(rig, settings.process),
            settings,
            proxy,
            client: RwLock::new(None),
            notes,
            offline: AtomicBool::new(false),
            killed: AtomicBool::new(false),
            begun: AtomicBool::new(false),
        }
    }

    pub(crate) fn process(&self) -> Process {
        self.settings.process
    }

    /// As it is called in files and texts.
    pub(crate) fn name(&self) -> String {
        format!("client-{}", self.settings.process.0)
    }

    /// Connects for the first time and subscribes.
    pub(crate) async fn begin(&self) -> Result<()> {
        let client = self.client().await?;
        client.connect(&unsigned_token(&self.name())).await?;
        client.sync(&self.settings.whole).await?;
        let (table, options) = tables::shape(self.settings.process.0);
        client.sync_table(table, options).await?;
        self.begun.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// The client, started if it does not run.
    pub(crate) async fn client(&self) -> Result<Arc<NodeClient>> {
        if let Some(client) = &*self.client.read().await {
            return Ok(client.clone());
        }
        let mut place = self.client.write().await;
        if let Some(client) = &*place {
            return Ok(client.clone());
        }
        let Settings { kind, skew, scripts, folder, tables, .. } = &self.settings;
        let (file, log) =
            (folder.join(format!("{}.db", self.name())), folder.join(format!("{}.log", self.name())));
        let url = format!("http://127.0.0.1:{}", self.proxy.port());
        let launch =
            Launch { scripts, url: &url, database: (*kind, &file), tables, skew: *skew, log: Some(&log) };
        let client = Arc::new(NodeClient::launch(launch).await.with_context(|| self.name())?);
        *place = Some(client.clone());
        if self.begun.load(Ordering::Relaxed) && !self.offline.load(Ordering::Relaxed) {
            self.connect(&client);
        }
        Ok(client)
    }

    /// Works until told to stop: a transaction, a pause, and looking after the connection.
    pub(crate) async fn work(
        &self,
        mut planner: Planner,
        pauses: (f64, fastrand::Rng),
        stop: &AtomicBool,
    ) -> Result<()> {
        let (pause, mut rng) = pauses;
        let mut unconnected: Option<Instant> = None;
        while !stop.load(Ordering::Relaxed) {
            let client = self.client().await?;
            if self.goes_on(&client).await {
                let plan = planner.client();
                self.transact(&client, &mut planner, plan).await?;
            }
            self.look_after(&client, &mut unconnected);
            tokio::time::sleep(Duration::from_secs_f64(pause * 2.0 * rng.f64())).await;
        }
        Ok(())
    }

    async fn transact(&self, client: &Arc<NodeClient>, planner: &mut Planner, plan: Plan) -> Result<()> {
        let author = planner.author();
        let (asked, sql) = (self.notes.now(), plan.changes());
        let (outcome, steps) = match client.transact(&plan.statements).await {
            // It found the tables empty, or some of them: what it changed there came to nothing.
            Ok(_) if self.was_reset(client) => (Outcome::Unknown, plan.writes()),
            Ok(rows) => (Outcome::Committed, planner.steps(plan, &rows)),
            Err(error) => {
                let gone = client.is_gone();
                let steps: Vec<Step> = plan.writes();
                if gone {
                    self.ended(client).await;
                    (Outcome::Unknown, steps)
                } else {
                    self.notes.failure(format!("{} refused a local transaction: {error}", self.name()));
                    (Outcome::Failed, steps)
                }
            }
        };
        let ended = self.notes.now();
        self.notes.transaction(Transaction { author, asked, ended, outcome, steps, sql });
        Ok(())
    }

    /// Says why a client's process has ended, and makes room for the next one.
    pub(crate) async fn ended(&self, client: &Arc<NodeClient>) {
        let mut place = self.client.write().await;
        if place.as_ref().is_none_or(|current| !Arc::ptr_eq(current, client)) {
            return;
        }
        *place = None;
        self.was_reset(client);
        self.note_strandings(client);
        self.anew.interrupted();
        let killed = self.killed.swap(false, Ordering::Relaxed);
        match client.uncaught() {
            Some(error)
                if node_client::is_known_defect(&error) || has_mistaken_a_transaction(client, &error) =>
            {
                self.notes.event("client died of its own known defect", &format!("{}: {error}", self.name()));
            }
            Some(error) => self.notes.failure(format!("{} threw what nobody caught: {error}", self.name())),
            None if killed => {}
            None => self.notes.failure(format!("{} ended without a word", self.name())),
        }
    }

    /// Notes resets of a client, and whether it has to load everything again now. Only a failover is a reason, once.
    fn was_reset(&self, client: &NodeClient) -> bool {
        for reset in client.new_resets() {
            match self.anew.begin() {
                true => self.notes.event("client reset by a failover", &self.name()),
                false => self.notes.failure(format!("{} was reset: {reset}", self.name())),
            }
        }
        self.anew.is_under_way()
    }

    /// Notes how often a client that is over has taken itself for connected without a connection.
    fn note_strandings(&self, client: &NodeClient) {
        for _ in 0..client.strandings() {
            self.notes.event("client took itself for connected, its app connected it again", &self.name());
        }
    }

    /// Whether its client has been reset and does not have everything again.
    pub(crate) fn is_loading(&self) -> bool {
        self.anew.is_under_way()
    }

    /// Whether its client has everything. After a reset an app has to ask for it again: the client library does not.
    async fn goes_on(&self, client: &Arc<NodeClient>) -> bool {
        if !self.was_reset(client) {
            return true;
        }
        let (table, options) = tables::shape(self.settings.process.0);
        match self.anew.go_on(client, &self.settings.whole, (table, options)).await {
            Ok(true) => {
                self.notes.event("client has everything again", &self.name());
                true
            }
            Ok(false) => false,
            Err(_) if client.is_gone() => {
                self.ended(client).await;
                false
            }
            Err(error) => {
                self.notes
                    .event("loading everything again has to wait", &format!("{}: {error}", self.name()));
                false
            }
        }
    }

    /// Has a client connect that is not connected and does not try to be; in the background, like an app.
    fn look_after(&self, client: &Arc<NodeClient>, unconnected: &mut Option<Instant>) {
        let status = client.connectivity().borrow().clone();
        if status.status == "connected" || self.offline.load(Ordering::Relaxed) {
            *unconnected = None;
            return;
        }
        if unconnected.get_or_insert_with(Instant::now).elapsed() > UNCONNECTED {
            *unconnected = None;
            let reason = status.reason.unwrap_or_default();
            self.notes.event("app asked to connect", &format!("{}: {reason}", self.name()));
            self.connect(client);
        }
    }

    fn connect(&self, client: &Arc<NodeClient>) {
        let (client, notes, name) = (client.clone(), self.notes.clone(), self.name());
        tokio::spawn(async move {
            if let Err(error) = client.connect(&unsigned_token(&name)).await {
                notes.event("connecting failed", &format!("{name}: {error}"));
            }
        });
    }

    /// Goes offline.
    pub(crate) async fn go_offline(&self) {
        self.offline.store(true, Ordering::Relaxed);
        if let Ok(client) = self.client().await {
            let _ = client.disconnect().await;
        }
    }

    /// Comes back.
    pub(crate) async fn go_online(&self) {
        self.offline.store(false, Ordering::Relaxed);
        if let Ok(client) = self.client().await {
            self.connect(&client);
        }
    }

    /// Kills its process at once, wherever it is.
    pub(crate) async fn kill(&self) -> Result<()> {
        if let Some(client) = &*self.client.read().await
            && let Some(pid) = client.pid()
        {
            self.killed.store(true, Ordering::Relaxed);
            kill(Pid::from_raw(pid.cast_signed()), Signal::SIGKILL)?;
        }
        Ok(())
    }

    /// Whether there is anything left to be sent, and how far it is with what comes.
    pub(crate) async fn progress(&self) -> Result<Progress> {
        let client = self.client().await?;
        let goes_on = self.goes_on(&client).await;
        let sql = "SELECT (SELECT count(*) FROM _electric_oplog) AS waiting, (SELECT number FROM fences WHERE id = 0) AS fence, \
            (SELECT value FROM _electric_meta WHERE key = 'lsn') AS position";
        let rows = match client.transact(&[sql.to_owned()]).await {
            Ok(rows) => rows,
            Err(error) => {
                if client.is_gone() {
                    self.ended(&client).await;
                }
                return Err(error);
            }
        };
        let row = rows.first().and_then(|rows| rows.get(0)).cloned().unwrap_or(json!({}));
        let number = |column: &str| {
            let value = &row[column];
            value.as_i64().or_else(|| value.as_str()?.parse().ok()).unwrap_or(-1)
        };
        Ok(Progress {
            waiting: number("waiting"),
            fence: if goes_on { number("fence") } else { -1 },
            position: row["position"].to_string(),
        })
    }

    /// Asks for tables that came later, and waits until their rows are there.
    pub(crate) async fn ask_for(&self, tables: &[&str]) -> Result<()> {
        if !tables.is_empty() {
            self.client().await?.sync(tables).await.with_context(|| self.name())?;
        }
        Ok(())
    }

    /// Ends the client in good order.
    pub(crate) async fn close(&self) {
        if let Some(client) = self.client.write().await.take() {
            self.was_reset(&client);
            self.note_strandings(&client);
            let _ = client.call(json!({ "do": "close" })).await;
        }
    }
}

//! The unmodified npm client `electric-sql@0.12.1` over SQLite or PGlite, in a process of its own, driven by JSON lines through
//! `e2e/client.mjs`. Each client is a separate process because it throws uncaught errors by design when the service misbehaves,
//! and those must be noticed.

use std::{
    collections::HashMap,
    fs::OpenOptions,
    path::Path,
    process::Stdio,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader},
    process::{Child, ChildStdin, ChildStdout, Command},
    sync::{Mutex as AsyncMutex, oneshot, watch},
    time::timeout,
};

/// How long any command may take.
const PATIENCE: Duration = Duration::from_secs(90);

/// What the client library throws, uncaught, by defects of its own; any app has to be started again then. Its throttled push fires
/// before a new connection has asked for it, or a request goes out when the connection has ended; and when an app disconnects while the
/// library is connecting again by itself, nobody waits for that to fail, or for the connection that was being made. Of a subscription
/// whose request broke with its connection, or was not answered within three seconds, it knows nothing any more when the data comes, or
/// when it is to forget it (spec 02 §10.4). And what has come while a request is to be answered it handles after that, also when the
/// connection has ended and the tables that were announced on it are forgotten.
const KNOWN_DEFECTS: [&str; 7] = [
    "Data received for an unknown subscription",
    "Cannot read properties of undefined (reading 'overshadowsFullKeys')",
    "sending a transaction while outbound replication has not started",
    "Connection cancelled by 'disconnect'",
    "Error: socket error",
    "trying to send message, but client is closed",
    "a message of a connection that has ended: ",
];

/// Whether an error that a client threw comes of a defect of the library, which a connection that ends at the wrong moment shows.
#[must_use]
pub fn is_known_defect(error: &str) -> bool {
    KNOWN_DEFECTS.iter().any(|defect| error.contains(defect))
}

/// A running client.
pub struct NodeClient {
    child: Child,
    commands: AsyncMutex<Commands>,
    shared: Arc<Shared>,
    connectivity: watch::Receiver<Connectivity>,
}

/// How a client is to be started.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// The folder of `client.mjs`.
    pub scripts: &'a Path,
    /// The service's URL.
    pub url: &'a str,
    /// The local database, which is made if it is not there.
    pub database: (LocalDatabase, &'a Path),
    /// The synced tables: `{"items": {"id": "UUID", "list_id": "UUID -> lists.id"}}`.
    pub tables: &'a Value,
    /// How far the client's clock is ahead, in milliseconds.
    pub skew: i64,
    /// The file that its log is added to; it has none otherwise, unless `CLIENT_LOG` is set.
    pub log: Option<&'a Path>,
}

/// The kind of a client's local database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalDatabase {
    /// SQLite, in a file.
    Sqlite,
    /// PGlite, in a folder: the Postgres dialect of the protocol.
    Pglite,
}

/// What the client last said of its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connectivity {
    /// `connected` or `disconnected`; empty before it said anything.
    pub status: String,
    /// Why it is disconnected, if it said so.
    pub reason: Option<String>,
}

struct Commands {
    input: ChildStdin,
    next: u64,
}

#[derive(Default)]
struct Shared {
    waiting: Mutex<HashMap<u64, oneshot::Sender<Result<Value, String>>>>,
    uncaught: Mutex<Option<String>>,
    resets: Mutex<Vec<String>>,
    /// How many of them somebody has asked for.
    told_resets: AtomicUsize,
    stranded: AtomicUsize,
    gone: AtomicBool,
}

impl NodeClient {
    /// Starts a client over the local database `file`, for a service at `url`. `scripts` is the folder of `client.mjs`;
    /// `tables` describes the synced tables: `{"items": {"id": "UUID", "list_id": "UUID -> lists.id"}}`.
    ///
    /// # Errors
    /// If Node.js or the npm packages are missing.
    pub async fn start(
        scripts: &Path,
        url: &str,
        (kind, file): (LocalDatabase, &Path),
        tables: &Value,
    ) -> Result<NodeClient> {
        NodeClient::launch(Launch { scripts, url, database: (kind, file), tables, skew: 0, log: None }).await
    }

    /// Starts a client.
    ///
    /// # Errors
    /// If Node.js or the npm packages are missing, or the client does not start.
    pub async fn launch(how: Launch<'_>) -> Result<NodeClient> {
        let Launch { scripts, url, database: (kind, file), tables, skew, log } = how;
        if !scripts.join("node_modules/electric-sql").exists() {
            bail!("the npm packages are not installed in {}: run scripts/setup --client", scripts.display());
        }
        let dialect = match kind {
            LocalDatabase::Sqlite => "sqlite",
            LocalDatabase::Pglite => "postgres",
        };
        let errors = match log {
            Some(log) => {
                OpenOptions::new().create(true).append(true).open(log).context("the client's log")?.into()
            }
            None if std::env::var_os("CLIENT_LOG").is_some() => Stdio::inherit(),
            None => Stdio::null(),
        };
        let options = json!({ "url": url, "file": file, "tables": tables, "dialect": dialect, "skew": skew });
        let mut child = Command::new("node")
            .arg(scripts.join("client.mjs"))
            .arg(options.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors)
            .kill_on_drop(true)
            .spawn()
            .context("starting node (is Node.js installed?)")?;
        let input = child.stdin.take().context("the client's input")?;
        let output = child.stdout.take().context("the client's output")?;
        let shared = Arc::new(Shared::default());
        let (say, connectivity) = watch::channel(Connectivity::default());
        let (ready, is_ready) = oneshot::channel();
        tokio::spawn(listen(output, shared.clone(), say, ready));
        let client = NodeClient {
            child,
            commands: AsyncMutex::new(Commands { input, next: 1 }),
            shared,
            connectivity,
        };
        match timeout(PATIENCE, is_ready).await {
            Ok(Ok(())) => Ok(client),
            _ => Err(client.failure("did not start")),
        }
    }

    /// Runs a command and waits for its answer.
    ///
    /// # Errors
    /// The client's own error, or that it is gone, or that it took more than [`PATIENCE`].
    pub async fn call(&self, mut command: Value) -> Result<Value> {
        let (answer, answered) = oneshot::channel();
        {
            let mut commands = self.commands.lock().await;
            let id = commands.next;
            commands.next += 1;
            command["id"] = id.into();
            lock(&self.shared.waiting).insert(id, answer);
            let line = format!("{command}\n");
            if commands.input.write_all(line.as_bytes()).await.is_err() {
                self.shared.gone.store(true, Ordering::Release);
                return Err(self.failure("is gone"));
            }
        }
        match timeout(PATIENCE, answered).await {
            Ok(Ok(answer)) => answer.map_err(|error| anyhow!("the client failed: {error}")),
            Ok(Err(_)) => Err(self.failure("is gone")),
            Err(_) => Err(self.failure(&format!("took more than {} s", PATIENCE.as_secs()))),
        }
    }

    fn failure(&self, what: &str) -> anyhow::Error {
        match self.uncaught() {
            Some(error) => anyhow!("the client {what}; it threw: {error}"),
            None => anyhow!("the client {what}"),
        }
    }

    /// An error that the client threw and nobody caught, if there was one.
    #[must_use]
    pub fn uncaught(&self) -> Option<String> {
        lock(&self.shared.uncaught).clone()
    }

    /// How often the client has thrown its synced rows away to begin anew, by where it did.
    #[must_use]
    pub fn resets(&self) -> Vec<String> {
        lock(&self.shared.resets).clone()
    }

    /// The resets since this was last asked.
    #[must_use]
    pub fn new_resets(&self) -> Vec<String> {
        let resets = lock(&self.shared.resets);
        let told = self.shared.told_resets.swap(resets.len(), Ordering::AcqRel);
        resets.get(told..).unwrap_or_default().to_vec()
    }

    /// How often the client has taken itself for connected without a connection, and was connected again by its app. The library does
    /// that when a connection ends between its authentication and the answer to its request for the stream (spec 02 §10.4).
    #[must_use]
    pub fn strandings(&self) -> usize {
        self.shared.stranded.load(Ordering::Acquire)
    }

    /// How far each of its subscriptions is: `establishing`, `active`, `cancelling`.
    ///
    /// # Errors
    /// The client's own.
    pub async fn subscriptions(&self) -> Result<Vec<String>> {
        let answer = self.call(json!({ "do": "subscriptions" })).await?;
        serde_json::from_value(answer).context("the states of subscriptions")
    }

    /// Whether its process has ended.
    #[must_use]
    pub fn is_gone(&self) -> bool {
        self.shared.gone.load(Ordering::Acquire)
    }

    /// Its process, while it runs.
    #[must_use]
    pub fn pid(&self) -> Option<u32> {
        self.child.id()
    }

    /// Connects with a token.
    ///
    /// # Errors
    /// The client's own.
    pub async fn connect(&self, token: &str) -> Result<()> {
        self.call(json!({ "do": "connect", "token": token })).await.map(drop)
    }

    /// Disconnects.
    ///
    /// # Errors
    /// The client's own.
    pub async fn disconnect(&self) -> Result<()> {
        self.call(json!({ "do": "disconnect" })).await.map(drop)
    }

    /// Subscribes to whole tables and waits until their rows are there; the answer is the subscription's key.
    ///
    /// # Errors
    /// The client's own.
    pub async fn sync(&self, tables: &[&str]) -> Result<String> {
        let shapes: Vec<_> = tables.iter().map(|table| json!({ "tablename": table })).collect();
        let key = self.call(json!({ "do": "sync", "shapes": shapes })).await?;
        Ok(key.as_str().unwrap_or_default().to_string())
    }

    /// Calls a table's own `sync` as an app does, with `where`, `include` and `key`, and waits until the rows are there; the answer is
    /// the subscription's key.
    ///
    /// # Errors
    /// The client's own, with the service's reasons for refusing a shape.
    pub async fn sync_table(&self, table: &str, options: Value) -> Result<String> {
        let key = self.call(json!({ "do": "sync", "table": table, "options": options })).await?;
        Ok(key.as_str().unwrap_or_default().to_string())
    }

    /// Ends a subscription and waits until its rows are gone.
    ///
    /// # Errors
    /// The client's own.
    pub async fn unsync(&self, key: &str) -> Result<()> {
        self.call(json!({ "do": "unsync", "keys": [key] })).await.map(drop)
    }

    /// Runs SQL in the local database; changes of synced tables go to the service.
    ///
    /// # Errors
    /// SQLite's.
    pub async fn sql(&self, sql: &str, args: &[Value]) -> Result<Value> {
        self.call(json!({ "do": "sql", "sql": sql, "args": args })).await
    }

    /// Runs statements in one local transaction; the answer is the rows that each of them returns.
    ///
    /// # Errors
    /// The local database's.
    pub async fn transact(&self, statements: &[String]) -> Result<Vec<Value>> {
        let answer = self.call(json!({ "do": "transact", "statements": statements })).await?;
        serde_json::from_value(answer).context("the rows of a transaction")
    }

    /// Waits until the first column of a query's first row is true.
    ///
    /// # Errors
    /// If it is still not so after a minute.
    pub async fn wait(&self, sql: impl Into<String>) -> Result<()> {
        self.call(json!({ "do": "wait", "sql": sql.into(), "limit": 60_000 })).await.map(drop)
    }

    /// The client's view of its connection, to be waited on.
    #[must_use]
    pub fn connectivity(&self) -> watch::Receiver<Connectivity> {
        self.connectivity.clone()
    }

    /// Ends the client in good order.
    ///
    /// # Errors
    /// If it threw something nobody caught, or does not end.
    pub async fn close(mut self) -> Result<()> {
        self.call(json!({ "do": "close" })).await?;
        let status = timeout(PATIENCE, self.child.wait()).await.context("the client does not end")??;
        if !status.success() {
            return Err(self.failure(&format!("ended with {status}")));
        }
        Ok(())
    }
}

/// A lock whose holder can't have left anything half done.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes in what the client says until it ends.
async fn listen(
    output: ChildStdout,
    shared: Arc<Shared>,
    connectivity: watch::Sender<Connectivity>,
    ready: oneshot::Sender<()>,
) {
    let mut ready = Some(ready);
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(line) = serde_json::from_str::<Value>(&line) else { continue };
        let text = |key: &str| line[key].as_str().map(String::from);
        match line["event"].as_str() {
            Some("ready") => {
                if let Some(ready) = ready.take() {
                    let _ = ready.send(());
                }
            }
            Some("connectivity") => {
                let status = text("status").unwrap_or_default();
                connectivity.send_replace(Connectivity { status, reason: text("reason") });
            }
            Some("stranded") => {
                shared.stranded.fetch_add(1, Ordering::AcqRel);
            }
            Some("reset") => lock(&shared.resets).extend(text("reason")),
            Some("uncaught") => *lock(&shared.uncaught) = text("error"),
            _ => {
                let waiting = line["id"].as_u64().and_then(|id| lock(&shared.waiting).remove(&id));
                let answer = text("error").map_or_else(|| Ok(line["ok"].clone()), Err);
                waiting.map(|waiting| waiting.send(answer));
            }
        }
    }
    shared.gone.store(true, Ordering::Release);
    lock(&shared.waiting).clear();
}

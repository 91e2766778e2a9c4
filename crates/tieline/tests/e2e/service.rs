//! A running service over a database of its own, and clients for it.

use std::{
    net::TcpListener,
    process::Stdio,
    time::{Duration, Instant},
};

use node_client::{LocalDatabase, NodeClient};
use serde_json::Value;
use tempfile::TempDir;
use testkit::Database;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    process::{Child, Command},
};
use tokio_postgres::Client;

/// How long anything may take before a test gives up.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// The service under test.
pub struct Service {
    child: Child,
    settings: Vec<(String, String)>,
    /// Where it listens.
    pub port: u16,
    /// A connection to it, as superuser.
    pub postgres: Client,
    files: TempDir,
}

impl Service {
    /// Starts one in insecure mode.
    pub async fn insecure() -> Service {
        Service::with(&[("AUTH_MODE", "insecure")]).await
    }

    /// Starts one with these settings, on a fresh database.
    pub async fn with(settings: &[(&str, &str)]) -> Service {
        Service::on(&Database::create().await, settings).await
    }

    /// Starts one with these settings, on this database.
    pub async fn on(database: &Database, settings: &[(&str, &str)]) -> Service {
        let postgres = database.client().await;
        let port = free_port();
        let files = tempfile::tempdir().unwrap();
        let mut all = vec![
            ("DATABASE_URL".to_owned(), database.url.clone()),
            ("DATABASE_REQUIRE_SSL".to_owned(), "false".to_owned()),
            ("HTTP_PORT".to_owned(), port.to_string()),
            ("TIELINE_DATA_DIR".to_owned(), files.path().join("journal").display().to_string()),
        ];
        all.extend(settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        let child = spawn(&all);
        let service = Service { child, settings: all, port, postgres, files };
        service.ready().await;
        service
    }

    /// Starts one with these settings alone, and waits for nothing.
    pub fn bare(settings: &[(&str, &str)]) -> Child {
        let settings = settings.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        spawn(&settings.collect::<Vec<_>>())
    }

    /// Waits until it serves clients.
    pub async fn ready(&self) {
        ready(self.port).await;
    }

    /// Kills it as a power cut would, and starts it again on the same port.
    pub async fn kill_and_restart(&mut self) {
        self.kill().await;
        self.start_again().await;
    }

    /// Kills it.
    pub async fn kill(&mut self) {
        self.child.kill().await.unwrap();
    }

    /// Starts it again after [`Service::kill`].
    pub async fn start_again(&mut self) {
        self.launch();
        self.ready().await;
    }

    /// The same, and waits for nothing.
    pub fn launch(&mut self) {
        self.child = spawn(&self.settings);
    }

    /// Changes a setting, for the next start.
    pub fn set(&mut self, name: &str, value: &str) {
        self.settings.retain(|(known, _)| known != name);
        self.settings.push((name.to_owned(), value.to_owned()));
    }

    /// Another instance of the same service, on a port of its own, with these settings changed; nothing is waited for.
    pub fn another(&self, settings: &[(&str, &str)]) -> (Child, u16) {
        let port = free_port();
        let mut all = self.settings.clone();
        let port_setting = port.to_string();
        for (name, value) in settings.iter().copied().chain([("HTTP_PORT", port_setting.as_str())]) {
            all.retain(|(known, _)| known != name);
            all.push((name.to_owned(), value.to_owned()));
        }
        (spawn(&all), port)
    }

    /// A folder for a journal, by a name.
    pub fn folder(&self, name: &str) -> String {
        self.files.path().join(name).display().to_string()
    }

    /// Tells it to stop, as a deployment does.
    pub fn signal(&self) {
        let pid = nix::unistd::Pid::from_raw(self.child.id().unwrap().cast_signed());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
    }

    /// The same, and waits for its end. How long that took.
    pub async fn stop(&mut self) -> Duration {
        let begun = Instant::now();
        self.signal();
        let status = self.child.wait().await.unwrap();
        assert!(status.success(), "{status}");
        begun.elapsed()
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&mut self) {
        tokio::time::timeout(PATIENCE, self.child.wait()).await.expect("it ends").unwrap();
    }

    /// The service's URL, as the client takes it.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// The connection string of its database.
    pub fn database_url(&self) -> String {
        let setting = self.settings.iter().find(|(name, _)| name == "DATABASE_URL");
        setting.map(|(_, url)| url.clone()).unwrap_or_default()
    }

    /// Runs SQL in Postgres.
    pub async fn sql(&self, sql: &str) {
        self.postgres.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Runs SQL in Postgres that nobody guards or captures.
    pub async fn unguarded(&self, sql: &str) {
        testkit::unguarded(&self.postgres, sql).await;
    }

    /// Waits until a query in Postgres gives true.
    pub async fn wait(&self, sql: &str) {
        let until = Instant::now() + PATIENCE;
        while !self.postgres.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
            assert!(Instant::now() < until, "still not so: {sql}");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// A real client with a SQLite database of its own; the same name is the same database.
    pub async fn client(&self, name: &str, tables: &Value) -> NodeClient {
        self.client_over(LocalDatabase::Sqlite, name, tables).await
    }

    /// A real client over a local database of either kind.
    pub async fn client_over(&self, kind: LocalDatabase, name: &str, tables: &Value) -> NodeClient {
        let file = self.files.path().join(format!("{name}.db"));
        NodeClient::start(&super::scripts(), &self.url(), (kind, &file), tables).await.unwrap()
    }
}

/// A port that nothing listens on.
pub fn free_port() -> u16 {
    TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port()
}

/// Waits until the service on a port serves clients.
pub async fn ready(port: u16) {
    let until = Instant::now() + PATIENCE;
    while status(port).await.as_deref() != Some("Connection to Postgres is up!") {
        assert!(Instant::now() < until, "the service does not become ready");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// The text of `/api/status`, if anything answers.
pub async fn status(port: u16) -> Option<String> {
    get(port, "/api/status").await
}

/// The JSON status; null if nothing answers.
pub async fn report(port: u16) -> Value {
    let text = get(port, "/api/status.json").await.unwrap_or_default();
    serde_json::from_str(&text).unwrap_or(Value::Null)
}

async fn get(port: u16, path: &str) -> Option<String> {
    let answer = async {
        let mut socket = TcpStream::connect(("127.0.0.1", port)).await?;
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let mut text = String::new();
        socket.read_to_string(&mut text).await?;
        std::io::Result::Ok(text)
    };
    let text = answer.await.ok()?;
    Some(text.split_once("\r\n\r\n")?.1.to_owned())
}

fn spawn(settings: &[(String, String)]) -> Child {
    let log = std::env::var_os("SERVICE_LOG").is_some();
    Command::new(env!("CARGO_BIN_EXE_tieline"))
        .arg("serve")
        .env_clear()
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .env("LOG_LEVEL", if log { "debug" } else { "warning" })
        .stdin(Stdio::null())
        .stdout(if log { Stdio::inherit() } else { Stdio::null() })
        .stderr(Stdio::inherit())
        .kill_on_drop(true)
        .spawn()
        .unwrap()
}

/// The table that most tests use.
pub const ITEMS: &str = "CREATE TABLE items (id uuid PRIMARY KEY, content text NOT NULL, rank int4); CALL electric.electrify('items')";

/// Its description for clients.
pub fn items() -> Value {
    serde_json::json!({ "items": { "id": "UUID", "content": "TEXT", "rank": "INT4" } })
}

/// A row id that ends in a number.
pub fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// The query that is true once exactly one row with this id and content is there; for clients and Postgres alike.
pub fn has(n: u32, content: &str) -> String {
    format!("SELECT count(*) = 1 FROM items WHERE id = '{}' AND content = '{content}'", id(n))
}

/// The query that is true once no row with this id is there.
pub fn has_not(n: u32) -> String {
    format!("SELECT count(*) = 0 FROM items WHERE id = '{}'", id(n))
}

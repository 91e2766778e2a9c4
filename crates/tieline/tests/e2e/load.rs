//! An app that writes while things happen to the service, Postgres' own writes beside it, and what must have come of both.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use node_client::{LocalDatabase, NodeClient};
use serde_json::Value;
use testkit::unsigned_token;
use tokio::task::JoinHandle;
use tokio_postgres::{Client, NoTls};

use super::service::{PATIENCE, Service, id, items};

/// The app: the client, started again over the same database whenever a defect of its own ends it.
pub struct App {
    pub client: NodeClient,
    name: String,
    url: String,
    file: std::path::PathBuf,
    resets: Vec<String>,
    strandings: usize,
}

impl App {
    /// A client of `items`, for a service that may be reached at another address than its own.
    pub async fn start(service: &Service, name: &str, port: u16) -> App {
        let file = std::path::PathBuf::from(service.folder(&format!("{name}.db")));
        let url = format!("http://127.0.0.1:{port}");
        let client = open(name, &url, &file).await;
        App { client, name: name.to_owned(), url, file, resets: Vec::new(), strandings: 0 }
    }

    async fn again(&mut self, error: &anyhow::Error) {
        assert!(node_client::is_known_defect(&error.to_string()), "{error}");
        self.resets.extend(self.client.resets());
        self.strandings += self.client.strandings();
        self.client = open(&self.name, &self.url, &self.file).await;
    }

    /// Runs SQL; if the client dies of such a defect before it has answered, once more in a new one. The statement must bear that.
    pub async fn sql(&mut self, sql: &str, args: &[Value]) {
        while let Err(error) = self.client.sql(sql, args).await {
            self.again(&error).await;
        }
    }

    pub async fn wait(&mut self, sql: &str) {
        while let Err(error) = self.client.wait(sql).await {
            self.again(&error).await;
        }
    }

    /// Waits until it has begun anew, once, and asks for its rows again, as an app has to.
    pub async fn begins_anew(&mut self) {
        let until = std::time::Instant::now() + PATIENCE;
        while self.resets().is_empty() {
            assert!(std::time::Instant::now() < until, "it goes on where it was");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let mut connectivity = self.client.connectivity();
        connectivity.wait_for(|now| now.status == "connected").await.unwrap();
        self.client.sync(&["items"]).await.unwrap();
    }

    /// Where it has thrown its rows away to begin anew.
    pub fn resets(&self) -> Vec<String> {
        self.resets.iter().cloned().chain(self.client.resets()).collect()
    }

    /// How often the client has taken itself for connected without a connection: no fault of a service that was killed, but of one that
    /// was stopped.
    pub fn strandings(&self) -> usize {
        self.strandings + self.client.strandings()
    }
}

async fn open(name: &str, url: &str, file: &std::path::Path) -> NodeClient {
    loop {
        let client = NodeClient::start(&super::scripts(), url, (LocalDatabase::Sqlite, file), &items()).await;
        let client = client.unwrap();
        let begun = async {
            client.connect(&unsigned_token(name)).await?;
            client.sync(&["items"]).await
        };
        match begun.await {
            Ok(_) => return client,
            Err(error) => assert!(node_client::is_known_defect(&error.to_string()), "{error}"),
        }
    }
}

/// Rows written by the app, and by Postgres: numbers below and above 10,000.
#[derive(Default)]
pub struct Load {
    by_app: u32,
    by_postgres: u32,
}

impl Load {
    /// Some more, `postgres` permitting.
    pub async fn write(&mut self, app: &mut App, postgres: Option<&Client>, count: u32) {
        for _ in 0..count {
            let n = self.by_app;
            let insert = "INSERT OR IGNORE INTO items VALUES (?, 'c', ?)";
            app.sql(insert, &[id(n).into(), n.into()]).await;
            self.by_app += 1;
            let Some(postgres) = postgres else { continue };
            let n = self.by_postgres;
            let insert = format!("INSERT INTO items VALUES ('{}', 'p', {n})", id(10_000 + n));
            postgres.batch_execute(&insert).await.unwrap();
            self.by_postgres += 1;
        }
    }

    /// Writes, and goes on until told to stop. While Postgres is away it waits for it.
    pub fn go_on(mut self, mut app: App, database_url: &str) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let (stopped, url) = (stop.clone(), database_url.to_owned());
        let task = tokio::spawn(async move {
            let mut pace = tokio::time::interval(Duration::from_millis(10));
            let mut postgres = None;
            while !stopped.load(Ordering::Relaxed) {
                pace.tick().await;
                self.write(&mut app, None, 1).await;
                self.write_to(&mut postgres, &url).await;
            }
            (self, app)
        });
        Running { stop, task }
    }

    /// One row by Postgres, which may be away: then it is the next time's.
    async fn write_to(&mut self, postgres: &mut Option<Client>, url: &str) {
        if postgres.as_ref().is_none_or(Client::is_closed) {
            let Ok((client, connection)) = tokio_postgres::connect(url, NoTls).await else { return };
            tokio::spawn(connection);
            *postgres = Some(client);
        }
        let Some(client) = postgres else { return };
        let n = self.by_postgres;
        let insert =
            format!("INSERT INTO items VALUES ('{}', 'p', {n}) ON CONFLICT DO NOTHING", id(10_000 + n));
        if client.batch_execute(&insert).await.is_ok() {
            self.by_postgres += 1;
        }
    }

    /// Waits until everything is everywhere, once.
    pub async fn settle(&self, apps: &mut [&mut App], postgres: &Client) {
        let total = self.by_app + self.by_postgres;
        let all = format!("SELECT count(*) = {total} FROM items");
        for app in apps {
            app.wait(&all).await;
            app.wait("SELECT count(*) = 0 FROM _electric_oplog").await;
        }
        let until = std::time::Instant::now() + PATIENCE;
        while !postgres.query_one(&all, &[]).await.unwrap().get::<_, bool>(0) {
            assert!(std::time::Instant::now() < until, "Postgres does not have all {total} rows");
        }
    }
}

/// A load that goes on.
pub struct Running {
    stop: Arc<AtomicBool>,
    task: JoinHandle<(Load, App)>,
}

impl Running {
    /// Ends it.
    pub async fn stop(self) -> (Load, App) {
        self.stop.store(true, Ordering::Relaxed);
        self.task.await.unwrap()
    }
}

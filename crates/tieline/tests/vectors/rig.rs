//! A running service with the vectors' schema, for one test at a time.

use std::{
    process::{Child, Command, Stdio},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
};

use tempfile::TempDir;
use testkit::Database;
use tokio_postgres::Client;

use super::{Viewer, notation::with_ids};
use crate::e2e::service::{free_port, ready};

/// Spec 06 §13, and what the other tests need: a table that refers to itself, two that refer to each other, a foreign key to another key
/// than the primary one and of another type, two foreign keys to one table, and owned tables in a relation.
const SCHEMA: &str = "
CREATE TABLE users (id uuid PRIMARY KEY, name text);
CREATE TABLE entries (id uuid PRIMARY KEY, content text, author_id uuid REFERENCES users LATER);
CREATE TABLE comments (id uuid PRIMARY KEY, content text, entry_id uuid REFERENCES entries LATER, author_id uuid REFERENCES users LATER);
CREATE TABLE projects (id uuid PRIMARY KEY, name text, status text, owner_id uuid REFERENCES users LATER);
CREATE TABLE issues (id uuid PRIMARY KEY, title text, open bool, project_id uuid REFERENCES projects LATER, assignee_id uuid REFERENCES users LATER);
CREATE TABLE notes (id uuid PRIMARY KEY, body text, electric_user_id text);
CREATE TABLE orders (tenant text, no text, PRIMARY KEY (tenant, no));
CREATE TABLE lines (id uuid PRIMARY KEY, tenant text, no text, FOREIGN KEY (tenant, no) REFERENCES orders LATER);
CREATE TABLE nums (id uuid PRIMARY KEY, a int4, b int4, f float8, t varchar, d date, ts timestamptz);
CREATE TABLE nodes (id uuid PRIMARY KEY, name text, parent_id uuid REFERENCES nodes LATER);
CREATE TABLE teams (id uuid PRIMARY KEY, name text, lead_id uuid);
CREATE TABLE members (id uuid PRIMARY KEY, name text, team_id uuid REFERENCES teams LATER);
ALTER TABLE teams ADD FOREIGN KEY (lead_id) REFERENCES members LATER;
CREATE TABLE countries (id uuid PRIMARY KEY, code text, name text);
CREATE UNIQUE INDEX countries_code ON countries (code);
CREATE TABLE cities (id uuid PRIMARY KEY, name text, country_code varchar REFERENCES countries (code) LATER);
CREATE TABLE reviews (id uuid PRIMARY KEY, body text, author_id uuid REFERENCES users LATER, reviewer_id uuid REFERENCES users LATER);
CREATE TABLE lists (id uuid PRIMARY KEY, name text, electric_user_id text);
CREATE TABLE tasks (id uuid PRIMARY KEY, title text, list_id uuid REFERENCES lists LATER, electric_user_id text);
CREATE TABLE beacon (id uuid PRIMARY KEY, note text);
";

/// All tables of [`SCHEMA`].
const TABLES: [&str; 18] = [
    "users",
    "entries",
    "comments",
    "projects",
    "issues",
    "notes",
    "orders",
    "lines",
    "nums",
    "nodes",
    "teams",
    "members",
    "countries",
    "cities",
    "reviews",
    "lists",
    "tasks",
    "beacon",
];

/// Services that no test uses at the moment.
static IDLE: Mutex<Vec<Running>> = Mutex::new(Vec::new());

/// Names clients.
static CLIENTS: AtomicU32 = AtomicU32::new(1);

/// Runs the service (`$@`) until the pipe on standard input closes: when it is dropped, or when the test process ends, however.
const GUARD: &str = r#"exec 3<&0; "$@" 3<&- </dev/null & pid=$!; cat <&3 >/dev/null; { kill -9 $pid; wait $pid; } 2>/dev/null"#;

/// A service of one's own for the time of a test, on a database without rows.
pub struct Rig {
    running: Mutex<Option<Running>>,
    /// Where it listens.
    pub port: u16,
    /// A connection to Postgres, as superuser.
    pub postgres: Client,
    database: Database,
}

/// The process and its database.
struct Running {
    guard: Option<Child>,
    port: u16,
    database: Database,
    journal: TempDir,
}

impl Rig {
    /// Takes an idle service, or starts one.
    pub async fn take() -> Rig {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let running = match idle {
            Some(running) => running,
            None => Running::start().await,
        };
        let (port, database) = (running.port, running.database.clone());
        let postgres = database.client().await;
        let rig = Rig { running: Mutex::new(Some(running)), port, postgres, database };
        rig.clear().await;
        rig
    }

    /// Removes all rows.
    pub async fn clear(&self) {
        let deletes: Vec<_> = TABLES.iter().map(|table| format!("DELETE FROM {table}")).collect();
        self.sql(&deletes.join("; ")).await;
    }

    /// Runs SQL in Postgres; several statements are one transaction.
    pub async fn sql(&self, sql: &str) {
        let sql = with_ids(sql);
        self.postgres.batch_execute(&sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    }

    /// Another connection to Postgres.
    pub async fn connection(&self) -> Client {
        self.database.client().await
    }

    /// Keeps a table from being read until the connection is dropped.
    pub async fn lock(&self, table: &str) -> Client {
        let client = self.connection().await;
        client.batch_execute(&format!("BEGIN; LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")).await.unwrap();
        client
    }

    /// A new client, connected, of user 1.
    pub async fn viewer(&self) -> Viewer<'_> {
        self.viewer_as("1").await
    }

    /// A new client of a user.
    pub async fn viewer_as(&self, user: &str) -> Viewer<'_> {
        let name = format!("viewer-{}", CLIENTS.fetch_add(1, Ordering::Relaxed));
        Viewer::connect(self, name, user).await
    }

    /// Kills the service as a power cut would.
    pub fn kill(&self) {
        if let Some(running) = self.running.lock().unwrap().as_mut() {
            running.kill();
        }
    }

    /// Starts it again.
    pub async fn start_again(&self) {
        if let Some(running) = self.running.lock().unwrap().as_mut() {
            running.launch();
        }
        ready(self.port).await;
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let running = self.running.get_mut().unwrap_or_else(PoisonError::into_inner).take();
        // What a failed test leaves behind may not be fit for another.
        if let Some(running) = running.filter(|_| !std::thread::panicking()) {
            IDLE.lock().unwrap_or_else(PoisonError::into_inner).push(running);
        }
    }
}

impl Running {
    async fn start() -> Running {
        let database = Database::create().await;
        let journal = tempfile::tempdir().expect("a folder for the journal");
        let mut running = Running { guard: None, port: free_port(), database, journal };
        running.launch();
        ready(running.port).await;
        let electrify: Vec<_> =
            TABLES.iter().map(|table| format!("CALL electric.electrify('{table}')")).collect();
        let schema = SCHEMA.replace("LATER", "DEFERRABLE INITIALLY DEFERRED") + &electrify.join(";");
        running.database.client().await.batch_execute(&schema).await.expect("the schema");
        running
    }

    fn launch(&mut self) {
        let log = std::env::var_os("SERVICE_LOG").is_some();
        // With next to none, everything is read from disk: VECTORS_MEMORY=4K.
        let memory = std::env::var("VECTORS_MEMORY").unwrap_or_default();
        let child = Command::new("/bin/sh")
            .args(["-c", GUARD, "guard", env!("CARGO_BIN_EXE_tieline"), "serve"])
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("AUTH_MODE", "insecure")
            .env("DATABASE_URL", &self.database.url)
            .env("DATABASE_REQUIRE_SSL", "false")
            .env("HTTP_PORT", self.port.to_string())
            .env("TIELINE_DATA_DIR", self.journal.path())
            .env("ELECTRIC_TXN_CACHE_SIZE", memory)
            .env("LOG_LEVEL", if log { "debug" } else { "warning" })
            .stdin(Stdio::piped())
            .stdout(if log { Stdio::inherit() } else { Stdio::null() })
            .stderr(Stdio::inherit())
            .spawn();
        self.guard = Some(child.expect("to start the service"));
    }

    fn kill(&mut self) {
        if let Some(mut guard) = self.guard.take() {
            drop(guard.stdin.take());
            let _ = guard.wait();
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

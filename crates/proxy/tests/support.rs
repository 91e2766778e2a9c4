//! A proxy inside the test, in front of a real Postgres.

use std::{
    net::{IpAddr, Ipv4Addr, SocketAddr},
    process::Output,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use postgres::{connection::ConnectConfig, url::Secret};
use proxy::{Certificate, Credentials, Guarding, Proxy, Settings, Strangers};
use testkit::Database;
use tokio::net::TcpListener;
use tokio_postgres::{Client, NoTls};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

/// How long a test waits for anything.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Every proxy's password.
pub const PASSWORD: &str = "let me in";

/// What a test may want otherwise.
pub struct Wishes {
    pub credentials: Credentials,
    pub certificate: Option<Certificate>,
    pub sessions: usize,
    pub login_timeout: Duration,
}

impl Default for Wishes {
    fn default() -> Wishes {
        Wishes {
            credentials: Credentials::scram(&Secret::from(PASSWORD.to_owned())).expect("a password"),
            certificate: None,
            sessions: 20,
            login_timeout: PATIENCE,
        }
    }
}

/// A running proxy. It stops when dropped.
pub struct Front {
    pub port: u16,
    pub stop: CancellationToken,
    pub tasks: TaskTracker,
    pub guarding: Guarding,
    failures: Arc<Failures>,
}

#[derive(Default)]
struct Failures(AtomicUsize);

impl Strangers for Failures {
    fn failed(&self, _peer: IpAddr) -> Duration {
        self.0.fetch_add(1, Ordering::Relaxed);
        Duration::ZERO
    }
}

impl Front {
    /// In front of a database of its own.
    pub async fn start() -> (Database, Front) {
        let database = Database::create().await;
        let front = Front::of(&database.url, Wishes::default()).await;
        (database, front)
    }

    /// In front of the database of a connection string.
    pub async fn of(url: &str, wishes: Wishes) -> Front {
        let (config, _) = ConnectConfig::parse(url, Some(false), None).expect("a connection string");
        Front::with(config, wishes).await
    }

    pub async fn with(database: ConnectConfig, wishes: Wishes) -> Front {
        let Wishes { credentials, certificate, sessions, login_timeout } = wishes;
        let (guarding, failures) = (Guarding::default(), Arc::new(Failures::default()));
        let settings = Settings {
            database,
            credentials,
            certificate,
            sessions,
            login_timeout,
            guarding: guarding.clone(),
            strangers: failures.clone(),
        };
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
        let port = listener.local_addr().expect("its address").port();
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        tasks.spawn(Proxy::new(settings).accept(listener, tasks.clone(), stop.clone()));
        Front { port, stop, tasks, guarding, failures }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// How often somebody failed to log in.
    pub fn failures(&self) -> usize {
        self.failures.0.load(Ordering::Relaxed)
    }

    /// A connection string for a user.
    pub fn url(&self, user: &str) -> String {
        let password = PASSWORD.replace(' ', "%20");
        format!("postgresql://{user}:{password}@127.0.0.1:{}/whatever", self.port)
    }

    /// The Rust driver's configuration for a user.
    pub fn config(&self, user: &str) -> tokio_postgres::Config {
        self.url(user).parse().expect("a connection string")
    }

    /// The Rust driver, logged in.
    pub async fn client(&self, user: &str) -> Client {
        let (client, connection) = self.config(user).connect(NoTls).await.expect("a session");
        tokio::spawn(connection);
        client
    }

    /// Runs one of Postgres' own programs against the proxy, with these arguments behind the connection string.
    pub async fn run(&self, program: &str, arguments: &[&str]) -> Output {
        run(program, &self.url("app"), arguments).await
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

/// Runs one of Postgres' own programs.
pub async fn run(program: &str, url: &str, arguments: &[&str]) -> Output {
    let path = testkit::Binaries::find().expect("Postgres' programs").program(program);
    let done = tokio::process::Command::new(path)
        .env("PGAPPNAME", "test")
        .args(arguments)
        .arg(url)
        .stdin(std::process::Stdio::null())
        .kill_on_drop(true)
        .output();
    within(done).await.expect("it starts")
}

/// What a program wrote to its standard output, which is to have succeeded.
pub fn said(output: &Output) -> String {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Fails the test if something takes too long.
pub async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future).await.expect("it happens in time")
}

//! A database of its own for each test, in one cluster that the test process shares.

use std::sync::{
    OnceLock,
    atomic::{AtomicU32, Ordering},
};

use cluster::{Cluster, Options};
use tokio_postgres::{Client, NoTls};

/// The cluster of this test process. It ends with the process.
///
/// # Panics
/// If Postgres can't be started: no test can go on without it.
pub fn shared_cluster() -> &'static Cluster {
    static SHARED: OnceLock<Cluster> = OnceLock::new();
    SHARED.get_or_init(|| Cluster::temporary(&Options::default()).expect("a private Postgres cluster"))
}

/// A fresh, empty database.
#[derive(Clone, Debug)]
pub struct Database {
    /// Its name, unique in this process.
    pub name: String,
    /// A connection string, as superuser.
    pub url: String,
}

impl Database {
    /// Makes one in the shared cluster.
    ///
    /// # Panics
    /// If that fails.
    pub async fn create() -> Database {
        let cluster = tokio::task::spawn_blocking(shared_cluster).await.expect("the cluster starts");
        Database::create_in(cluster).await
    }

    /// Makes one in a cluster of the test's own.
    ///
    /// # Panics
    /// If that fails.
    pub async fn create_in(cluster: &Cluster) -> Database {
        static COUNTER: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", COUNTER.fetch_add(1, Ordering::Relaxed));
        let admin = connect(&cluster.url("postgres")).await;
        admin.batch_execute(&format!("CREATE DATABASE {name}")).await.expect("a fresh database");
        Database { url: cluster.url(&name), name }
    }

    /// A new connection, as superuser.
    ///
    /// # Panics
    /// If that fails.
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }
}

/// Runs statements about synced tables as where the service may not make event triggers: nothing is captured and nothing
/// refused.
///
/// # Panics
/// If a statement fails.
pub async fn unguarded(client: &Client, sql: &str) {
    let switch = |state: &str| {
        format!(
            "DO $switch$ DECLARE name text; BEGIN
                FOR name IN SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'electric\\_%' LOOP
                    EXECUTE format('ALTER EVENT TRIGGER %I {state}', name);
                END LOOP;
             END $switch$"
        )
    };
    for part in [&switch("DISABLE"), sql, &switch("ENABLE ALWAYS")] {
        if let Err(error) = client.batch_execute(part).await {
            panic!("{part}\n{error:?}");
        }
    }
}

async fn connect(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("a connection to Postgres");
    tokio::spawn(async move {
        // An error here shows as an error of the query that waits for it.
        let _ = connection.await;
    });
    client
}

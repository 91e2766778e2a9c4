//! The stream, snapshots, logging in and what is stored of clients, against real databases.

mod clients;
mod held_back;
mod login;
mod oracle;
mod reach;
pub mod replica;
mod restart;
mod slot;
mod snapshots;
mod tls;

use std::time::Duration;

use change::Lsn;
use postgres::{
    assemble::History,
    catalogue,
    connection::{ConnectConfig, Purpose, connect},
    install::install,
    replication::{Publication, Stream},
};
use testkit::{Cluster, Database};
use tokio_postgres::Client;

/// Longer than anything here may take; reached only when something is wrong.
const FOREVER: Duration = Duration::from_secs(30);

/// A database with schema `electric`.
pub struct Synced {
    config: ConnectConfig,
    /// A session like an app's.
    pub app: Client,
}

fn config(url: &str) -> ConnectConfig {
    let (config, warnings) = ConnectConfig::parse(url, Some(false), None).expect("a connection string");
    assert!(warnings.is_empty(), "{warnings:?}");
    config
}

impl Synced {
    async fn create() -> Synced {
        Synced::on(Database::create().await).await
    }

    async fn create_in(cluster: &Cluster) -> Synced {
        Synced::on(Database::create_in(cluster).await).await
    }

    pub async fn on(database: Database) -> Synced {
        let config = config(&database.url);
        let mut app = connect(&config, Purpose::Tool).await.expect("a connection");
        install(&mut app).await.expect("schema electric installs");
        Synced { config, app }
    }

    /// Runs statements that have to succeed.
    pub async fn run(&self, sql: &str) {
        if let Err(error) = self.app.batch_execute(sql).await {
            panic!("{sql}\n{error:?}");
        }
    }

    /// A stream from where the slot stands; not connected yet.
    async fn stream(&self) -> Stream {
        let catalogue = catalogue::load(&self.app).await.expect("the catalogue");
        let loaded_at = wal_end(&self.app).await;
        let publication =
            Publication { config: self.config.clone(), name: "electric_publication".to_owned() };
        Stream::new(publication, History::of(&catalogue, loaded_at))
    }
}

/// The end of the log.
pub async fn wal_end(client: &Client) -> Lsn {
    let row = client.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.expect("a position");
    row.get::<_, &str>(0).parse().expect("a position")
}

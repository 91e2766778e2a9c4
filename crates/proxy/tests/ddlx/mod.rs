//! DDLX through the proxy, in both protocols, in front of a real Postgres with schema `electric`.

mod boundaries;
mod extended;
mod names;
mod raw;
mod simple;
mod watched;

use postgres::install::install;
use testkit::Database;
use tokio_postgres::Client;

use crate::support::Front;

/// A proxy in front of a database with these objects in it.
async fn start(schema: &str) -> (Database, Client, Front) {
    let (database, front) = Front::start().await;
    let mut admin = database.client().await;
    install(&mut admin).await.expect("schema electric");
    admin.batch_execute(schema).await.expect("the schema");
    (database, admin, front)
}

/// The tables that are synced.
async fn synced(admin: &Client) -> Vec<String> {
    let text = "SELECT schema_name || '.' || table_name FROM electric.electrified ORDER BY 1";
    admin.query(text, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

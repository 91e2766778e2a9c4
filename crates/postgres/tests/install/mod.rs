//! Schema `electric` in real databases: installation, electrification, versions, native writes, legacy databases.

mod capture;
mod capture_model;
mod checks;
mod disable;
mod drift;
mod electrify;
mod frameworks;
mod guard;
mod guard_allowed;
mod guard_bypass;
mod guard_concurrency;
mod guard_tiers;
mod installation;
mod legacy;
mod names;
mod native_client;
mod native_writes;
mod nested_writes;
mod truncate;
mod versions;
mod width;

use postgres::install::install;
use testkit::{Database, unguarded};
use tokio_postgres::{Client, SimpleQueryMessage, error::DbError};

/// A database with schema `electric`, and a connection to it.
async fn installed() -> (Database, Client) {
    let database = Database::create().await;
    let mut client = database.client().await;
    install(&mut client).await.expect("schema electric installs");
    client.batch_execute("SET TimeZone = 'UTC'").await.expect("a setting");
    (database, client)
}

/// Runs statements that have to succeed.
async fn run(client: &Client, sql: &str) {
    if let Err(error) = client.batch_execute(sql).await {
        panic!("{sql}\n{error:?}");
    }
}

/// Runs statements that have to be refused, in a transaction of their own unless they say otherwise.
async fn refused(client: &Client, sql: &str) -> DbError {
    let error = client.batch_execute(sql).await.expect_err(sql);
    error.as_db_error().unwrap_or_else(|| panic!("{error:?}")).clone()
}

/// The result as text: columns joined by `|`, NULL as nothing.
async fn rows(client: &Client, sql: &str) -> Vec<String> {
    let messages = client.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}\n{error:?}"));
    let mut lines = Vec::new();
    for message in messages {
        if let SimpleQueryMessage::Row(row) = message {
            let cells: Vec<&str> = (0..row.len()).map(|i| row.get(i).unwrap_or_default()).collect();
            lines.push(cells.join("|"));
        }
    }
    lines
}

/// The only value of the only row.
async fn value(client: &Client, sql: &str) -> String {
    let rows = rows(client, sql).await;
    assert_eq!(rows.len(), 1, "{sql}: {rows:?}");
    rows.into_iter().next().unwrap_or_default()
}

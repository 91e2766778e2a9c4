//! The sample database.

use anyhow::{Context, Result};
use tokio_postgres::{Client, NoTls};

/// Its name.
pub const NAME: &str = "tieline";

/// Its table.
const SAMPLE: &str = "\
CREATE TABLE IF NOT EXISTS public.items (id uuid PRIMARY KEY, content text NOT NULL);
CALL electric.electrify('public', 'items');
";

/// Connects to the private cluster.
pub async fn connect(url: &str) -> Result<Client> {
    let (client, connection) =
        tokio_postgres::connect(url, NoTls).await.context("connecting to the private Postgres")?;
    tokio::spawn(async move {
        // An error here shows as an error of the query that waits for it.
        let _ = connection.await;
    });
    Ok(client)
}

/// Makes the database if it is not there; `url` is any database of the cluster.
pub async fn make(url: &str) -> Result<()> {
    let client = connect(url).await?;
    let there = client.query_opt("SELECT FROM pg_database WHERE datname = $1", &[&NAME]).await?.is_some();
    if !there {
        client.batch_execute(&format!("CREATE DATABASE {NAME}")).await.context("making the database")?;
    }
    Ok(())
}

/// Makes the sample table and syncs it, unless that has been done.
pub async fn make_sample(url: &str) -> Result<()> {
    let client = connect(url).await?;
    client.batch_execute(SAMPLE).await.context("making the sample table")
}

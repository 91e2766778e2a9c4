//! Column types: what `docs/types.md` says of them, played against the real service and a real Postgres.

#![expect(clippy::unwrap_used, reason = "a test that can't go on has failed")]

mod page;
mod supported;
mod vectors;

use crate::e2e::service::Service;

/// What the vectors' types need.
const TYPES: &str = "
    CREATE EXTENSION citext;
    CREATE TYPE color AS ENUM ('RED', 'GREEN');
    CREATE DOMAIN code AS char(3);
    CREATE DOMAIN amount AS numeric(6,2) CHECK (value > 0);
    CREATE DOMAIN small AS int2;
    CREATE DOMAIN smaller AS small CHECK (value < 100);";

/// A service over a database with those types. The test's own session prints values as the service does.
async fn service() -> Service {
    let service = Service::insecure().await;
    service.sql(TYPES).await;
    service
        .sql("SET DateStyle = 'ISO, DMY'; SET TimeZone = 'UTC'; SET IntervalStyle = postgres; SET bytea_output = hex; SET extra_float_digits = 1")
        .await;
    service
}

/// The value of a query of one column and one row, as Postgres prints it.
async fn printed(service: &Service, sql: &str) -> Option<String> {
    let messages =
        service.postgres.simple_query(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    messages.iter().find_map(|message| match message {
        tokio_postgres::SimpleQueryMessage::Row(row) => Some(row.get(0).map(str::to_owned)),
        _ => None,
    })?
}

/// A text in quotes.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

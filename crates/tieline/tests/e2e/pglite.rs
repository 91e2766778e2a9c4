//! The Postgres dialect: PGlite in the client.

use node_client::LocalDatabase;
use serde_json::json;
use testkit::unsigned_token;

use super::service::{Service, id};

/// Two tables with all that the dialect has to say of a table: an enumeration, a foreign key, indexes, every type.
const TABLES: &str = "
CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE TABLE people (id uuid PRIMARY KEY, name varchar NOT NULL, a_mood mood);
CREATE TABLE notes (
  id uuid PRIMARY KEY, author uuid REFERENCES people (id) ON DELETE CASCADE, body text NOT NULL, a_bool bool, a_int2 int2,
  a_int8 int8, a_float8 float8, a_date date, a_time time, a_timestamp timestamp, a_timestamptz timestamptz, a_jsonb jsonb,
  a_bytea bytea);
CREATE INDEX notes_author ON notes (author, body DESC);
CREATE UNIQUE INDEX notes_lower ON notes (lower(body)) WHERE a_bool IS NOT NULL;
CALL electric.electrify('people');
CALL electric.electrify('notes');
";

#[tokio::test(flavor = "multi_thread")]
async fn a_client_over_pglite_syncs_both_ways_with_one_over_sqlite() {
    let service = Service::insecure().await;
    service.sql(TABLES).await;
    let row = format!(
        "INSERT INTO people VALUES ('{0}', 'Ada', 'happy');
         INSERT INTO notes VALUES ('{0}', '{0}', 'from postgres', true, 7, 9007199254740993, 0.5, '2023-08-23', '11:00:59',
           '2023-08-14 14:01:28.848242', '2023-08-14 14:01:28.848242+00', '{{\"a\": [1, null]}}', '\\x0001ff')",
        id(1)
    );
    service.sql(&row).await;
    let tables = json!({
        "people": { "id": "UUID", "name": "VARCHAR", "a_mood": "TEXT" },
        "notes": {
            "id": "UUID", "author": "UUID", "body": "TEXT", "a_bool": "BOOL", "a_int2": "INT2", "a_int8": "INT8",
            "a_float8": "FLOAT8", "a_date": "DATE", "a_time": "TIME", "a_timestamp": "TIMESTAMP",
            "a_timestamptz": "TIMESTAMPTZ", "a_jsonb": "JSONB", "a_bytea": "BYTEA"
        }
    });
    let pglite = service.client_over(LocalDatabase::Pglite, "pglite", &tables).await;
    let sqlite = service.client("sqlite", &tables).await;
    for (client, user) in [(&pglite, "ada"), (&sqlite, "bob")] {
        client.connect(&unsigned_token(user)).await.unwrap();
        client.sync(&["people", "notes"]).await.unwrap();
    }
    // What arrived is what Postgres holds, judged by the Postgres in the client.
    let same = "SELECT count(*) = 1 FROM notes WHERE body = 'from postgres' AND a_bool AND a_int2 = 7 \
        AND a_int8 = 9007199254740993 AND a_float8 = 0.5 AND a_date = '2023-08-23' AND a_time = '11:00:59' \
        AND a_timestamp = '2023-08-14 14:01:28.848242' AND a_timestamptz = '2023-08-14 14:01:28.848242+00' \
        AND a_jsonb = '{\"a\": [1, null]}' AND a_bytea = '\\x0001ff'";
    pglite.wait(same).await.unwrap();
    pglite.wait("SELECT count(*) = 1 FROM people WHERE a_mood = 'happy'").await.unwrap();
    pglite.wait("SELECT count(*) = 2 FROM pg_indexes WHERE tablename = 'notes' AND indexname LIKE 'notes\\__%' AND indexname <> 'notes_pkey'").await.unwrap();
    // And back up again, a copy made in the client.
    let copy = format!(
        "INSERT INTO notes SELECT '{}', author, 'from pglite', a_bool, a_int2, a_int8, a_float8, a_date, a_time, \
         a_timestamp, a_timestamptz, a_jsonb, a_bytea FROM notes",
        id(2)
    );
    pglite.sql(&copy, &[]).await.unwrap();
    service.wait("SELECT count(*) = 1 FROM notes WHERE body = 'from pglite'").await;
    let equal: bool = service
        .postgres
        .query_one(
            "SELECT count(DISTINCT (author, a_bool, a_int2, a_int8, a_float8, a_date, a_time, a_timestamp, a_timestamptz, \
             a_jsonb, a_bytea)) = 1 FROM notes",
            &[],
        )
        .await
        .unwrap()
        .get(0);
    assert!(equal, "the copy differs");
    sqlite.wait("SELECT count(*) = 1 FROM notes WHERE body = 'from pglite'").await.unwrap();
    sqlite.sql("UPDATE notes SET body = 'sqlite changed it' WHERE id = ?", &[id(2).into()]).await.unwrap();
    pglite.wait("SELECT count(*) = 1 FROM notes WHERE body = 'sqlite changed it'").await.unwrap();
    service.sql("DELETE FROM people").await;
    for client in [pglite, sqlite] {
        client.wait("SELECT count(*) = 0 FROM notes").await.unwrap();
        client.close().await.unwrap();
    }
}

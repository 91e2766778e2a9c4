//! Every column type through the real client, both ways, with Postgres as the judge.

use serde_json::json;
use testkit::unsigned_token;

use super::service::{Service, id};

const TABLE: &str = "
CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE TABLE everything (
  id uuid PRIMARY KEY, a_bool bool, a_int2 int2, a_int4 int4, a_int8 int8, a_float4 float4, a_float8 float8, a_text text,
  a_varchar varchar, a_date date, a_time time, a_timestamp timestamp, a_timestamptz timestamptz, a_jsonb jsonb,
  a_bytea bytea, a_mood mood);
CALL electric.electrify('everything');
";

const COLUMNS: [(&str, &str); 16] = [
    ("id", "UUID"),
    ("a_bool", "BOOL"),
    ("a_int2", "INT2"),
    ("a_int4", "INT4"),
    ("a_int8", "INT8"),
    ("a_float4", "FLOAT4"),
    ("a_float8", "FLOAT8"),
    ("a_text", "TEXT"),
    ("a_varchar", "VARCHAR"),
    ("a_date", "DATE"),
    ("a_time", "TIME"),
    ("a_timestamp", "TIMESTAMP"),
    ("a_timestamptz", "TIMESTAMPTZ"),
    ("a_jsonb", "JSONB"),
    ("a_bytea", "BYTEA"),
    ("a_mood", "TEXT"),
];

/// Rows as Postgres takes them, edge values included.
const ROWS: [&str; 4] = [
    "true, 32767, 2147483647, 9223372036854775807, 1.5, 2.5, 'it''s ⚡', 'v', '2023-08-23', '23:05:17.999999', \
     '2023-08-14 14:01:28.848242', '2023-08-14 14:01:28.848242+00', '{\"a\": [1, 2.5, null]}', '\\x0001ff', 'happy'",
    "false, -32768, -2147483648, -9223372036854775808, -0.25, 1e21, '', '', '0001-01-01', '00:00:00', \
     '9999-12-31 23:59:59.999999', '9999-12-31 23:59:59.999999+00', 'null', '\\x', 'sad'",
    "NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL",
    "true, 0, 0, 0, 'Infinity', '-Infinity', E'line\\nbreak\\ttab', 'x', '6000-02-29', '24:00:00', 'infinity', '-infinity', \
     '\"null\"', '\\xdeadbeef', NULL",
];

#[tokio::test(flavor = "multi_thread")]
async fn all_types_make_the_round_trip() {
    let service = Service::insecure().await;
    service.sql(TABLE).await;
    for (n, row) in ROWS.iter().enumerate() {
        service.sql(&format!("INSERT INTO everything VALUES ('{}', {row})", id(n as u32))).await;
    }
    let columns: serde_json::Map<_, _> =
        COLUMNS.iter().map(|(name, ty)| ((*name).into(), json!(ty))).collect();
    let tables = json!({ "everything": columns });
    let (alice, bob) = (service.client("alice", &tables).await, service.client("bob", &tables).await);
    for (client, user) in [(&alice, "alice"), (&bob, "bob")] {
        client.connect(&unsigned_token(user)).await.unwrap();
        client.sync(&["everything"]).await.unwrap();
        client.wait("SELECT count(*) = 4 FROM everything").await.unwrap();
    }
    // A copy made in the client goes up to Postgres and down to the other client; Postgres says whether it is the same.
    let names: Vec<_> = COLUMNS.iter().skip(1).map(|(name, _)| *name).collect();
    let list = names.join(", ");
    let copy = format!(
        "INSERT INTO everything (id, {list}) SELECT substr(id, 1, 35) || (substr(id, 36) + 5), {list} FROM everything"
    );
    alice.sql(&copy, &[]).await.unwrap();
    service.wait("SELECT count(*) = 8 FROM everything").await;
    let same: Vec<_> = names.iter().map(|name| format!("a.{name} IS NOT DISTINCT FROM b.{name}")).collect();
    let differing = format!(
        "SELECT string_agg(a::text || ' / ' || b::text, E'\\n') FROM everything a JOIN everything b \
         ON right(b.id::text, 1)::int = right(a.id::text, 1)::int + 5 WHERE NOT ({})",
        same.join(" AND ")
    );
    let differing: Option<String> = service.postgres.query_one(&differing, &[]).await.unwrap().get(0);
    assert_eq!(differing, None);
    bob.wait("SELECT count(*) = 8 FROM everything").await.unwrap();
    let local: Vec<_> = names.iter().map(|name| format!("a.{name} IS b.{name}")).collect();
    bob.wait(format!(
        "SELECT count(*) = 4 FROM everything a JOIN everything b \
         ON substr(b.id, 36) + 0 = substr(a.id, 36) + 5 WHERE {}",
        local.join(" AND ")
    ))
    .await
    .unwrap();
    for client in [alice, bob] {
        client.close().await.unwrap();
    }
}

//! Every column type through the real client, both ways, with Postgres as the judge.

use node_client::{LocalDatabase, NodeClient};
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

/// The types that clients hold as texts (docs/types.md).
const TEXTS: &str = "
CREATE EXTENSION citext;
CREATE DOMAIN amount AS numeric(6,2) CHECK (value > 0);
CREATE TABLE texts (
  id int4 PRIMARY KEY, a_numeric numeric, a_price numeric(10,2), a_varchar varchar(5), a_char char(5), a_citext citext,
  a_json json, a_interval interval, a_timetz timetz, a_inet inet, a_cidr cidr, an_amount amount, note text);
INSERT INTO texts VALUES
  (1, '12345678901234567890.1230', '1.50', 'äö ü', 'ab', 'MiXed', '{\"b\": 1, \"a\":2}', '1 year -2 days 03:04:05.678', '18:28:35.42+00',
   '192.168.0.1/24', '10.0.0.0/8', '12.50', NULL),
  (2, '-0.000000000000000000012300', '-99999999.99', '', '', '', '[1.10, \"x\", true]', '-1 mons', '10:00:00+05:30', '::ffff:1.2.3.4',
   '::/0', '0.01', 'x'),
  (3, 'NaN', 'NaN', '12345', '12345', E'a\\nb', '{\"text\": \"it''s\"}', '0', '23:59:59.999999-00:30', '192.168.0.1', '1.2.3.4/32', NULL, ''),
  (4, 'Infinity', '0', '  ', '  x', 'é', '\"null\"', '178000000 years', '10:00:00+00:30', '2001:db8::1', '2001:db8::/32', '9999.99', ''),
  (5, '-Infinity', NULL, NULL, NULL, NULL, NULL, NULL, '24:00:00+00', NULL, NULL, NULL, NULL),
  (6, '1e40', '1', 'a', 'a', 'A', '0', '-1 days +02:03:00', '00:00:00+15:59', '0.0.0.0/0', '0.0.0.0/0', '1', 'y');
CALL electric.electrify('texts');
";

const TEXT_COLUMNS: [&str; 11] = [
    "a_numeric",
    "a_price",
    "a_varchar",
    "a_char",
    "a_citext",
    "a_json",
    "a_interval",
    "a_timetz",
    "a_inet",
    "a_cidr",
    "an_amount",
];

/// What the generator makes of such a table if it asks Postgres itself; it knows no `interval` and no `cidr`.
fn generated() -> serde_json::Value {
    json!({ "texts": {
        "id": "INT4", "a_numeric": "DECIMAL", "a_price": "DECIMAL", "a_varchar": "VARCHAR", "a_char": "VARCHAR",
        "a_citext": "VARCHAR", "a_json": "JSON", "a_timetz": "TIMETZ", "a_inet": "VARCHAR", "an_amount": "DECIMAL", "note": "TEXT"
    }})
}

/// A copy made in the client goes up to Postgres, whose texts say whether it is the same. A JSON document of a Postgres client
/// arrives as `jsonb` has it.
async fn copy_rows(service: &Service, client: &NodeClient, dialect: LocalDatabase, offset: u32) {
    let list = TEXT_COLUMNS.join(", ");
    client.wait("SELECT count(*) = 6 FROM texts WHERE id < 10").await.unwrap();
    let copy =
        format!("INSERT INTO texts (id, {list}) SELECT id + {offset}, {list} FROM texts WHERE id < 10");
    client.sql(&copy, &[]).await.unwrap();
    service.wait(&format!("SELECT count(*) = 6 FROM texts WHERE id BETWEEN {offset} AND {offset} + 9")).await;
    let differs = TEXT_COLUMNS.map(|name| match (name, dialect) {
        ("a_json", LocalDatabase::Pglite) => format!("a.{name}::jsonb IS DISTINCT FROM b.{name}::jsonb"),
        ("a_char", _) => format!("bpcharout(a.{name})::text IS DISTINCT FROM bpcharout(b.{name})::text"),
        _ => format!("a.{name}::text IS DISTINCT FROM b.{name}::text"),
    });
    let query = format!(
        "SELECT string_agg(a::text || ' / ' || b::text, E'\\n') FROM texts a JOIN texts b ON b.id = a.id + {offset} WHERE a.id < 10 AND ({})",
        differs.join(" OR ")
    );
    let differing: Option<String> = service.postgres.query_one(&query, &[]).await.unwrap().get(0);
    assert_eq!(differing, None, "{dialect:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_of_many_types_make_the_round_trip_on_both_kinds_of_database() {
    let service = Service::insecure().await;
    service.sql(TEXTS).await;
    let mut clients = Vec::new();
    for (n, (dialect, tables)) in [
        (LocalDatabase::Sqlite, generated()),
        (LocalDatabase::Sqlite, json!({})),
        (LocalDatabase::Pglite, generated()),
        (LocalDatabase::Pglite, json!({})),
    ]
    .into_iter()
    .enumerate()
    {
        let client = service.client_over(dialect, &format!("client-{n}"), &tables).await;
        client.connect(&unsigned_token(&n.to_string())).await.unwrap();
        client.sync(&["texts"]).await.unwrap();
        copy_rows(&service, &client, dialect, 10 * (n as u32 + 1)).await;
        // Another column changes, and nothing else: what these hold is not written again.
        client.sql("UPDATE texts SET note = 'seen' WHERE id < 10", &[]).await.unwrap();
        service.wait("SELECT count(*) = 6 FROM texts WHERE id < 10 AND note = 'seen'").await;
        service.sql("UPDATE texts SET note = 'again' WHERE id < 10").await;
        client.wait("SELECT count(*) = 6 FROM texts WHERE id < 10 AND note = 'again'").await.unwrap();
        clients.push((client, dialect));
    }
    // Everybody has everybody's rows in the end, and writes every column.
    for (n, (client, _)) in clients.iter().enumerate() {
        client.wait("SELECT count(*) = 30 FROM texts").await.unwrap();
        let update = format!(
            "UPDATE texts SET a_numeric = '{n}.10', a_price = '7.{n}', a_varchar = 'v{n}', a_char = 'c{n}', a_citext = 'T{n}',
               a_json = '[{n}]', a_interval = '{n} days', a_timetz = '0{n}:00:00', a_inet = '10.0.0.{n}', a_cidr = '10.{n}.0.0/16',
               an_amount = '{}' WHERE id = 1",
            n + 1
        );
        client.sql(&update, &[]).await.unwrap();
        let expected = format!(
            "SELECT a_numeric::text = '{n}.10' AND a_price = 7.{n} AND a_varchar = 'v{n}' AND a_char = 'c{n}' AND a_citext::text = 'T{n}'
               AND a_json::text = '[{n}]' AND a_interval = '{n} days' AND a_timetz = '0{n}:00:00+00' AND a_inet = '10.0.0.{n}'
               AND a_cidr = '10.{n}.0.0/16' AND an_amount = {} FROM texts WHERE id = 1",
            n + 1
        );
        service.wait(&expected).await;
        for (other, _) in &clients {
            other
                .wait(format!("SELECT count(*) = 1 FROM texts WHERE id = 1 AND a_varchar = 'v{n}'"))
                .await
                .unwrap();
        }
    }
    // Deleted by one, revived by another from what Postgres remembers of it.
    service.sql("DELETE FROM texts WHERE id >= 10").await;
    for (client, _) in clients {
        client.wait("SELECT count(*) = 6 FROM texts").await.unwrap();
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn apps_write_and_read_texts_through_their_generated_code() {
    let service = Service::insecure().await;
    service.sql(TEXTS).await;
    for (n, dialect) in [LocalDatabase::Sqlite, LocalDatabase::Pglite].into_iter().enumerate() {
        let client = service.client_over(dialect, &format!("app-{n}"), &generated()).await;
        client.connect(&unsigned_token(&n.to_string())).await.unwrap();
        client.sync(&["texts"]).await.unwrap();
        let id = 50 + n;
        let data = json!({
            "id": id, "a_numeric": "123456789012345678901.50", "a_price": "7.25", "a_varchar": "v", "a_char": "c", "a_citext": "T",
            "a_json": { "b": [1, null], "a": "x" }, "a_timetz": { "$date": "1970-01-01T18:28:35.420Z" }, "a_inet": "10.0.0.1",
            "an_amount": "3.50", "note": null
        });
        let create = json!({ "do": "db", "table": "texts", "method": "create", "args": { "data": data } });
        client.call(create).await.unwrap();
        service
            .wait(&format!(
                "SELECT count(*) = 1 FROM texts WHERE id = {id} AND a_numeric::text = '123456789012345678901.50' AND a_price = 7.25
                   AND a_varchar = 'v' AND a_char = 'c' AND a_citext = 't' AND a_json::jsonb = '{{\"b\": [1, null], \"a\": \"x\"}}'
                   AND a_timetz = '18:28:35.42+00' AND a_inet = '10.0.0.1' AND an_amount = 3.5"
            ))
            .await;
        client.wait(format!("SELECT a_char = 'c    ' FROM texts WHERE id = {id}")).await.unwrap();
        let find = json!({ "do": "db", "table": "texts", "method": "findUnique", "args": { "where": { "id": id } } });
        let row = client.call(find).await.unwrap();
        assert_eq!(row["a_numeric"], "123456789012345678901.50", "{dialect:?} {row}");
        assert_eq!(row["a_price"], "7.25", "{dialect:?} {row}");
        assert_eq!(row["a_char"], "c    ", "{dialect:?} {row}");
        assert_eq!(row["a_json"], json!({ "b": [1, null], "a": "x" }), "{dialect:?} {row}");
        assert_eq!(row["a_timetz"], "1970-01-01T18:28:35.420Z", "{dialect:?} {row}");
        client.close().await.unwrap();
    }
}

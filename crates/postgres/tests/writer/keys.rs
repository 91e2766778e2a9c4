//! Which operations are on one row, and values of every type.

use change::ClientOpKind;
use postgres::writer::Applied;

use super::fixture::{Fixture, clearing, fresh_client, text, tx};

#[tokio::test]
async fn spellings_of_one_key_are_one_row() {
    let fixture = Fixture::new(
        "CREATE TABLE numbers (id int8 PRIMARY KEY, v text); \
         CREATE TABLE moments (at timestamptz, f float8, v text, PRIMARY KEY (f, at))",
        &["numbers", "moments"],
    )
    .await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let ops = [
        fixture.insert("numbers", &["+5", "a"]),
        fixture.op(ClientOpKind::Update, "numbers", &["05", "b"]),
        fixture.insert("moments", &["2023-06-06T00:00:00Z", "1.50", "a"]),
        fixture.op(ClientOpKind::Update, "moments", &["2023-06-06 02:00:00+02", "1.5", "b"]),
    ];
    assert_eq!(writer.apply(&tx(&fresh_client(), 1, ops)).await, Ok(Applied::Committed));
    let numbers = "SELECT string_agg(id || v, ',') FROM numbers";
    assert_eq!(text(&client, numbers).await.as_deref(), Some("5b"));
    let moments = "SELECT string_agg(at AT TIME ZONE 'UTC' || '|' || f || v, ',') FROM moments";
    assert_eq!(text(&client, moments).await.as_deref(), Some("2023-06-06 00:00:00|1.5b"));
    assert_eq!(
        text(&client, "SELECT count(*) FROM electric.shadow__public__moments").await.as_deref(),
        Some("1")
    );
}

#[tokio::test]
async fn spaces_that_a_key_has_no_room_for_make_no_other_row() {
    let fixture = Fixture::new("CREATE TABLE codes (id varchar(3) PRIMARY KEY, v text)", &["codes"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let ops = [
        fixture.insert("codes", &["abc  ", "a"]),
        fixture.op(ClientOpKind::Update, "codes", &["abc", "b"]),
        fixture.insert("codes", &["a ", "c"]),
    ];
    assert_eq!(writer.apply(&tx(&fresh_client(), 1, ops)).await, Ok(Applied::Committed));
    let all = "SELECT string_agg(id || '=' || v, ',' ORDER BY id) FROM codes";
    assert_eq!(text(&client, all).await.as_deref(), Some("a =c,abc=b"));
    assert_eq!(
        text(&client, "SELECT count(*) FROM electric.shadow__public__codes").await.as_deref(),
        Some("2")
    );
}

const EVERYTHING: &str = r#"
    CREATE TYPE "Mood" AS ENUM ('happy', 'so_so');
    CREATE SCHEMA "else where"; CREATE EXTENSION citext SCHEMA "else where";
    CREATE DOMAIN "else where".code AS char(4) CHECK (value <> 'no');
    CREATE TABLE "every type" (
        "the key" uuid, k2 varchar, b bool, i2 int2, i4 int4, i8 int8, f4 float4, f8 float8, t text, v varchar,
        u uuid, d date, ti time(0), ts timestamp(3), tz timestamptz, j jsonb, by bytea, m "Mood", "it's" text,
        ident int4 GENERATED ALWAYS AS IDENTITY, n numeric, price numeric(6,2), c char(4), cv varchar(4), x "else where".citext, iv interval,
        tt timetz, js json, ip inet, net cidr, code "else where".code, PRIMARY KEY (k2, "the key"))"#;

const VALUES: [&str; 31] = [
    "8d7f1c8e-61f4-4d23-9d27-3a7f2f6e4a11",
    "abc",
    "t",
    "-1",
    "2147483647",
    "-9223372036854775808",
    "1.2339999675750732",
    "NaN",
    "multi\nline \u{1F600} 'quotes' \"too\" \\",
    "five5",
    "8d7f1c8e-61f4-4d23-9d27-3a7f2f6e4a12",
    "2023-02-28",
    "23:59:59",
    "2023-02-28 12:00:00.123",
    "2023-02-28 12:00:00.123456+00",
    r#"{"a": [1, "\"x\""], "b": null}"#,
    "\\x00ff",
    "so_so",
    "",
    "42",
    "-12345678901234567890.12300",
    "1.5",
    "a",
    "a  ",
    "MiXed",
    "-1 mons +2 days -00:00:00.5",
    "10:00:00.5+05:30",
    r#"{"b":1,  "a":2, "a":3}"#,
    "1.2.3.4",
    "10.0.0.0/8",
    "b",
];

#[tokio::test]
async fn values_of_every_type_go_in_die_and_come_back() {
    let fixture = Fixture::new(EVERYTHING, &["every type"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    writer.apply(&tx(&author, 1, [fixture.insert("every type", &VALUES)])).await.expect("inserted");
    let whole = "SELECT e FROM \"every type\" e";
    let stored = text(&client, whole).await;
    let seen = format!("{author}@1000");
    let delete = clearing(fixture.op(ClientOpKind::Delete, "every type", &VALUES[..2]), &[&seen]);
    writer.apply(&tx(&author, 2, [delete])).await.expect("deleted");
    assert_eq!(text(&client, whole).await, None);
    // The tombstone holds the text that replication prints: `t`, not `true`.
    let image = "SELECT concat_ws('|', _image ->> 'b', _image ->> 'c', _image ->> 'ip', _image ->> 'code', _image ->> 'js')
        FROM electric.\"shadow__public__every type\"";
    let printed = r#"t|a   |1.2.3.4|b   |{"b":1,  "a":2, "a":3}"#;
    assert_eq!(text(&client, image).await.as_deref(), Some(printed));
    let touch = fixture.op(ClientOpKind::Compensation, "every type", &VALUES[..2]);
    writer.apply(&tx(&author, 3, [touch])).await.expect("revived");
    assert_eq!(text(&client, whole).await, stored);
    // Made and removed at once: its tombstone comes from the values alone.
    let mut other = VALUES;
    other[1] = "xyz";
    let ops =
        [fixture.insert("every type", &other), fixture.op(ClientOpKind::Delete, "every type", &other[..2])];
    writer.apply(&tx(&author, 4, ops)).await.expect("buried");
    let touch = fixture.op(ClientOpKind::Compensation, "every type", &other[..2]);
    writer.apply(&tx(&author, 5, [touch])).await.expect("revived");
    let same = "SELECT count(DISTINCT to_jsonb(e) - 'k2') FROM \"every type\" e";
    assert_eq!(text(&client, same).await.as_deref(), Some("1"));
}

#[tokio::test]
async fn vector_19_a_table_that_has_nothing_but_its_key() {
    let fixture = Fixture::new("CREATE TABLE keys (id text PRIMARY KEY)", &["keys"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let (a, b) = (fresh_client(), fresh_client());
    writer.apply(&tx(&a, 1, [fixture.insert("keys", &["1"])])).await.expect("inserted");
    writer
        .apply(&tx(&b, 1, [fixture.op(ClientOpKind::Compensation, "keys", &["1"])]))
        .await
        .expect("touched");
    let tags = "SELECT cardinality(_tags) FROM electric.shadow__public__keys";
    assert_eq!(text(&client, tags).await.as_deref(), Some("2"));
    let seen = [format!("{a}@1000"), format!("{b}@1000")];
    let delete = clearing(fixture.delete("keys", "1"), &[&seen[0], &seen[1]]);
    writer.apply(&tx(&b, 2, [delete])).await.expect("deleted");
    assert_eq!(text(&client, "SELECT count(*) FROM keys").await.as_deref(), Some("0"));
    assert_eq!(text(&client, tags).await.as_deref(), Some("0"));
}

#[tokio::test]
async fn vector_35_a_key_changed_in_postgres() {
    let fixture = Fixture::new("CREATE TABLE items (id int4 PRIMARY KEY, value text)", &["items"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    writer.apply(&tx(&author, 1, [fixture.insert("items", &["1", "v0"])])).await.expect("inserted");
    client.batch_execute("UPDATE items SET id = 2").await.expect("a native update");
    // The author had not seen that, and changes the row under its old key: it comes back beside the new one.
    let update = clearing(
        fixture.op(ClientOpKind::Update, "items", &["1", "v1"]),
        &[&format!("{author}@2000"), &format!("{author}@1000")],
    );
    writer.apply(&tx(&author, 2, [update])).await.expect("updated");
    let all = "SELECT string_agg(id || value, ',' ORDER BY id) FROM items";
    assert_eq!(text(&client, all).await.as_deref(), Some("1v1,2v0"));
}

//! A service without the right to make event triggers, and changes of synced tables that are made straight in Postgres.

use testkit::{Database, Satellite, unsigned_token};

use super::support::*;

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

/// A database for a role that may do what the service needs and no more, and a connection as that role.
async fn with_plain_role() -> (Database, String, tokio_postgres::Client) {
    let database = Database::create().await;
    let admin = database.client().await;
    let role = format!("service_{}", database.name);
    admin
        .batch_execute(&format!(
            "CREATE ROLE {role} LOGIN REPLICATION; GRANT CREATE ON DATABASE {name} TO {role}; GRANT ALL ON SCHEMA public TO {role}",
            name = database.name
        ))
        .await
        .expect("a role");
    let url = database.url.replacen("postgres@", &format!("{role}@"), 1);
    assert_ne!(url, database.url);
    let (client, connection) =
        tokio_postgres::connect(&url, tokio_postgres::NoTls).await.expect("the role is let in");
    tokio::spawn(connection);
    (database, url, client)
}

/// The part of the JSON status that speaks of the schema.
async fn schema(port: u16) -> serde_json::Value {
    let status: serde_json::Value =
        serde_json::from_slice(&get(port, "/api/status.json").await.body).expect("JSON");
    status["schema"].clone()
}

/// Asks for the status until it is as wanted.
async fn schema_becomes(port: u16, wanted: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    let mut last = serde_json::Value::Null;
    let asking = async {
        loop {
            last = schema(port).await;
            if wanted(&last) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let outcome = tokio::time::timeout(PATIENCE, asking).await;
    assert!(outcome.is_ok(), "it stays at {last}");
    last
}

#[tokio::test(flavor = "multi_thread")]
async fn what_clients_can_follow_reaches_them_and_what_they_can_not_is_listed() {
    let (_database, url, postgres) = with_plain_role().await;
    let running = start(&url, &[("TIELINE_DRIFT_INTERVAL", "1s")]).await;
    postgres
        .batch_execute(
            "CREATE TABLE items (id text PRIMARY KEY, v text); CREATE TABLE others (id text PRIMARY KEY, v text);
             CALL electric.electrify('items'); CALL electric.electrify('others')",
        )
        .await
        .expect("synced tables");
    stream_has_caught_up(running.port).await;
    let found = schema(running.port).await;
    assert_eq!((&found["tier"], &found["tables"]), (&2.into(), &2.into()), "{found}");
    assert!(found["tier_means"].as_str().is_some_and(|text| text.contains("migrations proxy")), "{found}");

    let mut client = Satellite::open(running.port, "a", &unsigned_token("user")).await.expect("to be let in");
    client.subscribe(&id(1), &["items"]).await.expect("a subscription");
    client.subscribe(&id(2), &["others"]).await.expect("a subscription");
    within(client.data_of(&id(1))).await.expect("its data");
    within(client.data_of(&id(2))).await.expect("its data");

    // Nobody is told of it but by looking.
    let version = found["version"].clone();
    postgres.batch_execute("ALTER TABLE items ADD COLUMN w int").await.expect("nobody guards");
    schema_becomes(running.port, |schema| {
        schema["version"] != version && schema["held_back"] == serde_json::json!([])
    })
    .await;
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'a', 7)").await.expect("a row");

    postgres.batch_execute("ALTER TABLE items DROP COLUMN v").await.expect("nobody guards");
    let held_back = serde_json::json!([{"table": "items", "reason": "column v was dropped"}]);
    schema_becomes(running.port, |schema| schema["held_back"] == held_back).await;
    postgres
        .batch_execute("INSERT INTO items VALUES ('2', 8); DELETE FROM items WHERE id = '1'")
        .await
        .expect("writes go on");
    postgres.batch_execute("INSERT INTO others VALUES ('1', 'b')").await.expect("a row");
    let refused = client.subscribe(&id(3), &["items"]).await.expect_err("it is not to be had");
    assert!(refused.to_string().contains("items"), "{refused:#}");

    // Undone.
    postgres
        .batch_execute("ALTER TABLE items DROP COLUMN w, ADD COLUMN v text, ADD COLUMN w int")
        .await
        .expect("a change");
    schema_becomes(running.port, |schema| schema["held_back"] == serde_json::json!([])).await;
    let mut fresh = Satellite::open(running.port, "b", &unsigned_token("user")).await.expect("to be let in");
    fresh.subscribe(&id(4), &["items"]).await.expect("it is back");
    assert_eq!(within(fresh.data_of(&id(4))).await.expect("its data").len(), 1);

    postgres.batch_execute("DROP TABLE items").await.expect("nobody guards");
    schema_becomes(running.port, |schema| schema["tables"] == 1).await;
    fresh.subscribe(&id(5), &["others"]).await.expect("the other one is as before");
    assert_eq!(within(fresh.data_of(&id(5))).await.expect("its data").len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_of_a_changed_table_has_it_looked_at_at_once() {
    let (_database, url, postgres) = with_plain_role().await;
    // So long that only the stream can be the reason.
    let running = start(&url, &[("TIELINE_DRIFT_INTERVAL", "1h")]).await;
    postgres
        .batch_execute("CREATE TABLE items (id text PRIMARY KEY, v text); CALL electric.electrify('items')")
        .await
        .expect("a synced table");
    stream_has_caught_up(running.port).await;
    let version = schema(running.port).await["version"].clone();
    postgres.batch_execute("ALTER TABLE items ADD COLUMN w int").await.expect("nobody guards");
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'a')").await.expect("a row");
    let found = schema_becomes(running.port, |schema| schema["version"] != version).await;
    assert_eq!(found["held_back"], serde_json::json!([]), "the row has no value that clients lack");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_while_nobody_looked_is_found_at_the_start() {
    let (database, url, postgres) = with_plain_role().await;
    let mut running = start(&url, &[("TIELINE_DRIFT_INTERVAL", "1h")]).await;
    postgres
        .batch_execute(
            "CREATE TABLE items (id text PRIMARY KEY, v text); CREATE TABLE gone (id text PRIMARY KEY);
             CALL electric.electrify('items'); CALL electric.electrify('gone')",
        )
        .await
        .expect("synced tables");
    running.service.stop().await;
    postgres.batch_execute("ALTER TABLE items RENAME v TO w; DROP TABLE gone").await.expect("nobody guards");
    let running = start(&url, &[("TIELINE_DRIFT_INTERVAL", "1h")]).await;
    let wanted = serde_json::json!([{"table": "items", "reason": "column v was renamed to w"}]);
    schema_becomes(running.port, |schema| schema["held_back"] == wanted && schema["tables"] == 1).await;
    drop(database);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_tier_is_told_as_it_is() {
    let database = Database::create().await;
    let running = start(&database.url, &[("TIELINE_DRIFT_INTERVAL", "1s")]).await;
    schema_becomes(running.port, |schema| schema["tier"] == 1).await;
    // Somebody switches the guard off.
    let admin = database.client().await;
    admin.batch_execute("ALTER EVENT TRIGGER electric_guard_dropped DISABLE").await.expect("a superuser may");
    schema_becomes(running.port, |schema| schema["tier"] == 2).await;
}

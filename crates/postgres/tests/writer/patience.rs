//! Rows that stay locked and triggers that don't end cost only those who need them.

use std::{sync::Arc, time::Duration};

use change::ClientOpKind;
use postgres::{
    connection::ConnectConfig,
    writer::{Applied, Limits, WriterPool},
};
use tokio::time::timeout;

use super::fixture::{Fixture, fresh_client, text, tx, until};

/// More than anything here takes.
const PATIENCE: Duration = Duration::from_secs(60);

fn writer(fixture: &Fixture, size: usize, limits: Limits) -> Arc<WriterPool> {
    let (config, _) = ConnectConfig::parse(&fixture.db.url, Some(false), None).expect("a connection string");
    let schema = fixture.schema.clone();
    Arc::new(WriterPool::new(config, move || schema.clone(), size).with_limits(limits))
}

#[tokio::test]
async fn more_clients_than_connections_wait_for_a_row_and_another_gets_through() {
    let fixture = Fixture::new("CREATE TABLE items (id int4 PRIMARY KEY, value text)", &["items"]).await;
    let (client, observer) = (fixture.db.client().await, fixture.db.client().await);
    let writer = writer(&fixture, 8, Limits { lock: Duration::from_millis(100), ..Limits::default() });
    client
        .batch_execute("INSERT INTO items VALUES (1, 'v0'); BEGIN; UPDATE items SET value = 'pg'")
        .await
        .expect("a lock");
    let stuck: Vec<_> = (0..12)
        .map(|_| {
            let update = fixture.op(ClientOpKind::Update, "items", &["1", "mine"]);
            let (writer, tx) = (writer.clone(), tx(&fresh_client(), 1, [update]));
            tokio::spawn(async move { writer.apply(&tx).await })
        })
        .collect();
    let all_wait = "SELECT count(*) >= 8 FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name LIKE '%writer%' AND wait_event_type = 'Lock'";
    until(&observer, all_wait).await;
    for n in 2..30 {
        let insert = tx(&fresh_client(), 1, [fixture.insert("items", &[&n.to_string(), "free"])]);
        let applied = timeout(PATIENCE, writer.apply(&insert)).await.expect("it gets through");
        assert_eq!(applied, Ok(Applied::Committed));
    }
    assert!(stuck.iter().all(|waiting| !waiting.is_finished()), "to wait is no error");
    client.batch_execute("COMMIT").await.expect("the lock is gone");
    for waiting in stuck {
        assert_eq!(waiting.await.expect("no panic"), Ok(Applied::Committed));
    }
    let tags = "SELECT cardinality(_tags) FROM electric.shadow__public__items WHERE id = 1";
    assert_eq!(text(&client, tags).await.as_deref(), Some("13"));
}

#[tokio::test]
async fn a_trigger_that_does_not_end_is_ended_and_its_transaction_refused() {
    let fixture = Fixture::new(
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.id = 1 THEN LOOP PERFORM pg_sleep(1); END LOOP; END IF; RETURN NEW; END $$;
         CREATE TABLE items (id int4 PRIMARY KEY, value text);
         CREATE TRIGGER endless BEFORE INSERT ON items FOR EACH ROW EXECUTE FUNCTION f()",
        &["items"],
    )
    .await;
    let client = fixture.db.client().await;
    let limits = Limits { statement: Duration::from_millis(300), lock: Duration::from_millis(100) };
    let writer = writer(&fixture, 1, limits);
    let author = fresh_client();
    let refused =
        timeout(PATIENCE, writer.apply(&tx(&author, 1, [fixture.insert("items", &["1", "x"])]))).await;
    let refused = refused.expect("in time").expect_err("refused");
    assert_eq!(refused.sqlstate, "57014");
    assert!(refused.message.contains("trigger") && refused.message.contains("0.3 s"), "{}", refused.message);
    let kept = "SELECT sqlstate FROM electric.rejected_transactions";
    assert_eq!(text(&client, kept).await.as_deref(), Some("57014"));
    let next = tx(&author, 2, [fixture.insert("items", &["2", "x"])]);
    assert_eq!(writer.apply(&next).await, Ok(Applied::Committed));
}

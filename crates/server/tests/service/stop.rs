//! Stopping.

use std::time::{Duration, Instant};

use testkit::Database;

use super::{streaming::subscriber, support::*};

#[tokio::test(flavor = "multi_thread")]
async fn clients_are_sent_away_and_the_slot_is_released() {
    let (database, postgres, mut running) = start_with_items().await;
    let (mut client, _) = subscriber(running.port, "a").await;
    let begun = Instant::now();
    let (closed, ()) = tokio::join!(client.closed(), running.service.stop());
    assert_eq!(closed.unwrap().1.code, Some(1001));
    assert!(begun.elapsed() < Duration::from_secs(5));
    let released = async {
        let active = "SELECT active FROM pg_replication_slots WHERE database = current_database()";
        while postgres.query_one(active, &[]).await.unwrap().get::<_, bool>(0) {}
    };
    within(released).await;
    drop(database);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_service_waits_for_the_first() {
    let database = Database::create().await;
    let mut first = start(&database.url, &[]).await;
    let second = start_unready(&database.url, &[]).await;
    assert_eq!(get(second.port, "/api/status").await.code, 503);
    first.service.stop().await;
    within(second.service.ready()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_go_where_the_database_is_followed() {
    let database = Database::create().await;
    let journals = tempfile::tempdir().unwrap();
    let folder = |name: &str| journals.path().join(name).display().to_string();
    let (one, other) = (folder("one"), folder("other"));
    let first = start(&database.url, &[("TIELINE_DATA_DIR", one.as_str())]).await;
    let postgres = database.client().await;
    let table = "CREATE TABLE items (id text PRIMARY KEY, content text); CALL electric.electrify('items')";
    postgres.batch_execute(table).await.unwrap();
    stream_has_caught_up(first.port).await;
    let (mut client, _) = subscriber(first.port, "a").await;
    let second = start_unready(&database.url, &[("TIELINE_DATA_DIR", other.as_str())]).await;
    // Until the other one is the quicker.
    let lost = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database()";
    within(async {
        while get(second.port, "/api/status").await.code != 200 {
            postgres.batch_execute(lost).await.unwrap();
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
    })
    .await;
    assert_eq!(within(client.closed()).await.unwrap().1.code, Some(1001));
    let report = get(first.port, "/api/status.json").await;
    assert!(report.code == 503 && report.text().contains("another instance"), "{}", report.text());
}

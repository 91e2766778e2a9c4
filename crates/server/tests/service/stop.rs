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

//! When Postgres goes away.

use std::time::{Duration, Instant};

use testkit::{Cluster, Database, Options, Satellite};

use super::{streaming::subscriber, support::*};

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_after_postgres_was_away() {
    let mut cluster =
        tokio::task::spawn_blocking(|| Cluster::temporary(&Options::default())).await.unwrap().unwrap();
    let database = Database::create_in(&cluster).await;
    let running = start(&database.url, &[]).await;
    let postgres = database.client().await;
    postgres
        .batch_execute(
            "CREATE TABLE items (id text PRIMARY KEY, content text); CALL electric.electrify('public.items')",
        )
        .await
        .unwrap();
    stream_has_caught_up(running.port).await;
    let (mut client, _) = subscriber(running.port, "a").await;
    client.announce(0, "items", &["id", "content"]).await.unwrap();

    let stopped = tokio::task::spawn_blocking(move || {
        cluster.crash().expect("to crash it");
        cluster
    });
    let mut cluster = stopped.await.unwrap();
    let gone = Instant::now();
    within(async { while get(running.port, "/api/status").await.code != 503 {} }).await;
    assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
    // Written while nobody is there to take it.
    let timestamp =
        client.write(vec![Satellite::insert(0, &[Some(b"1"), Some(b"patient")], &[])]).await.unwrap();
    let restarted = tokio::task::spawn_blocking(move || {
        cluster.restart().expect("to start it again");
        cluster
    });
    let _cluster = restarted.await.unwrap();
    within(running.service.ready()).await;
    assert_eq!(get(running.port, "/api/status").await.code, 200, "by itself");
    let (begin, _) = within(client.next_transaction()).await.unwrap();
    assert_eq!(begin.commit_timestamp, timestamp);
    let postgres = database.client().await;
    postgres.batch_execute("INSERT INTO items VALUES ('2', 'after')").await.unwrap();
    let (begin, ops) = within(client.next_transaction()).await.unwrap();
    assert_eq!((begin.origin(), ops.len()), ("postgres_1", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_hangs_is_noticed_and_taken_up_again() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::temporary(&Options::default()));
    let cluster = cluster.await.unwrap().unwrap();
    let database = Database::create_in(&cluster).await;
    let running = start(&database.url, &[]).await;
    let postgres = database.client().await;
    postgres
        .batch_execute(
            "CREATE TABLE items (id text PRIMARY KEY, content text); CALL electric.electrify('public.items')",
        )
        .await
        .unwrap();
    stream_has_caught_up(running.port).await;
    let (mut client, _) = subscriber(running.port, "a").await;
    cluster.freeze();
    let gone = Instant::now();
    let unavailable = async {
        while get(running.port, "/api/status").await.code != 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(unavailable).await;
    assert!(gone.elapsed() < Duration::from_secs(11), "{:?}", gone.elapsed());
    let report: serde_json::Value =
        serde_json::from_slice(&get(running.port, "/api/status.json").await.body).unwrap();
    assert!(report["since"].is_string() && report["why"].is_string(), "{report}");
    assert_eq!(report["stream"]["clients"], 1, "{report}");
    cluster.thaw();
    within(running.service.ready()).await;
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'after')").await.unwrap();
    assert_eq!(within(client.next_transaction()).await.unwrap().1.len(), 1);
}

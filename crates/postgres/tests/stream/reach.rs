//! Positions are reached, whatever the database is doing (spec 06 §5.5 steps 6 and 7).

use std::time::{Duration, Instant};

use postgres::replication::Event;

use super::{Synced, replica::Replica, wal_end};

#[tokio::test]
async fn on_an_idle_database() {
    let synced = Synced::create().await;
    let mut replica = Replica::start(&synced).await;
    for _ in 0..3 {
        replica.catch_up(&synced.app).await;
    }
}

#[tokio::test]
async fn without_a_flush_at_commit() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE t (id int); SET synchronous_commit = off").await;
    let mut replica = Replica::start(&synced).await;
    for i in 0..3 {
        synced.run(&format!("INSERT INTO t VALUES ({i})")).await;
        let begun = Instant::now();
        replica.catch_up(&synced.app).await;
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

#[tokio::test]
async fn with_an_open_transaction_that_has_written() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE t (id int PRIMARY KEY); CALL electric.electrify('t')").await;
    let mut replica = Replica::start(&synced).await;
    synced.run("BEGIN; INSERT INTO t VALUES (1)").await;
    let begun = Instant::now();
    replica.follow(wal_end(&synced.app).await).await;
    assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    assert!(replica.rows.is_empty());
    synced.run("COMMIT").await;
    replica.catch_up(&synced.app).await;
    assert_eq!(replica.rows.len(), 1);
}

#[tokio::test]
async fn other_traffic_moves_the_position_without_transactions() {
    let synced = Synced::create().await;
    let mut replica = Replica::start(&synced).await;
    synced.run("CREATE TABLE other (id int); INSERT INTO other SELECT generate_series(1, 1000)").await;
    replica.catch_up(&synced.app).await;
    assert!(replica.transactions.is_empty());
}

/// Nothing is lost when a batch is not waited for to its end.
#[tokio::test]
async fn a_batch_that_is_given_up_loses_nothing() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE t (id int PRIMARY KEY); CALL electric.electrify('t')").await;
    let mut replica = Replica::start(&synced).await;
    for i in 0..50 {
        let sql = format!("INSERT INTO t VALUES ({i})");
        let write = synced.app.batch_execute(&sql);
        tokio::pin!(write);
        loop {
            tokio::select! {
                batch = replica.stream.next_batch() => {
                    let batch: Vec<Event> = batch.unwrap();
                    batch.into_iter().for_each(|event| replica.take(event));
                }
                written = &mut write => break written.unwrap(),
            }
        }
    }
    replica.catch_up(&synced.app).await;
    assert_eq!(replica.rows.len(), 50);
}

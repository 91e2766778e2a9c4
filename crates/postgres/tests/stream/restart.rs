//! Broken connections and restarts: nothing is lost, nothing comes twice, and migrations come where they were.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use postgres::replication::StreamError;
use testkit::{Cluster, Options};

use super::{Synced, replica::Replica};

#[tokio::test]
async fn a_broken_connection_is_continued() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE t (id int PRIMARY KEY); CALL electric.electrify('t')").await;
    let mut replica = Replica::start(&synced).await;
    for round in 0..5 {
        synced.run(&format!("INSERT INTO t VALUES ({round}); INSERT INTO t VALUES (100 + {round})")).await;
        if round % 2 == 0 {
            replica.catch_up(&synced.app).await;
        }
        synced.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active AND database = current_database()").await;
        while let Ok(events) = replica.stream.next_batch().await {
            events.into_iter().for_each(|event| replica.take(event));
        }
        while let Err(error) = replica.stream.connect().await {
            assert!(error.is_slot_busy(), "{error}");
        }
    }
    replica.catch_up(&synced.app).await;
    assert_eq!(replica.rows.len(), 10);
    assert_eq!(replica.transactions.len(), 5);
}

/// The slot is held back; a service that starts again passes the same history again, each row with the schema of its time.
#[tokio::test]
async fn a_restart_passes_the_same_history_again() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE t (id int PRIMARY KEY); CREATE TABLE u (id int PRIMARY KEY); CALL electric.electrify('u')").await;
    let mut first = Replica::start(&synced).await;
    for sql in [
        "INSERT INTO u VALUES (1)",
        "CALL electric.electrify('t')",
        "INSERT INTO t VALUES (1)",
        "ALTER TABLE u ADD COLUMN note text",
        "INSERT INTO u VALUES (2, 'x')",
        "INSERT INTO t VALUES (2)",
    ] {
        synced.run(sql).await;
    }
    first.catch_up(&synced.app).await;
    let seen = std::mem::take(&mut first.transactions);
    drop(first);
    let mut stream = synced.stream().await;
    while let Err(error) = stream.connect().await {
        assert!(error.is_slot_busy(), "{error}");
    }
    let mut again = Vec::new();
    while again.len() < seen.len() {
        for event in stream.next_batch().await.expect("the stream goes on") {
            if let postgres::replication::Event::Commit(committed) = event {
                again.push(*committed);
            }
        }
    }
    for (before, after) in seen.iter().zip(&again) {
        assert_eq!(before.transaction, after.transaction);
        assert_eq!(before.migration, after.migration);
        assert_eq!(before.schema, after.schema);
    }
}

/// A server that stops answering without closing anything is noticed within 10 s (spec 07 §0), and taken up again.
#[tokio::test]
async fn a_silent_server_is_noticed() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::temporary(&Options::default()));
    let cluster = cluster.await.expect("no panic").expect("a cluster");
    let synced = Synced::create_in(&cluster).await;
    let mut replica = Replica::start(&synced).await;
    replica.catch_up(&synced.app).await;
    let sender = "SELECT active_pid FROM pg_replication_slots WHERE active";
    let sender: i32 = synced.app.query_one(sender, &[]).await.expect("a walsender").get(0);
    let postmaster = cluster.pid().expect("a postmaster");
    let signal = |name: &str| {
        let pids = [sender.to_string(), postmaster.to_string()];
        let status = Command::new("kill").arg(name).args(pids).status().expect("kill");
        assert!(status.success());
    };
    signal("-STOP");
    let begun = Instant::now();
    let error = loop {
        if let Err(error) = replica.stream.next_batch().await {
            break error;
        }
    };
    signal("-CONT");
    assert!(matches!(error, StreamError::Silent), "{error}");
    assert!(begun.elapsed() < Duration::from_secs(11), "{:?}", begun.elapsed());
    while let Err(error) = replica.stream.connect().await {
        assert!(error.is_slot_busy(), "{error}");
    }
    replica.catch_up(&synced.app).await;
}

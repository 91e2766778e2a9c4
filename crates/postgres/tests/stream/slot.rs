//! The slot: made, found again, busy, moved, and held back without hindering a shutdown.

use std::time::{Duration, Instant};

use postgres::{
    connection::{Purpose, connect},
    replication::{Arrival, Gap, slot_name},
};
use testkit::{Cluster, Options};

use super::{FOREVER, Synced, replica::Replica, wal_end};

async fn confirmed(synced: &Synced) -> change::Lsn {
    let name = slot_name(&synced.config.database, None);
    let sql = "SELECT confirmed_flush_lsn::text FROM pg_replication_slots WHERE slot_name = $1";
    let row = synced.app.query_one(sql, &[&name]).await.expect("the slot");
    row.get::<_, &str>(0).parse().expect("a position")
}

#[tokio::test]
async fn is_made_once_and_found_again() {
    let synced = Synced::create().await;
    let mut stream = synced.stream().await;
    let first = stream.connect().await.expect("a slot");
    assert_eq!(first.gap, None);
    assert_eq!(first.slot.name, slot_name(&synced.config.database, None));
    let again = stream.connect().await.expect("the same slot");
    assert_eq!(
        (again.slot.name, again.slot.confirmed, again.gap),
        (first.slot.name, first.slot.confirmed, None)
    );
    assert_eq!(again.position, first.position);
    // While a slot is being made, Postgres only knows a lower bound; it learns more when the log is read.
    assert!(again.slot.settled >= first.slot.settled, "it never goes back");
    assert!(!again.identity.system.is_empty() && again.identity.database > 0);
}

#[tokio::test]
async fn is_busy_while_another_reads_from_it() {
    let synced = Synced::create().await;
    let mut first = synced.stream().await;
    first.connect().await.expect("a slot");
    let error = synced.stream().await.connect().await.expect_err("the slot is in use");
    assert!(error.is_slot_busy(), "{error}");
}

#[tokio::test]
async fn a_connection_of_our_own_that_hangs_is_ended_and_nobody_elses() {
    let synced = Synced::create().await;
    let mut hanging = synced.stream().await;
    hanging.connect().await.expect("a slot");
    let mut arrival = Arrival::log_in(&synced.config).await.expect("a connection");
    assert!(!arrival.claim(None).await.expect("an answer"), "somebody else's");
    assert!(!arrival.claim(Some(&arrival.process().clone())).await.is_ok_and(|claimed| claimed));
    let mut arrival = Arrival::log_in(&synced.config).await.expect("a connection");
    let begun = Instant::now();
    while !arrival.claim(hanging.process()).await.expect("an answer") {
        assert!(begun.elapsed() < FOREVER);
    }
    // What Postgres sent before that may still be read; then it is over.
    let begun = Instant::now();
    while hanging.next_batch().await.is_ok() {
        assert!(begun.elapsed() < FOREVER);
    }
}

#[tokio::test]
async fn moves_only_as_far_as_confirmed() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE t (id int PRIMARY KEY); CALL electric.electrify('t')").await;
    let mut replica = Replica::start(&synced).await;
    let start = replica.position;
    synced.run("INSERT INTO t VALUES (1)").await;
    replica.catch_up(&synced.app).await;
    assert_eq!(confirmed(&synced).await, start);

    let position = replica.transactions[0].transaction.lsn;
    replica.control.confirm(position);
    let begun = Instant::now();
    while confirmed(&synced).await < position {
        assert!(begun.elapsed() < FOREVER);
        replica.catch_up(&synced.app).await;
        synced.run("SELECT pg_logical_emit_message(true, 'x', '')").await;
    }
    assert_eq!(confirmed(&synced).await, position);

    // A new stream begins there, and does not repeat what was confirmed.
    drop(replica);
    let mut replica = restarted(&synced).await;
    synced.run("INSERT INTO t VALUES (2)").await;
    replica.catch_up(&synced.app).await;
    assert_eq!(replica.rows.len(), 1);
}

/// A stream on the slot that another one has just let go.
async fn restarted(synced: &Synced) -> Replica {
    let begun = Instant::now();
    let active = "SELECT count(*) FROM pg_replication_slots WHERE active AND database = current_database()";
    while synced.app.query_one(active, &[]).await.expect("slots").get::<_, i64>(0) > 0 {
        assert!(begun.elapsed() < FOREVER);
    }
    Replica::start(synced).await
}

#[tokio::test]
async fn a_name_that_another_database_has_gets_a_suffix() {
    let synced = Synced::create().await;
    let name = slot_name(&synced.config.database, None);
    let elsewhere = connect(&synced.config.with_database("postgres"), Purpose::Tool).await.expect("postgres");
    let make = "SELECT pg_create_logical_replication_slot($1, 'pgoutput')";
    elsewhere.query_one(make, &[&name]).await.expect("a slot");
    let started = synced.stream().await.connect().await.expect("a slot");
    assert_eq!(started.slot.name, slot_name(&synced.config.database, Some(started.identity.database)));
    elsewhere.query_one("SELECT pg_drop_replication_slot($1)", &[&name]).await.expect("the slot goes");
}

#[tokio::test]
async fn a_slot_of_another_plugin_is_not_touched() {
    let synced = Synced::create().await;
    let name = slot_name(&synced.config.database, None);
    synced.run(&format!("SELECT pg_create_logical_replication_slot('{name}', 'test_decoding')")).await;
    let error = synced.stream().await.connect().await.expect_err("not ours").to_string();
    assert!(error.contains("another output plugin") && error.contains(&name), "{error}");
    synced.run(&format!("SELECT pg_drop_replication_slot('{name}')")).await;
}

#[tokio::test]
async fn a_slot_held_back_does_not_hold_up_a_shutdown_and_a_lost_one_is_made_anew() {
    let settings = [
        "max_slot_wal_keep_size = '1MB'",
        "min_wal_size = '32MB'",
        "max_wal_size = '32MB'",
        "wal_keep_size = 0",
    ];
    let mut cluster = tokio::task::spawn_blocking(move || {
        Cluster::temporary(&Options { settings: settings.map(String::from).into(), ..Options::default() })
    })
    .await
    .expect("no panic")
    .expect("a cluster");
    let synced = Synced::create_in(&cluster).await;
    synced.run("CREATE TABLE t (id int PRIMARY KEY); CALL electric.electrify('t')").await;
    let mut replica = Replica::start(&synced).await;
    synced.run("INSERT INTO t VALUES (1)").await;
    replica.catch_up(&synced.app).await;

    // Stops at once though nothing was confirmed.
    let stopping = tokio::task::spawn_blocking(move || {
        let begun = Instant::now();
        cluster.stop().expect("it stops");
        (cluster, begun.elapsed())
    });
    while replica.stream.next_batch().await.is_ok() {}
    let (cluster, took) = stopping.await.expect("no panic");
    assert!(took < Duration::from_secs(10), "{took:?}");
    let cluster = tokio::task::spawn_blocking(move || {
        let mut cluster = cluster;
        cluster.restart().expect("it starts");
        cluster
    })
    .await
    .expect("no panic");

    // Continues where it was.
    let app = connect(&synced.config, Purpose::Tool).await.expect("a connection");
    let synced = Synced { config: synced.config, app };
    let started = replica.stream.connect().await.expect("the stream starts");
    assert_eq!(started.gap, None);
    synced.run("INSERT INTO t VALUES (2)").await;
    replica.catch_up(&synced.app).await;
    assert_eq!(replica.rows.len(), 2);

    // Loses the slot while nobody reads.
    let mut stream = replica.stream;
    drop(replica.control);
    let name = slot_name(&synced.config.database, None);
    let begun = Instant::now();
    synced.run("SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE active").await;
    while stream.next_batch().await.is_ok() {}
    loop {
        assert!(begun.elapsed() < FOREVER);
        synced
            .run(
                "SELECT pg_logical_emit_message(false, 'fill', repeat('x', 4000000)); SELECT pg_switch_wal(); CHECKPOINT",
            )
            .await;
        let sql = "SELECT wal_status = 'lost' FROM pg_replication_slots WHERE slot_name = $1";
        if synced.app.query_one(sql, &[&name]).await.expect("the slot").get(0) {
            break;
        }
    }
    let started = stream.connect().await.expect("a slot anew");
    assert_eq!(started.gap, Some(Gap::SlotInvalidated));
    assert!(wal_end(&synced.app).await >= started.position);
    drop(stream);
    drop(cluster);
}

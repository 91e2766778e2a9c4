//! A slot that Postgres gives up, since it needs more log than `max_slot_wal_keep_size` allows.

use testkit::Database;
use tokio_postgres::Client;

use super::{
    gap::{begun_anew, is_behind},
    streaming::subscriber,
    support::*,
};

/// As little log as can be.
const LITTLE: &[&str] = &[
    "max_slot_wal_keep_size = '16MB'",
    "min_wal_size = '32MB'",
    "max_wal_size = '32MB'",
    "wal_keep_size = 0",
];

/// The log goes on by one segment, 16 MB, most of which is not written.
async fn next_segment(postgres: &Client) {
    let step = "SELECT pg_logical_emit_message(false, 'fill', 'x'); SELECT pg_switch_wal(); CHECKPOINT";
    postgres.batch_execute(step).await.expect("the statement succeeds");
}

async fn wal_status(postgres: &Client) -> String {
    let sql = "SELECT coalesce(wal_status, '') FROM pg_replication_slots WHERE database = current_database()";
    postgres.query_one(sql, &[]).await.expect("a row").get(0)
}

/// The service is kept from the database while the slot is lost: its connections are refused, or only silent.
async fn loses_the_slot(settings: &[(&str, &str)], refused: bool) {
    let cluster = cluster(LITTLE).await;
    let database = Database::create_in(&cluster).await;
    let (proxy, url) = through_proxy(&cluster, &database).await;
    let running = start(&url, settings).await;
    let postgres = database.client().await;
    make_items(&postgres, &running).await;
    let (mut client, _) = subscriber(running.port, "a").await;
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'seen')").await.expect("the statement succeeds");
    within(client.next_transaction()).await.expect("a transaction");
    let lsn = client.lsn.clone();
    if refused {
        proxy.refuse();
    } else {
        proxy.stall();
    }
    within(async {
        while wal_status(&postgres).await != "lost" {
            next_segment(&postgres).await;
        }
    })
    .await;
    postgres
        .batch_execute("INSERT INTO items VALUES ('2', 'in the gap')")
        .await
        .expect("the statement succeeds");
    proxy.heal();

    assert_eq!(within(client.closed()).await.expect("it is closed").1.code, Some(1001));
    is_behind(running.port, lsn).await;
    let why = begun_anew(running.port).await.expect("it is told");
    assert!(why.contains("invalidated") && why.contains("max_slot_wal_keep_size"), "{why}");
    let (mut client, data) = subscriber(running.port, "a").await;
    assert_eq!(data.len(), 2);
    postgres.batch_execute("INSERT INTO items VALUES ('3', 'after')").await.expect("the statement succeeds");
    assert_eq!(within(client.next_transaction()).await.expect("a transaction").1.len(), 1);
    assert_eq!(wal_status(&postgres).await, "reserved");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_slot_is_made_anew_and_nobody_is_left_with_a_gap() {
    tokio::join!(loses_the_slot(&[], false), loses_the_slot(&[("TIELINE_DATA_DIR", "none")], true));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_window_in_memory_does_not_hold_the_slot_back_until_it_is_lost() {
    let cluster = cluster(&["max_slot_wal_keep_size = '96MB'"]).await;
    let database = Database::create_in(&cluster).await;
    let running = start(&database.url, &[("TIELINE_DATA_DIR", "none")]).await;
    let postgres = database.client().await;
    make_items(&postgres, &running).await;
    let (mut client, _) = subscriber(running.port, "a").await;
    for segment in 0..8 {
        next_segment(&postgres).await;
        // Told at most once a second.
        let follows =
            "SELECT pg_current_wal_lsn() - confirmed_flush_lsn <= 32 << 20 FROM pg_replication_slots
                       WHERE database = current_database()";
        within(async { while !postgres.query_one(follows, &[]).await.unwrap().get::<_, bool>(0) {} }).await;
        assert_eq!(wal_status(&postgres).await, "reserved", "after {segment} segments");
    }
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'after')").await.unwrap();
    // After the empty ones that keep an idle client within the window.
    within(async { while client.next_transaction().await.unwrap().1.is_empty() {} }).await;
    assert_eq!(begun_anew(running.port).await, None);
}

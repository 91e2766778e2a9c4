//! What others do to the slot, the publication and our connections while the service runs.

use bytes::Bytes;
use testkit::{Satellite, satellite::Resume, unsigned_token};

use super::{streaming::subscriber, support::*};

const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";

const BEHIND: &str = "Cannot catch up to the server's current state";

/// Comes back, and is sent away for good: its position is of no use any more.
pub async fn is_behind(port: u16, lsn: Option<Bytes>) {
    within(async {
        loop {
            let Ok(mut client) = Satellite::sign_in(port, "a", &unsigned_token("user")).await else {
                continue;
            };
            let subscriptions = vec![SUBSCRIPTION.to_owned()];
            let resume = Resume { lsn: lsn.clone(), subscriptions, ..Resume::default() };
            if let Ok(answer) = client.start_from(&resume).await {
                assert_eq!(answer.err.expect("a refusal").message, BEHIND);
                return;
            }
        }
    })
    .await;
}

/// What the status says of the last time that clients had to load their data again.
pub async fn begun_anew(port: u16) -> Option<String> {
    let report: serde_json::Value =
        serde_json::from_slice(&get(port, "/api/status.json").await.body).expect("a report");
    report["stream"]["begun_anew"]["why"].as_str().map(str::to_owned)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_slot_is_made_anew_and_nobody_is_left_with_a_gap() {
    tokio::join!(drop_the_slot(&[]), drop_the_slot(&[("TIELINE_DATA_DIR", "none")]));
}

async fn drop_the_slot(settings: &[(&str, &str)]) {
    let (_database, postgres, running) = start_with_items_and(settings).await;
    assert_eq!(begun_anew(running.port).await, None);
    let (mut client, _) = subscriber(running.port, "a").await;
    let lsn = client.lsn.clone();
    // As soon as nobody reads from it.
    within(async {
        let drop = "SELECT pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE database = current_database();
                    SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = current_database()";
        while postgres.batch_execute(drop).await.is_err() {}
    })
    .await;
    postgres
        .batch_execute("INSERT INTO items VALUES ('1', 'in the gap')")
        .await
        .expect("the statement succeeds");
    assert_eq!(within(client.closed()).await.expect("it is closed").1.code, Some(1001));
    is_behind(running.port, lsn).await;
    let why = begun_anew(running.port).await.expect("it is told");
    assert!(why.contains("the replication slot is gone"), "{why}");
    let (mut client, data) = subscriber(running.port, "a").await;
    assert_eq!(data.len(), 1);
    postgres.batch_execute("INSERT INTO items VALUES ('2', 'after')").await.expect("the statement succeeds");
    assert_eq!(within(client.next_transaction()).await.expect("a transaction").1.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dropped_publication_is_made_again_and_nobody_is_left_with_a_gap() {
    let (_database, postgres, running) = start_with_items().await;
    let (mut client, _) = subscriber(running.port, "a").await;
    let lsn = client.lsn.clone();
    postgres.batch_execute("DROP PUBLICATION electric_publication").await.unwrap();
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'in the gap')").await.unwrap();
    assert_eq!(within(client.closed()).await.unwrap().1.code, Some(1001));
    is_behind(running.port, lsn).await;
    let (mut client, data) = subscriber(running.port, "a").await;
    assert_eq!(data.len(), 1);
    postgres.batch_execute("INSERT INTO items VALUES ('2', 'after')").await.unwrap();
    assert_eq!(within(client.next_transaction()).await.unwrap().1.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_are_killed_are_made_again_and_nobody_notices() {
    let (_database, postgres, running) = start_with_items().await;
    let (mut client, _) = subscriber(running.port, "a").await;
    client.announce(0, "items", &["id", "content"]).await.unwrap();
    for round in 0..5 {
        postgres
            .batch_execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity
                 WHERE datname = current_database() AND pid <> pg_backend_pid()",
            )
            .await
            .unwrap();
        let id = format!("{round}");
        let row = [Some(id.as_bytes()), Some(b"x".as_slice())];
        let timestamp = client.write(vec![Satellite::insert(0, &row, &[])]).await.unwrap();
        let (begin, ops) = within(client.next_transaction()).await.unwrap();
        assert_eq!((begin.commit_timestamp, ops.len()), (timestamp, 1));
    }
    let rows: i64 = postgres.query_one("SELECT count(*) FROM items", &[]).await.unwrap().get(0);
    assert_eq!(rows, 5);
}

//! Waiting, racing, and Postgres going away.

use std::time::Duration;

use change::ClientOpKind;
use postgres::writer::Applied;
use tokio::time::timeout;

use super::fixture::{Fixture, clearing, fresh_client, text, tx, until};

const ITEMS: &str = "CREATE TABLE items (id int4 PRIMARY KEY, value text)";

/// Whether a writer's connection waits for a lock, as `pg_stat_activity` knows.
const WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name LIKE '%writer%' AND wait_event_type = 'Lock'";

#[tokio::test]
async fn a_client_that_waits_for_a_row_holds_up_nobody_else() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client, observer) =
        (fixture.writer(2), fixture.db.client().await, fixture.db.client().await);
    client
        .batch_execute("INSERT INTO items VALUES (1, 'v0'); BEGIN; UPDATE items SET value = 'pg'")
        .await
        .expect("a lock");
    let update = fixture.op(ClientOpKind::Update, "items", &["1", "mine"]);
    let waiting = tokio::spawn({
        let (writer, tx) = (writer.clone(), tx(&fresh_client(), 1, [update]));
        async move { writer.apply(&tx).await }
    });
    until(&observer, WAITS).await;
    for n in 2..50 {
        let insert = fixture.insert("items", &[&n.to_string(), "free"]);
        assert_eq!(writer.apply(&tx(&fresh_client(), 1, [insert])).await, Ok(Applied::Committed));
    }
    assert!(!waiting.is_finished());
    client.batch_execute("COMMIT").await.expect("the lock is gone");
    assert_eq!(waiting.await.expect("no panic"), Ok(Applied::Committed));
    // The native write is newer; the client's tag is in the set all the same.
    assert_eq!(text(&client, "SELECT value FROM items WHERE id = 1").await.as_deref(), Some("pg"));
    let tags = "SELECT cardinality(_tags) FROM electric.shadow__public__items WHERE id = 1";
    assert_eq!(text(&client, tags).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_row_that_postgres_inserts_meanwhile_is_merged_with() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client, observer) =
        (fixture.writer(1), fixture.db.client().await, fixture.db.client().await);
    client.batch_execute("BEGIN; INSERT INTO items VALUES (1, 'pg')").await.expect("an insert");
    let author = fresh_client();
    let racing = tokio::spawn({
        let (writer, tx) = (writer.clone(), tx(&author, 1, [fixture.insert("items", &["1", "mine"])]));
        async move { writer.apply(&tx).await }
    });
    until(&observer, WAITS).await;
    client.batch_execute("COMMIT").await.expect("the row is there");
    assert_eq!(racing.await.expect("no panic"), Ok(Applied::Committed));
    assert_eq!(text(&client, "SELECT value FROM items").await.as_deref(), Some("pg"));
    let tags = "SELECT cardinality(_tags) FROM electric.shadow__public__items";
    assert_eq!(text(&client, tags).await.as_deref(), Some("2"));
}

#[tokio::test]
async fn a_row_that_comes_back_between_the_two_looks_is_seen() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client, observer) =
        (fixture.writer(1), fixture.db.client().await, fixture.db.client().await);
    client.batch_execute("INSERT INTO items VALUES (1, 'v0'); DELETE FROM items").await.expect("a tombstone");
    // The table is looked at while the row is dead; its shadow is locked until the row has come back.
    client
        .batch_execute("BEGIN; SELECT FROM electric.shadow__public__items FOR UPDATE; INSERT INTO items VALUES (1, 'back')")
        .await
        .expect("a row comes back");
    let racing = tokio::spawn({
        let (writer, tx) = (writer.clone(), tx(&fresh_client(), 1, [fixture.delete("items", "1")]));
        async move { writer.apply(&tx).await }
    });
    until(&observer, WAITS).await;
    client.batch_execute("COMMIT").await.expect("it is back");
    assert_eq!(racing.await.expect("no panic"), Ok(Applied::Committed));
    // The delete had not seen it.
    assert_eq!(text(&client, "SELECT value FROM items").await.as_deref(), Some("back"));
}

#[tokio::test]
async fn clients_that_write_the_same_rows_at_once_all_get_through() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client) = (fixture.writer(4), fixture.db.client().await);
    let clients: Vec<String> = (0..4).map(|_| fresh_client()).collect();
    let work = clients.iter().map(|author| {
        let (writer, fixture, author) = (writer.clone(), fixture.clone(), author.clone());
        tokio::spawn(async move {
            for lsn in 1..=20 {
                let value = format!("{author} {lsn}");
                // In different orders, with rows that all make and all delete.
                let mut ops: Vec<_> =
                    (0..6).map(|n| fixture.insert("items", &[&n.to_string(), &value])).collect();
                let own = [format!("{author}@{}", lsn * 1000), format!("{author}@{}", (lsn - 1) * 1000)];
                ops.push(clearing(fixture.delete("items", &(lsn % 6).to_string()), &[&own[0], &own[1]]));
                ops.rotate_left(lsn as usize % 7);
                assert_eq!(writer.apply(&tx(&author, lsn, ops)).await, Ok(Applied::Committed));
            }
        })
    });
    for done in work.collect::<Vec<_>>() {
        done.await.expect("all are applied");
    }
    let torn = "SELECT count(*) FROM items FULL JOIN electric.shadow__public__items s USING (id) \
        WHERE (value IS NOT NULL) <> (cardinality(coalesce(s._tags, '{}')) > 0)";
    assert_eq!(text(&client, torn).await.as_deref(), Some("0"));
    // The greatest tag wins everywhere, and no row is older than its register.
    let last = clients.iter().max().expect("a client");
    let newest = format!("SELECT count(*) FROM items WHERE value <> '{last} 20'");
    assert_eq!(text(&client, &newest).await.as_deref(), Some("0"));
    let positions = "SELECT count(*) FROM electric.acknowledged_client_lsns WHERE lsn = '\\x00000014'";
    assert_eq!(text(&client, positions).await.as_deref(), Some("4"));
}

#[tokio::test]
async fn an_abandoned_transaction_is_applied_whole_or_not_at_all() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client, observer) =
        (fixture.writer(1), fixture.db.client().await, fixture.db.client().await);
    client
        .batch_execute("INSERT INTO items VALUES (1, 'v0'); BEGIN; UPDATE items SET value = 'pg'")
        .await
        .expect("a lock");
    let author = fresh_client();
    let ops =
        [fixture.insert("items", &["0", "mine"]), fixture.op(ClientOpKind::Update, "items", &["1", "mine"])];
    let abandoned = tokio::spawn({
        let (writer, tx) = (writer.clone(), tx(&author, 1, ops.clone()));
        async move { writer.apply(&tx).await }
    });
    until(&observer, WAITS).await;
    abandoned.abort();
    assert!(abandoned.await.is_err());
    // Its connection, the only one, does not go on waiting.
    let other = fixture.insert("items", &["2", "other"]);
    assert_eq!(writer.apply(&tx(&fresh_client(), 1, [other])).await, Ok(Applied::Committed));
    assert_eq!(text(&observer, "SELECT count(*) FROM items WHERE id = 0").await.as_deref(), Some("0"));
    client.batch_execute("COMMIT").await.expect("the lock is gone");
    // The same transaction again, on a new connection: not a duplicate of what never happened.
    assert_eq!(writer.apply(&tx(&author, 1, ops)).await, Ok(Applied::Committed));
    assert_eq!(text(&client, "SELECT value FROM items WHERE id = 0").await.as_deref(), Some("mine"));
}

#[tokio::test]
async fn a_lost_connection_is_replaced_and_nothing_is_lost() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let kill = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name LIKE '%writer%'";
    for lsn in 1..=5 {
        let insert = fixture.insert("items", &[&lsn.to_string(), "v"]);
        let applied = timeout(Duration::from_secs(30), writer.apply(&tx(&author, lsn, [insert]))).await;
        assert_eq!(applied.expect("in time"), Ok(Applied::Committed));
        assert_eq!(text(&client, kill).await.as_deref(), Some("1"));
    }
    assert_eq!(text(&client, "SELECT count(*) FROM items").await.as_deref(), Some("5"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancelled_statements_lose_nothing_and_move_no_position_alone() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let work = tokio::spawn({
        let (writer, fixture, author) = (writer.clone(), fixture.clone(), author.clone());
        async move {
            for lsn in 1..=1000 {
                let insert = fixture.insert("items", &[&lsn.to_string(), "v"]);
                assert_eq!(writer.apply(&tx(&author, lsn, [insert])).await, Ok(Applied::Committed));
            }
        }
    });
    let cancel = "SELECT count(pg_cancel_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name LIKE '%writer%'";
    let count = async || text(&client, "SELECT count(*) FROM items").await;
    while !work.is_finished() {
        let before = count().await;
        text(&client, cancel).await;
        while !work.is_finished() && count().await == before {}
    }
    work.await.expect("all are applied");
    assert_eq!(text(&client, "SELECT count(*) FROM items").await.as_deref(), Some("1000"));
}

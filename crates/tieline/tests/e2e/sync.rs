//! Rows in both directions.

use serde_json::json;
use testkit::unsigned_token;

use super::service::{ITEMS, Service, has, has_not, id, items};

#[tokio::test(flavor = "multi_thread")]
async fn two_clients_and_postgres_see_each_others_changes() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'was there before', 1)", id(1))).await;
    let (alice, bob) = (service.client("alice", &items()).await, service.client("bob", &items()).await);
    for (client, user) in [(&alice, "alice"), (&bob, "bob")] {
        client.connect(&unsigned_token(user)).await.unwrap();
        client.sync(&["items"]).await.unwrap();
        client.wait(has(1, "was there before")).await.unwrap();
    }
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'from postgres', NULL)", id(2))).await;
    for client in [&alice, &bob] {
        client.wait(has(2, "from postgres")).await.unwrap();
    }
    alice.sql("INSERT INTO items (id, content) VALUES (?, 'from alice')", &[id(3).into()]).await.unwrap();
    bob.wait(has(3, "from alice")).await.unwrap();
    service.wait(&has(3, "from alice")).await;
    bob.sql("UPDATE items SET content = 'bob changed it' WHERE id = ?", &[id(3).into()]).await.unwrap();
    alice.wait(has(3, "bob changed it")).await.unwrap();
    alice.sql("DELETE FROM items WHERE id = ?", &[id(2).into()]).await.unwrap();
    bob.wait(has_not(2)).await.unwrap();
    service.wait(&has_not(2)).await;
    service.sql("UPDATE items SET rank = 7").await;
    for client in [&alice, &bob] {
        client.wait("SELECT count(*) = 2 AND min(rank) = 7 FROM items").await.unwrap();
        // Everything of one's own came back: nothing waits to be sent again.
        client.wait("SELECT count(*) = 0 FROM _electric_oplog").await.unwrap();
    }
    service.sql("TRUNCATE items").await;
    for client in [alice, bob] {
        client.wait("SELECT count(*) = 0 FROM items").await.unwrap();
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn work_done_offline_arrives_and_columns_merge() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'first', 1)", id(1))).await;
    let (alice, bob) = (service.client("alice", &items()).await, service.client("bob", &items()).await);
    for (client, user) in [(&alice, "alice"), (&bob, "bob")] {
        client.connect(&unsigned_token(user)).await.unwrap();
        client.sync(&["items"]).await.unwrap();
    }
    bob.disconnect().await.unwrap();
    bob.sql("UPDATE items SET content = 'bob, offline' WHERE id = ?", &[id(1).into()]).await.unwrap();
    bob.sql("INSERT INTO items (id, content) VALUES (?, 'made offline')", &[id(2).into()]).await.unwrap();
    alice.sql("UPDATE items SET rank = 42 WHERE id = ?", &[id(1).into()]).await.unwrap();
    service.wait("SELECT count(*) = 1 FROM items WHERE rank = 42").await;
    bob.connect(&unsigned_token("bob")).await.unwrap();
    let both = "SELECT count(*) = 1 FROM items WHERE content = 'bob, offline' AND rank = 42";
    for client in [&alice, &bob] {
        client.wait(both).await.unwrap();
        client.wait(has(2, "made offline")).await.unwrap();
    }
    service.wait(both).await;
    for client in [alice, bob] {
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_ended_subscription_takes_its_rows_along() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    service
        .sql("CREATE TABLE notes (id uuid PRIMARY KEY, body text); CALL electric.electrify('notes')")
        .await;
    service
        .sql(&format!(
            "INSERT INTO items VALUES ('{0}', 'x', 1); INSERT INTO notes VALUES ('{0}', 'y')",
            id(1)
        ))
        .await;
    let tables = json!({ "items": items()["items"], "notes": { "id": "UUID", "body": "TEXT" } });
    let client = service.client("alice", &tables).await;
    client.connect(&unsigned_token("alice")).await.unwrap();
    let key = client.sync(&["items"]).await.unwrap();
    client.sync(&["notes"]).await.unwrap();
    client.unsync(&key).await.unwrap();
    client.wait("SELECT count(*) = 0 FROM items").await.unwrap();
    service
        .sql(&format!("INSERT INTO items VALUES ('{}', 'not wanted', 2); UPDATE notes SET body = 'z'", id(2)))
        .await;
    client.wait("SELECT count(*) = 1 FROM notes WHERE body = 'z'").await.unwrap();
    client.wait("SELECT count(*) = 0 FROM items").await.unwrap();
    client.sync(&["items"]).await.unwrap();
    client.wait("SELECT count(*) = 2 FROM items").await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_electrified_while_a_client_is_connected_reaches_it() {
    let service = Service::insecure().await;
    let client = service.client("alice", &items()).await;
    client.connect(&unsigned_token("alice")).await.unwrap();
    service.sql(ITEMS).await;
    client.wait("SELECT count(*) = 1 FROM sqlite_master WHERE name = 'items'").await.unwrap();
    client.sync(&["items"]).await.unwrap();
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'live', 1)", id(1))).await;
    client.wait(has(1, "live")).await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn more_migrations_than_the_window_all_arrive() {
    let service = Service::insecure().await;
    for n in 0..45 {
        service
            .sql(&format!("CREATE TABLE t{n} (id uuid PRIMARY KEY); CALL electric.electrify('t{n}')"))
            .await;
    }
    service.sql(ITEMS).await;
    let client = service.client("alice", &items()).await;
    client.connect(&unsigned_token("alice")).await.unwrap();
    client.wait("SELECT count(*) = 47 FROM _electric_migrations").await.unwrap();
    client.sync(&["items"]).await.unwrap();
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'after them all', 1)", id(1))).await;
    client.wait(has(1, "after them all")).await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_postgres_refuses_stops_its_author_alone() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    let (alice, bob) = (service.client("alice", &items()).await, service.client("bob", &items()).await);
    for (client, user) in [(&alice, "alice"), (&bob, "bob")] {
        client.connect(&unsigned_token(user)).await.unwrap();
        client.sync(&["items"]).await.unwrap();
    }
    service.unguarded("ALTER TABLE items ADD CONSTRAINT small CHECK (rank < 100) NOT VALID").await;
    let mut alices = alice.connectivity();
    alice.sql("INSERT INTO items VALUES (?, 'too large', 100)", &[id(1).into()]).await.unwrap();
    alices.wait_for(|state| state.status == "disconnected").await.unwrap();
    bob.sql("INSERT INTO items VALUES (?, 'fine', 99)", &[id(2).into()]).await.unwrap();
    service.wait(&has(2, "fine")).await;
    service.wait(&has_not(1)).await;
    bob.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_other_owners_never_arrive() {
    let service = Service::insecure().await;
    service
        .sql("CREATE TABLE owned (id uuid PRIMARY KEY, electric_user_id text); CALL electric.electrify('owned')")
        .await;
    let rows =
        format!("INSERT INTO owned VALUES ('{}', 'alice'), ('{}', 'bob'), ('{}', NULL)", id(1), id(2), id(3));
    service.sql(&rows).await;
    let client =
        service.client("alice", &json!({ "owned": { "id": "UUID", "electric_user_id": "TEXT" } })).await;
    client.connect(&unsigned_token("alice")).await.unwrap();
    client.sync(&["owned"]).await.unwrap();
    let mine = |ids: &[u32]| {
        let ids: Vec<_> = ids.iter().map(|n| id(*n)).collect();
        format!("SELECT group_concat(id) = '{}' FROM (SELECT id FROM owned ORDER BY id)", ids.join(","))
    };
    client.wait(mine(&[1, 3])).await.unwrap();
    let rows = format!("INSERT INTO owned VALUES ('{}', 'bob'), ('{}', 'alice')", id(4), id(5));
    service.sql(&rows).await;
    client.wait(mine(&[1, 3, 5])).await.unwrap();
    service.sql(&format!("UPDATE owned SET electric_user_id = 'bob' WHERE id = '{}'", id(1))).await;
    client.wait(mine(&[3, 5])).await.unwrap();
    service.sql("UPDATE owned SET electric_user_id = 'alice'").await;
    client.wait(mine(&[1, 2, 3, 4, 5])).await.unwrap();
    client.close().await.unwrap();
}

//! Interruptions.

use testkit::unsigned_token;

use super::service::{ITEMS, Service, has, has_not, id, items};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_service_comes_back_and_nobody_loads_anything_again() {
    let mut service = Service::insecure().await;
    service.sql(ITEMS).await;
    let client = service.client("alice", &items()).await;
    client.connect(&unsigned_token("alice")).await.unwrap();
    client.sync(&["items"]).await.unwrap();
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'before', 1)", id(1))).await;
    client.wait(has(1, "before")).await.unwrap();
    // A row that only this client has: a reset would remove it.
    client.sql("CREATE TABLE witness AS SELECT rowid AS original FROM items", &[]).await.unwrap();
    service.kill().await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'while it was down', 2)", id(2))).await;
    client.sql("INSERT INTO items VALUES (?, 'written meanwhile', 3)", &[id(3).into()]).await.unwrap();
    service.start_again().await;
    client.wait(has(2, "while it was down")).await.unwrap();
    service.wait(&has(3, "written meanwhile")).await;
    service.sql(&format!("DELETE FROM items WHERE id = '{}'", id(2))).await;
    client.wait(has_not(2)).await.unwrap();
    let untouched = format!("SELECT rowid = (SELECT original FROM witness) FROM items WHERE id = '{}'", id(1));
    client.wait(untouched).await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_under_writes_nothing_is_lost_or_doubled() {
    let mut service = Service::insecure().await;
    service.sql(ITEMS).await;
    let client = service.client("alice", &items()).await;
    client.connect(&unsigned_token("alice")).await.unwrap();
    client.sync(&["items"]).await.unwrap();
    for round in 0..4u32 {
        for n in 0..25 {
            let number = round * 100 + n;
            client.sql("INSERT INTO items VALUES (?, 'c', ?)", &[id(number).into(), number.into()]).await.unwrap();
            service.sql(&format!("INSERT INTO items VALUES ('{}', 'p', {number})", id(10_000 + number))).await;
        }
        service.kill_and_restart().await;
    }
    service.wait("SELECT count(*) = 200 FROM items").await;
    client.wait("SELECT count(*) = 200 FROM items").await.unwrap();
    client.wait("SELECT count(*) = 0 FROM _electric_oplog").await.unwrap();
    client.close().await.unwrap();
}

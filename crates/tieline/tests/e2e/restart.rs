//! Interruptions.

use node_client::NodeClient;
use serde_json::Value;
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
    let untouched =
        format!("SELECT rowid = (SELECT original FROM witness) FROM items WHERE id = '{}'", id(1));
    client.wait(untouched).await.unwrap();
    client.close().await.unwrap();
}

/// A bug of the client's own, at a severed socket with a push under way: its throttled push fires before the new connection has
/// asked for it. It throws, uncaught; an app has to be started again.
const CLIENT_BUG: &str = "sending a transaction while outbound replication has not started";

/// An app: the client, started again over the same database whenever its own bug ends it.
struct App {
    client: NodeClient,
}

impl App {
    async fn start(service: &Service) -> App {
        let client = service.client("alice", &items()).await;
        client.connect(&unsigned_token("alice")).await.unwrap();
        client.sync(&["items"]).await.unwrap();
        App { client }
    }

    /// Runs SQL; if the client dies of its bug before it has answered, once more in a new one. The statement must bear that.
    async fn sql(&mut self, service: &Service, sql: &str, args: &[Value]) {
        while let Err(error) = self.client.sql(sql, args).await {
            assert!(error.to_string().contains(CLIENT_BUG), "{error}");
            *self = App::start(service).await;
        }
    }

    async fn wait(&mut self, service: &Service, sql: &str) {
        while let Err(error) = self.client.wait(sql).await {
            assert!(error.to_string().contains(CLIENT_BUG), "{error}");
            *self = App::start(service).await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_under_writes_nothing_is_lost_or_doubled() {
    let mut service = Service::insecure().await;
    service.sql(ITEMS).await;
    let mut app = App::start(&service).await;
    for round in 0..4u32 {
        for n in 0..25 {
            let number = round * 100 + n;
            let insert = "INSERT OR IGNORE INTO items VALUES (?, 'c', ?)";
            app.sql(&service, insert, &[id(number).into(), number.into()]).await;
            service
                .sql(&format!("INSERT INTO items VALUES ('{}', 'p', {number})", id(10_000 + number)))
                .await;
        }
        service.kill_and_restart().await;
    }
    app.wait(&service, "SELECT count(*) = 200 FROM items").await;
    app.wait(&service, "SELECT count(*) = 0 FROM _electric_oplog").await;
    service.wait("SELECT count(*) = 200 FROM items").await;
    app.client.close().await.unwrap();
}

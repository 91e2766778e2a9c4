//! A client whose transaction Postgres refuses: it alone stops, and an operator brings it on.

use std::process::Stdio;

use node_client::NodeClient;
use serde_json::Value;
use testkit::unsigned_token;
use tokio::process::Command;

use super::service::{ITEMS, Service, has, has_not, id, items};

/// `tieline rejected` on the service's database: exit status, standard output and standard error.
async fn rejected(service: &Service, arguments: &[&str]) -> (bool, String, String) {
    let done = Command::new(env!("CARGO_BIN_EXE_tieline"))
        .arg("rejected")
        .args(arguments)
        .env_clear()
        .envs([("DATABASE_URL", service.database_url().as_str()), ("DATABASE_REQUIRE_SSL", "false")])
        .stdin(Stdio::null())
        .output()
        .await
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (done.status.success(), text(done.stdout), text(done.stderr))
}

/// Those that wait, as JSON.
async fn waiting(service: &Service) -> Vec<Value> {
    let (done, out, err) = rejected(service, &["list", "--json"]).await;
    assert!(done, "{err}");
    serde_json::from_str(&out).unwrap()
}

const POISON: &str = "ALTER TABLE items ADD CONSTRAINT small CHECK (rank < 100)";

/// Two clients; the first has written what Postgres refuses, something that it took before, and something after.
async fn poisoned(service: &Service) -> (NodeClient, NodeClient) {
    service.sql(ITEMS).await;
    service.unguarded(POISON).await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'of postgres', 1)", id(1))).await;
    let (alice, bob) = (service.client("alice", &items()).await, service.client("bob", &items()).await);
    for (client, user) in [(&alice, "alice"), (&bob, "bob")] {
        client.connect(&unsigned_token(user)).await.unwrap();
        client.sync(&["items"]).await.unwrap();
    }
    alice.sql("INSERT INTO items (id, content) VALUES (?, 'before')", &[id(2).into()]).await.unwrap();
    bob.wait(has(2, "before")).await.unwrap();
    let bad = format!(
        "UPDATE items SET rank = 4711, content = 'poison' WHERE id = '{}'; INSERT INTO items (id, content, rank) VALUES ('{}', 'poison', 4711)",
        id(1),
        id(3)
    );
    let statements: Vec<String> = bad.split("; ").map(str::to_owned).collect();
    alice.transact(&statements).await.unwrap();
    service.wait("SELECT count(*) = 1 FROM electric.rejected_transactions WHERE state = 'waiting'").await;
    let alice = started_again(service, alice).await;
    // Whatever she writes now waits in her own database; the others go on.
    alice.sql("INSERT INTO items (id, content) VALUES (?, 'after')", &[id(4).into()]).await.unwrap();
    bob.sql("INSERT INTO items (id, content) VALUES (?, 'of bob')", &[id(5).into()]).await.unwrap();
    service.wait(&has(5, "of bob")).await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'of postgres too', 1)", id(6))).await;
    bob.wait(has(6, "of postgres too")).await.unwrap();
    (alice, bob)
}

/// The client's own end: it takes the refusal as fatal and throws, so the app has to be started again.
async fn started_again(service: &Service, client: NodeClient) -> NodeClient {
    let mut connectivity = client.connectivity();
    // Its last word; an error here means that its process has ended.
    let _ = connectivity.wait_for(|state| state.status == "disconnected").await;
    drop(client);
    service.client("alice", &items()).await
}

/// Nothing waits to be sent, and everybody has what Postgres has.
async fn settled(service: &Service, clients: [&NodeClient; 2]) {
    let rows =
        service.postgres.query_one("SELECT string_agg(content, ',' ORDER BY id) FROM items", &[]).await;
    let rows: String = rows.unwrap().get(0);
    for client in clients {
        client
            .wait(format!(
                "SELECT (SELECT group_concat(content, ',') FROM (SELECT content FROM items ORDER BY id)) = '{rows}'"
            ))
            .await
            .unwrap();
        client.wait("SELECT count(*) = 0 FROM _electric_oplog").await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discarded_transaction_lets_its_client_go_on() {
    let service = Service::insecure().await;
    let (alice, bob) = poisoned(&service).await;
    let (done, out, err) = rejected(&service, &["list"]).await;
    assert!(done, "{err}");
    for word in ["waiting", "alice", "items", "23514", "constraint small"] {
        assert!(out.contains(word), "{word}: {out}");
    }
    let number = waiting(&service).await[0]["id"].to_string();
    let (_, out, _) = rejected(&service, &["show", &number]).await;
    for line in [
        "user          alice",
        "  insert items",
        "   * rank = \"4711\"",
        "check constraint \"small\" of table \"items\"",
    ] {
        assert!(out.contains(line), "{line}: {out}");
    }
    let (done, _, err) = rejected(&service, &["retry", &number]).await;
    assert!(!done && err.contains("refused again"), "{err}");
    // Coming back changes nothing, but nothing is lost either.
    let _ = alice.connect(&unsigned_token("alice")).await;
    let alice = started_again(&service, alice).await;
    service.wait("SELECT tries = 3 FROM electric.rejected_transactions").await;

    let (done, out, err) = rejected(&service, &["discard", &number]).await;
    assert!(done && out.contains("The client goes on"), "{out}{err}");
    alice.connect(&unsigned_token("alice")).await.unwrap();
    bob.wait(has(4, "after")).await.unwrap();
    // Her rows are again what they are in Postgres.
    alice.wait(has(1, "of postgres")).await.unwrap();
    alice.wait(has_not(3)).await.unwrap();
    settled(&service, [&alice, &bob]).await;
    let (done, _, err) = rejected(&service, &["discard", &number]).await;
    assert!(!done && err.contains("was discarded already"), "{err}");
    for client in [alice, bob] {
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_retried_transaction_comes_to_everybody_once_its_cause_is_gone() {
    let service = Service::insecure().await;
    let (alice, bob) = poisoned(&service).await;
    let number = waiting(&service).await[0]["id"].to_string();
    service.unguarded("ALTER TABLE items DROP CONSTRAINT small").await;
    let (done, out, err) = rejected(&service, &["retry", &number]).await;
    assert!(done && out.contains("Applied transaction"), "{out}{err}");
    bob.wait(has(3, "poison")).await.unwrap();
    assert_eq!(waiting(&service).await, Vec::<Value>::new());
    alice.connect(&unsigned_token("alice")).await.unwrap();
    bob.wait(has(4, "after")).await.unwrap();
    settled(&service, [&alice, &bob]).await;
    for client in [alice, bob] {
        client.close().await.unwrap();
    }
}

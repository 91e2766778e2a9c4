//! Large transactions, and many small ones.

use change::ClientOpKind;
use postgres::writer::Applied;

use super::fixture::{Fixture, clearing, fresh_client, text, tx};

const ITEMS: &str = "CREATE TABLE items (id int4 PRIMARY KEY, value text, other int4)";

#[tokio::test]
async fn an_offline_backlog_of_ten_thousand_operations() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let insert = |n: u32| fixture.insert("items", &[&n.to_string(), "some text", "7"]);
    assert_eq!(writer.apply(&tx(&author, 1, (0..10_000).map(insert))).await, Ok(Applied::Committed));
    let seen = format!("{author}@1000");
    // A third is changed, a third removed, a third is made new beside them; some rows several times.
    let op = |n: u32| {
        let key = n.to_string();
        let op = match n % 3 {
            0 => fixture.op(ClientOpKind::Update, "items", &[&key, "changed"]),
            1 => fixture.delete("items", &key),
            _ => fixture.insert("items", &[&(n + 100_000).to_string(), "new", "null"]),
        };
        clearing(op, &[&seen])
    };
    let ops = (0..10_000).chain(0..1000).map(op);
    assert_eq!(writer.apply(&tx(&author, 2, ops)).await, Ok(Applied::Committed));
    let counts = "SELECT (count(*), count(*) FILTER (WHERE value = 'changed'), count(*) FILTER (WHERE value = 'new')) FROM items";
    assert_eq!(text(&client, counts).await.as_deref(), Some("(10000,3334,3333)"));
    let shadows = "SELECT (count(*), count(*) FILTER (WHERE _tags = '{}'), count(_image)) FROM electric.shadow__public__items";
    assert_eq!(text(&client, shadows).await.as_deref(), Some("(13333,3333,3333)"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_transactions_of_eight_clients() {
    const EACH: u32 = 250;
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client) = (fixture.writer(8), fixture.db.client().await);
    let clients: Vec<_> = (0..8)
        .map(|number| {
            let (writer, fixture) = (writer.clone(), fixture.clone());
            tokio::spawn(async move {
                let author = fresh_client();
                for lsn in 1..=EACH {
                    let key = (number * EACH + lsn).to_string();
                    let insert = fixture.insert("items", &[&key, "some text", "7"]);
                    assert_eq!(writer.apply(&tx(&author, lsn, [insert])).await, Ok(Applied::Committed));
                }
            })
        })
        .collect();
    for client in clients {
        client.await.expect("no panic");
    }
    assert_eq!(text(&client, "SELECT count(*) FROM items").await, Some((8 * EACH).to_string()));
}

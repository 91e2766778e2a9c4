//! From clients to Postgres.

use testkit::{Satellite, unsigned_token};

use super::{streaming::subscriber, support::*};

#[tokio::test(flavor = "multi_thread")]
async fn a_write_reaches_postgres_and_everyone() {
    let (_database, postgres, running) = start_with_items().await;
    let (mut author, _) = subscriber(running.port, "author").await;
    let (mut reader, _) = subscriber(running.port, "reader").await;
    author.announce(0, "items", &["id", "content"]).await.unwrap();
    let op = Satellite::insert(0, &[Some(b"1"), Some(b"from a client")], &[]);
    let timestamp = author.write(vec![op]).await.unwrap();
    for client in [&mut author, &mut reader] {
        let (begin, _) = within(client.next_transaction()).await.unwrap();
        assert_eq!((begin.commit_timestamp, begin.origin()), (timestamp, "author"));
    }
    let row = postgres.query_one("SELECT content FROM items WHERE id = '1'", &[]).await.unwrap();
    assert_eq!(row.get::<_, &str>(0), "from a client");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_acknowledged_is_told_at_the_next_connection() {
    let (_database, _postgres, running) = start_with_items().await;
    let (mut author, _) = subscriber(running.port, "author").await;
    author.announce(0, "items", &["id", "content"]).await.unwrap();
    author.write(vec![Satellite::insert(0, &[Some(b"1"), None], &[])]).await.unwrap();
    within(author.next_transaction()).await.unwrap();
    author.close().await;
    let mut again = Satellite::open(running.port, "author", &unsigned_token("user")).await.unwrap();
    // The question comes right after the answer to `authenticate`; any further exchange has it read.
    again.unsubscribe(&["00000000-0000-4000-8000-000000000009"]).await.unwrap();
    assert_eq!(again.asked_from.as_deref(), Some([0, 0, 0, 1].as_slice()));
}

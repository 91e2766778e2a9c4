//! Clients that speak of a migration as soon as it is committed.

use std::time::{Duration, Instant};

use testkit::{Database, Satellite, unsigned_token};

use super::support::*;

/// Less than anything is waited for when the stream stands still.
const PROMPT: Duration = Duration::from_millis(500);

fn id(n: u32) -> String {
    format!("00000000-0000-4000-8000-{n:012}")
}

async fn create(postgres: &tokio_postgres::Client, n: u32) {
    let create = format!(
        "CREATE TABLE new_{n} (id text PRIMARY KEY); CALL electric.electrify('new_{n}'); INSERT INTO new_{n} VALUES ('{n}')"
    );
    postgres.batch_execute(&create).await.expect("a synced table");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_can_be_subscribed_to_as_soon_as_it_is_electrified() {
    let database = Database::create().await;
    let running = start(&database.url, &[]).await;
    let postgres = database.client().await;
    let mut open =
        Satellite::open(running.port, "open", &unsigned_token("user")).await.expect("to be let in");
    let mut slowest = Duration::ZERO;
    for n in 0..20 {
        create(&postgres, n).await;
        let asked = Instant::now();
        open.subscribe(&id(n), &[&format!("new_{n}")]).await.expect("the table is known");
        slowest = slowest.max(asked.elapsed());
        assert_eq!(within(open.data_of(&id(n))).await.expect("its data").len(), 1);
        // And on a connection that is made after the migration, which is how scripts do it.
        create(&postgres, 100 + n).await;
        let mut fresh =
            Satellite::open(running.port, &format!("fresh-{n}"), &unsigned_token("user")).await.unwrap();
        fresh.subscribe(&id(n), &[&format!("new_{}", 100 + n)]).await.expect("the table is known");
        assert_eq!(within(fresh.data_of(&id(n))).await.expect("its data").len(), 1);
        fresh.close().await;
    }
    assert!(slowest < PROMPT, "the session is woken when the table is there: {slowest:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unknown_table_is_refused_promptly() {
    let (_database, postgres, running) = start_with_items().await;
    let mut client = Satellite::open(running.port, "a", &unsigned_token("user")).await.unwrap();
    // The first question may have to wait for a connection to Postgres.
    client.subscribe(&id(0), &["nope"]).await.expect_err("no such table");
    let mut slowest = Duration::ZERO;
    for n in 1..20 {
        // The log grows in between, or not.
        if n % 2 == 0 {
            postgres.batch_execute(&format!("INSERT INTO items VALUES ('{n}')")).await.unwrap();
        }
        let asked = Instant::now();
        let refused = client.subscribe(&id(n), &["nope"]).await.expect_err("no such table");
        slowest = slowest.max(asked.elapsed());
        assert!(refused.to_string().contains("Unknown table nope"), "{refused:#}");
    }
    assert!(slowest < PROMPT, "{slowest:?}");
    client.subscribe(&id(0), &["items"]).await.expect("the connection is as before");
}

//! From Postgres to clients.

use testkit::{Satellite, satellite::Op, unsigned_token};

use super::support::*;

const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";

fn text(op: &Op, column: &str) -> String {
    let (Op::Insert { new, .. } | Op::Update { new, .. }) = op else { panic!("{op:?}") };
    String::from_utf8(new[column].clone().expect("a value").to_vec()).expect("text")
}

/// A client that has subscribed to `items` and got what was there.
pub async fn subscriber(port: u16, name: &str) -> (Satellite, Vec<Op>) {
    let mut client = Satellite::open(port, name, &unsigned_token("user")).await.expect("to be let in");
    client.subscribe(SUBSCRIPTION, &["items"]).await.expect("a subscription");
    let data = within(client.data_of(SUBSCRIPTION)).await.expect("its data");
    (client, data)
}

#[tokio::test(flavor = "multi_thread")]
async fn initial_rows_and_then_changes() {
    let (_database, postgres, running) = start_with_items().await;
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'one'), ('2', NULL)").await.unwrap();
    let (mut client, data) = subscriber(running.port, "a").await;
    assert_eq!(data.len(), 2);
    postgres.batch_execute("INSERT INTO items VALUES ('3', 'three')").await.unwrap();
    let (_, ops) = within(client.next_transaction()).await.unwrap();
    assert_eq!(text(&ops[0], "content"), "three");
    postgres.batch_execute("UPDATE items SET content = 'drei' WHERE id = '3'").await.unwrap();
    let (_, ops) = within(client.next_transaction()).await.unwrap();
    assert_eq!(text(&ops[0], "content"), "drei");
    postgres.batch_execute("DELETE FROM items WHERE id = '3'").await.unwrap();
    let (_, ops) = within(client.next_transaction()).await.unwrap();
    assert!(matches!(&ops[..], [Op::Delete { .. }]), "{ops:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn many_initial_rows_arrive_whole() {
    let (_database, postgres, running) = start_with_items().await;
    postgres
        .batch_execute("INSERT INTO items SELECT i, 'row ' || i FROM generate_series(1, 30000) i")
        .await
        .unwrap();
    let (_, data) = subscriber(running.port, "a").await;
    let mut ids: Vec<u32> = data.iter().map(|op| text(op, "id").parse().unwrap()).collect();
    ids.sort_unstable();
    assert!(ids.into_iter().eq(1..=30000));
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_transactions_arrive_in_order() {
    let (_database, postgres, running) = start_with_items().await;
    let (mut client, _) = subscriber(running.port, "a").await;
    postgres
        .batch_execute(
            "DO $$ BEGIN FOR i IN 1..3000 LOOP INSERT INTO items VALUES (i, i); COMMIT; END LOOP; END $$",
        )
        .await
        .unwrap();
    for i in 1..=3000 {
        let (_, ops) = within(client.next_transaction()).await.unwrap();
        assert_eq!(text(&ops[0], "id"), i.to_string());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_resumes_where_it_was_also_after_a_restart_of_the_service() {
    let (database, postgres, mut running) = start_with_items().await;
    let (mut client, _) = subscriber(running.port, "a").await;
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'seen')").await.unwrap();
    within(client.next_transaction()).await.unwrap();
    let position = client.lsn.clone();
    client.close().await;
    within(running.service.stop()).await;
    postgres.batch_execute("INSERT INTO items VALUES ('2', 'missed')").await.unwrap();

    let running = start(&database.url, &[]).await;
    let mut client = Satellite::sign_in(running.port, "a", &unsigned_token("user")).await.unwrap();
    client.lsn = position;
    let started = client.start(&[SUBSCRIPTION.to_owned()]).await.unwrap();
    assert!(started.err.is_none(), "{started:?}");
    let (_, ops) = within(client.next_transaction()).await.unwrap();
    assert_eq!((ops.len(), text(&ops[0], "content")), (1, "missed".to_owned()));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_that_nobody_watches_move_idle_clients_along() {
    let (database, postgres, mut running) = start_with_items().await;
    within(running.service.stop()).await;
    // A window so small that a cursor which stands still falls out of it.
    let running = start(&database.url, &[("ELECTRIC_TXN_CACHE_SIZE", "64K")]).await;
    postgres
        .batch_execute(
            "CREATE TABLE noise (id text PRIMARY KEY, v text); CALL electric.electrify('public.noise')",
        )
        .await
        .unwrap();
    let (mut client, _) = subscriber(running.port, "a").await;
    for i in 0..200 {
        postgres
            .batch_execute(&format!("INSERT INTO noise VALUES ('{i}', repeat('x', 1000))"))
            .await
            .unwrap();
        // More than the window holds must not come in one breath: then anybody would fall out of it.
        if i % 10 == 9 {
            stream_has_caught_up(running.port).await;
        }
    }
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'after the noise')").await.unwrap();
    let (_, ops) = loop {
        let (begin, ops) = within(client.next_transaction()).await.unwrap();
        if ops.iter().any(|op| matches!(op, Op::Insert { .. })) {
            break (begin, ops);
        }
    };
    assert_eq!(text(&ops[0], "content"), "after the noise");
}

//! When Postgres goes away.

use std::time::{Duration, Instant};

use testkit::{Cluster, Database, FaultProxy, Options, Satellite};

use super::{streaming::subscriber, support::*};

#[tokio::test(flavor = "multi_thread")]
async fn everything_goes_on_after_postgres_was_away() {
    let mut cluster =
        tokio::task::spawn_blocking(|| Cluster::temporary(&Options::default())).await.unwrap().unwrap();
    let database = Database::create_in(&cluster).await;
    let running = start(&database.url, &[]).await;
    let postgres = database.client().await;
    postgres
        .batch_execute(
            "CREATE TABLE items (id text PRIMARY KEY, content text); CALL electric.electrify('public.items')",
        )
        .await
        .unwrap();
    stream_has_caught_up(running.port).await;
    let (mut client, _) = subscriber(running.port, "a").await;
    client.announce(0, "items", &["id", "content"]).await.unwrap();

    let stopped = tokio::task::spawn_blocking(move || {
        cluster.crash().expect("to crash it");
        cluster
    });
    let mut cluster = stopped.await.unwrap();
    let gone = Instant::now();
    within(async { while get(running.port, "/api/status").await.code != 503 {} }).await;
    assert!(gone.elapsed() < Duration::from_secs(1), "{:?}", gone.elapsed());
    // Written while nobody is there to take it.
    let timestamp =
        client.write(vec![Satellite::insert(0, &[Some(b"1"), Some(b"patient")], &[])]).await.unwrap();
    let restarted = tokio::task::spawn_blocking(move || {
        cluster.restart().expect("to start it again");
        cluster
    });
    let _cluster = restarted.await.unwrap();
    within(running.service.ready()).await;
    assert_eq!(get(running.port, "/api/status").await.code, 200, "by itself");
    let (begin, _) = within(client.next_transaction()).await.unwrap();
    assert_eq!(begin.commit_timestamp, timestamp);
    let postgres = database.client().await;
    postgres.batch_execute("INSERT INTO items VALUES ('2', 'after')").await.unwrap();
    let (begin, ops) = within(client.next_transaction()).await.unwrap();
    assert_eq!((begin.origin(), ops.len()), ("postgres_1", 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_postgres_that_hangs_is_noticed_and_taken_up_again() {
    let cluster = tokio::task::spawn_blocking(|| Cluster::temporary(&Options::default()));
    let cluster = cluster.await.unwrap().unwrap();
    let database = Database::create_in(&cluster).await;
    let running = start(&database.url, &[]).await;
    let postgres = database.client().await;
    postgres
        .batch_execute(
            "CREATE TABLE items (id text PRIMARY KEY, content text); CALL electric.electrify('public.items')",
        )
        .await
        .unwrap();
    stream_has_caught_up(running.port).await;
    let (mut client, _) = subscriber(running.port, "a").await;
    cluster.freeze();
    let gone = Instant::now();
    let unavailable = async {
        while get(running.port, "/api/status").await.code != 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(unavailable).await;
    assert!(gone.elapsed() < Duration::from_secs(11), "{:?}", gone.elapsed());
    let report: serde_json::Value =
        serde_json::from_slice(&get(running.port, "/api/status.json").await.body).unwrap();
    assert!(report["since"].is_string() && report["why"].is_string(), "{report}");
    assert_eq!(report["stream"]["clients"], 1, "{report}");
    cluster.thaw();
    within(running.service.ready()).await;
    postgres.batch_execute("INSERT INTO items VALUES ('1', 'after')").await.unwrap();
    assert_eq!(within(client.next_transaction()).await.unwrap().1.len(), 1);
}

/// Waits until the service says that it serves nobody, and why.
async fn unavailable(port: u16) {
    let unavailable = async {
        while get(port, "/api/status").await.code != 503 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    within(unavailable).await;
    let report: serde_json::Value =
        serde_json::from_slice(&get(port, "/api/status.json").await.body).expect("JSON");
    assert!(report["why"].as_str().is_some_and(|why| why.contains("Postgres")), "{report}");
    assert_eq!(report["stream"]["clients"], 2, "they are still there: {report}");
}

/// Two clients write while packets go nowhere: the first is only not answered any more, what the second sends does not arrive. Nobody is sent away, and all is applied once.
async fn packets_go_nowhere(cut_off: fn(&FaultProxy)) {
    let database = Database::create().await;
    let cluster = tokio::task::spawn_blocking(testkit::shared_cluster).await.expect("a cluster");
    let (proxy, url) = through_proxy(cluster, &database).await;
    let running = start(&url, &[("TIELINE_STATEMENT_TIMEOUT", "1s")]).await;
    let postgres = database.client().await;
    make_items(&postgres, &running).await;
    postgres
        .batch_execute(
            "CREATE TABLE applied (id text);
             CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS
                $$ BEGIN INSERT INTO applied VALUES (new.id); RETURN new; END $$;
             CREATE TRIGGER note BEFORE INSERT OR UPDATE ON items FOR EACH ROW EXECUTE FUNCTION note()",
        )
        .await
        .expect("the statement succeeds");
    let (mut one, _) = subscriber(running.port, "one").await;
    let (mut two, _) = subscriber(running.port, "two").await;
    for client in [&mut one, &mut two] {
        client.announce(0, "items", &["id", "content"]).await.expect("it is sent");
    }
    one.write(vec![Satellite::insert(0, &[Some(b"0"), Some(b"before")], &[])]).await.expect("it is sent");
    for client in [&mut one, &mut two] {
        assert_eq!(within(client.next_transaction()).await.expect("a transaction").1.len(), 1);
    }

    // It reaches Postgres, which applies it only when nothing passes any more.
    postgres.batch_execute("BEGIN; LOCK TABLE items IN SHARE MODE").await.expect("the statement succeeds");
    one.write(vec![Satellite::insert(0, &[Some(b"1"), Some(b"under way")], &[])]).await.expect("it is sent");
    let waits = "SELECT EXISTS (SELECT FROM pg_locks WHERE relation = 'items'::regclass AND NOT granted)";
    within(async { while !postgres.query_one(waits, &[]).await.expect("a row").get::<_, bool>(0) {} }).await;
    cut_off(&proxy);
    postgres.batch_execute("COMMIT").await.expect("the statement succeeds");
    two.write(vec![Satellite::insert(0, &[Some(b"2"), Some(b"meanwhile")], &[])]).await.expect("it is sent");
    postgres.batch_execute("INSERT INTO items VALUES ('3', 'native')").await.expect("the statement succeeds");
    unavailable(running.port).await;
    proxy.heal();
    within(running.service.ready()).await;
    for client in [&mut one, &mut two] {
        let mut rows = 0;
        while rows < 3 {
            rows += within(client.next_transaction()).await.expect("a transaction").1.len();
        }
    }
    let applied = "SELECT string_agg(id, ',' ORDER BY id) FROM applied";
    assert_eq!(postgres.query_one(applied, &[]).await.expect("a row").get::<_, &str>(0), "0,1,2,3");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_silent_network_costs_nobody_anything_also_where_it_forgets_connections() {
    tokio::join!(
        packets_go_nowhere(FaultProxy::stall),
        packets_go_nowhere(|proxy| {
            proxy.forget();
            proxy.stall();
        }),
    );
}

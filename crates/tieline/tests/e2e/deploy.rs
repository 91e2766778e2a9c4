//! One instance replaces another: with the same data directory or a fresh one, and nobody loads anything again.

use std::time::{Duration, Instant};

use super::{
    load::{App, Load},
    service::{ITEMS, PATIENCE, Service, has, id, ready, report, status},
    switch::Switch,
};

const NO_RESETS: [String; 0] = [];

/// A second instance waits, says so, and serves within a second of the end of the first.
async fn replace(service: &mut Service, switch: &Switch, settings: &[(&str, &str)]) -> tokio::process::Child {
    let (second, port) = service.another(settings);
    let until = Instant::now() + PATIENCE;
    while !report(port).await["why"].as_str().is_some_and(|why| why.contains("another instance")) {
        assert!(Instant::now() < until, "it does not say why it waits: {}", report(port).await);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(status(port).await.as_deref(), Some("Initializing connection to Posgres..."));
    switch.turn_to(port);
    service.stop().await;
    let stopped = Instant::now();
    ready(port).await;
    let took = stopped.elapsed();
    assert!(took < Duration::from_secs(if cfg!(debug_assertions) { 3 } else { 1 }), "{took:?}");
    second
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_with_the_same_data_directory_takes_over_under_load() {
    let mut service = Service::insecure().await;
    service.sql(ITEMS).await;
    let switch = Switch::to(service.port).await;
    let mut app = App::start(&service, "alice", switch.port).await;
    let mut load = Load::default();
    load.write(&mut app, Some(&service.postgres), 10).await;
    let writing = load.go_on(app, &service.database_url());
    let _second = replace(&mut service, &switch, &[]).await;
    let (mut load, mut app) = writing.stop().await;
    load.write(&mut app, Some(&service.postgres), 10).await;
    load.settle(&mut [&mut app], &service.postgres).await;
    assert_eq!(app.resets(), NO_RESETS);
    assert_eq!(app.strandings(), 0);
    app.client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_instance_with_a_fresh_data_directory_finds_idle_clients_where_it_begins() {
    let mut service = Service::insecure().await;
    service.sql(ITEMS).await;
    service.sql("CREATE TABLE noise (id int PRIMARY KEY); CALL electric.electrify('noise')").await;
    let switch = Switch::to(service.port).await;
    let mut idle = App::start(&service, "idle", switch.port).await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'seen', 1)", id(1))).await;
    idle.wait(&has(1, "seen")).await;
    // The slot passes the position that the idle client has stored.
    service.sql("INSERT INTO noise SELECT generate_series(1, 1000)").await;
    let end: String =
        service.postgres.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.unwrap().get(0);
    service
        .wait(&format!(
            "SELECT confirmed_flush_lsn >= '{end}' FROM pg_replication_slots WHERE database = current_database()"
        ))
        .await;
    let folder = service.folder("another journal");
    let _second = replace(&mut service, &switch, &[("TIELINE_DATA_DIR", folder.as_str())]).await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'after', 2)", id(2))).await;
    idle.wait(&has(2, "after")).await;
    assert_eq!(idle.resets(), NO_RESETS);
    assert_eq!(idle.strandings(), 0);
    idle.client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_under_way_is_waited_for() {
    let mut service = Service::insecure().await;
    service.sql(ITEMS).await;
    service
        .sql(
            "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS
                 $$ BEGIN PERFORM pg_sleep(0.7); RETURN NULL; END $$;
             CREATE CONSTRAINT TRIGGER slow AFTER INSERT ON items DEFERRABLE INITIALLY DEFERRED
                 FOR EACH ROW EXECUTE FUNCTION slow();
             ALTER TABLE items ENABLE ALWAYS TRIGGER slow",
        )
        .await;
    let app = App::start(&service, "alice", service.port).await;
    app.client.sql("INSERT INTO items VALUES (?, 'slow', 1)", &[id(1).into()]).await.unwrap();
    service
        .wait(
            "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE wait_event = 'PgSleep' AND datname = current_database())",
        )
        .await;
    let took = service.stop().await;
    assert!(took < Duration::from_secs(5), "{took:?}");
    let there = "SELECT EXISTS (SELECT FROM items WHERE content = 'slow') AND EXISTS (SELECT FROM electric.acknowledged_client_lsns)";
    assert!(service.postgres.query_one(there, &[]).await.unwrap().get::<_, bool>(0), "it was cut off");
    service.start_again().await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'after', 2)", id(2))).await;
    app.client.wait(has(2, "after")).await.unwrap();
    assert_eq!(app.resets(), NO_RESETS);
    service.wait("SELECT count(*) = 2 FROM items").await;
    app.client.close().await.unwrap();
}

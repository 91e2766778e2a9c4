//! Interruptions.

use std::{
    os::unix::process::ExitStatusExt as _,
    time::{Duration, Instant},
};

use testkit::{Cluster, Database, Options, unsigned_token};
use tokio::task::spawn_blocking;

use super::{
    load::{App, Load},
    service::{ITEMS, PATIENCE, Service, free_port, has, has_not, id, items, ready, report},
};

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

#[tokio::test(flavor = "multi_thread")]
async fn killed_again_and_again_under_writes_nothing_is_lost_or_doubled() {
    let mut service = Service::insecure().await;
    service.sql(ITEMS).await;
    let app = App::start(&service, "alice", service.port).await;
    let mut writing = Load::default().go_on(app, &service.database_url());
    for round in 0..4u64 {
        // At another moment of what is going on each time.
        tokio::time::sleep(Duration::from_millis(37 * round)).await;
        service.kill_and_restart().await;
        let (load, app) = writing.stop().await;
        writing = load.go_on(app, &service.database_url());
    }
    let (mut load, mut app) = writing.stop().await;
    load.write(&mut app, Some(&service.postgres), 5).await;
    load.settle(&mut [&mut app], &service.postgres).await;
    assert_eq!(app.resets(), [""; 0]);
    app.client.close().await.unwrap();
}

/// The process ends right at each step that makes something durable, and what comes after it finds its way.
#[tokio::test(flavor = "multi_thread")]
async fn killed_at_every_durable_step_it_goes_on_from_there() {
    let database = Database::create().await;
    let files = tempfile::tempdir().unwrap();
    let journal = files.path().display().to_string();
    let run = |failpoint: &str| {
        let failpoint = format!("{failpoint}=return(abort)");
        let port = free_port().to_string();
        Service::bare(&[
            ("DATABASE_URL", &database.url),
            ("DATABASE_REQUIRE_SSL", "false"),
            ("AUTH_MODE", "insecure"),
            ("HTTP_PORT", &port),
            ("TIELINE_DATA_DIR", &journal),
            ("FAILPOINTS", &failpoint),
        ])
    };
    let dies = async |failpoint: &str| {
        let status = tokio::time::timeout(PATIENCE, run(failpoint).wait()).await;
        let status = status.unwrap_or_else(|_| panic!("{failpoint} is never come to")).unwrap();
        assert_eq!(status.signal(), Some(6), "{failpoint}");
    };
    // While nobody has followed the database yet, or it has just been begun.
    for failpoint in
        ["stream::connect", "connector::begin_anew", "stream::slot_made", "connector::begun_anew"]
    {
        dies(failpoint).await;
    }
    let mut service =
        Service::on(&database, &[("AUTH_MODE", "insecure"), ("TIELINE_DATA_DIR", &journal)]).await;
    service.sql(ITEMS).await;
    let mut app = App::start(&service, "alice", service.port).await;
    let mut load = Load::default();
    for failpoint in ["stream::confirm", "service::stop", "service::stopped"] {
        load.write(&mut app, Some(&service.postgres), 3).await;
        service.kill().await;
        service.set("FAILPOINTS", &format!("{failpoint}=return(abort)"));
        if failpoint == "stream::confirm" {
            // The first word to Postgres on a new connection is one.
            service.launch();
        } else {
            service.start_again().await;
            load.write(&mut app, None, 1).await;
            service.signal();
        }
        service.ended().await;
        service.set("FAILPOINTS", "");
        service.start_again().await;
    }
    load.settle(&mut [&mut app], &service.postgres).await;
    assert_eq!(app.resets(), [""; 0]);
    app.client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn postgres_restarts_and_outages_are_only_a_pause() {
    let cluster = spawn_blocking(|| Cluster::temporary(&Options::default())).await.unwrap().unwrap();
    let database = Database::create_in(&cluster).await;
    let service = Service::on(&database, &[("AUTH_MODE", "insecure")]).await;
    service.sql(ITEMS).await;
    let app = App::start(&service, "alice", service.port).await;
    let writing = Load::default().go_on(app, &database.url);
    let immediate = spawn_blocking(move || {
        let mut cluster = cluster;
        cluster.crash().unwrap();
        cluster.restart().unwrap();
        cluster
    });
    let mut cluster = immediate.await.unwrap();
    ready(service.port).await;
    // Away for a while: it says so, and everybody stays connected.
    let stopped = spawn_blocking(move || {
        cluster.stop().unwrap();
        cluster
    });
    let mut cluster = stopped.await.unwrap();
    let until = Instant::now() + PATIENCE;
    loop {
        let report = report(service.port).await;
        if report["why"].as_str().is_some_and(|why| why.contains("can't be reached")) {
            assert!(report["since"].as_str().unwrap().starts_with("20"), "{report}");
            assert_eq!(report["stream"]["clients"], 1, "{report}");
            break;
        }
        assert!(Instant::now() < until, "{report}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let restarted = spawn_blocking(move || {
        cluster.restart().unwrap();
        cluster
    });
    let _cluster = restarted.await.unwrap();
    let begun = Instant::now();
    ready(service.port).await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    let (mut load, mut app) = writing.stop().await;
    let postgres = database.client().await;
    load.write(&mut app, Some(&postgres), 5).await;
    load.settle(&mut [&mut app], &postgres).await;
    assert_eq!(app.resets(), [""; 0]);
    assert_eq!(app.client.connectivity().borrow().status, "connected");
    app.client.close().await.unwrap();
}

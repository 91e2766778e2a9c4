//! Postgres fails over, or is restored: clients begin anew only when they must, and agree with it in the end.

use testkit::{Cluster, Database, Options};
use tokio::task::spawn_blocking;
use tokio_postgres::Client;

use super::{
    load::{App, Load},
    service::{ITEMS, Service, has, has_not, id, ready},
    switch::Switch,
};

const NO_RESETS: [String; 0] = [];

/// Does something slow with a cluster.
async fn with<T: Send + 'static>(cluster: T, change: impl FnOnce(&mut T) + Send + 'static) -> T {
    let changed = spawn_blocking(move || {
        let mut cluster = cluster;
        change(&mut cluster);
        cluster
    });
    changed.await.unwrap()
}

async fn cluster() -> Cluster {
    spawn_blocking(|| Cluster::temporary(&Options::default())).await.unwrap().unwrap()
}

/// A service for a database of a cluster that it reaches through a switch.
async fn service(cluster: &Cluster, switch: &Switch) -> (Service, Database) {
    let mut database = Database::create_in(cluster).await;
    database.url = database.url.replace(&format!(":{}/", cluster.port()), &format!(":{}/", switch.port));
    let service = Service::on(&database, &[("AUTH_MODE", "insecure")]).await;
    service.sql(ITEMS).await;
    (service, database)
}

async fn until(postgres: &Client, sql: &str) {
    let until = std::time::Instant::now() + super::service::PATIENCE;
    while !postgres.query_one(sql, &[]).await.unwrap().get::<_, bool>(0) {
        assert!(std::time::Instant::now() < until, "still not so: {sql}");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

/// Both see the same rows.
async fn agree(app: &mut App, postgres: &Client) {
    let rows: String = postgres
        .query_one("SELECT coalesce(string_agg(id || content, ',' ORDER BY id), '') FROM items", &[])
        .await
        .unwrap()
        .get(0);
    app.wait(&format!(
        "SELECT coalesce(group_concat(entry, ','), '') = '{rows}' FROM (SELECT id || content AS entry FROM items ORDER BY id)"
    ))
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_promoted_standby_without_the_slot_makes_clients_begin_anew_and_agree() {
    let primary = cluster().await;
    let switch = Switch::to(primary.port()).await;
    let (service, database) = service(&primary, &switch).await;
    let (primary, standby) = spawn_blocking(move || {
        let standby = primary.standby().unwrap();
        (primary, standby)
    })
    .await
    .unwrap();
    let mut app = App::start(&service, "alice", service.port).await;
    let mut load = Load::default();
    load.write(&mut app, Some(&service.postgres), 5).await;
    load.settle(&mut [&mut app], &service.postgres).await;
    until(
        &service.postgres,
        "SELECT count(*) = 1 FROM pg_stat_replication
         WHERE application_name = 'walreceiver' AND replay_lsn >= pg_current_wal_lsn()",
    )
    .await;
    let _primary = with(primary, |primary| primary.crash().unwrap()).await;
    // Written while there is no database at all.
    app.sql("INSERT INTO items VALUES (?, 'meanwhile', 0)", &[id(5_000).into()]).await;
    let standby = with(standby, |standby| standby.promote().unwrap()).await;
    switch.turn_to(standby.port());
    ready(service.port).await;
    let postgres = database.client().await;
    postgres.batch_execute(&format!("INSERT INTO items VALUES ('{}', 'after', 0)", id(6_000))).await.unwrap();
    app.begins_anew().await;
    app.wait(&has(6_000, "after")).await;
    app.wait(&has(5_000, "meanwhile")).await;
    until(&postgres, &has(5_000, "meanwhile")).await;
    agree(&mut app, &postgres).await;
    assert_eq!(app.resets().len(), 1, "{:?}", app.resets());
    app.client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_timeline_that_has_everything_and_the_slot_is_gone_on_with() {
    let cluster = cluster().await;
    let switch = Switch::to(cluster.port()).await;
    let (service, database) = service(&cluster, &switch).await;
    let mut app = App::start(&service, "alice", service.port).await;
    let mut load = Load::default();
    load.write(&mut app, Some(&service.postgres), 5).await;
    // What became of a standby that is given its primary's slots.
    let _cluster = with(cluster, |cluster| {
        cluster.stop().unwrap();
        std::fs::write(cluster.data_directory().join("standby.signal"), "").unwrap();
        cluster.restart().unwrap();
        cluster.promote().unwrap();
    })
    .await;
    ready(service.port).await;
    let postgres = database.client().await;
    until(&postgres, "SELECT pg_walfile_name(pg_current_wal_lsn()) LIKE '00000002%'").await;
    load.write(&mut app, Some(&postgres), 5).await;
    load.settle(&mut [&mut app], &postgres).await;
    assert_eq!(app.resets(), NO_RESETS);
    app.client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_restored_from_a_backup_makes_clients_begin_anew_and_agree() {
    let cluster = cluster().await;
    let switch = Switch::to(cluster.port()).await;
    let (service, database) = service(&cluster, &switch).await;
    let mut app = App::start(&service, "alice", service.port).await;
    let mut load = Load::default();
    load.write(&mut app, Some(&service.postgres), 5).await;
    load.settle(&mut [&mut app], &service.postgres).await;
    let (cluster, backup) = spawn_blocking(move || {
        let backup = cluster.backup().unwrap();
        (cluster, backup)
    })
    .await
    .unwrap();
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'lost with the disk', 0)", id(6_000))).await;
    app.wait(&has(6_000, "lost with the disk")).await;
    let _cluster = with(cluster, |cluster| cluster.stop().unwrap()).await;
    let restored = spawn_blocking(move || backup.start(None).unwrap()).await.unwrap();
    switch.turn_to(restored.port());
    ready(service.port).await;
    let postgres = database.client().await;
    postgres.batch_execute(&format!("INSERT INTO items VALUES ('{}', 'after', 0)", id(7_000))).await.unwrap();
    app.begins_anew().await;
    app.wait(&has(7_000, "after")).await;
    app.wait(&has_not(6_000)).await;
    app.sql("INSERT INTO items VALUES (?, 'by the client', 0)", &[id(8_000).into()]).await;
    until(&postgres, &has(8_000, "by the client")).await;
    agree(&mut app, &postgres).await;
    assert_eq!(app.resets().len(), 1, "{:?}", app.resets());
    app.client.close().await.unwrap();
}

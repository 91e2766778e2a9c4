//! Installing: again, at the same time, after damage, with too few rights.

use postgres::{
    connection::ConnectConfig,
    install::{
        InstallError, LeftOverSubscription, PreflightFault, drop_legacy_subscription, install, preflight,
    },
};
use testkit::{Cluster, Database, Options};

use super::{installed, refused, rows, run, value};

const PUBLISHED: &str = "SELECT schemaname || '.' || tablename FROM pg_publication_tables WHERE pubname = 'electric_publication' ORDER BY 1";

#[tokio::test]
async fn installs_once_and_refreshes_afterwards() {
    let database = Database::create().await;
    let mut client = database.client().await;
    assert_eq!(preflight(&client).await, Ok(()));
    let first = install(&mut client).await.unwrap();
    assert!(!first.applied.is_empty() && !first.took_over_legacy);
    let again = install(&mut client).await.unwrap();
    assert!(again.applied.is_empty());
    assert_eq!(first.cluster_id.len(), 36);
    assert_eq!(first.cluster_id, again.cluster_id);
    assert_eq!(
        rows(&client, PUBLISHED).await,
        ["electric.acknowledged_client_lsns", "electric.ddl_commands"]
    );
}

#[tokio::test]
async fn services_that_start_together_install_once() {
    let database = Database::create().await;
    let mut starting = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let mut client = database.client().await;
        starting.spawn(async move { install(&mut client).await.unwrap() });
    }
    let installed = starting.join_all().await;
    assert_eq!(installed.iter().filter(|i| !i.applied.is_empty()).count(), 1);
    assert!(installed.windows(2).all(|two| two[0].cluster_id == two[1].cluster_id));
}

#[tokio::test]
async fn puts_back_what_was_lost() {
    let (_database, mut client) = installed().await;
    run(&client, "CREATE TABLE items (id int PRIMARY KEY, v text); CALL electric.electrify('items')").await;
    run(
        &client,
        "DROP PUBLICATION electric_publication; DROP TRIGGER electric_native_update ON items;
         DROP FUNCTION electric.table_snapshot(oid)",
    )
    .await;
    install(&mut client).await.unwrap();
    assert_eq!(
        rows(&client, PUBLISHED).await,
        [
            "electric.acknowledged_client_lsns",
            "electric.ddl_commands",
            "electric.shadow__public__items",
            "public.items"
        ]
    );
    let triggers = "SELECT tgname, tgenabled FROM pg_trigger WHERE tgrelid = 'items'::regclass AND NOT tgisinternal ORDER BY 1";
    assert_eq!(
        rows(&client, triggers).await,
        [
            "electric_native_delete|A",
            "electric_native_insert|A",
            "electric_native_truncate|A",
            "electric_native_update|A"
        ]
    );
    run(&client, "CREATE TABLE more (id int PRIMARY KEY); CALL electric.electrify('more')").await;
}

/// The first release had no place for what clients have observed.
#[tokio::test]
async fn brings_the_tables_of_an_older_release_up_to_date() {
    let (_database, mut client) = installed().await;
    run(
        &client,
        "ALTER TABLE electric.clients DROP COLUMN observed;
         DELETE FROM electric.schema_migrations WHERE version::bigint = 20260715000000;
         INSERT INTO electric.clients (client_id, user_id) VALUES ('c', 'ann')",
    )
    .await;
    let upgraded = install(&mut client).await.unwrap();
    assert_eq!(upgraded.applied, [20_260_715_000_000]);
    assert!(!upgraded.took_over_legacy);
    assert_eq!(value(&client, "SELECT observed::text FROM electric.clients").await, "{}");
}

#[tokio::test]
async fn leaves_a_database_of_a_newer_release_alone() {
    let (_database, mut client) = installed().await;
    run(&client, "INSERT INTO electric.schema_migrations (version) VALUES (29990101000000)").await;
    let error = install(&mut client).await.unwrap_err();
    assert!(matches!(error, InstallError::Newer { found: 29_990_101_000_000, .. }), "{error}");
}

#[tokio::test]
async fn a_failed_installation_leaves_nothing() {
    let database = Database::create().await;
    let mut client = database.client().await;
    run(
        &client,
        "CREATE VIEW public.x AS SELECT 1; CREATE SCHEMA electric; CREATE VIEW electric.clients AS SELECT 1",
    )
    .await;
    let error = install(&mut client).await.unwrap_err();
    assert!(matches!(error, InstallError::Script { .. }), "{error}");
    let made = "SELECT count(*) FROM pg_class WHERE relnamespace = 'electric'::regnamespace";
    assert_eq!(value(&client, made).await, "1");
}

#[tokio::test]
async fn preflight_reports_every_fault_at_once_and_makes_nothing() {
    let database = Database::create().await;
    let admin = database.client().await;
    let role = format!("poor_{}", database.name);
    run(&admin, &format!("CREATE ROLE {role} LOGIN; CREATE SCHEMA electric")).await;
    run(&admin, &format!("SET ROLE {role}")).await;
    let faults = preflight(&admin).await.unwrap_err();
    assert_eq!(
        faults,
        [
            PreflightFault::NotReplication { role: role.clone() },
            PreflightFault::NoCreate { role: role.clone(), database: database.name.clone() },
            PreflightFault::ForeignSchema { owner: "postgres".into(), role: role.clone() },
        ]
    );
    assert!(faults[0].to_string().contains(&format!("ALTER ROLE {role} WITH REPLICATION")));
    assert!(faults.iter().all(|fault| !fault.is_fatal()));
}

#[tokio::test]
async fn preflight_sees_a_server_without_logical_decoding() {
    let options = Options {
        settings: vec!["wal_level = replica".into(), "max_replication_slots = 0".into()],
        ..Options::default()
    };
    let cluster = tokio::task::spawn_blocking(move || Cluster::temporary(&options).unwrap()).await.unwrap();
    let database = Database::create_in(&cluster).await;
    let faults = preflight(&database.client().await).await.unwrap_err();
    assert_eq!(
        faults,
        [PreflightFault::WalLevel { found: "replica".into() }, PreflightFault::NoFreeSlot { limit: 0 }]
    );
    assert!(
        faults[0].to_string().starts_with("Your Postgres database is not configured with wal_level=logical")
    );
    assert!(faults[0].is_fatal());
}

#[tokio::test]
async fn a_role_with_the_documented_rights_is_enough() {
    let database = Database::create().await;
    let admin = database.client().await;
    let role = format!("service_{}", database.name);
    run(
        &admin,
        &format!(
            "CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'pw'; GRANT CREATE ON DATABASE {} TO {role};
             GRANT USAGE, CREATE ON SCHEMA public TO {role}; CREATE TABLE others (id int PRIMARY KEY)",
            database.name
        ),
    )
    .await;
    let (mut config, _) =
        ConnectConfig::parse(&format!("{}?sslmode=disable", database.url), None, None).unwrap();
    config.user = role;
    let mut service =
        postgres::connection::connect(&config, postgres::connection::Purpose::Tool).await.unwrap();
    assert_eq!(preflight(&service).await, Ok(()));
    install(&mut service).await.unwrap();
    run(&service, "CREATE TABLE own (id int PRIMARY KEY, v text); CALL electric.electrify('own'); INSERT INTO own VALUES (1, 'x')").await;
    assert_eq!(value(&service, "SELECT count(*) FROM electric.shadow__public__own").await, "1");

    let refusal = refused(&service, "CALL electric.electrify('others')").await;
    assert_eq!(refusal.message(), "must be owner of table others");
}

#[tokio::test]
async fn drops_the_subscription_that_legacy_left() {
    let (_database, client) = installed().await;
    assert_eq!(drop_legacy_subscription(&client).await.unwrap(), LeftOverSubscription::Absent);
    run(
        &client,
        "CREATE SUBSCRIPTION postgres_1 CONNECTION 'host=127.0.0.1 port=1 dbname=electric' PUBLICATION p WITH (connect = false)",
    )
    .await;
    assert_eq!(drop_legacy_subscription(&client).await.unwrap(), LeftOverSubscription::Dropped);
    assert_eq!(
        value(&client, "SELECT count(*) FROM pg_subscription WHERE subname = 'postgres_1'").await,
        "0"
    );
}

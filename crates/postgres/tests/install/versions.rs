//! Migration versions (spec 04 §7).

use super::{installed, refused, rows, run, value};

const VERSIONS: &str = "SELECT DISTINCT ON (version) version FROM electric.ddl_commands ORDER BY version, id";

#[tokio::test]
async fn a_default_version_is_the_transactions_start_and_grows() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY); CREATE TABLE c (id int PRIMARY KEY); CREATE TABLE d (id int PRIMARY KEY)").await;
    run(&client, "CALL electric.electrify('a')").await;
    let first = value(&client, "SELECT version FROM electric.migration_versions").await;
    assert_eq!((first.len(), first.as_bytes()[14]), (18, b'_'), "{first}");
    let expected = "SELECT to_char(to_timestamp(txts / 1000000.0) AT TIME ZONE 'UTC', 'YYYYMMDDHH24MISS_MS') = version FROM electric.migration_versions";
    assert_eq!(value(&client, expected).await, "t");

    // A version of the future: what follows counts up from it.
    run(&client, "BEGIN; CALL electric.migration_version('29990101'); CALL electric.electrify('b'); COMMIT")
        .await;
    run(&client, "CALL electric.electrify('c')").await;
    run(&client, "CALL electric.electrify('d')").await;
    assert_eq!(rows(&client, VERSIONS).await, [&first, "29990101", "29990101_0001", "29990101_0002"]);
}

#[tokio::test]
async fn counters_grow_bytewise() {
    let (_database, client) = installed().await;
    for (newest, wish, next) in [
        ("", "2", "2"),
        ("1", "2", "2"),
        ("20240801120000_123", "20240801120000_123", "20240801120000_123_0001"),
        ("20240801120000_123_0001", "20240801120000_123", "20240801120000_123_0002"),
        ("20240801120000_123_0009", "20240801120000_123", "20240801120000_123_0010"),
        ("20240801120000_123_0001", "20240801120000_124", "20240801120000_124"),
        ("x_9999", "1", "x_9999_0001"),
        ("9", "10", "9_0001"),
    ] {
        let grown =
            value(&client, &format!("SELECT electric.grown_version(nullif('{newest}', ''), '{wish}')")).await;
        assert_eq!(grown, next, "{newest} {wish}");
        assert!(grown.as_str() > newest);
    }
}

#[tokio::test]
async fn a_given_version_is_taken_or_refused() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)").await;
    // After the capture too: a higher priority wins, a second one of the same does not.
    run(
        &client,
        "BEGIN; CALL electric.electrify('a'); CALL electric.migration_version('29990101_x'); CALL electric.migration_version('29990102'); COMMIT",
    )
    .await;
    assert_eq!(rows(&client, VERSIONS).await, ["29990101_x"]);

    let with = |version: &str| {
        format!("BEGIN; CALL electric.migration_version('{version}'); CALL electric.electrify('b'); COMMIT")
    };
    let error = refused(&client, &with("29990101_x")).await;
    assert_eq!((error.code().code(), error.constraint()), ("23505", Some("migration_unique_version")));
    run(&client, "ROLLBACK").await;
    for version in ["20240101", "abc", "", &"9".repeat(256)] {
        let error = refused(&client, &with(version)).await;
        assert_eq!(error.code().code(), "P0001", "{version}");
        assert!(error.hint().is_some());
        run(&client, "ROLLBACK").await;
    }
    run(&client, &with("29990102")).await;
    assert_eq!(rows(&client, VERSIONS).await, ["29990101_x", "29990102"]);
}

#[tokio::test]
async fn a_frameworks_version_is_taken_if_it_can_be() {
    let (_database, client) = installed().await;
    let with = |version: &str, priority: i32| {
        format!(
            "BEGIN; CALL electric.assign_migration_version('{version}', {priority}); SELECT version, priority FROM electric.migration_versions WHERE txid = pg_current_xact_id(); COMMIT"
        )
    };
    assert_eq!(rows(&client, &with("29990101", 2)).await, ["29990101|2"]);
    assert_eq!(rows(&client, &with("20240101", 4)).await, ["29990101_0001|4"]);
    assert_eq!(rows(&client, &with("name", 4)).await, ["29990101_0002|4"]);
    assert_eq!(rows(&client, &with("29990102", 4)).await, ["29990102|4"]);
}

#[tokio::test]
async fn migrations_commit_one_after_the_other() {
    let (database, client) = installed().await;
    let other = database.client().await;
    run(&client, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)").await;
    run(&other, "BEGIN; SELECT now()").await;
    run(&client, "BEGIN; CALL electric.electrify('a')").await;
    // Began earlier, commits later: its version must still sort after.
    let late = tokio::spawn(async move {
        run(&other, "CALL electric.electrify('b'); COMMIT").await;
    });
    while value(&client, "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND database = (SELECT oid FROM pg_database WHERE datname = current_database())").await != "1" {
        tokio::task::yield_now().await;
    }
    run(&client, "COMMIT").await;
    late.await.unwrap();
    let ordered =
        "SELECT snapshot -> 'table' ->> 'name' FROM electric.ddl_commands ORDER BY version COLLATE \"C\"";
    assert_eq!(rows(&client, ordered).await, ["a", "b"]);
    let distinct = "SELECT count(DISTINCT version) FROM electric.ddl_commands";
    assert_eq!(value(&client, distinct).await, "2");
}

#[tokio::test]
async fn a_snapshot_older_than_another_migration_fails_to_serialize() {
    let (database, client) = installed().await;
    let other = database.client().await;
    run(&client, "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY)").await;
    run(&other, "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM electric.electrified").await;
    run(&client, "CALL electric.electrify('a')").await;
    assert_eq!(refused(&other, "CALL electric.electrify('b')").await.code().code(), "40001");
}

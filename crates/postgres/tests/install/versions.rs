//! Migration versions (spec 04 §7).

use tokio_postgres::Client;

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

/// SplitMix64.
fn draw(state: &mut u64, below: u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)) % below
}

/// Electrifies tables in many ways, some of them to be refused or taken back. How many went through is returned.
async fn migrate(client: Client, session: u64, seed: u64) -> usize {
    let mut state = seed ^ (session << 32);
    let mut done = 0;
    for n in 0..12 {
        let table = format!("t_{session}_{n}");
        run(&client, &format!("CREATE TABLE {table} (id int PRIMARY KEY)")).await;
        let electrify = format!("CALL electric.electrify('{table}')");
        let era = ["1", "2", "20261122", "2999"][draw(&mut state, 4) as usize];
        let version = format!("{era}{:03}", draw(&mut state, 1000));
        let sql = match draw(&mut state, 7) {
            0 => electrify,
            1 => format!(
                "BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT count(*) FROM {table}; {electrify}; COMMIT"
            ),
            2 => format!("BEGIN; CALL electric.migration_version('{version}'); {electrify}; COMMIT"),
            3 => format!("BEGIN; {electrify}; CALL electric.migration_version('{version}'); COMMIT"),
            4 => format!("BEGIN; INSERT INTO schema_migrations VALUES ('{version}'); {electrify}; COMMIT"),
            5 => format!("BEGIN; SAVEPOINT s; {electrify}; ROLLBACK TO s; {electrify}; COMMIT"),
            _ => format!("BEGIN; SELECT now(); {electrify}; ROLLBACK"),
        };
        match client.batch_execute(&sql).await {
            Ok(()) => done += usize::from(!sql.ends_with("ROLLBACK")),
            Err(error) => {
                // Can't be serialized; is used already; sorts before the newest.
                let code = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
                assert!(["40001", "23505", "P0001"].contains(&code.as_str()), "{sql}\n{error:?}");
                run(&client, "ROLLBACK").await;
            }
        }
    }
    done
}

#[tokio::test]
async fn versions_grow_in_commit_order_whatever_migrates_at_once() {
    for seed in [1, 7_423, 9_000_001] {
        let (database, client) = installed().await;
        run(&client, "CREATE TABLE schema_migrations (version text); CALL electric.watch_frameworks()").await;
        let slot = format!("commit_order_{}", database.name);
        run(&client, &format!("SELECT pg_create_logical_replication_slot('{slot}', 'test_decoding')")).await;
        let mut sessions = Vec::new();
        for session in 0..8 {
            sessions.push(tokio::spawn(migrate(database.client().await, session, seed)));
        }
        let mut done = 0;
        for session in sessions {
            done += session.await.unwrap();
        }
        let decoded = format!(
            r"SELECT substring(data FROM $$version\[text\]:'([^']*)'$$)
            FROM pg_logical_slot_get_changes('{slot}', NULL, NULL)
            WHERE data LIKE 'table electric.ddl_commands: INSERT%'"
        );
        let versions = rows(&client, &decoded).await;
        run(&client, &format!("SELECT pg_drop_replication_slot('{slot}')")).await;
        assert_eq!(versions.len(), done, "seed {seed}");
        assert!(done > 20, "seed {seed}: {done} are too few to show anything");
        let grows = versions.windows(2).all(|pair| pair[0].as_bytes() < pair[1].as_bytes());
        assert!(grows, "seed {seed}: {versions:?}");
    }
}

#[tokio::test]
async fn migrations_that_follow_each_other_within_a_millisecond_all_succeed() {
    let (_database, client) = installed().await;
    let tables: String = (0..60).map(|n| format!("CREATE TABLE m_{n} (id int PRIMARY KEY); ")).collect();
    let migrations: String =
        (0..60).map(|n| format!("BEGIN; CALL electric.electrify('m_{n}'); COMMIT; ")).collect();
    run(&client, &tables).await;
    run(&client, &migrations).await;
    let versions = rows(&client, "SELECT version FROM electric.ddl_commands ORDER BY id").await;
    assert_eq!(versions.len(), 60);
    assert!(versions.windows(2).all(|pair| pair[0].as_bytes() < pair[1].as_bytes()), "{versions:?}");
}

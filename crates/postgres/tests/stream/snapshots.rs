//! Snapshots, and that they fit together with the stream (spec 06 §5.5).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use change::{Lsn, Row};
use postgres::{
    replication::Event,
    snapshot::{Keys, OpenSnapshot, ReadQuery, SnapshotError, SnapshotPool, SnapshotSettings, Wanted},
};
use schema::Table;
use shapes::Key;

use super::{
    FOREVER, Synced,
    replica::{Image, Replica, read, show},
};

const SETTINGS: SnapshotSettings =
    SnapshotSettings { connections: 2, patience: Duration::from_secs(5), statement_timeout: Duration::ZERO };

/// All rows of a read, by key.
async fn collect(snapshot: &mut OpenSnapshot, query: ReadQuery<'_>) -> BTreeMap<Vec<String>, Image> {
    let mut rows = BTreeMap::new();
    let mut stream = snapshot.read(query).await.expect("a read");
    let table = query.table;
    while stream
        .next_rows(100, |values, tags| {
            let text = |value: &Option<&[u8]>| value.map(|v| String::from_utf8_lossy(v).into_owned());
            let values: Vec<Option<String>> = values.iter().map(text).collect();
            let key = table.primary_key.iter().map(|i| values[*i].clone().expect("a key")).collect();
            rows.insert(key, (values, show(tags)));
        })
        .await
        .expect("rows")
        > 0
    {}
    rows
}

fn all(table: &Table) -> ReadQuery<'_> {
    ReadQuery { table, wanted: Wanted::Rows, condition: None, keys: None }
}

async fn table(synced: &Synced, name: &str) -> Arc<Table> {
    let catalogue = postgres::catalogue::load(&synced.app).await.expect("the catalogue");
    Arc::clone(catalogue.schema.table_named(name).expect("a synced table"))
}

#[tokio::test]
async fn read_what_the_table_held() {
    let synced = Synced::create().await;
    synced
        .run(
            "CREATE TABLE t (id int, k text, v text, raw bytea, PRIMARY KEY (k, id));
             INSERT INTO t SELECT i, 'k', E'old\\t\\\\' || i, NULL FROM generate_series(1, 300) i;
             CALL electric.electrify('t');
             INSERT INTO t SELECT i, E'\\\\N', '', '\\x5c00' FROM generate_series(301, 2000) i",
        )
        .await;
    let t = table(&synced, "t").await;
    let pool = SnapshotPool::new(synced.config.clone(), SETTINGS);
    let mut snapshot = pool.open().await.expect("a snapshot");
    let expected = read(&synced.app, &t).await;
    synced.run("DELETE FROM t").await;
    for _ in 0..2 {
        assert_eq!(collect(&mut snapshot, all(&t)).await, expected);
    }
    let keys = collect(&mut snapshot, ReadQuery { wanted: Wanted::Columns(&[]), ..all(&t) }).await;
    assert!(keys.keys().eq(expected.keys()));
    let first = keys.values().next().expect("a row");
    assert_eq!((first.0[2].as_deref(), first.0[3].as_deref(), first.1.as_str()), (None, None, ""));
    snapshot.finish().await;
    let mut later = pool.open().await.expect("a snapshot");
    assert!(collect(&mut later, all(&t)).await.is_empty());
}

#[tokio::test]
async fn some_columns_of_some_rows() {
    let synced = Synced::create().await;
    synced
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, a text, b text); CALL electric.electrify('t');
             INSERT INTO t SELECT i, 'a' || i % 3, 'b' || i % 5 FROM generate_series(1, 30) i",
        )
        .await;
    let t = table(&synced, "t").await;
    let mut snapshot = SnapshotPool::new(synced.config.clone(), SETTINGS).open().await.expect("a snapshot");
    let query = ReadQuery { condition: Some("m.a = 'a1' OR m.a = 'a2'"), ..all(&t) };
    let rows = collect(&mut snapshot, ReadQuery { wanted: Wanted::Columns(&[2]), ..query }).await;
    assert_eq!(rows.len(), 20);
    let (values, tags) = &rows[&vec!["4".to_owned()]];
    assert_eq!((values[1].as_deref(), values[2].as_deref(), tags.as_str()), (None, Some("b4"), ""));
    let values = keys(&[&["b0"], &["b1"]]);
    let query = ReadQuery { keys: Some(Keys { columns: &[2], values: &values }), ..query };
    assert_eq!(ids(&collect(&mut snapshot, query).await), ["1", "10", "11", "16", "20", "25", "26", "5"]);
    for (limit, count) in [(3, 3), (8, 8), (9, 8), (u64::MAX, 8)] {
        assert_eq!(snapshot.count(query, limit).await.expect("a count"), count);
    }
    let broken = ReadQuery { condition: Some("1 / (m.id - 7) = 1"), ..all(&t) };
    let error = snapshot.count(broken, 100).await.expect_err("a division by zero");
    assert!(matches!(&error, SnapshotError::Wire(error) if error.code() == Some("22012")), "{error}");
    assert!(matches!(snapshot.count(query, 1).await, Err(SnapshotError::Spent)));
}

#[tokio::test]
async fn rows_are_found_by_values_of_every_type() {
    let synced = Synced::create().await;
    synced
        .run(
            r#"CREATE TYPE "Mood" AS ENUM ('bad', 'good');
             CREATE TABLE t (id int PRIMARY KEY, i2 int2, i8 int8, f4 float4, f8 float8, b bool, v varchar, u uuid, d date, h time,
                 ts timestamp, tz timestamptz(3), j jsonb, raw bytea, mood "Mood", t text);
             CALL electric.electrify('t');
             INSERT INTO t SELECT i, i, 9000000000 + i, 0.1 * i, 'NaN', i = 1, E'a''\\,{}"' || i,
                 ('00000000-0000-4000-8000-00000000000' || i)::uuid, '2020-01-01'::date + i, '10:00', '2020-01-01 10:00:00.5 BC',
                 '-infinity', '{"a": [1, "x"]}', '\x5c00', 'good', NULL FROM generate_series(1, 2) i"#,
        )
        .await;
    let t = table(&synced, "t").await;
    let mut snapshot = SnapshotPool::new(synced.config.clone(), SETTINGS).open().await.expect("a snapshot");
    let rows = collect(&mut snapshot, all(&t)).await;
    let row: Row =
        rows[&vec!["1".to_owned()]].0.iter().map(|value| value.as_deref().map(str::as_bytes)).collect();
    let mut found = async |columns: &[usize]| {
        let values: Vec<Key> = Key::of(&row, columns).into_iter().collect();
        let query = ReadQuery { keys: Some(Keys { columns, values: &values }), ..all(&t) };
        ids(&collect(&mut snapshot, query).await).len()
    };
    for column in 0..15 {
        let is_the_same_in_both = [4, 9, 10, 11, 12, 13, 14].contains(&column);
        assert_eq!(
            found(&[column]).await,
            if is_the_same_in_both { 2 } else { 1 },
            "{}",
            t.columns[column].name
        );
        assert_eq!(found(&[column, 0]).await, 1, "{}", t.columns[column].name);
    }
    assert_eq!(found(&[15]).await, 0);
    // What a column of another type prints finds nothing, and breaks nothing.
    for column in 0..16 {
        let values =
            keys(&[&["5000000000"], &["1e300"], &["2020-01-01 10:00:00+00"], &["300000-01-01"], &["'"]]);
        if !["b", "u", "h", "j", "raw", "mood"].contains(&t.columns[column].name.as_str()) {
            let query = ReadQuery { keys: Some(Keys { columns: &[column], values: &values }), ..all(&t) };
            assert!(collect(&mut snapshot, query).await.is_empty(), "{}", t.columns[column].name);
        }
    }
}

#[tokio::test]
async fn thousands_of_keys_are_one_statement() {
    let synced = Synced::create().await;
    synced
        .run(
            "CREATE TABLE t (a int, b text, PRIMARY KEY (b, a)); CALL electric.electrify('t');
             INSERT INTO t SELECT i, 'b' || i FROM generate_series(1, 20000) i; ANALYZE t",
        )
        .await;
    let t = table(&synced, "t").await;
    let mut snapshot = SnapshotPool::new(synced.config.clone(), SETTINGS).open().await.expect("a snapshot");
    let wanted: Vec<Vec<String>> =
        (1..=5000).map(|n| vec![format!("b{}", n * 2), (n * 2).to_string()]).collect();
    let wanted: Vec<Vec<&str>> = wanted.iter().map(|key| key.iter().map(String::as_str).collect()).collect();
    let wanted: Vec<&[&str]> = wanted.iter().map(Vec::as_slice).collect();
    let values = keys(&wanted);
    let query = ReadQuery { keys: Some(Keys { columns: &[1, 0], values: &values }), ..all(&t) };
    let rows = collect(&mut snapshot, query).await;
    assert_eq!(rows.len(), 5000);
    assert!(rows.keys().all(|key| key[1].parse::<u32>().expect("a number") % 2 == 0));
}

/// Keys with these values.
fn keys(rows: &[&[&str]]) -> Vec<Key> {
    let row = |row: &&[&str]| row.iter().map(|text| Some(text.as_bytes())).collect::<Row>();
    let columns: Vec<usize> = (0..rows.first().map_or(0, |row| row.len())).collect();
    rows.iter().filter_map(|values| Key::of(&row(values), &columns)).collect()
}

/// The first columns of keys.
fn ids(rows: &BTreeMap<Vec<String>, Image>) -> Vec<&str> {
    rows.keys().filter_map(|key| key.first().map(String::as_str)).collect()
}

#[tokio::test]
async fn are_given_out_in_turn_and_come_back_after_a_read_is_given_up() {
    let synced = Synced::create().await;
    synced
        .run("CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t'); INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 20000) i")
        .await;
    let t = table(&synced, "t").await;
    let impatient = SnapshotSettings { patience: Duration::from_millis(300), ..SETTINGS };
    let pool = SnapshotPool::new(synced.config.clone(), impatient);
    let (mut first, second) = (pool.open().await.expect("one"), pool.open().await.expect("two"));
    assert!(matches!(pool.open().await, Err(SnapshotError::TooLate)));
    second.finish().await;
    let mut third = pool.open().await.expect("three");

    let mut rows = first.read(all(&t)).await.expect("a read");
    assert!(rows.next_rows(10, |_, _| {}).await.expect("rows") > 0);
    drop(rows);
    assert!(matches!(first.read(all(&t)).await, Err(SnapshotError::Spent)));
    drop(first);
    let mut fourth = pool.open().await.expect("four");
    assert_eq!(collect(&mut third, all(&t)).await.len(), 20000);
    assert_eq!(collect(&mut fourth, all(&t)).await.len(), 20000);

    // An idle connection that broke is replaced without a word.
    third.finish().await;
    synced.run("SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'tieline snapshot' AND state = 'idle' AND datname = current_database()").await;
    pool.open().await.expect("five");
}

#[tokio::test]
async fn a_read_that_takes_too_long_fails() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE t (id int PRIMARY KEY, v text); CALL electric.electrify('t'); INSERT INTO t SELECT i, repeat('x', 1000) FROM generate_series(1, 50000) i").await;
    let t = table(&synced, "t").await;
    let hasty = SnapshotSettings { statement_timeout: Duration::from_millis(1), ..SETTINGS };
    let mut snapshot = SnapshotPool::new(synced.config.clone(), hasty).open().await.expect("a snapshot");
    let mut rows = snapshot.read(all(&t)).await.expect("a read");
    let error = loop {
        match rows.next_rows(1000, |_, _| {}).await {
            Ok(0) => panic!("it was fast enough"),
            Ok(_) => {}
            Err(error) => break error,
        }
    };
    assert!(matches!(&error, SnapshotError::Wire(error) if error.code() == Some("57014")), "{error}");
    assert!(matches!(snapshot.read(all(&t)).await, Err(SnapshotError::Spent)));
}

/// What a client is told: everything up to the block, the block, and everything after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_block_and_what_follows_it_make_the_table() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE t (id int PRIMARY KEY, v int); CALL electric.electrify('t')").await;
    let mut replica = Replica::start(&synced).await;
    let pool = SnapshotPool::new(synced.config.clone(), SETTINGS);
    let writers: Vec<_> = (0..3)
        .map(|writer: i32| {
            let config = synced.config.clone();
            tokio::spawn(async move {
                let client = postgres::connection::connect(&config, postgres::connection::Purpose::Tool);
                let client = client.await.expect("a connection");
                for n in 0..300 {
                    let id = (n * 7 + writer * 3) % 50;
                    let sql = match n % 5 {
                        0..=2 => {
                            format!("INSERT INTO t VALUES ({id}, {n}) ON CONFLICT (id) DO UPDATE SET v = {n}")
                        }
                        3 => format!("DELETE FROM t WHERE id = {id}"),
                        _ => format!(
                            "BEGIN; UPDATE t SET v = v + 1 WHERE id = {id}; SELECT pg_sleep(0.001); COMMIT"
                        ),
                    };
                    client.batch_execute(&sql).await.expect("a write");
                }
            })
        })
        .collect();

    let mut checked = 0;
    while checked < 20 {
        // The stream has been read up to `replica.position`; the snapshot may not be behind it.
        for event in replica.stream.next_batch().await.expect("the stream goes on") {
            replica.take(event);
        }
        let mut snapshot = pool.open().await.expect("a snapshot");
        let passed = &replica.transactions;
        if passed.iter().rev().take(100).any(|t| !snapshot.snapshot.sees(t.transaction.xid)) {
            continue;
        }
        let Some(t) = replica.schema.table_named("t").cloned() else { continue };
        let mut block = collect(&mut snapshot, all(&t)).await;

        // Directly before the first transaction that is not in the snapshot, or where the position is reached.
        let mut queue: VecDeque<Event> = VecDeque::new();
        replica.control.reach(snapshot.lsn);
        let mut placed = false;
        while !placed {
            if queue.is_empty() {
                let batch = tokio::time::timeout(FOREVER, replica.stream.next_batch());
                queue.extend(batch.await.expect("in time").expect("the stream goes on"));
            }
            let is_before = match queue.front().expect("an event") {
                Event::Commit(committed) => {
                    let transaction = &committed.transaction;
                    snapshot.snapshot.sees(transaction.xid) && transaction.lsn <= snapshot.lsn
                }
                Event::Reached(position) => *position < snapshot.lsn,
            };
            if is_before {
                replica.take(queue.pop_front().expect("an event"));
            } else {
                placed = true;
            }
        }
        // From here on a client with only the block is as good as one with the whole history.
        let later: Vec<Event> = queue.into_iter().collect();
        let until: Lsn = super::wal_end(&synced.app).await;
        for event in later {
            follow(&mut block, &t, &event);
            replica.take(event);
        }
        replica.control.reach(until);
        while replica.position < until {
            for event in replica.stream.next_batch().await.expect("the stream goes on") {
                follow(&mut block, &t, &event);
                replica.take(event);
            }
        }
        let whole: BTreeMap<Vec<String>, Image> =
            replica.rows.iter().map(|((_, key), row)| (key.clone(), row.clone())).collect();
        assert_eq!(block, whole);
        checked += 1;
    }
    for writer in writers {
        writer.await.expect("no panic");
    }
    replica.catch_up(&synced.app).await;
    replica.check(&synced.app, "t").await;
}

/// What a client does with a transaction: rows are put or taken, whatever is there.
fn follow(rows: &mut BTreeMap<Vec<String>, Image>, table: &Table, event: &Event) {
    let Event::Commit(committed) = event else { return };
    for change in &committed.transaction.changes {
        match &change.row {
            change::RowChange::Insert { new, tags } | change::RowChange::Update { new, tags, .. } => {
                rows.insert(super::replica::key(table, new), super::replica::image(new, tags));
            }
            change::RowChange::Delete { old } => {
                rows.remove(&super::replica::key(table, old));
            }
        }
    }
}

//! Snapshots, and that they fit together with the stream (spec 06 §5.5).

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
    time::Duration,
};

use change::Lsn;
use postgres::{
    replication::Event,
    snapshot::{OpenSnapshot, ReadQuery, SnapshotError, SnapshotPool, SnapshotSettings, Wanted},
};
use schema::Table;

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
    ReadQuery { table, wanted: Wanted::Rows, owner: None }
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
    let keys = collect(&mut snapshot, ReadQuery { wanted: Wanted::Keys, ..all(&t) }).await;
    assert!(keys.keys().eq(expected.keys()));
    let first = keys.values().next().expect("a row");
    assert_eq!((first.0[2].as_deref(), first.0[3].as_deref(), first.1.as_str()), (None, None, ""));
    snapshot.finish().await;
    let mut later = pool.open().await.expect("a snapshot");
    assert!(collect(&mut later, all(&t)).await.is_empty());
}

#[tokio::test]
async fn an_owner_sees_its_own_rows_and_nobodys() {
    let synced = Synced::create().await;
    synced
        .run(
            "CREATE TABLE t (id int PRIMARY KEY, electric_user_id text); CREATE TABLE free (id int PRIMARY KEY);
             CREATE TABLE u (id int PRIMARY KEY, electric_user_id uuid);
             CALL electric.electrify('t'); CALL electric.electrify('free'); CALL electric.electrify('u');
             INSERT INTO t VALUES (1, 'ann'), (2, 'bob'), (3, NULL), (4, ''), (5, E'o''\\\\x'); INSERT INTO free VALUES (1);
             INSERT INTO u VALUES (1, '00000000-0000-4000-8000-000000000001'), (2, NULL)",
        )
        .await;
    let pool = SnapshotPool::new(synced.config.clone(), SETTINGS);
    let mut snapshot = pool.open().await.expect("a snapshot");
    let (t, free, u) = (table(&synced, "t").await, table(&synced, "free").await, table(&synced, "u").await);
    for (t, owner, ids) in [
        (&t, "ann", &["1", "3", "4"][..]),
        (&t, "o'\\x", &["3", "4", "5"]),
        (&t, "nobody'; --", &["3", "4"]),
        (&t, "an\0n", &["3", "4"]),
        (&free, "ann", &["1"]),
        (&u, "not a uuid", &["2"]),
        (&u, "00000000-0000-4000-8000-000000000001", &["1", "2"]),
    ] {
        let rows = collect(&mut snapshot, ReadQuery { owner: Some(owner), ..all(t) }).await;
        assert_eq!(rows.keys().map(|key| key[0].as_str()).collect::<Vec<_>>(), ids, "{owner}");
    }
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

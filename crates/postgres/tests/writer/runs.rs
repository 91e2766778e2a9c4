//! Transactions of one client that are handed over together.

use std::sync::Arc;

use change::{ClientOp, ClientOpKind, ClientTransaction};

use postgres::writer::{Applied, Refused, WriterPool};
use testkit::{Cluster, Database, Options};
use tokio_postgres::Client;

use super::{
    fixture::{Fixture, clearing, fresh_client, text, tx, until},
    rig::Rig,
};

/// Each row that is made, changed or deleted is noted, by a trigger of the users' own, with the statement that did it.
const ITEMS: &str = "CREATE TABLE items (id int4 PRIMARY KEY, value text CHECK (value <> 'bad'), other int4); \
    CREATE TABLE noted (id int4, query text); \
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS \
        $$ BEGIN \
            INSERT INTO noted VALUES (coalesce(NEW.id, OLD.id), current_query()); \
            RETURN CASE WHEN TG_OP = 'DELETE' THEN OLD ELSE NEW END; \
        END $$; \
    CREATE TRIGGER note BEFORE INSERT OR UPDATE OR DELETE ON items FOR EACH ROW EXECUTE FUNCTION note()";

const WAITS: &str = "SELECT count(*) > 0 FROM pg_stat_activity \
    WHERE datname = current_database() AND application_name LIKE '%writer%' AND wait_event_type = 'Lock'";

const ROWS: &str = "SELECT count(*) || ' ' || coalesce(min(id), 0) || ' ' || coalesce(max(id), 0) FROM items";

/// Hands over what is left until all is done, or one is refused.
async fn all(writer: &WriterPool, run: &[ClientTransaction]) -> (Vec<Applied>, Option<Refused>) {
    let run: Vec<&ClientTransaction> = run.iter().collect();
    let mut outcomes = Vec::new();
    while outcomes.len() < run.len() {
        match writer.apply_run(&run[outcomes.len()..]).await {
            Ok(some) => {
                assert!(!some.is_empty());
                outcomes.extend(some);
            }
            Err(refused) => return (outcomes, Some(refused)),
        }
    }
    (outcomes, None)
}

/// Transactions that each make a row of their own.
fn inserts(fixture: &Fixture, author: &str, lsns: std::ops::RangeInclusive<u32>) -> Vec<ClientTransaction> {
    let insert = |lsn: u32| fixture.insert("items", &[&lsn.to_string(), "mine", "null"]);
    lsns.map(|lsn| tx(author, lsn, [insert(lsn)])).collect()
}

#[tokio::test]
async fn new_rows_and_changes_of_rows_need_one_statement_each() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let mut run = inserts(&fixture, &author, 1..=40);
    let update = |lsn: u32| fixture.op(ClientOpKind::Update, "items", &[&(lsn - 40).to_string(), "-", "7"]);
    run.extend((41..=80).map(|lsn| tx(&author, lsn, [update(lsn)])));
    assert_eq!(all(&writer, &run).await, (vec![Applied::Committed; 80], None));
    assert_eq!(text(&client, ROWS).await.as_deref(), Some("40 1 40"));
    let alone = "SELECT count(*) || ' ' || count(*) FILTER (WHERE query LIKE 'WITH ack AS%') FROM noted";
    assert_eq!(text(&client, alone).await.as_deref(), Some("80 80"));
    let tags = "SELECT count(*) FROM electric.shadow__public__items WHERE cardinality(_tags) = 2 AND _tag_other = _tags[2]";
    assert_eq!(text(&client, tags).await.as_deref(), Some("40"));
    // All of it again.
    assert_eq!(all(&writer, &run).await, (vec![Applied::Duplicate; 80], None));
    // And with more behind it.
    run.extend(inserts(&fixture, &author, 81..=90));
    let (outcomes, refused) = all(&writer, &run).await;
    assert_eq!(refused, None);
    assert_eq!(
        (&outcomes[..80], &outcomes[80..]),
        (&[Applied::Duplicate; 80][..], &[Applied::Committed; 10][..])
    );
    assert_eq!(text(&client, "SELECT count(*) FROM noted").await.as_deref(), Some("90"));
}

#[tokio::test]
async fn rows_that_go_and_come_again_need_one_statement_each() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let made = inserts(&fixture, &author, 1..=40);
    assert_eq!(all(&writer, &made).await, (vec![Applied::Committed; 40], None));
    // One that sync has not touched.
    let untouched =
        "INSERT INTO items VALUES (41, 'pg'); DELETE FROM electric.shadow__public__items WHERE id = 41";
    client.batch_execute(untouched).await.expect("a row from before");
    let delete = |id: u32| {
        let mut op = clearing(fixture.delete("items", &id.to_string()), &[&format!("{author}@{id}000")]);
        op.clear.insert(change::Tag::EPOCH);
        op
    };
    let again = |id: u32| fixture.insert("items", &[&id.to_string(), "again", "1"]);
    let mut run: Vec<_> = (41..=81).map(|lsn| tx(&author, lsn, [delete(lsn - 40)])).collect();
    run.extend((82..=101).map(|lsn| tx(&author, lsn, [again(lsn - 81)])));
    assert_eq!(all(&writer, &run).await, (vec![Applied::Committed; 61], None));
    assert_eq!(text(&client, ROWS).await.as_deref(), Some("20 1 20"));
    let alone = "SELECT count(*) || ' ' || count(*) FILTER (WHERE query LIKE 'WITH ack AS%') FROM noted";
    assert_eq!(text(&client, alone).await.as_deref(), Some("102 101"));
    let tombstones =
        "SELECT string_agg(DISTINCT (_image ->> 'value') || ' ' || (_image ->> 'id' = id::text), ', ')
        FROM electric.shadow__public__items WHERE _tags = '{}'";
    assert_eq!(text(&client, tombstones).await.as_deref(), Some("mine true, pg true"));
    let alive = "SELECT count(*) FROM electric.shadow__public__items
        WHERE _tags = ARRAY[_tag] AND _tag_value = _tag AND _tag_other = _tag AND _image IS NULL";
    assert_eq!(text(&client, alive).await.as_deref(), Some("20"));
}

#[tokio::test]
async fn nothing_after_a_refused_one_is_applied() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client) = (fixture.writer(2), fixture.db.client().await);
    for place in [1, 7, 20] {
        let author = fresh_client();
        client.batch_execute("TRUNCATE items, noted").await.expect("empty tables");
        client.batch_execute("DELETE FROM electric.shadow__public__items").await.expect("no shadows");
        let mut run = inserts(&fixture, &author, 1..=20);
        run[place - 1] = tx(&author, place as u32, [fixture.insert("items", &["100", "bad"])]);
        let (outcomes, refused) = all(&writer, &run).await;
        assert_eq!(outcomes, vec![Applied::Committed; place - 1]);
        assert_eq!(refused.expect("a refusal").sqlstate, "23514");
        let expected = if place == 1 { "0 0 0".to_owned() } else { format!("{0} 1 {0}", place - 1) };
        assert_eq!(text(&client, ROWS).await, Some(expected));
        let kept =
            format!("SELECT count(*) FROM electric.rejected_transactions WHERE client_id = '{author}'");
        assert_eq!(text(&client, &kept).await.as_deref(), Some("1"));
        // The cause is gone: all is sent again.
        run[place - 1] = inserts(&fixture, &author, place as u32..=place as u32).remove(0);
        let (outcomes, refused) = all(&writer, &run).await;
        assert_eq!((outcomes.len(), refused), (20, None));
        assert_eq!(text(&client, ROWS).await.as_deref(), Some("20 1 20"));
        let settled = format!("{kept} AND state = 'applied'");
        assert_eq!(text(&client, &settled).await.as_deref(), Some("1"));
    }
}

#[tokio::test]
async fn a_row_that_postgres_makes_in_the_middle_of_a_run_is_merged_with() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client, observer) =
        (fixture.writer(1), fixture.db.client().await, fixture.db.client().await);
    client.batch_execute("BEGIN; INSERT INTO items VALUES (5, 'pg')").await.expect("an insert");
    let run = inserts(&fixture, &fresh_client(), 1..=10);
    let racing = tokio::spawn(async move { all(&writer, &run).await });
    until(&observer, WAITS).await;
    client.batch_execute("COMMIT").await.expect("the row is there");
    assert_eq!(racing.await.expect("no panic"), (vec![Applied::Committed; 10], None));
    assert_eq!(text(&client, ROWS).await.as_deref(), Some("10 1 10"));
    assert_eq!(text(&client, "SELECT value FROM items WHERE id = 5").await.as_deref(), Some("pg"));
    let tags = "SELECT sum(cardinality(_tags)) FROM electric.shadow__public__items";
    assert_eq!(text(&client, tags).await.as_deref(), Some("11"));
}

/// The statement of a client has begun when Postgres' transaction commits.
#[tokio::test]
async fn rows_that_postgres_changes_at_the_same_moment_are_merged_with() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client, observer) =
        (fixture.writer(1), fixture.db.client().await, fixture.db.client().await);
    for deletes in [false, true] {
        let author = fresh_client();
        client.batch_execute("DELETE FROM items; DELETE FROM electric.shadow__public__items").await.unwrap();
        let made = inserts(&fixture, &author, 1..=3);
        assert_eq!(all(&writer, &made).await, (vec![Applied::Committed; 3], None));
        client.batch_execute("TRUNCATE noted; BEGIN; UPDATE items SET other = 5 WHERE id = 1").await.unwrap();
        let change = |id: u32| {
            let row = id.to_string();
            let op = match deletes {
                true => fixture.delete("items", &row),
                false => fixture.op(ClientOpKind::Update, "items", &[&row, "new", "-"]),
            };
            clearing(op, &[&format!("{author}@{id}000")])
        };
        let run: Vec<_> = (4..=6).map(|lsn| tx(&author, lsn, [change(lsn - 3)])).collect();
        let (pool, handed) = (writer.clone(), run);
        let racing = tokio::spawn(async move { all(&pool, &handed).await });
        until(&observer, WAITS).await;
        client.batch_execute("COMMIT").await.expect("the row is changed");
        assert_eq!(racing.await.expect("no panic"), (vec![Applied::Committed; 3], None));
        let first = "SELECT value || ' ' || other || ' ' || cardinality(_tags) FROM items JOIN electric.shadow__public__items USING (id) \
            WHERE id = 1";
        let kept = if deletes { "mine 5 1" } else { "new 5 2" };
        assert_eq!(text(&client, first).await.as_deref(), Some(kept), "Postgres' own tag was not seen");
        let others = "SELECT coalesce(string_agg(value, ' '), '') FROM items WHERE id > 1";
        assert_eq!(text(&client, others).await.as_deref(), Some(if deletes { "" } else { "new new" }));
    }
}

#[tokio::test]
async fn a_connection_that_ends_in_the_middle_of_a_run() {
    let fixture = Fixture::new(ITEMS, &["items"]).await;
    let (writer, client, observer) =
        (fixture.writer(1), fixture.db.client().await, fixture.db.client().await);
    client.batch_execute("BEGIN; INSERT INTO items VALUES (5, 'pg')").await.expect("an insert");
    let run = inserts(&fixture, &fresh_client(), 1..=10);
    let racing = tokio::spawn(async move { all(&writer, &run).await });
    until(&observer, WAITS).await;
    let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
        WHERE datname = current_database() AND application_name LIKE '%writer%'";
    assert_eq!(text(&observer, end).await.as_deref(), Some("1"));
    client.batch_execute("ROLLBACK").await.expect("the lock is gone");
    let (outcomes, refused) = racing.await.expect("no panic");
    assert_eq!((outcomes.len(), refused), (10, None));
    assert_eq!(outcomes[..4], [Applied::Duplicate; 4]);
    let noted = "SELECT count(*) || ' ' || count(DISTINCT id) FROM noted";
    assert_eq!(text(&client, noted).await.as_deref(), Some("10 10"));
}

/// What was told of is durable; what was not is done again.
#[tokio::test]
async fn postgres_crashes_in_the_middle_of_a_run() {
    let mut cluster = Cluster::temporary(&Options::default()).expect("a cluster");
    let fixture = Fixture::on(Database::create_in(&cluster).await, ITEMS, &["items"]).await;
    let writer = fixture.writer(2);
    let (author, other) = (fresh_client(), fresh_client());
    {
        let (client, observer) = (fixture.db.client().await, fixture.db.client().await);
        client.batch_execute("BEGIN; INSERT INTO items VALUES (50, 'pg')").await.expect("an insert");
        let run = inserts(&fixture, &author, 1..=60);
        let racing = {
            let writer = writer.clone();
            tokio::spawn(async move { all(&writer, &run).await })
        };
        until(&observer, WAITS).await;
        // Another client's run is told of just before the end.
        assert_eq!(all(&writer, &inserts(&fixture, &other, 101..=120)).await.0.len(), 20);
        cluster.crash().expect("it is gone");
        assert!(!racing.is_finished());
        cluster.restart().expect("it is back");
        let client = fixture.db.client().await;
        assert_eq!(text(&client, "SELECT count(*) FROM items WHERE id > 100").await.as_deref(), Some("20"));
        let (outcomes, refused) = racing.await.expect("no panic");
        assert_eq!((outcomes.len(), refused), (60, None));
    }
    let client = fixture.db.client().await;
    assert_eq!(text(&client, ROWS).await.as_deref(), Some("80 1 120"));
    let noted = "SELECT count(*) || ' ' || count(DISTINCT id) FROM noted";
    assert_eq!(text(&client, noted).await.as_deref(), Some("80 80"));
}

/// A generator of numbers.
struct Dice(u64);

impl Dice {
    fn below(&mut self, n: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % n
    }
}

/// Anything that a client may do to one of six rows; the value says who wrote it.
fn any_op(fixture: &Fixture, table: &str, author: &str, second: u32, dice: &mut Dice) -> ClientOp {
    let key = dice.below(6).to_string();
    let value = format!("{author}@{second}");
    let other = dice.below(100).to_string();
    let op = match dice.below(12) {
        0..=1 => fixture.insert(table, &[&key, &value, &other]),
        2..=3 => fixture.delete(table, &key),
        4 => fixture.op(ClientOpKind::Compensation, table, &[&key]),
        5..=6 => fixture.op(ClientOpKind::Update, table, &[&key, "-", &other]),
        _ => fixture.op(ClientOpKind::Update, table, &[&key, &value, "-"]),
    };
    let seen: Vec<String> = (0..dice.below(4)).map(|_| format!("{author}@{}000", dice.below(40))).collect();
    let seen = if op.kind == ClientOpKind::Insert && dice.below(2) == 0 { Vec::new() } else { seen };
    clearing(op, &seen.iter().map(String::as_str).collect::<Vec<_>>())
}

/// All tags that a row of [`runs_come_to_the_same_as_one_after_the_other`] may have.
fn everything(table: &str, seed: u64) -> change::Tags {
    let authors = ["A", "B", "C"].into_iter().enumerate();
    let tags = authors.flat_map(|(part, name)| {
        let author = change::ClientId::new(&format!("{name}-{table}-{seed}-{part}")).expect("an id");
        (0..40).map(move |second| change::Tag::client(&author, second * 1000))
    });
    tags.chain([change::Tag::EPOCH]).collect()
}

/// The long way is the one that the vectors describe and the model is compared with: a table with a trigger that comes afterwards
/// always goes it. What is sent ahead comes to the same.
#[tokio::test]
async fn runs_come_to_the_same_as_one_after_the_other() {
    let table = |name: &str| format!("CREATE TABLE {name} (id int4 PRIMARY KEY, value text, other int4);");
    let ddl = format!(
        "{}{} CREATE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
         CREATE TRIGGER watch AFTER INSERT OR UPDATE OR DELETE ON slow FOR EACH ROW EXECUTE FUNCTION nothing()",
        table("fast"),
        table("slow")
    );
    let fixture = Fixture::new(&ddl, &["fast", "slow"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    for seed in 0..16 {
        client
            .batch_execute(
                "DELETE FROM fast; DELETE FROM slow; DELETE FROM electric.shadow__public__fast;
                 DELETE FROM electric.shadow__public__slow;
                 INSERT INTO fast VALUES (0, 'old'), (1, 'old'); INSERT INTO slow TABLE fast;
                 DELETE FROM electric.shadow__public__fast; DELETE FROM electric.shadow__public__slow",
            )
            .await
            .expect("a fresh start");
        for part in 0..3 {
            let author = format!("{}-{}", ["A", "B", "C"][part], fresh_client());
            let (mut fast, mut slow) = (Vec::new(), Vec::new());
            for lsn in 1..=25 {
                let seconds = Dice(seed * 100 + part as u64 * 40 + lsn).below(40) as u32;
                for (table, run) in [("fast", &mut fast), ("slow", &mut slow)] {
                    let mut dice = Dice(seed * 1_000 + part as u64 * 100 + lsn);
                    let count = 1 + dice.below(3);
                    let name = &author[..1];
                    let ops: Vec<_> =
                        (0..count).map(|_| any_op(&fixture, table, name, seconds, &mut dice)).collect();
                    let mut tx = tx(&format!("{author}-{table}"), lsn as u32, ops);
                    tx.client =
                        change::ClientId::new(&format!("{name}-{table}-{seed}-{part}")).expect("an id");
                    tx.timestamp_ms = u64::from(seconds) * 1000;
                    for op in &mut tx.ops {
                        let own = |tag: &change::Tag| change::Tag::client(&tx.client, tag.ms);
                        op.clear = op.clear.iter().map(own).collect();
                        if op.kind == ClientOpKind::Delete && dice.below(3) > 0 {
                            op.clear = everything(table, seed);
                        }
                    }
                    run.push(tx);
                }
            }
            assert_eq!(all(&writer, &fast).await, (vec![Applied::Committed; 25], None));
            for tx in &slow {
                assert_eq!(writer.apply(tx).await, Ok(Applied::Committed));
            }
            let state = |table: &str| {
                format!(
                    "SELECT jsonb_agg(jsonb_build_array(s.id, t.value, t.other, s._tag, s._image,
                        coalesce(s._tag_value, s._base), coalesce(s._tag_other, s._base),
                        (SELECT jsonb_agg(x ORDER BY x::text) FROM unnest(s._tags) x)) ORDER BY s.id)
                     FROM electric.shadow__public__{table} s LEFT JOIN {table} t USING (id)"
                )
            };
            let slow = text(&client, &state("slow")).await.expect("shadows").replace("slow", "fast");
            assert_eq!(text(&client, &state("fast")).await, Some(slow), "seed {seed}");
        }
    }
}

/// Each value is that of the write whose tag its column has, however the writes of clients and of Postgres meet.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn values_and_their_tags_stay_together_while_postgres_writes_too() {
    let mut rig =
        Rig::new("CREATE TABLE items (id int4 PRIMARY KEY, value text, other int4)", &["items"]).await;
    let writing: Vec<_> = (0..3)
        .map(|number| {
            let (fixture, writer, author) =
                (rig.fixture.clone(), rig.writer.clone(), rig.authors[number].clone());
            tokio::spawn(async move {
                let mut dice = Dice(number as u64);
                for part in 0..12u32 {
                    let next = |n: u32| {
                        let second = 1 + part * 12 + n;
                        let op = any_op(&fixture, "items", &author, second, &mut dice);
                        let mut tx = tx(&author, second, [op]);
                        // Some clocks are years ahead.
                        tx.timestamp_ms = match dice.below(3) {
                            0 => 4_000_000_000_000 + u64::from(second) * 1000,
                            _ => u64::from(second) * 1000,
                        };
                        tx
                    };
                    let run: Vec<_> = (0..12).map(next).collect();
                    assert_eq!(all(&writer, &run).await.1, None);
                }
            })
        })
        .collect();
    let native = Arc::new(rig.fixture.db.client().await);
    let mut dice = Dice(99);
    while writing.iter().any(|client| !client.is_finished()) {
        let id = dice.below(6);
        let sql = match dice.below(5) {
            0 => format!("DELETE FROM items WHERE id = {id}"),
            1 => format!("INSERT INTO items VALUES ({id}, 'pg', 1) ON CONFLICT DO NOTHING"),
            _ => format!("UPDATE items SET value = 'pg' WHERE id = {id} AND value <> 'pg'"),
        };
        attempt(&native, &sql).await;
    }
    for client in writing {
        client.await.expect("no panic");
    }
    let apart = "SELECT count(*) FROM items t JOIN electric.shadow__public__items s USING (id)
        WHERE t.value IS NOT NULL AND coalesce((coalesce(s._tag_value, s._base)).source_id, 'pg') <> split_part(t.value, '@', 1)";
    assert_eq!(text(rig.native(), apart).await.as_deref(), Some("0"));
    let kept = "SELECT count(*) FROM items t FULL JOIN electric.shadow__public__items s USING (id)
        WHERE (t.id IS NULL) <> (s._tags = '{}') OR s.id IS NULL";
    assert_eq!(text(rig.native(), kept).await.as_deref(), Some("0"));
    rig.converged().await;
}

/// A native statement that may fall victim to a deadlock.
async fn attempt(native: &Client, sql: &str) {
    if let Err(error) = native.batch_execute(sql).await {
        assert_eq!(error.code().map(tokio_postgres::error::SqlState::code), Some("40P01"), "{error}");
    }
}

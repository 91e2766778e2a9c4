//! Whatever transactions do, the stream leads to the same tables.

use super::{Synced, replica::Replica};

/// A small generator of random numbers, the same for the same seed.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

/// A statement on `items` that can't fail, whatever is in the table.
fn statement(random: &mut Random) -> String {
    let (a, b, n) = (random.below(20), random.below(20), random.below(1000));
    match random.below(14) {
        0..=3 => format!(
            "INSERT INTO items VALUES ({a}, 'n{n}', repeat(chr({}), 9000), {n}) ON CONFLICT DO NOTHING",
            97 + n % 26
        ),
        4 | 5 => format!("UPDATE items SET note = 'u{n}' WHERE id = {a}"),
        6 => format!(
            "UPDATE items SET big = CASE WHEN n > {n} THEN repeat('z', 9000 + {n}) END WHERE id = {a}"
        ),
        7 => format!("UPDATE items SET n = NULL, note = E'tab\\there \\\\ and ''{n}''' WHERE id < {a}"),
        8 => format!("DELETE FROM items WHERE id = {a}"),
        9 => format!(
            "UPDATE items SET id = {b} WHERE id = {a} AND NOT EXISTS (SELECT FROM items WHERE id = {b})"
        ),
        10 => format!(
            "INSERT INTO items SELECT i, 'bulk', NULL, {n} FROM generate_series(100, {}) i ON CONFLICT (id) DO UPDATE SET n = {n}",
            100 + a * 10
        ),
        11 => format!("DELETE FROM items WHERE id >= {}", 100 + b),
        12 => format!("DELETE FROM items WHERE id = {a}; INSERT INTO items VALUES ({a}, 'again')"),
        _ if n < 200 => "TRUNCATE items".to_owned(),
        _ => "UPDATE items SET note = note".to_owned(),
    }
}

fn transaction(random: &mut Random) -> String {
    let mut sql = String::from("BEGIN;");
    for _ in 0..=random.below(5) {
        match random.below(6) {
            0 => {
                let (inner, end) = (statement(random), random.below(2));
                let end = if end == 0 { "ROLLBACK TO s" } else { "RELEASE s" };
                sql.push_str(&format!("SAVEPOINT s; {inner}; {end};"));
            }
            _ => sql.push_str(&format!("{};", statement(random))),
        }
    }
    sql.push_str(if random.below(8) == 0 { "ROLLBACK" } else { "COMMIT" });
    sql
}

#[tokio::test]
async fn random_transactions_end_in_the_same_table() {
    let synced = Synced::create().await;
    synced
        .run(
            "CREATE TABLE items (id int PRIMARY KEY, note text, big text, n int);
             ALTER TABLE items ALTER COLUMN big SET STORAGE EXTERNAL",
        )
        .await;
    let mut replica = Replica::start(&synced).await;
    synced.run("CALL electric.electrify('items')").await;
    let mut random = Random(0x9E37_79B9_7F4A_7C15);
    for round in 0..12 {
        for _ in 0..15 {
            synced.run(&transaction(&mut random)).await;
        }
        replica.catch_up(&synced.app).await;
        replica.check(&synced.app, "items").await;
        assert!(round < 3 || !replica.transactions.is_empty());
    }
    let migrations: Vec<_> = replica.transactions.iter().filter_map(|t| t.migration.as_ref()).collect();
    assert_eq!(migrations.len(), 1);
}

#[tokio::test]
async fn all_types_and_composite_keys_come_as_they_are_printed() {
    let synced = Synced::create().await;
    synced
        .run(
            "CREATE TYPE color AS ENUM ('RED', 'GREEN');
             CREATE TABLE odd_names (\"Key 1\" uuid, b bool, i2 int2, i8 int8, f4 float4, f8 float8, k2 text, d date, t time,
                 ts timestamp, tz timestamptz, j jsonb, raw bytea, c color, iv interval, n numeric(10,2), tt timetz, ch char(4), js json, ip inet,
                 PRIMARY KEY (k2, \"Key 1\"));
             ALTER DATABASE postgres SET DateStyle = 'SQL, MDY'; ALTER DATABASE postgres SET IntervalStyle = 'sql_standard';",
        )
        .await;
    let mut replica = Replica::start(&synced).await;
    synced
        .run(
            "CALL electric.electrify('odd_names');
             INSERT INTO odd_names VALUES ('E2A1B5D0-0000-4000-8000-000000000001', true, -1, 9007199254740993, 0.1, 1e300, 'k,\"é', '2024-02-29',
                 '12:34:56.789', '2024-02-29 12:34:56.789', '2024-02-29 12:34:56.789+02', '{\"b\": [1, null], \"a\": 1.50}', '\\x00ff5c', 'GREEN',
                 '-1 day 02:03:04', 1.5, '10:00+05:30', 'a', '{\"b\":1,  \"a\":2}', '1.2.3.4/32');
             INSERT INTO odd_names (\"Key 1\", k2, f8, tz) VALUES ('00000000-0000-4000-8000-000000000002', '', 'NaN', 'infinity');
             UPDATE odd_names SET j = NULL, b = false",
        )
        .await;
    replica.catch_up(&synced.app).await;
    replica.check(&synced.app, "odd_names").await;
    assert_eq!(replica.rows.len(), 2);
}

#[tokio::test]
async fn a_truncated_parent_takes_its_children_with_it() {
    let synced = Synced::create().await;
    synced
        .run(
            "CREATE TABLE p (id int PRIMARY KEY, v text); CREATE TABLE c (id int PRIMARY KEY, p int REFERENCES p, v text)",
        )
        .await;
    let mut replica = Replica::start(&synced).await;
    synced
        .run(
            "CALL electric.electrify('p'); CALL electric.electrify('c');
             INSERT INTO p SELECT i, repeat('x', i) FROM generate_series(1, 500) i;
             INSERT INTO c SELECT i, i, NULL FROM generate_series(1, 500) i",
        )
        .await;
    replica.catch_up(&synced.app).await;
    assert_eq!(replica.rows.len(), 1000);
    synced.run("BEGIN; UPDATE p SET v = 'changed' WHERE id = 7; TRUNCATE p CASCADE; INSERT INTO p VALUES (7, 'new'); COMMIT").await;
    replica.catch_up(&synced.app).await;
    replica.check(&synced.app, "p").await;
    replica.check(&synced.app, "c").await;
    assert_eq!(replica.rows.len(), 1);
}

#[tokio::test]
async fn a_column_added_in_the_midst_of_a_transaction() {
    let synced = Synced::create().await;
    synced.run("CREATE TABLE items (id int PRIMARY KEY, note text); CALL electric.electrify('items')").await;
    let mut replica = Replica::start(&synced).await;
    synced
        .run(
            "BEGIN; INSERT INTO items VALUES (1, 'before'); ALTER TABLE items ADD COLUMN more int;
             INSERT INTO items VALUES (2, 'after', 5); UPDATE items SET more = 1 WHERE id = 1; COMMIT",
        )
        .await;
    replica.catch_up(&synced.app).await;
    replica.check(&synced.app, "items").await;
    let migration = replica.transactions.iter().find_map(|t| t.migration.as_ref());
    assert_eq!(migration.map(|m| m.version.clone()), replica.schema.version);
}

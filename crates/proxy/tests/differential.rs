//! Random sequences of messages, sensible and not, are answered by Postgres itself and through the proxy with the same bytes.

use proptest::{
    prelude::*,
    sample::select,
    strategy::ValueTree as _,
    test_runner::{Config, RngAlgorithm, TestRng, TestRunner},
};
use proxy::Frame;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::{
    raw::{Raw, about, bare, bind, execute, parse, query, text},
    support::{Front, within},
};

/// Sequences for each mode.
const CASES: usize = 250;

/// Whole strings: what people write, and what they get wrong.
const STRINGS: &[&str] = &[
    "SELECT 1",
    "SELECT 1; SELECT 'two', 3.5::numeric; SELECT NULL",
    "SELECT 1; SELECT 1/0; SELECT 2",
    "SELECT nothing FROM nowhere",
    "SELEC 1",
    "",
    ";",
    "-- ping",
    "/* ENABLE ELECTRIC */ SELECT 'ALTER TABLE t ENABLE ELECTRIC'",
    "SELECT $q$ALTER TABLE t ENABLE ELECTRIC$q$, E'\\'', U&'\\0041'",
    "SELECT 'unfinished",
    "SELECT generate_series(1, 300), repeat('x', 50)",
    "BEGIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE, READ ONLY",
    "COMMIT",
    "ROLLBACK",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "COMMIT; SELECT 1",
    "BEGIN; INSERT INTO t VALUES (1, 'one'); ROLLBACK",
    "INSERT INTO t VALUES (1, 'one')",
    "INSERT INTO t VALUES (1, 'one'); SELECT count(*) FROM t",
    "INSERT INTO t SELECT i, 'row' FROM generate_series(100, 110) i ON CONFLICT DO NOTHING RETURNING *",
    "UPDATE t SET b = b || '!' RETURNING a",
    "DELETE FROM t",
    "TRUNCATE t",
    "CREATE TEMP TABLE x (i int)",
    "DROP TABLE IF EXISTS x, y",
    "ALTER TABLE t ADD COLUMN a int",
    "ALTER TABLE t ALTER COLUMN b SET DEFAULT 'd'",
    "COMMENT ON TABLE t IS 'ELECTRIC'",
    "DO $$ BEGIN RAISE NOTICE 'hello %', 1; RAISE WARNING 'careful' USING HINT = 'look'; END $$",
    "DO $$ BEGIN RAISE EXCEPTION 'no' USING ERRCODE = 'EX000', DETAIL = 'd', COLUMN = 'c'; END $$",
    "COPY t TO STDOUT",
    "COPY t FROM STDIN",
    "COPY (SELECT i, repeat('y', 20) FROM generate_series(1, 200) i) TO STDOUT (FORMAT binary)",
    "COPY t FROM STDIN; SELECT 'after the copy'",
    "LISTEN news",
    "NOTIFY news, 'extra'",
    "LISTEN news; NOTIFY news",
    "SET application_name = 'other'",
    "SET standard_conforming_strings = off",
    "SELECT 'a\\'b'",
    "SET standard_conforming_strings = on",
    "SET datestyle = 'German'; SELECT date '2024-02-29'",
    "RESET ALL",
    "DISCARD ALL",
    "DEALLOCATE ALL",
    "PREPARE s1 AS SELECT 7",
    "EXECUTE s1",
    "DECLARE c CURSOR WITH HOLD FOR SELECT * FROM generate_series(1, 5)",
    "FETCH 2 FROM c",
    "CLOSE c",
    "EXPLAIN (COSTS off) SELECT * FROM t",
    "SHOW server_version_num",
    "VACUUM t",
    "CREATE INDEX CONCURRENTLY IF NOT EXISTS t_b ON t (b)",
];

/// Statements with parameters.
const STATEMENTS: &[&str] = &[
    "SELECT $1::int + 1",
    "SELECT $1::text, generate_series(1, 20)",
    "INSERT INTO t VALUES ($1, 'p') ON CONFLICT DO NOTHING",
    "SELECT a, b FROM t ORDER BY a LIMIT $1",
];

fn step() -> impl Strategy<Value = Vec<Frame>> {
    let names = || select(&["", "s1", "s2"][..]);
    let portals = || select(&["", "p1"][..]);
    let value = || prop_oneof![Just(None), select(&["1", "7", "not a number"][..]).prop_map(Some)];
    let any_sql = || prop_oneof![select(STRINGS), select(STATEMENTS)];
    prop_oneof![
        6 => select(STRINGS).prop_map(|sql| vec![query(sql)]),
        3 => (names(), any_sql()).prop_map(|(name, sql)| vec![parse(name, sql)]),
        3 => (portals(), names(), prop::collection::vec(value(), 0..2), any::<bool>())
            .prop_map(|(portal, name, values, binary)| vec![bind(portal, name, &values, binary)]),
        2 => (select(&b"DC"[..]), names()).prop_map(|(tag, name)| vec![about(tag, b'S', name)]),
        2 => (select(&b"DC"[..]), portals()).prop_map(|(tag, name)| vec![about(tag, b'P', name)]),
        3 => (portals(), select(&[0, 1, 5][..])).prop_map(|(portal, limit)| vec![execute(portal, limit)]),
        4 => Just(vec![bare(b'S')]),
        1 => Just(vec![bare(b'H')]),
        // A whole round, as a driver has it.
        4 => (names(), select(STATEMENTS), value(), any::<bool>(), 0u32..6).prop_map(|(name, sql, value, binary, limit)| {
            vec![
                parse(name, sql),
                bind("", name, &[value], binary),
                about(b'D', b'P', ""),
                execute("", limit),
                execute("", 0),
                bare(b'S'),
            ]
        }),
        // Data, whether it is wanted or not.
        2 => select(&["5\tfive\n", "6\tsix\n7\tse", "ven\n", "junk"][..])
            .prop_map(|data| vec![Frame::new(b'd', data.as_bytes())]),
        2 => Just(vec![bare(b'c')]),
        1 => Just(vec![Frame::new(b'f', &text("changed my mind"))]),
        // Malformed, but whole.
        1 => select(&b"PBEDC"[..]).prop_map(|tag| vec![Frame::new(tag, b"\0")]),
        1 => Just(vec![Frame::new(b'B', b"\0\0\0\x01\0\x09\0\0")]),
    ]
}

/// How a conversation ends: the reply to the last query shows that everything before it has been answered.
fn ending() -> Vec<Frame> {
    let settle = [bare(b'c'), bare(b'S'), query("ROLLBACK"), query("SELECT 'the end'")];
    settle.into_iter().chain([bare(b'X')]).collect()
}

/// Says all of it, in pieces, and listens to the end. Apart from the key of the session this is to be the same everywhere.
async fn converse(url: &str, wire: &[u8], piece: usize) -> (Vec<Frame>, Vec<u8>) {
    let mut raw = Raw::connect(url).await;
    let greeting = raw.greeting.iter().filter(|frame| frame.tag() != b'K').cloned().collect();
    let mut answers = raw.input.to_vec();
    let (read, write) = (&mut raw.read, &mut raw.write);
    // Postgres cuts off who says something else in the middle of a copy, and what it said before still arrives.
    let say = async {
        for part in wire.chunks(piece) {
            if write.write_all(part).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let listen = async { read.read_to_end(&mut answers).await };
    let _ = within(async { tokio::join!(say, listen) }).await;
    (greeting, without_notifiers(&answers))
}

/// The answers without the process ids of those who notify.
fn without_notifiers(answers: &[u8]) -> Vec<u8> {
    let (mut rest, mut out) = (answers, Vec::new());
    while let Some((head, _)) = rest.split_first_chunk::<5>() {
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize + 1;
        let (message, tail) = rest.split_at(length);
        out.extend_from_slice(&message[..5]);
        out.extend_from_slice(&message[if head[0] == b'A' { 9 } else { 5 }..]);
        rest = tail;
    }
    assert!(rest.is_empty());
    out
}

async fn compare(user: &str, seed: u8) {
    let (database, front) = Front::start().await;
    let admin = database.client().await;
    let config = Config::with_cases(1);
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]));
    let strategy =
        (prop::collection::vec(step(), 1..14), prop_oneof![Just(7usize), Just(100), Just(100_000)]);
    admin.batch_execute("CREATE TABLE t (a int PRIMARY KEY, b text)").await.expect("a table");
    // The same table: its number is told with every row.
    let fresh = "TRUNCATE t; DROP INDEX IF EXISTS t_b; ALTER TABLE t ALTER COLUMN b DROP DEFAULT; COMMENT ON TABLE t IS NULL";
    for case in 0..CASES {
        let (steps, piece) = strategy.new_tree(&mut runner).expect("a case").current();
        let frames: Vec<Frame> = steps.into_iter().flatten().chain(ending()).collect();
        let wire: Vec<u8> = frames.iter().flat_map(|frame| frame.wire().to_vec()).collect();
        admin.batch_execute(fresh).await.expect("an empty table");
        let direct = converse(&database.url, &wire, piece).await;
        admin.batch_execute(fresh).await.expect("an empty table");
        let proxied = converse(&front.url(user), &wire, piece).await;
        assert_eq!(proxied.0, direct.0);
        assert!(
            proxied.1 == direct.1,
            "case {case} as {user}, in pieces of {piece}: {frames:?}\n{}\n\n{}",
            String::from_utf8_lossy(&direct.1),
            String::from_utf8_lossy(&proxied.1)
        );
    }
}

#[tokio::test]
async fn transparent_sessions_are_so() {
    compare("transparent", 1).await;
}

#[tokio::test]
async fn ordinary_sessions_are_so_for_what_is_not_ddlx() {
    compare("app", 2).await;
}

//! Much data, slow readers, and connections that end in other ways than they should.

use std::time::Duration;

use proxy::Frame;
use testkit::Database;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    sync::Mutex,
    time::timeout,
};

use crate::{
    raw::{Raw, bare, bind, execute, parse, query, text},
    support::{Front, within},
};

/// Memory of this process, in bytes.
fn memory() -> usize {
    let pages = std::fs::read_to_string("/proc/self/statm").expect("figures");
    pages.split(' ').nth(1).and_then(|pages| pages.parse::<usize>().ok()).expect("a figure") * 4096
}

/// Room for other tests of this process, which run at the same time.
const NOISE: usize = 60 << 20;

/// Tests that need much memory, or measure it, take turns.
static TURN: Mutex<()> = Mutex::const_new(());

/// Waits until a query about server processes says yes.
async fn observe(database: &Database, sql: &str) {
    let observer = database.client().await;
    within(async { while !observer.query_one(sql, &[]).await.expect("figures").get::<_, bool>(0) {} }).await;
}

#[tokio::test]
async fn a_hundred_megabytes_flow_through_flat() {
    let _turn = TURN.lock().await;
    let (database, front) = Front::start().await;
    for (user, sql) in [
        ("app", "SELECT repeat('x', 1000) FROM generate_series(1, 100000)"),
        ("transparent", "COPY (SELECT repeat('x', 1000) FROM generate_series(1, 100000)) TO STDOUT"),
        // One row of a hundred megabytes.
        ("app", "SELECT repeat('x', 100000000)"),
    ] {
        let mut raw = Raw::connect(&front.url(user)).await;
        let before = memory();
        raw.send(&[query(sql)]).await;
        // Nobody reads: Postgres has to wait.
        let stalled = format!(
            "SELECT wait_event IS NOT DISTINCT FROM 'ClientWrite' FROM pg_stat_activity WHERE pid = {}",
            raw.process()
        );
        observe(&database, &stalled).await;
        let (mut received, mut chunk) = (raw.input.len(), vec![0; 256 * 1024]);
        let mut highest = 0;
        while received < 100_000_000 {
            received += within(raw.read.read(&mut chunk)).await.expect("more");
            highest = highest.max(memory().saturating_sub(before));
        }
        assert!(highest < NOISE, "{sql}: {highest} bytes more");
    }
}

#[tokio::test]
async fn data_for_postgres_waits_outside_until_it_is_taken() {
    let _turn = TURN.lock().await;
    let (database, front) = Front::start().await;
    let blocker = database.client().await;
    blocker.batch_execute("CREATE TABLE t (b text); CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_lock_shared(7); RETURN new; END $$; CREATE TRIGGER w BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION wait(); SELECT pg_advisory_lock(7)").await.unwrap();
    let mut raw = Raw::connect(&front.url("app")).await;
    let before = memory();
    raw.send(&[query("COPY t FROM STDIN")]).await;
    assert_eq!(raw.next().await.unwrap().tag(), b'G');
    let line = Frame::new(b'd', &[&[b'x'; 9999][..], b"\n"].concat());
    let lines: Vec<u8> = line.wire().repeat(100);
    // A hundred megabytes don't fit into what lies between.
    let mut sent = 0;
    let stalled = async {
        while sent < 100_000_000 {
            let written =
                timeout(Duration::from_secs(2), raw.write.write(&lines[sent % lines.len()..])).await;
            match written {
                Ok(written) => sent += written.expect("to be heard"),
                Err(_) => return true,
            }
        }
        false
    };
    assert!(stalled.await, "all was taken");
    assert!(memory().saturating_sub(before) < NOISE);
    blocker.batch_execute("SELECT pg_advisory_unlock(7)").await.unwrap();
    let rest = &lines[sent % lines.len()..];
    within(raw.write.write_all(rest)).await.unwrap();
    sent += rest.len();
    raw.send(&[bare(b'c')]).await;
    let answers = raw.answers().await;
    let rows = sent / line.wire().len();
    assert_eq!(answers[0].body(), text(&format!("COPY {rows}")), "{answers:?}");
}

/// Fifty kilobytes each, there and back: more than all buffers between a client and Postgres hold.
const QUESTIONS: usize = 1500;

#[tokio::test]
async fn both_directions_full_is_no_deadlock() {
    let _turn = TURN.lock().await;
    let (_database, front) = Front::start().await;
    for user in ["app", "transparent"] {
        let raw = Raw::connect(&front.url(user)).await;
        let (mut read, mut write) = (raw.read, raw.write);
        // Each question is as long as its answer, and nobody listens at first.
        let question = |i: usize| query(&format!("SELECT '{}'", format!("{i:05}").repeat(10_000)));
        let asked = tokio::spawn(async move {
            for i in 0..QUESTIONS {
                write.write_all(question(i).wire()).await.expect("to be heard");
            }
            write.write_all(bare(b'X').wire()).await.expect("to be heard");
        });
        assert!(timeout(Duration::from_secs(1), asked_in_vain(&asked)).await.is_err());
        let mut all = Vec::new();
        within(read.read_to_end(&mut all)).await.unwrap();
        within(asked).await.unwrap();
        let answers = all.windows(6).filter(|part| *part == b"Z\0\0\0\x05I").count();
        assert_eq!(answers, QUESTIONS);
    }
}

async fn asked_in_vain(asked: &tokio::task::JoinHandle<()>) {
    while !asked.is_finished() {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test]
async fn long_statements_pass() {
    let _turn = TURN.lock().await;
    let (_database, front) = Front::start().await;
    for user in ["app", "transparent"] {
        let mut raw = Raw::connect(&front.url(user)).await;
        let long = "y".repeat(30_000_000);
        let statement = format!("SELECT length('{long}')");
        raw.send(&[
            query(&statement),
            parse("", "SELECT length($1)"),
            bind("", "", &[Some(&long)], false),
            execute("", 0),
            bare(b'S'),
        ])
        .await;
        for _ in 0..2 {
            let answers = raw.answers().await;
            let row = answers.iter().find(|frame| frame.tag() == b'D').expect("a row");
            assert!(row.body().ends_with(b"30000000"));
        }
    }
}

#[tokio::test]
async fn who_has_said_all_may_still_listen() {
    let (_database, front) = Front::start().await;
    let mut raw = Raw::connect(&front.url("app")).await;
    raw.send(&[query("SELECT pg_sleep(0.05), 'late'")]).await;
    raw.write.shutdown().await.unwrap();
    let answers = raw.answers().await;
    assert_eq!(answers.iter().map(Frame::tag).collect::<Vec<_>>(), b"TDCZ");
    assert!(raw.next().await.is_none());
}

#[tokio::test]
async fn who_vanishes_leaves_nothing_behind() {
    let (database, front) = Front::start().await;
    let gone = "SELECT count(*) = 0 FROM pg_stat_activity WHERE application_name = 'raw' AND datname = current_database()";
    let mut polite = Raw::connect(&front.url("app")).await;
    polite.send(&[bare(b'X')]).await;
    assert!(polite.next().await.is_none());
    observe(&database, gone).await;
    // Without a word, idle in a transaction.
    let mut idle = Raw::connect(&front.url("app")).await;
    idle.send(&[query("BEGIN")]).await;
    idle.answers().await;
    drop(idle);
    observe(&database, gone).await;
    // In the middle of an answer.
    let mut busy = Raw::connect(&front.url("app")).await;
    busy.send(&[query("SELECT repeat('x', 1000) FROM generate_series(1, 1000000)")]).await;
    busy.next().await.unwrap();
    drop(busy);
    observe(&database, gone).await;
    // In the middle of a message.
    let mut half = Raw::connect(&front.url("app")).await;
    half.write.write_all(&query("SELECT 1").wire()[..8]).await.unwrap();
    drop(half);
    observe(&database, gone).await;
    within(async {
        front.stop.cancel();
        front.tasks.close();
        front.tasks.wait().await;
    })
    .await;
}

#[tokio::test]
async fn the_last_words_of_postgres_arrive() {
    let (database, front) = Front::start().await;
    let admin = database.client().await;
    for user in ["app", "transparent"] {
        let mut raw = Raw::connect(&front.url(user)).await;
        admin.execute("SELECT pg_terminate_backend($1)", &[&raw.process()]).await.unwrap();
        let last = raw.next().await.expect("last words");
        assert_eq!(last.tag(), b'E');
        assert!(last.body().windows(6).any(|part| part == b"C57P01"));
        assert!(raw.next().await.is_none());
    }
}

#[tokio::test]
async fn a_stream_out_of_step_is_left_to_postgres() {
    let (database, front) = Front::start().await;
    let mut ends = Vec::new();
    for url in [database.url.clone(), front.url("app"), front.url("transparent")] {
        let mut raw = Raw::connect(&url).await;
        // A message of a type that there is none of.
        raw.write.write_all(b"!\0\0\0\x04").await.unwrap();
        let mut all = raw.input.to_vec();
        within(raw.read.read_to_end(&mut all)).await.unwrap();
        ends.push(all);
        // A length that there is none of.
        let mut raw = Raw::connect(&url).await;
        raw.write.write_all(b"Q\0\0\0\x03").await.unwrap();
        let mut all = raw.input.to_vec();
        let _ = within(raw.read.read_to_end(&mut all)).await;
        ends.push(all);
    }
    assert_eq!(ends[..2], ends[2..4]);
    assert_eq!(ends[..2], ends[4..]);
}

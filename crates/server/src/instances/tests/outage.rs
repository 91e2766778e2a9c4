//! Postgres goes away in the midst of it.

use super::{
    oracle::check,
    sharing::{blocked, connect},
    support::{Setting, is_reached, reach, until},
};

const ROWS: &str = "
    INSERT INTO members SELECT i, 'm' FROM generate_series(1, 5) i;
    INSERT INTO projects SELECT i, i, 'bob' FROM generate_series(1, 5) i;
    INSERT INTO issues SELECT i, 1 + i % 5, NULL, 't' FROM generate_series(1, 50) i;
    INSERT INTO comments SELECT i, 1 + i % 50, 1 + i % 5, 'c' FROM generate_series(1, 100) i";

/// Cuts the connection that waits for a table which `other` has locked, then lets go of the table.
async fn cut(setting: &Setting, other: &tokio_postgres::Client) {
    until(|| async { blocked(setting).await.is_some() }).await;
    let process = blocked(setting).await.unwrap();
    setting.run(&format!("SELECT pg_terminate_backend({process})")).await;
    // What is written meanwhile is not in the next snapshot's past, or it is.
    setting.run_through("UPDATE issues SET project = 2 WHERE id % 7 = 0").await;
    other.batch_execute("COMMIT").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn is_filled_after_a_lost_connection() {
    let setting = Setting::create().await;
    let from = setting.run_through(ROWS).await;
    let other = connect(&setting).await;
    other.batch_execute("BEGIN; LOCK TABLE members IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let tracker = setting.track("bob", from);
    assert!(!is_reached(&*tracker, from).await);
    cut(&setting, &other).await;
    let end = setting.caught_up().await;
    reach(&*tracker, end).await;
    check(&setting, "bob", &*tracker, from, end);
    assert!(setting.instances.stats().fills >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn is_moved_on_after_a_lost_connection() {
    let setting = Setting::create().await;
    let from = setting.run_through(ROWS).await;
    let tracker = setting.track("alice", from);
    reach(&*tracker, from).await;
    let moved_in = setting.run_through("UPDATE projects SET electric_user_id = 'alice' WHERE id < 4").await;
    let other = connect(&setting).await;
    other.batch_execute("BEGIN; LOCK TABLE comments IN ACCESS EXCLUSIVE MODE").await.unwrap();
    assert!(!is_reached(&*tracker, moved_in).await);
    cut(&setting, &other).await;
    let end = setting.caught_up().await;
    reach(&*tracker, end).await;
    check(&setting, "alice", &*tracker, from, end);
    assert!(setting.instances.stats().lookups >= 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_read_on_when_nobody_watches_any_more() {
    let setting = Setting::create().await;
    let from = setting.run_through(ROWS).await;
    let other = connect(&setting).await;
    other.batch_execute("BEGIN; LOCK TABLE members IN ACCESS EXCLUSIVE MODE").await.unwrap();
    let tracker = setting.track("bob", from);
    assert!(!is_reached(&*tracker, from).await);
    until(|| async { blocked(&setting).await.is_some() }).await;
    drop(tracker);
    assert_eq!(setting.instances.stats().instances, 0);
    // Who comes next does not wait for what was begun.
    other.batch_execute("COMMIT").await.unwrap();
    let tracker = setting.track("bob", from);
    reach(&*tracker, from).await;
    check(&setting, "bob", &*tracker, from, from);
    assert!(setting.instances.stats().fills >= 2);
}

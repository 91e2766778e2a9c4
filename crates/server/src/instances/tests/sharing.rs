//! One instance for all who follow the same shape, and few reads for all that happens.

use std::{sync::Arc, time::Duration};

use change::Lsn;
use testkit::{Cluster, Options};

use super::{
    oracle::check,
    support::{Setting, WIDE, is_reached, key, reach, until},
};
use crate::instances::Settings;

/// `count` projects of bob's, each with an issue and a comment on it.
fn projects(count: u32) -> String {
    format!(
        "INSERT INTO members VALUES (1, 'm');
         INSERT INTO projects SELECT i, 1, 'bob' FROM generate_series(1, {count}) i;
         INSERT INTO issues SELECT i, i, NULL, 't' FROM generate_series(1, {count}) i;
         INSERT INTO comments SELECT i, i, 1, 'c' FROM generate_series(1, {count}) i"
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn is_filled_once_for_all() {
    let setting = Setting::create().await;
    setting.run_through(&projects(20)).await;
    let at = setting.stream.position();
    let trackers: Vec<_> = (0..50).map(|_| setting.track("bob", at)).collect();
    let waiting: Vec<_> = trackers.iter().map(|tracker| reach(&**tracker, at)).collect();
    for wait in waiting {
        wait.await;
    }
    assert!(trackers.iter().all(|tracker| tracker.members(at).len() == 61));
    assert!(trackers.windows(2).all(|pair| Arc::ptr_eq(&pair[0], &pair[1])));
    let stats = setting.instances.stats();
    assert_eq!((stats.instances, stats.fills, stats.lookups, stats.members), (1, 1, 0, 61));
    assert!(stats.bytes > 0);
    drop(trackers);
    assert_eq!(setting.instances.stats().kept, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn follows_without_reading_what_it_can_know() {
    let setting = Setting::create().await;
    setting.run_through(&projects(3)).await;
    let from = setting.stream.position();
    let tracker = setting.track("bob", from);
    reach(&*tracker, from).await;
    let end = setting
        .run_through(
            "INSERT INTO issues VALUES (9, 1, 1, 'new'); INSERT INTO comments VALUES (9, 9, 1, 'new');
             UPDATE issues SET project = 2 WHERE id = 9; DELETE FROM issues WHERE id = 1;
             UPDATE projects SET electric_user_id = 'alice' WHERE id = 3; INSERT INTO noise VALUES (1, 'x')",
        )
        .await;
    assert!(is_reached(&*tracker, end).await);
    check(&setting, "bob", &*tracker, from, end);
    assert_eq!(setting.instances.stats().lookups, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_transactions_is_looked_up_in_one_snapshot() {
    let setting = Setting::create().await;
    setting.run_through(&projects(40)).await;
    let from = setting.stream.position();
    let tracker = setting.track("alice", from);
    reach(&*tracker, from).await;
    for project in 1..=40 {
        let update = format!("UPDATE projects SET electric_user_id = 'alice' WHERE id = {project}");
        setting.run(&update).await;
        setting.run(&format!("UPDATE issues SET title = 'later' WHERE id = {}", 41 - project)).await;
    }
    let end = setting.caught_up().await;
    reach(&*tracker, end).await;
    check(&setting, "alice", &*tracker, from, end);
    let stats = setting.instances.stats();
    assert_eq!((stats.fills, stats.lookups), (1, 1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_position_that_the_stream_has_not_come_to_is_waited_for() {
    let setting = Setting::create().await;
    let from = setting.stream.position();
    let tracker = setting.track("bob", from);
    reach(&*tracker, from).await;
    // The log is that of all databases of the cluster.
    let beyond = Lsn(setting.stream.position().0 + (512 << 10));
    assert!(!is_reached(&*tracker, beyond).await);
    let noise = "INSERT INTO noise SELECT i, repeat('x', 1000) FROM generate_series(1, 1000) i;";
    let rows = format!("{noise} {}", projects(1));
    let (end, ()) = tokio::join!(setting.run_through(&rows), reach(&*tracker, beyond));
    reach(&*tracker, end).await;
    check(&setting, "bob", &*tracker, from, end);
}

#[tokio::test(flavor = "multi_thread")]
async fn is_kept_for_those_who_come_back() {
    let setting = Setting::create().await;
    setting.run_through(&projects(3)).await;
    let from = setting.stream.position();
    let tracker = setting.track("bob", from);
    reach(&*tracker, from).await;
    drop(tracker);
    let end = setting.run_through("DELETE FROM projects WHERE id = 2").await;
    let tracker = setting.track("bob", from);
    reach(&*tracker, end).await;
    check(&setting, "bob", &*tracker, from, end);
    assert_eq!(setting.instances.stats().fills, 1);
    assert_eq!(setting.instances.stats().kept, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn keeps_no_more_than_it_may_and_not_for_ever() {
    let settings = Settings { kept: 1, ..Settings::default() };
    let setting = Setting::with(WIDE, settings).await;
    let at = setting.stream.position();
    let tracker = setting.track("bob", at);
    reach(&*tracker, at).await;
    drop(tracker);
    assert_eq!(setting.instances.stats().instances, 0);

    let settings = Settings { keep_for: Duration::ZERO, ..Settings::default() };
    let setting = Setting::with(WIDE, settings).await;
    let at = setting.stream.position();
    let tracker = setting.track("bob", at);
    reach(&*tracker, at).await;
    drop(tracker);
    until(|| std::future::ready(setting.instances.stats().instances == 0)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_comes_from_before_the_base_gets_another_that_serves_all() {
    let setting = Setting::create().await;
    let early = setting.stream.position();
    let late = setting.run_through(&projects(2)).await;
    let tracker = setting.track("bob", late);
    reach(&*tracker, late).await;
    let older = setting.track("bob", early);
    assert!(!Arc::ptr_eq(&tracker, &older));
    reach(&*older, late).await;
    assert_eq!((older.members(early).len(), older.members(late).len()), (0, 7));
    assert!(older.moves(late).is_ok() && tracker.moves(Lsn(early.0 + 1)).is_err());
    let newest = setting.track("bob", late);
    assert!(Arc::ptr_eq(&older, &newest));
    drop(tracker);
    assert_eq!(setting.instances.stats().instances, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_is_known_while_rows_are_being_read() {
    let setting = Setting::create().await;
    setting.run_through(&projects(2)).await;
    let from = setting.run_through("UPDATE projects SET electric_user_id = 'alice' WHERE id = 1").await;
    let tracker = setting.track("alice", from);
    reach(&*tracker, from).await;
    let before = tracker.members(from);
    assert_eq!(before.len(), 4);

    // Comments can't be read for the moment: the project and its issue are in the graph by then.
    let other = connect(&setting).await;
    let end = setting.run_through("UPDATE projects SET electric_user_id = 'alice' WHERE id = 2").await;
    other.batch_execute("BEGIN; LOCK TABLE comments IN ACCESS EXCLUSIVE MODE").await.unwrap();
    assert!(!is_reached(&*tracker, end).await);
    until(|| async { blocked(&setting).await.is_some() }).await;
    let [projects, issues] = ["projects", "issues"].map(|table| setting.relation(table));
    for _ in 0..3 {
        assert_eq!(tracker.members(from), before);
        assert!(tracker.holds(projects, &key(1), from) && !tracker.holds(projects, &key(2), from));
        assert!(tracker.holds(issues, &key(1), from) && !tracker.holds(issues, &key(2), from));
        assert!(is_reached(&*tracker, from).await && !is_reached(&*tracker, end).await);
    }
    other.batch_execute("COMMIT").await.unwrap();
    reach(&*tracker, end).await;
    check(&setting, "alice", &*tracker, from, end);
    assert_eq!(tracker.members(from), before);
}

/// A commit is in the stream before queries see it; for as long as a standby is waited for, here. The snapshot that rows are read
/// from for the transactions before it is of no use for its own, and nobody asks for those yet.
#[tokio::test(flavor = "multi_thread")]
async fn what_queries_do_not_see_yet_holds_nobody_up_who_does_not_ask_for_it() {
    let cluster =
        tokio::task::spawn_blocking(|| Cluster::temporary(&Options::default()).unwrap()).await.unwrap();
    let setting = Setting::alone(&cluster).await;
    setting.run("SET synchronous_commit = local").await;
    let from = setting.run_through(&projects(4)).await;
    let tracker = setting.track("alice", from);
    reach(&*tracker, from).await;

    setting.run("UPDATE projects SET electric_user_id = 'alice' WHERE id = 2").await;
    let end = setting.run_through("INSERT INTO noise VALUES (1, '')").await;
    setting.run("ALTER SYSTEM SET synchronous_standby_names = 'nobody'").await;
    setting.run("SELECT pg_reload_conf()").await;
    let other = connect(&setting).await;
    let process: i32 = other.query_one("SELECT pg_backend_pid()", &[]).await.unwrap().get(0);
    let has_to_wait = "SELECT current_setting('synchronous_standby_names') = 'nobody'";
    until(|| async { other.query_one(has_to_wait, &[]).await.unwrap().get(0) }).await;
    let unseen = other.batch_execute("UPDATE projects SET electric_user_id = 'alice' WHERE id = 3");
    let asked = async {
        until(|| std::future::ready(setting.stream.newest_transaction() > end)).await;
        reach(&*tracker, end).await;
        check(&setting, "alice", &*tracker, from, end);
        setting.run(&format!("SELECT pg_cancel_backend({process})")).await;
    };
    // Whoever is cancelled has committed.
    let (committed, ()) = tokio::join!(unseen, asked);
    committed.unwrap();
    let end = setting.caught_up().await;
    reach(&*tracker, end).await;
    check(&setting, "alice", &*tracker, from, end);
}

/// Another session like an app's.
pub async fn connect(setting: &Setting) -> tokio_postgres::Client {
    postgres::connection::connect(&setting.config, postgres::connection::Purpose::Tool).await.unwrap()
}

/// The process that waits to read a table.
pub async fn blocked(setting: &Setting) -> Option<i32> {
    let waiting = "SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE '%COPY%'";
    setting.app.query(waiting, &[]).await.unwrap().first().map(|row| row.get(0))
}

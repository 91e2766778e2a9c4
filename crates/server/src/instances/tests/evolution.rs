//! The tables of a shape get columns, or go.

use std::sync::Arc;

use super::{
    oracle::check,
    support::{Setting, is_reached, key, reach, try_reach, until},
};

const ROWS: &str = "
    INSERT INTO members VALUES (1, 'm'), (2, 'n');
    INSERT INTO projects SELECT i, 1, 'bob' FROM generate_series(1, 3) i;
    INSERT INTO issues SELECT i, i, NULL, 't' FROM generate_series(1, 3) i;
    INSERT INTO comments SELECT i, i, 1, 'c' FROM generate_series(1, 3) i";

#[tokio::test(flavor = "multi_thread")]
async fn goes_on_over_columns_that_come_and_reads_them() {
    let setting = Setting::create().await;
    let from = setting.run_through(ROWS).await;
    let before = setting.track("bob", from);
    reach(&*before, from).await;
    setting.run("ALTER TABLE members ADD COLUMN age int4; ALTER TABLE issues ADD COLUMN more text").await;
    setting.run("UPDATE members SET age = 7 WHERE id = 2").await;
    let brought = setting.run_through("UPDATE projects SET lead = 2 WHERE id = 1").await;
    let after = setting.track("bob", from);
    assert!(!Arc::ptr_eq(&before, &after) && before.plan() != after.plan(), "by another definition");
    for tracker in [&before, &after] {
        reach(&**tracker, brought).await;
        check(&setting, "bob", &**tracker, from, brought);
    }
    let moves = after.moves(setting.stream.newest_transaction()).unwrap().unwrap();
    let [member] = &moves.brought[..] else { panic!("{moves:?}") };
    assert_eq!((&member.key, member.row.get(2)), (&key(2), Some(b"7".as_slice())));
    let stats = setting.instances.stats();
    assert_eq!((stats.instances, stats.fills, stats.lookups), (1, 1, 1), "nothing was filled anew");
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_when_what_it_has_to_read_is_not_synced_any_more() {
    let setting = Setting::create().await;
    let from = setting.run_through(ROWS).await;
    let (tracker, other) = (setting.track("alice", from), setting.track("bob", from));
    for tracker in [&tracker, &other] {
        reach(&**tracker, from).await;
    }
    setting.run("UPDATE projects SET electric_user_id = 'alice' WHERE id = 2").await;
    let end = setting.run_through("CALL electric.disable('comments')").await;
    let plan = tracker.plan().clone();
    // What has to be read is not there any more, with its tags; what is known is.
    assert!(try_reach(&*tracker, end).await.is_err());
    until(|| async { tracker.is_unreadable() }).await;
    assert!(setting.instances.track(&plan, from).is_unreadable(), "nobody tries again");
    assert!(is_reached(&*other, end).await && !other.is_unreadable());
    // Synced anew, it is another shape.
    setting.run_through("CALL electric.electrify('comments')").await;
    let again = setting.track("alice", setting.stream.position());
    assert!(*again.plan() != plan);
    reach(&*again, setting.stream.position()).await;
    assert_eq!(again.members(setting.stream.position()).len(), 4);
}

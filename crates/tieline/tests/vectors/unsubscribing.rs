//! Spec 06 §13.3: the end of a subscription.

use testkit::satellite::Received;

use super::{Rig, all, includes};

#[tokio::test]
async fn v50_an_ended_shape_takes_its_rows_along() {
    let rig = Rig::take().await;
    let mut c = includes::v20(&rig).await;
    c.on("INSERT INTO entries VALUES (@e2, 'x', @u1)", "TX[I e2]").await;
    c.unsub("A").await;
    c.sees("UNSUB A[G u1, G e1, G e2]").await;
    c.on("UPDATE users SET name = 'x'; UPDATE entries SET content = 'x'", "—").await;
    c.on("INSERT INTO entries VALUES (@e3, 'x', @u1)", "—").await;
}

#[tokio::test]
async fn v51_rows_of_another_shape_stay() {
    let rig = Rig::take().await;
    let mut c = includes::v20(&rig).await;
    c.gets("B", all("users"), "").await;
    c.unsub("A").await;
    c.sees("UNSUB A[G e1]").await;
    c.on("UPDATE users SET name = 'x'; UPDATE entries SET content = 'x'", "TX[U u1]; —").await;
}

#[tokio::test]
async fn v52_a_shape_that_ends_before_its_data_is_read_has_none() {
    for shape in [all("users"), all("users").with("author_id", all("entries"))] {
        let rig = Rig::take().await;
        rig.sql("INSERT INTO users VALUES (@u1, 'Jo'); INSERT INTO projects VALUES (@p1, '', '', NULL)")
            .await;
        let mut c = rig.viewer().await;
        c.gets("A", all("projects"), "p1").await;
        let lock = rig.lock("users").await;
        c.sub("B", shape).await;
        c.unsub("B").await;
        c.sees("UNSUB B[]").await;
        c.on("UPDATE projects SET name = 'x'", "TX[U p1]").await;
        drop(lock);
        c.on("UPDATE users SET name = 'x'; UPDATE projects SET name = 'y'", "TX[U p1]; —").await;
        c.has("p1");
    }
}

#[tokio::test]
async fn v53_announced_data_comes_though_its_shape_ends() {
    let rig = Rig::take().await;
    let mut c = includes::v35(&rig).await;
    let lock = rig.lock("comments").await;
    rig.sql("UPDATE entries SET author_id = @u2").await;
    c.unsub("A").await;
    drop(lock);
    // What was announced is answered once, and before the next transaction: the client checks that. The rest is gone.
    while !matches!(c.next().await, Received::Gone { .. }) {}
    c.settles("").await;
    c.on("UPDATE users SET name = 'x'; UPDATE comments SET content = 'x'", "—").await;
}

#[tokio::test]
async fn v54_an_unknown_id_is_answered_and_echoed() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo')").await;
    let mut c = rig.viewer().await;
    c.unsub("X").await;
    c.sees("UNSUB X[]").await;
    c.gets("A", all("users"), "u1").await;
    c.unsub("A+X").await;
    c.sees("UNSUB A+X[G u1]").await;
    c.unsub("A").await;
    c.sees("UNSUB A[]").await;
    // What the real client sends by mistake.
    c.satellite().unsubscribe(&["1234567:users"]).await.unwrap();
    c.sees("UNSUB 1234567:users[]; —").await;
}

#[tokio::test]
async fn v55_a_shape_replaced_by_another_loses_the_difference_only() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO users VALUES (@u1, ''), (@u2, '');
         INSERT INTO projects VALUES (@p1, '', 'a', @u2), (@p2, '', 'a', @u1), (@p3, '', 'b', @u1), (@p4, '', 'b', @u2)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("projects").filter("this.status = 'a'"), "p1, p2, u1, u2").await;
    c.gets("B", all("projects").filter("this.owner_id = @u1"), "p3").await;
    c.unsub("A").await;
    c.sees("UNSUB A[G p1, G u2]; —").await;
    c.has("p2, p3, u1");
}

#[tokio::test]
async fn several_subscriptions_end_in_one_batch() {
    let rig = Rig::take().await;
    let mut c = includes::v20(&rig).await;
    rig.sql("INSERT INTO projects VALUES (@p1, '', '', @u1)").await;
    c.gets("B", all("projects"), "p1").await;
    c.gets("C", all("entries"), "").await;
    c.unsub("A+B").await;
    c.sees("UNSUB A+B[G p1]; —").await;
    c.has("u1, e1");
    c.unsub("C").await;
    c.sees("UNSUB C[G u1, G e1]; —").await;
}

#[tokio::test]
async fn many_rows_go_in_several_frames() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO projects VALUES (@p1, '', 'open', NULL)").await;
    let many = "INSERT INTO issues SELECT ('00000000-0000-4069-8000-' || lpad(n::text, 12, '0'))::uuid, '', true, @p1, NULL \
                FROM generate_series(1, 345) n";
    let mut c = rig.viewer().await;
    c.sub("A", super::closure::open_issues()).await;
    c.sees("DATA A[I p1]").await;
    rig.sql(many).await;
    c.sees_something().await;
    assert_eq!(c.count(), 346);
    rig.sql("UPDATE projects SET status = 'x'").await;
    c.sees_something().await;
    assert_eq!(c.count(), 0);
    rig.sql("UPDATE projects SET status = 'open'").await;
    c.sees("TX[I p1] +R").await;
    c.sees_something().await;
    assert_eq!(c.count(), 346);
    c.unsub("A").await;
    c.sees_something().await;
    assert_eq!(c.count(), 0);
    c.sees("—").await;
}

#[tokio::test]
async fn an_id_may_be_used_again_after_its_gone_batch() {
    let rig = Rig::take().await;
    let mut c = includes::v20(&rig).await;
    c.unsub("A").await;
    c.sees("UNSUB A[G u1, G e1]").await;
    c.gets("A", all("entries"), "e1, u1").await;
    c.on("UPDATE entries SET content = 'x'", "TX[U e1]; —").await;
}

//! Spec 06 §13.7 and §11: clients that come back.

use bytes::Bytes;
use protocol::wire::{SatOpLogAck, sat_in_start_replication_resp::replication_error::Code};
use testkit::{
    Satellite,
    satellite::{Received, Resume, Started, unsigned_token},
};

use super::{Rig, Viewer, all, closure::open_issues, includes, notation::subscription_id};

/// All users, of whom there is u1; and a transaction that came live.
async fn users(rig: &Rig) -> Viewer<'_> {
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users"), "u1").await;
    c.on("UPDATE users SET name = 'Joe'", "TX[U u1]").await;
    c
}

/// The start was refused for this reason.
#[track_caller]
fn refused(started: &Started, code: Code, message: &str) {
    let error = started.err.as_ref().expect("a refusal");
    assert_eq!((error.code, error.message.as_str()), (code as i32, message));
}

#[tokio::test]
async fn r01_what_happened_meanwhile_comes_at_once() {
    let rig = Rig::take().await;
    let mut c = users(&rig).await;
    c.leaves().await;
    rig.sql("INSERT INTO users VALUES (@u9, 'x')").await;
    c.reconnects("A").await;
    c.sees("TX[I u9]; —").await;
}

#[tokio::test]
async fn r02_a_child_of_an_old_parent_comes() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO projects VALUES (@p1, '', 'open', NULL), (@p2, '', 'x', NULL); INSERT INTO issues VALUES (@i1, '', true, @p1, NULL)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", open_issues(), "p1, i1").await;
    c.leaves().await;
    rig.sql("INSERT INTO issues VALUES (@i2, '', true, @p1, NULL), (@i3, '', true, @p2, NULL)").await;
    c.reconnects("A").await;
    c.sees("TX[I i2]; —").await;
}

#[tokio::test]
async fn moves_that_happened_meanwhile_come_one_by_one() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO users VALUES (@u1, ''); INSERT INTO projects VALUES (@p1, '', 'open', NULL), (@p2, '', 'x', @u1);
         INSERT INTO issues VALUES (@i1, '', true, @p1, NULL), (@i2, '', true, @p2, NULL), (@i3, '', true, @p1, NULL)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", open_issues(), "p1, i1, i3").await;
    c.leaves().await;
    rig.sql("UPDATE issues SET open = false WHERE id = @i3").await;
    rig.sql("UPDATE projects SET status = 'open' WHERE id = @p2").await;
    rig.sql("UPDATE projects SET status = 'x' WHERE id = @p1").await;
    c.reconnects("A").await;
    c.sees("TX[G i3]; TX[I p2, I u1] +R; ADD[I i2]; TX[G p1, G i1]; —").await;
    c.has("p2, i2, u1");
}

#[tokio::test]
async fn r03_additional_data_that_was_not_reported_comes_again() {
    let rig = Rig::take().await;
    let mut c = includes::v35(&rig).await;
    c.on("UPDATE entries SET author_id = @u2", "TX[I e1] +R; ADD[I c1, I u1]").await;
    let reference = c.last.as_ref().unwrap().transaction_id.unwrap();
    for _ in 0..3 {
        c.reconnects("A").await;
        let Received::Additional { reference: again, .. } = c.next().await else {
            panic!("no additional data")
        };
        assert_eq!(again, reference);
    }
    c.sees("—").await;
    // Once the client is beyond the transaction, it has what came right after it.
    c.reconnects("A").await;
    c.sees("—").await;
    c.on("UPDATE comments SET content = 'z'", "TX[U c1]; —").await;
}

#[tokio::test]
async fn r04_additional_data_that_was_reported_does_not_come_again() {
    let rig = Rig::take().await;
    let mut c = includes::v35(&rig).await;
    c.on("UPDATE entries SET author_id = @u2", "TX[I e1] +R; ADD[I c1, I u1]").await;
    let reference = c.last.as_ref().unwrap().transaction_id.unwrap();
    let there = c.resume("A");
    c.reconnects_with(&Resume { observed_additional: vec![reference], ..there.clone() }).await;
    c.sees("—").await;
    c.reconnects_with(&there).await;
    c.sees_echo_again().await;
    c.sees("—").await;
    c.on("UPDATE comments SET content = 'z'", "TX[U c1]; —").await;
}

#[tokio::test]
async fn r05_what_came_after_the_data_comes_again() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users"), "u1").await;
    let there = c.resume("A");
    c.on("UPDATE users SET name = 'Joe'", "TX[U u1]").await;
    for _ in 0..2 {
        c.reconnects_with(&there).await;
        c.sees("TX[U u1{name=Joe}]").await;
    }
    c.sees("—").await;
}

#[tokio::test]
async fn r06_an_unknown_subscription_is_refused() {
    let rig = Rig::take().await;
    let mut c = users(&rig).await;
    let id = subscription_id("X");
    let resume = c.resume("A+X");
    refused(&c.tries_with(&resume).await, Code::SubscriptionNotFound, &format!("Unknown subscription: {id}"));
}

#[tokio::test]
async fn r07_a_position_before_the_acknowledged_one_is_exact_or_refused() {
    let rig = Rig::take().await;
    let mut c = users(&rig).await;
    let before = c.resume("A");
    c.on("UPDATE users SET name = 'again'", "TX[U u1]").await;
    let last = c.last.clone().unwrap();
    c.satellite().ack(&last).await.unwrap();
    c.sees("—").await;
    match c.tries_with(&before).await.err {
        None => {
            c.sees("TX[U u1{name=again}]").await;
            c.sees_echo_again().await;
            c.sees("—").await;
        }
        Some(error) => assert_eq!(error.code, Code::InvalidPosition as i32),
    }
}

#[tokio::test]
async fn r08_a_position_before_the_history_is_refused_and_a_new_start_is_not() {
    let rig = Rig::take().await;
    let mut c = users(&rig).await;
    for lsn in ["1", "9223372036854775807"] {
        let resume = Resume { lsn: Some(Bytes::from_static(lsn.as_bytes())), ..c.resume("A") };
        let started = c.tries_with(&resume).await;
        refused(&started, Code::BehindWindow, "Cannot catch up to the server's current state");
    }
    c.forgets().await;
    c.reconnects("").await;
    c.gets("B", all("users"), "u1").await;
    c.sees("—").await;
}

#[tokio::test]
async fn r09_subscriptions_without_a_position_are_refused() {
    let rig = Rig::take().await;
    let mut c = users(&rig).await;
    let resume = Resume { lsn: None, ..c.resume("A") };
    let message = "Cannot resume subscriptions for a first-time client";
    refused(&c.tries_with(&resume).await, Code::InvalidPosition, message);
    let resume = Resume { lsn: Some("nonsense".into()), ..c.resume("") };
    let message = "Could not validate start replication request";
    refused(&c.tries_with(&resume).await, Code::MalformedLsn, message);
}

/// A shape that has just ended, with its gone batch, and the position of that.
async fn ended(rig: &Rig) -> Viewer<'_> {
    let mut c = includes::v20(rig).await;
    c.on("UPDATE users SET name = 'x'", "TX[U u1]").await;
    c.unsub("A").await;
    c.sees("UNSUB A[G u1, G e1]").await;
    c
}

#[tokio::test]
async fn r10_an_ended_subscription_that_is_continued_at_its_end_never_ended() {
    let rig = Rig::take().await;
    let mut c = ended(&rig).await;
    c.reconnects("A").await;
    c.sees("—").await;
    c.on("INSERT INTO entries VALUES (@e2, 'x', @u1)", "TX[I e2]; —").await;
    c.unsub("A").await;
    c.sees("UNSUB A[G u1, G e1, G e2]; —").await;
}

#[tokio::test]
async fn r11_an_end_that_may_not_have_been_seen_comes_again() {
    let rig = Rig::take().await;
    let mut c = ended(&rig).await;
    for _ in 0..2 {
        c.reconnects("").await;
        c.sees("UNSUB A[G u1, G e1]").await;
    }
    c.on("UPDATE users SET name = 'y'", "—").await;
}

#[tokio::test]
async fn r12_an_end_that_was_reported_does_not_come_again() {
    let rig = Rig::take().await;
    let mut c = ended(&rig).await;
    let resume = c.resume("");
    c.reconnects_with(&Resume { observed_gone: vec![subscription_id("A")], ..resume }).await;
    c.sees("—").await;
    c.gets("B", includes::user_with_entries(), "u1, e1").await;
}

#[tokio::test]
async fn r13_an_ended_subscription_is_unknown_after_its_end() {
    let rig = Rig::take().await;
    let mut c = ended(&rig).await;
    c.sees("—").await;
    let resume = c.resume("A");
    let message = format!("Unknown subscription: {}", subscription_id("A"));
    refused(&c.tries_with(&resume).await, Code::SubscriptionNotFound, &message);
}

#[tokio::test]
async fn r14_an_end_before_the_position_was_seen() {
    let rig = Rig::take().await;
    let mut c = ended(&rig).await;
    c.sees("—").await;
    c.reconnects("").await;
    c.sees("—").await;
}

#[tokio::test]
async fn r15_an_ended_subscription_is_unknown_once_its_end_is_acknowledged() {
    let rig = Rig::take().await;
    let mut c = ended(&rig).await;
    let ack = SatOpLogAck {
        lsn: c.position().unwrap(),
        transaction_id: c.last.as_ref().unwrap().transaction_id.unwrap(),
        gone_subscription_ids: vec![subscription_id("A")],
        ..Default::default()
    };
    let at_the_end = c.resume("A");
    c.satellite().acknowledge(ack).await.unwrap();
    // On the same connection: what an acknowledgement says is stored by and by, and this waits for it.
    let started = c.satellite().start_from(&at_the_end).await.unwrap();
    let message = format!("Unknown subscription: {}", subscription_id("A"));
    refused(&started, Code::SubscriptionNotFound, &message);
}

#[tokio::test]
async fn r16_data_that_was_never_delivered_is_forgotten() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo'); INSERT INTO projects VALUES (@p1, '', '', NULL)").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("projects"), "p1").await;
    let lock = rig.lock("users").await;
    c.sub("B", all("users")).await;
    c.leaves().await;
    drop(lock);
    c.reconnects("A").await;
    c.sub("C", all("users")).await;
    // The service can't know that the client has nothing of B and may take it away first; that must not touch what C brings.
    while !matches!(c.next().await, Received::Data { .. }) {}
    c.settles("u1, p1").await;
    c.on("UPDATE users SET name = 'x'; UPDATE projects SET name = 'x'", "TX[U u1, U p1]; —").await;
}

#[tokio::test]
async fn r17_a_restart_changes_nothing() {
    let rig = Rig::take().await;
    let mut c = users(&rig).await;
    rig.sql("INSERT INTO projects VALUES (@p1, '', 'open', @u1); INSERT INTO issues VALUES (@i1, '', true, @p1, NULL)").await;
    c.gets("B", open_issues(), "p1, i1").await;
    c.leaves().await;
    rig.kill();
    rig.sql("INSERT INTO users VALUES (@u9, 'x'); UPDATE issues SET open = false").await;
    rig.start_again().await;
    rig.sql("UPDATE issues SET open = true; UPDATE projects SET status = 'x'").await;
    rig.sql("UPDATE projects SET status = 'open'").await;
    c.reconnects("A+B").await;
    c.sees("TX[I u9, G i1]; TX[G p1]; TX[I p1] +R; ADD[I i1]; —").await;
}

#[tokio::test]
async fn r18_the_newer_connection_of_a_client_wins_and_another_user_is_refused() {
    let rig = Rig::take().await;
    let mut c = users(&rig).await;
    let name = c.client().to_owned();
    let refused = Satellite::sign_in(rig.port, &name, &unsigned_token("2")).await;
    assert!(refused.is_err(), "another user was let in under the client's id");
    c.on("UPDATE users SET name = 'y'", "TX[U u1]").await;
    let newer = Satellite::sign_in(rig.port, &name, &unsigned_token("1")).await.unwrap();
    let (errors, _) = c.satellite().closed().await.unwrap();
    assert_eq!(errors, []);
    newer.close().await;
    c.reconnects("A").await;
    c.on("UPDATE users SET name = 'z'", "TX[U u1]; —").await;
}

#[tokio::test]
async fn a_subscription_that_is_not_continued_has_ended() {
    let rig = Rig::take().await;
    let mut c = includes::v20(&rig).await;
    c.gets("B", all("entries").filter("this.content = 'x'"), "").await;
    c.leaves().await;
    rig.sql("INSERT INTO entries VALUES (@e2, 'y', @u1)").await;
    c.reconnects("B").await;
    // Everything of it that the client may have, but for what the other shape has.
    c.settles_after(1, "u1, e1").await;
    c.on("UPDATE entries SET content = 'x' WHERE id = @e2", "TX[I e2]; —").await;
}

#[tokio::test]
async fn a_row_that_left_before_a_restart_leaves_after_it() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO notes VALUES (@n1, 'x', '1'), (@n2, 'x', '1'), (@n3, 'y', '1')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("notes").filter("this.body = 'x'"), "n1, n2").await;
    c.leaves().await;
    rig.sql("UPDATE notes SET body = 'y' WHERE id = @n1").await;
    rig.sql("UPDATE notes SET electric_user_id = '2' WHERE id = @n2").await;
    rig.sql("UPDATE notes SET body = 'x' WHERE id = @n3").await;
    rig.kill();
    rig.start_again().await;
    c.reconnects("A").await;
    c.sees("TX[G n1]; TX[G n2]; TX[I n3]; —").await;
}

//! Blocks and transactions never interleave, and keep their order (spec 06 §10, the end of §13.7). The scripted client checks the
//! nesting of whatever comes.

use testkit::satellite::Received;

use super::{Rig, all, closure::open_issues};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn blocks_stand_between_large_transactions() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO projects VALUES (@p1, '', 'open', NULL); INSERT INTO nums (id, a) VALUES (@x1, 0)")
        .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users"), "").await;
    let writer = rig.connection().await;
    let writing = tokio::spawn(async move {
        for round in 0..24 {
            let sql = format!(
                "INSERT INTO users SELECT ('00000000-0000-4075-8000-' || lpad(n::text, 12, '0'))::uuid, ''
                 FROM generate_series({}, {}) n; UPDATE nums SET a = {round}",
                round * 250 + 1,
                round * 250 + 250
            );
            writer.batch_execute(&sql).await.unwrap();
        }
    });
    for round in 0..12 {
        let name = char::from(b'a' + round).to_string();
        c.sub(&name, if round % 2 == 0 { all("nums") } else { open_issues() }).await;
        c.unsub(&name).await;
    }
    writing.await.unwrap();
    c.sub("B", all("nums")).await;
    let mut batches = 0;
    while batches < 12 || c.count() < 6001 {
        batches += u32::from(matches!(c.next().await, Received::Gone { .. }));
    }
    assert_eq!(c.count(), 6001);
    c.on("UPDATE nums SET a = -1", "TX[U x1]; —").await;
}

#[tokio::test]
async fn blocks_at_one_point_keep_the_order_of_their_requests() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, ''); INSERT INTO projects VALUES (@p1, '', 'open', NULL)").await;
    let mut c = rig.viewer().await;
    for _ in 0..5 {
        c.sub("A", all("users")).await;
        c.sub("B", open_issues()).await;
        c.sub("C", all("projects")).await;
        c.sees("DATA A[I u1]; DATA B[I p1]; DATA C[]").await;
        c.unsub("B").await;
        c.unsub("C").await;
        c.unsub("A").await;
        c.sees("UNSUB B[]; UNSUB C[G p1]; UNSUB A[G u1]").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_subscription_amid_changes_ends_as_postgres_says() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO projects SELECT ('00000000-0000-4070-8000-' || lpad(n::text, 12, '0'))::uuid, '', 'x', NULL FROM generate_series(1, 8) n;
         INSERT INTO issues SELECT ('00000000-0000-4069-8000-' || lpad(n::text, 12, '0'))::uuid, '', n % 3 > 0,
         ('00000000-0000-4070-8000-' || lpad((n % 8 + 1)::text, 12, '0'))::uuid, NULL FROM generate_series(1, 40) n",
    )
    .await;
    let mut writers = Vec::new();
    for seed in 0..2 {
        let writer = rig.connection().await;
        writers.push(tokio::spawn(async move {
            for n in (seed..120).step_by(2) {
                let (p, i, q) = (n * 7 % 8 + 1, n * 11 % 40 + 1, n * 5 % 8 + 1);
                let sql = match n % 4 {
                    0 => format!("UPDATE projects SET status = 'open' WHERE id = @p{p}"),
                    1 => format!("UPDATE issues SET project_id = @p{q}, open = NOT open WHERE id = @i{i}"),
                    2 => format!("UPDATE projects SET status = CASE status WHEN 'open' THEN 'x' ELSE 'open' END WHERE id = @p{p}"),
                    _ => format!("UPDATE issues SET open = true WHERE project_id = @p{q}"),
                };
                // Two writers may wait for each other's rows in a circle; Postgres ends one of them, and that is as good.
                let _ = writer.batch_execute(&super::notation::with_ids(&sql)).await;
            }
        }));
    }
    let (mut early, mut late) = (rig.viewer().await, rig.viewer().await);
    early.sub("A", open_issues()).await;
    // Each of these is waited for, so that it has data and does not just end.
    for round in 0..10 {
        let name = char::from(b'a' + round).to_string();
        late.sub(&name, open_issues()).await;
        while !matches!(late.next().await, Received::Data { .. }) {}
        late.unsub(&name).await;
        while !matches!(late.next().await, Received::Gone { .. }) {}
    }
    late.sub("B", open_issues()).await;
    for writer in writers {
        writer.await.unwrap();
    }
    let query = "SELECT 'p' || right(id::text, 2)::int FROM projects WHERE status = 'open' UNION ALL
                 SELECT 'i' || right(i.id::text, 2)::int FROM issues i JOIN projects p ON p.id = i.project_id WHERE i.open AND p.status = 'open'";
    let rows = rig.postgres.query(query, &[]).await.unwrap();
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    early.settles_after(1, &names.join(", ")).await;
    late.settles_after(1, &names.join(", ")).await;
}

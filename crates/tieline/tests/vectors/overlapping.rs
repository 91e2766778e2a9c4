//! Several shapes of one client: a row is there while one of them gives a reason (spec 06 §2.9, §5.7, §8).

use super::{Rig, Viewer, all, closure::open_issues};

/// Open projects with open issues, and, by itself, the issues called important.
async fn both(rig: &Rig) -> Viewer<'_> {
    rig.sql(
        "INSERT INTO projects VALUES (@p1, '', 'open', NULL), (@p2, '', 'x', NULL);
         INSERT INTO issues VALUES (@i1, 'important', true, @p1, NULL), (@i2, '', true, @p1, NULL),
         (@i3, 'important', true, NULL, NULL), (@i4, 'important', false, @p1, NULL)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", open_issues(), "p1, i1, i2").await;
    c.gets("B", all("issues").filter("this.title = 'important'"), "i3, i4").await;
    c
}

#[tokio::test]
async fn closing_a_parent_leaves_children_that_another_shape_has() {
    let rig = Rig::take().await;
    let mut c = both(&rig).await;
    // i1 and i4 refer to p1 and are in the second shape, so p1 stays as what they refer to.
    c.on("UPDATE projects SET status = 'x' WHERE id = @p1", "TX[U p1, G i2]; —").await;
    c.has("p1, i1, i3, i4");
    c.on("UPDATE issues SET title = '' WHERE id = @i1", "TX[G i1]; —").await;
    c.on("UPDATE issues SET title = '' WHERE id = @i4", "TX[G i4, G p1]; —").await;
    c.on("UPDATE projects SET status = 'open' WHERE id = @p1", "TX[I p1] +R; ADD[I i1, I i2]; —").await;
}

#[tokio::test]
async fn ending_either_shape_leaves_what_the_other_has() {
    let rig = Rig::take().await;
    let mut c = both(&rig).await;
    c.unsub("B").await;
    c.sees("UNSUB B[G i3, G i4]; —").await;
    c.gets("C", all("issues").filter("this.title = 'important'"), "i3, i4").await;
    c.unsub("A").await;
    c.sees("UNSUB A[G i2]; —").await;
    c.on(
        "UPDATE issues SET open = NOT open; UPDATE projects SET name = 'x'",
        "TX[U i1, U i3, U i4, U p1]; —",
    )
    .await;
    c.unsub("C").await;
    c.sees("UNSUB C[G i1, G i3, G i4, G p1]; —").await;
}

#[tokio::test]
async fn a_child_that_goes_from_shape_to_shape_is_updated() {
    let rig = Rig::take().await;
    let mut c = both(&rig).await;
    c.on("UPDATE issues SET title = 'important', open = false WHERE id = @i2", "TX[U i2]; —").await;
    c.on("UPDATE issues SET title = '', open = true WHERE id = @i4", "TX[U i4]; —").await;
    c.on("UPDATE issues SET title = '', open = false", "TX[G i1, G i2, G i3, G i4]; —").await;
    c.has("p1");
}

#[tokio::test]
async fn additional_data_leaves_out_what_another_shape_has() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO projects VALUES (@p1, '', 'x', NULL);
         INSERT INTO issues VALUES (@i1, 'important', true, @p1, NULL), (@i2, '', true, @p1, NULL)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", open_issues(), "").await;
    c.gets("B", all("issues").filter("this.title = 'important'"), "i1, p1").await;
    c.on("UPDATE projects SET status = 'open'", "TX[U p1] +R; ADD[I i2]; —").await;
}

#[tokio::test]
async fn a_plain_shape_of_the_child_table_outlives_the_joined_one() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO orders VALUES (1, 1), (1, 2); INSERT INTO lines VALUES (@l1, 1, 1), (@l2, 1, 2), (@l3, NULL, NULL)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("orders").filter("this.no = '1'").with("tenant,no", all("lines")), "o1.1, l1").await;
    c.gets("B", all("lines"), "l2, l3, o1.2").await;
    c.unsub("A").await;
    // The second shape refers to all orders that have lines.
    c.sees("UNSUB A[]; —").await;
    c.on("DELETE FROM lines WHERE id = @l1", "TX[D l1, G o1.1]; —").await;
}

#[tokio::test]
async fn two_simple_shapes_of_one_table_share_rows() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO nums (id, a) SELECT ('00000000-0000-4078-8000-' || lpad(n::text, 12, '0'))::uuid, n FROM generate_series(1, 9) n").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("nums").filter("this.a <= 5"), "x1, x2, x3, x4, x5").await;
    c.gets("B", all("nums").filter("this.a >= 4"), "x6, x7, x8, x9").await;
    c.on("UPDATE nums SET a = 9 WHERE id = @x1", "TX[U x1]; —").await;
    c.unsub("A").await;
    c.sees("UNSUB A[G x2, G x3]; —").await;
    c.on("UPDATE nums SET a = a - 1", "TX[U x1, U x5, U x6, U x7, U x8, U x9, G x4]; —").await;
}

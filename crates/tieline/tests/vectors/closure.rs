//! Spec 06 §13.2, V37 to V46, and §2.7: children and their parents, and what rows refer to.

use testkit::satellite::Select;

use super::{Rig, Viewer, all};

/// Open projects with their open issues.
pub fn open_issues() -> Select {
    let issues = all("issues").filter("this.open = true");
    all("projects").filter("this.status = 'open'").with("project_id", issues)
}

/// V37: p1 with i1 is open, p2 with i2 is not.
async fn v37(rig: &Rig) -> Viewer<'_> {
    rig.sql(
        "INSERT INTO projects VALUES (@p1, '', 'open', NULL), (@p2, '', 'x', NULL);
         INSERT INTO issues VALUES (@i1, '', true, @p1, NULL), (@i2, '', true, @p2, NULL)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", open_issues(), "p1, i1").await;
    c
}

/// Runs two statements as one transaction, in either order, each time on fresh rows.
async fn either_order(first: &str, second: &str, events: &str) {
    for sql in [format!("{first}; {second}"), format!("{second}; {first}")] {
        let rig = Rig::take().await;
        let mut c = v37(&rig).await;
        c.on(&sql, events).await;
    }
}

#[tokio::test]
async fn v37_a_child_has_to_pass_its_own_where_clause() {
    let rig = Rig::take().await;
    let mut c = v37(&rig).await;
    c.on("UPDATE issues SET open = false WHERE id = @i1", "TX[G i1]").await;
    c.on("UPDATE issues SET open = true WHERE id = @i1", "TX[I i1]; —").await;
}

#[tokio::test]
async fn v38_a_child_of_an_invisible_parent_may_do_what_it_wants() {
    let rig = Rig::take().await;
    let mut c = v37(&rig).await;
    c.on("UPDATE issues SET open = false WHERE id = @i2", "—").await;
    c.on("UPDATE issues SET open = true WHERE id = @i2", "—").await;
}

#[tokio::test]
async fn v39_a_child_that_moved_to_another_visible_parent_outlives_the_first() {
    let rig = Rig::take().await;
    let mut c = v37(&rig).await;
    c.on("INSERT INTO projects VALUES (@p3, '', 'open', NULL)", "TX[I p3]").await;
    c.on("UPDATE issues SET project_id = @p3 WHERE id = @i1", "TX[U i1]").await;
    c.on("UPDATE projects SET status = 'x' WHERE id = @p1", "TX[G p1]; —").await;
    c.has("p3, i1");
}

#[tokio::test]
async fn v40_a_child_moves_while_its_parent_leaves() {
    for swap in [false, true] {
        let rig = Rig::take().await;
        let mut c = v37(&rig).await;
        c.on("INSERT INTO projects VALUES (@p3, '', 'open', NULL)", "TX[I p3]").await;
        let mut statements = [
            "UPDATE issues SET project_id = @p3 WHERE id = @i1",
            "UPDATE projects SET status = 'x' WHERE id = @p1",
        ];
        if swap {
            statements.reverse();
        }
        c.on(&statements.join("; "), "TX[U i1, G p1]; —").await;
    }
}

#[tokio::test]
async fn v41_a_child_moves_to_a_parent_that_is_inserted_later_in_the_transaction() {
    let insert = "INSERT INTO projects VALUES (@p9, '', 'open', NULL)";
    either_order("UPDATE issues SET project_id = @p9 WHERE id = @i2", insert, "TX[I i2, I p9]; —").await;
}

#[tokio::test]
async fn v42_a_child_goes_with_its_parent_though_it_changed() {
    either_order(
        "UPDATE projects SET status = 'x' WHERE id = @p1",
        "UPDATE issues SET title = 'y' WHERE id = @i1",
        "TX[G p1, G i1]; —",
    )
    .await;
}

#[tokio::test]
async fn v43_a_child_inserted_under_a_parent_that_leaves_is_not_sent() {
    either_order(
        "UPDATE projects SET status = 'x' WHERE id = @p1",
        "INSERT INTO issues VALUES (@i7, '', false, @p1, NULL)",
        "TX[G p1, G i1]; —",
    )
    .await;
    for swap in [false, true] {
        let rig = Rig::take().await;
        rig.sql("INSERT INTO projects VALUES (@p1, '', 'open', NULL)").await;
        let mut c = rig.viewer().await;
        c.gets("A", open_issues(), "p1").await;
        let mut statements = [
            "UPDATE projects SET status = 'x' WHERE id = @p1",
            "INSERT INTO issues VALUES (@i7, '', true, @p1, NULL)",
        ];
        if swap {
            statements.reverse();
        }
        c.on(&statements.join("; "), "TX[G p1]; —").await;
    }
}

#[tokio::test]
async fn v44_parent_and_child_deleted_together_are_deleted() {
    either_order(
        "DELETE FROM issues WHERE id = @i1",
        "DELETE FROM projects WHERE id = @p1",
        "TX[D i1, D p1]; —",
    )
    .await;
}

/// All issues: i1 of p1, assigned to u1.
async fn issues<'a>(rig: &'a Rig, owner: &str, rows: &str) -> Viewer<'a> {
    rig.sql(&format!(
        "INSERT INTO users VALUES (@u1, ''), (@u2, ''); INSERT INTO projects VALUES (@p1, '', '', {owner});
         INSERT INTO issues VALUES (@i1, '', true, @p1, @u1)"
    ))
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("issues"), rows).await;
    c
}

#[tokio::test]
async fn v45_a_changed_reference_brings_the_new_target_and_takes_the_old() {
    let rig = Rig::take().await;
    let mut c = issues(&rig, "NULL", "i1, p1, u1").await;
    c.on("UPDATE issues SET assignee_id = @u2", "TX[U i1, I u2, G u1]; —").await;
    c.on("UPDATE users SET name = 'x'", "TX[U u2]; —").await;
}

#[tokio::test]
async fn v46_a_target_stays_while_another_path_leads_to_it() {
    let rig = Rig::take().await;
    let mut c = issues(&rig, "@u1", "i1, p1, u1").await;
    c.on("UPDATE issues SET assignee_id = NULL", "TX[U i1]; —").await;
    c.on("UPDATE projects SET owner_id = @u2", "TX[U p1, I u2, G u1]; —").await;
    c.on("UPDATE issues SET project_id = NULL", "TX[U i1, G p1, G u2]; —").await;
}

#[tokio::test]
async fn two_references_to_one_row_are_two_reasons() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, ''), (@u2, ''); INSERT INTO reviews VALUES (@v1, '', @u1, @u1)")
        .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("reviews"), "v1, u1").await;
    c.on("UPDATE reviews SET reviewer_id = @u2", "TX[U v1, I u2]; —").await;
    c.on("UPDATE reviews SET author_id = NULL", "TX[U v1, G u1]; —").await;
    c.on("UPDATE reviews SET author_id = @u2, reviewer_id = @u1", "TX[U v1, I u1]; —").await;
}

#[tokio::test]
async fn a_chain_in_one_transaction_comes_whole_in_any_order() {
    let rig = Rig::take().await;
    let mut c = rig.viewer().await;
    c.gets("A", all("comments"), "").await;
    c.on(
        "INSERT INTO comments VALUES (@c1, '', @e1, @u2); INSERT INTO entries VALUES (@e1, '', @u1);
         INSERT INTO users VALUES (@u1, ''), (@u2, ''), (@u3, '')",
        "TX[I c1, I e1, I u1, I u2]; —",
    )
    .await;
    c.on("DELETE FROM users; DELETE FROM entries; DELETE FROM comments", "TX[D c1, D e1, D u1, D u2]; —")
        .await;
}

#[tokio::test]
async fn a_self_reference_is_followed_up_the_chain() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO nodes VALUES (@t1, 'root', NULL), (@t2, 'stem', @t1), (@t3, 'branch', @t2), (@t4, 'leaf', @t3),
         (@t5, 'other', @t1)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("nodes").filter("this.name = 'leaf'"), "t4, t3, t2, t1").await;
    c.on("UPDATE nodes SET name = 'x' WHERE id IN (@t1, @t5)", "TX[U t1]").await;
    c.on("UPDATE nodes SET parent_id = @t5 WHERE id = @t4", "TX[U t4, I t5, G t3, G t2]; —").await;
    c.on("UPDATE nodes SET parent_id = NULL WHERE id = @t4", "TX[U t4, G t5, G t1]; —").await;
    c.on("INSERT INTO nodes VALUES (@t6, 'leaf', @t3)", "TX[I t6, I t3, I t2, I t1]; —").await;
    c.on("UPDATE nodes SET name = 'wood' WHERE id = @t6", "TX[G t6, G t3, G t2, G t1]; —").await;
}

#[tokio::test]
async fn a_cycle_of_references_does_not_keep_itself_alive() {
    let rig = Rig::take().await;
    // t1 → t2 → t3 → t1, and the leaf t4 → t1; t5 refers to itself.
    rig.sql(
        "INSERT INTO nodes VALUES (@t1, '', @t2), (@t2, '', @t3), (@t3, '', @t1), (@t4, 'leaf', @t1), (@t5, 'self', @t5)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("nodes").filter("this.name IN ('leaf', 'self')"), "t1, t2, t3, t4, t5").await;
    c.on("UPDATE nodes SET parent_id = NULL WHERE id = @t4", "TX[U t4, G t1, G t2, G t3]; —").await;
    c.on("UPDATE nodes SET parent_id = @t3 WHERE id = @t4", "TX[U t4, I t1, I t2, I t3]; —").await;
    c.on("UPDATE nodes SET name = '' WHERE id = @t5", "TX[G t5]; —").await;
    c.on("UPDATE nodes SET parent_id = @t5 WHERE id = @t4", "TX[U t4, I t5, G t1, G t2, G t3]; —").await;
}

#[tokio::test]
async fn an_include_over_a_self_reference_brings_children() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO nodes VALUES (@t1, 'top', NULL), (@t2, 'middle', @t1), (@t3, 'child', @t2), (@t4, 'child', @t2),
         (@t5, 'grandchild', @t3)",
    )
    .await;
    let mut c = rig.viewer().await;
    let shape = all("nodes").filter("this.name = 'middle'").with("parent_id", all("nodes"));
    c.gets("A", shape, "t2, t1, t3, t4").await;
    c.on("UPDATE nodes SET parent_id = @t2 WHERE id = @t5", "TX[I t5]; —").await;
    c.on("UPDATE nodes SET name = 'middle' WHERE id = @t3", "TX[U t3] ?R; —").await;
    c.on("UPDATE nodes SET name = 'x' WHERE id = @t2", "TX[G t4, G t5, U t2]").await;
    c.has("t3, t2, t1");
}

#[tokio::test]
async fn tables_that_refer_to_each_other_are_followed_around() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO teams VALUES (@k1, 'one', @m1), (@k2, 'two', @m2), (@k3, 'three', NULL);
         INSERT INTO members VALUES (@m1, '', @k2), (@m2, '', @k1), (@m3, '', @k3)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("teams").filter("this.name = 'one'"), "k1, k2, m1, m2").await;
    c.on("UPDATE teams SET lead_id = NULL WHERE id = @k1", "TX[U k1, G m1, G k2, G m2]; —").await;
    c.on("UPDATE teams SET lead_id = @m3 WHERE id = @k1", "TX[U k1, I m3, I k3]; —").await;
    c.on("UPDATE teams SET lead_id = @m2 WHERE id = @k3", "TX[U k3, I m2]; —").await;
    c.on("UPDATE teams SET name = 'x' WHERE id = @k1", "TX[G k1, G m3, G k3, G m2]; —").await;
}

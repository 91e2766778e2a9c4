//! Spec 06 §13.2, V20 to V36 and composite keys: relations that a client asks for, and the rows that they bring along.

use testkit::satellite::Select;

use super::{Rig, Viewer, all};

/// The user u1 with all entries.
pub fn user_with_entries() -> Select {
    all("users").filter("this.id = @u1").with("author_id", all("entries"))
}

/// V20: u1 and u2, of whom the client has u1 with e1.
pub async fn v20(rig: &Rig) -> Viewer<'_> {
    rig.sql(
        "INSERT INTO users VALUES (@u1, 'Jo'); INSERT INTO entries VALUES (@e1, 'x', @u1);
         INSERT INTO comments VALUES (@c1, 'x', @e1, @u1)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", user_with_entries(), "u1, e1").await;
    c
}

/// V22: all entries, of which there is e1 by u1.
async fn v22(rig: &Rig) -> Viewer<'_> {
    rig.sql(
        "INSERT INTO users VALUES (@u1, 'John'), (@u2, 'Jane'); INSERT INTO entries VALUES (@e1, 'x', @u1)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("entries"), "e1, u1").await;
    c
}

/// V27: entries of u1 with their author and comments and their authors.
async fn v27(rig: &Rig) -> Viewer<'_> {
    rig.sql(
        "INSERT INTO users VALUES (@u1, 'John'), (@u2, 'Jane'); INSERT INTO entries VALUES (@e1, 'x', @u1);
         INSERT INTO comments VALUES (@c1, 'x', @e1, @u1), (@c2, 'y', @e1, @u2)",
    )
    .await;
    let comments = all("comments").with("author_id", all("users"));
    let shape = all("entries")
        .filter("this.author_id = @u1")
        .with("author_id", all("users"))
        .with("entry_id", comments);
    let mut c = rig.viewer().await;
    c.gets("A", shape, "e1, u1, u2, c1, c2").await;
    c
}

#[tokio::test]
async fn v20_an_include_brings_children_and_not_theirs() {
    let rig = Rig::take().await;
    v20(&rig).await.sees("—").await;
}

#[tokio::test]
async fn v21_new_children_of_visible_parents_only() {
    let rig = Rig::take().await;
    let mut c = v20(&rig).await;
    rig.sql("INSERT INTO users VALUES (@u2, 'Jane')").await;
    c.on("INSERT INTO entries VALUES (@e2, 'x', @u1)", "TX[I e2]").await;
    c.on("INSERT INTO entries VALUES (@e3, 'x', @u2)", "—").await;
}

#[tokio::test]
async fn v22_what_rows_refer_to_comes_along() {
    let rig = Rig::take().await;
    v22(&rig).await.sees("—").await;
}

#[tokio::test]
async fn v23_what_a_new_row_refers_to_is_in_its_transaction() {
    let rig = Rig::take().await;
    let mut c = v22(&rig).await;
    c.on("INSERT INTO entries VALUES (@e2, 'x', @u2)", "TX[I e2, I u2{name=Jane}]; —").await;
}

#[tokio::test]
async fn v24_what_was_brought_along_is_followed() {
    let rig = Rig::take().await;
    let mut c = v22(&rig).await;
    c.on("UPDATE users SET name = 'x' WHERE id = @u2", "—").await;
    c.on("INSERT INTO entries VALUES (@e2, 'x', @u2)", "TX[I e2, I u2{name=x}]").await;
    c.on("UPDATE users SET name = 'y' WHERE id = @u2", "TX[U u2{name=y}]; —").await;
}

#[tokio::test]
async fn v25_what_was_brought_along_goes_with_the_last_that_refers_to_it() {
    let rig = Rig::take().await;
    let mut c = v22(&rig).await;
    c.on("INSERT INTO entries VALUES (@e2, 'x', @u2)", "TX[I e2, I u2]").await;
    c.on("DELETE FROM entries WHERE id = @e2", "TX[D e2, G u2]; —").await;
}

#[tokio::test]
async fn v26_what_another_row_refers_to_stays() {
    let rig = Rig::take().await;
    let mut c = v22(&rig).await;
    c.on("INSERT INTO entries VALUES (@e3, 'x', @u1)", "TX[I e3]").await;
    c.on("DELETE FROM entries WHERE id = @e1", "TX[D e1]; —").await;
}

#[tokio::test]
async fn v27_rows_reached_by_several_paths_come_once() {
    let rig = Rig::take().await;
    v27(&rig).await.sees("—").await;
}

#[tokio::test]
async fn v28_the_where_clause_judges_new_rows_of_the_root() {
    let rig = Rig::take().await;
    let mut c = v27(&rig).await;
    c.on("INSERT INTO entries VALUES (@e2, 'x', @u1), (@e3, 'x', @u2)", "TX[I e2]; —").await;
}

#[tokio::test]
async fn v29_a_child_that_moves_to_an_invisible_parent_is_gone() {
    let rig = Rig::take().await;
    let mut c = v27(&rig).await;
    c.on("INSERT INTO entries VALUES (@e2, 'x', @u1), (@e3, 'x', @u2)", "TX[I e2]").await;
    c.on("UPDATE comments SET entry_id = @e3 WHERE id = @c1", "TX[G c1]; —").await;
}

#[tokio::test]
async fn v30_a_parent_that_moves_out_takes_along_what_hangs_on_it_alone() {
    let rig = Rig::take().await;
    let mut c = v27(&rig).await;
    c.on("INSERT INTO entries VALUES (@e2, 'x', @u1), (@e3, 'x', @u2)", "TX[I e2]").await;
    c.on("UPDATE comments SET entry_id = @e3 WHERE id = @c1", "TX[G c1]").await;
    c.on("UPDATE entries SET author_id = @u2 WHERE id = @e1", "TX[G e1, G c2, G u2]; —").await;
    c.has("e2, u1");
}

#[tokio::test]
async fn v31_what_is_gone_is_not_followed() {
    let rig = Rig::take().await;
    let mut c = v27(&rig).await;
    c.on("UPDATE entries SET author_id = @u2 WHERE id = @e1", "TX[G e1, G c1, G c2, G u1, G u2]").await;
    c.on("UPDATE comments SET content = 'z'", "—").await;
}

#[tokio::test]
async fn v32_what_a_moved_in_row_refers_to_is_in_its_transaction() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'John'), (@u2, 'Jane'); INSERT INTO entries VALUES (@e1, 'hello', @u1)").await;
    let mut c = rig.viewer().await;
    let shape = all("entries").filter("this.content ILIKE 'nice%'").with("author_id", all("users"));
    c.gets("A", shape, "").await;
    c.on("UPDATE entries SET content = 'nice job'", "TX[I e1, I u1]").await;
    c.on("UPDATE users SET name = 'Joe' WHERE id = @u1", "TX[U u1]; —").await;
}

#[tokio::test]
async fn v33_a_change_of_what_goes_in_the_same_transaction_is_not_sent() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO users VALUES (@u1, 'John'), (@u2, 'Jane'); INSERT INTO entries VALUES (@e1, 'x', @u1)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("entries").filter("this.author_id = @u1"), "e1, u1").await;
    c.on(
        "UPDATE users SET name = 'Joe' WHERE id = @u1; UPDATE entries SET author_id = @u2 WHERE id = @e1",
        "TX[G e1, G u1]; —",
    )
    .await;
}

#[tokio::test]
async fn v34_a_row_brought_along_announces_its_other_children() {
    let rig = Rig::take().await;
    let shape = || {
        let back = all("users").with("author_id", all("entries"));
        all("entries").filter("this.content ILIKE 'nice%'").with("author_id", back)
    };
    let sql =
        "INSERT INTO entries VALUES (@e2, 'other', @u1); UPDATE entries SET content = 'nice' WHERE id = @e1";
    rig.sql("INSERT INTO users VALUES (@u1, 'John'); INSERT INTO entries VALUES (@e1, 'hello', @u1)").await;
    let mut c = rig.viewer().await;
    c.gets("A", shape(), "").await;
    c.on(sql, "TX[I e1, I u1, I e2] +R; ADD[]; —").await;

    rig.clear().await;
    rig.sql(
        "INSERT INTO users VALUES (@u1, 'John');
         INSERT INTO entries VALUES (@e1, 'hello', @u1), (@e3, 'older', @u1), (@e4, 'older', NULL)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", shape(), "").await;
    c.on(sql, "TX[I e1, I u1, I e2] +R; ADD[I e3]; —").await;
    c.on("UPDATE entries SET content = 'x' WHERE id = @e3", "TX[U e3]").await;
    c.on("UPDATE entries SET content = 'x' WHERE id = @e1", "TX[G e1, G e2, G e3, G u1]; —").await;
}

#[tokio::test]
async fn v35_children_of_a_moved_in_row_follow_as_additional_data() {
    let rig = Rig::take().await;
    let mut c = v35(&rig).await;
    c.on("UPDATE entries SET author_id = @u2", "TX[I e1] +R; ADD[I c1, I u1{name=John}]; —").await;
}

/// The user u2 with entries and their comments, where there is e1 by u1 with the comment c1.
pub async fn v35(rig: &Rig) -> Viewer<'_> {
    rig.sql(
        "INSERT INTO users VALUES (@u1, 'John'), (@u2, 'Jane'); INSERT INTO entries VALUES (@e1, 'x', @u1);
         INSERT INTO comments VALUES (@c1, 'x', @e1, @u1)",
    )
    .await;
    let entries = all("entries").with("entry_id", all("comments"));
    let mut c = rig.viewer().await;
    c.gets("A", all("users").filter("this.id = @u2").with("author_id", entries), "u2").await;
    c
}

#[tokio::test]
async fn v36_additional_data_is_followed() {
    let rig = Rig::take().await;
    let mut c = v35(&rig).await;
    c.on("UPDATE entries SET author_id = @u2", "TX[I e1] +R; ADD[I c1, I u1]").await;
    c.on("UPDATE users SET name = 'Joe' WHERE id = @u1", "TX[U u1]; —").await;
    c.on("UPDATE entries SET author_id = @u1", "TX[G e1, G c1, G u1]; —").await;
}

#[tokio::test]
async fn v47_a_composite_key_is_followed() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO orders VALUES (1, 5), (1, 7); INSERT INTO lines VALUES (@l1, 1, 5)").await;
    let mut c = rig.viewer().await;
    let five = all("orders").filter("this.no = '5'").with("tenant,no", all("lines"));
    c.gets("A", all("orders").with("tenant,no", all("lines")), "o1.5, o1.7, l1").await;
    let mut d = rig.viewer().await;
    d.gets("A", five, "o1.5, l1").await;
    c.on("UPDATE lines SET no = 7", "TX[U l1]; —").await;
    d.sees("TX[G l1]; —").await;
}

#[tokio::test]
async fn v48_a_composite_key_with_a_null_refers_to_nothing() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO orders VALUES (1, 5); INSERT INTO lines VALUES (@l1, 1, 5), (@l2, 1, NULL)").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("lines"), "l1, l2, o1.5").await;
    c.on("UPDATE lines SET tenant = NULL WHERE id = @l1", "TX[U l1, G o1.5]; —").await;
}

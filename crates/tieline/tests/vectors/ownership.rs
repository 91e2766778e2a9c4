//! Spec 06 §13.4 and §9: rows of users.

use super::{Rig, Viewer, all};

/// The notes n1 of user 1 and n2 of user 2, as seen by user 1.
async fn notes(rig: &Rig) -> Viewer<'_> {
    rig.sql("INSERT INTO notes VALUES (@n1, 'x', '1'), (@n2, 'x', '2')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("notes"), "n1").await;
    c
}

#[tokio::test]
async fn v60_a_user_has_only_what_is_theirs() {
    let rig = Rig::take().await;
    notes(&rig).await.sees("—").await;
    rig.viewer_as("2").await.gets("A", all("notes"), "n2").await;
    rig.viewer_as("3").await.gets("A", all("notes"), "").await;
}

#[tokio::test]
async fn v61_a_user_gets_only_what_is_theirs() {
    let rig = Rig::take().await;
    let mut c = notes(&rig).await;
    c.on("INSERT INTO notes VALUES (@n3, 'x', '2')", "—").await;
    c.on("INSERT INTO notes VALUES (@n4, 'x', '1')", "TX[I n4]; —").await;
}

#[tokio::test]
async fn v62_what_is_nobodys_is_everybodys() {
    let rig = Rig::take().await;
    let mut c = notes(&rig).await;
    c.on("INSERT INTO notes VALUES (@n5, 'x', NULL), (@n6, 'x', '')", "TX[I n5, I n6]; —").await;
    rig.viewer().await.gets("A", all("notes"), "n1, n5, n6").await;
    rig.viewer_as("2").await.gets("A", all("notes"), "n2, n5, n6").await;
}

#[tokio::test]
async fn v63_a_row_given_away_is_gone() {
    let rig = Rig::take().await;
    let mut c = notes(&rig).await;
    let mut other = rig.viewer_as("2").await;
    other.gets("A", all("notes"), "n2").await;
    c.on("UPDATE notes SET electric_user_id = '2' WHERE id = @n1", "TX[G n1]; —").await;
    other.sees("TX[I n1]").await;
    c.on("DELETE FROM notes WHERE id = @n1", "—").await;
    other.sees("TX[D n1]; —").await;
}

#[tokio::test]
async fn v64_a_row_received_is_new() {
    let rig = Rig::take().await;
    let mut c = notes(&rig).await;
    c.on("UPDATE notes SET electric_user_id = '1' WHERE id = @n2", "TX[I n2]").await;
    c.on("DELETE FROM notes WHERE id = @n2", "TX[D n2]; —").await;
}

#[tokio::test]
async fn v65_no_or_reaches_other_users_rows() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO notes VALUES (@n1, 'x', '1'), (@n2, 'x', '2')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("notes").filter("this.body = 'x' OR true"), "n1").await;
    c.on("INSERT INTO notes VALUES (@n3, 'y', '1'), (@n4, 'x', '2')", "TX[I n3]; —").await;
    c.on("UPDATE notes SET body = 'z'", "TX[U n1, U n3]; —").await;
}

#[tokio::test]
async fn v66_no_comment_reaches_other_users_rows() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO notes VALUES (@n1, 'x', '1'), (@n2, 'x', '2'), (@n3, 'y', '1')").await;
    for (clause, rows) in [
        ("this.body = 'x' -- ", "n1"),
        ("this.body = 'x' --", "n1"),
        ("this.body = 'x' /* ) OR (true */", "n1"),
        ("this.body = 'x'\n-- ) OR true\n", "n1"),
        ("this.body = 'x' -- one\nAND -- another\ntrue", "n1"),
    ] {
        let mut c = rig.viewer().await;
        c.gets("A", all("notes").filter(clause), rows).await;
    }
}

#[tokio::test]
async fn an_include_has_only_what_is_the_users() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO lists VALUES (@g1, '', '1'), (@g2, '', '2'), (@g3, '', NULL);
         INSERT INTO tasks VALUES (@h1, '', @g1, '1'), (@h2, '', @g1, '2'), (@h3, '', @g2, '1'), (@h4, '', @g3, '2'),
         (@h5, '', @g3, NULL)",
    )
    .await;
    let shape = || all("lists").with("list_id", all("tasks"));
    let (mut one, mut two) = (rig.viewer_as("1").await, rig.viewer_as("2").await);
    one.gets("A", shape(), "g1, g3, h1, h5").await;
    two.gets("A", shape(), "g2, g3, h4, h5").await;
    // A list changes hands: what hangs on it goes and comes, as far as it is the new owner's.
    one.on("UPDATE lists SET electric_user_id = '2' WHERE id = @g1", "TX[G g1, G h1]; —").await;
    two.sees("TX[I g1] +R; ADD[I h2]; —").await;
    // A task changes hands.
    one.on("UPDATE tasks SET electric_user_id = '1' WHERE id = @h4", "TX[I h4]; —").await;
    two.sees("TX[G h4]; —").await;
    // And both at once.
    one.on(
        "UPDATE tasks SET electric_user_id = '1' WHERE id = @h2; UPDATE lists SET electric_user_id = '1' WHERE id = @g1",
        "TX[I g1, I h2] +R; ADD[I h1]; —",
    )
    .await;
    two.sees("TX[G g1, G h2]; —").await;
    one.has("g1, g3, h1, h2, h4, h5");
    two.has("g2, g3, h5");
}

#[tokio::test]
async fn a_reference_to_another_users_row_brings_nothing() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO lists VALUES (@g1, '', '1'), (@g2, '', '2'); INSERT INTO tasks VALUES (@h1, '', @g1, '1'), (@h2, '', @g2, '1')",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", all("tasks"), "g1, h1, h2").await;
    c.on("UPDATE lists SET name = 'x'", "TX[U g1]").await;
    c.on("UPDATE tasks SET title = 'x' WHERE id = @h2", "TX[U h2]; —").await;
    c.on("UPDATE lists SET electric_user_id = '1' WHERE id = @g2", "TX[I g2]; —").await;
    c.on("UPDATE lists SET electric_user_id = '2' WHERE id = @g1", "TX[G g1]; —").await;
    c.on("INSERT INTO tasks VALUES (@h3, '', @g1, '1')", "TX[I h3]; —").await;
}

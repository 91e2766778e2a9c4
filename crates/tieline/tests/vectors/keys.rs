//! Keys that change, keys that are not primary, and tables that are emptied (spec 06 §2.6, §6.4; 05 §7.2).

use super::{Rig, all, closure::open_issues};

#[tokio::test]
async fn a_changed_primary_key_is_a_delete_and_an_insert() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo'); INSERT INTO notes VALUES (@n1, 'x', '1')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users").filter("this.name LIKE 'J%'"), "u1").await;
    c.gets("B", all("notes"), "n1").await;
    c.on("UPDATE users SET id = @u2", "TX[D u1, I u2]; —").await;
    c.on("UPDATE users SET id = @u3, name = 'x'", "TX[D u2]; —").await;
    c.on("UPDATE users SET id = @u4, name = 'Joe'", "TX[I u4]; —").await;
    c.on("UPDATE notes SET id = @n2", "TX[D n1, I n2]; —").await;
}

#[tokio::test]
async fn a_changed_primary_key_takes_the_children_along() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo'), (@u2, 'Jane'); INSERT INTO entries VALUES (@e1, 'x', @u1), (@e2, 'x', @u2)").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users").with("author_id", all("entries")), "u1, u2, e1, e2").await;
    let mut d = rig.viewer().await;
    d.gets("A", all("entries").filter("this.content = 'x'"), "u1, u2, e1, e2").await;
    let sql = "UPDATE users SET id = @u9 WHERE id = @u1; UPDATE entries SET author_id = @u9 WHERE id = @e1";
    c.on(sql, "TX[D u1, I u9, U e1] ?R; —").await;
    d.sees("TX[D u1, I u9, U e1]; —").await;
    c.on("UPDATE entries SET id = @e9 WHERE id = @e2", "TX[D e2, I e9]; —").await;
    d.sees("TX[D e2, I e9]; —").await;
}

#[tokio::test]
async fn two_rows_may_swap_their_keys() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'one'), (@u2, 'two')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users").filter("this.name <> ''"), "u1, u2").await;
    c.on(
        "UPDATE users SET id = @u3 WHERE id = @u1; UPDATE users SET id = @u1 WHERE id = @u2; UPDATE users SET id = @u2 WHERE id = @u3",
        "TX[U u1{name=two}, U u2{name=one}]; —",
    )
    .await;
}

#[tokio::test]
async fn a_foreign_key_to_another_key_than_the_primary_is_followed() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO countries VALUES (@y1, 'de', ''), (@y2, 'fr', ''), (@y3, NULL, '');
         INSERT INTO cities VALUES (@z1, 'Berlin', 'de'), (@z2, 'Paris', 'fr'), (@z3, 'Atlantis', NULL)",
    )
    .await;
    let (mut up, mut down) = (rig.viewer().await, rig.viewer().await);
    up.gets("A", all("cities").filter("this.name <> 'Paris'"), "z1, z3, y1").await;
    down.gets("A", all("countries").filter("this.code = 'fr'").with("country_code", all("cities")), "y2, z2")
        .await;
    up.on("UPDATE cities SET country_code = 'fr' WHERE id = @z1", "TX[U z1, I y2, G y1]; —").await;
    down.sees("TX[I z1]; —").await;
    // The key itself changes, without the primary key's doing so.
    up.on(
        "UPDATE countries SET code = 'it' WHERE id = @y1; UPDATE countries SET code = 'de' WHERE id = @y3;
         UPDATE cities SET country_code = 'it' WHERE id = @z3",
        "TX[U z3, I y1{code=it}]; —",
    )
    .await;
    down.sees("—").await;
    up.on(
        "UPDATE countries SET code = 'xx' WHERE id = @y2; UPDATE cities SET country_code = 'xx' WHERE country_code = 'fr'",
        "TX[U y2, U z1]; —",
    )
    .await;
    down.sees("TX[G y2, G z1, G z2]; —").await;
}

#[tokio::test]
async fn an_emptied_table_is_deleted_row_by_row() {
    let rig = Rig::take().await;
    rig.sql(
        "INSERT INTO users VALUES (@u1, ''); INSERT INTO projects VALUES (@p1, '', 'open', @u1), (@p2, '', 'x', NULL);
         INSERT INTO issues VALUES (@i1, '', true, @p1, NULL), (@i2, '', true, @p2, NULL), (@i3, '', false, @p1, NULL)",
    )
    .await;
    let mut c = rig.viewer().await;
    c.gets("A", open_issues(), "p1, i1, u1").await;
    c.on("TRUNCATE issues", "TX[D i1]; —").await;
    c.on("INSERT INTO issues VALUES (@i1, '', true, @p1, NULL)", "TX[I i1]").await;
    c.on("TRUNCATE projects CASCADE", "TX[D p1, D i1, G u1]; —").await;
    c.on("INSERT INTO projects VALUES (@p3, '', 'open', NULL); INSERT INTO issues VALUES (@i4, '', true, @p3, NULL)", "TX[I p3, I i4]").await;
    c.on(
        "TRUNCATE projects CASCADE; INSERT INTO projects VALUES (@p3, 'new', 'open', NULL)",
        "TX[D i4, U p3{name=new}]; —",
    )
    .await;
}

//! Spec 06 §13.1: shapes of one table.

use super::{Rig, all};

/// Users called Doe.
fn does() -> super::Select {
    all("users").filter("this.name LIKE '% Doe'")
}

/// One who is called so, and one who is not.
const JOES: &str = "INSERT INTO users VALUES (@u1, 'Jo Doe'), (@u2, 'Jo No')";

#[tokio::test]
async fn v01_a_whole_table_is_followed() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users"), "u1").await;
    c.on("INSERT INTO users VALUES (@u2, 'Jane')", "TX[I u2{name=Jane}]").await;
    c.on("UPDATE users SET name = 'Joe' WHERE id = @u1", "TX[U u1{name=Joe}]").await;
    c.on("DELETE FROM users WHERE id = @u1", "TX[D u1]; —").await;
}

#[tokio::test]
async fn v02_a_table_that_was_not_asked_for_is_not_sent() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users"), "u1").await;
    c.on("INSERT INTO entries VALUES (@e1, 'x', NULL)", "—").await;
}

#[tokio::test]
async fn v03_a_where_clause_selects_the_first_rows() {
    let rig = Rig::take().await;
    rig.sql(JOES).await;
    let mut c = rig.viewer().await;
    c.gets("A", does(), "u1").await;
    c.sees("—").await;
}

#[tokio::test]
async fn v04_a_where_clause_selects_among_inserted_rows() {
    let rig = Rig::take().await;
    rig.sql(JOES).await;
    let mut c = rig.viewer().await;
    c.gets("A", does(), "u1").await;
    c.on("INSERT INTO users VALUES (@u3, 'Ja Doe'), (@u4, 'Ja No')", "TX[I u3]; —").await;
}

#[tokio::test]
async fn v05_a_row_moves_in_as_an_insert() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u4, 'Ja No')").await;
    let mut c = rig.viewer().await;
    c.gets("A", does(), "").await;
    c.on("UPDATE users SET name = 'Ja New Doe' WHERE id = @u4", "TX[I u4{name=Ja New Doe}]; —").await;
}

#[tokio::test]
async fn v06_a_row_moves_out_as_gone() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u4, 'Ja New Doe')").await;
    let mut c = rig.viewer().await;
    c.gets("A", does(), "u4").await;
    c.on("UPDATE users SET name = 'Ja' WHERE id = @u4", "TX[G u4]; —").await;
}

#[tokio::test]
async fn v07_what_happens_to_a_row_outside_is_not_sent() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u4, 'Ja New Doe')").await;
    let mut c = rig.viewer().await;
    c.gets("A", does(), "u4").await;
    c.on("UPDATE users SET name = 'Ja' WHERE id = @u4", "TX[G u4]").await;
    c.on("UPDATE users SET name = 'x' WHERE id = @u4", "—").await;
    c.on("DELETE FROM users WHERE id = @u4", "—").await;
}

#[tokio::test]
async fn v08_a_row_that_came_and_went_in_one_transaction_was_never_there() {
    let rig = Rig::take().await;
    rig.sql(JOES).await;
    let mut c = rig.viewer().await;
    c.gets("A", does(), "u1").await;
    c.on("INSERT INTO users VALUES (@u5, 'A Doe'); UPDATE users SET name = 'A' WHERE id = @u5", "—").await;
    c.on("INSERT INTO users VALUES (@u6, 'A Doe'); DELETE FROM users WHERE id = @u6", "—").await;
}

#[tokio::test]
async fn v09_a_row_that_moved_out_and_was_deleted_is_deleted() {
    let rig = Rig::take().await;
    rig.sql(JOES).await;
    let mut c = rig.viewer().await;
    c.gets("A", does(), "u1").await;
    c.on("UPDATE users SET name = 'q' WHERE id = @u1; DELETE FROM users WHERE id = @u1", "TX[D u1]; —").await;
}

#[tokio::test]
async fn v10_a_row_that_moved_out_and_in_again_is_updated() {
    let rig = Rig::take().await;
    rig.sql(JOES).await;
    let mut c = rig.viewer().await;
    c.gets("A", does(), "u1").await;
    c.on(
        "UPDATE users SET name = 'q' WHERE id = @u1; UPDATE users SET name = 'Z Doe' WHERE id = @u1",
        "TX[U u1{name=Z Doe}]; —",
    )
    .await;
    c.on(
        "DELETE FROM users WHERE id = @u1; INSERT INTO users VALUES (@u1, 'Y Doe')",
        "TX[U u1{name=Y Doe}]; —",
    )
    .await;
}

#[tokio::test]
async fn v11_ones_own_transaction_comes_back_empty_to_its_author_only() {
    let rig = Rig::take().await;
    let (mut author, mut other) = (rig.viewer().await, rig.viewer().await);
    author.gets("A", does(), "").await;
    other.gets("A", does(), "").await;
    // Seeing nothing is seeing the empty echo of a transaction of one's own; the others' echoes would be something.
    author.sees("—; —").await;
    other.sees("—").await;
    author.sees("—").await;
}

#[tokio::test]
async fn v12_the_same_shape_twice_sends_its_rows_once() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users"), "u1").await;
    c.gets("B", all("users"), "").await;
    c.on("UPDATE users SET name = 'Joe'", "TX[U u1]; —").await;
}

#[tokio::test]
async fn v13_one_of_two_equal_shapes_ends_and_the_rows_stay() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users"), "u1").await;
    c.gets("B", all("users"), "").await;
    c.unsub("A").await;
    c.sees("UNSUB A[]").await;
    c.on("INSERT INTO users VALUES (@u2, 'Jane')", "TX[I u2]; —").await;
    c.has("u1, u2");
}

#[tokio::test]
async fn v14_two_requests_come_in_one_block_each_row_once() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo'); INSERT INTO entries VALUES (@e1, 'x', @u1)").await;
    let mut c = rig.viewer().await;
    c.sub_many("A", vec![all("users").request("r1"), all("entries").request("r2")]).await;
    // The client checks that both requests have their pair.
    c.sees("DATA A[I u1, I e1]; —").await;
    c.on("UPDATE entries SET content = 'y'; UPDATE users SET name = 'Joe'", "TX[U e1, U u1]; —").await;
}

#[tokio::test]
async fn v15_a_row_that_leaves_one_of_its_shapes_is_updated() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'Jo')").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("users").filter("this.name LIKE 'J%'"), "u1").await;
    c.gets("B", all("users").filter("this.name LIKE '%o'"), "").await;
    c.on("UPDATE users SET name = 'Jx'", "TX[U u1{name=Jx}]; —").await;
}

#[tokio::test]
async fn v16_a_row_that_goes_from_shape_to_shape_is_updated() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO projects VALUES (@p1, 'x', 'a', NULL)").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("projects").filter("this.status = 'a'"), "p1").await;
    c.gets("B", all("projects").filter("this.status = 'b'"), "").await;
    c.on("UPDATE projects SET status = 'b'", "TX[U p1]; —").await;
}

#[tokio::test]
async fn v17_a_row_that_leaves_the_last_of_its_shapes_is_gone() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO projects VALUES (@p1, 'x', 'a', NULL)").await;
    let mut c = rig.viewer().await;
    c.gets("A", all("projects").filter("this.status = 'a'"), "p1").await;
    c.gets("B", all("projects").filter("this.status = 'b'"), "").await;
    c.on("UPDATE projects SET status = 'b'", "TX[U p1]").await;
    c.on("UPDATE projects SET status = 'c'", "TX[G p1]; —").await;
}

#[tokio::test]
async fn operations_come_in_the_order_of_each_rows_last_change() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO users VALUES (@u1, 'A Doe'), (@u2, 'B Doe'), (@u3, 'C Doe')").await;
    let mut c = rig.viewer().await;
    c.gets("A", does(), "u1, u2, u3").await;
    rig.sql(
        "UPDATE users SET name = 'gone' WHERE id = @u1; UPDATE users SET name = 'first Doe' WHERE id = @u3;
         INSERT INTO users VALUES (@u9, 'Z Doe'); DELETE FROM users WHERE id = @u2; UPDATE users SET name = 'last Doe' WHERE id = @u3",
    )
    .await;
    let testkit::satellite::Received::Transaction { ops, .. } = c.next().await else {
        panic!("no transaction")
    };
    let names: Vec<_> = ops
        .iter()
        .filter_map(testkit::satellite::Op::row)
        .map(|(_, row)| super::notation::name(row))
        .collect();
    assert_eq!(
        names,
        ["u9", "u2", "u3", "u1"],
        "inserts, updates and deletes by their last change, then what is gone"
    );
}

//! Parents before children, children before parents.

use super::fixture::{Fixture, clearing, fresh_client, text, tx};

// The ids of tables grow in the order of their making: here against the order that the keys need.
const FAMILY: &str = "\
    CREATE TABLE child (id int4 PRIMARY KEY, parent int4, note text); \
    CREATE TABLE parent (id int4 PRIMARY KEY, value text, above int4 REFERENCES parent); \
    ALTER TABLE child ADD FOREIGN KEY (parent) REFERENCES parent";

async fn family() -> Fixture {
    Fixture::new(FAMILY, &["parent", "child"]).await
}

#[tokio::test]
async fn whole_families_come_and_go_in_one_transaction() {
    let fixture = family().await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    // Rows of `parent` refer to each other too, the later made to the earlier named.
    let ops = [
        fixture.insert("child", &["1", "3", "n"]),
        fixture.insert("parent", &["3", "c", "2"]),
        fixture.insert("parent", &["2", "b", "1"]),
        fixture.insert("parent", &["1", "a", "null"]),
    ];
    writer.apply(&tx(&author, 1, ops)).await.expect("all come");
    let seen = format!("{author}@1000");
    let gone = [("parent", "1"), ("parent", "2"), ("parent", "3"), ("child", "1")];
    let ops = gone.map(|(table, key)| clearing(fixture.delete(table, key), &[&seen]));
    writer.apply(&tx(&author, 2, ops)).await.expect("all go");
    let left = "SELECT (SELECT count(*) FROM parent) + (SELECT count(*) FROM child)";
    assert_eq!(text(&client, left).await.as_deref(), Some("0"));
}

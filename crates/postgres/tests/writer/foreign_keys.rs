//! Parents before children, children before parents.

use change::ClientOpKind;
use postgres::writer::Applied;

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
async fn vector_36_and_37_a_compensation_revives_the_parent_whatever_the_order() {
    let fixture = family().await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    for (parent, child_first) in [("1", false), ("2", true)] {
        let (a, b) = (fresh_client(), fresh_client());
        writer
            .apply(&tx(&a, 1, [fixture.insert("parent", &[parent, "v0", "null"])]))
            .await
            .expect("a parent");
        client.batch_execute(&format!("DELETE FROM parent WHERE id = {parent}")).await.expect("deleted");
        let seen = [format!("{b}@2000"), format!("{a}@1000")];
        let touch = fixture.op(ClientOpKind::Compensation, "parent", &[parent]);
        let mut ops =
            vec![clearing(touch, &[&seen[0], &seen[1]]), fixture.insert("child", &[parent, parent, "n"])];
        if child_first {
            ops.reverse();
        }
        assert_eq!(writer.apply(&tx(&b, 2, ops)).await, Ok(Applied::Committed));
        let tag =
            format!("SELECT (_tags[1]).source_id FROM electric.shadow__public__parent WHERE id = {parent}");
        assert_eq!(text(&client, &tag).await, Some(b));
    }
    let all = "SELECT string_agg(p.id || value || note, ',' ORDER BY p.id) FROM parent p JOIN child c ON c.parent = p.id";
    assert_eq!(text(&client, all).await.as_deref(), Some("1v0n,2v0n"));
}

#[tokio::test]
async fn vector_38_a_parent_with_a_new_child_outlives_a_delete_that_has_not_seen_it() {
    let fixture = family().await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let (a, b) = (fresh_client(), fresh_client());
    writer.apply(&tx(&a, 1, [fixture.insert("parent", &["1", "v0", "null"])])).await.expect("a parent");
    let seen = format!("{a}@1000");
    let touch = clearing(fixture.op(ClientOpKind::Compensation, "parent", &["1"]), &[&seen]);
    writer.apply(&tx(&b, 2, [touch, fixture.insert("child", &["1", "1", "n"])])).await.expect("a child");
    writer.apply(&tx(&a, 3, [clearing(fixture.delete("parent", "1"), &[&seen])])).await.expect("no delete");
    assert_eq!(text(&client, "SELECT value FROM parent").await.as_deref(), Some("v0"));
}

#[tokio::test]
async fn vector_43_a_parent_made_and_compensated_at_once_keeps_its_values() {
    let fixture = family().await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let ops = [
        fixture.insert("child", &["1", "1", "n"]),
        fixture.insert("parent", &["1", "v", "null"]),
        fixture.op(ClientOpKind::Compensation, "parent", &["1", "null", "null"]),
    ];
    writer.apply(&tx(&fresh_client(), 1, ops)).await.expect("applied");
    assert_eq!(text(&client, "SELECT value FROM parent").await.as_deref(), Some("v"));
    let tags = "SELECT cardinality(_tags) FROM electric.shadow__public__parent";
    assert_eq!(text(&client, tags).await.as_deref(), Some("1"));
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

#[tokio::test]
async fn vector_41_a_cascade_takes_the_children_and_their_tags() {
    let ddl = "CREATE TABLE parent (id int4 PRIMARY KEY, value text); \
        CREATE TABLE child (id int4 PRIMARY KEY, parent int4 REFERENCES parent ON DELETE CASCADE, note text)";
    let fixture = Fixture::new(ddl, &["parent", "child"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let (a, b) = (fresh_client(), fresh_client());
    writer.apply(&tx(&a, 1, [fixture.insert("parent", &["1", "v0"])])).await.expect("a parent");
    writer.apply(&tx(&b, 2, [fixture.insert("child", &["1", "1", "n"])])).await.expect("a child");
    let delete = clearing(fixture.delete("parent", "1"), &[&format!("{a}@1000")]);
    writer.apply(&tx(&a, 3, [delete])).await.expect("deleted");
    let left = "SELECT (SELECT count(*) FROM parent) + (SELECT count(*) FROM child)";
    assert_eq!(text(&client, left).await.as_deref(), Some("0"));
    let tags = "SELECT cardinality(p._tags) + cardinality(c._tags) \
        FROM electric.shadow__public__parent p, electric.shadow__public__child c";
    assert_eq!(text(&client, tags).await.as_deref(), Some("0"));
}

//! Tables that inherit, partitions, wide tables and deferrable keys.

use change::ClientOpKind;
use postgres::writer::Applied;

use super::fixture::{Fixture, clearing, fresh_client, text, tx};

#[tokio::test]
async fn a_partition_is_a_table_of_its_own() {
    let fixture = Fixture::new(
        "CREATE TABLE whole (id int, v text, PRIMARY KEY (id)) PARTITION BY RANGE (id);
         CREATE TABLE low PARTITION OF whole FOR VALUES FROM (0) TO (100);
         CREATE TABLE high PARTITION OF whole FOR VALUES FROM (100) TO (200)",
        &["low"],
    )
    .await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    writer.apply(&tx(&author, 1, [fixture.insert("low", &["1", "a"])])).await.expect("inserted");
    let outside = tx(&author, 2, [fixture.insert("low", &["150", "a"])]);
    let refused = writer.apply(&outside).await.expect_err("outside");
    assert!(refused.message.contains("partition of table \"low\""), "{}", refused.message);
    // Native writes by way of the parent leave their tags too; a row that moves out is gone from here.
    client
        .batch_execute("INSERT INTO whole VALUES (2, 'b'), (101, 'c'); UPDATE whole SET v = 'x' WHERE id = 1; UPDATE whole SET id = 102 WHERE id = 2")
        .await
        .expect("native writes");
    let shadows = "SELECT string_agg(id || (_tags = '{}')::text || coalesce((_tag).source_id, ''), ' ' ORDER BY id) FROM electric.shadow__public__low";
    assert_eq!(text(&client, shadows).await.as_deref(), Some("1false 2true"));
    client.batch_execute("DELETE FROM whole").await.expect("a native delete");
    assert_eq!(text(&client, shadows).await.as_deref(), Some("1true 2true"));
}

#[tokio::test]
async fn a_table_that_inherits_and_one_that_others_inherit_from() {
    let fixture = Fixture::new(
        "CREATE TABLE parent (id int PRIMARY KEY, v text); CREATE TABLE child (extra int, PRIMARY KEY (id)) INHERITS (parent)",
        &["parent", "child"],
    )
    .await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let ops = [fixture.insert("parent", &["1", "a"]), fixture.insert("child", &["1", "b", "5"])];
    writer.apply(&tx(&author, 1, ops)).await.expect("both");
    let update =
        clearing(fixture.op(ClientOpKind::Update, "parent", &["1", "c"]), &[&format!("{author}@1000")]);
    writer.apply(&tx(&author, 2, [update])).await.expect("one of them");
    let state = "SELECT string_agg(tableoid::regclass || v, ' ' ORDER BY v) FROM parent";
    assert_eq!(text(&client, state).await.as_deref(), Some("childb parentc"));
    let delete = clearing(fixture.delete("parent", "1"), &[&format!("{author}@2000")]);
    writer.apply(&tx(&author, 3, [delete])).await.expect("one of them");
    assert_eq!(text(&client, state).await.as_deref(), Some("childb"));
    client.batch_execute("UPDATE parent SET v = 'n'").await.expect("a native write by way of the parent");
    let native = "SELECT (_tag).source_id IS NULL FROM electric.shadow__public__child";
    assert_eq!(text(&client, native).await.as_deref(), Some("true"));
}

#[tokio::test]
async fn two_hundred_columns() {
    let columns: Vec<String> = (1..200).map(|n| format!("c{n} int DEFAULT {n}")).collect();
    let ddl = format!(
        "CREATE TABLE wide (id int PRIMARY KEY, {}); CREATE TABLE narrow (id int PRIMARY KEY)",
        columns.join(", ")
    );
    let fixture = Fixture::new(&ddl, &["wide", "narrow"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let given: Vec<String> =
        (0..200).map(|n| if n % 3 == 0 { (n + 1000).to_string() } else { "null".into() }).collect();
    let mut given: Vec<&str> = given.iter().map(String::as_str).collect();
    let mut few = vec!["2"];
    few.resize(150, "-");
    given[0] = "1";
    let ops =
        [fixture.insert("wide", &given), fixture.insert("wide", &few), fixture.insert("narrow", &["1"])];
    writer.apply(&tx(&author, 1, ops)).await.expect("inserted");
    assert_eq!(
        text(&client, "SELECT (c3, c4, c198, c199) FROM wide WHERE id = 1").await.as_deref(),
        Some("(1003,,1198,)")
    );
    assert_eq!(
        text(&client, "SELECT (c3, c149, c199) FROM wide WHERE id = 2").await.as_deref(),
        Some("(3,149,199)")
    );
    client
        .batch_execute("UPDATE wide SET c7 = 0; INSERT INTO wide (id) VALUES (3)")
        .await
        .expect("native writes");
    let deletes = ["1", "2", "3"].map(|id| fixture.delete("wide", id));
    writer.apply(&tx(&author, 2, deletes)).await.expect("too old to delete anything");
    assert_eq!(text(&client, "SELECT count(*) FROM wide").await.as_deref(), Some("3"));
}

#[tokio::test]
async fn keys_of_three_columns_and_keys_checked_at_the_end() {
    let fixture = Fixture::new(
        "CREATE TABLE three (a text, v text, b int, c uuid, PRIMARY KEY (c, a, b));
         CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED, v text UNIQUE DEFERRABLE)",
        &["three", "late"],
    )
    .await;
    let (writer, client) = (fixture.writer(2), fixture.db.client().await);
    let author = fresh_client();
    let uuid = "8d7f1c8e-61f4-4d23-9d27-3a7f2f6e4a11";
    let ops = [
        fixture.insert("three", &["x", "1", "5", uuid]),
        fixture.insert("three", &["y", "2", "5", uuid]),
        fixture.insert("late", &["1", "a"]),
    ];
    writer.apply(&tx(&author, 1, ops)).await.expect("inserted");
    let other = fresh_client();
    let ops = [
        fixture.op(ClientOpKind::Update, "three", &["x", "3", "5", uuid]),
        fixture.op(ClientOpKind::Update, "late", &["1", "b"]),
    ];
    assert_eq!(writer.apply(&tx(&other, 2, ops)).await, Ok(Applied::Committed));
    assert_eq!(
        text(&client, "SELECT string_agg(a || v, ' ' ORDER BY a) FROM three").await.as_deref(),
        Some("x3 y2")
    );
    let refused =
        writer.apply(&tx(&other, 3, [fixture.insert("late", &["2", "b"])])).await.expect_err("refused");
    assert!(refused.message.contains("late_v_key"), "{}", refused.message);
    // The key itself is no constraint to break: whoever comes second finds the row and merges.
    let third = fresh_client();
    assert_eq!(
        writer.apply(&tx(&third, 4, [fixture.insert("late", &["1", "c"])])).await,
        Ok(Applied::Committed)
    );
    assert_eq!(text(&client, "SELECT late FROM late").await.as_deref(), Some("(1,c)"));
}

//! What Postgres refuses leaves nothing, tells its author alone, and stops nobody.

use bytes::Bytes;
use change::{ClientLsn, ClientOpKind, RelationId};
use postgres::writer::Applied;

use super::fixture::{Fixture, fresh_client, text, tx};

const TABLES: &str = "\
    CREATE TABLE parent (id int4 PRIMARY KEY, value text NOT NULL); \
    CREATE TABLE child (id int4 PRIMARY KEY, parent int4 REFERENCES parent, note jsonb, n int4)";

#[tokio::test]
async fn a_refused_transaction_leaves_nothing_and_names_no_values() {
    let fixture = Fixture::new(TABLES, &["parent", "child"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let later = "ALTER TABLE child ADD CONSTRAINT few CHECK (n < 100), ADD CONSTRAINT one UNIQUE (n)";
    testkit::unguarded(&client, later).await;
    client.batch_execute("INSERT INTO child VALUES (77, NULL, NULL, 77)").await.expect("a row");
    let good = fixture.insert("parent", &["1", "v"]);
    let cases = [
        (fixture.insert("child", &["1", "4711", "null", "1"]), "23503", "child_parent_fkey"),
        (fixture.insert("parent", &["4711", "null"]), "23502", "\"value\""),
        (fixture.insert("child", &["1", "null", r#"["4711", "\u0000"]"#, "1"]), "22P05", "value"),
        (fixture.insert("child", &["1", "null", "null", "4711"]), "23514", "few"),
        (fixture.insert("child", &["1", "null", "null", "77"]), "23505", "one"),
        (fixture.insert("child", &["1", "null", "null", "4711x"]), "22P02", "value"),
    ];
    for (bad, code, word) in cases {
        let author = fresh_client();
        let refused = writer.apply(&tx(&author, 1, [good.clone(), bad])).await.expect_err("refused");
        assert_eq!(refused.sqlstate, code);
        assert!(refused.message.contains(word), "{}", refused.message);
        assert!(!refused.message.contains("4711"), "{}", refused.message);
        assert_eq!(text(&client, "SELECT count(*) FROM parent").await.as_deref(), Some("0"));
        let position =
            format!("SELECT count(*) FROM electric.acknowledged_client_lsns WHERE client_id = '{author}'");
        assert_eq!(text(&client, &position).await.as_deref(), Some("0"));
    }
    assert_eq!(
        text(&client, "SELECT count(*) FROM electric.shadow__public__parent").await.as_deref(),
        Some("0")
    );
    assert_eq!(writer.apply(&tx(&fresh_client(), 1, [good])).await, Ok(Applied::Committed));
}

#[tokio::test]
async fn what_does_not_fit_the_schema_is_refused_before_postgres_sees_it() {
    let fixture = Fixture::new(TABLES, &["parent", "child"]).await;
    let writer = fixture.writer(1);
    let mut stranger = fixture.insert("parent", &["1", "v"]);
    stranger.relation = RelationId(1);
    let no_key = fixture.op(ClientOpKind::Insert, "parent", &["null", "v"]);
    let mut too_many = fixture.insert("parent", &["1", "v"]);
    too_many.values.push(change::Field::Null);
    for (op, code) in [(stranger, "42P01"), (no_key, "23502"), (too_many, "42703")] {
        let refused = writer.apply(&tx(&fresh_client(), 1, [op])).await.expect_err("refused");
        assert_eq!(refused.sqlstate, code);
    }
    let mut late = tx(&fresh_client(), 1, [fixture.insert("parent", &["1", "v"])]);
    late.timestamp_ms = u64::MAX;
    assert_eq!(writer.apply(&late).await.expect_err("refused").sqlstate, "22008");
}

#[tokio::test]
async fn positions_compare_as_numbers() {
    let fixture = Fixture::new(TABLES, &["parent"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let at = |lsn: &'static [u8], value: &str| {
        let mut tx = tx(&author, 1, [fixture.op(ClientOpKind::Insert, "parent", &["1", value])]);
        tx.lsn = ClientLsn::new(Bytes::from_static(lsn)).expect("a position");
        tx
    };
    let steps: [(&[u8], &str, Applied); 6] = [
        (&[0, 0, 0, 9], "a", Applied::Committed),
        (&[9], "b", Applied::Duplicate),
        (&[8, 255], "c", Applied::Committed),
        (&[0, 0, 0, 255], "d", Applied::Duplicate),
        (&[255, 255, 255, 255], "e", Applied::Committed),
        (&[0, 0, 0, 1, 0, 0, 0, 0], "f", Applied::Committed),
    ];
    for (lsn, value, expected) in steps {
        assert_eq!(writer.apply(&at(lsn, value)).await, Ok(expected), "{value}");
    }
    assert_eq!(text(&client, "SELECT value FROM parent").await.as_deref(), Some("f"));
    let stored = "SELECT encode(lsn, 'hex') FROM electric.acknowledged_client_lsns";
    assert_eq!(text(&client, stored).await.as_deref(), Some("0000000100000000"));
}

#[tokio::test]
async fn a_transaction_without_changes_moves_the_position() {
    let fixture = Fixture::new(TABLES, &["parent"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    assert_eq!(writer.apply(&tx(&author, 7, [])).await, Ok(Applied::Committed));
    assert_eq!(writer.apply(&tx(&author, 7, [])).await, Ok(Applied::Duplicate));
    let stored = "SELECT ts FROM electric.acknowledged_client_lsns";
    assert_eq!(text(&client, stored).await.as_deref(), Some("7000"));
}

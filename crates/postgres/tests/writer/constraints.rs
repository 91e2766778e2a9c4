//! Constraints that only Postgres knows of: who breaks one hears of it, and nobody else notices.

use change::{ClientOp, ClientOpKind};
use postgres::writer::{Applied, WriterPool};
use tokio_postgres::Client;

use super::fixture::{Fixture, clearing, fresh_client, text, tx};

/// Applies operations that Postgres has to refuse, after others that it took, and checks that only those are there.
async fn refuse(
    writer: &WriterPool,
    client: &Client,
    (good, bad): (ClientOp, Vec<ClientOp>),
    code: &str,
    words: &[&str],
) {
    let author = fresh_client();
    assert_eq!(writer.apply(&tx(&author, 1, [good])).await, Ok(Applied::Committed));
    let state = "SELECT string_agg(t::text, ';' ORDER BY id) FROM t";
    let before = text(client, state).await;
    let refused = writer.apply(&tx(&author, 2, bad)).await.expect_err("refused");
    assert_eq!(refused.sqlstate, code, "{}", refused.message);
    for word in words {
        assert!(refused.message.contains(word), "{word}: {}", refused.message);
    }
    assert!(!refused.message.contains("4711"), "{}", refused.message);
    assert_eq!(text(client, state).await, before);
    let position = format!(
        "SELECT encode(lsn, 'hex') FROM electric.acknowledged_client_lsns WHERE client_id = '{author}'"
    );
    assert_eq!(text(client, &position).await.as_deref(), Some("00000001"), "earlier transactions stay");
}

#[tokio::test]
async fn each_kind_of_constraint_is_reported_by_its_name() {
    let fixture = Fixture::new(
        "CREATE FUNCTION few() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.n > 900 THEN RAISE EXCEPTION 'no % please', NEW.n; END IF; RETURN NULL; END $$;
         CREATE FUNCTION odd() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            IF NEW.n = 13 THEN RAISE check_violation USING MESSAGE = 'not 4711', CONSTRAINT = 'superstition'; END IF; RETURN NEW; END $$;
         CREATE DOMAIN whole AS int;
         CREATE TABLE t (
            id int PRIMARY KEY, email text CONSTRAINT one_account UNIQUE, n whole CONSTRAINT small CHECK (n < 1000), span int4 DEFAULT 7,
            late text CONSTRAINT late_once UNIQUE DEFERRABLE INITIALLY DEFERRED,
            CONSTRAINT apart EXCLUDE USING btree (span WITH =) WHERE (span > 100)
         );
         CREATE UNIQUE INDEX lower_email ON t (lower(email));
         CREATE CONSTRAINT TRIGGER t_few AFTER INSERT OR UPDATE ON t DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION few();
         CREATE TRIGGER t_odd BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION odd();
         INSERT INTO t VALUES (1, '4711@x', 4, 4711, '4711')",
        &["t"],
    )
    .await;
    let (writer, client) = (fixture.writer(2), fixture.db.client().await);
    let insert = |values: &[&str]| fixture.insert("t", values);
    let cases: [(&[&str], &str, &[&str]); 8] = [
        (&["4711", "4711@x"], "23505", &["one_account", "\"t\""]),
        (&["4711", "4711@X"], "23505", &["lower_email"]),
        (&["4711", "a", "4711"], "23514", &["small"]),
        (&["4711", "a", "1", "4711"], "23P01", &["apart"]),
        (&["4711", "a", "1", "1", "4711"], "23505", &["late_once"]),
        (&["4711", "a", "999"], "P0001", &["trigger"]),
        (&["4711", "a", "13"], "23514", &["superstition"]),
        (&["1", "4711@y", "1000"], "23514", &["small"]),
    ];
    for (n, (values, code, words)) in cases.into_iter().enumerate() {
        let good = insert(&[&(n + 10).to_string()]);
        let also = insert(&[&(n + 100).to_string()]);
        refuse(&writer, &client, (good, vec![also, insert(values)]), code, words).await;
    }
    client
        .batch_execute("ALTER DOMAIN whole ADD CONSTRAINT added CHECK (VALUE <> 77)")
        .await
        .expect("added later");
    refuse(&writer, &client, (insert(&["50"]), vec![insert(&["51", "b", "77"])]), "23514", &["added"]).await;
}

#[tokio::test]
async fn of_two_clients_that_want_one_unique_value_the_second_is_refused() {
    let fixture = Fixture::new(
        "CREATE TABLE t (id text PRIMARY KEY, name text UNIQUE, UNIQUE (id, name), UNIQUE (name, id))",
        &["t"],
    )
    .await;
    let (writer, client) = (fixture.writer(2), fixture.db.client().await);
    let (first, second) = (fresh_client(), fresh_client());
    writer.apply(&tx(&first, 1, [fixture.insert("t", &["a", "x"])])).await.expect("the first");
    let refused =
        writer.apply(&tx(&second, 1, [fixture.insert("t", &["b", "x"])])).await.expect_err("refused");
    assert!(refused.message.contains("t_name_key"), "{}", refused.message);
    // The same row is no conflict: it merges.
    writer.apply(&tx(&second, 1, [fixture.insert("t", &["a", "x"])])).await.expect("merged");
    let delete = clearing(fixture.delete("t", "a"), &[&format!("{first}@1000"), &format!("{second}@1000")]);
    writer.apply(&tx(&first, 2, [delete])).await.expect("gone");
    writer.apply(&tx(&second, 2, [fixture.insert("t", &["b", "x"])])).await.expect("free again");
    assert_eq!(text(&client, "SELECT string_agg(t::text, ';') FROM t").await.as_deref(), Some("(b,x)"));
}

/// A transaction whose steps are all right one after the other is all right, in whatever order it would be written at once.
#[tokio::test]
async fn unique_values_may_move_from_row_to_row() {
    let fixture = Fixture::new("CREATE TABLE t (id int PRIMARY KEY, name text UNIQUE)", &["t"]).await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let first = tx(&author, 1, [fixture.insert("t", &["1", "a"]), fixture.insert("t", &["2", "b"])]);
    writer.apply(&first).await.expect("two rows");
    let update = |id: &str, name: &str, seen: &str| {
        clearing(fixture.op(ClientOpKind::Update, "t", &[id, name]), &[&format!("{author}@{seen}")])
    };
    let state = "SELECT string_agg(id || name, ',' ORDER BY id) FROM t";

    // Exchanged by way of a third value.
    let swap = [update("1", "x", "1000"), update("2", "a", "1000"), update("1", "b", "1000")];
    writer.apply(&tx(&author, 2, swap)).await.expect("exchanged");
    assert_eq!(text(&client, state).await.as_deref(), Some("1b,2a"));
    // Deleted, and taken by a new row.
    let delete = clearing(fixture.delete("t", "1"), &[&format!("{author}@2000")]);
    writer.apply(&tx(&author, 3, [delete, fixture.insert("t", &["3", "b"])])).await.expect("taken");
    assert_eq!(text(&client, state).await.as_deref(), Some("2a,3b"));
    // Renamed, and taken by a new row.
    let rename = [update("2", "c", "2000"), fixture.insert("t", &["4", "a"])];
    writer.apply(&tx(&author, 4, rename)).await.expect("renamed");
    assert_eq!(text(&client, state).await.as_deref(), Some("2c,3b,4a"));
    let tags = "SELECT string_agg(id || _tags::text || _tag_name::text, ' ' ORDER BY id) FROM electric.shadow__public__t WHERE _tags <> '{}'";
    let tags = text(&client, tags).await.unwrap_or_default();
    for (id, second) in [(2, 4), (3, 3), (4, 4)] {
        let own = format!("1970-01-01 00:00:0{second}+00");
        assert_eq!(tags.split(' ').filter(|t| t.contains(&author)).count(), 6, "{tags}");
        assert!(tags.contains(&own), "{id} {tags}");
    }
    assert_eq!(writer.apply(&tx(&author, 4, [])).await, Ok(Applied::Duplicate));
}

#[tokio::test]
async fn two_tables_that_refer_to_each_other() {
    let fixture = Fixture::new(
        "CREATE TABLE a (id int PRIMARY KEY, b int);
         CREATE TABLE b (id int PRIMARY KEY, a int NOT NULL REFERENCES a);
         ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b;
         CREATE TABLE c (id int PRIMARY KEY, d int NOT NULL);
         CREATE TABLE d (id int PRIMARY KEY, c int NOT NULL REFERENCES c DEFERRABLE INITIALLY DEFERRED);
         ALTER TABLE c ADD FOREIGN KEY (d) REFERENCES d DEFERRABLE INITIALLY DEFERRED",
        &[],
    )
    .await;
    let client = fixture.db.client().await;
    client
        .batch_execute(
            "BEGIN; CALL electric.electrify('a'); CALL electric.electrify('b'); CALL electric.electrify('c');
             CALL electric.electrify('d'); COMMIT",
        )
        .await
        .expect("a circle in one transaction");
    let fixture = fixture.reload().await;
    let writer = fixture.writer(1);
    let author = fresh_client();
    let seen = format!("{author}@1000");
    let ops = [
        fixture.insert("a", &["1", "null"]),
        fixture.insert("b", &["2", "1"]),
        clearing(fixture.op(ClientOpKind::Update, "a", &["1", "2"]), &[&seen]),
        fixture.insert("c", &["1", "2"]),
        fixture.insert("d", &["2", "1"]),
    ];
    writer.apply(&tx(&author, 1, ops)).await.expect("in the author's order");
    assert_eq!(text(&client, "SELECT (a.b, b.a) FROM a, b").await.as_deref(), Some("(2,1)"));
    let refused =
        writer.apply(&tx(&author, 2, [fixture.insert("c", &["9", "9"])])).await.expect_err("at COMMIT");
    assert!(refused.message.contains("c_d_fkey"), "{}", refused.message);
}

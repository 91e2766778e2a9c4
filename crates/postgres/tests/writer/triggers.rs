//! What the users' own triggers, rules and policies make of clients' writes.

use change::ClientOpKind;
use postgres::writer::Applied;

use super::fixture::{Fixture, clearing, fresh_client, text, tx};

const TABLE: &str = "CREATE TABLE t (id int PRIMARY KEY, v text, n int NOT NULL DEFAULT 0, gone bool)";

/// The table with a function `f` and what else is needed.
async fn with(body: &str, rest: &str) -> Fixture {
    let ddl = format!(
        "{TABLE}; CREATE TABLE log (v text);
         CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {body} END $$; {rest}"
    );
    Fixture::new(&ddl, &["t"]).await
}

#[tokio::test]
async fn triggers_may_change_what_is_written() {
    let fixture = with(
        "NEW.v = upper(NEW.v); NEW.n = NEW.n + 1; RETURN NEW;",
        "CREATE TRIGGER b BEFORE INSERT OR UPDATE ON t FOR EACH ROW EXECUTE FUNCTION f();
         CREATE FUNCTION again() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
            BEGIN UPDATE t SET gone = false WHERE id = NEW.id AND gone IS NULL; EXCEPTION WHEN division_by_zero THEN NULL; END;
            RETURN NULL; END $$;
         CREATE TRIGGER a AFTER INSERT ON t FOR EACH ROW EXECUTE FUNCTION again()",
    )
    .await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    writer.apply(&tx(&author, 1, [fixture.insert("t", &["1", "a", "5"])])).await.expect("inserted");
    assert_eq!(text(&client, "SELECT t FROM t").await.as_deref(), Some("(1,A,7,f)"));
    let update = clearing(fixture.op(ClientOpKind::Update, "t", &["1", "b"]), &[&format!("{author}@1000")]);
    writer.apply(&tx(&author, 2, [update])).await.expect("updated");
    assert_eq!(text(&client, "SELECT t FROM t").await.as_deref(), Some("(1,B,8,f)"));
}

/// The author would keep what nobody else has, so it is told.
#[tokio::test]
async fn triggers_that_suppress_a_write_refuse_it() {
    for (event, body) in [
        ("INSERT", "RETURN NULL;"),
        ("INSERT", "NEW.id = NEW.id + 100; RETURN NEW;"),
        ("UPDATE", "RETURN NULL;"),
        ("DELETE", "RETURN NULL;"),
    ] {
        let trigger = format!(
            "CREATE TRIGGER b BEFORE {event} ON t FOR EACH ROW WHEN (OLD.id = 1) EXECUTE FUNCTION f()"
        );
        let trigger = if event == "INSERT" { trigger.replace("OLD.id = 1", "NEW.id = 3") } else { trigger };
        let fixture = with(body, &format!("INSERT INTO t VALUES (1, 'a'), (2, 'b'); {trigger}")).await;
        let (writer, client) = (fixture.writer(1), fixture.db.client().await);
        let native = |op| clearing(op, &["postgres_1@0"]);
        let bad = match event {
            "INSERT" => vec![fixture.insert("t", &["4", "d"]), fixture.insert("t", &["3", "c"])],
            "UPDATE" => vec![
                native(fixture.op(ClientOpKind::Update, "t", &["2", "x"])),
                native(fixture.op(ClientOpKind::Update, "t", &["1", "x"])),
            ],
            _ => vec![native(fixture.delete("t", "2")), native(fixture.delete("t", "1"))],
        };
        let refused = writer.apply(&tx(&fresh_client(), 1, bad)).await.expect_err(event);
        assert_eq!(refused.sqlstate, "27000", "{event} {}", refused.message);
        assert!(refused.message.contains("a trigger or rule of table \"t\""), "{}", refused.message);
        assert_eq!(
            text(&client, "SELECT string_agg(id || v, ',') FROM t").await.as_deref(),
            Some("1a,2b"),
            "{event}"
        );
        // A compensation only touches the row.
        let touch = fixture.op(ClientOpKind::Compensation, "t", &["1"]);
        assert_eq!(writer.apply(&tx(&fresh_client(), 1, [touch])).await, Ok(Applied::Committed), "{event}");
    }
}

#[tokio::test]
async fn triggers_that_only_mark_what_is_deleted() {
    let fixture = with(
        "UPDATE t SET gone = true WHERE id = OLD.id; RETURN NULL;",
        "CREATE TRIGGER b BEFORE DELETE ON t FOR EACH ROW EXECUTE FUNCTION f()",
    )
    .await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    writer.apply(&tx(&author, 1, [fixture.insert("t", &["1", "a"])])).await.expect("inserted");
    let delete = clearing(fixture.delete("t", "1"), &[&format!("{author}@1000")]);
    writer.apply(&tx(&author, 2, [delete])).await.expect("marked");
    assert_eq!(text(&client, "SELECT t FROM t").await.as_deref(), Some("(1,a,0,t)"));
    let alive = "SELECT _tags <> '{}' AND _image IS NULL FROM electric.shadow__public__t";
    assert_eq!(text(&client, alive).await.as_deref(), Some("true"));
}

#[tokio::test]
async fn rules() {
    let fixture = with(
        "RETURN NULL;",
        "CREATE RULE i AS ON INSERT TO t DO ALSO INSERT INTO log VALUES ('i' || NEW.id);
         CREATE RULE u AS ON UPDATE TO t DO ALSO INSERT INTO log VALUES ('u' || NEW.id);
         CREATE RULE d AS ON DELETE TO t DO ALSO INSERT INTO log VALUES ('d' || OLD.id);
         CREATE RULE s AS ON DELETE TO t WHERE OLD.id = 2 DO INSTEAD UPDATE t SET gone = true WHERE id = OLD.id",
    )
    .await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    let seen = format!("{author}@1000");
    let inserts = [
        fixture.insert("t", &["1", "a"]),
        fixture.insert("t", &["2", "b"]),
        fixture.insert("t", &["3", "c"]),
    ];
    writer.apply(&tx(&author, 1, inserts)).await.expect("inserted");
    let update = clearing(fixture.op(ClientOpKind::Update, "t", &["3", "d"]), &[&seen]);
    let deletes = ["1", "2"].map(|id| clearing(fixture.delete("t", id), &[&seen]));
    writer.apply(&tx(&author, 2, [update].into_iter().chain(deletes))).await.expect("changed");
    assert_eq!(
        text(&client, "SELECT string_agg(t::text, ' ' ORDER BY id) FROM t").await.as_deref(),
        Some("(2,b,0,t) (3,d,0,)")
    );
    let log = text(&client, "SELECT string_agg(DISTINCT v, ' ') FROM log").await.unwrap_or_default();
    for entry in ["i1", "i2", "i3", "u3"] {
        assert!(log.contains(entry), "{log}");
    }
}

#[tokio::test]
async fn policies_do_not_hide_rows_from_the_service() {
    let fixture = with(
        "RETURN NULL;",
        "ALTER TABLE t ENABLE ROW LEVEL SECURITY; CREATE POLICY nobody ON t USING (false)",
    )
    .await;
    let (writer, client) = (fixture.writer(1), fixture.db.client().await);
    let author = fresh_client();
    writer.apply(&tx(&author, 1, [fixture.insert("t", &["1", "a"])])).await.expect("inserted");
    let delete = clearing(fixture.delete("t", "1"), &[&format!("{author}@1000")]);
    writer.apply(&tx(&author, 2, [delete])).await.expect("deleted");
    assert_eq!(text(&client, "SELECT count(*) FROM t").await.as_deref(), Some("0"));
}

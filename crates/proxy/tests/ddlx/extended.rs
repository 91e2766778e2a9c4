//! The extended protocol.

use expect_test::expect;
use tokio_postgres::error::{ErrorPosition, SqlState};

use super::{
    raw::{Raw, Script},
    start, synced,
};

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY)";

#[tokio::test]
async fn as_drivers_send_it() {
    let (_database, admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    let script = Script::default().run("ALTER TABLE t ENABLE ELECTRIC").sync();
    expect![[r#"
        1
        2
        n
        N 00000 Electrifying table public.t
        C ELECTRIC ENABLE
        Z I
    "#]]
    .assert_eq(&client.play(script).await);
    let script = Script::default()
        .parse("enable", "/* é */ ELECTRIC ENABLE u;")
        .describe(b'S', "enable")
        .flush()
        .bind("p", "enable")
        .execute("p")
        .bind("", "enable")
        .execute("")
        .sync()
        .bind("p", "enable")
        .execute("p")
        .close(b'S', "enable")
        .sync()
        .parse("enable", "SELECT 1")
        .bind("p", "enable")
        .execute("p")
        .sync();
    expect![[r#"
        1
        t
        n
        2
        N 00000 Electrifying table public.u
        C ELECTRIC ENABLE
        2
        N 00000 table public.u is already electrified
        C ELECTRIC ENABLE
        Z I
        2
        N 00000 table public.u is already electrified
        C ELECTRIC ENABLE
        3
        Z I
        1
        2
        D 1
        C SELECT 1
        Z I
    "#]]
    .assert_eq(&client.play(script).await);
    assert_eq!(synced(&admin).await, ["public.t", "public.u"]);
}

#[tokio::test]
async fn pipelines_with_errors_in_them() {
    let (_database, admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    let script = Script::default()
        .run("SELECT 1")
        .run("ELECTRIC ENABLE t")
        .run("SELECT 1/0")
        .run("ELECTRIC ENABLE u")
        .sync()
        .run("ELECTRIC GRANT SELECT ON t TO 'a'")
        .run("ELECTRIC ENABLE u")
        .sync()
        .parse("", "  ELECTRIC ENABLE é JUNK")
        .bind("", "")
        .execute("")
        .sync()
        .run("ELECTRIC ENABLE none")
        .sync()
        .query("CALL electric.enable('t')")
        .run("ELECTRIC ENABLE t")
        .run("SELECT 2")
        .sync();
    expect![[r#"
        1
        2
        T
        D 1
        C SELECT 1
        1
        2
        n
        N 00000 Electrifying table public.t
        C ELECTRIC ENABLE
        1
        E 22012 division by zero
        Z I
        1
        2
        n
        E EX001 ELECTRIC GRANT is currently unsupported | D: We are working on implementing access controls -- when these features are completed then this command will work
        Z I
        E 42601 Invalid ELECTRIC statement | D: syntax error before: "JUNK" | H: Statements are ALTER TABLE <table> ENABLE ELECTRIC and ALTER TABLE <table> DISABLE ELECTRIC. A table's name that is a keyword needs double quotes. | p: 19 | q: ELECTRIC ENABLE é JUNK
        Z I
        1
        2
        n
        E 42P01 relation "public.none" does not exist
        Z I
        N 00000 Electrifying table public.t | W
        C CALL
        Z I
        1
        2
        n
        N 00000 table public.t is already electrified
        C ELECTRIC ENABLE
        1
        2
        T
        D 2
        C SELECT 1
        Z I
    "#]].assert_eq(&client.play(script).await);
    assert_eq!(synced(&admin).await, ["public.t"]);
}

#[tokio::test]
async fn copy_takes_no_notice_of_sync() {
    let (_database, admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    let script = Script::default()
        .run("COPY t FROM STDIN")
        .idle_sync()
        .data("1\tone\n")
        .done()
        .sync()
        .run("CALL electric.electrify('t')")
        .sync();
    expect![[r#"
        1
        2
        n
        G
        C COPY 1
        Z I
        1
        2
        n
        N 00000 Electrifying table public.t
        C ELECTRIC ENABLE
        Z I
    "#]]
    .assert_eq(&client.play(script).await);
    // The same, waiting.
    let heard = client.play_until(Script::default().run("COPY u FROM STDIN").idle_sync(), b'G').await;
    expect![[r#"
        1
        2
        n
        G
    "#]]
    .assert_eq(&heard);
    let script = Script::default().data("x\n");
    expect![[r#"
        E 22P02 invalid input syntax for type integer: "x" | W
    "#]]
    .assert_eq(&client.play_until(script, b'E').await);
    let script = Script::default().done().sync().run("ELECTRIC ENABLE u").sync();
    expect![[r#"
        Z I
        1
        2
        n
        N 00000 Electrifying table public.u
        C ELECTRIC ENABLE
        Z I
    "#]]
    .assert_eq(&client.play(script).await);
    assert_eq!(synced(&admin).await, ["public.t", "public.u"]);
}

#[tokio::test]
async fn transactions_of_drivers_that_prepare_everything() {
    let (_database, admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    for text in ["BEGIN", "ELECTRIC ENABLE t", "ELECTRIC DISABLE t", "ELECTRIC ENABLE u", "COMMIT"] {
        let heard = client.play(Script::default().run(text).sync()).await;
        let tag = text.rsplit_once(' ').map_or(text, |(tag, _)| tag);
        let status = if text == "COMMIT" { "I" } else { "T" };
        assert!(heard.ends_with(&format!("C {tag}\nZ {status}\n")), "{heard}");
    }
    assert_eq!(synced(&admin).await, ["public.u"]);
    for (text, status) in [("BEGIN", "T"), ("ELECTRIC ENABLE none", "E"), ("ROLLBACK", "I")] {
        let heard = client.play(Script::default().run(text).sync()).await;
        assert!(heard.ends_with(&format!("Z {status}\n")), "{heard}");
    }
}

#[tokio::test]
async fn tokio_postgres_is_at_home() {
    let (_database, admin, front) = start(TABLES).await;
    let mut client = front.client("app").await;
    let enable = client.prepare("ALTER TABLE t ENABLE ELECTRIC").await.unwrap();
    assert!(enable.params().is_empty() && enable.columns().is_empty());
    let transaction = client.transaction().await.unwrap();
    transaction.execute(&enable, &[]).await.unwrap();
    transaction.execute("ELECTRIC ENABLE u", &[]).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!(synced(&admin).await, [""; 0]);
    client.execute(&enable, &[]).await.unwrap();
    client.execute(&enable, &[]).await.unwrap();
    assert_eq!(synced(&admin).await, ["public.t"]);

    let wrong = client.prepare("ELECTRIC JUNK").await.unwrap_err();
    let wrong = wrong.as_db_error().unwrap();
    assert_eq!((wrong.code(), wrong.message()), (&SqlState::SYNTAX_ERROR, "Invalid ELECTRIC statement"));
    assert_eq!(wrong.detail(), Some("syntax error before: \"JUNK\""));
    let place = ErrorPosition::Internal { position: 10, query: "ELECTRIC JUNK".to_owned() };
    assert_eq!(wrong.position(), Some(&place));
    let refused = client.execute("ELECTRIC ASSIGN 'a' TO t.id", &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "EX001");

    // All at once.
    let statements: Vec<String> = (0..50)
        .map(|n| if n % 3 == 0 { "ELECTRIC ENABLE t".into() } else { format!("SELECT {n}") })
        .collect();
    let all = statements.iter().map(|text| client.query(text.as_str(), &[]));
    for (n, rows) in futures_util::future::join_all(all).await.into_iter().enumerate() {
        let rows = rows.unwrap();
        let values: Vec<i32> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(values, if n % 3 == 0 { vec![] } else { vec![i32::try_from(n).unwrap()] });
    }
}

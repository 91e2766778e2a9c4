//! The simple protocol.

use expect_test::{Expect, expect};

use super::{
    raw::{Raw, Script},
    start, synced,
};
use crate::support::Front;

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE u (id int PRIMARY KEY)";

async fn check(client: &mut Raw, text: &str, expected: Expect) {
    expected.assert_eq(&client.query(text).await);
}

#[tokio::test]
async fn in_the_middle_of_a_long_string() {
    let (_database, admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    check(
        &mut client,
        "SELECT 1; /* ; */ INSERT INTO t VALUES (1, ';ELECTRIC ENABLE u;'); ALTER TABLE t ENABLE ELECTRIC;;\n\
         INSERT INTO t VALUES (2, $$;$$); COPY t TO STDOUT; ELECTRIC ENABLE u; SELECT v FROM t ORDER BY id; ELECTRIC DISABLE u;",
        expect![[r#"
            T
            D 1
            C SELECT 1
            C INSERT 0 1
            N 00000 Electrifying table public.t
            C ELECTRIC ENABLE
            C INSERT 0 1
            H
            d
            d
            c
            C COPY 2
            N 00000 Electrifying table public.u
            C ELECTRIC ENABLE
            T
            D ;ELECTRIC ENABLE u;
            D ;
            C SELECT 2
            N 00000 table public.u is not synced any more; clients keep the rows that they have
            C ELECTRIC DISABLE
            Z I
        "#]],
    )
    .await;
    assert_eq!(synced(&admin).await, ["public.t"]);
}

#[tokio::test]
async fn copy_between_them() {
    let (_database, _admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    let script = Script::default()
        .query("ELECTRIC ENABLE t; COPY t FROM STDIN; ELECTRIC ENABLE u; COPY t TO STDOUT")
        .data("1\tone\n")
        .data("2\ttwo\n")
        .done();
    expect![[r#"
        N 00000 Electrifying table public.t
        C ELECTRIC ENABLE
        G
        C COPY 2
        N 00000 Electrifying table public.u
        C ELECTRIC ENABLE
        H
        d
        d
        c
        C COPY 2
        Z I
    "#]]
    .assert_eq(&client.play(script).await);
}

#[tokio::test]
async fn transactions_are_those_of_postgres() {
    let (_database, admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    check(
        &mut client,
        "BEGIN ISOLATION LEVEL SERIALIZABLE; ELECTRIC ENABLE t; SHOW transaction_isolation",
        expect![[r#"
            C BEGIN
            N 00000 Electrifying table public.t
            C ELECTRIC ENABLE
            T
            D serializable
            C SHOW
            Z T
        "#]],
    )
    .await;
    check(
        &mut client,
        "ELECTRIC ENABLE none",
        expect![[r#"
        E 42P01 relation "public.none" does not exist
        Z E
    "#]],
    )
    .await;
    check(
        &mut client,
        "ELECTRIC ENABLE u",
        expect![[r#"
        E 25P02 current transaction is aborted, commands ignored until end of transaction block
        Z E
    "#]],
    )
    .await;
    check(
        &mut client,
        "COMMIT",
        expect![[r#"
        C ROLLBACK
        Z I
    "#]],
    )
    .await;
    assert_eq!(synced(&admin).await, [""; 0]);
    // All of a string, or nothing.
    check(
        &mut client,
        "ELECTRIC ENABLE t; INSERT INTO t VALUES (1); SELECT 1/0; SELECT 1",
        expect![[r#"
        N 00000 Electrifying table public.t
        C ELECTRIC ENABLE
        C INSERT 0 1
        E 22012 division by zero
        Z I
    "#]],
    )
    .await;
    assert_eq!(synced(&admin).await, [""; 0]);
    check(
        &mut client,
        "SAVEPOINT a",
        expect![[r#"
        E 25P01 SAVEPOINT can only be used in transaction blocks
        Z I
    "#]],
    )
    .await;
    check(
        &mut client,
        "BEGIN; SAVEPOINT a; ELECTRIC ENABLE t; ROLLBACK TO a; CREATE TABLE v (id int PRIMARY KEY); ALTER TABLE v ENABLE ELECTRIC; COMMIT",
        expect![[r#"
            C BEGIN
            C SAVEPOINT
            N 00000 Electrifying table public.t
            C ELECTRIC ENABLE
            C ROLLBACK
            C CREATE TABLE
            N 00000 Electrifying table public.v
            C ELECTRIC ENABLE
            C COMMIT
            Z I
        "#]],
    )
    .await;
    assert_eq!(synced(&admin).await, ["public.v"]);
    check(
        &mut client,
        "ELECTRIC DISABLE v",
        expect![[r#"
        N 00000 table public.v is not synced any more; clients keep the rows that they have
        C ELECTRIC DISABLE
        Z I
    "#]],
    )
    .await;
    assert_eq!(synced(&admin).await, [""; 0]);
}

#[tokio::test]
async fn what_is_not_carried_out_is_refused() {
    let (_database, _admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    check(&mut client, "ELECTRIC GRANT SELECT ON t TO 'admin'", expect![[r#"
        E EX001 ELECTRIC GRANT is currently unsupported | D: We are working on implementing access controls -- when these features are completed then this command will work
        Z I
    "#]]).await;
    for (text, tag) in [
        ("ELECTRIC REVOKE ALL ON t FROM 'x:admin'", "REVOKE"),
        ("ELECTRIC ASSIGN 'admin' TO t.id", "ASSIGN"),
        ("ELECTRIC UNASSIGN 'admin' FROM t.id", "UNASSIGN"),
        ("ELECTRIC SQLITE 'x'", "SQLITE"),
    ] {
        let heard = client.query(text).await;
        assert!(
            heard.starts_with(&format!("E EX001 ELECTRIC {tag} is currently unsupported | D: We are")),
            "{heard}"
        );
    }
    check(&mut client, "BEGIN; ELECTRIC GRANT SELECT ON t TO 'admin'; COMMIT", expect![[r#"
        C BEGIN
        E EX001 ELECTRIC GRANT is currently unsupported | D: We are working on implementing access controls -- when these features are completed then this command will work
        Z E
    "#]]).await;
}

#[tokio::test]
async fn what_is_wrong_is_a_syntax_error() {
    let (_database, admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    check(&mut client, "/* é */ ELECTRIC JUNK;", expect![[r#"
        E 42601 Invalid ELECTRIC statement | D: syntax error before: "JUNK" | H: Statements are ALTER TABLE <table> ENABLE ELECTRIC and ALTER TABLE <table> DISABLE ELECTRIC. A table's name that is a keyword needs double quotes. | p: 10 | q: ELECTRIC JUNK
        Z I
    "#]]).await;
    // As with any syntax error nothing of the string is run.
    check(
        &mut client,
        "BEGIN; ELECTRIC ENABLE t; COMMIT; ALTER TABLE ONLY t ENABLE ELECTRIC",
        expect![[r#"
            E 42601 Invalid ELECTRIC statement | D: syntax error before: "t" | H: Statements are ALTER TABLE <table> ENABLE ELECTRIC and ALTER TABLE <table> DISABLE ELECTRIC. A table's name that is a keyword needs double quotes. | p: 18 | q: ALTER TABLE ONLY t ENABLE ELECTRIC
            Z I
        "#]],
    )
    .await;
    check(
        &mut client,
        "ELECTRIC ENABLE t; SELEC 1; ELECTRIC JUNK",
        expect![[r#"
        E 42601 syntax error at or near "SELEC" | P: 20
        Z I
    "#]],
    )
    .await;
    check(
        &mut client,
        "BEGIN",
        expect![[r#"
        C BEGIN
        Z T
    "#]],
    )
    .await;
    check(&mut client, "ELECTRIC JUNK", expect![[r#"
        E 42601 Invalid ELECTRIC statement | D: syntax error before: "JUNK" | H: Statements are ALTER TABLE <table> ENABLE ELECTRIC and ALTER TABLE <table> DISABLE ELECTRIC. A table's name that is a keyword needs double quotes. | p: 10 | q: ELECTRIC JUNK
        Z E
    "#]]).await;
    check(&mut client, "ELECTRIC JUNK", expect![[r#"
        E 42601 Invalid ELECTRIC statement | D: syntax error before: "JUNK" | H: Statements are ALTER TABLE <table> ENABLE ELECTRIC and ALTER TABLE <table> DISABLE ELECTRIC. A table's name that is a keyword needs double quotes. | p: 10 | q: ELECTRIC JUNK
        Z E
    "#]]).await;
    check(
        &mut client,
        "ROLLBACK",
        expect![[r#"
        C ROLLBACK
        Z I
    "#]],
    )
    .await;
    assert_eq!(synced(&admin).await, [""; 0]);
}

#[tokio::test]
async fn places_of_errors_are_those_in_the_clients_text() {
    let (_database, _admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    for text in [
        "ALTER TABLE t ENABLE ELECTRIC; SELECT é FROM t",
        "SELECT 'é' FROM é; ALTER TABLE t ENABLE ELECTRIC",
        "ELECTRIC ENABLE t; ELECTRIC DISABLE t; SELECT 1; SELECT 1 + é",
        "ELECTRIC ENABLE t; SELECT é FROM",
    ] {
        let heard = client.query(text).await;
        let place = text.rfind("é;").or(text.rfind(" é").map(|at| at + 1)).unwrap();
        let place = if text.ends_with("FROM") { text.len() } else { place };
        let place = text[..place].chars().count() + 1;
        assert!(heard.contains(&format!(" | P: {place}\n")), "{text}: {heard}");
    }
}

#[tokio::test]
async fn without_the_schema_postgres_says_so() {
    let (_database, front) = Front::start().await;
    let mut client = Raw::of(&front).await;
    check(
        &mut client,
        "SELECT 1; ALTER TABLE t ENABLE ELECTRIC",
        expect![[r#"
        T
        D 1
        C SELECT 1
        E 3F000 schema "electric" does not exist | P: 11
        Z I
    "#]],
    )
    .await;
}

#[tokio::test]
async fn strings_may_follow_each_other_without_waiting() {
    let (_database, admin, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    let script = Script::default()
        .query("ELECTRIC ENABLE t; SELECT 1")
        .query("")
        .query("CALL electric.enable('u')")
        .query("ELECTRIC JUNK")
        .query("CALL electric.electrify('u')")
        .query(" ; ELECTRIC DISABLE t;");
    expect![[r#"
        N 00000 Electrifying table public.t
        C ELECTRIC ENABLE
        T
        D 1
        C SELECT 1
        Z I
        I
        Z I
        N 00000 Electrifying table public.u | W
        C CALL
        Z I
        E 42601 Invalid ELECTRIC statement | D: syntax error before: "JUNK" | H: Statements are ALTER TABLE <table> ENABLE ELECTRIC and ALTER TABLE <table> DISABLE ELECTRIC. A table's name that is a keyword needs double quotes. | p: 10 | q: ELECTRIC JUNK
        Z I
        N 00000 table public.u is already electrified
        C ELECTRIC ENABLE
        Z I
        N 00000 table public.t is not synced any more; clients keep the rows that they have
        C ELECTRIC DISABLE
        Z I
    "#]].assert_eq(&client.play(script).await);
    assert_eq!(synced(&admin).await, ["public.u"]);
}

//! A database that can't watch its schema: the service's role is no superuser, so that the proxy does it (spec 04 §8, §11).

use expect_test::expect;
use postgres::{
    connection::{self, ConnectConfig, Purpose},
    install::install,
};
use testkit::Database;
use tokio_postgres::Client;

use super::{
    raw::{Raw, Script},
    synced,
};
use crate::support::{Front, Wishes};

/// A proxy that guards a database, of which the role owns the tables.
async fn start(schema: &str) -> (Database, Client, Front) {
    let database = Database::create().await;
    let role = format!("service_{}", database.name);
    let rights = format!(
        "CREATE ROLE {role} LOGIN REPLICATION PASSWORD 'pw'; GRANT CREATE ON DATABASE {} TO {role};
         GRANT USAGE, CREATE ON SCHEMA public TO {role}",
        database.name
    );
    database.client().await.batch_execute(&rights).await.unwrap();
    let (mut config, _) = ConnectConfig::parse(&database.url, Some(false), None).unwrap();
    config.user = role;
    let mut service = connection::connect(&config, Purpose::Tool).await.unwrap();
    install(&mut service).await.unwrap();
    service.batch_execute(schema).await.unwrap();
    let tier: i32 = service.query_one("SELECT electric.guard_tier()", &[]).await.unwrap().get(0);
    assert_eq!(tier, 2);
    let front = Front::with(config, Wishes::default()).await;
    front.guarding.set(true);
    (database, service, front)
}

const TABLES: &str = "CREATE TABLE t (id int PRIMARY KEY, v text); CREATE TABLE other (id int PRIMARY KEY); CREATE INDEX t_v ON t (v);
    CREATE PROCEDURE spoil() LANGUAGE plpgsql AS 'BEGIN ALTER TABLE public.t DROP COLUMN v; END';
    CREATE PROCEDURE commits() LANGUAGE plpgsql AS
        'BEGIN INSERT INTO public.other VALUES (1); COMMIT; INSERT INTO public.other VALUES (2); ROLLBACK; ALTER TABLE public.t ADD n int; END';
    CREATE PROCEDURE answer(INOUT n int) LANGUAGE plpgsql AS 'BEGIN n := n + 1; END';
    CALL electric.electrify('t')";

#[tokio::test]
async fn refusals_are_those_of_the_spec_in_both_protocols() {
    let (_database, service, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    expect![[r#"
        E EX004 Cannot drop electrified table "public"."t" | D: Electric currently only supports additive migrations (ADD COLUMN, ADD INDEX) | H: Take it out of the sync first: CALL electric.disable('public.t'); or, for maintenance, SET electric.bypass_guards = on; | s: public | t: t
        Z I
    "#]].assert_eq(&client.query("DROP TABLE t").await);
    for (text, code, message) in [
        ("ALTER TABLE t ADD COLUMN c cidr", "EX005", "Cannot electrify column of type \"cidr\""),
        ("ALTER TABLE t ADD COLUMN c int DEFAULT 1", "EX006", "Cannot electrify column with DEFAULT clause"),
        ("ALTER TABLE t ADD COLUMN c int UNIQUE", "EX011", "Cannot electrify column with UNIQUE constraint"),
        (
            "ALTER TABLE t DROP COLUMN v",
            "EX010",
            "Cannot drop column \"v\" of electrified table \"public\".\"t\"",
        ),
        (
            "ALTER TABLE t ALTER v TYPE varchar",
            "EX009",
            "Cannot change type of column \"v\" of electrified table \"public\".\"t\"",
        ),
        (
            "ALTER TABLE t ALTER v SET NOT NULL",
            "EX007",
            "Cannot alter column \"v\" of electrified table \"public\".\"t\"",
        ),
        ("ALTER TABLE t RENAME TO s", "EX002", "Cannot rename electrified table \"public\".\"t\""),
        (
            "ALTER TABLE t RENAME v TO w",
            "EX008",
            "Cannot rename column \"v\" of electrified table \"public\".\"t\"",
        ),
        ("DROP TABLE other, t", "EX004", "Cannot drop electrified table \"public\".\"t\""),
        ("DO $$ BEGIN DROP TABLE t; END $$", "EX004", "Cannot drop electrified table \"public\".\"t\""),
        ("CALL spoil()", "EX010", "Cannot drop column \"v\" of electrified table \"public\".\"t\""),
    ] {
        let detail = "Electric currently only supports additive migrations (ADD COLUMN, ADD INDEX)";
        let expected = format!("E {code} {message} | D: {detail} | H: ");
        for script in [
            Script::default().query(text),
            Script::default().query(&format!("SELECT 1; {text}; SELECT 2")),
            Script::default().run(text).sync(),
            Script::default().run("SELECT 1").run(text).run("SELECT 2").sync(),
        ] {
            let heard = client.play(script).await;
            let error =
                heard.lines().find(|line| line.starts_with('E')).unwrap_or_else(|| panic!("{text}: {heard}"));
            assert!(error.starts_with(&expected) && !error.contains("| W:"), "{text}: {heard}");
            // The statement is not told to be done, and nothing after it is.
            assert!(
                heard.ends_with(&format!("{error}\nZ I\n"))
                    && !heard.contains("C ALTER")
                    && !heard.contains("C D"),
                "{heard}"
            );
        }
        // A transaction is aborted by it, and one in a string does not get through.
        client.query("BEGIN; INSERT INTO other VALUES (7)").await;
        assert!(client.query(text).await.ends_with("Z E\n"), "{text}");
        assert_eq!(client.query("COMMIT").await, "C ROLLBACK\nZ I\n");
        let heard = client.query(&format!("BEGIN; INSERT INTO other VALUES (8); {text}; COMMIT")).await;
        assert!(heard.contains(&expected) && heard.ends_with("Z E\n"), "{heard}");
        client.query("ROLLBACK").await;
    }
    assert_eq!(synced(&service).await, ["public.t"]);
    let left: i64 = service.query_one("SELECT count(*) FROM other", &[]).await.unwrap().get(0);
    assert_eq!(left, 0);
}

#[tokio::test]
async fn what_clients_can_follow_is_captured() {
    let (_database, service, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    expect![[r#"
        N 00000 Migration affecting electrified table "public"."t" | D: Capturing migration: ALTER TABLE "public"."t" ADD COLUMN "c" text | s: public | t: t
        C ALTER TABLE
        Z I
    "#]].assert_eq(&client.query("ALTER TABLE t ADD COLUMN c text").await);
    let script = Script::default().run("CREATE INDEX t_c ON t (c)").run("SELECT 1").sync();
    expect![[r#"
        1
        2
        n
        N 00000 Migration affecting electrified table "public"."t" | D: Capturing migration: CREATE INDEX t_c ON public.t USING btree (c) | s: public | t: t
        C CREATE INDEX
        1
        2
        T
        D 1
        C SELECT 1
        Z I
    "#]].assert_eq(&client.play(script).await);
    expect![[r#"
        C BEGIN
        N 00000 Migration affecting electrified table "public"."t" | D: Capturing migration: ALTER TABLE "public"."t" ADD COLUMN "d" integer | s: public | t: t
        C ALTER TABLE
        C INSERT 0 1
        C COMMIT
        T
        D 1
        C SELECT 1
        Z I
    "#]].assert_eq(&client.query("BEGIN; ALTER TABLE t ADD COLUMN d int; INSERT INTO t (id) VALUES (1); COMMIT; SELECT id FROM t").await);
    let versions: i64 = service
        .query_one("SELECT count(DISTINCT version) FROM electric.ddl_commands", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(versions, 4);
}

#[tokio::test]
async fn what_has_to_be_alone_still_is() {
    let (_database, service, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    expect![[r#"
        N 00000 Migration affecting electrified table "public"."t" | D: Capturing migration: CREATE INDEX t_both ON public.t USING btree (v, id) | s: public | t: t
        C CREATE INDEX
        Z I
    "#]].assert_eq(&client.query("CREATE INDEX CONCURRENTLY t_both ON t (v, id)").await);
    let script = Script::default().run("DROP INDEX CONCURRENTLY t_both").sync();
    expect![[r#"
        1
        2
        n
        N 00000 Migration affecting electrified table "public"."t" | D: Capturing migration: DROP INDEX "public"."t_both" | s: public | t: t
        C DROP INDEX
        Z I
    "#]].assert_eq(&client.play(script).await);
    expect![[r#"
        N 00000 Migration affecting electrified table "public"."t" | D: Capturing migration: ALTER TABLE "public"."t" ADD COLUMN "n" integer | s: public | t: t
        C CALL
        Z I
    "#]].assert_eq(&client.query("CALL commits()").await);
    let left: i64 = service.query_one("SELECT count(*) FROM other", &[]).await.unwrap().get(0);
    assert_eq!(left, 1);
    expect![[r#"
        T
        D 42
        C CALL
        Z I
    "#]]
    .assert_eq(&client.query("CALL answer(41)").await);
    expect![[r#"
        T
        D 1
        C SELECT 1
        E 25001 CREATE INDEX CONCURRENTLY cannot run inside a transaction block
        Z I
    "#]]
    .assert_eq(&client.query("SELECT 1; CREATE INDEX CONCURRENTLY t_both ON t (v, id)").await);
    expect![[r#"
        E 42601 syntax error at end of input | P: 22
        Z I
    "#]]
    .assert_eq(&client.query("CREATE TABLE broken (").await);
    expect![[r#"
        T
        C SELECT 0
        E 42P01 relation "none" does not exist
        Z I
    "#]]
    .assert_eq(&client.query("SELECT name FROM pg_prepared_statements; ALTER TABLE none ADD a int").await);
}

#[tokio::test]
async fn the_schema_may_be_removed() {
    let (_database, service, front) = start(TABLES).await;
    let mut client = Raw::of(&front).await;
    expect![[r#"
        C SET
        C DROP PUBLICATION
        C DROP SCHEMA
        Z I
    "#]].assert_eq(&client.query("SET client_min_messages = warning; DROP PUBLICATION electric_publication; DROP SCHEMA electric CASCADE").await);
    let left: Option<String> =
        service.query_one("SELECT to_regnamespace('electric')::text", &[]).await.unwrap().get(0);
    assert_eq!(left, None);
    expect![[r#"
        C DROP TABLE
        Z I
    "#]]
    .assert_eq(&client.query("DROP TABLE t").await);
}

#[tokio::test]
async fn a_driver_that_prepares_ahead() {
    let (_database, _service, front) = start(TABLES).await;
    let mut client = front.client("app").await;
    let add = client.prepare("ALTER TABLE t ADD COLUMN IF NOT EXISTS c text").await.unwrap();
    let drop = client.prepare("DROP TABLE t").await.unwrap();
    client.execute(&add, &[]).await.unwrap();
    let transaction = client.transaction().await.unwrap();
    transaction.execute(&add, &[]).await.unwrap();
    let refused = transaction.execute(&drop, &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "EX004");
    transaction.rollback().await.unwrap();
    client.batch_execute("BEGIN; ALTER TABLE t ADD COLUMN d text; COMMIT").await.unwrap();
    let refused = client.execute(&drop, &[]).await.unwrap_err();
    assert_eq!(refused.code().unwrap().code(), "EX004");
    assert_eq!(client.query("SELECT c, d FROM t", &[]).await.unwrap().len(), 0);
}

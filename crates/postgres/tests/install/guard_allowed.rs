//! What the guard lets pass without a word, because nothing that clients have depends on it (spec 04 §8, §11).

use testkit::Database;
use tokio_postgres::Client;

use super::{capture::assert_current, installed, rows, run, value};

const HARMLESS: &[&str] = &[
    "ALTER TABLE t DISABLE TRIGGER own; ALTER TABLE t ENABLE TRIGGER own; ALTER TABLE t ENABLE ALWAYS TRIGGER own; ALTER TABLE t ENABLE REPLICA TRIGGER own",
    "ALTER TABLE t DISABLE TRIGGER USER; ALTER TABLE t ENABLE TRIGGER ALL",
    "ALTER TABLE t OWNER TO CURRENT_USER",
    "ALTER TABLE t ALTER COLUMN v SET STATISTICS 200, ALTER COLUMN v SET STORAGE EXTERNAL, ALTER COLUMN v SET (n_distinct = 5), ALTER COLUMN v RESET (n_distinct)",
    "ALTER TABLE t ALTER COLUMN v SET COMPRESSION pglz",
    "ALTER TABLE t SET (fillfactor = 70, autovacuum_enabled = off); ALTER TABLE t RESET (fillfactor)",
    "ALTER TABLE t SET ACCESS METHOD heap",
    "ALTER TABLE t ALTER CONSTRAINT t_parent_fkey DEFERRABLE INITIALLY DEFERRED",
    "ALTER TABLE t ALTER CONSTRAINT t_parent_fkey NOT DEFERRABLE",
    "ALTER TABLE t VALIDATE CONSTRAINT t_other_fkey",
    "ALTER INDEX t_v SET (fillfactor = 50); ALTER INDEX t_v RESET (fillfactor); ALTER INDEX t_e ALTER COLUMN 1 SET STATISTICS 10",
    "REINDEX INDEX t_v; REINDEX TABLE t; REINDEX TABLE CONCURRENTLY t; REINDEX SCHEMA CONCURRENTLY public",
    "CLUSTER t USING t_v; CLUSTER t",
    "VACUUM FULL t; ANALYZE t",
    "CREATE POLICY p ON t USING (true); ALTER POLICY p ON t RENAME TO q; DROP POLICY q ON t",
    "GRANT SELECT ON t TO PUBLIC; REVOKE ALL ON t FROM PUBLIC; GRANT UPDATE (v) ON t TO PUBLIC",
    "COMMENT ON TABLE t IS 'x'; COMMENT ON COLUMN t.v IS 'y'",
    "CREATE VIEW seen AS SELECT v FROM t; DROP VIEW seen; CREATE RULE r AS ON DELETE TO t WHERE false DO NOTHING; DROP RULE r ON t",
    "CREATE TRIGGER more BEFORE INSERT ON t FOR EACH ROW EXECUTE FUNCTION own(); ALTER TRIGGER more ON t RENAME TO most; DROP TRIGGER most ON t",
    "CREATE CONSTRAINT TRIGGER c AFTER INSERT ON t DEFERRABLE FOR EACH ROW EXECUTE FUNCTION own(); DROP TRIGGER c ON t",
    "CREATE STATISTICS s ON id, v FROM t; DROP STATISTICS s",
    "TRUNCATE t CASCADE",
    "INSERT INTO t VALUES (1, 'v'); COPY t TO '/dev/null'",
    "CREATE PUBLICATION others FOR TABLE t; DROP PUBLICATION others",
    "CREATE TABLE fk (t int REFERENCES t ON DELETE CASCADE); ALTER TABLE fk DROP CONSTRAINT fk_t_fkey; DROP TABLE fk",
    "CREATE TABLE heir () INHERITS (t); DROP TABLE heir; CREATE TABLE alike (LIKE t INCLUDING ALL); DROP TABLE alike",
    "ALTER FUNCTION checked(text) RENAME TO checking; ALTER FUNCTION checking(text) RENAME TO checked",
    "CREATE SCHEMA other; DROP SCHEMA other; CREATE EXTENSION IF NOT EXISTS plpgsql",
];

async fn synced() -> (Database, Client) {
    let (database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE parent (id int PRIMARY KEY);
         CREATE FUNCTION own() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NEW; END';
         CREATE FUNCTION checked(text) RETURNS boolean LANGUAGE sql IMMUTABLE AS 'SELECT true';
         CREATE TABLE t (id int PRIMARY KEY, v text, parent int REFERENCES parent, other int);
         ALTER TABLE t ADD CONSTRAINT t_other_fkey FOREIGN KEY (other) REFERENCES parent NOT VALID;
         CREATE INDEX t_v ON t (v); CREATE INDEX t_e ON t (lower(v));
         CREATE TRIGGER own BEFORE UPDATE ON t FOR EACH ROW EXECUTE FUNCTION own();
         BEGIN; CALL electric.electrify('parent'); CALL electric.electrify('t'); COMMIT",
    )
    .await;
    (database, client)
}

#[tokio::test]
async fn harmless_statements() {
    let (_database, client) = synced().await;
    for statements in HARMLESS {
        for statement in statements.split(';') {
            run(&client, statement).await;
        }
        assert_eq!(value(&client, "SELECT count(*) FROM electric.ddl_commands").await, "2", "{statements}");
        assert_eq!(
            value(&client, "SELECT count(*) FROM electric.migration_versions").await,
            "1",
            "{statements}"
        );
        assert_eq!(
            value(&client, "SELECT verdict FROM electric.inspect('t'::regclass)").await,
            "same",
            "{statements}"
        );
    }
    // And none of them is in the way of what comes later.
    run(&client, "ALTER TABLE t ADD COLUMN last int").await;
    assert_current(&client, "t").await;
}

#[tokio::test]
async fn triggers_of_ours_stay_on() {
    let (_database, client) = synced().await;
    for statement in [
        "ALTER TABLE t DISABLE TRIGGER ALL",
        "ALTER TABLE t DISABLE TRIGGER USER",
        "ALTER TABLE t ENABLE TRIGGER ALL",
    ] {
        run(&client, statement).await;
        let levels = "SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgname LIKE 'electric\\_%'";
        assert_eq!(rows(&client, levels).await, ["A"], "{statement}");
    }
    let own = "SELECT tgenabled FROM pg_trigger WHERE tgrelid = 't'::regclass AND tgname = 'own'";
    assert_eq!(value(&client, own).await, "O");
    run(&client, "ALTER TABLE t DISABLE TRIGGER ALL").await;
    assert_eq!(value(&client, own).await, "D");
}

/// The documented way to get rid of everything, in the documented order and in the other one.
#[tokio::test]
async fn uninstalling() {
    for script in [
        "DROP PUBLICATION electric_publication; DROP SCHEMA electric CASCADE",
        "BEGIN; DROP SCHEMA electric CASCADE; DROP PUBLICATION electric_publication; COMMIT",
    ] {
        let (_database, mut client) = synced().await;
        run(&client, "INSERT INTO t VALUES (1, 'v')").await;
        run(&client, script).await;
        assert_eq!(value(&client, "SELECT count(*) FROM pg_event_trigger").await, "0");
        run(&client, "UPDATE t SET v = 'w'; ALTER TABLE t DROP COLUMN v, ADD w int DEFAULT 1; INSERT INTO t VALUES (2); DROP TABLE t").await;
        postgres::install::install(&mut client).await.unwrap();
        run(
            &client,
            "CREATE TABLE t (id int PRIMARY KEY); CALL electric.electrify('t'); ALTER TABLE t ADD c int",
        )
        .await;
    }
}

/// A schema that is taken apart by hand is in nobody's way.
#[tokio::test]
async fn an_installation_in_pieces() {
    let (_database, client) = synced().await;
    run(&client, "DROP TABLE electric.electrified; ALTER TABLE t ADD COLUMN w int; DROP INDEX t_e; ALTER TABLE t DROP COLUMN v").await;
    run(&client, "CREATE TABLE plain (id int); DROP TABLE plain; DROP SCHEMA electric CASCADE").await;
}

#[tokio::test]
async fn a_database_that_is_dropped() {
    let (database, client) = synced().await;
    drop(client);
    let other = Database::create().await;
    let admin = other.client().await;
    run(&admin, &format!("DROP DATABASE {} WITH (FORCE)", database.name)).await;
}

/// What the guard costs others: far less than the statement itself does.
#[tokio::test]
async fn statements_about_other_tables_are_cheap() {
    let (_database, client) = synced().await;
    let timed = "DO $$ DECLARE start timestamptz := clock_timestamp(); BEGIN
        FOR i IN 1..100 LOOP CREATE TABLE plain (id int PRIMARY KEY); ALTER TABLE plain ADD v text; CREATE INDEX ON plain (v); DROP TABLE plain; END LOOP;
        PERFORM set_config('test.took', extract(epoch FROM clock_timestamp() - start)::text, false); END $$";
    let took = async || {
        run(&client, timed).await;
        value(&client, "SELECT current_setting('test.took')").await.parse::<f64>().unwrap()
    };
    took().await;
    let mut ratios = Vec::new();
    for _ in 0..5 {
        let guarded = took().await;
        run(&client, "ALTER EVENT TRIGGER electric_guard_command_end DISABLE; ALTER EVENT TRIGGER electric_guard_dropped DISABLE; ALTER EVENT TRIGGER electric_guard_command_start DISABLE").await;
        let plain = took().await;
        run(&client, "ALTER EVENT TRIGGER electric_guard_command_end ENABLE; ALTER EVENT TRIGGER electric_guard_dropped ENABLE; ALTER EVENT TRIGGER electric_guard_command_start ENABLE").await;
        ratios.push(guarded / plain);
    }
    ratios.sort_by(f64::total_cmp);
    assert!(ratios[2] < 3.0, "statements take {ratios:?} times as long");
}

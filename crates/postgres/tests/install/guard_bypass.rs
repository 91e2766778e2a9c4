//! Maintenance: what the guard would refuse goes through for those who may say so, and the table leaves the sync.

use tokio_postgres::Client;

use super::{installed, refused, rows, run, value};

async fn synced() -> (testkit::Database, Client) {
    let (database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE parent (id int PRIMARY KEY, w text); CREATE TABLE t (id int PRIMARY KEY, v text, parent int REFERENCES parent);
         BEGIN; CALL electric.electrify('parent'); CALL electric.electrify('t'); COMMIT; INSERT INTO parent VALUES (1, 'w'); INSERT INTO t VALUES (1, 'v', 1)",
    )
    .await;
    (database, client)
}

/// What is recorded after the two tables, in order.
async fn recorded(client: &Client) -> Vec<String> {
    rows(
        client,
        "SELECT coalesce('removed ' || (snapshot -> 'removed' ->> 'name'),
                'suspended ' || (snapshot -> 'suspended' ->> 'name') || ': ' || (snapshot -> 'suspended' ->> 'reason'),
                'table ' || (snapshot -> 'table' ->> 'name'))
         FROM electric.ddl_commands ORDER BY id OFFSET 2",
    )
    .await
}

/// What there is of ours at or for a table.
async fn left_overs(client: &Client, table: &str) -> String {
    value(
        client,
        &format!(
            "SELECT (SELECT count(*) FROM pg_trigger WHERE tgrelid = to_regclass('{table}') AND tgname LIKE 'electric\\_%')
                + (SELECT count(*) FROM pg_class WHERE relname = 'shadow__public__{table}')
                + (SELECT count(*) FROM pg_publication_tables WHERE tablename IN ('{table}', 'shadow__public__{table}'))
                + (SELECT count(*) FROM electric.electrified WHERE table_name = '{table}')
                + (SELECT count(*) FROM pg_class WHERE oid = to_regclass('{table}') AND relreplident <> 'd')"
        ),
    )
    .await
}

#[tokio::test]
async fn a_changed_table_is_suspended_and_can_come_back() {
    for (statement, reason) in [
        ("ALTER TABLE t DROP COLUMN v", r#"column "v" was dropped"#),
        ("ALTER TABLE t RENAME v TO w", r#"column "v" was renamed to "w""#),
        ("ALTER TABLE t ALTER v TYPE varchar", r#"the type of column "v" was changed"#),
        (
            "ALTER TABLE t ADD COLUMN c int DEFAULT 7",
            r#"column "c" was added in a way that clients can't have"#,
        ),
        ("ALTER TABLE t DROP CONSTRAINT t_parent_fkey", "constraint t_parent_fkey was dropped"),
        ("ALTER TABLE t REPLICA IDENTITY NOTHING", "its REPLICA IDENTITY was changed"),
    ] {
        let (_database, client) = synced().await;
        let version = "SELECT max(version COLLATE \"C\") FROM electric.migration_versions";
        let before = value(&client, version).await;
        run(&client, &format!("SET electric.bypass_guards = on; {statement}")).await;
        assert_eq!(recorded(&client).await, [format!("suspended t: {reason}")]);
        assert!(value(&client, version).await > before);
        run(&client, "INSERT INTO t (id) VALUES (2); DELETE FROM t WHERE id = 2").await;
        if !statement.contains("REPLICA") {
            assert_eq!(left_overs(&client, "t").await, "0", "{statement}");
        }
        run(&client, "RESET electric.bypass_guards; ALTER TABLE t ADD COLUMN free text[] DEFAULT '{}'; ALTER TABLE t DROP COLUMN free").await;
        run(&client, "CALL electric.electrify('t'); UPDATE t SET parent = NULL").await;
        assert_eq!(recorded(&client).await, [format!("suspended t: {reason}"), "table t".to_owned()]);
        assert_eq!(refused(&client, "DROP TABLE t").await.code().code(), "EX004");
    }
}

#[tokio::test]
async fn a_dropped_table_is_removed() {
    let (_database, client) = synced().await;
    run(&client, "BEGIN; SET LOCAL electric.bypass_guards = on; DROP TABLE parent, t; COMMIT").await;
    assert_eq!(recorded(&client).await, ["removed parent", "removed t"]);
    for table in ["parent", "t"] {
        assert_eq!(left_overs(&client, table).await, "0");
    }
    assert_eq!(value(&client, "SELECT count(*) FROM pg_proc WHERE proname ~ '^native_.*[0-9]$'").await, "0");
    assert_eq!(value(&client, "SELECT count(DISTINCT version) FROM electric.ddl_commands").await, "2");
    run(
        &client,
        "CREATE TABLE t (id text PRIMARY KEY); CALL electric.electrify('t'); INSERT INTO t VALUES ('x')",
    )
    .await;
    assert_eq!(recorded(&client).await, ["removed parent", "removed t", "table t"]);
    assert_eq!(
        refused(&client, "DROP TABLE t").await.code().code(),
        "EX004",
        "the setting ended with its transaction"
    );
}

#[tokio::test]
async fn both_at_once() {
    let (_database, client) = synced().await;
    run(&client, "SET electric.bypass_guards = yes; DROP TABLE parent CASCADE").await;
    assert_eq!(
        recorded(&client).await,
        ["removed parent", "suspended t: constraint t_parent_fkey was dropped"]
    );
    run(&client, "DROP TABLE t").await;
    assert_eq!(value(&client, "SELECT count(*) FROM electric.electrified").await, "0");
    assert_eq!(value(&client, "SELECT count(*) FROM pg_class WHERE relname LIKE 'shadow%'").await, "0");
}

/// Tables that refer to one that has left go on being synced.
#[tokio::test]
async fn children_of_a_suspended_table() {
    let (_database, client) = synced().await;
    run(
        &client,
        "SET electric.bypass_guards = on; ALTER TABLE parent DROP COLUMN w; RESET electric.bypass_guards",
    )
    .await;
    run(&client, "ALTER TABLE t ADD COLUMN c int; INSERT INTO t VALUES (2, 'v', 1, 3)").await;
    assert_eq!(recorded(&client).await, [r#"suspended parent: column "w" was dropped"#, "table t"]);
    run(&client, "CREATE TABLE u (id int PRIMARY KEY, parent int REFERENCES parent)").await;
    assert_eq!(refused(&client, "CALL electric.electrify('u')").await.code().code(), "P0001");
}

#[tokio::test]
async fn what_is_rolled_back_is_still_synced() {
    let (_database, client) = synced().await;
    run(
        &client,
        "BEGIN; SET LOCAL electric.bypass_guards = on; ALTER TABLE t DROP COLUMN v; DROP TABLE t; ROLLBACK",
    )
    .await;
    assert!(recorded(&client).await.is_empty());
    assert_eq!(refused(&client, "ALTER TABLE t DROP COLUMN v").await.code().code(), "EX010");
    run(&client, "INSERT INTO t VALUES (2, 'v', 1)").await;
    assert_eq!(value(&client, "SELECT count(*) FROM electric.shadow__public__t").await, "2");
}

#[tokio::test]
async fn additive_changes_are_captured_all_the_same() {
    let (_database, client) = synced().await;
    run(
        &client,
        "SET electric.bypass_guards = on; ALTER TABLE t ADD COLUMN c int; ALTER TABLE t DISABLE TRIGGER ALL",
    )
    .await;
    assert_eq!(recorded(&client).await, ["table t"]);
    let off = "SELECT DISTINCT tgenabled FROM pg_trigger WHERE tgrelid = 't'::regclass";
    assert_eq!(rows(&client, off).await, ["D"], "whoever says so may even do without our triggers");
}

/// It is a setting that everybody can make, and that only some are heard with.
#[tokio::test]
async fn only_for_those_who_may() {
    let (database, client) = synced().await;
    let (role, owner) = (format!("developer_{}", database.name), format!("owner_{}", database.name));
    run(&client, &format!("CREATE ROLE {role}; CREATE ROLE {owner}; ALTER TABLE t OWNER TO {role}; GRANT CREATE ON SCHEMA public TO {role}")).await;
    for setting in ["on", "true", "1"] {
        run(&client, &format!("SET ROLE {role}; SET electric.bypass_guards = '{setting}'")).await;
        let refusal = refused(&client, "ALTER TABLE t DROP COLUMN v").await;
        assert_eq!(refusal.code().code(), "EX010");
        assert!(refusal.hint().unwrap().contains(&format!("which {role} is not")), "{refusal:?}");
    }
    // Not even by a function of somebody who may.
    run(
        &client,
        &format!(
            "RESET ROLE; CREATE FUNCTION drop_v() RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET electric.bypass_guards = on
             AS 'BEGIN ALTER TABLE t DROP COLUMN v; END'; ALTER TABLE t OWNER TO CURRENT_USER; SET ROLE {role}"
        ),
    )
    .await;
    assert_eq!(refused(&client, "SELECT drop_v()").await.code().code(), "EX010");
    for setting in ["off", "false", "maybe", ""] {
        run(&client, &format!("RESET ROLE; SET electric.bypass_guards = '{setting}'")).await;
        let refusal = refused(&client, "ALTER TABLE t DROP COLUMN v").await;
        assert!(!refusal.hint().unwrap().contains("bypass"), "{refusal:?}");
    }
    // Members of the schema's owner may.
    run(
        &client,
        &format!(
            "ALTER SCHEMA electric OWNER TO {owner}; GRANT {owner} TO {role}; ALTER TABLE t OWNER TO {role};
             SET ROLE {role}; SET electric.bypass_guards = on; ALTER TABLE t DROP COLUMN v; RESET ROLE"
        ),
    )
    .await;
    assert_eq!(recorded(&client).await, [r#"suspended t: column "v" was dropped"#]);
}

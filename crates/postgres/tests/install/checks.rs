//! What electrification refuses, with the texts users know (spec 04 §4), and what it accepts.

use super::{installed, refused, rows, run, value};

/// Electrifies one table made by `make`, and returns SQLSTATE and message.
async fn refusal(make: &str) -> (String, String) {
    let (_database, client) = installed().await;
    run(&client, make).await;
    let error = refused(&client, "CALL electric.electrify('foo')").await;
    let left =
        "SELECT (SELECT count(*) FROM electric.electrified) + (SELECT count(*) FROM electric.ddl_commands)
        + (SELECT count(*) FROM electric.migration_versions) + (SELECT count(*) FROM electric.captures)
        + (SELECT count(*) FROM pg_class WHERE relname LIKE 'shadow%')
        + (SELECT count(*) FROM pg_publication_tables WHERE tablename = 'foo')
        + (SELECT count(*) FROM pg_class WHERE relname = 'foo' AND relreplident = 'f')
        + (SELECT count(*) FROM pg_trigger WHERE tgname LIKE 'electric_native%')";
    assert_eq!(value(&client, left).await, "0", "{make}");
    assert!(error.hint().is_some() || error.code().code() != "P0001", "{error:?}");
    (error.code().code().to_owned(), error.message().to_owned())
}

async fn refused_as(make: &str, message: &str) {
    assert_eq!(refusal(make).await, ("P0001".to_owned(), message.to_owned()), "{make}");
}

#[tokio::test]
async fn only_ordinary_tables() {
    let message = "public.foo is not an ordinary table";
    refused_as("CREATE VIEW foo AS SELECT 1 AS id", message).await;
    refused_as("CREATE MATERIALIZED VIEW foo AS SELECT 1 AS id", message).await;
    refused_as("CREATE TABLE foo (id int PRIMARY KEY) PARTITION BY RANGE (id)", message).await;
    refused_as("CREATE SEQUENCE foo", message).await;
    let (_, unlogged) = refusal("CREATE UNLOGGED TABLE foo (id int PRIMARY KEY)").await;
    assert!(unlogged.starts_with(message), "{unlogged}");
    let (code, missing) = refusal("").await;
    assert_eq!((code.as_str(), missing.as_str()), ("42P01", "relation \"foo\" does not exist"));
}

#[tokio::test]
async fn only_schema_public() {
    let message = "Cannot electrify other.foo because only tables in the default `public` schema can be electrified.\n\n\
        See https://electric-sql.com/docs/usage/data-modelling/migrations#limitations\n\
        to learn more about the current limitations of electrified tables.";
    let (_database, client) = installed().await;
    run(&client, "CREATE SCHEMA other; CREATE TABLE other.foo (id int PRIMARY KEY)").await;
    let error = refused(&client, "CALL electric.electrify('other.foo')").await;
    assert_eq!((error.code().code(), error.message()), ("P0001", message));
    run(&client, "SET search_path = other, public").await;
    let error = refused(&client, "CALL electric.electrify('foo')").await;
    assert_eq!(error.message(), message.replace("other.foo", "foo"));
    let error = refused(&client, "CALL electric.electrify('electric', 'electrified')").await;
    assert!(error.message().starts_with("Cannot electrify electric.electrified because only"), "{error}");

    run(&client, "SET electric.__schema_validation_enabled = false; CALL electric.electrify('other', 'foo'); INSERT INTO foo VALUES (1)").await;
    assert_eq!(value(&client, "SELECT count(*) FROM electric.shadow__other__foo").await, "1");
}

#[tokio::test]
async fn only_types_that_can_be_synced() {
    refused_as(
        "CREATE EXTENSION IF NOT EXISTS plpgsql; CREATE DOMAIN mail AS text; CREATE TYPE pair AS (a int, b int);
         CREATE TYPE mood AS ENUM ('good', 'not so good', '1st');
         CREATE TABLE foo (id text PRIMARY KEY, a json, b numeric(10,2), c char(5), d varchar(20), e timetz, f interval, g int[],
            h mail, i pair, j inet, k money, l int4range, m xml, n mood, ok varchar, p oid, q \"char\")",
        "Cannot electrify foo because some of its columns have types not supported by Electric:\n\n    \
         g integer[]\n    i pair\n    k money\n    l int4range\n    m xml\n    \
         n mood (enum type mood contains unsupported values 'not so good', '1st')\n    p oid\n    q \"char\"\n\n\
         See https://electric-sql.com/docs/usage/data-modelling/types#supported-data-types\n\
         to learn more about data type support in Electric.",
    )
    .await;
}

#[tokio::test]
async fn no_generated_columns() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE foo (id int PRIMARY KEY DEFAULT 1, twice int GENERATED ALWAYS AS (id * 2) STORED,
            \"Half it\" int GENERATED ALWAYS AS (id / 2) STORED)",
    )
    .await;
    let error = refused(&client, "CALL electric.electrify('foo')").await;
    assert_eq!(
        (error.code().code(), error.message()),
        (
            "P0001",
            "Cannot electrify foo because some of its columns have DEFAULT expressions which are not currently supported by Electric:\n  twice\n  Half it"
        )
    );
    let hint = error.hint().unwrap();
    assert!(hint.contains("before version 18"), "{hint}");
    let (_, statement) = hint.split_once("by a trigger: ").unwrap();
    assert_eq!(
        statement,
        "ALTER TABLE foo ALTER COLUMN twice DROP EXPRESSION, ALTER COLUMN \"Half it\" DROP EXPRESSION;"
    );
    run(&client, statement).await;
    run(&client, "CALL electric.electrify('foo')").await;
}

#[tokio::test]
async fn a_primary_key() {
    refused_as(
        "CREATE TABLE foo (id int NOT NULL)",
        "Cannot electrify foo because it doesn't have a PRIMARY KEY.",
    )
    .await;
}

#[tokio::test]
async fn the_first_failing_check_is_the_one_reported() {
    let generated = "b int GENERATED ALWAYS AS (1) STORED";
    let (_, message) = refusal(&format!("CREATE TABLE foo (a xml, {generated})")).await;
    assert!(message.contains("types not supported"), "{message}");
    let (_, message) = refusal(&format!("CREATE TABLE foo ({generated})")).await;
    assert!(message.contains("DEFAULT expressions"), "{message}");
    let (_, message) = refusal("CREATE TABLE foo (b int UNIQUE)").await;
    assert!(message.contains("PRIMARY KEY"), "{message}");
}

#[tokio::test]
async fn no_more_than_400_columns() {
    let columns: Vec<String> = (1..=400).map(|n| format!("c{n} int")).collect();
    let message = "Cannot electrify foo because it has more than 400 columns.";
    refused_as(&format!("CREATE TABLE foo (id int PRIMARY KEY, {})", columns.join(", ")), message).await;
}

/// What the hint of a refusal says, done as it says, makes the table fit.
#[tokio::test]
async fn hints_can_be_followed() {
    for (make, hint) in [
        ("CREATE UNLOGGED TABLE foo (id int PRIMARY KEY)", "ALTER TABLE foo SET LOGGED;"),
        ("CREATE TABLE foo (id int NOT NULL)", "ALTER TABLE foo ADD PRIMARY KEY (id);"),
        ("CREATE TABLE foo (a int, b int, c int, UNIQUE (c, a))", "ALTER TABLE foo ADD PRIMARY KEY (c, a);"),
        (
            "CREATE TABLE foo (v text)",
            "ALTER TABLE foo ADD COLUMN id uuid PRIMARY KEY DEFAULT gen_random_uuid();",
        ),
        ("CREATE TABLE foo (_tags int PRIMARY KEY, v int)", "ALTER TABLE foo RENAME COLUMN _tags TO tags;"),
        ("CREATE TABLE foo (id int PRIMARY KEY, \"X\" xml)", "ALTER TABLE foo ALTER COLUMN \"X\" TYPE text;"),
    ] {
        let (_database, client) = installed().await;
        run(&client, make).await;
        let error = refused(&client, "CALL electric.electrify('foo')").await;
        assert_eq!(error.hint(), Some(hint), "{make}");
        run(&client, hint).await;
        run(&client, "CALL electric.electrify('foo')").await;
    }
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE foo (id int PRIMARY KEY, y int) PARTITION BY LIST (id);
         CREATE TABLE one PARTITION OF foo FOR VALUES IN (1);
         CREATE TABLE \"Two\" PARTITION OF foo FOR VALUES IN (2) PARTITION BY LIST (id);
         CREATE TABLE three PARTITION OF \"Two\" FOR VALUES IN (2)",
    )
    .await;
    let error = refused(&client, "CALL electric.electrify('foo')").await;
    let hint = "Electrify its partitions instead, each as a table of its own. CALL electric.electrify('public', 'one'); \
        CALL electric.electrify('public', 'three');";
    assert_eq!(error.hint(), Some(hint));
    run(&client, hint.split_once(". ").unwrap().1).await;
}

#[tokio::test]
async fn row_level_security_that_hides_rows_from_the_service() {
    let (database, client) = installed().await;
    let role = format!("service_{}", database.name);
    run(
        &client,
        &format!(
            "CREATE ROLE {role}; GRANT CREATE, USAGE ON SCHEMA public, electric TO {role};
             ALTER PROCEDURE electric.check_table(oid, text) SECURITY DEFINER;
             ALTER PROCEDURE electric.check_table(oid, text) OWNER TO {role};
             GRANT EXECUTE ON ALL ROUTINES IN SCHEMA electric TO {role}; GRANT ALL ON ALL TABLES IN SCHEMA electric TO {role};
             CREATE TABLE foo (id int PRIMARY KEY); ALTER TABLE foo OWNER TO {role}; ALTER TABLE foo ENABLE ROW LEVEL SECURITY"
        ),
    )
    .await;
    run(&client, "CALL electric.check_table('foo'::regclass, 'foo')").await;
    run(&client, "ALTER TABLE foo FORCE ROW LEVEL SECURITY").await;
    let error = refused(&client, "CALL electric.check_table('foo'::regclass, 'foo')").await;
    assert_eq!(
        error.message(),
        format!(
            "Cannot electrify foo because its row-level security hides rows from {role}, the role of the sync service."
        )
    );
    let hint = format!(
        "ALTER TABLE foo NO FORCE ROW LEVEL SECURITY; or, as superuser: ALTER ROLE {role} BYPASSRLS;"
    );
    assert_eq!(error.hint(), Some(hint.as_str()));
    run(&client, &format!("ALTER ROLE {role} BYPASSRLS")).await;
    run(&client, "CALL electric.check_table('foo'::regclass, 'foo')").await;
}

#[tokio::test]
async fn defaults_and_constraints_of_all_kinds_are_accepted() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
         CREATE TABLE foo (
            id serial PRIMARY KEY, big bigserial, a int DEFAULT 1 CHECK (a > 0), b int UNIQUE DEFERRABLE, c int DEFAULT 1 + 1,
            at timestamptz NOT NULL DEFAULT now(), who text DEFAULT current_user, r int GENERATED BY DEFAULT AS IDENTITY,
            s int GENERATED ALWAYS AS IDENTITY, t text DEFAULT 'x', CHECK (a > c), EXCLUDE USING btree (r WITH =)
         );
         CREATE CONSTRAINT TRIGGER mine AFTER INSERT ON foo DEFERRABLE FOR EACH ROW EXECUTE FUNCTION f();
         ALTER TABLE foo ADD CHECK (a <> 5) NOT VALID;
         SET datestyle = 'SQL, MDY'; SET timezone = 'Asia/Tokyo'; SET standard_conforming_strings = off;
         CREATE TABLE bar (id int PRIMARY KEY, d date DEFAULT '2020-01-02', ts timestamptz DEFAULT '2020-01-01 00:00:00+00', t text DEFAULT E'a\\\\b');
         CALL electric.electrify('foo'); CALL electric.electrify('bar')",
    )
    .await;
    let columns = "SELECT c ->> 'name', c ->> 'default', c ->> 'identity' FROM electric.ddl_commands d,
        jsonb_array_elements(d.snapshot -> 'table' -> 'columns') c
        WHERE coalesce(c ->> 'default', c ->> 'identity') IS NOT NULL ORDER BY d.id, c -> 'attnum'";
    assert_eq!(
        rows(&client, columns).await,
        [
            "id|nextval('foo_id_seq'::regclass)|",
            "big|nextval('foo_big_seq'::regclass)|",
            "a|1|",
            "c|(1 + 1)|",
            "at|now()|",
            "who|CURRENT_USER|",
            "r||d",
            "s||a",
            "t|'x'::text|",
            "d|'2020-01-02'::date|",
            "ts|'2020-01-01 00:00:00+00'::timestamp with time zone|",
            "t|'a\\b'::text|",
        ]
    );
    // A setting of old test suites still does no harm.
    run(&client, "SET electric.__constraint_validation_enabled = false; CALL electric.electrify('foo')")
        .await;
}

#[tokio::test]
async fn what_is_accepted() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TYPE mood AS ENUM ('GOOD', 'b_1');
         CREATE TABLE types (id uuid PRIMARY KEY, a bool, b bytea, c date, d float4, e float8, f int2, g int4, h int8, i jsonb, j text,
            k time, l timestamp, m timestamptz, n varchar, o mood, p timestamp(3), q time(1), r text COLLATE \"C\");
         CREATE TABLE composite (x text, a int, b int, PRIMARY KEY (b, a));
         CREATE TABLE identity (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, v text);
         CREATE TABLE self (id int PRIMARY KEY, up int REFERENCES self);
         CREATE TABLE indexed (id int PRIMARY KEY, v text); CREATE UNIQUE INDEX u ON indexed (v);
         CREATE TABLE dropped (id int PRIMARY KEY, gone json, v text); ALTER TABLE dropped DROP COLUMN gone;
         CREATE TABLE double (id int PRIMARY KEY, a int, b int, FOREIGN KEY (b, a) REFERENCES composite);
         CREATE TABLE filled (id int PRIMARY KEY); INSERT INTO filled SELECT generate_series(1, 100)",
    )
    .await;
    for table in ["types", "composite", "identity", "self", "indexed", "dropped", "double", "filled"] {
        run(&client, &format!("CALL electric.electrify('{table}')")).await;
    }
    run(
        &client,
        "INSERT INTO types (id, a) VALUES (gen_random_uuid(), true); UPDATE types SET o = 'b_1', i = '{}', d = 1; DELETE FROM types;
         INSERT INTO composite VALUES ('x', 1, 2); UPDATE composite SET x = 'y'; INSERT INTO double VALUES (1, 1, 2);
         INSERT INTO identity (v) VALUES ('x'); INSERT INTO self VALUES (1, 1); UPDATE dropped SET v = 'x'; DELETE FROM filled",
    )
    .await;
    assert_eq!(
        value(&client, "SELECT count(*) FROM electric.shadow__public__filled WHERE _tags = '{}'").await,
        "100"
    );
}

#[tokio::test]
async fn foreign_keys_to_tables_that_stay_outside_are_refused_at_commit() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE TABLE a (id int PRIMARY KEY); CREATE TABLE b (id int PRIMARY KEY);
         CREATE TABLE child (id int PRIMARY KEY, a int REFERENCES a, b int REFERENCES b)",
    )
    .await;
    let error = refused(&client, "CALL electric.electrify('child')").await;
    assert_eq!(error.code().code(), "P0001");
    assert_eq!(
        error.message(),
        "Cannot electrify child because it has foreign keys to tables that are not electrified:\n  a\n  b"
    );
    assert_eq!(value(&client, "SELECT count(*) FROM electric.electrified").await, "0");

    run(&client, "BEGIN; CALL electric.electrify('child'); CALL electric.electrify('a'); CALL electric.electrify('b'); COMMIT").await;
    // Parents first, whatever the order of the calls.
    let written = "SELECT snapshot -> 'table' ->> 'name' FROM electric.ddl_commands ORDER BY id";
    assert_eq!(rows(&client, written).await, ["a", "b", "child"]);
}

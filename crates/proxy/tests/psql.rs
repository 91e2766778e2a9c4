//! psql, pg_dump and pgbench: what they see through the proxy is what they see without it.

use std::{io::Write as _, process::Output};

use crate::support::{Front, run, said};

/// What is compared.
fn seen(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Plays a script on fresh databases, directly and through a proxy in two of its modes, and where it guards the schema; the
/// answer is what all showed.
async fn same(script: &str, arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let mut shown = Vec::new();
    for name in ["direct", "electric", "transparent", "guarded"] {
        let (database, front) = Front::start().await;
        front.guarding.set(name == "guarded");
        let url = if name == "direct" { database.url.clone() } else { front.url(name) };
        let file = directory.path().join("script.sql");
        let copy = directory.path().join(format!("{name}.csv"));
        let text = script.replace("FILE", copy.to_str().unwrap()).replace("MODE", name);
        std::fs::File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
        let mut all =
            vec!["-X", "-v", "VERBOSITY=verbose", "-v", "SHOW_CONTEXT=always", "-f", file.to_str().unwrap()];
        all.extend(arguments);
        let (code, out, error) = seen(&run("psql", &url, &all).await);
        let all = format!("{code:?}\n{out}\n{error}");
        shown.push(all.replace(copy.to_str().unwrap(), "FILE").replace(name, "MODE"));
    }
    for other in &shown[1..] {
        assert_eq!(&shown[0], other);
    }
    shown.swap_remove(0)
}

#[tokio::test]
async fn a_script_with_everything() {
    let shown = same(
        r#"
        CREATE SCHEMA s; CREATE SCHEMA IF NOT EXISTS s; SET search_path = s;
        CREATE TABLE t (id int PRIMARY KEY, body text, n numeric);
        INSERT INTO t SELECT i, 'row ' || i, i / 3.0 FROM generate_series(1, 1000) i;
        \copy t TO 'FILE' WITH (FORMAT csv)
        CREATE TABLE u (LIKE t);
        \copy u FROM 'FILE' WITH (FORMAT csv)
        SELECT count(*), sum(n), md5(string_agg(body, ',' ORDER BY id)) FROM u;
        COPY (SELECT * FROM t WHERE id < 4) TO STDOUT;
        COPY u FROM STDIN;
1001	from	1
1002	standard input	2
\.
        COPY u FROM STDIN;
nonsense	x
\.
        DO $$ BEGIN RAISE NOTICE 'hello % from a DO block', 1; RAISE WARNING 'careful' USING HINT = 'a hint', DETAIL = 'a detail'; END $$;
        SELECT 1 AS a \; SELECT 2 AS b \; SELECT 3 AS c;
        SELECT 1 \; SELECT 1/0 \; SELECT 2;
        SELECT foo FROM t;
        SELEC 1;
        -- only a comment
        ;
        SELECT;
        BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY DEFERRABLE;
        SHOW transaction_isolation; SHOW transaction_read_only; SHOW transaction_deferrable;
        COMMIT;
        START TRANSACTION ISOLATION LEVEL REPEATABLE READ; SHOW transaction_isolation; SAVEPOINT a; SELECT 1/0;
        ROLLBACK TO a; RELEASE a; COMMIT AND CHAIN; ROLLBACK;
        CREATE INDEX CONCURRENTLY t_body ON t (body);
        DROP INDEX CONCURRENTLY t_body;
        BEGIN; CREATE INDEX CONCURRENTLY t_body ON t (body); ROLLBACK;
        VACUUM t;
        INSERT INTO t VALUES (1, 'again');
        PREPARE p AS SELECT * FROM t WHERE id = $1; EXECUTE p(7); DEALLOCATE p;
        DECLARE c CURSOR WITH HOLD FOR SELECT id FROM t ORDER BY id; FETCH 3 FROM c; 
        CLOSE c;
        SET standard_conforming_strings = off;
        SELECT 'it\'s', E'\\';
        SELECT 'ELECTRIC', "body" FROM t WHERE body = 'row 5' OR body = $q$ENABLE ELECTRIC$q$;
        SET client_encoding = 'LATIN1'; SELECT 'grün', length('grün');
        \d t
        "#,
        &[],
    )
    .await;
    for piece in
        ["hello 1 from a DO block", "ERROR:  42703", "LINE 1: SELEC 1", "division by zero", "serializable"]
    {
        assert!(shown.contains(piece), "{shown}");
    }
}

#[tokio::test]
async fn the_first_error_ends_a_script_that_wants_it() {
    let script = "SELECT 1; SELECT 'stop' / 2; SELECT 3;";
    let shown = same(script, &["-v", "ON_ERROR_STOP=1"]).await;
    assert!(shown.starts_with("Some(3)") && shown.contains("22P02"), "{shown}");
    let script = "CREATE TABLE \"once MODE\" (i int); SELECT nothing;";
    let shown = same(script, &["--single-transaction", "-v", "ON_ERROR_STOP=1"]).await;
    assert!(shown.contains("column \"nothing\" does not exist"), "{shown}");
}

#[tokio::test]
async fn one_string_with_several_statements_or_none() {
    let (database, front) = Front::start().await;
    for sql in [
        "SELECT 1; SELECT 2; SELECT 3",
        "CREATE TABLE several (i int); INSERT INTO several VALUES (1); SELECT * FROM several; DROP TABLE several",
        "BEGIN; SELECT 1; ROLLBACK; SELECT 2",
        "SELECT 1; SELECT nothing; SELECT 2",
        "",
        ";",
        "-- ping",
        "/* ping */;;",
        "SELECT 1;;SELECT 2;",
    ] {
        let arguments = ["-Xa", "-v", "VERBOSITY=verbose", "-c", sql];
        let direct = seen(&run("psql", &database.url, &arguments).await);
        assert_eq!(seen(&front.run("psql", &arguments).await), direct, "{sql}");
    }
}

/// A dump without the word that keeps psql from obeying its data, which is another each time.
fn dump(output: &Output) -> String {
    let dump = said(output);
    let lines =
        dump.lines().filter(|line| !line.starts_with("\\restrict") && !line.starts_with("\\unrestrict"));
    lines.collect::<Vec<_>>().join("\n")
}

#[tokio::test]
async fn a_dump_is_the_same_and_can_be_restored_through_the_proxy() {
    let (database, front) = Front::start().await;
    let client = database.client().await;
    client
        .batch_execute(
            r#"CREATE TYPE mood AS ENUM ('sad', 'ok');
               CREATE TABLE parent (id uuid PRIMARY KEY, m mood NOT NULL DEFAULT 'ok', t timestamptz);
               CREATE TABLE "Kind of Child" (id serial PRIMARY KEY, p uuid REFERENCES parent ON DELETE CASCADE, x text CHECK (x <> ''));
               CREATE VIEW v AS SELECT id FROM parent;
               CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN new; END $$;
               CREATE TRIGGER g BEFORE INSERT ON parent FOR EACH ROW EXECUTE FUNCTION f();
               COMMENT ON TABLE parent IS 'ENABLE ELECTRIC';
               INSERT INTO parent SELECT gen_random_uuid(), 'sad', now() FROM generate_series(1, 500);
               INSERT INTO "Kind of Child" (p, x) SELECT id, id::text || E'\n\t\\' FROM parent"#,
        )
        .await
        .unwrap();
    for arguments in [&["--schema-only"][..], &[], &["--inserts"]] {
        let direct = dump(&run("pg_dump", &database.url, arguments).await);
        assert_eq!(dump(&front.run("pg_dump", arguments).await), direct);
    }
    let (copy, behind) = Front::start().await;
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dump.sql");
    std::fs::write(&file, said(&run("pg_dump", &database.url, &[]).await)).unwrap();
    said(&behind.run("psql", &["-Xq", "-v", "ON_ERROR_STOP=1", "-f", file.to_str().unwrap()]).await);
    let (original, copied) = (run("pg_dump", &database.url, &[]).await, run("pg_dump", &copy.url, &[]).await);
    assert_eq!(dump(&copied), dump(&original));
}

#[tokio::test]
async fn pgbench_runs_in_all_its_modes() {
    let (_database, front) = Front::start().await;
    said(&front.run("pgbench", &["-i", "-q", "-s", "1"]).await);
    for mode in ["simple", "extended", "prepared"] {
        let out = said(&front.run("pgbench", &["-n", "-M", mode, "-c", "4", "-t", "50"]).await);
        assert!(out.contains("number of transactions actually processed: 200/200"), "{out}");
        assert!(out.contains("number of failed transactions: 0"), "{out}");
    }
}

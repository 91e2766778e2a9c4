//! What is DDLX, what it means, and where it is wrong (spec 04 §2, §3).

use super::super::{
    lexer::Dialect,
    reading::{Reading, Target, What},
};

fn synced(text: &str) -> Reading {
    Reading::of(text.as_bytes(), Dialect::default(), Target::Synced { guarded: false })
}

/// What Postgres is given for a statement, and its tag; or the detail of the error and the place.
fn read(text: &str) -> String {
    match synced(text).found.as_slice() {
        [] => "passes".to_owned(),
        [found] => match &found.what {
            What::Replaced(text, tag) => format!("{} → {tag}", String::from_utf8_lossy(text)),
            What::Tagged(tag) => format!("as it is → {tag}"),
            What::Wrong(misfit) => format!("{} at {}", misfit.detail, misfit.at),
            What::Changing => "changes".to_owned(),
        },
        more => panic!("{} found in {text}", more.len()),
    }
}

#[test]
fn every_way_to_enable() {
    for (text, name) in [
        ("ALTER TABLE items ENABLE ELECTRIC", r#"'"public"."items"'"#),
        ("alter table Items enable electric;", r#"'"public"."items"'"#),
        ("ALTER TABLE s.t ENABLE ElEcTrIc ;", r#"'"s"."t"'"#),
        ("ALTER TABLE \"S\" . \"My Table\" ENABLE ELECTRIC", r#"'"S"."My Table"'"#),
        ("ALTER TABLE \"a\"\"b\" ENABLE ELECTRIC", r#"'"public"."a""b"'"#),
        ("ALTER TABLE \"it's\" ENABLE ELECTRIC", r#"'"public"."it''s"'"#),
        ("ALTER TABLE größe ENABLE ELECTRIC", "'\"public\".\"größe\"'"),
        (
            "ALTER TABLE ÜBER ENABLE ELECTRIC",
            "electric.known_name('\"public\".\"über\"', '\"public\".\"Über\"')",
        ),
        ("ALTER TABLE U&\"d\\0061ta\" ENABLE ELECTRIC", r#"'"public"."data"'"#),
        ("ALTER TABLE U&\"d!0061ta\" UESCAPE '!' ENABLE ELECTRIC", r#"'"public"."data"'"#),
        ("-- so\nALTER TABLE t ENABLE ELECTRIC", r#"'"public"."t"'"#),
        ("/* a /* b */ c */ ALTER/**/TABLE t--x\nENABLE\r\n\tELECTRIC -- done", r#"'"public"."t"'"#),
        ("ELECTRIC ENABLE t", r#"'"public"."t"'"#),
        ("electric enable \"A\".b;", r#"'"A"."b"'"#),
        ("ALTER TABLE privileges ENABLE ELECTRIC", r#"'"public"."privileges"'"#),
        ("ALTER TABLE electric ENABLE ELECTRIC", r#"'"public"."electric"'"#),
        ("ELECTRIC ENABLE enable", r#"'"public"."enable"'"#),
    ] {
        assert_eq!(read(text), format!("CALL electric.enable({name}) → ELECTRIC ENABLE"), "{text}");
    }
    for text in [
        "CALL electric.electrify('t')",
        "call Electric . \"electrify\" ('a', 'b');",
        "CALL electric.electrify($1)",
    ] {
        assert_eq!(read(text), "as it is → ELECTRIC ENABLE", "{text}");
    }
}

#[test]
fn the_other_statements() {
    let disabled = r#"CALL electric.disable('"public"."t"') → ELECTRIC DISABLE"#;
    assert_eq!(read("ALTER TABLE t DISABLE ELECTRIC"), disabled);
    assert_eq!(read("ELECTRIC DISABLE t"), disabled);
    for text in [
        "ELECTRIC GRANT SELECT ON t TO 'admin'",
        "ELECTRIC GRANT ALL ON s.t TO 'projects:admin'",
        "ELECTRIC GRANT UPDATE (a, \"B\") ON t TO admin",
        "ELECTRIC GRANT READ ON t TO projects:'member'",
        "ELECTRIC GRANT WRITE ON t TO s.projects:'member' USING project_id/owner_id",
        "ELECTRIC GRANT INSERT ON t TO (projects, 'member') CHECK (a = 1 AND f(b, (c)) <> -2 OR g() IS NULL)",
        "ELECTRIC GRANT DELETE ON t TO (NULL, $r$any:thing$r$)",
        "electric grant select on t to NULL:'x';",
        "ELECTRIC GRANT SELECT ON t TO u.role_column",
        "ELECTRIC GRANT SELECT ON t TO 'a:b:c'",
    ] {
        assert_eq!(read(text), "CALL electric.refuse('GRANT') → ELECTRIC GRANT", "{text}");
    }
    assert_eq!(
        read("ELECTRIC REVOKE UPDATE (a) ON t FROM 'projects:admin'"),
        "CALL electric.refuse('REVOKE') → ELECTRIC REVOKE"
    );
    for text in [
        "ELECTRIC ASSIGN 'admin' TO users.id",
        "ELECTRIC ASSIGN (projects, memberships.role) TO memberships.user_id",
        "ELECTRIC ASSIGN projects:memberships.role TO public.memberships.user_id IF (a >= 1 AND b != 'x')",
        "ELECTRIC ASSIGN s.m.role TO s.m.user_id",
    ] {
        assert_eq!(read(text), "CALL electric.refuse('ASSIGN') → ELECTRIC ASSIGN", "{text}");
    }
    assert_eq!(
        read("ELECTRIC UNASSIGN 'projects:admin' FROM s.users.id"),
        "CALL electric.refuse('UNASSIGN') → ELECTRIC UNASSIGN"
    );
    for text in ["ELECTRIC SQLITE 'CREATE TABLE \"a;b\" (''x'')'", "ELECTRIC SQLITE $sql$ x; $$ y $sql$"] {
        assert_eq!(read(text), "CALL electric.refuse('SQLITE') → ELECTRIC SQLITE", "{text}");
    }
}

#[test]
fn what_is_wrong_is_shown() {
    for (text, before) in [
        ("ELECTRIC JUNK", "\"JUNK\" at 9"),
        ("ELECTRIC", "end of statement at 8"),
        ("ELECTRIC 'x'", "\"'x'\" at 9"),
        ("ELECTRIC ENABLE", "end of statement at 15"),
        ("ELECTRIC ENABLE a.b.c", "\".\" at 19"),
        ("ELECTRIC ENABLE a, b", "\",\" at 17"),
        ("ELECTRIC ENABLE select", "\"select\" at 16"),
        ("ELECTRIC ENABLE \"\"", "\"\"\"\" at 16"),
        ("ELECTRIC ENABLE U&\"\\zzzz\"", "\"U&\"\\zzzz\"\" at 16"),
        ("ELECTRIC TABLE t ENABLE", "\"TABLE\" at 9"),
        ("ALTER TABLE t ENABLE ELECTRIC JUNK", "\"JUNK\" at 30"),
        ("ALTER TABLE IF EXISTS t ENABLE ELECTRIC", "\"IF\" at 12"),
        ("ALTER TABLE ONLY t ENABLE ELECTRIC", "\"t\" at 17"),
        ("ALTER TABLE t * ENABLE ELECTRIC", "\"*\" at 14"),
        ("ALTER TABLE a.b.c DISABLE ELECTRIC", "\".\" at 15"),
        ("ALTER TABLE t ADD COLUMN c int, ENABLE ELECTRIC", "\"ADD\" at 14"),
        ("ALTER TABLE t ENABLE ELECTRIC, ADD COLUMN c int", "\",\" at 29"),
        ("ELECTRIC GRANT ALL PRIVILEGES ON t TO 'a'", "\"PRIVILEGES\" at 19"),
        ("ELECTRIC GRANT SELECT, UPDATE ON t TO 'a'", "\",\" at 21"),
        ("ELECTRIC GRANT SELECT ON TABLE t TO 'a'", "\"TABLE\" at 25"),
        ("ELECTRIC GRANT SELECT ON t TO 'a', 'b'", "\",\" at 33"),
        ("ELECTRIC GRANT SELECT ON t TO ''", "\"''\" at 30"),
        ("ELECTRIC GRANT SELECT ON t TO ':'", "\"':'\" at 30"),
        ("ELECTRIC GRANT SELECT ON t TO 'x:'", "\"'x:'\" at 30"),
        ("ELECTRIC GRANT SELECT ON t TO ':x'", "\"':x'\" at 30"),
        ("ELECTRIC GRANT SELECT ON t TO E'x'", "\"E'x'\" at 30"),
        ("ELECTRIC GRANT SELECT ON t TO 'x' CHECK (a = )", "\")\" at 45"),
        ("ELECTRIC GRANT SELECT ON t TO 'x' CHECK (a = (b)", "end of statement at 48"),
        ("ELECTRIC GRANT SELECT ON t TO 'x' CHECK (a, b)", "\",\" at 42"),
        ("ELECTRIC GRANT SELECT ON t TO 'x' CHECK (a ! = b)", "\"!\" at 43"),
        ("ELECTRIC ASSIGN admin TO users.id", "\"admin\" at 16"),
        ("ELECTRIC ASSIGN 'admin' TO id", "end of statement at 29"),
        ("ELECTRIC ASSIGN memberships.role TO users.id", "\"users\" at 36"),
        ("ELECTRIC ASSIGN 'a' TO users.id USING x", "\"USING\" at 32"),
        ("ELECTRIC UNASSIGN 'a' TO users.id", "\"TO\" at 22"),
        ("ELECTRIC SQLITE", "end of statement at 15"),
        ("ELECTRIC SQLITE x", "\"x\" at 16"),
    ] {
        assert_eq!(read(text), format!("syntax error before: {before}"), "{text}");
    }
    let long = format!("ELECTRIC {}", "é".repeat(200));
    assert_eq!(read(&long), format!("syntax error before: \"{}…\" at 9", "é".repeat(64)));
}

#[test]
fn what_postgres_can_parse_passes() {
    for text in [
        "SELECT electric FROM electric.enable",
        "ALTER TABLE t ADD enable electric",
        "ALTER TABLE t ADD COLUMN a int, ADD disable electric",
        "ALTER TABLE enable RENAME TO electric",
        "ALTER TABLE t ENABLE TRIGGER electric",
        "ALTER TABLE t ALTER a SET DEFAULT f(1, enable electric)",
        "CREATE TABLE t (id int) ENABLE ELECTRIC",
        "DO $$ BEGIN EXECUTE 'ELECTRIC ENABLE t; ELECTRIC ENABLE u'; END $$",
        "SELECT 'a; ELECTRIC ENABLE t;'",
        "/* ; ELECTRIC ENABLE t; */ SELECT 1 -- ; ELECTRIC ENABLE t",
        "CREATE FUNCTION f() RETURNS void LANGUAGE sql BEGIN ATOMIC CALL a(); ELECTRIC ENABLE t; END",
        "CALL electric.enable('\"public\".\"t\"')",
        "CALL electric.migration_version('1')",
        "CALL \"Electric\".electrify('t')",
        "\"ELECTRIC\" ENABLE t",
        "CALL",
        "ALTER TABLE -- ELECTRIC",
        "",
    ] {
        assert_eq!(read(text), "passes", "{text}");
    }
}

#[test]
fn a_shadow_database_needs_no_schema() {
    let shadow =
        |text: &str| match Reading::of(text.as_bytes(), Dialect::default(), Target::Shadow).found.pop() {
            Some(found) => match found.what {
                What::Replaced(text, tag) => format!("{} → {tag}", String::from_utf8_lossy(&text)),
                what => format!("{what:?}"),
            },
            None => "passes".to_owned(),
        };
    assert_eq!(shadow("ALTER TABLE t ENABLE ELECTRIC"), "DO 'BEGIN END' → ELECTRIC ENABLE");
    assert_eq!(shadow("CALL electric.electrify('t')"), "DO 'BEGIN END' → ELECTRIC ENABLE");
    assert_eq!(shadow("CALL electric.migration_version('1')"), "DO 'BEGIN END' → CALL");
    assert_eq!(shadow("ELECTRIC GRANT SELECT ON t TO 'a'"), "DO 'BEGIN END' → ELECTRIC GRANT");
    assert_eq!(shadow("SELECT 'electric'"), "passes");
}

#[test]
fn statements_that_may_change_the_schema_are_found_where_they_are_guarded() {
    let guarded = |text: &str| -> Vec<usize> {
        let reading = Reading::of(text.as_bytes(), Dialect::default(), Target::Synced { guarded: true });
        reading.found.iter().filter(|found| found.what == What::Changing).map(|found| found.number).collect()
    };
    assert_eq!(guarded("BEGIN; ALTER TABLE t ADD c int; SELECT 1;; drop table u; COMMIT"), [1, 3]);
    assert_eq!(
        guarded("DO $$ALTER$$; CALL p(); create index concurrently i on t (c); DROP OWNED BY x"),
        [0, 1, 2, 3]
    );
    assert_eq!(
        guarded(
            "CREATE DATABASE d; ALTER SYSTEM SET a = 1; DROP ROLE r; CREATE TEMP TABLE t (); TRUNCATE t; VACUUM"
        ),
        [0; 0]
    );
    assert_eq!(guarded("ALTER TABLE t ENABLE ELECTRIC; CALL electric.electrify('t'); ELECTRIC JUNK"), [0; 0]);
}

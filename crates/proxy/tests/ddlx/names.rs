//! Every way to write it, and every name (spec 04 §2).

use super::{raw::Raw, start, synced};
use crate::support::said;

#[tokio::test]
async fn every_way_to_enable_has_the_same_effect_and_tag() {
    let names = r#"a b "C" "d d" "e""e" "it's" "größe" "Über" "back\slash" "select" f g h "i.i" "no:pe""#;
    let quoted = names.replace(" d\"", "_d\"");
    let tables: Vec<String> = quoted.split(' ').map(|name| name.replace("_d\"", " d\"")).collect();
    let schema: String =
        tables.iter().map(|name| format!("CREATE TABLE {name} (id int PRIMARY KEY);")).collect();
    let (_database, admin, front) = start(&schema).await;
    let mut client = Raw::of(&front).await;
    for (text, name) in [
        ("ALTER TABLE a ENABLE ELECTRIC", "a"),
        ("alter table PUBLIC.B enable electric;", "b"),
        ("/* first */ ALTER TABLE \"C\" -- c\n ENABLE\tELECTRIC ;", "C"),
        ("ALTER TABLE \"d d\" ENABLE ELECTRIC", "d d"),
        ("ELECTRIC ENABLE \"e\"\"e\"", "e\"e"),
        ("electric enable public.\"it's\"", "it's"),
        ("ELECTRIC ENABLE GRÖẞE", "größe"),
        ("ELECTRIC ENABLE Über", "Über"),
        ("ELECTRIC ENABLE \"back\\slash\"", "back\\slash"),
        ("SET standard_conforming_strings = off; SET escape_string_warning = off; SELECT 1", ""),
        ("ELECTRIC ENABLE \"select\"", "select"),
        ("CALL electric.electrify('f')", "f"),
        ("CALL electric.electrify('public', 'g')", "g"),
        ("SELECT 'a\\'; ELECTRIC ENABLE x'; ELECTRIC ENABLE U&\"\\0068\"", "h"),
        ("ELECTRIC ENABLE \"i.i\"", "i.i"),
        ("ELECTRIC ENABLE U&\"no:003Ape\" UESCAPE ':'", "no:pe"),
    ] {
        let heard = client.query(text).await;
        if name.is_empty() {
            continue;
        }
        assert!(heard.ends_with("C ELECTRIC ENABLE\nZ I\n") && !heard.contains("\nE "), "{text}: {heard}");
        assert!(synced(&admin).await.contains(&format!("public.{name}")), "{text}");
    }
    assert_eq!(synced(&admin).await.len(), tables.len());
}

#[tokio::test]
async fn a_name_is_one_of_public_whatever_the_search_path() {
    let (_database, admin, front) =
        start("CREATE SCHEMA s; CREATE TABLE s.t (id int PRIMARY KEY); CREATE TABLE t (id int PRIMARY KEY)")
            .await;
    let mut client = Raw::of(&front).await;
    let heard = client.query("SET search_path = s; ALTER TABLE t ENABLE ELECTRIC").await;
    assert!(heard.ends_with("C ELECTRIC ENABLE\nZ I\n"), "{heard}");
    assert_eq!(synced(&admin).await, ["public.t"]);
    let refused = client.query("ALTER TABLE s.t ENABLE ELECTRIC").await;
    assert!(
        refused.starts_with("N")
            && refused.contains("E P0001 Cannot electrify t because only tables in the default"),
        "{refused}"
    );
}

#[tokio::test]
async fn names_in_another_encoding_are_those_of_the_table() {
    let (_database, admin, front) =
        start("CREATE TABLE \"表\" (id int PRIMARY KEY); CREATE TABLE \"é\" (id int PRIMARY KEY)").await;
    let client = front.client("app").await;
    // The driver speaks UTF-8 only, so the bytes have to be the same in both encodings: ask Postgres for them.
    client.batch_execute("SET client_encoding = 'LATIN1'; ELECTRIC ENABLE U&\"\\00e9\"").await.unwrap();
    assert_eq!(synced(&admin).await, ["public.é"]);
    let mut raw = Raw::of(&front).await;
    raw.query("SET client_encoding = 'SJIS'").await;
    // The second byte of the character is a backslash.
    let heard = raw.query_bytes(b"SELECT E'\x95\x5C'; ELECTRIC ENABLE \x95\x5C; SELECT nothing").await;
    assert!(heard.contains("C ELECTRIC ENABLE\n"), "{heard}");
    assert!(heard.contains("42703") && heard.contains("| P: 40"), "{heard}");
    raw.query_bytes(b"ELECTRIC ENABLE \"\x95\x5C\"").await;
    assert_eq!(synced(&admin).await, ["public.é", "public.表"]);
}

#[tokio::test]
async fn psql_shows_the_tag() {
    let (_database, _admin, front) = start("CREATE TABLE t (id int PRIMARY KEY)").await;
    let output = front.run("psql", &["-Xc", "ALTER TABLE t ENABLE ELECTRIC"]).await;
    assert_eq!(said(&output), "ELECTRIC ENABLE\n");
    assert_eq!(String::from_utf8_lossy(&output.stderr), "NOTICE:  Electrifying table public.t\n");
    let again = front.run("psql", &["-Xc", "ELECTRIC ENABLE t"]).await;
    assert_eq!(said(&again), "ELECTRIC ENABLE\n");
    assert_eq!(String::from_utf8_lossy(&again.stderr), "NOTICE:  table public.t is already electrified\n");
}

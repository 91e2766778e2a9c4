//! Strings in which statements are replaced, and the way back.

use expect_test::{Expect, expect};
use proptest::prelude::*;

use super::super::{
    encoding::Encoding,
    lexer::Dialect,
    reading::{Reading, Target},
    rewriting::Rewriting,
};

fn rewrite(text: &str, guarded: bool) -> (Rewriting, String) {
    let reading = Reading::of(text.as_bytes(), Dialect::default(), Target::Synced { guarded });
    let (rewriting, given) = Rewriting::new(text.as_bytes(), &reading.found, guarded, Encoding::Utf8);
    (rewriting, given.map_or_else(|| text.to_owned(), |given| String::from_utf8(given).unwrap()))
}

fn check(text: &str, guarded: bool, expected: &Expect) {
    let (rewriting, given) = rewrite(text, guarded);
    expected.assert_eq(&format!("{given}\n{:?}", rewriting.answers));
}

#[test]
fn only_the_statements_are_replaced() {
    check(
        "/* é */ SELECT 1 ; ALTER TABLE t ENABLE ELECTRIC -- so\n ;\n ELECTRIC DISABLE \"A\";; CALL electric.electrify('t'); SELECT 2 ",
        false,
        &expect![[r#"
            /* é */ SELECT 1 ; CALL electric.enable('"public"."t"') -- so
             ;
             CALL electric.disable('"public"."A"');; CALL electric.electrify('t'); SELECT 2 
            [(1, Tagged("ELECTRIC ENABLE")), (2, Tagged("ELECTRIC DISABLE")), (3, Tagged("ELECTRIC ENABLE"))]"#]],
    );
}

#[test]
fn guards_follow_what_may_change_the_schema() {
    check(
        "BEGIN; ALTER TABLE t ADD c int -- it\n; ELECTRIC ENABLE u; DROP TABLE v; COMMIT",
        true,
        &expect![[r#"
            BEGIN; ALTER TABLE t ADD c int;DO $electric$BEGIN IF pg_catalog.to_regprocedure('electric.guard_all()') IS NOT NULL THEN CALL electric.guard_all(); END IF; END$electric$ -- it
            ; CALL electric.enable('"public"."u"'); DROP TABLE v;DO $electric$BEGIN IF pg_catalog.to_regprocedure('electric.guard_all()') IS NOT NULL THEN CALL electric.guard_all(); END IF; END$electric$; COMMIT
            [(1, Guarded), (2, Guard), (3, Tagged("ELECTRIC ENABLE")), (4, Guarded), (5, Guard)]"#]],
    );
}

#[test]
fn positions_lead_back() {
    let text =
        "SELECT 'é'; ALTER TABLE ta ENABLE ELECTRIC; SELECT x; ELECTRIC ENABLE b; DROP TABLE y; SELECT z";
    let (rewriting, given) = rewrite(text, true);
    let place = |text: &str, needle: &str| text.split(needle).next().unwrap().chars().count() + 1;
    for needle in ["'é'", "x;", "y;", "z", "SELECT x", "SELECT z"] {
        assert_eq!(rewriting.original_position(place(&given, needle)), place(text, needle), "{needle}");
    }
    // What is in a replaced statement is at its beginning, what is in a guard behind the guarded statement.
    assert_eq!(rewriting.original_position(place(&given, "enable('\"public\".\"ta")), place(text, "ALTER"));
    assert_eq!(rewriting.original_position(place(&given, "to_regprocedure")), place(text, "; SELECT z"));
    assert_eq!(rewriting.original_position(0), 0);
}

#[test]
fn the_first_wrong_statement_is_remembered() {
    let text = "ELECTRIC ENABLE t; SELECT 'é'; ALTER TABLE é ENABLE ELECTRIC JUNK; ELECTRIC";
    let (rewriting, given) = rewrite(text, false);
    let wrong = rewriting.wrong.clone().unwrap();
    assert_eq!(wrong.statement, "ALTER TABLE é ENABLE ELECTRIC JUNK".as_bytes());
    assert_eq!((wrong.detail.as_str(), wrong.position), ("syntax error before: \"JUNK\"", 31));
    let place = |needle: &str| given.split(needle).next().unwrap().chars().count() + 1;
    assert!(wrong.holds(place("ELECTRIC JUNK")) && !wrong.holds(place("SELECT")) && !wrong.holds(0));
    assert!(given.ends_with("ALTER TABLE é ENABLE ELECTRIC JUNK; ELECTRIC"));
}

proptest! {
    #[test]
    fn what_is_not_replaced_keeps_its_place(
        parts in prop::collection::vec(prop::sample::select(vec![
            "SELECT 'é;'", "ELECTRIC ENABLE t", "ALTER TABLE \"é\" DISABLE ELECTRIC", "ALTER TABLE t ADD c int",
            "/* ELECTRIC */", "CALL electric.electrify('x')", "$$;$$", "",
        ]), 0..8),
        guarded: bool,
    ) {
        let text = parts.join(" ; ");
        let (rewriting, given) = rewrite(&text, guarded);
        let original: Vec<char> = text.chars().collect();
        let mut last = 0;
        for (at, _) in given.chars().enumerate() {
            let back = rewriting.original_position(at + 1);
            prop_assert!(back >= last && back >= 1 && back <= original.len() + 1);
            last = back;
        }
        // Positions that lead to places of their own hold the same character.
        for (at, character) in given.chars().enumerate() {
            let back = rewriting.original_position(at + 1);
            let alone = at == 0 || rewriting.original_position(at) != back;
            let next = rewriting.original_position(at + 2) != back;
            if alone && next && character != original[back - 1] {
                prop_assert!(false, "{character:?} at {at} of {given}");
            }
        }
    }

    #[test]
    fn any_text_is_read(text: Vec<u8>, standard_strings: bool, guarded: bool) {
        let dialect = Dialect { standard_strings, encoding: Encoding::ShiftJis };
        for text in [text.clone(), [&b"ELECTRIC "[..], &text].concat(), [&b"ALTER TABLE "[..], &text, b" ENABLE ELECTRIC"].concat()] {
            let reading = Reading::of(&text, dialect, Target::Synced { guarded });
            let _ = Rewriting::new(&text, &reading.found, guarded, dialect.encoding);
        }
    }

    #[test]
    fn any_words_are_read(words in prop::collection::vec(prop::sample::select(vec![
        "ELECTRIC", "ENABLE", "ALTER", "TABLE", "t", ".", ",", "(", ")", "'a:b'", "\"x\"", "U&\"\\0041\"", "UESCAPE", "'!'", "GRANT",
        "SELECT", "ON", "TO", "CHECK", "=", "AND", "NULL", ":", "ASSIGN", "IF", "-", "1", "/", "USING", ";", "CALL", "electrify", "é",
    ]), 0..24)) {
        let text = words.join(" ");
        let reading = Reading::of(text.as_bytes(), Dialect::default(), Target::Synced { guarded: true });
        prop_assert!(reading.found.len() <= reading.count);
        let _ = Rewriting::new(text.as_bytes(), &reading.found, true, Encoding::Utf8);
    }
}

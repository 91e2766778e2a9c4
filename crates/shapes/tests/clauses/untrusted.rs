//! Whatever is written, nothing breaks.

use proptest::prelude::*;
use shapes::Clause;

use super::{clause, everything, fuzzed, refused};

/// What clauses are made of, and what they are not.
const PIECES: &[&str] = &[
    "this",
    ".",
    "this.a",
    "this.t",
    "this.p",
    "this.d",
    "this.f",
    "this.mood",
    "this.j",
    "this.i2",
    "this.tz",
    "this.\"a\"",
    "(",
    ")",
    "[",
    "]",
    ",",
    ";",
    ":",
    "::",
    "=",
    "<",
    ">",
    "<=",
    "<>",
    "!=",
    "+",
    "-",
    "*",
    "/",
    "%",
    "^",
    "|/",
    "@",
    "#",
    "&",
    "|",
    "||",
    "~~",
    "!~~*",
    "=>",
    "AND",
    "OR",
    "NOT",
    "IS",
    "NULL",
    "TRUE",
    "UNKNOWN",
    "DISTINCT",
    "FROM",
    "IN",
    "LIKE",
    "ILIKE",
    "BETWEEN",
    "AT TIME ZONE",
    "CAST",
    "AS",
    "date",
    "timestamp with",
    "interval",
    "int4",
    "float",
    "lower",
    "timezone",
    "SELECT",
    "CASE",
    "ANY",
    "1",
    "0",
    "2.5",
    "1e9",
    "99999999999",
    "'x'",
    "'1'",
    "'2024-01-01'",
    "''",
    "'UTC'",
    "e'\\n'",
    "$$",
    "$1",
    "--",
    "\n",
    "/*",
    "*/",
    "'",
    "\"",
    "é",
    "\0",
    "\\",
];

fn soup() -> impl Strategy<Value = String> {
    prop::collection::vec((prop::sample::select(PIECES), prop::bool::ANY), 0..24).prop_map(|pieces| {
        pieces.into_iter().map(|(piece, blank)| format!("{piece}{}", if blank { " " } else { "" })).collect()
    })
}

/// More often well-formed than soup is.
fn stew() -> impl Strategy<Value = String> {
    let leaf = prop::sample::select(&PIECES[2..12]).prop_map(str::to_owned);
    let constant = prop::sample::select(vec!["1", "2.5", "NULL", "TRUE", "'x'", "'1'", "'2024-01-01'", "-1"])
        .prop_map(str::to_owned);
    let infix = prop::sample::select(vec![
        "=",
        "<",
        "<>",
        "+",
        "-",
        "*",
        "/",
        "||",
        "AND",
        "OR",
        "LIKE",
        "IS DISTINCT FROM",
        "&",
        "^",
    ]);
    let suffix = prop::sample::select(vec![
        "IS NULL",
        "::text",
        "::int4",
        "::bool",
        "IS NOT TRUE",
        "IN (1, NULL)",
        "BETWEEN 1 AND 2",
    ]);
    prop_oneof![leaf, constant].prop_recursive(6, 40, 2, move |inner| {
        prop_oneof![
            (inner.clone(), infix.clone(), inner.clone()).prop_map(|(l, o, r)| format!("({l} {o} {r})")),
            (inner.clone(), suffix.clone()).prop_map(|(i, s)| format!("({i} {s})")),
            inner.clone().prop_map(|i| format!("(NOT {i})")),
            inner.prop_map(|i| format!("lower({i})")),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2048))]

    #[test]
    fn any_text(text in any::<String>()) {
        _ = Clause::parse(&text, &everything());
    }

    #[test]
    fn any_pieces(text in soup()) {
        let parsed = Clause::parse(&text, &everything());
        if let Err(error) = parsed {
            prop_assert!(error.to_string().len() < 400, "{}", error);
        }
    }

    #[test]
    fn any_expression(text in stew()) {
        if let Ok(clause) = Clause::parse(&text, &everything()) {
            let again = Clause::parse(&format!("({text}) AND ({text}) OR FALSE"), &everything());
            prop_assert_eq!(again, Ok(clause));
        }
    }

    #[test]
    fn locations_are_in_the_text(text in soup()) {
        if let Err(error) = Clause::parse(&text, &everything()) {
            let message = error.to_string();
            if let Some(rest) = message.strip_prefix("At location ") {
                let location: usize = rest.split(':').next().unwrap().parse().unwrap();
                prop_assert!(text.is_char_boundary(location), "{} in {:?}", message, text);
            }
        }
    }
}

/// On a thread with as much stack as the service's own have.
fn on_a_small_stack(text: String) -> Result<(), String> {
    // An overflow aborts the process and names the thread.
    let name = text.chars().take(24).collect();
    let parse = move || Clause::parse(&text, &everything()).map(|_| ()).map_err(|e| e.to_string());
    std::thread::Builder::new().name(name).stack_size(2 << 20).spawn(parse).unwrap().join().unwrap()
}

#[test]
fn deep_nesting_is_refused_early() {
    let deep = 5_000;
    for text in [
        "(".repeat(deep),
        format!("{}true{}", "(".repeat(deep), ")".repeat(deep)),
        "NOT ".repeat(deep) + "true",
        "- ".repeat(deep) + "1 = 1",
        "@ ".repeat(deep) + "1 = 1",
        "lower(".repeat(deep),
        "this.p = NOT ".repeat(deep) + "true",
        "CAST(".repeat(deep),
        "this.a IN (".repeat(deep),
        "this.p OR this.q AND NOT this.a + 1 * 2 ^ - (".repeat(deep),
        "this.a BETWEEN 1 AND (".repeat(deep),
        format!("this.a{} = 1", " + 1".repeat(deep)),
        format!("this.a{} = '1'", "::text".repeat(deep)),
        format!("this.p{}", " IS NULL".repeat(deep)),
    ] {
        let message = on_a_small_stack(text).unwrap_err();
        assert!(message.contains("expressions of more than"), "{message}");
    }
}

#[test]
fn as_many_levels_as_are_allowed() {
    let parentheses = format!("{}true{}", "(".repeat(100), ")".repeat(100));
    let negations = "NOT ".repeat(100) + "this.p";
    let mixed = format!("{}this.p{}", "this.a = 1 AND NOT (this.b = 2 OR ".repeat(40), ")".repeat(40));
    for text in [parentheses, negations, mixed] {
        assert_eq!(on_a_small_stack(text), Ok(()));
    }
}

#[test]
fn ranges_of_ranges_stay_bounded() {
    let text = (0..60).fold("this.a".to_owned(), |inner, _| format!("({inner} BETWEEN 0 AND 1)::int4"));
    assert!(refused(&format!("{text} = 1")).ends_with("the clause has too many parts"));
}

#[test]
fn long_clauses_are_understood() {
    let list: Vec<_> = (0..20_000).map(|i| i.to_string()).collect();
    clause(&format!("this.a IN ({})", list.join(",")));
    let chain: Vec<_> = (0..5_000).map(|i| format!("this.a = {i} AND this.b = {i}")).collect();
    clause(&chain.join(" OR "));
}

/// The fuzz target on stable Rust.
#[test]
fn what_a_fuzzer_begins_with() {
    corpus::play(concat!(env!("CARGO_MANIFEST_DIR"), "/fuzz/corpus/clause"), 100, fuzzed::clause);
}

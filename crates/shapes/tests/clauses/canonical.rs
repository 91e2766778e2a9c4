//! Clauses that are the same though they are written differently.

use proptest::prelude::*;
use shapes::clause::{Expr, Truth, Type, Value};

use super::{clause, different, same};

#[test]
fn order_does_not_matter() {
    same("this.a = 1 AND this.b = 2", "this.b = 2 AND this.a = 1");
    same("this.a = 1 OR this.t = 'x'", "this.t = 'x' OR this.a = 1");
    same("this.a IN (2, 1)", "this.a IN (1, 2, 1)");
    same("this.a = this.b", "this.b = this.a");
    same("this.a < this.b", "this.b > this.a");
    same("this.a IS DISTINCT FROM this.b", "this.b IS DISTINCT FROM this.a");
    different("this.a < this.b", "this.b < this.a");
}

#[test]
fn constants_stand_on_the_right() {
    same("5 < this.a", "this.a > 5");
    same("5 <= this.a", "this.a >= 5");
    same("5 = this.a", "this.a = 5");
    same("5 <> this.a", "NOT this.a = 5");
    same("5 IS DISTINCT FROM this.a", "this.a IS DISTINCT FROM 5");
}

#[test]
fn lists_are_chains_of_equalities() {
    same("this.a IN (1, 2)", "this.a = 1 OR this.a = 2");
    same("this.a IN (1, 2)", "2 = this.a OR (this.a = 1 OR this.a IN (1))");
    same("this.a IN (1)", "this.a = 1");
    same("this.a NOT IN (1, 2)", "NOT (this.a = 1 OR this.a = 2)");
    same("this.t IN ('a', 'b')", "this.t = 'a' OR this.t = 'b'");
    same("this.v IN ('a', 'b')", "this.v = 'a' OR this.v = 'b'");
    same("this.mood IN ('ok', 'sad')", "this.mood = 'ok' OR this.mood = 'sad'");
    same("this.i8 IN (1, 2)", "this.i8 = 1 OR this.i8 = 2");
    same("lower(this.t) IN ('a', 'b')", "lower(this.t) = 'a' OR lower(this.t) = 'b'");
    same("this.a IN (1, 2) OR this.b IN (3, 4) OR this.a = 5", "this.b IN (4, 3) OR this.a IN (5, 2, 1)");
    assert!(matches!(clause("this.a = 1").expr(), Expr::Call(..)));
    assert!(
        matches!(clause("this.v IN ('a', 'b')").expr(), Expr::In { list, or_null: false, .. } if list.len() == 2)
    );
}

#[test]
fn null_in_a_list() {
    same("this.a IN (1, NULL)", "this.a = 1 OR NULL");
    same("this.a IN (1, 2, NULL)", "this.a = NULL OR this.a IN (2, 1)");
    same("this.a IN (1, NULL) OR this.b = 2", "this.b = 2 OR NULL OR this.a = 1");
    different("this.a IN (1, NULL)", "this.a = 1");
    assert!(matches!(clause("this.a IN (1, NULL)").expr(), Expr::In { or_null: true, .. }));
}

#[test]
fn numbers_compared_with_integers() {
    same("this.a = 5.0", "this.a = 5");
    same("this.a = 5e0", "this.a = 5");
    same("this.a = 5::int8", "this.a = 5");
    same("this.i2 = 5", "this.i2 = '5'::int2");
    same("this.i8 > 5", "this.i8 > '5'");
    same("1700000000000 < this.i8", "this.i8 > '1700000000000'");
    same("this.i2 IN (1, 2.0, '3')", "this.i2 = '3'::int2 OR this.i2 = 2::int8 OR this.i2 = 1");
    different("this.i2 = 70000", "this.i2 = 4464");
    different("this.a = 5.5", "this.a = 5");
    same("this.a IN (1.5, 2.5)", "this.a = 2.5 OR this.a = 1.5");
}

#[test]
fn constants_are_folded() {
    let yes = Expr::Const(Some(Value::Bool(true)), Type::Bool);
    let unknown = Expr::Const(None, Type::Bool);
    for text in [
        "1 + 1 = 2",
        "lower('ABC') = 'abc'",
        "'a' || 'b' LIKE 'a_'",
        "date '2024-01-31' + interval '1 month' = '2024-02-29'",
        "NULL IS NULL",
        "NULL OR TRUE",
        "NOT (NULL AND FALSE)",
        "1 IN (2, NULL, 1)",
        "1 IS DISTINCT FROM NULL",
        "NULL IS UNKNOWN",
        "NULL IS NOT DISTINCT FROM NULL",
        "this.p OR TRUE",
        "'x' IS NOT NULL",
        "2 BETWEEN 1 AND 3",
        "'t'::bool",
        "(1 = 2) IS FALSE",
    ] {
        assert_eq!(*clause(text).expr(), yes, "{text}");
    }
    for text in [
        "NULL AND TRUE",
        "1 = NULL",
        "2 IN (1, NULL)",
        "this.a = NULL",
        "NULL::bool",
        "NOT NULL",
        "this.t LIKE NULL",
    ] {
        assert_eq!(*clause(text).expr(), unknown, "{text}");
    }
}

#[test]
fn truth_is_simplified() {
    same("this.p AND TRUE", "this.p");
    same("this.p OR FALSE", "this.p");
    same("this.p AND this.p", "this.p");
    same("this.p AND FALSE", "FALSE");
    same("(this.p AND this.q) AND (this.r AND this.p)", "this.p AND this.q AND this.r");
    same("this.a <> 1", "NOT this.a = 1");
    same("this.t NOT LIKE 'x'", "NOT this.t LIKE 'x'");
    same("this.t !~~* 'x'", "NOT this.t ILIKE 'x'");
    same("this.a IS NOT NULL", "NOT this.a IS NULL");
    same("(NOT this.p) IS NULL", "this.p IS NULL");
    same("this.a IS DISTINCT FROM NULL", "this.a IS NOT NULL");
    same("NULL IS NOT DISTINCT FROM this.a", "this.a IS NULL");
    different("this.p AND NULL", "this.p");
    different("this.p OR NULL", "this.p");
    different("this.p AND NULL", "NULL::bool");
    assert!(matches!(clause("this.p IS UNKNOWN").expr(), Expr::Is(Truth::Unknown, _)));
}

#[test]
fn the_columns_are_known() {
    let columns = |text| clause(text).columns();
    assert_eq!(columns("this.b = 1 AND (this.a IN (1, 2) OR this.b < this.id)"), [0, 1, 2]);
    assert_eq!(columns("NOT (this.p IS TRUE) OR this.a IS DISTINCT FROM 1"), [1, 14]);
    assert_eq!(columns("TRUE"), [0; 0]);
}

/// Conditions that have nothing to do with each other.
const CONDITIONS: [&str; 8] = [
    "this.p",
    "this.q IS TRUE",
    "this.t = 'x'",
    "this.a IN (1, 2)",
    "this.b = 7",
    "this.f > 1.5",
    "NOT this.r",
    "NULL",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn operands_in_any_order_and_number(order in Just(CONDITIONS.to_vec()).prop_shuffle(), extra in 0..8usize, or: bool) {
        let word = if or { " OR " } else { " AND " };
        let mut again = order.clone();
        again.push(CONDITIONS[extra]);
        prop_assert_eq!(clause(&again.join(word)), clause(&CONDITIONS.join(word)));
    }

    #[test]
    fn grouping_does_not_matter(cut in 1..7usize, or: bool) {
        let word = if or { " OR " } else { " AND " };
        let (left, right) = CONDITIONS.split_at(cut);
        let grouped = format!("({}){word}({})", left.join(word), right.join(word));
        prop_assert_eq!(clause(&grouped), clause(&CONDITIONS.join(word)));
    }

    #[test]
    fn lists_and_chains(values in prop::collection::vec(-5i32..5, 1..8)) {
        let texts: Vec<_> = values.iter().map(i32::to_string).collect();
        let chain: Vec<_> = texts.iter().rev().map(|v| format!("{v} = this.a")).collect();
        let list = format!("this.a IN ({})", texts.join(", "));
        prop_assert_eq!(clause(&list), clause(&chain.join(" OR ")));
    }
}

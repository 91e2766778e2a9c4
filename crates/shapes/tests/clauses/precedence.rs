//! Postgres' table of operator precedence.

use proptest::prelude::*;

use super::{clause, different, refused, same};

#[test]
fn connectives() {
    same("this.p OR this.q AND this.r", "this.p OR (this.q AND this.r)");
    same("NOT this.p AND this.q", "(NOT this.p) AND this.q");
    same("NOT this.p OR this.q", "(NOT this.p) OR this.q");
    same("NOT NOT this.p", "this.p");
    different("NOT (this.p OR this.q)", "NOT this.p OR this.q");
}

#[test]
fn not_is_looser_than_comparisons_and_tests() {
    same("NOT this.a = this.b", "NOT (this.a = this.b)");
    same("NOT this.p IS NULL", "NOT (this.p IS NULL)");
    same("NOT this.a IN (1, 2)", "NOT (this.a IN (1, 2))");
    same("NOT this.p = this.q IS TRUE", "NOT ((this.p = this.q) IS TRUE)");
    same("this.p = NOT this.q", "this.p = (NOT this.q)");
    same("this.p = NOT this.q = this.r", "this.p = (NOT (this.q = this.r))");
}

#[test]
fn tests_are_looser_than_comparisons() {
    same("this.a = this.b IS NULL", "(this.a = this.b) IS NULL");
    same("this.p = this.q IS NOT TRUE", "(this.p = this.q) IS NOT TRUE");
    same("this.a < this.b IS DISTINCT FROM this.p", "(this.a < this.b) IS DISTINCT FROM this.p");
    same("this.p IS DISTINCT FROM this.a < this.b", "this.p IS DISTINCT FROM (this.a < this.b)");
    same("this.p IS NULL IS NULL", "(this.p IS NULL) IS NULL");
    same("this.p IS NULL = this.q", "(this.p IS NULL) = this.q");
    same("this.a = this.b ISNULL", "(this.a = this.b) ISNULL");
}

#[test]
fn comparisons_are_looser_than_matches() {
    same("this.p = this.t LIKE 'x'", "this.p = (this.t LIKE 'x')");
    same("this.t LIKE 'x' = this.p", "(this.t LIKE 'x') = this.p");
    same("this.p = this.a IN (1)", "this.p = (this.a IN (1))");
    same("this.p <> this.a BETWEEN 1 AND 2", "this.p <> (this.a BETWEEN 1 AND 2)");
    same("this.a BETWEEN 1 AND 2 = this.p", "(this.a BETWEEN 1 AND 2) = this.p");
    same("this.a BETWEEN 1 AND 2 AND this.p", "(this.a BETWEEN 1 AND 2) AND this.p");
    same("this.a IN (1) IN (true)", "(this.a IN (1)) IN (true)");
}

#[test]
fn matches_are_looser_than_other_operators() {
    same("this.t LIKE 'a' || 'b'", "this.t LIKE ('a' || 'b')");
    same("this.t || this.v LIKE 'a'", "(this.t || this.v) LIKE 'a'");
    same("this.t || this.v = this.name", "(this.t || this.v) = this.name");
    // Written as an operator, a match is no looser than they are: here a truth value would be appended to.
    assert_eq!(refused("this.t ~~ 'a' || 'b'"), "At location 14: Could not select an operator overload");
}

#[test]
fn arithmetic() {
    same("this.a + this.b * 2 = 1", "(this.a + (this.b * 2)) = 1");
    same("this.a - this.b - 1 = 1", "((this.a - this.b) - 1) = 1");
    same("this.a / this.b * 2 % 3 = 1", "(((this.a / this.b) * 2) % 3) = 1");
    same("this.f * this.f ^ 2.0 = 1", "(this.f * (this.f ^ 2.0)) = 1");
    same("this.f ^ 2.0 ^ 3.0 = 1", "((this.f ^ 2.0) ^ 3.0) = 1");
    same("this.a + 1 & this.b + 2 = 3", "((this.a + 1) & (this.b + 2)) = 3");
    same("this.a | this.b & 3 = 3", "((this.a | this.b) & 3) = 3");
    same("this.a # this.b + 1 = 3", "(this.a # (this.b + 1)) = 3");
}

#[test]
fn signs_bind_tighter_than_powers() {
    same("-2.0 ^ 2.0 = 4", "true");
    same("- this.f ^ 2.0 = 1", "((- this.f) ^ 2.0) = 1");
    same("- this.a * 2 = 1", "((- this.a) * 2) = 1");
    same("- - this.a = 1", "(-(- this.a)) = 1");
    same("this.a - - 1 = 1", "(this.a - (-1)) = 1");
    same("-this.t::int4 = 1", "(-(this.t::int4)) = 1");
}

#[test]
fn prefix_operators_bind_as_other_operators() {
    same("@ this.a + 1 = 2", "(@ (this.a + 1)) = 2");
    same("@ this.a & 1 = 2", "((@ this.a) & 1) = 2");
    same("|/ this.f * 2 = 2", "(|/ (this.f * 2)) = 2");
    same("|/ @ this.f = 2", "(|/ (@ this.f)) = 2");
    same("this.a * @ this.b + 1 = 2", "(this.a * (@ (this.b + 1))) = 2");
}

#[test]
fn casts_and_zones_bind_tightest() {
    same("this.t || this.a::text = 'x'", "(this.t || (this.a::text)) = 'x'");
    same("this.a::text::int8 = 1", "((this.a::text)::int8) = 1");
    same("this.ts AT TIME ZONE 'UTC' = this.tz", "timezone('UTC', this.ts) = this.tz");
    same(
        "this.tz AT TIME ZONE 'UTC' AT TIME ZONE 'Europe/Berlin' = this.tz",
        "timezone('Europe/Berlin', timezone('UTC', this.tz)) = this.tz",
    );
    same(
        "this.tz - this.ts AT TIME ZONE 'UTC' = '1 day'",
        "(this.tz - (this.ts AT TIME ZONE 'UTC')) = '1 day'",
    );
}

#[test]
fn some_operators_do_not_chain() {
    let at =
        |location: usize, token: &str| format!("At location {location}: syntax error at or near \"{token}\"");
    assert_eq!(refused("this.a = this.b = this.p"), at(16, "="));
    assert_eq!(refused("1 < this.a < 3"), at(11, "<"));
    assert_eq!(refused("this.t LIKE 'a' LIKE 'b'"), at(16, "LIKE"));
    assert_eq!(refused("this.a BETWEEN 1 AND 2 IN (true)"), at(23, "IN"));
    assert_eq!(refused("this.t LIKE 'a' NOT IN (true)"), at(16, "NOT"));
    assert_eq!(refused("this.p IS DISTINCT FROM this.q IS NULL"), at(31, "IS"));
}

#[test]
fn lower_bounds_are_plain_expressions() {
    same("this.a BETWEEN this.b + 1 AND 2", "this.a >= this.b + 1 AND this.a <= 2");
    same("this.a BETWEEN 1 AND 2 IS NULL", "(this.a BETWEEN 1 AND 2) IS NULL");
    let at =
        |location: usize, token: &str| format!("At location {location}: syntax error at or near \"{token}\"");
    assert_eq!(refused("this.a BETWEEN 1 OR 2 AND 3"), at(17, "OR"));
    assert_eq!(refused("this.a BETWEEN NOT true AND 3"), at(15, "NOT"));
    same("this.a NOT BETWEEN (1) AND 2", "NOT (this.a >= 1 AND this.a <= 2)");
}

/// An expression of truth values, and how it is written.
#[derive(Clone, Debug)]
enum Tree {
    Column(&'static str),
    Prefix(Box<Tree>),
    Suffix(Box<Tree>, &'static str),
    Infix(Box<Tree>, &'static str, Box<Tree>),
}

/// Places in Postgres' table, from the top of the loosest.
fn level(operator: &str) -> u8 {
    match operator {
        " OR " => 1,
        " AND " => 2,
        "NOT " => 3,
        " IS DISTINCT FROM " => 4,
        _ => 5,
    }
}

impl Tree {
    fn level(&self) -> u8 {
        match self {
            Tree::Column(_) => 9,
            Tree::Prefix(_) => level("NOT "),
            Tree::Suffix(..) => level(" IS DISTINCT FROM "),
            Tree::Infix(_, operator, _) => level(operator),
        }
    }

    /// With parentheses around every operand, or only where they are needed.
    fn write(&self, all: bool) -> String {
        let operand = |tree: &Tree, least: u8| {
            let text = tree.write(all);
            if all || tree.level() < least { format!("({text})") } else { text }
        };
        match self {
            Tree::Column(name) => format!("this.{name}"),
            Tree::Prefix(inner) => format!("NOT {}", operand(inner, 3)),
            Tree::Suffix(inner, suffix) => format!("{}{suffix}", operand(inner, 5)),
            Tree::Infix(left, operator, right) => {
                let own = self.level();
                let least = if own > 3 { own + 1 } else { own };
                format!("{}{operator}{}", operand(left, least), operand(right, own + 1))
            }
        }
    }
}

fn trees() -> impl Strategy<Value = Tree> {
    let leaf = prop::sample::select(vec!["p", "q", "r"]).prop_map(Tree::Column);
    leaf.prop_recursive(5, 40, 2, |inner| {
        let suffix = prop::sample::select(vec![" IS NULL", " IS NOT TRUE", " IS UNKNOWN", " NOTNULL"]);
        let infix = prop::sample::select(vec![" OR ", " AND ", " IS DISTINCT FROM ", " = ", " <> "]);
        prop_oneof![
            inner.clone().prop_map(|t| Tree::Prefix(Box::new(t))),
            (inner.clone(), suffix).prop_map(|(t, s)| Tree::Suffix(Box::new(t), s)),
            (inner.clone(), infix, inner).prop_map(|(l, o, r)| Tree::Infix(Box::new(l), o, Box::new(r))),
        ]
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn parentheses_that_precedence_makes_needless_change_nothing(tree in trees()) {
        prop_assert_eq!(clause(&tree.write(true)), clause(&tree.write(false)));
    }
}

//! Columns of types that clients hold as texts.

use change::{Row, UserId};
use schema::Table;
use shapes::{Clause, Filter, Route, Values};

use crate::support::table;

fn things() -> Table {
    let mut table = table(
        1,
        "things",
        &[
            "id",
            "n numeric",
            "m numeric",
            "c bpchar",
            "j json",
            "i interval",
            "z timetz",
            "x citext",
            "a inet",
            "k cidr",
            "k2 bpchar",
        ],
    );
    table.columns[3].modifiers = vec![4];
    table
}

fn row(values: &[(usize, &str)]) -> Row {
    let value = |at: usize| values.iter().find(|(column, _)| *column == at).map(|(_, text)| text.as_bytes());
    (0..11).map(value).collect()
}

#[track_caller]
fn check(clause: &str, values: &[(usize, &str)], expected: bool) {
    let parsed = Clause::parse(clause, &things()).unwrap_or_else(|error| panic!("{clause}: {error}"));
    let row = row(values);
    assert_eq!(parsed.matches(&row), expected, "{clause} of {values:?}");
    // Whoever passes is found where the filter is filed.
    let filter = Filter::new(Some(parsed.into()), &things(), &UserId::new("1"));
    assert!(!expected || filter.route().admits(&row), "{clause} is filed where {values:?} is not looked for");
}

#[test]
fn numbers_are_equal_whatever_their_scale() {
    for (clause, value, expected) in [
        ("this.n = 1", "1.00", true),
        ("this.n = 1.0", "1", true),
        ("this.n = '1.000'", "1.00", true),
        ("this.n IN (1, 2.50)", "2.5", true),
        ("this.n IN (1, 2.50)", "2.51", false),
        ("this.n <> 1", "1.00", false),
        ("this.n BETWEEN 0.1 AND 0.30", "0.3", true),
        ("this.n > 1", "NaN", true),
        ("this.n = 'NaN'", "NaN", true),
        ("this.n < 0", "-Infinity", true),
        ("this.n >= 'Infinity'", "Infinity", true),
        ("this.n IS NOT DISTINCT FROM 0.10", "0.1", true),
        ("this.n = 0", "0.00", true),
        ("this.n + 1 = 2", "1.0", true),
        ("this.n::text = '1.50'", "1.50", true),
        ("this.n::text = '1.5'", "1.50", false),
        ("this.n = 0.1", "not a number", false),
        ("NOT this.n = 0.1", "not a number", false),
    ] {
        check(clause, &[(1, value)], expected);
    }
    check("this.n = this.m", &[(1, "1.0"), (2, "1.00")], true);
    check("this.n < this.m", &[(1, "1.0"), (2, "1.01")], true);
    check("this.n IS NULL", &[], true);
}

#[test]
fn numbers_of_any_size_are_compared_exactly_and_computed_with_only_if_they_are_small() {
    let long = "9".repeat(100_000);
    check("this.n > 1", &[(1, &long)], true);
    check("this.n < 1", &[(1, &format!("-{long}"))], true);
    check("this.n < this.m", &[(1, &long), (2, &format!("{long}.1"))], true);
    check("this.n = 0.1", &[(1, &format!("0.1{}", "0".repeat(10_000)))], true);
    check("this.n > 0.1", &[(1, &format!("0.1{}1", "0".repeat(10_000)))], true);
    check("this.n + 1 > 1", &[(1, &long)], false);
}

#[test]
fn spaces_at_the_end_of_characters_mean_nothing() {
    for (clause, value, expected) in [
        ("this.c = 'ab'", "ab  ", true),
        ("this.c = 'ab   '", "ab  ", true),
        ("this.c IN ('x', 'ab')", "ab  ", true),
        ("this.c <> 'ab'", "ab  ", false),
        ("this.c = ' ab'", "ab  ", false),
        ("this.c < 'ab!'", "ab  ", true),
        ("this.c = ''", "    ", true),
        ("this.c IS DISTINCT FROM 'ab'", "ab  ", false),
        ("this.c BETWEEN 'aa' AND 'ab'", "ab  ", true),
    ] {
        check(clause, &[(3, value)], expected);
    }
    check("this.c = this.k2", &[(3, "ab  "), (10, "ab")], true);
}

#[test]
fn what_is_not_understood_is_refused() {
    for (clause, message) in [
        ("this.c LIKE 'a%'", "At location 7: Could not select an operator overload"),
        ("this.c = this.id", "At location 7: Could not select an operator overload"),
        ("lower(this.c) = 'a'", "At location 0: Could not select a function overload for lower(bpchar)"),
        ("this.c::text = 'a'", "At location 6: unknown cast from type bpchar to type text"),
        ("this.x = 'a'", "At location 7: Could not select an operator overload"),
        ("this.j = '{}'", "At location 7: Could not select an operator overload"),
        ("this.i > '1 day'::interval", "At location 7: Could not select an operator overload"),
        ("this.z IN ('00:00+00')", "At location 7: Could not select an operator overload"),
        ("this.a = '1.2.3.4'", "At location 7: Could not select an operator overload"),
        ("this.k IS DISTINCT FROM '10/8'", "At location 7: Could not select an operator overload"),
        ("this.x", "Where expression should evaluate to a boolean, but it's :citext"),
        ("this.j::text = '1'", "At location 6: unknown cast from type json to type text"),
        ("this.n = '1,5'", "At location 9: invalid syntax for type numeric: 1,5"),
    ] {
        let error = Clause::parse(clause, &things()).map(|_| ()).unwrap_err();
        assert_eq!(error.to_string(), message, "{clause}");
    }
    for column in 4..10 {
        let clause = format!("this.{} IS NULL", things().columns[column].name);
        check(&clause, &[], true);
        check(&clause, &[(column, "x")], false);
    }
}

#[test]
fn conditions_for_postgres_are_of_the_columns_own_types() {
    for (clause, sql) in [
        ("this.n = 1", Some("(m.\"n\" = '1'::numeric)")),
        ("this.n IN (1, 2.50)", Some("(m.\"n\" IN ('1'::numeric, '2.50'::numeric))")),
        ("this.c = 'ab '", Some("(m.\"c\" = 'ab'::bpchar)")),
        ("this.c > 'ab'", Some("(m.\"c\" COLLATE \"C\" > 'ab'::bpchar)")),
        ("this.j IS NULL", Some("(m.\"j\" IS NULL)")),
        ("this.n + 1 = 2", None),
    ] {
        assert_eq!(Clause::parse(clause, &things()).unwrap().sql(&things(), "m").as_deref(), sql, "{clause}");
    }
}

#[test]
fn equality_of_numbers_is_filed_as_a_range() {
    let filed = |clause: &str| {
        let clause = Clause::parse(clause, &things()).unwrap();
        Filter::new(Some(clause.into()), &things(), &UserId::new("1")).route()
    };
    let route = filed("this.n = 1.50");
    assert!(matches!(route, Route::Range(1, ..)), "{route:?}");
    for (value, admitted) in [("1.5", true), ("1.500", true), ("1.51", false), ("NaN", false)] {
        assert_eq!(route.admits(&row(&[(1, value)])), admitted, "{value}");
    }
    assert!(filed("this.n = 1 AND this.n = 2") == Route::Never);
    assert!(filed("this.n = 1 AND this.n = 1.0") != Route::Never);
}

#[test]
fn an_owner_of_a_fixed_length_is_known_by_what_comes_before_the_spaces() {
    let mut table = table(1, "notes", &["id", "electric_user_id bpchar"]);
    table.columns[1].modifiers = vec![6];
    let row = |owner: Option<&str>| -> Row {
        [Some("x"), owner].map(|value| value.map(str::as_bytes)).into_iter().collect()
    };
    let passes = |user: &str, owner: Option<&str>| {
        let filter = Filter::new(None, &table, &UserId::new(user));
        let row = row(owner);
        let passes = filter.matches(&row);
        assert!(!passes || filter.route().admits(&row));
        passes
    };
    assert!(passes("ada", Some("ada   ")));
    assert!(passes("ada", None) && passes("ada", Some("      ")));
    assert!(!passes("ada", Some("adam  ")) && !passes("adamantine", Some("adaman")));
    assert!(!passes("ada ", Some("ada   ")) && !passes("", Some("ada   ")));
    let sql = Filter::new(None, &table, &UserId::new("ada")).sql(&table, "m").unwrap();
    assert_eq!(sql, "m.electric_user_id IS NULL OR m.electric_user_id IN ('', 'ada')");
    assert_eq!(row(Some("y")).value(1), Some(b"y".as_slice()));
}

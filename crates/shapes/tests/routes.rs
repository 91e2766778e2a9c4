//! Where filters are filed.

use std::{ops::Bound, sync::Arc};

use change::UserId;
use proptest::{collection::vec, prelude::*, sample::select};
use schema::{ColumnType, EnumType, Table};
use shapes::{Clause, Filter, Route, clause::Type};

use crate::support::{row, table};

fn things() -> Table {
    let mut table = table(
        1,
        "things",
        &[
            "id uuid",
            "a int4",
            "b int8",
            "f float8",
            "t text",
            "v varchar",
            "d date",
            "open bool",
            "kind text",
        ],
    );
    let labels = vec!["red".into(), "blue".into()];
    table.columns[8].ty = ColumnType::Enum(Arc::new(EnumType { name: "kind".into(), labels }));
    table
}

fn owned() -> Table {
    table(2, "owned", &["id uuid", "a int4", "electric_user_id"])
}

fn route(table: &Table, clause: &str) -> Route {
    let clause = (!clause.is_empty()).then(|| Arc::new(Clause::parse(clause, table).unwrap()));
    Filter::new(clause, table, &UserId::new("me")).route()
}

#[track_caller]
fn equal(clause: &str, column: usize, values: &[Option<&str>]) {
    let values = values.iter().map(|value| value.map(|value| value.as_bytes().into())).collect();
    assert!(
        route(&things(), clause) == Route::Equal(column, values),
        "{clause}: {:?}",
        route(&things(), clause)
    );
}

/// A range, its ends as they are written in mathematics.
#[track_caller]
fn range(clause: &str, column: usize, ty: &Type, expected: &str) {
    let route = route(&things(), clause);
    let Route::Range(on, read_as, low, high) = &route else { panic!("{clause}: {route:?}") };
    let low = match low {
        Bound::Included(value) => format!("[{}", value.print(ty)),
        Bound::Excluded(value) => format!("({}", value.print(ty)),
        Bound::Unbounded => "(".into(),
    };
    let high = match high {
        Bound::Included(value) => format!("{}]", value.print(ty)),
        Bound::Excluded(value) => format!("{})", value.print(ty)),
        Bound::Unbounded => ")".into(),
    };
    assert_eq!((*on, read_as, format!("{low},{high}")), (column, ty, expected.to_owned()), "{clause}");
}

#[test]
fn equality_and_lists_of_values() {
    equal("this.a = 5", 1, &[Some("5")]);
    equal("5 = this.a", 1, &[Some("5")]);
    equal("this.b = 5", 2, &[Some("5")]);
    equal("this.b = 9000000000", 2, &[Some("9000000000")]);
    equal("this.a = 2.0", 1, &[Some("2")]);
    equal("this.t = 'x'", 4, &[Some("x")]);
    equal("this.v = 'x'", 5, &[Some("x")]);
    equal(
        "this.id = '0B1C2D3E-0000-4000-8000-00000000000F'",
        0,
        &[Some("0b1c2d3e-0000-4000-8000-00000000000f")],
    );
    equal("this.kind = 'red'", 8, &[Some("red")]);
    equal("this.a IN (7, 5, 5)", 1, &[Some("5"), Some("7")]);
    equal("this.a IN (7, NULL)", 1, &[Some("7")]);
    equal("this.a = 5 OR this.a = 7", 1, &[Some("5"), Some("7")]);
    equal("this.a IS NULL", 1, &[None]);
    equal("this.a = 5 OR this.a IS NULL", 1, &[None, Some("5")]);
    equal("this.a IS NOT DISTINCT FROM 5", 1, &[Some("5")]);
    equal("(this.a = 5) IS TRUE", 1, &[Some("5")]);
    equal("this.open", 7, &[Some("t")]);
    equal("NOT this.open", 7, &[Some("f")]);
    equal("this.open = false", 7, &[Some("f")]);
    equal("this.open IS FALSE", 7, &[Some("f")]);
    equal("this.open IS UNKNOWN", 7, &[None]);
}

#[test]
fn conjuncts_are_compared() {
    equal("this.a = 5 AND this.t <> 'x'", 1, &[Some("5")]);
    equal("this.open AND this.t = 'x' AND this.a IN (1, 2)", 4, &[Some("x")]);
    equal("this.a IS NULL AND this.t IN ('x', 'y', 'z')", 4, &[Some("x"), Some("y"), Some("z")]);
    equal("this.a IN (1, 2, 3) AND this.a IN (3, 4)", 1, &[Some("3")]);
    equal(
        "(this.a = 1 AND this.t = 'x') OR (this.a = 2 AND this.d > '2024-01-01')",
        1,
        &[Some("1"), Some("2")],
    );
    equal("this.open AND this.a > 5", 7, &[Some("t")]);
    range("this.open AND this.a BETWEEN 5 AND 7", 1, &Type::Int4, "[5,7]");
    range("this.a > 5 AND this.a < 10 AND this.a <= 7 AND this.a > 1", 1, &Type::Int4, "(5,7]");
}

#[test]
fn ranges() {
    range("this.a > 5", 1, &Type::Int4, "(5,)");
    range("5 > this.a", 1, &Type::Int4, "(,5)");
    range("this.a >= 5", 1, &Type::Int4, "[5,)");
    range("this.t <= 'x'", 4, &Type::Text, "(,x]");
    range("this.d BETWEEN '2024-01-01' AND '2024-02-01'", 6, &Type::Date, "[2024-01-01,2024-02-01]");
    range("this.d = '2024-01-01'", 6, &Type::Date, "[2024-01-01,2024-01-01]");
    range("this.d IN ('2024-03-01', '2024-01-01')", 6, &Type::Date, "[2024-01-01,2024-03-01]");
    range("this.f = 1.5", 3, &Type::Float8, "[1.5,1.5]");
    range("this.a >= 10.00", 1, &Type::Int4, "[10,)");
    range("this.a >= 10.50", 1, &Type::Numeric, "[10.5,)");
    range("this.a > 10.5", 1, &Type::Numeric, "(10.5,)");
    range("this.b < 3::int4", 2, &Type::Int8, "(,3)");
    range("this.t LIKE 'ab%'", 4, &Type::Text, "[ab,ac)");
    range(r"this.t LIKE 'a\_b_'", 4, &Type::Text, "[a_b,a_c)");
}

#[test]
fn what_can_not_be_filed_and_what_never_passes() {
    for any in [
        "",
        "true",
        "this.t LIKE '%x'",
        "this.a = 1 OR this.t = 'x'",
        "this.a <> 1",
        "this.a IS NOT NULL",
        "this.a = this.b",
        "lower(this.t) = 'x'",
        "NOT (this.a = 1 AND this.t = 'x')",
    ] {
        assert_eq!(route(&things(), any), Route::Any, "{any}");
    }
    for never in [
        "false",
        "this.a = NULL",
        "this.a = 1 AND this.a = 2",
        "this.a > 5 AND this.a < 5",
        "this.a >= 5 AND this.a < 5",
    ] {
        assert_eq!(route(&things(), never), Route::Never, "{never}");
    }
}

#[test]
fn by_the_owner_first() {
    let owner = |values: &[Option<&str>]| {
        Route::Equal(2, values.iter().map(|value| value.map(|value| value.as_bytes().into())).collect())
    };
    for clause in ["", "this.a = 5", "this.a > 5", "this.electric_user_id LIKE 'm%'"] {
        assert_eq!(route(&owned(), clause), owner(&[None, Some(""), Some("me")]), "{clause}");
    }
    assert_eq!(route(&owned(), "this.electric_user_id IN ('me', 'you')"), owner(&[Some("me")]));
    assert_eq!(route(&owned(), "this.electric_user_id = 'you'"), Route::Never);
    assert_eq!(route(&owned(), "this.a > 5 AND this.a < 5"), Route::Never);
}

#[test]
fn values_are_not_printed() {
    let shown =
        format!("{:?} {:?}", route(&things(), "this.t = 'secret'"), route(&things(), "this.t > 'secret'"));
    assert!(!shown.contains("secret") && !shown.contains("115"), "{shown}");
}

/// Clauses of all forms over few values.
fn clauses() -> impl Strategy<Value = String> {
    let leaf = select(vec![
        "this.a = 1",
        "this.a = 2",
        "this.a < 2",
        "this.a >= 1",
        "this.a <= 2.5",
        "this.a >= 2.0",
        "this.a <= 2.00",
        "this.a IN (1.0, 2.5)",
        "this.a IN (1, 3)",
        "this.a IS NULL",
        "this.a IN (2, NULL)",
        "this.b = 1",
        "this.b > 1",
        "this.a = this.b",
        "this.f = 1",
        "this.f < 'NaN'",
        "this.f > 0",
        "this.f = 0",
        "this.t = 'ab'",
        "this.t LIKE 'a%'",
        "this.t LIKE '%b'",
        "this.t > 'ab'",
        "this.t IN ('', 'b')",
        "this.v = 'ab'",
        "this.v <= 'b'",
        "this.open",
        "this.open = false",
        "this.open IS UNKNOWN",
        "this.open IS NOT TRUE",
        "this.d = '2024-01-01'",
        "this.d > '2024-01-01'",
        "this.d IN ('2024-01-01', 'infinity')",
        "this.kind = 'red'",
        "this.kind IN ('red', 'blue')",
        "this.a IS DISTINCT FROM 1",
        "this.a IS NOT DISTINCT FROM 1",
        "this.a + 1 = 2",
        "1 / this.a = 1",
        "true",
        "false",
        "NULL::bool",
    ])
    .prop_map(str::to_owned);
    leaf.prop_recursive(3, 12, 4, |inner| {
        prop_oneof![
            3 => vec(inner.clone(), 2..4).prop_map(|all| format!("({})", all.join(") AND ("))),
            2 => vec(inner.clone(), 2..4).prop_map(|any| format!("({})", any.join(") OR ("))),
            1 => inner.clone().prop_map(|one| format!("NOT ({one})")),
            1 => inner.prop_map(|one| format!("({one}) IS TRUE")),
        ]
    })
}

fn rows() -> impl Strategy<Value = Vec<Option<&'static str>>> {
    let of = |values: &[&'static str]| {
        let values = values.iter().copied().map(Some).chain([None]).collect::<Vec<_>>();
        select(values)
    };
    let id = Just(Some("0b1c2d3e-0000-4000-8000-00000000000f"));
    let (a, b) = (of(&["0", "1", "2", "3"]), of(&["1", "2", "9000000000"]));
    let (f, t) = (of(&["0", "-0", "1", "1.5", "NaN", "Infinity"]), of(&["", "a", "ab", "b", "abc"]));
    let (v, d) = (of(&["ab", "b", "c"]), of(&["2024-01-01", "2023-12-31", "infinity", "0001-01-01 BC"]));
    (id, a, b, f, t, v, d, of(&["t", "f"]), of(&["red", "blue"]))
        .prop_map(|(id, a, b, f, t, v, d, open, kind)| vec![id, a, b, f, t, v, d, open, kind])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn a_route_admits_what_its_filter_passes(clause in clauses(), rows in vec(rows(), 1..20)) {
        let table = things();
        let parsed = Clause::parse(&clause, &table).unwrap();
        let filter = Filter::new(Some(Arc::new(parsed)), &table, &UserId::new("me"));
        let route = filter.route();
        for values in rows {
            let row = row(&values);
            prop_assert!(!filter.matches(&row) || route.admits(&row), "{} {:?} {:?}", clause, route, values);
        }
    }
}

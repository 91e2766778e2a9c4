//! What clauses are of rows (spec 06 §13.5).

use shapes::Clause;

use super::{clause, everything};

/// Whether a clause selects a row of which only these columns are not NULL.
#[track_caller]
fn selects(text: &str, values: &[(&str, &str)]) -> bool {
    of_row(&clause(text), values)
}

fn of_row(clause: &Clause, values: &[(&str, &str)]) -> bool {
    let table = everything();
    let value =
        |name: &str| values.iter().find(|(column, _)| *column == name).map(|(_, value)| value.as_bytes());
    let row: Vec<_> = table.columns.iter().map(|column| value(&column.name)).collect();
    clause.matches(&row[..])
}

#[test]
fn w01_true_or_null_is_true() {
    assert!(selects("this.a = 1 OR this.b = 2", &[("a", "1")]));
}

#[test]
fn w02_null_and_false_is_false() {
    assert!(selects("NOT (this.a = 1 AND this.b = 2)", &[("b", "3")]));
}

#[test]
fn w03_a_list_with_null_still_has_its_members() {
    assert!(selects("this.a IN (1, NULL)", &[("a", "1")]));
    assert!(!selects("this.a IN (1, NULL)", &[("a", "2")]));
}

#[test]
fn w04_nothing_is_outside_a_list_with_null() {
    assert!(!selects("this.a NOT IN (1, NULL)", &[("a", "2")]));
}

#[test]
fn w05_null_is_distinct_from_all_but_null() {
    let text = "this.a IS DISTINCT FROM this.b";
    assert!(!selects(text, &[("a", "1"), ("b", "1")]));
    assert!(selects(text, &[("a", "1"), ("b", "2")]));
    assert!(selects(text, &[("a", "1")]));
    assert!(!selects(text, &[]));
}

#[test]
fn w06_a_backslash_escapes_a_wildcard() {
    assert!(selects(r"this.t LIKE 'a\_b%'", &[("t", "a_bc")]));
    assert!(!selects(r"this.t LIKE 'a\_b%'", &[("t", "axbc")]));
}

#[test]
fn w07_a_run_goes_over_line_breaks() {
    assert!(selects("this.t LIKE 'a%'", &[("t", "a\nb")]));
}

#[test]
fn w08_ilike_knows_other_letters_than_ascii_and_is_left_to_memory() {
    assert!(selects("this.t ILIKE 'ÉCOLE'", &[("t", "école")]));
    assert_eq!(clause("this.t ILIKE 'ÉCOLE'").sql(&everything(), "m"), None);
}

#[test]
fn w09_three_operands() {
    let row = [("a", "1"), ("b", "2"), ("t", "x")];
    assert!(selects("(this.a = 1) AND (this.b = 2) AND (this.t = 'x')", &row));
    assert!(!selects("(this.a = 1) AND (this.b = 2) AND (this.t = 'y')", &row));
}

#[test]
fn w10_numbers_with_decimals_are_numbers() {
    assert!(selects("this.f > 10.5", &[("f", "11")]));
    assert!(!selects("this.f > 10.5", &[("f", "9")]));
}

#[test]
fn w11_not_equal_in_both_spellings() {
    assert!(selects("this.t != 'x'", &[("t", "y")]));
    assert!(!selects("this.a <> 3", &[]));
}

#[test]
fn w12_times_as_clients_write_them() {
    assert!(selects("this.tz < '2024-01-01T00:00:00.000Z'", &[("tz", "2023-12-31 23:59:59+00")]));
    assert!(selects("this.ts < '2024-01-01T00:00:00.000Z'", &[("ts", "2023-12-31 23:59:59")]));
}

#[test]
fn w13_months_end_where_they_end() {
    assert!(selects("this.d + interval '1 month' = '2024-02-29'", &[("d", "2024-01-31")]));
}

#[test]
fn w14_dates_among_timestamps() {
    assert!(selects("date '2024-01-01' < interval '1 month 1 hour' + this.d", &[("d", "2023-12-01")]));
}

#[test]
fn w15_lower_case() {
    assert!(selects("lower(this.t) ~~ 'pending%'", &[("t", "PENDING x")]));
}

#[test]
fn w16_not_a_number_equals_itself() {
    assert!(selects("this.f = 'NaN'", &[("f", "NaN")]));
}

#[test]
fn errors_select_nothing_unless_the_rest_decides() {
    let row = [("a", "1"), ("b", "0")];
    assert!(!selects("this.a / this.b = 1", &row));
    assert!(!selects("NOT this.a / this.b = 1", &row));
    assert!(!selects("(this.a / this.b) IS NULL", &row));
    assert!(selects("this.a / this.b = 1 OR this.a = 1", &row));
    assert!(selects("NOT (this.a / this.b = 1 AND this.a = 2)", &row));
}

#[test]
fn what_is_no_value_of_the_type_selects_nothing() {
    assert!(!selects("this.a = 1", &[("a", "x")]));
    assert!(!selects("this.a <> 1", &[("a", "x")]));
    assert!(selects("this.a IS NOT NULL", &[("a", "x")]));
    assert!(!of_row(&clause("this.t = 'a' OR this.t <> 'a'"), &[]));
}

#[test]
fn postgres_is_handed_what_it_decides_alike() {
    for (text, expected) in [
        ("this.a = 1", Some(r#"(m."a" = '1'::int4)"#)),
        ("this.v = 'it''s'", Some(r#"(m."v" = 'it''s'::varchar)"#)),
        (r"this.t = 'a\b'", Some(r#"(m."t" = E'a\\b'::text)"#)),
        (r#"this."mixedCase" < 'x'"#, Some(r#"(m."mixedCase" COLLATE "C" < 'x'::text)"#)),
        ("this.a IN (2, 1, NULL)", Some(r#"(m."a" IN ('1'::int4, '2'::int4))"#)),
        ("this.mood = 'ok'", Some(r#"((m."mood")::text = 'ok'::text)"#)),
        ("this.t LIKE 'a%'", Some(r#"(m."t" ~~ 'a%'::text)"#)),
        ("this.a / this.b = 1 AND this.p", Some(r#"m."p""#)),
        ("this.j IS NULL", Some(r#"(m."j" IS NULL)"#)),
        ("this.f = 'NaN'", Some(r#"(m."f" = 'NaN'::float8)"#)),
        ("NOT (this.a = 1 AND this.b > 2)", Some(r#"(NOT ((m."a" = '1'::int4) AND (m."b" > '2'::int4)))"#)),
        // These may raise, or follow the locale of the database.
        ("this.a / this.b = 1", None),
        ("this.a = 1 OR this.a + 1 = 5", None),
        (r"this.t LIKE 'a\'", None),
        ("this.t LIKE this.name", None),
        ("lower(this.t) = 'a'", None),
        ("TRUE", Some("'t'::bool")),
    ] {
        assert_eq!(clause(text).sql(&everything(), "m").as_deref(), expected, "{text}");
    }
}

#[test]
fn texts_with_collations_of_their_own_are_compared_by_bytes() {
    let mut table = everything();
    let column = table.columns.iter_mut().find(|column| column.name == "t").unwrap();
    column.collation = Some("\"de-x-icu\"".to_owned());
    let sql = |text: &str| clause(text).sql(&table, "m");
    // More rows than are wanted may be kept, and an index is of use.
    assert_eq!(sql("this.t = 'x'").as_deref(), Some(r#"(m."t" = 'x'::text)"#));
    assert_eq!(sql("this.t <> 'x'").as_deref(), Some(r#"(NOT (m."t" COLLATE "C" = 'x'::text))"#));
}

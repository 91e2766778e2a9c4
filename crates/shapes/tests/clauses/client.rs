//! What the 0.12.1 client makes of the objects that apps give it (spec 06 §4).

use super::{clause, different, refused, same, understood};

#[test]
fn fields_alone() {
    understood(&[
        r#"this."t" IS NULL"#,
        r#"this."t" = 'x'"#,
        r#"this."a" = 5"#,
        r#"this."f" = 0.1"#,
        r#"this."p" = true"#,
        r#"this."p" = false"#,
        r#"this."ts" = '2024-01-01T00:00:00.000Z'"#,
        r#"this."tz" = '2024-01-01T00:00:00.000Z'"#,
        r#"this."d" = '2024-01-01'"#,
        r#"this."u" = '0b4ed1d2-7c3a-4a4e-9a0e-5b0c62d0b6a1'"#,
        r#"this."mixedCase" = 'it''s'"#,
        r#"this."mood" = 'ok'"#,
    ]);
}

#[test]
fn every_key_of_a_filter() {
    understood(&[
        r#"this."a" = 1"#,
        r#"this."a" IN (1, 2, 3)"#,
        r#"this."t" IN ('a', 'it''s')"#,
        r#"this."a" != 1"#,
        r#"this."t" != 'x'"#,
        r#"this."a" != -1"#,
        r#"this."t" IS NOT NULL"#,
        r#"this."a" NOT IN (1, 2)"#,
        r#"this."a" < 5"#,
        r#"this."a" <= 5"#,
        r#"this."a" > 5"#,
        r#"this."a" >= 5"#,
        r#"this."t" LIKE 'x%'"#,
        r#"this."t" LIKE '%x'"#,
        r#"this."t" LIKE '%x%'"#,
        r#"this."t" LIKE '\%\_x%'"#,
        r#"(this."a" >= 1) AND (this."a" < 5)"#,
    ]);
}

#[test]
fn three_fields_are_three_operands() {
    let text = r#"(this."a" = 1) AND (this."b" = 2) AND (this."t" = 'x')"#;
    same(text, "this.t = 'x' AND this.b = 2 AND this.a = 1");
    assert_eq!(clause(text).columns().len(), 3);
}

#[test]
fn negation_binds_to_the_first_field_only() {
    let text = r#"NOT this."a" = 1 AND this."b" = 2"#;
    same(text, "(NOT (this.a = 1)) AND (this.b = 2)");
    different(text, "NOT (this.a = 1 AND this.b = 2)");
}

#[test]
fn nested_connectives_have_their_sql_precedence() {
    let text = r#"this."a" = 1 OR this."b" = 2 AND this."t" = 'x'"#;
    same(text, "this.a = 1 OR (this.b = 2 AND this.t = 'x')");
}

#[test]
fn the_example_of_the_specification() {
    let text = r#"(this."t" IN ('3', 'test') OR this."test" LIKE '\%hello%') AND ((NOT this."id" = 1) AND (NOT this."id" = 2)) AND (this."title" = 'foo')"#;
    assert_eq!(clause(text).columns().len(), 4);
    let mixed = r#"(this."id" IN (3, 'test') OR this."test" LIKE '\%hello%')"#;
    assert_eq!(refused(mixed), "At location 18: invalid syntax for type int4: test");
}

#[test]
fn numbers_as_javascript_prints_them() {
    understood(&[
        "this.f = 1e21",
        "this.f = 1e-7",
        "this.f = 1.5e+300",
        "this.i8 = 9007199254740991",
        "this.i8 = 1700000000000",
        "this.f = -0.5",
        "this.i8 = 1e21",
    ]);
}

#[test]
fn an_empty_list_is_a_syntax_error() {
    assert_eq!(refused(r#"this."a" IN ()"#), "At location 13: syntax error at or near \")\"");
}

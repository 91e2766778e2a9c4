//! Clauses that are refused, and how that is put (spec 06 §3.8, §13.6).

use super::{clause, refused, same, understood};

#[track_caller]
fn check(text: &str, message: &str) {
    assert_eq!(refused(text), message, "{text}");
}

#[test]
fn e10_unknown_reference() {
    check("huh::boolean", "At location 0: unknown reference huh");
}

#[test]
fn e11_bare_column() {
    check("name = 'x'", "At location 0: unknown reference name - did you mean `this.name`?");
}

#[test]
fn e12_text_is_no_condition() {
    check("this.name", "Where expression should evaluate to a boolean, but it's :text");
}

#[test]
fn e13_truth_of_a_number() {
    check("this.a IS TRUE", "At location 7: argument of IS TRUE must be bool, not int4");
}

#[test]
fn e14_subquery() {
    check("this.a IN (SELECT 1)", "At location 7: subqueries are not supported");
}

#[test]
fn e15_second_statement() {
    check("true; DROP TABLE x", "unescaped \";\" causing statement split");
}

#[test]
fn e16_further_clause() {
    check("true ORDER BY 1", "malformed query ending with SQL clauses");
}

#[test]
fn e17_no_number() {
    check("this.a = 'abc'", "At location 9: invalid syntax for type int4: abc");
}

#[test]
fn e18_unknown_function() {
    check("ceil(this.f) = 1", "At location 0: unknown or unsupported function ceil/1");
}

#[test]
fn e19_between_is_understood() {
    same("this.a BETWEEN 1 AND 2", "1 <= this.a AND this.a <= 2");
}

#[test]
fn w17_constants() {
    check("NULL", "Where expression should evaluate to a boolean, but it's :unknown");
    check("'true'", "Where expression should evaluate to a boolean, but it's :unknown");
    same("1::boolean", "TRUE");
    clause("TRUE");
}

#[test]
fn texts_of_the_old_service() {
    check("huh", "At location 0: unknown reference huh");
    check("test IN (SELECT 1)", "At location 5: subqueries are not supported");
    check("1 IS TRUE", "At location 2: argument of IS TRUE must be bool, not int4");
}

#[test]
fn other_types_than_bool() {
    check("1", "Where expression should evaluate to a boolean, but it's :int4");
    check("3000000000", "Where expression should evaluate to a boolean, but it's :numeric");
    check("this.mood", "Where expression should evaluate to a boolean, but it's :mood");
    check("this.v", "Where expression should evaluate to a boolean, but it's :varchar");
    check("this.d + 1", "Where expression should evaluate to a boolean, but it's :date");
    check("this.a AND true", "At location 0: reference this.a of type int4 is not castable to bool");
    check("NOT lower(this.t)", "At location 4: function lower returning text is not castable to bool");
    check("true OR this.a + 1", "At location 15: operator + returning int4 is not castable to bool");
    check("this.a IS NOT FALSE", "At location 7: argument of IS NOT FALSE must be bool, not int4");
    check("this.t IS UNKNOWN", "At location 7: argument of IS UNKNOWN must be bool, not text");
}

#[test]
fn references() {
    check("this.huh = 1", "At location 0: unknown reference this.huh");
    check("this.mixedCase = 'x'", "At location 0: unknown reference this.mixedcase");
    check(
        "\"mixedCase\" = 'x'",
        "At location 0: unknown reference mixedCase - did you mean `this.\"mixedCase\"`?",
    );
    check("everything.a = 1", "At location 0: unknown reference everything.a");
    check("public.this.a = 1", "At location 0: unknown reference public.this.a");
    check("true AND this = 1", "At location 9: unknown reference this");
    check("\"THIS\".a = 1", "At location 0: unknown reference THIS.a");
    understood(&[
        "THIS.A = 1",
        "this . a = 1",
        "\"this\".\"a\" = 1",
        "this.\"mixedCase\" = 'x'",
        "this.order = 1",
    ]);
}

#[test]
fn what_ends_too_late() {
    for text in [
        "true FROM x",
        "true GROUP BY 1",
        "true HAVING true",
        "true LIMIT 1",
        "true OFFSET 1",
        "true FOR UPDATE",
    ] {
        check(text, "malformed query ending with SQL clauses");
    }
    for text in
        ["true UNION SELECT 1", "true WINDOW w AS ()", "true FETCH FIRST ROW ONLY", "true EXCEPT SELECT 1"]
    {
        check(text, "malformed query ending with SQL clauses");
    }
    check("true;", "unescaped \";\" causing statement split");
    check("true)", "At location 4: syntax error at or near \")\"");
    check("true OR false) AND (true", "At location 13: syntax error at or near \")\"");
    check("true x", "At location 5: syntax error at or near \"x\"");
    check("true /* x", "At location 5: unterminated /* comment at or near \"/* x\"");
}

#[test]
fn what_ends_too_early() {
    check("", "At location 0: syntax error at end of input");
    check(" -- nothing", "At location 11: syntax error at end of input");
    check("this.a =", "At location 8: syntax error at end of input");
    check("(true", "At location 5: syntax error at end of input");
    check("this.", "At location 5: syntax error at end of input");
    check("this.t = 'x", "At location 9: unterminated quoted string at or near \"'x\"");
}

#[test]
fn comments_are_blanks() {
    same("this.a /* x */ = -- y\n 1 -- z", "this.a = 1");
    same("this.a =/* /* x */ */1/**/", "this.a = 1");
}

#[test]
fn casts() {
    check("this.d::int4 = 1", "At location 6: unknown cast from type date to type int4");
    check("CAST(this.u AS date) IS NULL", "At location 0: unknown cast from type uuid to type date");
    check("this.a::json IS NULL", "At location 8: unsupported type json");
    check("this.t::int4[] IS NULL", "At location 8: Electric currently doesn't support array types");
    check("'abc'::text::int4 = 1", "At location 11: could not cast value abc from text to int4");
    check(
        "this.v::varchar(3) = 'a'",
        "At location 8: type modifiers are not supported, write varchar instead of varchar(3)",
    );
    check("date 'x' = this.d", "At location 5: invalid syntax for type date: x");
    check("'{}'::jsonb IS NULL", "At location 0: unsupported type jsonb");
}

#[test]
fn operators_and_functions() {
    check("this.t ~ 'x'", "At location 7: unknown binary operator \"~\"");
    check("this.j -> 'x' IS NULL", "At location 7: unknown binary operator \"->\"");
    check("~ this.a = 1", "At location 0: unknown unary operator \"~\"");
    check("@-1 = 1", "At location 0: unknown unary operator \"@-\"");
    check("this.t = 1", "At location 7: Could not select an operator overload");
    check("this.j = this.j", "At location 7: Could not select an operator overload");
    check("this.raw = 'x'", "At location 9: Could not select an operator overload");
    check("this.p < this.q", "At location 7: Could not select an operator overload");
    check("lower(this.a) = 'x'", "At location 0: Could not select a function overload for lower(int4)");
    check(
        "timezone(NULL, this.t) IS NULL",
        "At location 0: Could not select a function overload for timezone(unknown, text)",
    );
    check("now() > this.tz", "At location 0: unknown or unsupported function now/0");
    check("count(*) > 1", "At location 0: aggregation is not supported in this context");
    check("lower(DISTINCT this.t) = 'x'", "At location 0: aggregation is not supported in this context");
    check("lower(this.t) OVER () = 'x'", "At location 0: aggregation is not supported in this context");
    check("a.lower('x') = 'x'", "At location 0: unknown or unsupported function a.lower/1");
    check("1 / 0 = 1", "At location 2: Failed to apply function to constant arguments");
    check("2147483647 + 1 = 1", "At location 11: Failed to apply function to constant arguments");
}

#[test]
fn grammar_that_clauses_do_not_have() {
    let cases = [
        ("CASE WHEN true THEN true END", 0, "CaseExpr is not supported in this context"),
        ("COALESCE(this.p, true)", 0, "CoalesceExpr is not supported in this context"),
        ("this.a = NULLIF(1, 2)", 9, "NullIfExpr is not supported in this context"),
        ("this.a = GREATEST(1, 2)", 9, "MinMaxExpr is not supported in this context"),
        ("this.d = current_date", 9, "SQLValueFunction is not supported in this context"),
        ("this.t = user", 9, "SQLValueFunction is not supported in this context"),
        ("(this.a, this.b) = (1, 2)", 0, "RowExpr is not supported in this context"),
        ("ROW(1) = ROW(1)", 0, "RowExpr is not supported in this context"),
        ("this.a = ARRAY[1]", 9, "A_ArrayExpr is not supported in this context"),
        ("this.a = $1", 9, "ParamRef is not supported in this context"),
        ("this.t COLLATE \"C\" = 'x'", 7, "CollateClause is not supported in this context"),
        ("this.a[1] = 1", 6, "A_Indirection is not supported in this context"),
        ("(this.a).b = 1", 8, "A_Indirection is not supported in this context"),
        ("this.a = b'1'", 9, "BitString values are not supported"),
        ("this.a = x'1f'", 9, "BitString values are not supported"),
        ("EXISTS (SELECT 1)", 0, "subqueries are not supported"),
        ("this.a = (SELECT 1)", 9, "subqueries are not supported"),
        ("this.a = ANY (SELECT 1)", 7, "subqueries are not supported"),
        ("this.a = ANY ('{1}')", 7, "expression \"=\" is not currently supported"),
        ("this.t LIKE ALL ('{x}')", 7, "expression \"~~\" is not currently supported"),
        ("this.t SIMILAR TO 'x'", 7, "expression \"SIMILAR TO\" is not currently supported"),
        (
            "this.a BETWEEN SYMMETRIC 2 AND 1",
            7,
            "expression \"BETWEEN SYMMETRIC\" is not currently supported",
        ),
        ("this.t LIKE 'x' ESCAPE '!'", 16, "unknown or unsupported function like_escape/2"),
        ("this.a = select", 9, "syntax error at or near \"select\""),
        ("this.a = left", 9, "syntax error at or near \"left\""),
        ("this.a == 1", 7, "unknown binary operator \"==\""),
        ("this.a IS 1", 10, "syntax error at or near \"1\""),
    ];
    for (text, location, message) in cases {
        check(text, &format!("At location {location}: {message}"));
    }
}

#[test]
fn locations_are_counted_in_bytes() {
    check("this.t = 'é' AND huh", "At location 18: unknown reference huh");
}

#[test]
fn messages_stay_short() {
    let text = format!("this.a = '{}'", "é".repeat(100_000));
    assert!(refused(&text).len() < 200);
    let text = format!("\"{}\" = 1", "x".repeat(100_000));
    assert!(refused(&text).len() < 200);
    let text = format!("lower({}) = 1", vec!["1"; 100].join(","));
    assert!(refused(&text).len() < 200);
}

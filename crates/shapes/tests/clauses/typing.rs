//! Which operators are meant, and what literals become (spec 06 §3.7).

use shapes::clause::{Expr, Type};

use super::{clause, refused, same};

/// The types that the outermost call's function takes.
#[track_caller]
fn takes(text: &str) -> Vec<Type> {
    match clause(text).expr() {
        Expr::Call(function, _) => function.signature().arguments.to_vec(),
        Expr::Not(inner) => match &**inner {
            Expr::Call(function, _) => function.signature().arguments.to_vec(),
            other => panic!("{text} is {other:?}"),
        },
        other => panic!("{text} is {other:?}"),
    }
}

#[test]
fn a_literal_is_first_taken_for_the_other_operands_type() {
    assert_eq!(takes("this.a = '5'"), [Type::Int4, Type::Int4]);
    assert_eq!(takes("this.f < '5'"), [Type::Float8, Type::Float8]);
    assert_eq!(takes("this.d >= '2024-01-01'"), [Type::Date, Type::Date]);
    assert_eq!(takes("this.tz >= '2024-01-01'"), [Type::Timestamptz, Type::Timestamptz]);
    assert_eq!(takes("this.u <> '0b4ed1d2-7c3a-4a4e-9a0e-5b0c62d0b6a1'"), [Type::Uuid, Type::Uuid]);
    assert_eq!(
        refused("this.ts - '1 day' > '0'"),
        "At location 10: invalid syntax for type timestamp: 1 day"
    );
}

#[test]
fn strings_win_among_literals() {
    assert_eq!(takes("this.v = 'x'"), [Type::Text, Type::Text]);
    assert_eq!(takes("this.v = this.t"), [Type::Text, Type::Text]);
    same("'10' < '9'", "true");
    same("'a' || 'b' = 'ab'", "true");
}

#[test]
fn the_preferred_type_wins_among_numbers() {
    assert_eq!(takes("this.f4 > 10.5"), [Type::Float4, Type::Float8]);
    assert_eq!(takes("this.f > 10.5"), [Type::Float8, Type::Float8]);
    assert_eq!(takes("this.a > 10.5"), [Type::Numeric, Type::Numeric]);
    assert_eq!(takes("this.f = this.a"), [Type::Float8, Type::Float8]);
    assert_eq!(takes("this.i2 = this.i8"), [Type::Int2, Type::Int8]);
}

#[test]
fn instants_are_not_made_of_local_times() {
    let message = "At location 8: Could not select an operator overload";
    assert_eq!(refused("this.tz > timestamp '2024-01-01'"), message);
    assert_eq!(refused("this.tz > this.d"), message);
}

#[test]
fn enumerations_are_compared_with_their_labels() {
    same("this.mood = 'it''s'", "'it''s' = this.mood");
    same("this.mood <> 'ok'", "NOT this.mood IN ('ok')");
    clause("this.mood = this.mood2");
    clause("this.mood IN ('ok', NULL)");
    assert_eq!(refused("this.mood = 'great'"), "At location 12: invalid syntax for type mood: great");
    assert_eq!(
        refused("this.mood IN ('ok', 'great')"),
        "At location 20: invalid syntax for type mood: great"
    );
    for text in ["this.mood < 'ok'", "this.mood = this.t", "this.mood LIKE 'o%'", "this.mood || 'x' = 'y'"] {
        assert_eq!(refused(text), "At location 10: Could not select an operator overload", "{text}");
    }
}

#[test]
fn bytes_and_documents_can_only_be_null() {
    for text in
        ["this.raw = 'x'", "this.raw = this.raw", "this.raw IS DISTINCT FROM 'x'", "this.raw IN ('x')"]
    {
        assert_eq!(refused(text), "At location 9: Could not select an operator overload", "{text}");
    }
    clause("this.j IS NOT NULL AND this.raw IS NULL");
    clause("this.j IS DISTINCT FROM NULL");
}

#[test]
fn literals_in_places_of_truth() {
    same("'yes' AND this.p", "this.p");
    same("NOT 'off'", "TRUE");
    assert_eq!(refused("this.p OR 'maybe'"), "At location 10: invalid syntax for type bool: maybe");
}

#[test]
fn integers_have_four_bytes() {
    same("-2147483648 = '-2147483648'::int4", "TRUE");
    same("2147483648 = '2147483648'::numeric", "TRUE");
}

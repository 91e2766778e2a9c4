//! Spec 06 §13.5: where-clauses. What a row is worth is asked three times: of the first rows, of an insert, and of an update from a
//! row of NULLs. The answers have to be the same, and right.

use super::{Rig, all, notation::id};

/// Whether the row is in the shape.
const IN: bool = true;
const OUT: bool = false;

/// A clause, and rows by their columns and values; `x1` is the first.
async fn judge(clause: &str, rows: &[(&str, &str, bool)]) {
    let rig = Rig::take().await;
    let mut live = rig.viewer().await;
    live.gets("A", all("nums").filter(clause), "").await;
    let wanted: Vec<_> =
        rows.iter().enumerate().filter(|(_, row)| row.2).map(|(n, _)| format!("x{}", n + 1)).collect();
    let wanted = wanted.join(", ");

    for (n, (columns, values, _)) in rows.iter().enumerate() {
        rig.sql(&format!(
            "INSERT INTO nums (id, {columns}) VALUES ('{}', {values})",
            id(&format!("x{}", n + 1))
        ))
        .await;
    }
    live.settles(&wanted).await;
    rig.viewer().await.gets("A", all("nums").filter(clause), &wanted).await;

    rig.sql("UPDATE nums SET a = NULL, b = NULL, f = NULL, t = NULL, d = NULL, ts = NULL").await;
    for (n, (columns, values, _)) in rows.iter().enumerate() {
        let sql = format!(
            "UPDATE nums SET ({columns}) = ROW({values}) WHERE id = '{}'",
            id(&format!("x{}", n + 1))
        );
        rig.sql(&sql).await;
    }
    live.settles(&wanted).await;
    rig.viewer().await.gets("A", all("nums").filter(clause), &wanted).await;
    rig.sql("DELETE FROM nums").await;
    live.settles("").await;
}

#[tokio::test]
async fn w01_or_is_true_if_one_side_is() {
    judge(
        "this.a = 1 OR this.b = 2",
        &[("a, b", "1, NULL", IN), ("a, b", "NULL, 2", IN), ("a, b", "NULL, 3", OUT)],
    )
    .await;
}

#[tokio::test]
async fn w02_and_is_false_if_one_side_is() {
    let rows =
        [("a, b", "NULL, 3", IN), ("a, b", "NULL, 2", OUT), ("a, b", "1, 2", OUT), ("a, b", "2, NULL", IN)];
    judge("NOT (this.a = 1 AND this.b = 2)", &rows).await;
}

#[tokio::test]
async fn w03_in_finds_a_value_beside_a_null() {
    judge("this.a IN (1, NULL)", &[("a", "1", IN), ("a", "2", OUT), ("a", "NULL", OUT)]).await;
}

#[tokio::test]
async fn w04_not_in_with_a_null_is_never_true() {
    judge("this.a NOT IN (1, NULL)", &[("a", "2", OUT), ("a", "1", OUT), ("a", "NULL", OUT)]).await;
}

#[tokio::test]
async fn w05_is_distinct_from_treats_null_as_a_value() {
    let rows = |distinct: bool| {
        [
            ("a, b", "1, 1", !distinct),
            ("a, b", "1, 2", distinct),
            ("a, b", "1, NULL", distinct),
            ("a, b", "NULL, NULL", !distinct),
        ]
    };
    judge("this.a IS DISTINCT FROM this.b", &rows(true)).await;
    judge("this.a IS NOT DISTINCT FROM this.b", &rows(false)).await;
}

#[tokio::test]
async fn w06_like_takes_an_escaped_underscore_literally() {
    judge(r"this.t LIKE 'a\_b%'", &[("t", "'a_bc'", IN), ("t", "'axbc'", OUT)]).await;
    judge(r"this.t LIKE 'a\%'", &[("t", "'a%'", IN), ("t", r"'a\x'", OUT), ("t", "'abc'", OUT)]).await;
}

#[tokio::test]
async fn w07_like_crosses_lines() {
    judge("this.t LIKE 'a%'", &[("t", r"E'a\nb'", IN), ("t", r"E'\na'", OUT)]).await;
    judge("this.t LIKE '%b'", &[("t", r"E'a\nb'", IN), ("t", r"E'b\n'", OUT)]).await;
    judge("this.t LIKE 'a_b'", &[("t", r"E'a\nb'", IN), ("t", "'a€b'", IN), ("t", "'ab'", OUT)]).await;
}

#[tokio::test]
async fn w08_ilike_folds_letters_one_by_one() {
    judge("this.t ILIKE 'ÉCOLE'", &[("t", "'école'", IN), ("t", "'École'", IN), ("t", "'ecole'", OUT)]).await;
}

#[tokio::test]
async fn w09_three_conditions_hold_together() {
    let rows = [("a, b, t", "1, 2, 'x'", IN), ("a, b, t", "1, 2, 'y'", OUT), ("a, b, t", "1, 3, 'x'", OUT)];
    judge("(this.a = 1) AND (this.b = 2) AND (this.t = 'x')", &rows).await;
    judge(
        "this.a = 1 OR this.b = 2 OR this.t = 'x'",
        &[("a, b, t", "0, 0, 'x'", IN), ("a, b, t", "0, 0, 'y'", OUT)],
    )
    .await;
}

#[tokio::test]
async fn w10_a_decimal_is_a_number() {
    judge("this.f > 10.5", &[("f", "11", IN), ("f", "10.5", OUT), ("f", "9", OUT)]).await;
    judge("this.a < 10.5", &[("a", "10", IN), ("a", "11", OUT)]).await;
}

#[tokio::test]
async fn w11_not_equal_in_both_spellings() {
    judge("this.t != 'x'", &[("t", "'y'", IN), ("t", "'x'", OUT), ("t", "NULL", OUT)]).await;
    judge("this.a <> 3", &[("a", "NULL", OUT), ("a", "4", IN), ("a", "3", OUT)]).await;
}

#[tokio::test]
async fn w12_a_timestamp_is_an_instant() {
    let rows = [
        ("ts", "'2023-12-31 23:59:59+00'", IN),
        ("ts", "'2024-01-01 00:00:00+00'", OUT),
        ("ts", "'2024-01-01 01:59:59+02'", IN),
    ];
    judge("this.ts < '2024-01-01T00:00:00.000Z'", &rows).await;
}

#[tokio::test]
async fn w13_a_month_ends_where_it_ends() {
    let rows = [("d", "'2024-01-31'", IN), ("d", "'2024-01-29'", IN), ("d", "'2024-01-28'", OUT)];
    judge("this.d + interval '1 month' = '2024-02-29'", &rows).await;
}

#[tokio::test]
async fn w14_dates_and_intervals_compare_as_timestamps() {
    let rows = [("d", "'2023-12-01'", IN), ("d", "'2023-11-30'", OUT)];
    judge("date '2024-01-01' < interval '1 month 1 hour' + this.d", &rows).await;
}

#[tokio::test]
async fn w15_functions_and_the_operator_of_like() {
    judge("lower(this.t) ~~ 'pending%'", &[("t", "'PENDING x'", IN), ("t", "'x pending'", OUT)]).await;
}

#[tokio::test]
async fn w16_nan_equals_itself() {
    judge("this.f = 'NaN'", &[("f", "'NaN'", IN), ("f", "1", OUT), ("f", "NULL", OUT)]).await;
    judge("this.f > 1e300", &[("f", "'NaN'", IN), ("f", "'Infinity'", IN), ("f", "'-Infinity'", OUT)]).await;
}

#[tokio::test]
async fn w17_constants() {
    let rig = Rig::take().await;
    rig.sql("INSERT INTO nums (id, a) VALUES (@x1, 1)").await;
    for clause in ["TRUE", "1::boolean"] {
        let mut c = rig.viewer().await;
        c.gets("A", all("nums").filter(clause), "x1").await;
        c.on("UPDATE nums SET a = a + 1", "TX[U x1]; —").await;
    }
    rig.viewer().await.gets("A", all("nums").filter("FALSE"), "").await;
    let request = all("nums").filter("NULL").request("r1");
    let error = rig.viewer().await.ask(&super::notation::subscription_id("A"), vec![request]).await.unwrap();
    assert_eq!(
        error.shape_request_error[0].message,
        "Where expression should evaluate to a boolean, but it's :unknown"
    );
}

#[tokio::test]
async fn what_raises_an_error_in_postgres_is_just_not_true() {
    judge("10 / this.a = 5", &[("a", "2", IN), ("a", "0", OUT), ("a", "3", OUT)]).await;
    judge("this.a + 1 > 0", &[("a", "2147483647", OUT), ("a", "1", IN), ("a", "-1", OUT)]).await;
}

#[tokio::test]
async fn text_is_compared_byte_by_byte() {
    judge("this.t < 'a'", &[("t", "'B'", IN), ("t", "'b'", OUT), ("t", "'é'", OUT)]).await;
    judge("this.t >= 'Z'", &[("t", "'a'", IN), ("t", "'A'", OUT)]).await;
}

/// What the real client makes of an object with everything in it (spec 06 §4).
#[tokio::test]
async fn a_clause_made_by_the_client_is_taken_by_its_words() {
    let clause = r#"(this."a" IN (3, 4) OR this."t" LIKE '\%hello%') AND ((NOT this."a" = 1) AND (NOT this."a" = 2)) AND (this."b" = 5)"#;
    let rows = [
        ("a, t, b", "3, 'x', 5", IN),
        ("a, t, b", "1, '%hello you', 5", OUT),
        ("a, t, b", "7, '%hello you', 5", IN),
        ("a, t, b", "7, 'hello', 5", OUT),
        ("a, t, b", "3, 'x', 6", OUT),
    ];
    judge(clause, &rows).await;
    judge(
        r#"NOT this."a" = 1 AND this."b" = 2"#,
        &[("a, b", "3, 2", IN), ("a, b", "1, 2", OUT), ("a, b", "3, 3", OUT)],
    )
    .await;
}

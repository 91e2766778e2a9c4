//! All forms that are understood (spec 06 §3.3).

use super::{same, understood};

#[test]
fn literals() {
    understood(&[
        "this.a = 1",
        "this.f = 1.5",
        "this.f = .5",
        "this.f = 1.",
        "this.f = 1e5",
        "this.t = ''",
        "this.t = 'it''s'",
    ]);
    same("this.t = e'a\\nb'", "this.t = 'a\nb'");
    same("this.t = $$it's$$", "this.t = 'it''s'");
    same("this.t = 'a'\n'b'", "this.t = 'ab'");
    same("this.t = 'a\\b'", "this.t = e'a\\\\b'");
    same("TRUE", "true");
}

#[test]
fn typed_literals_and_casts() {
    same("this.d = date '2024-01-01'", "this.d = '2024-01-01'::date");
    same("this.d = date '2024-01-01'", "this.d = CAST('2024-01-01' AS date)");
    same("this.d = '2024-01-01'", "this.d = pg_catalog.date '2024-01-01'");
    same("this.d = '2024-01-01'", "this.d = \"date\" '2024-01-01'");
    same("this.a::text = '1'", "CAST(this.a AS text) = '1'");
    same("this.tz = timestamp with time zone '2024-01-01'", "this.tz = '2024-01-01'::timestamptz");
    same("this.ts = timestamp without time zone '2024-01-01'", "this.ts = '2024-01-01'::timestamp(6)");
    same("this.f = double precision '1.5'", "this.f = '1.5'::float");
    same("this.f4 = real '1.5'", "this.f4 = '1.5'::float(10)");
    same("this.v = character varying 'x'", "this.v = 'x'::varchar");
    same("this.a = integer '1'", "this.a = '1'::int");
    same("this.i2 = smallint '1'", "this.i2 = '1'::int2");
    same("this.i8 = bigint '1'", "this.i8 = '1'::int8");
    same("this.p = boolean 't'", "this.p = TRUE");
    same("this.f > decimal '1.5'", "this.f > 1.5");
    understood(&[
        "this.ti = time '10:00'",
        "this.u = uuid '0b4ed1d2-7c3a-4a4e-9a0e-5b0c62d0b6a1'",
        "NULL::jsonb IS NULL",
    ]);
}

#[test]
fn null_tests_of_any_type() {
    for column in ["a", "t", "p", "d", "j", "raw", "mood", "u", "f"] {
        same(&format!("this.{column} IS NULL"), &format!("this.{column} ISNULL"));
        same(&format!("this.{column} IS NOT NULL"), &format!("this.{column} NOTNULL"));
    }
}

#[test]
fn truth_tests() {
    understood(&[
        "this.p IS TRUE",
        "this.p IS NOT TRUE",
        "this.p IS FALSE",
        "this.p IS NOT FALSE",
        "this.p IS UNKNOWN",
        "this.p IS NOT UNKNOWN",
        "(this.a = 1) IS TRUE",
    ]);
    same("NOT (this.p IS TRUE)", "this.p IS NOT TRUE");
}

#[test]
fn distinctness() {
    understood(&[
        "this.a IS DISTINCT FROM this.b",
        "this.mood IS DISTINCT FROM 'ok'",
        "this.t IS NOT DISTINCT FROM 'x'",
    ]);
    same("this.a IS NOT DISTINCT FROM this.b", "NOT (this.a IS DISTINCT FROM this.b)");
}

#[test]
fn lists_ranges_and_patterns() {
    same("this.a NOT BETWEEN 1 AND 5", "NOT (this.a BETWEEN ASYMMETRIC 1 AND 5)");
    same("this.t BETWEEN 'a' AND 'b'", "this.t >= 'a' AND this.t <= 'b'");
    same("this.d BETWEEN '2024-01-01' AND '2024-12-31'", "this.d >= '2024-01-01' AND this.d <= '2024-12-31'");
    same("this.t LIKE 'x%'", "this.t ~~ 'x%'");
    same("this.t ILIKE 'x%'", "this.t ~~* 'x%'");
    same("this.t NOT ILIKE 'x%'", "this.t !~~* 'x%'");
    same("this.t NOT LIKE 'x%'", "this.t !~~ 'x%'");
    understood(&["this.v LIKE 'x%'", "this.a IN (this.b, 1)", "this.mood NOT IN ('ok', NULL)"]);
}

#[test]
fn operators_of_the_catalogue() {
    understood(&[
        "this.a + this.b = 1",
        "this.a - 1 < 2",
        "this.a * 2 >= 4",
        "this.a / 2 <= 4",
        "this.a % 2 = 0",
        "+ this.a = 1",
        "- this.a = 1",
        "@ this.a = 1",
        "|/ this.f > 1",
        "this.f ^ 2 > 4",
        "this.a & 1 = 1",
        "this.a | 1 = 1",
        "this.a # 1 = 1",
        "this.t || 'x' = 'yx'",
        "this.d + 1 = '2024-01-01'",
        "this.d - 1 = '2024-01-01'",
        "this.d - this.d = 0",
        "this.d + this.ti = this.ts",
        "this.d + interval '1 month' = '2024-02-29'",
        "date '2024-01-01' < interval '1 month 1 hour' + this.d",
        "this.ts - interval '1 day' < this.ts",
        "this.ts - this.ts = '1 day'",
        "interval '1 day' * 2 = '2 days'",
        "this.tz + interval '1 hour' > this.tz",
        "this.ti + interval '1 hour' > '10:00'",
        "this.i2 + this.i8 = this.a",
        "this.f > 10.5",
        "this.f = 'NaN'",
        "this.d < this.ts",
    ]);
}

#[test]
fn functions_of_the_catalogue() {
    understood(&[
        "lower(this.t) = 'x'",
        "UPPER(this.v) = 'X'",
        "pg_catalog.lower(this.t) = 'x'",
        "int4(this.t) = 1",
        "bool(this.t)",
        "int4out(this.a) = '1'",
        "justify_days(interval '35 days') = '1 mon 5 days'",
        "timezone('UTC', this.tz) = this.ts",
        "this.tz AT TIME ZONE 'Europe/Berlin' > '2024-01-01'",
        "date(this.t) = '2024-01-01'",
        "\"lower\"(this.t) = 'x'",
    ]);
}

#[test]
fn what_zones_are_of_local_time_without_one() {
    same("this.ts < '2024-01-01T00:00:00.000Z'", "this.ts < '2024-01-01 00:00:00'");
    same("this.tz < '2024-06-01'", "this.tz < '2024-06-01 02:00:00+02'");
}

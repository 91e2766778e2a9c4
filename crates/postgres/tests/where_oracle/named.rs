//! The clauses of the specification (spec 06 §13.5), and those that once went wrong, in memory and in Postgres.

use shapes::Clause;

use super::{
    Random,
    judge::{Judge, table},
    tree::Outcome,
};

/// A clause, the values of the columns by their types, and whether it selects the row.
type Case = (&'static str, &'static [(&'static str, &'static str)], bool);

async fn check(cases: &[Case]) {
    let mut judge = Judge::new(&mut Random::new(1), 0).await;
    for (id, (_, values, _)) in cases.iter().enumerate() {
        judge.insert_named(id, values).await;
    }
    judge.read_rows().await;
    for (id, (text, values, expected)) in cases.iter().enumerate() {
        let clause = Clause::parse(text, &table()).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert_eq!(clause.matches(&judge.rows[id]), *expected, "{text} of {values:?}");
        let outcome = judge.outcomes(&[(*text).to_owned()]).await.remove(0).unwrap()[id];
        assert_eq!(outcome == Outcome::True, *expected, "{text} of {values:?} in Postgres");
        if let Some(condition) = clause.sql(&judge.table, "m") {
            let kept = judge.kept(std::slice::from_ref(&condition)).await.remove(0).unwrap();
            assert!(!expected || kept.contains(&id), "{text} of {values:?} is left out by {condition}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_cases_of_the_specification() {
    check(&[
        ("this.i4a = 1 OR this.i4b = 2", &[("i4a", "1")], true),
        ("NOT (this.i4a = 1 AND this.i4b = 2)", &[("i4b", "3")], true),
        ("this.i4a IN (1, NULL)", &[("i4a", "1")], true),
        ("this.i4a IN (1, NULL)", &[("i4a", "2")], false),
        ("this.i4a NOT IN (1, NULL)", &[("i4a", "2")], false),
        ("this.i4a IS DISTINCT FROM this.i4b", &[("i4a", "1"), ("i4b", "1")], false),
        ("this.i4a IS DISTINCT FROM this.i4b", &[("i4a", "1"), ("i4b", "2")], true),
        ("this.i4a IS DISTINCT FROM this.i4b", &[("i4a", "1")], true),
        ("this.i4a IS DISTINCT FROM this.i4b", &[], false),
        (r"this.ta LIKE 'a\_b%'", &[("ta", "a_bc")], true),
        (r"this.ta LIKE 'a\_b%'", &[("ta", "axbc")], false),
        ("this.ta LIKE 'a%'", &[("ta", "a\nb")], true),
        ("this.ta ILIKE 'ÉCOLE'", &[("ta", "école")], true),
        (
            "(this.i4a = 1) AND (this.i4b = 2) AND (this.ta = 'x')",
            &[("i4a", "1"), ("i4b", "2"), ("ta", "x")],
            true,
        ),
        ("this.f8a > 10.5", &[("f8a", "11")], true),
        ("this.ta != 'x'", &[("ta", "y")], true),
        ("this.i4a <> 3", &[], false),
        ("this.tza < '2024-01-01T00:00:00.000Z'", &[("tza", "2023-12-31 23:59:59+00")], true),
        ("this.tsa < '2024-01-01T00:00:00.000Z'", &[("tsa", "2023-12-31 23:59:59")], true),
        ("this.da + interval '1 month' = '2024-02-29'", &[("da", "2024-01-31")], true),
        ("date '2024-01-01' < interval '1 month 1 hour' + this.da", &[("da", "2023-12-01")], true),
        ("lower(this.ta) ~~ 'pending%'", &[("ta", "PENDING x")], true),
        ("this.f8a = 'NaN'", &[("f8a", "NaN")], true),
        ("TRUE", &[], true),
        ("1::boolean", &[], true),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_once_went_wrong_or_easily_might() {
    check(&[
        // Postgres does not look up the zone of an infinite time.
        ("this.tsa AT TIME ZONE this.ta = '-infinity'", &[("ta", "Nowhere"), ("tsa", "-infinity")], true),
        // Shortest texts of floats that lie halfway between two others.
        ("this.f8a::text = '9.007119925474099e+16'", &[("f8a", "90071199254740993")], true),
        ("this.f4a::text = '1.00000096e+08'", &[("f4a", "100000100")], true),
        // Dates reach further than timestamps.
        ("this.da > timestamp '2024-01-01'", &[("da", "5874897-12-31")], true),
        ("this.da < timestamp 'infinity'", &[("da", "5874897-12-31")], true),
        ("this.da::timestamp > '2024-01-01'", &[("da", "294276-12-31")], true),
        ("this.da::timestamp > '2024-01-01'", &[("da", "294277-01-01")], false),
        ("this.tsa + interval '1 us' > '2024-01-01'", &[("tsa", "294276-12-31 23:59:59.999999")], false),
        // The other operand decides what an error leaves open; an error alone decides nothing.
        ("this.i4a = 1 OR 1 / this.i4b = 1", &[("i4a", "1"), ("i4b", "0")], true),
        ("1 / this.i4b = 1 OR this.i4a = 2", &[("i4a", "1"), ("i4b", "0")], false),
        ("NOT (1 / this.i4b = 1)", &[("i4b", "0")], false),
        ("(1 / this.i4b) IS NULL", &[("i4b", "0")], false),
        ("this.i4a + this.i4b IS NOT NULL", &[("i4a", "2147483647"), ("i4b", "1")], false),
        ("this.i2a / -1 = 1", &[("i2a", "-32768")], false),
        ("this.i4a % -1 = 0", &[("i4a", "-2147483648")], true),
        // Operators between different types end elsewhere than a cast of both would.
        ("(this.i8a + this.f4a)::text = '16777218'", &[("i8a", "16777217"), ("f4a", "1")], true),
        ("this.i4a / 3.0 = 0.33333333333333333333", &[("i4a", "1")], true),
        ("this.i4a ^ 0.5 < 1.42", &[("i4a", "2")], true),
        ("this.i4a::numeric ^ 0.5 = 1.4142135623730950", &[("i4a", "2")], true),
        // Intervals of equal length are equal, but do not add up alike.
        ("this.da + interval '1 mon' = this.da + interval '30 days'", &[("da", "2024-02-01")], false),
        ("this.tma - this.tmb = interval '24 hours'", &[("tma", "24:00"), ("tmb", "00:00")], true),
        // Clocks that skip an hour, or show it twice.
        ("this.tsa AT TIME ZONE 'Europe/Berlin' = '2024-03-31 01:30Z'", &[("tsa", "2024-03-31 02:30")], true),
        ("this.tsa AT TIME ZONE 'Europe/Berlin' = '2024-10-27 01:30Z'", &[("tsa", "2024-10-27 02:30")], true),
        ("this.tsa AT TIME ZONE 'CET' = '2024-06-01 11:00Z'", &[("tsa", "2024-06-01 12:00")], true),
        (
            "this.tza AT TIME ZONE this.ta = '12345-06-07 10:00'",
            &[("tza", "12345-06-07 08:00Z"), ("ta", "Europe/Berlin")],
            true,
        ),
        ("this.da AT TIME ZONE 'America/New_York' = '2024-01-30 19:00'", &[("da", "2024-01-31")], true),
        // One character for one, whatever its full mapping.
        ("upper(this.ta) = 'STRAßE'", &[("ta", "straße")], true),
        ("lower(this.ta) = 'i'", &[("ta", "İ")], true),
        // A quote, a backslash, and what could end a literal.
        (r"this.ta = 'O''Neil \'' OR TRUE --'", &[("ta", r"O'Neil \' OR TRUE --")], true),
        ("this.ea IN ('sad', 'happy')", &[("ea", "happy")], true),
        ("this.ea <> 'sad' AND this.ja IS NOT NULL AND this.ya IS NULL", &[("ea", "ok"), ("ja", "{}")], true),
        ("this.f8a = 0", &[("f8a", "-0")], true),
        ("this.ta < 'B'", &[("ta", "a")], false),
    ])
    .await;
}

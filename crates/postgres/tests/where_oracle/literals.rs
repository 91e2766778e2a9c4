//! Literals: what is read is read as Postgres reads it, and printed as it prints it; the usual forms are read.

use shapes::clause::{Type, Value};
use testkit::Database;

use super::{Random, pools::pool, setting};

const TYPES: [(&str, Type); 13] = [
    ("bool", Type::Bool),
    ("int2", Type::Int2),
    ("int4", Type::Int4),
    ("int8", Type::Int8),
    ("numeric", Type::Numeric),
    ("float4", Type::Float4),
    ("float8", Type::Float8),
    ("uuid", Type::Uuid),
    ("date", Type::Date),
    ("time", Type::Time),
    ("timestamp", Type::Timestamp),
    ("timestamptz", Type::Timestamptz),
    ("interval", Type::Interval),
];

/// Pieces that a literal may be made of.
const PIECES: [&str; 64] = [
    "0", "1", "9", "12", "24", "31", "60", "99", "2024", "0001", "10000", "-", "+", ":", ".", " ", "T", "t",
    "Z", "z", "e", "E", "/", "BC", " bc", " AD", " PM", "am", "inf", "infinity", "nan", "NaN", "epoch", "{",
    "}", "a", "F", "true", "of", "on", "P", "Y", "M", "W", "D", "H", "S", "day", "mons", "year", "hours",
    "sec", "ms", "us", "week", "ago", "century", "@", "UTC", "+05:30", "-0800", "+1", "\t", "1.5",
];

/// Forms that clients are known to write, and those of the documentation.
const USUAL: [(&str, &[&str]); 13] = [
    (
        "bool",
        &[
            "t", "tr", "tru", "true", "TRUE", "f", "fal", "false", "yes", "no", "on", "off", "0", "1",
            " true ",
        ],
    ),
    ("int2", &["5", "+5", "-32768", " 7 "]),
    ("int4", &["5", "2147483647"]),
    ("int8", &["9223372036854775807", "-9223372036854775808"]),
    ("numeric", &["1", "1.50", ".5", "5.", "1e5", "1.5E-3", "NaN", "infinity", "-inf", " 1 "]),
    ("float4", &["1.1", "3.4e38", "NaN", "-Infinity", "inf"]),
    ("float8", &["1.1", "1e308", "nan", "Infinity", "+1.5e-3", "4.9e-324"]),
    (
        "uuid",
        &[
            "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "{a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11}",
            "a0eebc999c0b4ef8bb6d6bb9bd380a11",
            "A0EE-BC99-9C0B-4EF8-BB6D-6BB9-BD38-0A11",
        ],
    ),
    (
        "date",
        &[
            "2024-01-31",
            "2024-1-5",
            "20240131",
            "2024/01/31",
            "2024-01-01T00:00:00.000Z",
            "infinity",
            "-infinity",
            "epoch",
            "0044-03-15 BC",
            "2024-01-31 10:00",
            "12024-01-31",
        ],
    ),
    (
        "time",
        &[
            "04:05",
            "04:05:06",
            "04:05:06.789",
            "4:05 PM",
            "12:30 AM",
            "24:00:00",
            "04:05:06Z",
            "04:05:06+02",
            "T04:05:06",
        ],
    ),
    (
        "timestamp",
        &[
            "2024-01-01T00:00:00.000Z",
            "2024-01-01 10:00",
            "2024-01-01",
            "2024-01-01 10:00:00.123456",
            "infinity",
            "epoch",
            "2024-01-01 10:00:00+05:30",
            "2024-01-01 24:00:00",
            "2024-01-01 00:00:00 BC",
            "20240101 10:00",
        ],
    ),
    (
        "timestamptz",
        &[
            "2024-01-01T00:00:00.000Z",
            "2024-01-01 10:00",
            "2024-06-01",
            "2024-01-01 10:00:00+05:30",
            "2024-01-01 10:00:00-0800",
            "2024-01-01 10:00:00 UTC",
            "infinity",
            "-infinity",
            "2024-01-01 10:00:00+00 BC",
        ],
    ),
    (
        "interval",
        &[
            "1 day",
            "1 month 1 hour",
            "1 year 2 mons 3 days 04:05:06.789",
            "P1Y2M3DT4H5M6S",
            "PT1.5H",
            "P1W",
            "P1.2M3DT4H5M6S",
            "PT0.1S",
            "1-2",
            "1-2 3 4:05:06",
            "3 4:05:06",
            "-1 day",
            "1.5 months",
            "1 day ago",
            "2 weeks",
            "1 century",
            "90 minutes",
            "1.5 years",
            "10",
            "-04:05:06",
            "1 DAY",
            "1day 2h",
            "1 year -1 mons",
            "-1 mons +1 day -04:05:06",
        ],
    ),
];

const FUNCTION: &str = "CREATE FUNCTION read(literal text, type text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE printed text;
    BEGIN
        EXECUTE format('SELECT %L::%s::text', literal, type) INTO printed;
        RETURN printed;
    EXCEPTION WHEN OTHERS THEN RETURN NULL;
    END $$";

async fn as_postgres_reads(
    client: &tokio_postgres::Client,
    literals: &[String],
    ty: &str,
) -> Vec<Option<String>> {
    let query = "SELECT read(l, $2) FROM unnest($1::text[]) WITH ORDINALITY AS t (l, n) ORDER BY n";
    client.query(query, &[&literals, &ty]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

async fn client() -> tokio_postgres::Client {
    let client = Database::create().await.client().await;
    let settings = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, DMY'; SET extra_float_digits = 1";
    client.batch_execute(&format!("{settings}; {FUNCTION}")).await.unwrap();
    client
}

fn printed(value: &Value, ty: &Type) -> String {
    match (value, ty) {
        (Value::Bool(value), _) => value.to_string(),
        _ => value.print(ty),
    }
}

fn literal(random: &mut Random, ty: &str) -> String {
    let mut literal = if random.one_in(3) { String::new() } else { random.pick(pool(ty)).to_owned() };
    for _ in 0..random.below(4) {
        let mut at = random.below(literal.len() + 1);
        while !literal.is_char_boundary(at) {
            at -= 1;
        }
        let mut rest = literal.split_off(at);
        if random.one_in(3) {
            rest = rest.chars().skip(1).collect();
        }
        literal = literal + random.pick(&PIECES) + &rest;
    }
    literal
}

#[tokio::test(flavor = "multi_thread")]
async fn the_usual_forms_are_read() {
    let client = client().await;
    for ((name, literals), (_, ty)) in USUAL.iter().zip(&TYPES) {
        let literals: Vec<_> = literals.iter().map(ToString::to_string).collect();
        for (literal, expected) in literals.iter().zip(as_postgres_reads(&client, &literals, name).await) {
            let value =
                Value::parse(literal, ty).unwrap_or_else(|_| panic!("{name} {literal:?} is not read"));
            assert_eq!(Some(printed(&value, ty)), expected, "{name} {literal:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_literal_is_read_otherwise_than_by_postgres() {
    let client = client().await;
    let mut random = Random::new(setting("WHERE_ORACLE_SEED", 1));
    let of_each = setting("WHERE_ORACLE_CASES", 8_000) / 13;
    for (name, ty) in &TYPES {
        let literals: Vec<_> = (0..of_each).map(|_| literal(&mut random, name)).collect();
        let mut read = 0;
        for (literal, expected) in literals.iter().zip(as_postgres_reads(&client, &literals, name).await) {
            if let Ok(value) = Value::parse(literal, ty) {
                assert_eq!(Some(printed(&value, ty)), expected, "{name} {literal:?}");
                read += 1;
            } else if expected.is_some() && std::env::var_os("WHERE_ORACLE_REFUSED").is_some() {
                println!("{name} {literal:?} is refused, but {expected:?} to Postgres");
            }
        }
        assert!(read * 20 > of_each, "of {of_each} literals of {name}, {read} were read");
    }
}

#[test]
fn what_was_once_read_otherwise_is_refused() {
    for literal in [
        "1ms .5",
        "3:0 1.5days",
        "0.00:00:01",
        "1+05:30.5 months",
        " P0M",
        "-.5 months",
        "0week01",
        "P1Y2M3DT4H5M+1S",
    ] {
        assert!(Value::parse(literal, &Type::Interval).is_err(), "interval {literal:?}");
    }
    for literal in ["12:30:0am-0800", "12:30:0 PM-0800"] {
        assert!(Value::parse(literal, &Type::Time).is_err(), "time {literal:?}");
    }
}

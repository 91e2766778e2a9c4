//! Every operator, function and cast, called directly with arguments of all kinds, gives what Postgres gives.

use shapes::clause::{
    Type, Value,
    function::{self, Cast, Function},
};
use testkit::Database;

use super::{
    Random,
    pools::{pool, quoted},
    setting,
};

const TYPES: [(&str, Type); 16] = [
    ("bool", Type::Bool),
    ("int2", Type::Int2),
    ("int4", Type::Int4),
    ("int8", Type::Int8),
    ("numeric", Type::Numeric),
    ("float4", Type::Float4),
    ("float8", Type::Float8),
    ("text", Type::Text),
    ("varchar", Type::Varchar),
    ("bpchar", Type::Bpchar),
    ("date", Type::Date),
    ("time", Type::Time),
    ("timestamp", Type::Timestamp),
    ("timestamptz", Type::Timestamptz),
    ("interval", Type::Interval),
    ("uuid", Type::Uuid),
];

const OPERATORS: [&str; 20] = [
    "=", "<>", "<", "<=", ">", ">=", "+", "-", "*", "/", "%", "^", "|/", "@", "&", "|", "#", "||", "~~",
    "~~*",
];

const FUNCTIONS: [&str; 6] =
    ["lower", "upper", "justify_days", "justify_hours", "justify_interval", "timezone"];

/// A way to call something, and how it is written with its arguments.
struct Callable {
    function: Function,
    sql: fn(&str, &[String], &str) -> String,
    name: &'static str,
}

fn name_of(ty: &Type) -> &'static str {
    TYPES.iter().find(|(_, of)| of == ty).unwrap().0
}

/// All that is in the catalogue.
fn callables() -> Vec<Callable> {
    let mut callables = Vec::new();
    for name in OPERATORS {
        for function in function::operators(name, 1).chain(function::operators(name, 2)) {
            let sql = |name: &str, arguments: &[String], _: &str| match arguments {
                [one] => format!("{name} ({one})"),
                more => format!("({}) {name} ({})", more[0], more[1]),
            };
            callables.push(Callable { function, sql, name });
        }
    }
    for name in FUNCTIONS {
        for function in function::functions(name, 1).chain(function::functions(name, 2)) {
            let sql = |name: &str, arguments: &[String], _: &str| format!("{name}({})", arguments.join(", "));
            callables.push(Callable { function, sql, name });
        }
    }
    for (_, from) in &TYPES {
        for (name, to) in &TYPES {
            if let Some(Cast::By(function)) = function::explicit_cast(from, to) {
                let sql = |_: &str, arguments: &[String], to: &str| format!("({})::{to}", arguments[0]);
                callables.push(Callable { function, sql, name });
            }
        }
    }
    callables
}

/// A value, often one that is not in the pools.
fn argument(random: &mut Random, ty: &str) -> String {
    let sign = random.pick(&["", "-"]);
    match ty {
        "numeric" if random.one_in(2) => {
            let scale = random.below(12);
            let digits = random.below(1_000_000_000_000);
            format!("{sign}{digits}e-{scale}")
        }
        "float8" | "float4" if random.one_in(2) => {
            format!(
                "{sign}{}.{}e{}",
                random.below(10),
                random.below(10_000_000),
                random.pick(&[0, 1, 2, -3, 10, -10])
            )
        }
        "int2" | "int4" | "int8" if random.one_in(3) => format!("{sign}{}", random.below(30_000)),
        "text" if random.one_in(3) => {
            let of = random.pick(&[
                "numeric",
                "float8",
                "interval",
                "timestamptz",
                "time",
                "uuid",
                "int4",
                "zone",
            ]);
            random.pick(pool(of)).to_owned()
        }
        "interval" if random.one_in(2) => format!(
            "{sign}{} months {}{} days {}{} seconds",
            random.below(40),
            random.pick(&["", "-"]),
            random.below(70),
            random.pick(&["", "-"]),
            random.below(200_000),
        ),
        "date" if random.one_in(3) => {
            format!("{:04}-{:02}-{:02}", 1 + random.below(9999), 1 + random.below(12), 1 + random.below(28))
        }
        "timestamp" | "timestamptz" if random.one_in(2) => format!(
            "{:04}-{:02}-{:02} {:02}:{:02}:{:02}.{}",
            1850 + random.below(300),
            1 + random.below(12),
            1 + random.below(28),
            random.below(24),
            random.below(60),
            random.below(60),
            random.below(1_000_000),
        ),
        _ => random.pick(pool(ty)).to_owned(),
    }
}

const FUNCTION: &str = "CREATE FUNCTION computed(expression text) RETURNS text LANGUAGE plpgsql AS $$
    DECLARE printed text;
    BEGIN
        EXECUTE 'SELECT (' || expression || ')::text' INTO printed;
        RETURN printed;
    EXCEPTION WHEN undefined_function OR ambiguous_function THEN RETURN 'unknown to Postgres'; WHEN OTHERS THEN RETURN NULL;
    END $$";

#[tokio::test(flavor = "multi_thread")]
async fn every_function_gives_what_postgres_gives() {
    let client = Database::create().await.client().await;
    let settings = "SET TimeZone = 'UTC'; SET DateStyle = 'ISO, DMY'; SET extra_float_digits = 1";
    client.batch_execute(&format!("{settings}; {FUNCTION}")).await.unwrap();
    let mut random = Random::new(setting("WHERE_ORACLE_SEED", 1));
    let callables = callables();
    let of_each = setting("WHERE_ORACLE_CASES", 8_000) / callables.len() as u64;
    let (mut unknown, mut raised, mut given) = (0, 0, 0);
    for Callable { function, sql, name } in callables {
        let signature = function.signature();
        let reads_text = signature.arguments == [Type::Text] && signature.result != Type::Text;
        let mut calls = Vec::new();
        for _ in 0..=of_each {
            let texts: Vec<_> = signature
                .arguments
                .iter()
                .enumerate()
                .map(|(i, ty)| match name {
                    "timezone" if i == 0 => random.pick(pool("zone")).to_owned(),
                    _ => argument(&mut random, name_of(ty)),
                })
                .collect();
            let values: Result<Vec<_>, _> =
                texts.iter().zip(signature.arguments).map(|(t, ty)| Value::parse(t, ty)).collect();
            let Ok(values) = values else { continue };
            let literals: Vec<_> = texts
                .iter()
                .zip(signature.arguments)
                .map(|(t, ty)| format!("{}::{}", quoted(t), name_of(ty)))
                .collect();
            let found = function.call(&values).ok().map(|value| match value {
                Value::Bool(value) => value.to_string(),
                other => other.print(&signature.result),
            });
            calls.push((sql(name, &literals, name_of(&signature.result)), found));
        }
        let texts: Vec<_> = calls.iter().map(|(sql, _)| sql.clone()).collect();
        let query = "SELECT computed(e) FROM unnest($1::text[]) WITH ORDINALITY AS t (e, n) ORDER BY n";
        let rows = client.query(query, &[&texts]).await.unwrap();
        for ((sql, found), row) in calls.iter().zip(rows) {
            match row.get::<_, Option<String>>(0) {
                Some(expected) if expected == "unknown to Postgres" => unknown += 1,
                // Some spellings that Postgres reads are refused.
                Some(_) if found.is_none() && reads_text => {}
                // Powers are not as great here.
                Some(number) if found.is_none() && number.len() > 300 => {}
                expected => {
                    assert_eq!(*found, expected, "{sql}");
                    raised += u64::from(expected.is_none());
                    given += u64::from(expected.is_some());
                }
            }
        }
    }
    println!("given {given}, raised {raised}, unknown {unknown}");
    assert!(unknown * 20 < given && raised < given, "given {given}, raised {raised}, unknown {unknown}");
}

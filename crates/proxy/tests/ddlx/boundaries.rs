//! Where a statement ends, with Postgres as the oracle: texts that are full of what could mislead.

use std::cell::{Cell, RefCell};

use proptest::{prelude::*, sample::select, test_runner::TestRunner};

use super::raw::Raw;
use crate::support::Front;

/// Behind anything that Postgres takes, a statement of ours is found; and what Postgres refuses is refused alike.
#[test]
fn statements_end_where_postgres_ends_them() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    // In a shadow database our statements cost nothing.
    let name = "prisma_migrate_shadow_db_of_boundaries";
    let (_front, mut direct, mut proxied) = runtime.block_on(async {
        let (database, front) = Front::start().await;
        database.client().await.batch_execute(&format!("CREATE DATABASE {name}")).await.unwrap();
        let direct = Raw::at(&database.url.replace(&database.name, name)).await;
        let proxied = Raw::at(&front.url("app").replace("whatever", name)).await;
        (front, direct, proxied)
    });
    for client in [&mut direct, &mut proxied] {
        runtime.block_on(client.query("SET client_min_messages = error; SET check_function_bodies = off"));
    }
    let mut runner = TestRunner::new(ProptestConfig {
        cases: 600,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let clients = RefCell::new((direct, proxied));
    let taken = Cell::new(0);
    let result = runner.run(&(text(), any::<bool>()), |(text, standard)| {
        let setting = if standard { "on" } else { "off" };
        let set = format!("SET standard_conforming_strings = {setting}");
        let (direct, proxied) = &mut *clients.borrow_mut();
        runtime.block_on(async {
            direct.query(&set).await;
            proxied.query(&set).await;
            let expected = direct.query(&format!("BEGIN; {text}\n; SELECT 4711; ROLLBACK")).await;
            let heard = proxied.query(&format!("BEGIN; {text}\n; ELECTRIC ENABLE t; ROLLBACK")).await;
            direct.query("ROLLBACK").await;
            proxied.query("ROLLBACK").await;
            let ours = "T\nD 4711\nC SELECT 1\nC ROLLBACK\n";
            if let Some(before) = expected.strip_suffix(&format!("{ours}Z I\n")) {
                taken.set(taken.get() + 1);
                prop_assert_eq!(heard, format!("{before}C ELECTRIC ENABLE\nC ROLLBACK\nZ I\n"), "{}", text);
            } else if !["ELECTRIC", "SELECT", "ROLLBACK"]
                .iter()
                .any(|at| expected.contains(&format!("\"{at}\"")))
            {
                // Where Postgres stumbles over one of these, they are not statements of their own; a SELECT may be an action of a
                // rule there, and what ends it the first mistake.
                let expected = expected.replace("SELECT 4711", "ELECTRIC ENABLE t");
                prop_assert_eq!(heard, expected, "{}", text);
            }
            Ok(())
        })
    });
    result.unwrap();
    assert!(taken.get() > 200, "Postgres took {} texts only", taken.get());
}

/// Statements, most of which Postgres takes.
fn text() -> impl Strategy<Value = String> {
    let statement = prop_oneof![
        6 => prop::collection::vec((constant(), blank()), 1..4).prop_map(|constants| {
            let mut text = "SELECT ".to_owned();
            for (n, (constant, blank)) in constants.iter().enumerate() {
                text.push_str(if n > 0 { ", " } else { "" });
                text.push_str(constant);
                text.push_str(blank);
            }
            text
        }),
        1 => (label(), prop::collection::vec(constant(), 1..3)).prop_map(|(label, constants)| format!(
            "CREATE FUNCTION pg_temp.{label}() RETURNS text LANGUAGE sql BEGIN ATOMIC {} END",
            constants.iter().map(|constant| format!("SELECT CASE WHEN true THEN {constant}::text END AS end;")).collect::<String>(),
        )),
        1 => constant().prop_map(|constant| format!(
            "CREATE TEMP TABLE x (a text) ON COMMIT DROP; CREATE RULE r AS ON INSERT TO x DO ALSO (DELETE FROM x; SELECT {constant}::text); DROP TABLE x"
        )),
        1 => raw().prop_map(|text| format!("SELECT {text}")),
    ];
    prop::collection::vec((statement, select(vec![";", " ; ", ";\n-- ;\n", "/*;*/;;"])), 1..4)
        .prop_map(|all| all.iter().map(|(statement, end)| format!("{statement}{end}")).collect())
}

fn inside() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "[a1;'\"$\\\\*/ \n(){}-]{0,8}",
        1 => Just("; ELECTRIC ENABLE t; --".to_owned()),
        1 => Just("$$; /* é".to_owned()),
    ]
}

fn label() -> impl Strategy<Value = String> {
    prop_oneof![
        "[a-z_é][a-z0-9_é$]{0,5}f",
        inside()
            .prop_filter("a name", |text| !text.is_empty())
            .prop_map(|text| format!("\"{}\"", text.replace('"', "\"\""))),
    ]
}

fn blank() -> impl Strategy<Value = &'static str> {
    select(vec![" ", "", "\n", " -- '; ELECTRIC ENABLE t\n", "/* ' /* ; */ $$ */", "\t\r\n"])
}

fn constant() -> impl Strategy<Value = String> {
    let escaped = |text: &String| text.replace('\\', "\\\\").replace('\'', "\\'");
    prop_oneof![
        2 => inside().prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        2 => inside().prop_map(move |text| format!("E'{}'", escaped(&text))),
        1 => (inside(), inside()).prop_map(move |(a, b)| format!("e'{}' \n -- '\n '{}'", escaped(&a), escaped(&b))),
        1 => (inside(), inside()).prop_map(|(a, b)| format!("'{}'\n'{}'", a.replace('\'', "''"), b.replace('\'', "''"))),
        2 => (inside(), select(vec!["", "a", "é1", "_"]))
            .prop_map(|(text, tag)| format!("${tag}${}${tag}$", text.replace('$', "$ "))),
        1 => "[01]{0,4}".prop_map(|bits| format!("b'{bits}'")),
        1 => "[0-9a-f]{0,4}".prop_map(|digits| format!("X'{digits}'")),
        1 => "[0-9]{1,3}(\\.[0-9]{0,2})?(e[0-9])?".prop_map(|number| number),
        1 => label().prop_map(|label| format!("1 AS {label}")),
        1 => inside().prop_map(|text| format!("U&'{}'", text.replace('\\', "\\\\").replace('\'', "''"))),
        1 => inside().prop_map(|text| format!("(n'{}' || 'x')", text.replace('\'', "''"))),
        1 => constants_of_operators(),
    ]
}

fn constants_of_operators() -> impl Strategy<Value = String> {
    select(vec![
        "1 -1",
        "1 - -1",
        "2 */*'*/ 3",
        "1 +/**/-1",
        "4 /2",
        "1 <> 2",
        "'a' ~ 'b'",
        "'{}'::jsonb -> 'a'",
        "array[1,2]",
        "1 --1\n",
    ])
    .prop_map(str::to_owned)
}

/// Anything that could be lexed in one way or another.
fn raw() -> impl Strategy<Value = String> {
    prop::collection::vec(
        select(vec![
            "'", "''", "\"", "\\", "$", "$a$", "$$", "E'", "U&'", "u&\"", "--", "\n", "/*", "*/", ";", "a",
            "1", " ", "(", ")", "||", "é", "x'", "$1",
        ]),
        1..10,
    )
    .prop_map(|parts| parts.concat())
}

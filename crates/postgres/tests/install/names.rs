//! Names: how `electrify` resolves them, and tables whose names need care.

use super::{installed, refused, rows, run, value};

const ELECTRIFIED: &str = "SELECT schema_name, table_name FROM electric.electrified ORDER BY id";

#[tokio::test]
async fn every_form_of_naming_a_table() {
    let (_database, client) = installed().await;
    run(
        &client,
        r#"CREATE TABLE t1 (id int PRIMARY KEY); CREATE TABLE t2 (id int PRIMARY KEY); CREATE TABLE "T3" (id int PRIMARY KEY);
           CREATE TABLE "la la buttercup" (id int PRIMARY KEY); CREATE TABLE "dot.ted" (id int PRIMARY KEY);
           CREATE TABLE t6 (id int PRIMARY KEY); CREATE TABLE "My ""T" (id int PRIMARY KEY)"#,
    )
    .await;
    for call in [
        "electrify('t1')",
        "electrify('PUBLIC.T2')",
        "electrify('public', 'T3')",
        "electrify('la la buttercup')",
        r#"electrify('public."dot.ted"')"#,
        r#"enable('"public"."t6"')"#,
        r#"enable('"public"."My ""T"')"#,
    ] {
        run(&client, &format!("CALL electric.{call}")).await;
    }
    assert_eq!(
        rows(&client, ELECTRIFIED).await,
        [
            "public|t1",
            "public|t2",
            "public|T3",
            "public|la la buttercup",
            "public|dot.ted",
            "public|t6",
            "public|My \"T"
        ]
    );
    for call in ["electrify('T1')", "electrify('public', 'T1')", "electrify('x'' OR 1=1 --')"] {
        assert_eq!(refused(&client, &format!("CALL electric.{call}")).await.code().code(), "42P01", "{call}");
    }
    assert_eq!(refused(&client, "CALL electric.electrify(NULL)").await.code().code(), "22004");
}

#[tokio::test]
async fn one_name_follows_the_callers_search_path() {
    let (_database, client) = installed().await;
    run(
        &client,
        "CREATE SCHEMA mine; CREATE TABLE mine.t (id int PRIMARY KEY); CREATE TABLE public.t (id int PRIMARY KEY)",
    )
    .await;
    run(&client, "SET search_path = mine, public").await;
    assert!(
        refused(&client, "CALL electric.electrify('t')")
            .await
            .message()
            .starts_with("Cannot electrify t because only")
    );
    run(&client, "SET search_path = public, mine; CALL electric.electrify('t')").await;
    run(&client, "SET search_path = ''; CALL electric.electrify('public.t')").await;
    assert_eq!(rows(&client, ELECTRIFIED).await, ["public|t"]);
}

#[tokio::test]
async fn names_of_any_kind_work() {
    let (_database, client) = installed().await;
    let long = "a_table_with_a_very_long_name_that_is_sixty_three_bytes_long_ok";
    let long_column = "column_with_a_very_long_name_that_is_sixty_three_bytes_long_ok1";
    assert_eq!((long.len(), long_column.len()), (63, 63));
    run(
        &client,
        &format!(
            r#"CREATE TABLE {long} (id int PRIMARY KEY, {long_column} text, {} text);
               CREATE TABLE "Tab ""le" (
                   "strict" text, "a b" int, "tg_op" text, "_tag_note" int,
                   note text, _tags text, _tag text, _image text, _x bool, "new" text, old text, native text, this text, n text, o text,
                   s text, r text, m text, w text, u text, c5 text, nested text, epoch text, "select" text, "it's" text, "%s" text, "$1" text,
                   "into" text, "é" text, PRIMARY KEY ("strict", "a b", tg_op, "_tag_note")
               )"#,
            &long_column[..62]
        ),
    )
    .await;
    run(&client, &format!("CALL electric.electrify('{long}'); CALL electric.electrify('Tab \"le')")).await;

    run(
        &client,
        &format!("INSERT INTO {long} VALUES (1); UPDATE {long} SET {long_column} = 'x'; DELETE FROM {long}"),
    )
    .await;
    let shadow = value(
        &client,
        &format!("SELECT shadow::regclass FROM electric.electrified WHERE table_name = '{long}'"),
    )
    .await;
    assert!(shadow.starts_with("electric.shadow__") && shadow.len() < 40, "{shadow}");
    assert_eq!(value(&client, &format!("SELECT _image ->> '{long_column}' FROM {shadow}")).await, "x");

    run(
        &client,
        r#"INSERT INTO "Tab ""le" VALUES ('k', 1, 'op', 2, 'note', '_tags');
           UPDATE "Tab ""le" SET "into" = 'i', "it's" = 'q', _tags = 't2', note = note;
           UPDATE "Tab ""le" SET "a b" = 9; DELETE FROM "Tab ""le";
           INSERT INTO "Tab ""le" VALUES ('k', 2, 'op', 2); TRUNCATE "Tab ""le""#,
    )
    .await;
    assert_eq!(
        rows(&client, r#"SELECT "a b", _image ->> 'it''s', _image ->> '_tags', _tags = '{}' FROM electric."shadow__public__Tab ""le" ORDER BY 1"#).await,
        ["1|q|t2|t", "2|||t", "9|q|t2|t"]
    );
    let tag = value(
        &client,
        r#"SELECT tag_columns ->> 'note' FROM electric.electrified WHERE table_name LIKE 'Tab%'"#,
    )
    .await;
    assert_eq!(tag, "_tag_5", "the key has the name that the tag column would get");
}

#[tokio::test]
async fn key_columns_can_t_take_the_shadows_own_names() {
    let (_database, client) = installed().await;
    run(&client, "CREATE TABLE t (_tags int PRIMARY KEY, v text)").await;
    let error = refused(&client, "CALL electric.electrify('t')").await;
    assert!(error.message().ends_with("have names that are reserved:\n  _tags"), "{error}");
}

#[tokio::test]
async fn what_is_held_back_is_said() {
    let (_database, client) = installed().await;
    let long = "a".repeat(45);
    let columns: Vec<String> = (1..=399).map(|n| format!("c{n} int")).collect();
    let fine = [
        "CREATE TABLE plain (id int PRIMARY KEY)".to_owned(),
        "CREATE TABLE \"Upper\" (id int PRIMARY KEY, \"Über\" text)".to_owned(),
        "CREATE TABLE \"order\" (id int PRIMARY KEY, \"select\" text, \"a b\" text, \"100%\" text, \"\\\" text, \"a`b\" text, \"$1\" text)".to_owned(),
        "CREATE TABLE parent (id int PRIMARY KEY, code text UNIQUE, a int, b int, UNIQUE (a, b))".to_owned(),
        "CREATE TABLE loose (id int PRIMARY KEY, \"Odd code\" text REFERENCES parent (code))".to_owned(),
        "CREATE TABLE composite (id int PRIMARY KEY, \"x y\" int, z int, FOREIGN KEY (\"x y\", z) REFERENCES parent (a, b))".to_owned(),
        format!("CREATE TABLE {long}x (id int PRIMARY KEY)"),
        format!("CREATE TABLE wide (id int PRIMARY KEY, {})", columns.join(", ")),
    ];
    let awkward = [
        "CREATE TABLE \"my table\" (id int PRIMARY KEY)".to_owned(),
        "CREATE TABLE \"tablé\" (id int PRIMARY KEY)".to_owned(),
        "CREATE TABLE \"1st\" (id int PRIMARY KEY)".to_owned(),
        "CREATE TABLE _electric_mine (id int PRIMARY KEY)".to_owned(),
        "CREATE TABLE \"SQLite_x\" (id int PRIMARY KEY)".to_owned(),
        "CREATE TABLE \"Plain\" (id int PRIMARY KEY)".to_owned(),
        "CREATE TABLE twice (id int PRIMARY KEY, a int, \"A\" int)".to_owned(),
        "CREATE TABLE quoted (id int PRIMARY KEY, \"it's\" int)".to_owned(),
        "CREATE TABLE double (id int PRIMARY KEY, \"a\"\"b\" int)".to_owned(),
        "CREATE TABLE dollars (id int PRIMARY KEY, \"a$$b\" int)".to_owned(),
        "CREATE TABLE lines (id int PRIMARY KEY, \"a\nb\" int)".to_owned(),
        "CREATE TABLE percent (\"100%\" int PRIMARY KEY)".to_owned(),
        "CREATE TABLE fk (id int PRIMARY KEY, \"parent id\" int REFERENCES parent)".to_owned(),
        format!("CREATE TABLE {long}y (id int PRIMARY KEY)"),
        format!(
            "CREATE TABLE {long}_keys (id int PRIMARY KEY, parent_a int REFERENCES parent, parent_b int REFERENCES parent)"
        ),
        "CREATE SCHEMA other; CREATE TABLE other.mine (id int PRIMARY KEY)".to_owned(),
    ];
    run(&client, "SET electric.__schema_validation_enabled = false").await;
    let mut said = Vec::new();
    for make in fine.iter().chain(&awkward) {
        run(&client, make).await;
        let newest =
            "SELECT quote_literal(relnamespace::regnamespace) || ', ' || quote_literal(relname) FROM pg_class
            WHERE relkind = 'r' ORDER BY oid DESC LIMIT 1";
        let name = value(&client, newest).await;
        run(&client, &format!("CALL electric.electrify({name})")).await;
        let obstacle =
            "SELECT electric.client_obstacle(oid) FROM electric.electrified ORDER BY id DESC LIMIT 1";
        said.push(value(&client, obstacle).await);
    }
    let schema = postgres::catalogue::load(&client).await.unwrap().schema;
    assert_eq!(schema.tables().len(), fine.len() + awkward.len());
    for ((n, table), said) in schema.tables().enumerate().zip(said) {
        let held_back = table.held_back.clone().unwrap_or_default();
        assert_eq!(said.is_empty(), held_back.is_empty(), "{}: {said:?}, {held_back:?}", table.name);
        assert_eq!(held_back.is_empty(), n < fine.len(), "{}: {held_back}", table.name);
    }
    let wide = schema.table_named("wide").unwrap();
    assert!(wide.warnings()[0].contains("more than 50 columns"));
}

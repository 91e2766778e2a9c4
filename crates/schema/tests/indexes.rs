//! Index definitions as Postgres 15 prints them, and what SQLite gets of them.

use schema::{Schema, Statement};

use crate::{
    local::sqlite_with,
    support::{TableJson, migrate, statements, table},
};

fn tickets() -> TableJson {
    table(2, "tickets")
        .enumeration("ticket_state", &["open", "done"])
        .column("id", "uuid!")
        .column("title", "text!")
        .column("name", "varchar")
        .column("state", "ticket_state!")
        .column("score", "float8")
        .column("votes", "int8")
        .column("n", "int4")
        .column("flagged", "bool")
        .column("due", "date")
        .column("local_ts", "timestamp")
        .column("tz", "timestamptz")
        .column("meta", "jsonb")
        .column("blob", "bytea")
        .column("Odd näme", "text")
        .key(&["id"])
}

/// What becomes of an index; SQLite must accept what it gets.
fn render(definition: &str) -> Option<Statement> {
    let (migration, _) = migrate(&[&tickets().index("i", definition)], &Schema::default());
    sqlite_with(&[&migration]);
    statements(&migration).get(1).copied().cloned()
}

#[track_caller]
fn check(unique: &str, rest: &str, sqlite: Option<&str>) {
    let definition = format!("CREATE {unique}INDEX i ON public.tickets USING {rest}");
    let statement = render(&definition).unwrap();
    let expected = sqlite.map(|sqlite| format!("CREATE {unique}INDEX \"i\" ON \"tickets\" {sqlite};\n"));
    assert_eq!(statement.sqlite, expected, "{definition}");
    assert_eq!(statement.postgres, definition);
}

#[test]
fn translates_keys() {
    for (postgres, sqlite) in [
        ("btree (title text_pattern_ops, votes DESC)", r#"("title" ASC, "votes" DESC)"#),
        ("btree (created_by)", ""),
        (r#"btree (title COLLATE "C")"#, r#"("title" ASC)"#),
        ("gin (meta)", r#"("meta" ASC)"#),
        ("gin (meta jsonb_path_ops)", r#"("meta" ASC)"#),
        ("hash (title)", r#"("title" ASC)"#),
        ("brin (votes) WITH (pages_per_range='32')", r#"("votes" ASC)"#),
        ("btree (title) INCLUDE (n, votes) WITH (fillfactor='70')", r#"("title" ASC)"#),
        ("btree (((votes + n)))", r#"(("votes" + "n") ASC)"#),
        (
            r"btree ((((title || 'it''s \ '::text) || title)))",
            r#"((("title" || 'it''s \ ') || "title") ASC)"#,
        ),
        (
            "btree (COALESCE(title, 'x'::text), TRIM(BOTH FROM title))",
            r#"(coalesce("title", 'x') ASC, trim("title") ASC)"#,
        ),
        (
            "btree (btrim(title), SUBSTRING(title FROM 1 FOR 2))",
            r#"(trim("title") ASC, substr("title", 1, 2) ASC)"#,
        ),
        (
            "btree (((local_ts)::date), ((votes)::text))",
            r#"((CAST("local_ts" AS TEXT)) ASC, (CAST("votes" AS TEXT)) ASC)"#,
        ),
        (r#"btree ("Odd näme", ((n % 2)), ((- n)))"#, r#"("Odd näme" ASC, ("n" % 2) ASC, (- "n") ASC)"#),
        (
            "btree ((\nCASE\n    WHEN (n > 1) THEN 1\n    ELSE 0\nEND))",
            r#"((CASE WHEN ("n" > 1) THEN 1 ELSE 0 END) ASC)"#,
        ),
        (
            "btree (upper(title), length(title), abs(n))",
            r#"(upper("title") ASC, length("title") ASC, abs("n") ASC)"#,
        ),
        ("btree (((flagged = true)), ((NOT flagged)))", r#"(("flagged" = 1) ASC, (NOT "flagged") ASC)"#),
        ("btree (((title IS NULL) = flagged))", r#"((("title" IS NULL) = "flagged") ASC)"#),
        ("btree (concat(title, name))", r#"((coalesce("title", '') || coalesce("name", '')) ASC)"#),
        ("btree (pg_catalog.lower((name)::text))", r#"(lower("name") ASC)"#),
    ] {
        check("", postgres, Some(sqlite).filter(|s| !s.is_empty()));
    }
}

#[test]
fn translates_predicates() {
    for (postgres, sqlite) in [
        ("flagged", r#""flagged""#),
        ("(NOT flagged)", r#"(NOT "flagged")"#),
        ("(flagged IS TRUE)", r#"("flagged" IS 1)"#),
        ("(flagged IS NOT FALSE)", r#"("flagged" IS NOT 0)"#),
        ("(due IS NULL)", r#""due" IS NULL"#),
        ("(state = 'open'::ticket_state)", r#"("state" = 'open')"#),
        ("((votes > 5) AND (due > '2020-01-01'::date))", r#"(("votes" > 5) AND ("due" > '2020-01-01'))"#),
        ("((score > (1.5)::double precision) OR (n = '-3'::integer))", r#"(("score" > 1.5) OR ("n" = -3))"#),
        ("(n = ANY (ARRAY[1, 2, 3]))", r#"("n" IN (1, 2, 3))"#),
        (r"(blob = '\xdead'::bytea)", r#"("blob" = x'dead')"#),
        ("(n IS DISTINCT FROM 3)", r#"("n" IS NOT 3)"#),
        ("(tz > '2020-01-01 00:00:00+00'::timestamp with time zone)", r#"("tz" > '2020-01-01 00:00:00+00')"#),
    ] {
        check("", &format!("btree (id) WHERE {postgres}"), Some(&format!(r#"("id" ASC) WHERE {sqlite}"#)));
    }
}

#[test]
fn leaves_out_what_sqlite_does_not_have() {
    for rest in [
        "btree (date_trunc('day'::text, local_ts))",
        "btree (EXTRACT(year FROM due))",
        "btree (((meta ->> 'a'::text)))",
        "btree (md5(title))",
        r#"btree ("left"(title, 3))"#,
        "btree (GREATEST(n, 3))",
        "btree (((title ~ 'x'::text)))",
        "btree (public.lower(title))",
        "btree (((due - due)))",
        "btree (id) WHERE (title ~~ 'a%'::text)",
        "btree (id) WHERE (meta @> '{}'::jsonb)",
        "btree (id) WHERE (n = ANY ('{1,2}'::integer[]))",
        "gist (title some_ops (siglen='32'))",
        "nonsense (((",
    ] {
        check("", rest, None);
    }
}

/// Where SQLite would be stricter than Postgres, rows from Postgres could not be stored.
#[test]
fn a_unique_index_goes_to_sqlite_only_if_it_means_the_same() {
    for (rest, sqlite) in [
        ("btree (lower(title)) WHERE (due IS NOT NULL)", r#"(lower("title") ASC) WHERE "due" IS NOT NULL"#),
        ("btree (n) NULLS NOT DISTINCT WHERE (flagged IS TRUE)", r#"("n" ASC) WHERE ("flagged" IS 1)"#),
        (
            "btree (title, ((votes)::text)) WHERE (state = 'open'::ticket_state)",
            r#"("title" ASC, (CAST("votes" AS TEXT)) ASC) WHERE ("state" = 'open')"#,
        ),
    ] {
        check("UNIQUE ", rest, Some(sqlite));
    }
    for rest in [
        "btree (((score)::integer))",
        "btree (round(score))",
        "btree (substr(title, n))",
        "btree (id) WHERE (title > 'a'::text)",
        "btree (id) WHERE (tz = '2020-01-01 00:00:00+00'::timestamp with time zone)",
        r#"btree (id) WHERE ((title COLLATE "de-x-icu") = 'a'::text)"#,
    ] {
        check("UNIQUE ", rest, None);
    }
}

#[test]
fn leaves_out_altogether_what_needs_an_extension() {
    for rest in ["gin (title gin_trgm_ops)", "gin (title public.gin_trgm_ops)", "bloom (n)", "hnsw (id)"] {
        assert_eq!(render(&format!("CREATE INDEX i ON public.tickets USING {rest}")), None, "{rest}");
    }
}

#[test]
fn strips_concurrently() {
    let statement = render("CREATE UNIQUE INDEX CONCURRENTLY i ON public.tickets USING btree (n);").unwrap();
    assert_eq!(statement.postgres, "CREATE UNIQUE INDEX i ON public.tickets USING btree (n)");
    assert_eq!(statement.sqlite.unwrap(), "CREATE UNIQUE INDEX \"i\" ON \"tickets\" (\"n\" ASC);\n");
}

#[test]
fn deep_and_long_expressions_are_left_out_and_do_no_harm() {
    let deep = format!("btree ({}n{})", "(".repeat(5000), ")".repeat(5000));
    check("", &deep, None);
    let chain = format!("btree ((n{}))", " + n".repeat(1000));
    check("", &chain, None);
    let long = format!("btree ((n{}))", " + n".repeat(100_000));
    check("", &long, None);
}

#[test]
fn a_name_that_sqlite_has_already_is_not_made_again() {
    let definition = "CREATE INDEX i ON public.tickets USING btree (n)";
    let (first, schema) = migrate(&[&tickets().index("i", definition)], &Schema::default());
    let (dropped, schema) = migrate(&[&tickets()], &schema);
    assert!(dropped.ops.is_empty());
    let (again, schema) = migrate(&[&tickets().index("i", definition)], &schema);
    assert!(again.ops.is_empty(), "clients never lost it");
    let upper = tickets()
        .index("i", definition)
        .index("I", "CREATE INDEX \"I\" ON public.tickets USING btree (votes)");
    let (clash, _) = migrate(&[&upper], &schema);
    let [index] = statements(&clash)[..] else { panic!("{clash:?}") };
    assert_eq!(index.sqlite, None);
    sqlite_with(&[&first, &dropped, &again, &clash]);
}

#[test]
fn what_sqlite_has_as_text_is_unique_as_text_only() {
    let things = |definition: &str| {
        let table = table(3, "things")
            .column("id", "uuid!")
            .column("n", "numeric")
            .column("c", "bpchar")
            .column("x", "citext")
            .column("i", "interval")
            .key(&["id"])
            .index("u", &format!("CREATE UNIQUE INDEX u ON public.things USING {definition}"));
        let (migration, _) = migrate(&[&table], &Schema::default());
        sqlite_with(&[&migration]);
        statements(&migration).get(1).copied().and_then(|statement| statement.sqlite.clone())
    };
    for column in ["n", "c", "x", "i"] {
        let expected = format!("CREATE UNIQUE INDEX \"u\" ON \"things\" (\"{column}\" ASC);\n");
        assert_eq!(things(&format!("btree ({column})")), Some(expected));
        assert!(things(&format!("btree (id) WHERE ({column} IS NULL)")).is_some());
    }
    for inexact in [
        "btree (id) WHERE (n > (0)::numeric)",
        "btree (id) WHERE (n = 1.0)",
        "btree (abs(n))",
        "btree (((n + (1)::numeric)))",
        "btree (length(c))",
        "btree (id) WHERE (c <> 'ab'::bpchar)",
        "btree (id) WHERE (i = '1 day'::interval)",
        "btree (COALESCE(n, (0)::numeric))",
    ] {
        assert_eq!(things(inexact), None, "{inexact}");
    }
}

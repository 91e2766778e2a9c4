//! The worked examples of spec 03 §9, letter by letter.

use expect_test::expect;
use schema::{Dialect, MigrationOp, Schema, StatementKind};

use crate::{
    local::sqlite_with,
    support::{migrate, orgs, statements, table},
};

#[test]
fn plain_table() {
    let (migration, schema) = migrate(&[&orgs()], &Schema::default());
    let [create] = statements(&migration)[..] else { panic!("{migration:?}") };
    assert_eq!(create.kind, StatementKind::CreateTable);
    assert_eq!(
        create.sqlite.as_deref().unwrap(),
        r#"CREATE TABLE "orgs" (
  "id" TEXT NOT NULL,
  "name" TEXT NOT NULL,
  "created_at" TEXT NOT NULL,
  CONSTRAINT "orgs_pkey" PRIMARY KEY ("id")
);
"#
    );
    assert_eq!(
        create.postgres,
        "CREATE TABLE orgs (
    id uuid NOT NULL,
    name character varying NOT NULL,
    created_at timestamp with time zone NOT NULL,
    CONSTRAINT orgs_pkey PRIMARY KEY (id)
)"
    );
    let orgs = schema.table_named("orgs").unwrap();
    let types: Vec<_> = orgs.columns.iter().map(|c| (c.ty.type_name(), c.sqlite_type())).collect();
    assert_eq!(types, [("uuid", "TEXT".into()), ("varchar", "TEXT".into()), ("timestamptz", "TEXT".into())]);
    assert_eq!(schema.version.as_deref(), Some("20240801120000_123"));
    sqlite_with(&[&migration]);
}

#[test]
fn enumeration_foreign_keys_all_scalar_types_and_indexes() {
    let (first, schema) = migrate(&[&orgs()], &Schema::default());
    let tickets = table(2, "tickets")
        .enumeration("ticket_state", &["open", "in_progress", "done"])
        .column("id", "uuid!")
        .column("org_id", "uuid!")
        .column("parent_id", "uuid")
        .column("title", "text!")
        .column("state", "ticket_state!")
        .column("weight", "float4")
        .column("score", "float8")
        .column("votes", "int8")
        .column("prio", "int2")
        .column("n", "int4")
        .column("flagged", "bool")
        .column("due", "date")
        .column("at_time", "time")
        .column("local_ts", "timestamp")
        .column("meta", "jsonb")
        .column("blob", "bytea")
        .key(&["id"])
        .references(&["org_id"], (1, "orgs"), &["id"], "ca", " ON DELETE CASCADE")
        .references(&["parent_id"], (2, "tickets"), &["id"], "nc", " ON UPDATE CASCADE ON DELETE SET NULL")
        .index(
            "tickets_org_state_idx",
            "CREATE INDEX tickets_org_state_idx ON public.tickets USING btree (org_id, state DESC)",
        )
        .index(
            "tickets_title_uq",
            "CREATE UNIQUE INDEX tickets_title_uq ON public.tickets USING btree (lower(title)) WHERE (due IS NOT NULL)",
        );
    let (migration, _) = migrate(&[&tickets], &schema);

    let [MigrationOp::Enum { ty, postgres }, MigrationOp::Table { table, statements }] = &migration.ops[..]
    else {
        panic!("{migration:?}")
    };
    assert_eq!((ty.name.as_str(), ty.labels.join(" ").as_str()), ("ticket_state", "open in_progress done"));
    assert_eq!(postgres, &["CREATE TYPE ticket_state AS ENUM (\n 'open',\n 'in_progress',\n 'done'\n)"]);

    let sqlite: Vec<&str> = statements.iter().filter_map(|s| s.sqlite.as_deref()).collect();
    assert_eq!(
        sqlite,
        [
            r#"CREATE TABLE "tickets" (
  "id" TEXT NOT NULL,
  "org_id" TEXT NOT NULL,
  "parent_id" TEXT,
  "title" TEXT NOT NULL,
  "state" TEXT NOT NULL,
  "weight" REAL,
  "score" REAL,
  "votes" INTEGER,
  "prio" INTEGER,
  "n" INTEGER,
  "flagged" INTEGER,
  "due" TEXT,
  "at_time" TEXT,
  "local_ts" TEXT,
  "meta" TEXT_JSON,
  "blob" BLOB,
  CONSTRAINT "tickets_org_id_fkey" FOREIGN KEY ("org_id") REFERENCES "orgs" ("id") ON DELETE CASCADE,
  CONSTRAINT "tickets_parent_id_fkey" FOREIGN KEY ("parent_id") REFERENCES "tickets" ("id") ON DELETE SET NULL ON UPDATE CASCADE,
  CONSTRAINT "tickets_pkey" PRIMARY KEY ("id")
);
"#,
            "CREATE INDEX \"tickets_org_state_idx\" ON \"tickets\" (\"org_id\" ASC, \"state\" DESC);\n",
            "CREATE UNIQUE INDEX \"tickets_title_uq\" ON \"tickets\" (lower(\"title\") ASC) WHERE \"due\" IS NOT NULL;\n",
        ]
    );
    let postgres: Vec<&str> = statements.iter().map(|s| s.postgres.as_str()).collect();
    assert_eq!(
        postgres,
        [
            "CREATE TABLE tickets (
    id uuid NOT NULL,
    org_id uuid NOT NULL,
    parent_id uuid,
    title text NOT NULL,
    state ticket_state NOT NULL,
    weight real,
    score double precision,
    votes bigint,
    prio smallint,
    n integer,
    flagged boolean,
    due date,
    at_time time without time zone,
    local_ts timestamp without time zone,
    meta jsonb,
    blob bytea,
    CONSTRAINT tickets_pkey PRIMARY KEY (id),
    CONSTRAINT tickets_org_id_fkey FOREIGN KEY (org_id) REFERENCES orgs(id) ON DELETE CASCADE,
    CONSTRAINT tickets_parent_id_fkey FOREIGN KEY (parent_id) REFERENCES tickets(id) ON UPDATE CASCADE ON DELETE SET NULL
)",
            "CREATE INDEX tickets_org_state_idx ON public.tickets USING btree (org_id, state DESC)",
            "CREATE UNIQUE INDEX tickets_title_uq ON public.tickets USING btree (lower(title)) WHERE (due IS NOT NULL)",
        ]
    );
    let kinds: Vec<StatementKind> = statements.iter().map(|s| s.kind).collect();
    assert_eq!(kinds, [StatementKind::CreateTable, StatementKind::CreateIndex, StatementKind::CreateIndex]);
    let listed: Vec<_> =
        table.listed_foreign_keys().map(|fk| (fk.columns.clone(), &*fk.referenced_table)).collect();
    assert_eq!(listed, [(vec![1], "orgs"), (vec![2], "tickets")]);
    assert_eq!(table.warnings(), [] as [&str; 0]);
    sqlite_with(&[&first, &migration]);
}

#[test]
fn composite_key_in_another_order_than_the_columns() {
    let (first, schema) = migrate(&[&orgs()], &Schema::default());
    let memberships = table(3, "memberships")
        .column("org_id", "uuid!")
        .column("user_id", "text")
        .column("role", "text")
        .key(&["user_id", "org_id"])
        .references(&["org_id"], (1, "orgs"), &["id"], "aa", "");
    let (migration, schema) = migrate(&[&memberships], &schema);
    let [create] = statements(&migration)[..] else { panic!("{migration:?}") };
    assert_eq!(
        create.sqlite.as_deref().unwrap(),
        r#"CREATE TABLE "memberships" (
  "org_id" TEXT NOT NULL,
  "user_id" TEXT NOT NULL,
  "role" TEXT,
  CONSTRAINT "memberships_org_id_fkey" FOREIGN KEY ("org_id") REFERENCES "orgs" ("id"),
  CONSTRAINT "memberships_pkey" PRIMARY KEY ("user_id", "org_id")
);
"#
    );
    assert_eq!(
        create.postgres,
        "CREATE TABLE memberships (
    org_id uuid NOT NULL,
    user_id text NOT NULL,
    role text,
    CONSTRAINT memberships_pkey PRIMARY KEY (user_id, org_id),
    CONSTRAINT memberships_org_id_fkey FOREIGN KEY (org_id) REFERENCES orgs(id)
)"
    );
    let table = schema.table_named("memberships").unwrap();
    assert_eq!(table.primary_key, [1, 0]);
    assert_eq!(table.shadow.tag_columns, [None, None, Some("_tag_role".to_owned())]);
    sqlite_with(&[&first, &migration]);
}

#[test]
fn added_columns() {
    let (first, schema) = migrate(&[&orgs()], &Schema::default());
    let more = orgs().column("plan", "text").column("seats", "int4!");
    let (migration, schema) = migrate(&[&more], &schema);
    let [MigrationOp::Table { table, statements }] = &migration.ops[..] else { panic!("{migration:?}") };
    assert_eq!(table.columns.len(), 5);
    assert!(statements.iter().all(|s| s.kind == StatementKind::AlterAddColumn));
    let texts: Vec<_> = statements.iter().map(|s| (s.sqlite.as_deref().unwrap(), &*s.postgres)).collect();
    assert_eq!(
        texts,
        [
            ("ALTER TABLE \"orgs\" ADD COLUMN \"plan\" TEXT;\n", "ALTER TABLE orgs ADD COLUMN plan text"),
            (
                "ALTER TABLE \"orgs\" ADD COLUMN \"seats\" INTEGER;\n",
                "ALTER TABLE orgs ADD COLUMN seats integer"
            ),
        ]
    );
    assert!(schema.table_named("orgs").unwrap().columns[4].not_null, "only the text leaves NOT NULL out");
    sqlite_with(&[&first, &migration]);
}

#[test]
fn index_only() {
    let (first, schema) = migrate(&[&orgs()], &Schema::default());
    let definition = "CREATE INDEX orgs_created ON public.orgs USING btree (created_at DESC NULLS LAST) WHERE ((name)::text <> 'x'::text)";
    let (migration, _) = migrate(&[&orgs().index("orgs_created", definition)], &schema);
    let [MigrationOp::Statements(statements)] = &migration.ops[..] else { panic!("{migration:?}") };
    let [index] = &statements[..] else { panic!("{statements:?}") };
    assert_eq!(index.kind, StatementKind::CreateIndex);
    assert_eq!(
        index.sqlite.as_deref().unwrap(),
        "CREATE INDEX \"orgs_created\" ON \"orgs\" (\"created_at\" DESC) WHERE (\"name\" <> 'x');\n"
    );
    assert_eq!(index.postgres, definition);
    sqlite_with(&[&first, &migration]);
}

#[test]
fn precision() {
    let prec = table(4, "prec")
        .column("id", "int8")
        .column("t3", "timestamp(3)")
        .column("tt", "time(0)")
        .key(&["id"]);
    let (migration, schema) = migrate(&[&prec], &Schema::default());
    let [create] = statements(&migration)[..] else { panic!("{migration:?}") };
    assert_eq!(
        create.sqlite.as_deref().unwrap(),
        r#"CREATE TABLE "prec" (
  "id" INTEGER NOT NULL,
  "t3" TEXT(3),
  "tt" TEXT(0),
  CONSTRAINT "prec_pkey" PRIMARY KEY ("id")
);
"#
    );
    assert_eq!(
        create.postgres,
        "CREATE TABLE prec (
    id bigint NOT NULL,
    t3 timestamp(3) without time zone,
    tt time(0) without time zone,
    CONSTRAINT prec_pkey PRIMARY KEY (id)
)"
    );
    let columns = &schema.table_named("prec").unwrap().columns;
    assert_eq!((&*columns[1].modifiers, &*columns[2].modifiers), (&[3][..], &[0][..]));
    sqlite_with(&[&migration]);
}

#[test]
fn the_script_of_a_migration() {
    let colors = table(5, "colors")
        .enumeration("hue", &["red"])
        .column("id", "int4")
        .column("hue", "hue")
        .key(&["id"]);
    let colors = colors.index("colors_hue", "CREATE INDEX colors_hue ON public.colors USING btree (hue)");
    let (migration, _) = migrate(&[&colors], &Schema::default());
    expect![[r#"
        CREATE TABLE "colors" (
          "id" INTEGER NOT NULL,
          "hue" TEXT,
          CONSTRAINT "colors_pkey" PRIMARY KEY ("id")
        );

        CREATE INDEX "colors_hue" ON "colors" ("hue" ASC);"#]]
    .assert_eq(&migration.script(Dialect::Sqlite));
    expect![[r#"
        CREATE TYPE hue AS ENUM (
         'red'
        );

        CREATE TABLE colors (
            id integer NOT NULL,
            hue hue,
            CONSTRAINT colors_pkey PRIMARY KEY (id)
        );

        CREATE INDEX colors_hue ON public.colors USING btree (hue);"#]]
    .assert_eq(&migration.script(Dialect::Postgres));
    let (nothing, _) = migrate(&[], &Schema::default());
    assert_eq!(nothing.script(Dialect::Sqlite), "");
}

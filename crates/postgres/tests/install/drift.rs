//! Changes of synced tables that no guard saw (spec 04 §11): here the event triggers are gone, as where the role may not
//! make them.

use postgres::drift::{self, Action, Settled};
use testkit::Database;
use tokio_postgres::Client;

use super::{installed, refused, rows, run, value};

const REGISTERED: &str = "SELECT table_name FROM electric.electrified ORDER BY 1";

/// What is recorded for the stream, in order: tables, those that left (-) and those that are suspended (!).
const RECORDED: &str = "SELECT coalesce(snapshot -> 'table' ->> 'name', '-' || (snapshot -> 'removed' ->> 'name'), '!' || (snapshot -> 'suspended' ->> 'name')) \
    FROM electric.ddl_commands ORDER BY version COLLATE \"C\", id";

/// A database where nobody guards, with a synced table `items`.
async fn without_guard() -> (Database, Client) {
    let (database, client) = installed().await;
    for trigger in
        rows(&client, "SELECT evtname FROM pg_event_trigger WHERE evtname LIKE 'electric\\_%'").await
    {
        run(&client, &format!("DROP EVENT TRIGGER {trigger}")).await;
    }
    run(&client, "CREATE TABLE items (id int PRIMARY KEY, v text); CALL electric.electrify('items')").await;
    run(&client, "INSERT INTO items VALUES (1, 'a')").await;
    (database, client)
}

async fn settle(client: &Client) -> Vec<(String, Action)> {
    let round = drift::settle(client).await.expect("a round");
    assert_eq!(round.postponed, Vec::<String>::new());
    round.settled.into_iter().map(|Settled { table, action }| (table, action)).collect()
}

fn suspended(reason: &str) -> Action {
    Action::Suspended { reason: reason.to_owned() }
}

#[tokio::test]
async fn a_look_at_what_has_been_seen_costs_no_comparison_and_misses_nothing() {
    let (_database, client) = without_guard().await;
    run(&client, "CREATE TYPE mood AS ENUM ('ok'); CREATE TABLE other (id int PRIMARY KEY, m mood); CALL electric.electrify('other')").await;
    let mut seen = drift::Seen::default();
    assert_eq!(drift::look(&client, &mut seen).await.unwrap(), drift::Round::default());
    let mark = value(&client, "SELECT electric.catalogue_mark()").await;
    run(&client, "INSERT INTO items VALUES (2, 'b'); CREATE TABLE third (id int)").await;
    run(&client, "VACUUM ANALYZE items").await;
    assert_eq!(value(&client, "SELECT electric.catalogue_mark()").await, mark);
    for (change, outcome) in [
        ("ALTER TABLE items ADD w int", Action::Absorbed),
        ("CREATE INDEX items_w ON items (w)", Action::Absorbed),
        ("DROP INDEX items_w", Action::Absorbed),
        ("ALTER TYPE mood ADD VALUE 'bad'", Action::Absorbed),
        (
            "ALTER TABLE items ALTER v SET DEFAULT 'x'",
            suspended("column v was changed: it was text, and is text"),
        ),
        ("ALTER TABLE items ALTER v DROP DEFAULT", Action::Resumed),
        ("ALTER TABLE items RENAME TO things", suspended("it is now public.things")),
        ("ALTER TABLE things RENAME TO items", Action::Resumed),
        ("ALTER SCHEMA public RENAME TO private", suspended("")),
        ("ALTER SCHEMA private RENAME TO public", Action::Resumed),
        ("DROP TABLE items, other", Action::Removed),
    ] {
        run(&client, change).await;
        let round = drift::look(&client, &mut seen).await.unwrap();
        let kinds: Vec<_> =
            round.settled.iter().map(|settled| std::mem::discriminant(&settled.action)).collect();
        assert!(kinds.contains(&std::mem::discriminant(&outcome)), "{change}: {round:?}");
        // Until nothing is left, it looks again.
        while drift::look(&client, &mut seen).await.unwrap() != drift::Round::default() {}
    }
}

/// The columns that the newest snapshot has.
const COLUMNS: &str = "SELECT string_agg(c ->> 'name', ',') FROM (SELECT snapshot FROM electric.ddl_commands \
    WHERE snapshot ? 'table' ORDER BY id DESC LIMIT 1) s, jsonb_array_elements(snapshot -> 'table' -> 'columns') c";

#[tokio::test]
async fn nothing_is_done_where_nothing_changed() {
    let (_database, client) = without_guard().await;
    run(
        &client,
        "COMMENT ON TABLE items IS 'x'; CREATE TABLE other (id int); ALTER TABLE items SET (fillfactor = 90)",
    )
    .await;
    assert_eq!(settle(&client).await, []);
    assert_eq!(rows(&client, RECORDED).await, ["items"]);
}

#[tokio::test]
async fn what_clients_can_follow_becomes_a_migration() {
    let (_database, client) = without_guard().await;
    run(&client, "ALTER TABLE items ADD COLUMN w int; CREATE INDEX items_w ON items (w)").await;
    assert_eq!(settle(&client).await, [("public.items".to_owned(), Action::Absorbed)]);
    assert_eq!(value(&client, COLUMNS).await, "id,v,w");
    assert_eq!(rows(&client, RECORDED).await, ["items", "items"]);
    let tagged = "SELECT (_tag_w).\"timestamp\" > 'epoch' FROM electric.shadow__public__items WHERE id = 2";
    run(&client, "INSERT INTO items VALUES (2, 'b', 3)").await;
    run(&client, "UPDATE items SET w = 4 WHERE id = 2").await;
    assert_eq!(value(&client, tagged).await, "t");
    // And that is that.
    assert_eq!(settle(&client).await, []);
    assert_eq!(rows(&client, RECORDED).await.len(), 2);

    // What clients don't have is no reason to stop, though the guard would have asked for another way.
    run(&client, "ALTER TABLE items ADD CHECK (w < 10)").await;
    assert_eq!(settle(&client).await, [("public.items".to_owned(), Action::Absorbed)]);
    assert_eq!(settle(&client).await, []);
}

#[tokio::test]
async fn what_they_can_not_follow_suspends_the_table_and_writes_go_on() {
    for (change, reason) in [
        ("DROP COLUMN v", "column v was dropped"),
        ("RENAME v TO \"W\"", "column v was renamed to \"W\""),
        ("ALTER v TYPE varchar", "column v was changed: it was text, and is character varying"),
        ("ALTER v SET NOT NULL", "column v was changed: it was text, and is text NOT NULL"),
        ("DROP CONSTRAINT items_pkey", "its primary key was changed"),
        ("RENAME TO things", "it is now public.things"),
        ("SET SCHEMA elsewhere", "it is now elsewhere.items"),
        ("ADD w int DEFAULT 7", "column w is new and has values already, which clients lack"),
        ("ADD w serial", "column w is new and has values already, which clients lack"),
        ("ADD w int REFERENCES other", "foreign key items_w_fkey was added"),
        ("REPLICA IDENTITY DEFAULT", "it has lost its REPLICA IDENTITY FULL"),
    ] {
        let (_database, client) = without_guard().await;
        run(&client, "CREATE SCHEMA elsewhere; CREATE TABLE other (id int PRIMARY KEY)").await;
        run(&client, "CREATE TABLE bystander (id int PRIMARY KEY); CALL electric.electrify('bystander')")
            .await;
        run(&client, &format!("ALTER TABLE items {change}")).await;
        assert_eq!(settle(&client).await, [("public.items".to_owned(), suspended(reason))], "{change}");
        assert_eq!(rows(&client, REGISTERED).await, ["bystander"], "{change}");
        assert_eq!(rows(&client, RECORDED).await, ["items", "bystander", "!items"], "{change}");
        let recorded = "SELECT snapshot -> 'suspended' ->> 'reason' FROM electric.ddl_commands WHERE snapshot ? 'suspended'";
        assert_eq!(value(&client, recorded).await, reason);

        let table = match change {
            "RENAME TO things" => "things",
            "SET SCHEMA elsewhere" => "elsewhere.items",
            _ => "items",
        };
        run(
            &client,
            &format!(
                "UPDATE {table} SET id = id + 10; INSERT INTO {table} SELECT * FROM {table} WHERE false"
            ),
        )
        .await;
        run(&client, "INSERT INTO bystander VALUES (1)").await;
        if change != "REPLICA IDENTITY DEFAULT" {
            assert_eq!(settle(&client).await, [], "{change}");
        }
        run(&client, &format!("DELETE FROM {table}; TRUNCATE {table}")).await;
    }
}

#[tokio::test]
async fn enumerations_may_grow_and_nothing_else() {
    let (_database, client) = without_guard().await;
    run(
        &client,
        "CREATE TYPE mood AS ENUM ('happy', 'sad'); CREATE TABLE people (id int PRIMARY KEY, m mood)",
    )
    .await;
    run(&client, "CALL electric.electrify('people')").await;
    run(&client, "ALTER TYPE mood ADD VALUE 'so_so' BEFORE 'sad'").await;
    assert_eq!(settle(&client).await, [("public.people".to_owned(), Action::Absorbed)]);
    run(&client, "ALTER TYPE mood RENAME VALUE 'sad' TO 'gloomy'").await;
    assert_eq!(settle(&client).await, [("public.people".to_owned(), suspended("type mood was changed"))]);
    run(&client, "ALTER TYPE mood RENAME VALUE 'gloomy' TO 'sad'").await;
    assert_eq!(settle(&client).await, [("public.people".to_owned(), Action::Resumed)]);
}

#[tokio::test]
async fn a_table_comes_back_when_the_difference_is_undone() {
    let (_database, client) = without_guard().await;
    run(&client, "ALTER TABLE items DROP v").await;
    assert_eq!(settle(&client).await.len(), 1);
    run(&client, "INSERT INTO items VALUES (2)").await;
    // Another type is not what it was.
    run(&client, "ALTER TABLE items ADD v int").await;
    assert_eq!(settle(&client).await, []);
    run(&client, "ALTER TABLE items DROP v; ALTER TABLE items ADD v text").await;
    assert_eq!(settle(&client).await, [("public.items".to_owned(), Action::Resumed)]);
    assert_eq!(rows(&client, RECORDED).await, ["items", "!items", "items"]);
    run(&client, "INSERT INTO items VALUES (3, 'c')").await;
    assert_eq!(rows(&client, "SELECT id FROM electric.shadow__public__items").await, ["3"]);
    assert_eq!(settle(&client).await, []);
}

#[tokio::test]
async fn a_column_that_was_dropped_and_made_again_has_lost_its_values() {
    let (_database, client) = without_guard().await;
    run(&client, "ALTER TABLE items DROP v, ADD v text").await;
    let reason = suspended("column v was dropped and made anew");
    assert_eq!(settle(&client).await, [("public.items".to_owned(), reason)]);
    // Clients load it again.
    assert_eq!(settle(&client).await, [("public.items".to_owned(), Action::Resumed)]);
}

#[tokio::test]
async fn a_new_column_with_values_waits_for_somebody_to_decide() {
    let (_database, client) = without_guard().await;
    run(&client, "ALTER TABLE items ADD w int; UPDATE items SET w = 1").await;
    let reason = suspended("column w is new and has values already, which clients lack");
    assert_eq!(settle(&client).await, [("public.items".to_owned(), reason)]);
    assert_eq!(settle(&client).await, []);
    run(&client, "CALL electric.electrify('items')").await;
    assert_eq!(rows(&client, REGISTERED).await, ["items"]);
    assert_eq!(settle(&client).await, []);
}

#[tokio::test]
async fn a_suspended_table_may_be_given_up() {
    let (_database, client) = without_guard().await;
    run(&client, "ALTER TABLE items RENAME v TO w").await;
    settle(&client).await;
    run(&client, "CALL electric.disable('items')").await;
    assert_eq!(rows(&client, RECORDED).await, ["items", "!items", "-items"]);
    run(&client, "ALTER TABLE items RENAME w TO v; CALL electric.disable('items')").await;
    assert_eq!(settle(&client).await, []);
    assert_eq!(rows(&client, RECORDED).await.len(), 3);
}

#[tokio::test]
async fn a_table_that_is_gone_is_removed() {
    let (_database, client) = without_guard().await;
    run(&client, "DROP TABLE items").await;
    assert_eq!(settle(&client).await, [("public.items".to_owned(), Action::Removed)]);
    assert_eq!(rows(&client, RECORDED).await, ["items", "-items"]);
    assert_eq!(value(&client, "SELECT count(*) FROM pg_class WHERE relname LIKE 'shadow\\_\\_%'").await, "0");
    assert_eq!(settle(&client).await, []);

    // Also by name, before anybody has looked.
    run(&client, "CREATE TABLE items (id int PRIMARY KEY); CALL electric.electrify('items')").await;
    run(&client, "DROP TABLE items").await;
    run(&client, "CALL electric.disable('items')").await;
    assert_eq!(settle(&client).await, []);
    assert_eq!(refused(&client, "CALL electric.disable('items')").await.code().code(), "42P01");
}

#[tokio::test]
async fn a_table_that_somebody_works_on_is_left_for_the_next_round() {
    let (database, client) = without_guard().await;
    let other = database.client().await;
    run(&client, "ALTER TABLE items ADD w int").await;
    run(&other, "BEGIN; INSERT INTO items VALUES (2, 'b', 3)").await;
    let round = drift::settle(&client).await.unwrap();
    assert_eq!((round.settled, round.postponed.len()), (Vec::new(), 1));
    assert!(round.postponed[0].contains("lock timeout"), "{:?}", round.postponed);
    run(&other, "COMMIT").await;
    // It has got a value meanwhile, which nobody was told of.
    assert!(matches!(settle(&client).await.as_slice(), [(_, Action::Suspended { .. })]));
}

#[tokio::test]
async fn services_that_look_at_the_same_time_do_it_once() {
    let (database, client) = without_guard().await;
    run(&client, "CREATE TABLE gone (id int PRIMARY KEY); CALL electric.electrify('gone'); CREATE TABLE hurt (id int PRIMARY KEY, v text); CALL electric.electrify('hurt')").await;
    run(&client, "ALTER TABLE items ADD w int; DROP TABLE gone; ALTER TABLE hurt DROP v").await;
    let mut services = Vec::new();
    for _ in 0..6 {
        let client = database.client().await;
        services.push(tokio::spawn(async move {
            let mut settled = 0;
            for _ in 0..100 {
                let round = drift::settle(&client).await.unwrap();
                settled += round.settled.len();
                if round.postponed.is_empty() {
                    return settled;
                }
                // Somebody else is at it.
                assert!(round.postponed.iter().all(|why| why.contains("lock timeout")), "{round:?}");
            }
            panic!("it never comes to an end");
        }));
    }
    let mut settled = 0;
    for service in services {
        settled += service.await.unwrap();
    }
    assert_eq!(settled, 3);
    assert_eq!(rows(&client, RECORDED).await.len(), 6);
    let versions = rows(&client, "SELECT version FROM electric.ddl_commands ORDER BY id").await;
    assert!(versions[3..].windows(2).all(|pair| pair[0].as_bytes() < pair[1].as_bytes()), "{versions:?}");
}

#[tokio::test]
async fn a_start_leaves_drift_to_be_settled() {
    let (database, client) = without_guard().await;
    run(&client, "CREATE TABLE keyless (id int PRIMARY KEY); CALL electric.electrify('keyless')").await;
    run(
        &client,
        "ALTER TABLE items DROP v, ADD w text DEFAULT 'x'; ALTER TABLE keyless DROP CONSTRAINT keyless_pkey",
    )
    .await;
    // As superuser, so that the guard is there again from now on.
    let mut starting = database.client().await;
    postgres::install::install(&mut starting).await.expect("the start goes on");
    assert_eq!(value(&client, "SELECT electric.guard_tier()").await, "1");
    let mut settled = settle(&client).await;
    settled.sort_by(|one, other| one.0.cmp(&other.0));
    assert_eq!(
        settled,
        [
            ("public.items".to_owned(), suspended("column v was dropped")),
            ("public.keyless".to_owned(), suspended("its primary key was changed")),
        ]
    );
    // Under the guard too, a table comes back.
    run(&client, "ALTER TABLE keyless ADD PRIMARY KEY (id)").await;
    assert_eq!(settle(&client).await, [("public.keyless".to_owned(), Action::Resumed)]);
}

#[tokio::test]
async fn event_triggers_outlive_the_right_to_make_them() {
    let database = Database::create().await;
    let admin = database.client().await;
    let role = format!("lifted_{}", database.name);
    run(&admin, &format!("CREATE ROLE {role} LOGIN SUPERUSER")).await;
    let url = database.url.replacen("postgres@", &format!("{role}@"), 1);
    let (mut client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    postgres::install::install(&mut client).await.expect("schema electric installs");
    let name = &database.name;
    run(&admin, &format!("ALTER ROLE {role} NOSUPERUSER REPLICATION; GRANT CREATE ON DATABASE {name} TO {role}; GRANT ALL ON SCHEMA public TO {role}")).await;

    let (mut client, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
    tokio::spawn(connection);
    postgres::install::install(&mut client).await.expect("later starts go on");
    assert_eq!(value(&client, "SELECT electric.guard_tier()").await, "1");
    run(&client, "CREATE TABLE items (id int PRIMARY KEY, v text); CALL electric.electrify('items')").await;
    assert_eq!(refused(&client, "ALTER TABLE items DROP v").await.code().code(), "EX010");
    run(&client, "ALTER TABLE items ADD w int").await;
    assert_eq!(value(&client, COLUMNS).await, "id,v,w");
}

#[tokio::test]
async fn what_others_did_is_no_fault_of_a_guarded_transaction() {
    let (_database, client) = without_guard().await;
    run(&client, "CREATE TABLE gone (id int PRIMARY KEY); CALL electric.electrify('gone')").await;
    run(&client, "CREATE TABLE mine (id int PRIMARY KEY); CALL electric.electrify('mine')").await;
    run(&client, "CREATE TABLE wider (id int PRIMARY KEY); CALL electric.electrify('wider')").await;
    run(&client, "ALTER TABLE items DROP v; DROP TABLE gone; ALTER TABLE wider ADD w int; INSERT INTO wider VALUES (1, 2)").await;

    run(&client, "BEGIN; ALTER TABLE mine ADD v text; CALL electric.guard_all(); COMMIT").await;
    assert_eq!(rows(&client, RECORDED).await, ["items", "gone", "mine", "wider", "mine"]);
    for (change, code) in [
        ("ALTER TABLE mine DROP v", "EX010"),
        ("DROP TABLE mine", "EX004"),
        ("ALTER SCHEMA public RENAME TO private", "EX002"),
    ] {
        let error = refused(&client, &format!("BEGIN; {change}; CALL electric.guard_all(); COMMIT")).await;
        assert_eq!(error.code().code(), code);
        run(&client, "ROLLBACK").await;
    }
    assert_eq!(settle(&client).await.len(), 3);

    // Indexes do no harm whoever made them.
    run(&client, "CREATE INDEX CONCURRENTLY mine_v ON mine (v)").await;
    run(&client, "CALL electric.guard_all()").await;
    assert_eq!(settle(&client).await, []);
}

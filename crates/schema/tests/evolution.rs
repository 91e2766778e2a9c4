//! Tables that leave the sync, come back, and change beyond what clients can follow.

use std::collections::BTreeMap;

use change::{RelationId, Xid};
use proptest::prelude::*;
use rusqlite::Connection;
use schema::{Evolution, Migration, MigrationOp, Record, Schema, Table, evolve, parse_record};
use serde_json::json;

use crate::{
    random::{self, Action, Database},
    support::{TableJson, orgs, statements, table},
};

fn removed(oid: u32) -> Record {
    let row = json!({"removed": {"oid": oid, "schema": "public", "name": "t"}});
    parse_record(row.to_string().as_bytes()).unwrap()
}

fn suspended(oid: u32) -> Record {
    let row = json!({"suspended": {"oid": oid, "schema": "public", "name": "t", "reason": "it was bent"}});
    parse_record(row.to_string().as_bytes()).unwrap()
}

/// Steps one after the other.
#[derive(Default)]
struct Story {
    schema: Schema,
    migrations: Vec<Migration>,
}

impl Story {
    fn step(&mut self, records: &[Record]) -> Evolution {
        let version = format!("20240801120000_{:03}", self.migrations.len());
        let evolution = evolve(&version, Xid(1), 0, records, &self.schema);
        self.schema = evolution.schema.clone();
        self.migrations.push(evolution.migration.clone());
        evolution
    }

    /// The statements of a step, in SQLite's and Postgres' dialect, by their beginnings.
    fn texts(&mut self, records: &[Record]) -> Vec<(String, String)> {
        let evolution = self.step(records);
        let cut = |sql: &str| sql.split(" (").next().unwrap().trim_end().trim_end_matches(';').to_owned();
        statements(&evolution.migration)
            .iter()
            .map(|s| (s.sqlite.as_deref().map(cut).unwrap_or_default(), cut(&s.postgres)))
            .collect()
    }

    fn held(&self, name: &str) -> Option<&str> {
        self.schema.table_named(name).unwrap().held_back.as_deref()
    }
}

fn plain(oid: u32, name: &str) -> TableJson {
    table(oid, name).column("id", "uuid").key(&["id"])
}

fn child(oid: u32, name: &str, parent: (u32, &str)) -> TableJson {
    plain(oid, name).column("p", "uuid").references(&["p"], parent, &["id"], "aa", "")
}

fn sqlite(texts: &[(String, String)]) -> Vec<&str> {
    texts.iter().map(|(sqlite, _)| sqlite.as_str()).collect()
}

#[test]
fn a_table_that_comes_back_is_dropped_and_made_anew() {
    for oid in [1, 7] {
        let mut story = Story::default();
        let first = orgs().index("orgs_name", "CREATE INDEX orgs_name ON public.orgs USING btree (name)");
        story.step(&[first.record()]);
        assert_eq!(story.schema.returned(RelationId(1)), None);
        let gone = story.step(&[removed(1)]);
        assert_eq!((gone.migration.ops.len(), gone.held.len(), story.schema.tables().len()), (0, 0, 0));
        assert_eq!(story.schema.retired("ORGS").unwrap().id, RelationId(1));
        let back = table(oid, "orgs").column("id", "uuid").key(&["id"]);
        let back = back.index("orgs_name", "CREATE INDEX orgs_name ON public.orgs USING btree (id)");
        let texts = story.texts(&[back.record()]);
        let expected = [
            ("DROP TABLE IF EXISTS \"orgs\"", "DROP TABLE IF EXISTS orgs CASCADE"),
            ("CREATE TABLE \"orgs\"", "CREATE TABLE orgs"),
            ("CREATE INDEX \"orgs_name\" ON \"orgs\"", "CREATE INDEX orgs_name ON public.orgs USING btree"),
        ];
        assert_eq!(texts, expected.map(|(a, b)| (a.to_owned(), b.to_owned())));
        assert_eq!(story.migrations[2].ops.len(), 1, "all of it in one operation");
        assert_eq!(story.schema.returned(RelationId(oid)), Some("20240801120000_002"));
        assert_eq!(story.schema.retired("orgs"), None);
    }
}

#[test]
fn a_table_taken_out_and_put_in_by_one_transaction_is_made_anew() {
    let mut story = Story::default();
    story.step(&[plain(1, "p").record(), child(2, "c", (1, "p")).record()]);
    let texts = story.texts(&[removed(1), plain(1, "p").record()]);
    // The rows of the other refer to rows that go.
    let expected = [
        "DROP TABLE IF EXISTS \"c\"",
        "DROP TABLE IF EXISTS \"p\"",
        "CREATE TABLE \"p\"",
        "CREATE TABLE \"c\"",
    ];
    assert_eq!(sqlite(&texts), expected);
}

#[test]
fn a_new_table_of_the_name_of_one_that_nobody_saw_going_replaces_it() {
    let mut story = Story::default();
    story.step(&[plain(1, "t").record()]);
    assert_eq!(story.texts(&[plain(2, "t").record()]).len(), 2);
    assert_eq!(story.schema.tables().map(|t| t.id.0).collect::<Vec<_>>(), [2]);
    assert_eq!(story.held("t"), None);
}

#[test]
fn a_suspended_table_stays_as_it_is_until_it_is_good_again() {
    let mut story = Story::default();
    story.step(&[plain(1, "t").record()]);
    let held = story.step(&[suspended(1)]);
    assert!(held.migration.ops.is_empty());
    assert_eq!(held.held[0].reason, "it was bent");
    assert_eq!(story.held("t"), Some("it was bent"));
    assert!(story.step(&[suspended(1)]).held.is_empty(), "that was said before");
    // Its rows may have changed meanwhile.
    assert_eq!(story.texts(&[plain(1, "t").column("more", "text").record()]).len(), 2);
    assert_eq!(story.held("t"), None);
}

#[test]
fn bent_and_good_again_in_one_transaction_is_what_it_comes_to() {
    let mut story = Story::default();
    story.step(&[plain(1, "t").column("a", "text").record()]);
    let more = plain(1, "t").column("a", "text").column("b", "text");
    let [(added, _)] = &story.texts(&[suspended(1), more.record()])[..] else { panic!() };
    assert!(added.starts_with("ALTER TABLE"), "{added}");
    let other = plain(1, "t").column("a", "int4");
    assert_eq!(story.texts(&[suspended(1), other.record()]).len(), 2);
    assert_eq!(story.held("t"), None);
    assert!(story.step(&[other.record(), suspended(1)]).migration.ops.is_empty());
    assert_eq!(story.held("t"), Some("it was bent"));
}

#[test]
fn a_change_that_nobody_announced_holds_the_table_back_until_it_is_undone() {
    let mut story = Story::default();
    let good = || plain(1, "t").column("a", "text");
    story.step(&[good().record()]);
    let bent = plain(1, "t").column("a", "int4");
    assert!(story.step(&[bent.record()]).held[0].reason.contains("type of column \"a\""));
    assert!(story.step(&[bent.column("b", "text").record()]).migration.ops.is_empty());
    assert!(story.held("t").is_some());
    assert_eq!(
        story.texts(&[good().column("b", "text").record()]).len(),
        2,
        "rows may have changed meanwhile"
    );
    assert_eq!(story.held("t"), None);
}

#[test]
fn a_definition_that_can_not_be_used_holds_its_table_back() {
    let mut story = Story::default();
    story.step(&[plain(1, "t").record()]);
    let mut odd = plain(1, "t").column("x", "text").json();
    odd["table"]["columns"][1]["type"] = "money".into();
    odd["table"]["columns"][1]["sql_type"] = "money".into();
    let record = parse_record(odd.to_string().as_bytes()).unwrap();
    assert_eq!(story.step(&[record]).held.len(), 1);
    assert!(story.held("t").unwrap().contains("money"), "{:?}", story.held("t"));
    assert!(parse_record(b"{}").is_err());
    assert!(parse_record(b"[1]").is_err());
}

#[test]
fn tables_go_and_come_with_those_that_they_refer_to() {
    let mut story = Story::default();
    let (p, c, g) = (plain(1, "p"), child(2, "c", (1, "p")), child(3, "g", (2, "c")));
    story.step(&[p.record(), c.record(), g.record(), plain(4, "other").record()]);
    let held = story.step(&[removed(1)]);
    let names: Vec<&str> = held.held.iter().map(|held| held.table.as_str()).collect();
    assert_eq!(names, ["c", "g"]);
    assert!(held.held[0].reason.contains("refers to table \"p\""), "{}", held.held[0].reason);
    assert_eq!(story.held("other"), None);
    // Changed meanwhile, as clients could have followed.
    assert!(story.step(&[c.column("more", "text").record()]).migration.ops.is_empty());
    let texts = story.texts(&[p.record()]);
    let expected = [
        "DROP TABLE IF EXISTS \"g\"",
        "DROP TABLE IF EXISTS \"c\"",
        "DROP TABLE IF EXISTS \"p\"",
        "CREATE TABLE \"p\"",
        "CREATE TABLE \"c\"",
        "CREATE TABLE \"g\"",
    ];
    assert_eq!(sqlite(&texts), expected);
    assert_eq!(story.schema.table_named("c").unwrap().columns.len(), 3);
    for id in [1, 2, 3] {
        assert_eq!(story.schema.returned(RelationId(id)), Some("20240801120000_003"));
    }
}

#[test]
fn what_was_dropped_with_its_parent_comes_back_as_something_clients_had() {
    let mut story = Story::default();
    let (p, c) = (plain(1, "p"), child(2, "c", (1, "p")));
    story.step(&[p.record(), c.record()]);
    story.step(&[removed(2), removed(1)]);
    story.step(&[p.record()]);
    assert_eq!(story.schema.retired("c"), None, "it had to go");
    assert_eq!(story.texts(&[c.record()]).len(), 1);
    assert_eq!(story.schema.returned(RelationId(2)), Some("20240801120000_003"));
}

#[test]
fn labels_are_added_where_they_belong() {
    let hue = |labels: &[&str]| table(1, "t").enumeration("hue", labels).column("id", "hue").key(&["id"]);
    let mut story = Story::default();
    story.step(&[hue(&["b", "e"]).record()]);
    let grown = story.step(&[hue(&["a", "b", "c", "d'", "e", "f"]).record()]);
    let [MigrationOp::Enum { ty, postgres }] = &grown.migration.ops[..] else { panic!("{grown:?}") };
    assert_eq!(ty.labels.len(), 6);
    let expected = [
        "ALTER TYPE hue ADD VALUE 'a' BEFORE 'b'",
        "ALTER TYPE hue ADD VALUE 'c' BEFORE 'e'",
        "ALTER TYPE hue ADD VALUE 'd''' BEFORE 'e'",
        "ALTER TYPE hue ADD VALUE 'f'",
    ];
    assert_eq!(postgres, &expected);
    assert_eq!(grown.migration.script(schema::Dialect::Sqlite), "");
}

#[test]
fn an_enumeration_may_become_another_once_nothing_synced_has_it() {
    let hue = |labels: &[&str]| table(1, "t").enumeration("hue", labels).column("id", "hue").key(&["id"]);
    let mut story = Story::default();
    story.step(&[hue(&["a"]).record()]);
    story.step(&[removed(1)]);
    let other = story.step(&[hue(&["z"]).record()]);
    let [MigrationOp::Enum { postgres, .. }, MigrationOp::Table { .. }] = &other.migration.ops[..] else {
        panic!("{other:?}")
    };
    assert_eq!(postgres, &["DROP TYPE IF EXISTS hue CASCADE", "CREATE TYPE hue AS ENUM (\n 'z'\n)"]);
}

#[test]
fn a_table_may_get_the_name_of_an_index_that_was_dropped() {
    let mut story = Story::default();
    let indexed = plain(1, "t").index("other", "CREATE INDEX other ON public.t USING btree (id)");
    story.step(&[indexed.record()]);
    story.step(&[plain(1, "t").record()]);
    let texts = story.texts(&[plain(2, "other").record()]);
    assert_eq!(texts[0].0, "DROP INDEX IF EXISTS \"other\"");
    replay(&story.migrations, |_| {});
}

/// Runs all migrations, with foreign keys enforced, as an app's bundle is run.
fn replay(migrations: &[Migration], mut after_each: impl FnMut(&Connection)) -> Connection {
    let db = Connection::open_in_memory().unwrap();
    db.execute_batch("PRAGMA foreign_keys = ON").unwrap();
    for migration in migrations {
        db.execute_batch("BEGIN").unwrap();
        for sql in statements(migration).iter().filter_map(|s| s.sqlite.as_deref()) {
            db.execute(sql, []).unwrap_or_else(|error| panic!("{error}: {sql}"));
        }
        db.execute_batch("COMMIT").unwrap();
        after_each(&db);
    }
    db
}

/// Columns with their types, tables referred to.
type Shape = (Vec<(String, String)>, Vec<String>);

fn shape_in(db: &Connection, name: &str) -> Shape {
    let mut columns = db.prepare("SELECT name, type FROM pragma_table_info(?1) ORDER BY cid").unwrap();
    let columns = columns.query_map([name], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let mut keys = db.prepare("SELECT \"table\" FROM pragma_foreign_key_list(?1)").unwrap();
    let keys = keys.query_map([name], |row| row.get(0)).unwrap();
    (columns.collect::<Result<_, _>>().unwrap(), keys.collect::<Result<_, _>>().unwrap())
}

fn shape_of(table: &Table) -> Shape {
    let columns = table.columns.iter().map(|column| (column.name.clone(), column.sqlite_type()));
    (columns.collect(), table.foreign_keys.iter().map(|fk| fk.referenced_table.clone()).collect())
}

fn live(schema: &Schema) -> impl Iterator<Item = &Table> {
    schema.tables().map(|table| &**table).filter(|table| table.held_back.is_none())
}

/// A row in each table that clients get, each referring to one in the table that its table refers to.
fn fill(db: &Connection, schema: &Schema) {
    for table in live(schema) {
        db.execute(&format!("INSERT OR IGNORE INTO \"{}\" (id) VALUES ('1')", table.name), []).unwrap();
    }
    for table in live(schema).filter(|table| !table.foreign_keys.is_empty()) {
        db.execute(&format!("UPDATE \"{}\" SET parent = '1'", table.name), []).unwrap();
    }
}

fn play(actions: &[Vec<Action>]) -> (Vec<Migration>, Vec<Schema>) {
    let (mut migrations, mut schemas, mut database) = (Vec::new(), Vec::new(), Database::new());
    let mut schema = Schema::default();
    for (n, actions) in actions.iter().enumerate() {
        let records = database.run(actions);
        let (migration, after) = random::step(n, &records, &schema);
        schema = after;
        migrations.push(migration);
        schemas.push(schema.clone());
        let mut live: Vec<&str> = live(&schema).map(|table| table.name.as_str()).collect();
        let mut expected = database.expected();
        live.sort_unstable();
        expected.sort_unstable();
        assert!(database.is_vague || live == expected, "{live:?} are live, {expected:?} should be");
    }
    (migrations, schemas)
}

/// Each has a row that refers to one of the other, so neither can go first.
#[test]
fn tables_that_refer_to_each_other_make_room_for_another() {
    let enable = |name, same, parent| vec![Action::Enable { name, same, parent, typed: false }];
    let (migrations, schemas) = play(&[
        enable(1, false, None),
        enable(3, false, Some(1)),
        vec![Action::Remove(1)],
        enable(1, true, Some(3)),
        vec![Action::Remove(3)],
        enable(3, false, None),
    ]);
    let mut at = schemas.iter();
    replay(&migrations, |db| fill(db, at.next().unwrap()));
    assert!(
        migrations
            .last()
            .unwrap()
            .script(schema::Dialect::Sqlite)
            .contains("PRAGMA defer_foreign_keys = ON;")
    );
    assert!(
        migrations.last().unwrap().script(schema::Dialect::Postgres).contains("SET CONSTRAINTS ALL DEFERRED")
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    /// Both for a client that has been there from the start, with rows, and for one that comes when all is over.
    #[test]
    fn a_client_s_tables_are_those_of_the_schema_whatever_happens(actions in random::history()) {
        let (migrations, schemas) = play(&actions);
        let last = schemas.last().unwrap();
        let mut at = schemas.iter();
        for db in [replay(&migrations, |db| fill(db, at.next().unwrap())), replay(&migrations, |_| {})] {
            let mut indexes = db.prepare("SELECT name, tbl_name FROM sqlite_master WHERE type = 'index'").unwrap();
            let indexes = indexes.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let indexes: BTreeMap<String, String> = indexes.collect::<Result<_, _>>().unwrap();
            for table in live(last) {
                prop_assert_eq!(shape_in(&db, &table.name), shape_of(table), "{}", &table.name);
                for index in &table.indexes {
                    prop_assert_eq!(indexes.get(&index.name), Some(&table.name), "{}", &index.name);
                }
            }
        }
    }
}

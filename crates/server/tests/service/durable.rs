//! The journal on disk: clients resume from it, and Postgres keeps nothing for them.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use testkit::{
    Database, Satellite,
    satellite::{Op, Received, Resume, Row, Select},
    unsigned_token,
};
use tokio_postgres::Client;

use super::support::*;

/// So little memory that next to nothing is read from it.
const TINY: &[(&str, &str)] = &[("ELECTRIC_TXN_CACHE_SIZE", "4K")];

const SUBSCRIPTION: &str = "00000000-0000-4000-8000-000000000001";

const TABLES: &str = "
    CREATE TABLE items (id text PRIMARY KEY, content text, rank int);
    CREATE TABLE projects (id text PRIMARY KEY, open boolean);
    CREATE TABLE issues (id text PRIMARY KEY, project text REFERENCES projects, title text);
    CALL electric.electrify('items');
    CALL electric.electrify('projects');
    CALL electric.electrify('issues');
    INSERT INTO projects SELECT 'p' || n, n % 2 = 0 FROM generate_series(1, 6) n;
    INSERT INTO issues SELECT 'i' || n, 'p' || (1 + n % 6), 'issue ' || n FROM generate_series(1, 60) n;
    INSERT INTO items SELECT n::text, 'item ' || n, n % 10 FROM generate_series(1, 40) n;";

/// One of each kind of shape.
fn shapes() -> Vec<(&'static str, Select)> {
    let issues = Select::from("issues");
    vec![
        ("plain", Select::from("items")),
        ("chosen", Select::from("items").filter("this.rank < 5")),
        ("joined", Select::from("projects").filter("this.open = true").with("project", issues)),
    ]
}

/// Many small transactions of all kinds, with a migration among them.
async fn work(postgres: &Client, round: u32) {
    for n in 0..40 {
        let (item, project) = (1 + (n * 7 + round) % 40, 1 + (n + round) % 6);
        let statement = match n % 8 {
            0 => format!("UPDATE items SET rank = (rank + 3) % 10 WHERE id = '{item}'"),
            1 => format!(
                "INSERT INTO items (id, content, rank) VALUES ('{round}-{n}', repeat('x', 500), {n} % 10)"
            ),
            2 => format!("UPDATE projects SET open = NOT open WHERE id = 'p{project}'"),
            3 => format!("UPDATE issues SET project = 'p{project}' WHERE id = 'i{item}'"),
            4 => format!("DELETE FROM items WHERE id = '{item}'"),
            5 => format!("INSERT INTO issues VALUES ('{round}-{n}', 'p{project}', 'new')"),
            6 => format!("UPDATE items SET content = 'changed in {round}' WHERE id = '{item}'"),
            _ => format!(
                "BEGIN; DELETE FROM issues WHERE id = 'i{item}'; UPDATE items SET rank = 4 WHERE rank = 7; COMMIT"
            ),
        };
        postgres.batch_execute(&statement).await.unwrap_or_else(|error| panic!("{statement}: {error:?}"));
    }
    if round == 1 {
        postgres.batch_execute("ALTER TABLE items ADD COLUMN note text").await.expect("a column");
        postgres.batch_execute("UPDATE items SET note = 'new' WHERE rank = 4").await.expect("it can be used");
    }
}

/// The last transaction, which everyone gets.
async fn finish(postgres: &Client) {
    let last = "BEGIN; INSERT INTO items (id, rank) VALUES ('last', 0);
                INSERT INTO projects VALUES ('last', true); COMMIT";
    postgres.batch_execute(last).await.expect("the last");
}

/// A client of one shape, and what it has of it.
struct Viewer {
    name: String,
    client: Satellite,
    rows: BTreeMap<(String, String), Row>,
    /// Every transaction that does something.
    transactions: Vec<(Vec<u8>, u64, Vec<Op>)>,
}

fn text(row: &Row, column: &str) -> String {
    String::from_utf8(row[column].clone().expect("a value").to_vec()).expect("text")
}

impl Viewer {
    async fn open(port: u16, name: &str, shape: Select) -> Viewer {
        let client = Satellite::open(port, name, &unsigned_token("user")).await.expect("to be let in");
        let mut viewer =
            Viewer { name: name.to_owned(), client, rows: BTreeMap::new(), transactions: Vec::new() };
        let answer =
            viewer.client.request_shapes(SUBSCRIPTION, vec![shape.request("1")]).await.expect("an answer");
        assert_eq!(answer.err, None);
        while !viewer.take().await {}
        viewer.transactions.clear();
        viewer
    }

    /// Applies what comes next. Whether it was the data of the subscription.
    async fn take(&mut self) -> bool {
        let received = within(self.client.next()).await;
        self.apply(received.unwrap_or_else(|error| panic!("{}: {error:#}", self.name)))
    }

    fn apply(&mut self, received: Received) -> bool {
        let (ops, is_data) = match received {
            Received::Data { shapes, .. } => (shapes.into_iter().flat_map(|shape| shape.ops).collect(), true),
            Received::Transaction { begin, ops } => {
                if !ops.is_empty() {
                    self.transactions.push((begin.lsn.to_vec(), begin.commit_timestamp, ops.clone()));
                }
                (ops, false)
            }
            Received::Additional { ops, .. } | Received::Gone { ops, .. } => (ops, false),
        };
        for op in ops {
            let Some((table, row)) = op.row() else { continue };
            let key = (table.to_owned(), text(row, "id"));
            match op {
                Op::Insert { new, .. } | Op::Update { new, .. } => drop(self.rows.insert(key, new)),
                _ => drop(self.rows.remove(&key)),
            }
        }
        is_data
    }

    /// Applies what comes until the service closes.
    async fn see_it_out(&mut self) {
        while let Ok(received) = within(self.client.next()).await {
            self.apply(received);
        }
    }

    /// Until it has the last transaction.
    async fn finish(&mut self) {
        while !self.rows.keys().any(|(_, id)| id == "last") {
            self.take().await;
        }
    }

    /// Goes away, and comes back to a service.
    async fn resume(&mut self, port: u16) {
        let lsn = self.client.lsn.clone();
        let client =
            Satellite::sign_in(port, &self.name, &unsigned_token("user")).await.expect("to be let in");
        self.client = client;
        let subscriptions = vec![SUBSCRIPTION.to_owned()];
        let resume = Resume { lsn, subscriptions, ..Resume::default() };
        let started = self.client.start_from(&resume).await.expect("an answer");
        assert_eq!(started.err, None, "{}", self.name);
    }
}

async fn start_with_tables(variables: &[(&str, &str)]) -> (Database, Client, Running) {
    let database = Database::create().await;
    let running = start(&database.url, variables).await;
    let postgres = database.client().await;
    postgres.batch_execute(TABLES).await.expect("synced tables");
    stream_has_caught_up(running.port).await;
    (database, postgres, running)
}

/// The ids of a query.
async fn ids(postgres: &Client, query: &str) -> Vec<String> {
    let rows = postgres.query(query, &[]).await.expect("an answer");
    rows.iter().map(|row| row.get(0)).collect()
}

/// The rows of a viewer are those of its shape.
async fn check(viewer: &Viewer, shape: &str, postgres: &Client) {
    let issues = "SELECT 'issues ' || i.id FROM issues i JOIN projects p ON p.id = i.project WHERE p.open";
    let query = match shape {
        "plain" => "SELECT 'items ' || id FROM items".to_owned(),
        "chosen" => "SELECT 'items ' || id FROM items WHERE rank < 5".to_owned(),
        _ => format!("SELECT 'projects ' || id FROM projects WHERE open UNION ALL {issues}"),
    };
    let expected = ids(postgres, &format!("SELECT * FROM ({query}) q (id) ORDER BY id COLLATE \"C\"")).await;
    let mut found: Vec<_> = viewer.rows.keys().map(|(table, id)| format!("{table} {id}")).collect();
    found.sort();
    assert_eq!(found, expected, "{}", viewer.name);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restarted_service_gives_those_who_were_away_what_the_others_got() {
    let (database, postgres, mut running) = start_with_tables(&[]).await;
    let (mut present, mut away) = (Vec::new(), Vec::new());
    for (name, shape) in shapes() {
        present.push(Viewer::open(running.port, &format!("{name}-present"), shape.clone()).await);
        away.push(Viewer::open(running.port, &format!("{name}-away"), shape).await);
    }
    for round in 0..3 {
        work(&postgres, round).await;
    }
    finish(&postgres).await;
    for viewer in &mut present {
        viewer.finish().await;
    }
    within(running.service.stop()).await;
    let running = start(&database.url, TINY).await;
    for ((viewer, present), (name, _)) in away.iter_mut().zip(&present).zip(shapes()) {
        viewer.resume(running.port).await;
        viewer.finish().await;
        check(viewer, name, &postgres).await;
        assert_eq!(viewer.rows, present.rows, "{name}");
        if name != "joined" {
            // What comes with additional data may be newer for who comes later.
            let differs =
                viewer.transactions.iter().zip(&present.transactions).find(|(one, other)| one != other);
            assert!(viewer.transactions == present.transactions, "{name}: {differs:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_fit_in_memory_is_read_from_disk_while_others_go_on() {
    let (_database, postgres, running) = start_with_tables(TINY).await;
    let mut present = Viewer::open(running.port, "present", Select::from("items")).await;
    let mut away = Vec::new();
    for round in 0..3 {
        for (name, shape) in shapes() {
            away.push((name, Viewer::open(running.port, &format!("{name}-{round}"), shape).await));
        }
        work(&postgres, round).await;
    }
    for (_, viewer) in &mut away {
        viewer.resume(running.port).await;
    }
    finish(&postgres).await;
    present.finish().await;
    check(&present, "plain", &postgres).await;
    join_all(away.iter_mut().map(|(_, viewer)| viewer.finish())).await;
    for (name, viewer) in &away {
        check(viewer, name, &postgres).await;
    }
    let journal = journal_status(running.port).await;
    assert_eq!((&journal["kind"], &journal["state"]), (&"disk".into(), &"ok".into()), "{journal}");
    assert!(journal["memory"]["transactions"].as_u64().unwrap() < 20, "{journal}");
    assert!(journal["disk"]["bytes"].as_u64().unwrap() > 10_000, "{journal}");
}

/// What the status says of a part.
async fn status_of(port: u16, part: &str) -> serde_json::Value {
    let mut status: serde_json::Value =
        serde_json::from_slice(&get(port, "/api/status.json").await.body).expect("JSON");
    status[part].take()
}

/// What it says of the journal.
async fn journal_status(port: u16) -> serde_json::Value {
    status_of(port, "journal").await
}

/// Waits until a query is true.
async fn until(postgres: &Client, query: &str) {
    within(async {
        while !postgres.query_one(query, &[]).await.expect("an answer").get::<_, bool>(0) {
            tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The folder of a database.
async fn journal_of(postgres: &Client) -> String {
    let name = "SELECT system_identifier || '-' || oid FROM pg_control_system(), pg_database WHERE datname = current_database()";
    postgres.query_one(name, &[]).await.expect("an answer").get(0)
}

async fn wal_end(postgres: &Client) -> String {
    postgres.query_one("SELECT pg_current_wal_insert_lsn()::text", &[]).await.expect("an answer").get(0)
}

const SLOT: &str = "FROM pg_replication_slots WHERE database = current_database()";

#[tokio::test(flavor = "multi_thread")]
async fn postgres_keeps_no_log_for_what_is_on_disk() {
    let (_database, postgres, running) = start_with_tables(&[]).await;
    let slot = postgres.query_one(&format!("SELECT slot_name::text {SLOT}"), &[]).await.unwrap();
    assert_eq!(status_of(running.port, "slot").await["name"], slot.get::<_, &str>(0));
    work(&postgres, 0).await;
    let end = wal_end(&postgres).await;
    postgres.batch_execute("INSERT INTO items (id) VALUES ('more')").await.unwrap();
    until(&postgres, &format!("SELECT confirmed_flush_lsn >= '{end}' {SLOT}")).await;
    // Where the log has to begin follows, each time that Postgres writes down who is running.
    within(async {
        let moved = format!("SELECT restart_lsn >= '{end}' {SLOT}");
        while !postgres.query_one(&moved, &[]).await.unwrap().get::<_, bool>(0) {
            postgres
                .batch_execute("CHECKPOINT; INSERT INTO items (id) SELECT gen_random_uuid()")
                .await
                .unwrap();
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_its_journal_only_those_who_are_behind_the_slot_begin_anew() {
    let (database, postgres, mut running) = start_with_tables(&[]).await;
    let behind = Viewer::open(running.port, "behind", Select::from("items")).await;
    let resumed = behind.client.lsn.clone();
    drop(behind);
    let mut present = Viewer::open(running.port, "present", Select::from("items")).await;
    work(&postgres, 0).await;
    let end = wal_end(&postgres).await;
    postgres.batch_execute("INSERT INTO items (id, content) VALUES ('seen', 'x')").await.unwrap();
    while !present.rows.keys().any(|(_, id)| id == "seen") {
        present.take().await;
    }
    until(&postgres, &format!("SELECT confirmed_flush_lsn >= '{end}' {SLOT}")).await;
    // It is moved on to where the service stops.
    tokio::join!(present.see_it_out(), running.service.stop());
    std::fs::remove_dir_all(journals().join(journal_of(&postgres).await)).expect("a journal");
    postgres.batch_execute("INSERT INTO items (id, content) VALUES ('missed', 'x')").await.unwrap();

    let running = start(&database.url, &[]).await;
    present.resume(running.port).await;
    finish(&postgres).await;
    present.finish().await;
    check(&present, "plain", &postgres).await;
    let mut client = Satellite::sign_in(running.port, "behind", &unsigned_token("user")).await.unwrap();
    let subscriptions = vec![SUBSCRIPTION.to_owned()];
    let resume = Resume { lsn: resumed, subscriptions, ..Resume::default() };
    let refused = client.start_from(&resume).await.unwrap().err.expect("a refusal");
    assert_eq!(refused.message, "Cannot catch up to the server's current state");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_disk_the_slot_is_held_back_and_fills_the_window_again() {
    let memory_only = &[("TIELINE_DATA_DIR", "none")];
    let (database, postgres, mut running) = start_with_tables(memory_only).await;
    let mut away = Viewer::open(running.port, "away", Select::from("items")).await;
    work(&postgres, 0).await;
    stream_has_caught_up(running.port).await;
    let text = get(running.port, "/api/status.json").await.text();
    assert!(text.contains(r#""kind":"memory""#), "{text}");
    within(running.service.stop()).await;
    let running = start(&database.url, memory_only).await;
    away.resume(running.port).await;
    finish(&postgres).await;
    away.finish().await;
    check(&away, "plain", &postgres).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_stops_nobody_and_postgres_keeps_its_log_meanwhile() {
    let (_database, postgres, running) = start_with_tables(&[]).await;
    let mut viewer = Viewer::open(running.port, "viewer", Select::from("items")).await;
    let full = format!("return(full@{})", journal_of(&postgres).await);
    fail::cfg("journal::write", &full).expect("a failpoint");
    let before = wal_end(&postgres).await;
    work(&postgres, 0).await;
    finish(&postgres).await;
    viewer.finish().await;
    check(&viewer, "plain", &postgres).await;
    within(async { while journal_status(running.port).await["state"] == "ok" {} }).await;
    let status = journal_status(running.port).await;
    let state = status["state"].as_str().unwrap_or_default();
    assert!(state.contains("disk") && state.contains("full"), "{state}");
    assert!(status["disk"]["waiting"].as_u64() > Some(10_000), "{status}");
    let kept = format!("SELECT confirmed_flush_lsn <= '{before}' {SLOT}");
    assert!(postgres.query_one(&kept, &[]).await.unwrap().get::<_, bool>(0), "{status}");

    let end = wal_end(&postgres).await;
    fail::remove("journal::write");
    postgres.batch_execute("INSERT INTO items (id) VALUES ('more')").await.unwrap();
    until(&postgres, &format!("SELECT confirmed_flush_lsn >= '{end}' {SLOT}")).await;
    let status = journal_status(running.port).await;
    assert_eq!(status["state"], "ok", "{status}");
}

//! The schema changes while one client is there and another is away.

use node_client::{LocalDatabase, NodeClient};
use protocol::{ErrorCode, Message, ReplicationErrorCode};
use serde_json::{Value, json};
use testkit::{
    Satellite,
    satellite::{Op, Resume, unsigned_token},
};

use super::service::{ITEMS, Service, has, id, items};

const TABLES: &str = "
CREATE TYPE mood AS ENUM ('happy', 'sad');
CREATE TABLE people (id uuid PRIMARY KEY, name text NOT NULL, a_mood mood);
CREATE TABLE tags (id uuid PRIMARY KEY, label text);
CREATE TABLE things (id uuid PRIMARY KEY, size int4, owner uuid REFERENCES people (id));
CALL electric.electrify('people');
CALL electric.electrify('tags');
CALL electric.electrify('things')";

/// As the app that was built before all this knows them.
fn described() -> Value {
    json!({
        "people": { "id": "UUID", "name": "TEXT", "a_mood": "TEXT" },
        "tags": { "id": "UUID", "label": "TEXT" },
        "things": { "id": "UUID", "size": "INT4", "owner": "UUID -> people.id" },
        "notes": { "id": "UUID", "body": "TEXT" },
    })
}

const ALL: [&str; 4] = ["people", "tags", "things", "notes"];

/// The columns of a table and its rows, in one text each.
async fn in_postgres(service: &Service, table: &str) -> (String, String) {
    let columns = "SELECT string_agg(attname, ',' ORDER BY attnum) FROM pg_attribute \
        WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped";
    let columns: String = service.postgres.query_one(columns, &[&table]).await.unwrap().get(0);
    let rows = format!(
        "SELECT coalesce(string_agg(r, ';' ORDER BY r), '') FROM ({}) rows",
        row_texts(&columns, table)
    );
    (columns, service.postgres.query_one(&rows, &[]).await.unwrap().get(0))
}

fn row_texts(columns: &str, table: &str) -> String {
    let values: Vec<String> =
        columns.split(',').map(|c| format!("coalesce(CAST({c} AS text), '~')")).collect();
    format!("SELECT {} AS r FROM {table}", values.join(" || ',' || "))
}

/// The versions that a client has applied, in its order.
async fn applied(client: &NodeClient) -> Vec<String> {
    let rows = client
        .sql("SELECT version FROM _electric_migrations WHERE version <> '0' ORDER BY id", &[])
        .await
        .unwrap();
    rows.as_array().unwrap().iter().map(|row| row["version"].as_str().unwrap().to_owned()).collect()
}

/// The versions that there are.
async fn recorded(service: &Service) -> Vec<String> {
    let sql = "SELECT version FROM electric.ddl_commands GROUP BY version ORDER BY min(id)";
    service.postgres.query(sql, &[]).await.unwrap().iter().map(|row| row.get(0)).collect()
}

/// Waits until a table of the local database has the columns and rows that it has in Postgres.
async fn wait_for_same(service: &Service, client: &NodeClient, kind: LocalDatabase, table: &str) {
    let (columns, rows) = in_postgres(service, table).await;
    let (schema, list) = match kind {
        LocalDatabase::Sqlite => {
            (format!("SELECT group_concat(name) FROM pragma_table_info('{table}')"), "group_concat(r, ';')")
        }
        LocalDatabase::Pglite => (
            format!(
                "SELECT string_agg(column_name, ',' ORDER BY ordinal_position) FROM information_schema.columns WHERE table_name = '{table}'"
            ),
            "string_agg(r, ';' ORDER BY r)",
        ),
    };
    client.wait(format!("SELECT ({schema}) = '{columns}'")).await.unwrap();
    let texts = row_texts(&columns, table);
    let same = format!(
        "SELECT coalesce({list}, '') = '{rows}' FROM (SELECT * FROM ({texts}) texts ORDER BY r) ordered"
    );
    if let Err(error) = client.wait(&same).await {
        let local = client.sql(&texts, &[]).await;
        panic!("{table}: {error}\nPostgres: {rows}\nhere: {local:?}");
    }
}

async fn a_changing_schema(kind: LocalDatabase) {
    let service = Service::insecure().await;
    service.sql(TABLES).await;
    let start = async |name: &str| {
        let client = service.client_over(kind, name, &described()).await;
        client.connect(&unsigned_token(name)).await.unwrap();
        client
    };
    let fill = format!(
        "INSERT INTO people VALUES ('{0}', 'Ada', 'happy'), ('{1}', 'Bob', NULL);
         INSERT INTO tags VALUES ('{0}', 'red'), ('{1}', 'green');
         INSERT INTO things VALUES ('{0}', 1, '{0}'), ('{1}', 2, '{1}')",
        id(1),
        id(2)
    );
    service.sql(&fill).await;
    let live = start("live").await;
    let away = start("away").await;
    for client in [&live, &away] {
        client.sync(&["people"]).await.unwrap();
        client.sync(&["tags"]).await.unwrap();
        client.sync(&["things"]).await.unwrap();
    }
    away.disconnect().await.unwrap();

    // A table, columns, an index, a label; with rows.
    service
        .sql("CREATE TABLE notes (id uuid PRIMARY KEY, body text); CALL electric.electrify('notes')")
        .await;
    service.sql(&format!("INSERT INTO notes VALUES ('{}', 'new')", id(1))).await;
    service.sql("ALTER TABLE people ADD COLUMN age int4, ADD COLUMN nick text").await;
    service.sql("UPDATE people SET age = 36, nick = 'A.' WHERE name = 'Ada'").await;
    service.sql("CREATE INDEX people_nick ON people (nick)").await;
    service.sql("ALTER TYPE mood ADD VALUE 'meh' BEFORE 'sad'").await;
    service.sql(&format!("INSERT INTO people VALUES ('{}', 'Cid', 'meh', 7, NULL)", id(3))).await;
    live.sync(&["notes"]).await.unwrap();
    for table in ALL {
        wait_for_same(&service, &live, kind, table).await;
    }

    // Out of the sync: the others go on, and nothing of it comes any more.
    service.sql("CALL electric.disable('tags')").await;
    service
        .sql(&format!(
            "DELETE FROM tags WHERE id = '{0}'; INSERT INTO tags VALUES ('{1}', 'blue')",
            id(1),
            id(3)
        ))
        .await;
    service.sql("UPDATE people SET nick = 'B.' WHERE name = 'Bob'").await;
    wait_for_same(&service, &live, kind, "people").await;
    live.wait(format!("SELECT count(*) = 1 FROM tags WHERE id = '{}'", id(1))).await.unwrap();
    let refused =
        live.sync_table("tags", json!({ "where": { "label": "blue" } })).await.unwrap_err().to_string();
    assert!(refused.contains("tags"), "{refused}");

    // And back: nobody has to ask for it again.
    service.sql("CALL electric.electrify('tags')").await;
    wait_for_same(&service, &live, kind, "tags").await;
    service.sql("UPDATE tags SET label = 'blau' WHERE label = 'blue'").await;
    wait_for_same(&service, &live, kind, "tags").await;

    // Dropped, and made anew as something else.
    service.sql("BEGIN; SET LOCAL electric.bypass_guards = on; DROP TABLE things; COMMIT").await;
    service
        .sql("CREATE TABLE things (id uuid PRIMARY KEY, title text, person uuid REFERENCES people (id))")
        .await;
    service.sql(&format!("INSERT INTO things VALUES ('{0}', 'first', '{0}')", id(1))).await;
    service.sql("CALL electric.electrify('things')").await;
    for table in ALL {
        wait_for_same(&service, &live, kind, table).await;
    }

    away.connect(&unsigned_token("away")).await.unwrap();
    away.sync(&["notes"]).await.unwrap();
    for table in ALL {
        wait_for_same(&service, &away, kind, table).await;
    }
    // A client that comes when all is over has the same.
    let late = start("late").await;
    for table in ALL {
        late.sync(&[table]).await.unwrap();
        wait_for_same(&service, &late, kind, table).await;
    }
    // All have applied the same versions, also those that had nothing for clients: an app's bundle is compared with them.
    for client in [&live, &away, &late] {
        assert_eq!(applied(client).await, recorded(&service).await);
    }
    late.close().await.unwrap();

    for (n, client) in [(5, &live), (6, &away)] {
        let key = id(n);
        for write in [
            format!(
                "INSERT INTO people (id, name, a_mood, age, nick) VALUES ('{key}', 'Eve', 'meh', 1, 'E.')"
            ),
            format!("INSERT INTO tags VALUES ('{key}', 'from a client')"),
            format!("INSERT INTO things VALUES ('{key}', 'from a client', '{key}')"),
            format!("INSERT INTO notes VALUES ('{key}', 'from a client')"),
            "UPDATE notes SET body = body || '!'".to_owned(),
        ] {
            client.sql(&write, &[]).await.unwrap();
        }
        for table in ALL {
            service.wait(&format!("SELECT count(*) = 1 FROM {table} WHERE id = '{key}'")).await;
        }
        service
            .wait(&format!("SELECT count(*) = 1 FROM notes WHERE body = 'from a client!' AND id = '{key}'"))
            .await;
    }
    for client in [&live, &away] {
        for table in ALL {
            wait_for_same(&service, client, kind, table).await;
        }
    }
    for client in [live, away] {
        assert_eq!(client.uncaught(), None);
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_over_sqlite_follow_a_changing_schema_live_and_when_they_come_back() {
    a_changing_schema(LocalDatabase::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn clients_over_pglite_follow_a_changing_schema_live_and_when_they_come_back() {
    a_changing_schema(LocalDatabase::Pglite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_rolled_back_never_was() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    let client = service.client("alice", &items()).await;
    client.connect(&unsigned_token("alice")).await.unwrap();
    client.sync(&["items"]).await.unwrap();
    service
        .sql("BEGIN; CREATE TABLE never (id uuid PRIMARY KEY); CALL electric.electrify('never'); ROLLBACK")
        .await;
    service.sql("BEGIN; ALTER TABLE items ADD COLUMN never text; ROLLBACK").await;
    service.sql("BEGIN; CALL electric.disable('items'); ROLLBACK").await;
    // The second half fails, so there is no first.
    for half_way in [
        "ALTER TABLE items ADD COLUMN never text; SELECT 1 / 0",
        "ALTER TABLE items ADD COLUMN never text, ADD COLUMN id text",
        "CREATE TABLE never (id uuid PRIMARY KEY); CALL electric.electrify('never'); CALL electric.electrify('nothing')",
    ] {
        service.postgres.batch_execute(half_way).await.unwrap_err();
    }
    service.sql("CREATE TABLE after (id uuid PRIMARY KEY); CALL electric.electrify('after')").await;
    service.sql(&format!("INSERT INTO items VALUES ('{}', 'after', 1)", id(1))).await;
    client.wait(has(1, "after")).await.unwrap();
    client.wait("SELECT count(*) = 1 FROM sqlite_master WHERE name = 'after'").await.unwrap();
    let found = "SELECT count(*) = 0 FROM sqlite_master WHERE name = 'never' OR sql LIKE '%never%'";
    client.wait(found).await.unwrap();
    client.wait("SELECT count(*) = 3 FROM _electric_migrations").await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn sessions_that_electrify_at_once_all_reach_clients() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    let client = service.client("alice", &items()).await;
    client.connect(&unsigned_token("alice")).await.unwrap();
    client.sync(&["items"]).await.unwrap();
    let mut sessions = tokio::task::JoinSet::new();
    for n in 0..8 {
        let url = service.database_url();
        sessions.spawn(async move {
            let (session, connection) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await.unwrap();
            tokio::spawn(connection);
            let sql = format!(
                "BEGIN; CREATE TABLE t{n} (id uuid PRIMARY KEY); CALL electric.electrify('t{n}');
                 CREATE TABLE u{n} (id uuid PRIMARY KEY, t uuid REFERENCES t{n}); CALL electric.electrify('u{n}'); COMMIT;
                 ALTER TABLE t{n} ADD COLUMN more text"
            );
            session.batch_execute(&sql).await.unwrap();
        });
    }
    while let Some(done) = sessions.join_next().await {
        done.unwrap();
    }
    for n in 0..8 {
        client.wait(format!("SELECT count(*) = 2 FROM pragma_table_info('t{n}')")).await.unwrap();
        client.wait(format!("SELECT count(*) = 2 FROM pragma_table_info('u{n}')")).await.unwrap();
    }
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_tables_go_on_when_one_is_dropped_under_its_subscribers() {
    let service = Service::insecure().await;
    service.sql(TABLES).await;
    service
        .sql(&format!("INSERT INTO people VALUES ('{0}', 'Ada'); INSERT INTO tags VALUES ('{0}', 'red'); INSERT INTO things VALUES ('{0}', 1, '{0}')", id(1)))
        .await;
    let client = service.client("alice", &described()).await;
    client.connect(&unsigned_token("alice")).await.unwrap();
    // One shape with all that hangs together, and one beside it.
    client.sync_table("people", json!({ "include": { "things": true } })).await.unwrap();
    client.sync(&["tags"]).await.unwrap();
    // Past every guard, too: it is found out.
    for (n, drop) in
        ["BEGIN; SET LOCAL electric.bypass_guards = on; DROP TABLE things; COMMIT", ""].iter().enumerate()
    {
        match drop {
            &"" => service.unguarded("DROP TABLE tags").await,
            drop => service.sql(drop).await,
        }
        let name = format!("Eve {n}");
        service.sql(&format!("INSERT INTO people VALUES ('{}', '{name}')", id(10 + n as u32))).await;
        client.wait(format!("SELECT count(*) = 1 FROM people WHERE name = '{name}'")).await.unwrap();
        client
            .sql("INSERT INTO people (id, name) VALUES (?, 'local')", &[id(20 + n as u32).into()])
            .await
            .unwrap();
        service.wait(&format!("SELECT count(*) = 1 FROM people WHERE id = '{}'", id(20 + n as u32))).await;
    }
    // What the client had, it has.
    client
        .wait("SELECT (SELECT count(*) FROM things) = 1 AND (SELECT count(*) FROM tags) = 1")
        .await
        .unwrap();
    service
        .wait("SELECT count(*) = 0 FROM electric.electrified WHERE table_name IN ('things', 'tags')")
        .await;
    for table in ["things", "tags"] {
        let refused =
            client.sync_table(table, json!({ "where": { "id": id(1) } })).await.unwrap_err().to_string();
        assert!(refused.contains("Unknown table") || refused.contains(table), "{refused}");
    }
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_to_a_table_that_left_the_sync_is_refused_by_name_and_those_before_it_are_not() {
    let service = Service::insecure().await;
    service.sql(TABLES).await;
    let mut observer = Satellite::open(service.port, "observer", &unsigned_token("bob")).await.unwrap();
    observer.subscribe(id(90).leak(), &["people"]).await.unwrap();
    observer.data_of(id(90).leak()).await.unwrap();
    // The service knows of it when it has passed on what came later.
    service.sql("CALL electric.disable('tags')").await;
    service.sql(&format!("INSERT INTO people VALUES ('{}', 'later')", id(9))).await;
    while observer.next_transaction().await.unwrap().1.is_empty() {}
    let mut client = Satellite::open(service.port, "writer", &unsigned_token("alice")).await.unwrap();
    client.announce(1, "people", &["id", "name"]).await.unwrap();
    client.announce(2, "tags", &["id", "label"]).await.unwrap();
    let (one, two): (&'static str, &'static str) = (id(1).leak(), id(2).leak());
    let row = |key: &'static str| [Some(key.as_bytes()), Some(b"x".as_slice())];
    client.write(vec![Satellite::insert(1, &row(one), &[])]).await.unwrap();
    client.write(vec![Satellite::insert(2, &row(two), &[])]).await.unwrap();
    let (errors, closed) = client.closed().await.unwrap();
    let [Message::Error(error)] = errors.as_slice() else { panic!("{errors:?}") };
    assert_eq!((error.error_type(), closed.code), (ErrorCode::InvalidRequest, Some(1007)));
    assert!(error.message().contains("\"tags\"") && error.message().contains("not synced"), "{error:?}");
    let refused = error.lsn.as_ref().unwrap().iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
    assert_eq!(refused, 2);
    service.wait(&format!("SELECT count(*) = 1 FROM people WHERE id = '{}'", id(1))).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_of_an_older_schema_gets_what_it_lacks_and_one_of_an_unknown_schema_is_told() {
    let service = Service::insecure().await;
    service.sql(ITEMS).await;
    let known = service
        .postgres
        .query_one("SELECT max(version)::text FROM electric.migration_versions", &[])
        .await
        .unwrap();
    let known: String = known.get(0);
    for n in 0..45 {
        service
            .sql(&format!("CREATE TABLE t{n} (id uuid PRIMARY KEY); CALL electric.electrify('t{n}')"))
            .await;
    }
    let token = unsigned_token("alice");
    let mut client = Satellite::sign_in(service.port, "older", &token).await.unwrap();
    client.start_from(&Resume { schema_version: Some(known), ..Resume::default() }).await.unwrap();
    for n in 0..45 {
        let (begin, ops) = client.next_transaction().await.unwrap();
        let [Op::Migrate(migrate)] = &ops[..] else { panic!("{ops:?}") };
        assert!(begin.is_migration && migrate.stmts[0].sql.contains(&format!("\"t{n}\"")), "{migrate:?}");
        client.ack(&begin).await.unwrap();
    }
    client.close().await;

    let mut client = Satellite::sign_in(service.port, "unknown", &token).await.unwrap();
    let unknown = Resume { schema_version: Some("20010101000000_000".to_owned()), ..Resume::default() };
    let started = client.start_from(&unknown).await.unwrap();
    assert_eq!(started.err.unwrap().code(), ReplicationErrorCode::UnknownSchemaVsn);
    let (_, closed) = client.closed().await.unwrap();
    assert_eq!(closed.code, Some(1007));

    // The real one, with more than fit the window.
    let client = service.client("alice", &items()).await;
    client.connect(&token).await.unwrap();
    client.wait("SELECT count(*) = 46 FROM _electric_migrations WHERE version <> '0'").await.unwrap();
    client.close().await.unwrap();
}

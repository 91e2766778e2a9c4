//! Tables of all shapes with the real client, over SQLite and over PGlite: what Postgres makes and checks by itself, and names
//! that are hard to bear.

use std::time::{Duration, Instant};

use node_client::{LocalDatabase, NodeClient};
use protocol::{ErrorCode, Message};
use serde_json::{Value, json};
use testkit::{Satellite, unsigned_token};

use super::{http, service::Service};

/// One client of each kind, connected.
async fn two(service: &Service, tables: &Value) -> [NodeClient; 2] {
    let sqlite = service.client("alice", tables).await;
    let pglite = service.client_over(LocalDatabase::Pglite, "bob", tables).await;
    for (client, user) in [(&sqlite, "alice"), (&pglite, "bob")] {
        client.connect(&unsigned_token(user)).await.unwrap();
    }
    [sqlite, pglite]
}

/// What a client said before it gave up, as it does when a transaction of its own is refused.
async fn gave_up(client: &NodeClient) -> String {
    let until = Instant::now() + Duration::from_secs(15);
    loop {
        if let Some(error) = client.uncaught() {
            return error;
        }
        assert!(Instant::now() < until, "the client was not told");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

const THINGS: &str = "
    CREATE TYPE mood AS ENUM ('glad', 'sad');
    CREATE TABLE things (
        id serial PRIMARY KEY, num int GENERATED ALWAYS AS IDENTITY, who text NOT NULL DEFAULT 'it''s nobody', n int NOT NULL DEFAULT -3,
        ok bool DEFAULT true, share float8 DEFAULT 0.5, note jsonb DEFAULT '{\"a\": [1]}', feeling mood DEFAULT 'sad',
        day date DEFAULT '2024-02-29', made timestamptz NOT NULL DEFAULT now(), made_by text DEFAULT current_user
    );
    CALL electric.electrify('things');";

#[tokio::test(flavor = "multi_thread")]
async fn defaults_serial_and_identity_columns() {
    let service = Service::insecure().await;
    service.sql(THINGS).await;
    let tables = json!({ "things": {
        "id": "INT4", "num": "INT4", "who": "TEXT", "n": "INT4", "ok": "BOOL", "share": "FLOAT8", "note": "JSONB",
        "feeling": "TEXT", "day": "DATE", "made": "TIMESTAMPTZ", "made_by": "TEXT"
    } });
    let clients = two(&service, &tables).await;
    for client in &clients {
        client.sync(&["things"]).await.unwrap();
    }
    service.sql("INSERT INTO things DEFAULT VALUES").await;
    for client in &clients {
        client
            .wait(
                "SELECT count(*) = 1 FROM things WHERE id = 1 AND num = 1 AND n = -3 AND made_by IS NOT NULL",
            )
            .await
            .unwrap();
    }
    // Literals are the clients' defaults too; what Postgres computes they leave out or give themselves.
    let insert = "INSERT INTO things (id, num, made) VALUES (100, 50, '2024-01-01 00:00:00.000Z')";
    clients[0].sql(insert, &[]).await.unwrap();
    clients[1].sql(&insert.replace("100, 50", "200, 60"), &[]).await.unwrap();
    service
        .wait(
            "SELECT count(*) = 2 FROM things WHERE id >= 100 AND num IN (50, 60) AND who = 'it''s nobody' AND n = -3 AND ok
             AND share = 0.5 AND note = '{\"a\": [1]}' AND feeling = 'sad' AND day = '2024-02-29' AND made_by IS NULL",
        )
        .await;
    // Only Postgres changes the values of an identity column that is GENERATED ALWAYS: the client's change is undone.
    clients[0].wait("SELECT count(*) = 3 FROM things").await.unwrap();
    clients[0].sql("UPDATE things SET num = 99, n = 5 WHERE id = 200", &[]).await.unwrap();
    for client in &clients {
        client.wait("SELECT count(*) = 1 FROM things WHERE id = 200 AND num = 60 AND n = 5").await.unwrap();
        client.wait("SELECT count(*) = 0 FROM _electric_oplog").await.unwrap();
    }
    // The sequence has not moved.
    service.sql("INSERT INTO things DEFAULT VALUES").await;
    service.wait("SELECT count(*) = 1 FROM things WHERE id = 2").await;
    for client in clients {
        client.wait("SELECT count(*) = 4 FROM things").await.unwrap();
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_constraint_is_its_authors_alone() {
    let service = Service::insecure().await;
    service
        .sql(
            "CREATE TABLE accounts (
                id int PRIMARY KEY, email text CONSTRAINT one_account UNIQUE, age int CONSTRAINT grown_up CHECK (age > 17),
                code text CONSTRAINT code_once UNIQUE DEFERRABLE INITIALLY DEFERRED
             );
             CREATE FUNCTION upper_code() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.code = upper(NEW.code); RETURN NEW; END $$;
             CREATE TRIGGER b BEFORE INSERT OR UPDATE ON accounts FOR EACH ROW EXECUTE FUNCTION upper_code();
             CALL electric.electrify('accounts'); INSERT INTO accounts VALUES (1, 'a@x', 20, 'taken')",
        )
        .await;
    let tables = json!({ "accounts": { "id": "INT4", "email": "TEXT", "age": "INT4", "code": "TEXT" } });
    let watcher = service.client("watcher", &tables).await;
    watcher.connect(&unsigned_token("watcher")).await.unwrap();
    watcher.sync(&["accounts"]).await.unwrap();
    for (n, (kind, bad, constraint)) in [
        (LocalDatabase::Sqlite, "'a@x', 21, 'c'", "one_account"),
        (LocalDatabase::Pglite, "'b@x', 5, 'c'", "grown_up"),
        (LocalDatabase::Sqlite, "'b@x', 21, 'Taken'", "code_once"),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("author{n}");
        let author = service.client_over(kind, &name, &tables).await;
        author.connect(&unsigned_token(&name)).await.unwrap();
        author.sync(&["accounts"]).await.unwrap();
        let good = 10 + 10 * n;
        author
            .sql(&format!("INSERT INTO accounts VALUES ({good}, 'ok{n}@x', 18, 'ok{n}')"), &[])
            .await
            .unwrap();
        // The trigger's change comes back to its author as well.
        for client in [&author, &watcher] {
            client
                .wait(format!("SELECT count(*) = 1 FROM accounts WHERE id = {good} AND code = 'OK{n}'"))
                .await
                .unwrap();
        }
        let _ = author.sql(&format!("INSERT INTO accounts VALUES ({}, {bad})", good + 1), &[]).await;
        // All that this client says of it; the service's own words are below.
        let error = gave_up(&author).await;
        assert!(error.contains("Fatal error: server error"), "{error}");
        // What was written before, and after, by others is untouched.
        let position = "SELECT count(*) = 1 FROM accounts WHERE id = ";
        service.wait(&format!("{position}{good}")).await;
        let mut scripted =
            Satellite::open(service.port, &format!("scripted{n}"), &unsigned_token("eve")).await.unwrap();
        scripted.announce(1, "accounts", &["id", "email", "age", "code"]).await.unwrap();
        let given: Vec<String> = bad.split(", ").map(|value| value.trim_matches('\'').to_owned()).collect();
        let values: Vec<Option<&[u8]>> = [Some(&b"4711"[..])]
            .into_iter()
            .chain(given.iter().map(|value| Some(value.as_bytes())))
            .collect();
        scripted.write_at(7, 1000, vec![Satellite::insert(1, &values, &[])]).await.unwrap();
        let (messages, _) = scripted.closed().await.unwrap();
        let error = messages.iter().find_map(|message| match message {
            Message::Error(error) => Some(error),
            _ => None,
        });
        let error = error.unwrap();
        assert_eq!(
            (error.error_type(), error.lsn.as_deref()),
            (ErrorCode::InvalidRequest, Some(&7u32.to_be_bytes()[..]))
        );
        let message = error.message.as_deref().unwrap_or_default();
        assert!(message.contains(constraint) && message.contains("accounts"), "{message}");
        assert!(
            !message.contains("4711") && given.iter().all(|value| !message.contains(&format!("={value}"))),
            "{message}"
        );
    }
    service.sql("INSERT INTO accounts VALUES (99, 'z@x', 30, 'z')").await;
    watcher.wait("SELECT count(*) = 1 FROM accounts WHERE id = 99").await.unwrap();
    watcher.wait("SELECT count(*) = 5 FROM accounts").await.unwrap();
    watcher.close().await.unwrap();
}

/// Names that mean something in SQL, in the service's own statements or in the client's, and yet make the round trip.
const FINE: [&str; 44] = [
    "_x",
    "_tags",
    "_tag",
    "_image",
    "_base",
    "_tag_x",
    "tag",
    "tags",
    "this",
    "native",
    "epoch",
    "nested",
    "s",
    "u",
    "t",
    "n",
    "m",
    "r",
    "w",
    "c0",
    "c1",
    "given",
    "marked",
    "buried",
    "excluded",
    "shadow",
    "strict",
    "tg_op",
    "into_",
    "begin_",
    "rowid",
    "oid_",
    "key",
    "type",
    "text",
    "primarykey",
    "namespace",
    "tablename",
    "optype",
    "newrow",
    "flag_value",
    "meta_value",
    "value",
    "lsn",
];

#[tokio::test(flavor = "multi_thread")]
async fn columns_named_like_everything() {
    let service = Service::insecure().await;
    let columns: Vec<String> = FINE.iter().map(|name| format!("\"{name}\" text")).collect();
    service
        .sql(&format!("CREATE TABLE named (new int, {}, old int, PRIMARY KEY (old, new)); CALL electric.electrify('named')", columns.join(", ")))
        .await;
    let mut described: serde_json::Map<_, _> =
        FINE.iter().map(|name| ((*name).to_owned(), json!("TEXT"))).collect();
    described.insert("new".into(), json!("INT4"));
    described.insert("old".into(), json!("INT4"));
    let tables = json!({ "named": described });
    let clients = two(&service, &tables).await;
    let list = FINE.map(|name| format!("\"{name}\"")).join(", ");
    let values = FINE.map(|name| format!("'{name}'")).join(", ");
    let whole = FINE.map(|name| format!("\"{name}\" = '{name}'")).join(" AND ");
    let insert = |key: u32| format!("INSERT INTO named (new, old, {list}) VALUES ({key}, 1, {values})");
    service.sql(&insert(1)).await;
    for (client, key) in clients.iter().zip(2..) {
        client.sync(&["named"]).await.unwrap();
        client.wait(format!("SELECT count(*) = 1 FROM named WHERE new = 1 AND {whole}")).await.unwrap();
        client.sql(&insert(key), &[]).await.unwrap();
    }
    let all = format!("SELECT count(*) = 3 FROM named WHERE {whole}");
    service.wait(&all).await;
    for client in &clients {
        client.wait(&all).await.unwrap();
    }
    let set = FINE.map(|name| format!("\"{name}\" = 'changed'")).join(", ");
    service.sql(&format!("UPDATE named SET {set} WHERE new = 1")).await;
    clients[0].sql(&format!("UPDATE named SET {set} WHERE new = 2"), &[]).await.unwrap();
    clients[1].sql(&format!("UPDATE named SET {set} WHERE new = 3"), &[]).await.unwrap();
    let changed = FINE.map(|name| format!("\"{name}\" = 'changed'")).join(" AND ");
    for client in &clients {
        client.wait(format!("SELECT count(*) = 3 FROM named WHERE {changed}")).await.unwrap();
    }
    clients[0].sql("DELETE FROM named WHERE new = 3", &[]).await.unwrap();
    service.sql("DELETE FROM named WHERE new = 2").await;
    service.wait("SELECT count(*) = 1 FROM named").await;
    for client in clients {
        client.wait("SELECT count(*) = 1 FROM named").await.unwrap();
        client.close().await.unwrap();
    }
}

/// Tables of any name can be electrified and written in Postgres; those that would break clients are kept from them, the status says
/// so, and the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn tables_that_clients_can_not_have_harm_nobody() {
    let service = Service::insecure().await;
    let long = "l".repeat(60);
    let tables: Vec<(String, &str, bool)> = [
        ("plain", "v", true),
        ("order", "v", true),
        ("Upper", "Mixed", true),
        ("keywords", "select", true),
        ("spaced", "two words", true),
        ("umlaut", "größe", true),
        ("dotted", "a.b", true),
        ("signs", "100% ?;--/*", true),
        ("backslash", r"a\b", true),
        ("dollar", "$1", true),
        ("_leading", "_v", true),
        (&long, "v", true),
        ("two words", "v", false),
        ("größe", "v", false),
        ("1st", "v", false),
        ("da-sh", "v", false),
        ("quo\"te", "v", false),
        ("PLAIN", "v", false),
        ("_electric_x", "v", false),
        ("sqlite_x", "v", false),
        ("apostrophe", "it's", false),
        ("quotes", "a\"b", false),
        ("dollars", "a$$b", false),
        ("lines", "a\nb", false),
        ("cases", "ID", false),
    ]
    .map(|(table, column, fine)| (table.to_owned(), column, fine))
    .into();
    let quote = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    for (table, column, _) in &tables {
        service
            .sql(&format!(
                "CREATE TABLE {0} (id int PRIMARY KEY, {1} text); CALL electric.electrify('public', '{2}');
                 INSERT INTO {0} VALUES (1, 'a'), (2, 'b'); UPDATE {0} SET {1} = 'c' WHERE id = 1; DELETE FROM {0} WHERE id = 2",
                quote(table),
                quote(column),
                table.replace('\'', "''")
            ))
            .await;
    }
    let clients = two(&service, &json!({ "plain": { "id": "INT4", "v": "TEXT" } })).await;
    for client in &clients {
        client.sync(&["plain"]).await.unwrap();
        client.wait("SELECT count(*) = 1 FROM plain WHERE v = 'c'").await.unwrap();
    }
    let has = |table: &str| {
        let table = table.replace('\'', "''");
        [
            format!("SELECT count(*) > 0 FROM sqlite_master WHERE type = 'table' AND name = '{table}'"),
            format!(
                "SELECT count(*) > 0 FROM pg_tables WHERE schemaname = 'public' AND tablename = '{table}'"
            ),
        ]
    };
    for (table, _, fine) in &tables {
        for (client, query) in clients.iter().zip(has(table)) {
            if *fine {
                client.wait(&query).await.unwrap();
            } else {
                client.wait(query.replace("> 0", "= 0")).await.unwrap();
            }
        }
    }
    let status = http::get(service.port, "/api/status.json").await;
    let status: Value = serde_json::from_str(status.text()).unwrap();
    let held_back: Vec<&str> = status["schema"]["held_back"]
        .as_array()
        .unwrap()
        .iter()
        .map(|t| t["table"].as_str().unwrap())
        .collect();
    let expected: Vec<&str> = tables.iter().filter(|t| !t.2).map(|t| t.0.as_str()).collect();
    assert_eq!(held_back, expected);
    for client in clients {
        client.close().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_between_tables_partitions_and_indexes() {
    let service = Service::insecure().await;
    service
        .sql(
            "CREATE TABLE places (country text, town text, name text, code text UNIQUE, PRIMARY KEY (town, country));
             CREATE TABLE people (
                id int PRIMARY KEY, country text, town text, boss int REFERENCES people, birthplace text REFERENCES places (code),
                FOREIGN KEY (country, town) REFERENCES places (country, town) ON DELETE SET NULL
             );
             CREATE TABLE a (id int PRIMARY KEY, b int); CREATE TABLE b (id int PRIMARY KEY, a int REFERENCES a ON DELETE CASCADE);
             ALTER TABLE a ADD FOREIGN KEY (b) REFERENCES b DEFERRABLE INITIALLY DEFERRED;
             CREATE TABLE events (id int, at date, PRIMARY KEY (id, at)) PARTITION BY RANGE (at);
             CREATE TABLE events_2024 PARTITION OF events FOR VALUES FROM ('2024-01-01') TO ('2025-01-01');
             CREATE INDEX ON places USING gin (to_tsvector('simple', name)); CREATE INDEX ON places (lower(name) DESC NULLS LAST);
             CREATE INDEX ON places USING hash (name); CREATE INDEX ON places (name text_pattern_ops) INCLUDE (code) WHERE name <> '';
             CREATE INDEX ON places (name COLLATE \"C\", (length(name)));
             BEGIN; CALL electric.electrify('places'); CALL electric.electrify('people'); CALL electric.electrify('b');
             CALL electric.electrify('a'); CALL electric.electrify('events_2024'); COMMIT;
             INSERT INTO places VALUES ('de', 'Ulm', 'x', 'ulm'); INSERT INTO people VALUES (1, 'de', 'Ulm', 1, 'ulm');
             INSERT INTO events VALUES (1, '2024-05-05')",
        )
        .await;
    let tables = json!({
        "places": { "country": "TEXT", "town": "TEXT", "name": "TEXT", "code": "TEXT" },
        "people": { "id": "INT4", "country": "TEXT", "town": "TEXT", "boss": "INT4", "birthplace": "TEXT" },
        "a": { "id": "INT4", "b": "INT4" },
        "b": { "id": "INT4", "a": "INT4" },
        "events_2024": { "id": "INT4", "at": "DATE" },
    });
    let clients = two(&service, &tables).await;
    for client in &clients {
        client.sync(&["places", "people", "a", "b", "events_2024"]).await.unwrap();
        client
            .wait("SELECT count(*) = 1 FROM people WHERE country = 'de' AND boss = 1 AND birthplace = 'ulm'")
            .await
            .unwrap();
        client.wait("SELECT count(*) = 1 FROM events_2024 WHERE id = 1").await.unwrap();
    }
    for (n, client) in (2..).zip(&clients) {
        for sql in [
            format!("INSERT INTO places VALUES ('de', 'Town{n}', 'y', 'code{n}')"),
            format!("INSERT INTO people VALUES ({n}, 'de', 'Town{n}', 1, 'code{n}')"),
            format!("INSERT INTO a VALUES ({n}, NULL)"),
            format!("INSERT INTO b VALUES ({n}, {n})"),
            format!("UPDATE a SET b = {n} WHERE id = {n}"),
            format!("INSERT INTO events_2024 VALUES ({n}, '2024-12-31')"),
        ] {
            client.sql(&sql, &[]).await.unwrap();
        }
    }
    service.wait("SELECT count(*) = 3 FROM people").await;
    service.wait("SELECT count(*) = 2 FROM a JOIN b ON a.id = b.a AND b.id = a.b").await;
    service.wait("SELECT count(*) = 3 FROM events").await;
    service.sql("UPDATE events SET at = '2024-06-06' WHERE id = 1; UPDATE people SET boss = 2; DELETE FROM places WHERE town = 'Town3' AND false").await;
    for client in clients {
        client.wait("SELECT count(*) = 3 FROM people WHERE boss = 2").await.unwrap();
        client.wait("SELECT count(*) = 1 FROM events_2024 WHERE at = '2024-06-06'").await.unwrap();
        client.wait("SELECT count(*) = 2 FROM a JOIN b ON a.id = b.a AND b.id = a.b").await.unwrap();
        client.close().await.unwrap();
    }
}

/// Clients over PGlite can't write so many columns, but read them.
#[tokio::test(flavor = "multi_thread")]
async fn two_hundred_columns() {
    let service = Service::insecure().await;
    let columns: Vec<String> = (1..200).map(|n| format!("c{n} int")).collect();
    service
        .sql(&format!(
            "CREATE TABLE wide (id int PRIMARY KEY, {}); CALL electric.electrify('wide')",
            columns.join(", ")
        ))
        .await;
    let mut described: serde_json::Map<_, _> = (1..200).map(|n| (format!("c{n}"), json!("INT4"))).collect();
    described.insert("id".into(), json!("INT4"));
    let clients = two(&service, &json!({ "wide": described })).await;
    // Every third has a value, so that the mask of NULLs has all patterns.
    let values: Vec<String> =
        (1..200).map(|n| if n % 3 == 0 { n.to_string() } else { "NULL".into() }).collect();
    let whole: Vec<String> =
        (1..200).map(|n| if n % 3 == 0 { format!("c{n} = {n}") } else { format!("c{n} IS NULL") }).collect();
    let whole = whole.join(" AND ");
    service.sql(&format!("INSERT INTO wide VALUES (1, {})", values.join(", "))).await;
    for client in &clients {
        client.sync(&["wide"]).await.unwrap();
        client.wait(format!("SELECT count(*) = 1 FROM wide WHERE {whole}")).await.unwrap();
    }
    clients[0].sql(&format!("INSERT INTO wide VALUES (2, {})", values.join(", ")), &[]).await.unwrap();
    service.wait(&format!("SELECT count(*) = 2 FROM wide WHERE {whole}")).await;
    clients[0].sql("UPDATE wide SET c199 = 7, c3 = NULL WHERE id = 2", &[]).await.unwrap();
    service.sql("UPDATE wide SET c1 = 8 WHERE id = 1").await;
    // It shows at once where it was written: a client is not closed before it has sent everything.
    service.wait("SELECT count(*) = 1 FROM wide WHERE id = 2 AND c199 = 7").await;
    for client in clients {
        client
            .wait("SELECT count(*) = 1 FROM wide WHERE id = 2 AND c199 = 7 AND c3 IS NULL AND c6 = 6")
            .await
            .unwrap();
        client.wait("SELECT count(*) = 1 FROM wide WHERE id = 1 AND c1 = 8 AND c198 = 198").await.unwrap();
        client.close().await.unwrap();
    }
}

/// A trigger that marks a row instead of deleting it: whoever deleted it gets it back, marked.
#[tokio::test(flavor = "multi_thread")]
async fn rows_that_a_trigger_keeps_come_back() {
    let service = Service::insecure().await;
    service
        .sql(
            "CREATE TABLE notes (id int PRIMARY KEY, body text, gone bool NOT NULL DEFAULT false);
             CREATE FUNCTION keep() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN UPDATE notes SET gone = true WHERE id = OLD.id; RETURN NULL; END $$;
             CREATE TRIGGER keep BEFORE DELETE ON notes FOR EACH ROW EXECUTE FUNCTION keep();
             CREATE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS $$
                BEGIN UPDATE notes SET body = NEW.body || '!' WHERE id = NEW.id AND body NOT LIKE '%!'; RETURN NULL; END $$;
             CREATE TRIGGER stamp AFTER INSERT ON notes FOR EACH ROW EXECUTE FUNCTION stamp();
             CALL electric.electrify('notes')",
        )
        .await;
    let clients = two(&service, &json!({ "notes": { "id": "INT4", "body": "TEXT", "gone": "BOOL" } })).await;
    for client in &clients {
        client.sync(&["notes"]).await.unwrap();
    }
    for (n, client) in (1..).zip(&clients) {
        client.sql(&format!("INSERT INTO notes (id, body) VALUES ({n}, 'note')"), &[]).await.unwrap();
    }
    for client in &clients {
        client.wait("SELECT count(*) = 2 FROM notes WHERE body = 'note!'").await.unwrap();
    }
    for (n, client) in (1..).zip(&clients) {
        client.sql(&format!("DELETE FROM notes WHERE id = {n}"), &[]).await.unwrap();
    }
    for client in clients {
        client.wait("SELECT count(*) = 2 FROM notes WHERE gone AND body = 'note!'").await.unwrap();
        client.wait("SELECT count(*) = 0 FROM _electric_oplog").await.unwrap();
        client.close().await.unwrap();
    }
}

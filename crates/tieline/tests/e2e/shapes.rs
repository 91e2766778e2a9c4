//! Shapes with where-clauses and includes, as an app asks for them.

use node_client::{LocalDatabase, NodeClient};
use serde_json::{Value, json};
use testkit::unsigned_token;

use super::service::{Service, id};

/// Projects of users with their issues.
const TABLES: &str = "
CREATE TABLE users (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE projects (id uuid PRIMARY KEY, name text NOT NULL, status text, owner_id uuid REFERENCES users (id));
CREATE TABLE issues (
  id uuid PRIMARY KEY, title text NOT NULL, open bool NOT NULL, points int4, project_id uuid REFERENCES projects (id) ON DELETE CASCADE);
CALL electric.electrify('users');
CALL electric.electrify('projects');
CALL electric.electrify('issues');
";

/// Its description for clients.
fn tables() -> Value {
    json!({
        "users": { "id": "UUID", "name": "TEXT" },
        "projects": { "id": "UUID", "name": "TEXT", "status": "TEXT", "owner_id": "UUID -> users.id" },
        "issues": {
            "id": "UUID", "title": "TEXT", "open": "BOOL", "points": "INT4", "project_id": "UUID -> projects.id"
        }
    })
}

/// Users 1 and 2; projects 11 and 12 are open, 13 is not; issues 21 and 22 belong to 11, 23 to 12, 24 and 25 to 13; 22 and 25 are closed.
async fn projects() -> Service {
    let service = Service::insecure().await;
    service.sql(TABLES).await;
    let rows = format!(
        "INSERT INTO users VALUES ('{}', 'Ada'), ('{}', 'Bob');
         INSERT INTO projects VALUES ('{p11}', 'alpha', 'open', '{}'), ('{p12}', 'beta', 'open', NULL), ('{p13}', 'gamma', 'on hold', '{}');
         INSERT INTO issues VALUES ('{}', 'one', true, 1, '{p11}'), ('{}', 'two', false, 2, '{p11}'), ('{}', 'three', true, 3, '{p12}'),
           ('{}', 'four', true, 4, '{p13}'), ('{}', 'five', false, 5, '{p13}')",
        id(1),
        id(2),
        id(1),
        id(2),
        id(21),
        id(22),
        id(23),
        id(24),
        id(25),
        p11 = id(11),
        p12 = id(12),
        p13 = id(13),
    );
    service.sql(&rows).await;
    service
}

/// Waits until a table has exactly the rows with these numbers.
async fn has(client: &NodeClient, table: &str, numbers: &[u32]) {
    let ids: Vec<_> = numbers.iter().map(|n| format!("'{}'", id(*n))).collect();
    let list = if ids.is_empty() { "NULL".into() } else { ids.join(", ") };
    let n = numbers.len();
    let sql = format!(
        "SELECT (SELECT count(*) FROM {table}) = {n} AND (SELECT count(*) FROM {table} WHERE id IN ({list})) = {n}"
    );
    client.wait(sql).await.unwrap_or_else(|error| panic!("{table} should have {numbers:?}: {error}"));
}

async fn connected(service: &Service, kind: LocalDatabase, name: &str) -> NodeClient {
    let client = service.client_over(kind, name, &tables()).await;
    client.connect(&unsigned_token(name)).await.unwrap();
    client
}

async fn set(service: &Service, table: &str, assignment: &str, number: u32) {
    service.sql(&format!("UPDATE {table} SET {assignment} WHERE id = '{}'", id(number))).await;
}

/// The open projects with their open issues: as an object, and as text.
fn open_projects(as_text: bool) -> Value {
    if as_text {
        json!({ "where": "this.status = 'open'", "include": { "issues": { "where": "this.open" } } })
    } else {
        json!({ "where": { "status": "open" }, "include": { "issues": { "where": { "open": true } } } })
    }
}

/// Rows move in and out, whoever moves them.
async fn follows_open_projects(kind: LocalDatabase, as_text: bool) {
    let service = projects().await;
    let client = connected(&service, kind, "ada").await;
    client.sync_table("projects", open_projects(as_text)).await.unwrap();
    has(&client, "projects", &[11, 12]).await;
    has(&client, "issues", &[21, 23]).await;
    // The project's owner came along without having been asked for.
    has(&client, "users", &[1]).await;
    set(&service, "projects", "status = 'open'", 13).await;
    has(&client, "projects", &[11, 12, 13]).await;
    has(&client, "issues", &[21, 23, 24]).await;
    has(&client, "users", &[1, 2]).await;
    set(&service, "issues", "open = true", 22).await;
    has(&client, "issues", &[21, 22, 23, 24]).await;
    set(&service, "projects", "status = 'done'", 11).await;
    has(&client, "projects", &[12, 13]).await;
    has(&client, "issues", &[23, 24]).await;
    has(&client, "users", &[2]).await;
    // The app itself moves a row out, and it is gone; Postgres has it.
    let close = if kind == LocalDatabase::Sqlite {
        "UPDATE issues SET open = 0"
    } else {
        "UPDATE issues SET open = false"
    };
    client.sql(&format!("{close} WHERE id = '{}'", id(23)), &[]).await.unwrap();
    service.wait(&format!("SELECT NOT open FROM issues WHERE id = '{}'", id(23))).await;
    has(&client, "issues", &[24]).await;
    service.sql("DELETE FROM projects").await;
    has(&client, "projects", &[]).await;
    has(&client, "issues", &[]).await;
    has(&client, "users", &[]).await;
    client.wait("SELECT count(*) = 0 FROM _electric_oplog").await.unwrap();
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn where_and_include_as_objects_over_sqlite() {
    follows_open_projects(LocalDatabase::Sqlite, false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn where_and_include_as_text_over_pglite() {
    follows_open_projects(LocalDatabase::Pglite, true).await;
}

/// The client holds on to a row that was deleted while it had a write to it under way. What comes of the row need not be in its shape.
async fn lets_go_of_what_it_held_on_to(kind: LocalDatabase) {
    let service = projects().await;
    let client = connected(&service, kind, "ada").await;
    let large = json!({ "where": "this.points >= 50", "key": "large" });
    for (number, points) in [(31, 61), (32, 62), (33, 63), (34, 64), (35, 65)] {
        let row = format!("('{}', 'row', true, {points}, NULL)", id(number));
        service.sql(&format!("INSERT INTO issues VALUES {row}")).await;
    }
    client.sync_table("issues", large).await.unwrap();
    has(&client, "issues", &[31, 32, 33, 34, 35]).await;
    // A row of its own outside of its shape stays with it.
    let open = if kind == LocalDatabase::Sqlite { "1" } else { "true" };
    client
        .sql(&format!("INSERT INTO issues VALUES ('{}', 'own', {open}, 1, NULL)", id(36)), &[])
        .await
        .unwrap();
    service.wait(&format!("SELECT count(*) = 1 FROM issues WHERE id = '{}'", id(36))).await;
    client.disconnect().await.unwrap();
    // One is deleted, one is replaced by another outside of the shape, one moves out and is deleted then, one only moves out.
    let (i31, i32, i33, i34) = (id(31), id(32), id(33), id(34));
    for native in [
        format!("DELETE FROM issues WHERE id IN ('{i31}', '{i32}')"),
        format!("INSERT INTO issues VALUES ('{i32}', 'another', true, 3, NULL)"),
        format!("UPDATE issues SET points = 2 WHERE id IN ('{i33}', '{i34}')"),
        format!("DELETE FROM issues WHERE id = '{i33}'"),
    ] {
        service.sql(&native).await;
    }
    for (number, change) in [
        (31, "points = 24"),
        (32, "title = 'mine'"),
        (33, "title = 'mine'"),
        (34, "title = 'mine'"),
        (36, "points = 4"),
    ] {
        client.sql(&format!("UPDATE issues SET {change} WHERE id = '{}'", id(number)), &[]).await.unwrap();
    }
    client.connect(&unsigned_token("ada")).await.unwrap();
    service.wait(&format!("SELECT count(*) = 1 FROM issues WHERE id = '{}' AND points = 24", id(31))).await;
    client.wait("SELECT count(*) = 0 FROM _electric_oplog").await.unwrap();
    has(&client, "issues", &[35, 36]).await;
    // It goes on as if nothing had been: what comes into the shape is there.
    service.sql(&format!("UPDATE issues SET points = 99 WHERE id IN ('{}', '{}')", id(31), id(36))).await;
    has(&client, "issues", &[31, 35, 36]).await;
    assert_eq!(client.resets(), [""; 0]);
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_held_on_to_outside_of_every_shape_leaves_with_the_echo_over_sqlite() {
    lets_go_of_what_it_held_on_to(LocalDatabase::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_held_on_to_outside_of_every_shape_leaves_with_the_echo_over_pglite() {
    lets_go_of_what_it_held_on_to(LocalDatabase::Pglite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_filter_of_the_client_means_what_it_says() {
    let service = projects().await;
    service.sql(&format!("INSERT INTO issues VALUES ('{}', '100%_sure', true, NULL, NULL)", id(26))).await;
    let client = connected(&service, LocalDatabase::Sqlite, "ada").await;
    let filters = [
        (json!({ "points": 3 }), vec![23]),
        (json!({ "points": null }), vec![26]),
        (json!({ "points": { "not": null } }), vec![21, 22, 23, 24, 25]),
        (json!({ "points": { "not": 3 } }), vec![21, 22, 24, 25]),
        (json!({ "points": { "in": [1, 2, 9] } }), vec![21, 22]),
        (json!({ "points": { "notIn": [1, 2] } }), vec![23, 24, 25]),
        (json!({ "points": { "gt": 1, "lte": 3 } }), vec![22, 23]),
        (json!({ "points": { "gte": 4.5 } }), vec![25]),
        (json!({ "title": { "startsWith": "100%_" } }), vec![26]),
        (json!({ "title": { "contains": "%" } }), vec![26]),
        (json!({ "title": { "endsWith": "e" } }), vec![21, 23, 25, 26]),
        (json!({ "open": true, "points": { "lt": 4 }, "title": { "not": "one" } }), vec![23]),
        (json!({ "OR": [{ "points": 1 }, { "title": "five" }] }), vec![21, 25]),
        (json!({ "NOT": [{ "points": 1 }, { "points": 2 }], "open": true }), vec![23, 24]),
        (json!({ "AND": [{ "open": true }, { "points": { "gt": 1 } }] }), vec![23, 24]),
    ];
    for (filter, numbers) in filters {
        let what = filter.to_string();
        let key = client.sync_table("issues", json!({ "where": filter, "key": "filter" })).await;
        assert_eq!(key.unwrap_or_else(|error| panic!("{what}: {error}")), "filter");
        has(&client, "issues", &numbers).await;
    }
    // And live, with the last of them.
    set(&service, "issues", "points = 7", 21).await;
    has(&client, "issues", &[21, 23, 24]).await;
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shape_that_is_refused_rejects_the_call_and_nothing_else() {
    let service = projects().await;
    let client = connected(&service, LocalDatabase::Sqlite, "ada").await;
    for (options, reason) in [
        (json!({ "where": "this.points = 'many'" }), "invalid syntax for type int4: many"),
        (json!({ "where": { "points": { "in": [] } } }), "syntax error"),
        (json!({ "where": "points = 1" }), "did you mean"),
        (
            json!({ "include": { "project": { "where": { "status": "open" } } } }),
            "Where clauses are not allowed",
        ),
    ] {
        let error = client.sync_table("issues", options).await.expect_err("a refusal").to_string();
        assert!(error.contains(reason), "{error}");
    }
    client.sync_table("issues", json!({ "where": { "points": 3 } })).await.unwrap();
    has(&client, "issues", &[23]).await;
    has(&client, "projects", &[12]).await;
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn shapes_overlap_change_and_end() {
    let service = projects().await;
    let client = connected(&service, LocalDatabase::Sqlite, "ada").await;
    client.sync_table("projects", open_projects(false)).await.unwrap();
    let all_open = client.sync_table("issues", json!({ "where": { "open": true } })).await.unwrap();
    has(&client, "issues", &[21, 23, 24]).await;
    has(&client, "projects", &[11, 12, 13]).await;
    // A row that leaves one shape stays for the other.
    set(&service, "projects", "status = 'done'", 11).await;
    client.wait(format!("SELECT status = 'done' FROM projects WHERE id = '{}'", id(11))).await.unwrap();
    has(&client, "issues", &[21, 23, 24]).await;
    client.unsync(&all_open).await.unwrap();
    has(&client, "issues", &[23]).await;
    has(&client, "projects", &[12]).await;
    // Under one key, one shape replaces another; rows of both are never away.
    let shape = |points: u32| json!({ "where": format!("this.points >= {points}"), "key": "points" });
    client.sync_table("issues", shape(2)).await.unwrap();
    has(&client, "issues", &[22, 23, 24, 25]).await;
    client.sql("CREATE TABLE witness AS SELECT id, rowid AS original FROM issues", &[]).await.unwrap();
    client.sync_table("issues", shape(4)).await.unwrap();
    has(&client, "issues", &[23, 24, 25]).await;
    client.sync_table("issues", shape(1)).await.unwrap();
    has(&client, "issues", &[21, 22, 23, 24, 25]).await;
    let kept = "SELECT count(*) = 3 FROM issues JOIN witness USING (id) WHERE issues.rowid = original AND points >= 3";
    client.wait(kept).await.unwrap();
    client.unsync("points").await.unwrap();
    has(&client, "issues", &[23]).await;
    client.close().await.unwrap();
}

/// More rows than SQLite takes conditions in a statement.
async fn lets_go_of_many_rows(kind: LocalDatabase) {
    let service = projects().await;
    let many = "INSERT INTO issues SELECT gen_random_uuid(), 'many', true, n, NULL FROM generate_series(1, 1500) n;
        INSERT INTO issues SELECT gen_random_uuid(), 'many', true, n, p.id FROM generate_series(1, 1500) n, projects p WHERE name = 'alpha'";
    service.sql(many).await;
    let client = connected(&service, kind, "ada").await;
    for (table, options) in [("projects", json!({ "include": { "issues": true } })), ("issues", json!({}))] {
        let key = client.sync_table(table, options).await.unwrap();
        client.wait("SELECT count(*) >= 1500 FROM issues").await.unwrap();
        client.unsync(&key).await.unwrap();
        for table in ["issues", "projects", "users"] {
            client.wait(format!("SELECT count(*) = 0 FROM {table}")).await.unwrap();
        }
    }
    // A write gets through, and nothing else.
    let user = format!("INSERT INTO users VALUES ('{}', 'Cy')", id(3));
    client.sql(&user, &[]).await.unwrap();
    service.wait("SELECT count(*) = 3 FROM users").await;
    service.wait("SELECT count(*) = 3005 FROM issues").await;
    assert_eq!((client.uncaught(), client.resets()), (None, Vec::new()));
    client.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_rows_leave_with_a_subscription_over_sqlite() {
    lets_go_of_many_rows(LocalDatabase::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_rows_leave_with_a_subscription_over_pglite() {
    lets_go_of_many_rows(LocalDatabase::Pglite).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_happened_offline_and_while_the_service_was_down_arrives() {
    let mut service = projects().await;
    let client = connected(&service, LocalDatabase::Sqlite, "ada").await;
    client.sync_table("projects", open_projects(false)).await.unwrap();
    has(&client, "issues", &[21, 23]).await;
    client.sql("CREATE TABLE witness AS SELECT rowid AS original FROM issues", &[]).await.unwrap();
    client.disconnect().await.unwrap();
    set(&service, "projects", "status = 'open'", 13).await;
    set(&service, "projects", "status = 'done'", 11).await;
    set(&service, "issues", "title = 'changed'", 23).await;
    let close = format!("UPDATE issues SET title = title || '!' WHERE id = '{}'", id(21));
    client.sql(&close, &[]).await.unwrap();
    client.connect(&unsigned_token("ada")).await.unwrap();
    has(&client, "projects", &[12, 13]).await;
    has(&client, "issues", &[23, 24]).await;
    client.wait("SELECT count(*) = 1 FROM issues WHERE title = 'changed'").await.unwrap();
    // What the app wrote to a row that has left reached Postgres all the same.
    service.wait("SELECT count(*) = 1 FROM issues WHERE title = 'one!'").await;

    service.kill().await;
    set(&service, "issues", "open = false", 24).await;
    set(&service, "issues", "open = true", 25).await;
    service.start_again().await;
    has(&client, "issues", &[23, 25]).await;
    set(&service, "projects", "status = 'open'", 11).await;
    has(&client, "issues", &[21, 23, 25]).await;
    // Nothing was loaded again.
    client
        .wait(
            "SELECT count(*) = 1 FROM issues JOIN witness ON issues.rowid = original WHERE title = 'changed'",
        )
        .await
        .unwrap();
    client.close().await.unwrap();
}

/// Lists and their tasks, both owned.
const OWNED: &str = "
CREATE TABLE lists (id uuid PRIMARY KEY, name text NOT NULL, electric_user_id text);
CREATE TABLE tasks (id uuid PRIMARY KEY, title text NOT NULL, list_id uuid REFERENCES lists (id), electric_user_id text);
CALL electric.electrify('lists');
CALL electric.electrify('tasks');
";

#[tokio::test(flavor = "multi_thread")]
async fn two_users_have_what_is_theirs_of_a_shape_with_includes() {
    let service = Service::insecure().await;
    service.sql(OWNED).await;
    let (l1, l2) = (id(1), id(2));
    service
        .sql(&format!(
            "INSERT INTO lists VALUES ('{l1}', 'hers', 'ada'), ('{l2}', 'his', 'bob'), ('{}', 'everybody''s', NULL);
             INSERT INTO tasks VALUES ('{}', 'a', '{l1}', 'ada'), ('{}', 'b', '{l1}', 'bob'), ('{}', 'c', '{l2}', 'bob'), ('{}', 'd', '{l2}', NULL)",
            id(3),
            id(11),
            id(12),
            id(13),
            id(14)
        ))
        .await;
    let tables = json!({
        "lists": { "id": "UUID", "name": "TEXT", "electric_user_id": "TEXT" },
        "tasks": { "id": "UUID", "title": "TEXT", "list_id": "UUID -> lists.id", "electric_user_id": "TEXT" }
    });
    let mut clients = Vec::new();
    for (name, kind) in [("ada", LocalDatabase::Sqlite), ("bob", LocalDatabase::Pglite)] {
        let client = service.client_over(kind, name, &tables).await;
        client.connect(&unsigned_token(name)).await.unwrap();
        client
            .sync_table("lists", json!({ "where": "true OR this.name = 'x'", "include": { "tasks": true } }))
            .await
            .unwrap();
        clients.push(client);
    }
    let [ada, bob] = clients.try_into().ok().unwrap();
    has(&ada, "lists", &[1, 3]).await;
    has(&ada, "tasks", &[11]).await;
    has(&bob, "lists", &[2, 3]).await;
    has(&bob, "tasks", &[13, 14]).await;
    // A list is handed over, by its owner's own app.
    ada.sql(&format!("UPDATE lists SET electric_user_id = 'bob' WHERE id = '{l1}'"), &[]).await.unwrap();
    has(&bob, "lists", &[1, 2, 3]).await;
    has(&bob, "tasks", &[12, 13, 14]).await;
    has(&ada, "lists", &[3]).await;
    has(&ada, "tasks", &[]).await;
    bob.sql(&format!("UPDATE lists SET electric_user_id = NULL WHERE id = '{l2}'"), &[]).await.unwrap();
    has(&ada, "lists", &[2, 3]).await;
    has(&ada, "tasks", &[14]).await;
    has(&bob, "lists", &[1, 2, 3]).await;
    for client in [ada, bob] {
        client.close().await.unwrap();
    }
}

//! `electric-sql generate`, as teams run it: Prisma describes the database through the proxy, the migrations come from the service,
//! and an app is built upon both.

use serde_json::{Value, json};
use testkit::unsigned_token;
use tokio_postgres::NoTls;

use super::{
    app::{App, PASSWORD},
    service::{Service, free_port, id},
};
use node_client::LocalDatabase;

const SCHEMA: &str = "
    CREATE TYPE state AS ENUM ('open', 'done');
    CREATE TABLE lists (id uuid PRIMARY KEY, title text NOT NULL DEFAULT 'untitled');
    CREATE TABLE items (
        id uuid PRIMARY KEY, list_id uuid NOT NULL REFERENCES lists ON DELETE CASCADE, content varchar(40) NOT NULL,
        state state NOT NULL DEFAULT 'open', price numeric(10,2), took interval, made timestamptz NOT NULL DEFAULT now(), n serial,
        big int8, meta jsonb, weight float4 CHECK (weight > 0));
    CREATE INDEX items_made ON items (made DESC);
    CREATE TABLE pairs (a uuid REFERENCES lists, b text, PRIMARY KEY (a, b));
    CREATE TABLE links (id uuid PRIMARY KEY, a uuid, b text, FOREIGN KEY (a, b) REFERENCES pairs);
    CREATE TABLE secrets (id serial PRIMARY KEY, list_id uuid REFERENCES lists);
    CREATE VIEW overview AS SELECT * FROM lists;";

/// What an app may do with the generated types, and what it may not.
const APP: &str = "
import type { Electric } from './generated/client'

export async function use({ db }: Electric) {
  await db.lists.create({ data: { id: '1' } })
  await db.items.create({ data: { id: '1', list_id: '1', content: 'c', made: new Date(), n: 1, price: '1.50', took: '1 day' } })
  const item = await db.items.findFirst({ where: { state: 'done' }, include: { lists: true } })
  const price: string | null | undefined = item?.price
  // @ts-expect-error `made` has a default that only Postgres can evaluate
  await db.items.create({ data: { id: '1', list_id: '1', content: 'c', n: 1 } })
  // @ts-expect-error `n` is numbered by Postgres alone
  await db.items.create({ data: { id: '1', list_id: '1', content: 'c', made: new Date() } })
  // @ts-expect-error `secrets` is not synced
  await db.secrets.findMany()
  // @ts-expect-error `overview` is a view
  await db.overview.findMany()
  return price
}
";

/// A service with a proxy, and an app for it.
async fn start() -> (Service, App, u16) {
    let proxy = free_port();
    let port = format!("http:{proxy}");
    let settings = [("AUTH_MODE", "insecure"), ("PG_PROXY_PORT", &port), ("PG_PROXY_PASSWORD", PASSWORD)];
    let service = Service::with(&settings).await;
    let app = App::new(&service, proxy);
    (service, app, proxy)
}

async fn create(client: &node_client::NodeClient, table: &str, data: Value) -> anyhow::Result<Value> {
    client.call(json!({ "do": "db", "table": table, "method": "create", "args": { "data": data } })).await
}

/// Generates, compiles, and runs what was generated: offline at first, then with the service, on both kinds of local database.
#[tokio::test(flavor = "multi_thread")]
async fn an_app_is_generated_and_syncs() {
    let (service, app, _) = start().await;
    service.sql(SCHEMA).await;
    service.sql("CALL electric.electrify('lists'); CALL electric.electrify('items')").await;
    service.sql("CALL electric.electrify('pairs'); CALL electric.electrify('links')").await;
    app.write("app.ts", APP);
    let said = app.run(&["generate"]).await;
    assert!(said.contains("Successfully generated Electric client"), "{said}");
    assert!(said.contains("Successfully built migrations"), "{said}");
    let versions = app.versions("migrations.ts");
    assert_eq!(versions.len(), 2);
    assert_eq!(app.versions("pg-migrations.ts"), versions);
    assert_eq!(app.compile().await, "");

    let generated = json!(app.generated("index.js"));
    let alice = service.client("alice", &generated).await;
    create(&alice, "lists", json!({ "id": id(1) })).await.unwrap();
    let item = json!({
        "id": id(2), "list_id": id(1), "content": "made offline", "made": { "$date": "2024-05-06T07:08:09.123Z" }, "n": 7,
        "price": "12345678.90", "took": "1 day 02:00:00", "big": { "$bigint": "9007199254740993" }, "meta": { "a": [1, null] }, "weight": 1.5
    });
    create(&alice, "items", item).await.unwrap();
    let refused =
        create(&alice, "items", json!({ "id": id(3), "list_id": id(1), "content": "no date", "n": 8 })).await;
    assert!(refused.unwrap_err().to_string().contains("made"));
    alice.connect(&unsigned_token("alice")).await.unwrap();
    service
        .wait(&format!(
            "SELECT count(*) = 1 FROM items JOIN lists ON lists.id = list_id WHERE items.id = '{}' AND title = 'untitled'
                AND state = 'open' AND price = 12345678.90 AND took = '26 hours' AND made = '2024-05-06 07:08:09.123Z' AND n = 7
                AND big = 9007199254740993 AND meta = '{{\"a\": [1, null]}}' AND weight = 1.5",
            id(2)
        ))
        .await;

    let bob = service.client_over(LocalDatabase::Pglite, "bob", &generated).await;
    bob.connect(&unsigned_token("bob")).await.unwrap();
    let shape = json!({ "include": { "lists": true } });
    for client in [&alice, &bob] {
        client.sync_table("items", shape.clone()).await.unwrap();
        let find = json!({ "do": "db", "table": "items", "method": "findFirst", "args": { "include": { "lists": true } } });
        let row = client.call(find).await.unwrap();
        assert_eq!(row["lists"]["title"], "untitled", "{row}");
        assert_eq!((&row["price"], &row["took"]), (&json!("12345678.90"), &json!("1 day 02:00:00")), "{row}");
        assert_eq!(
            (&row["made"], &row["big"]),
            (&json!("2024-05-06T07:08:09.123Z"), &json!("9007199254740993")),
            "{row}"
        );
    }

    // The bundled migrations are what the service counts on: it sends the next one, and nothing twice.
    service.sql("ALTER TABLE items ADD COLUMN note text").await;
    for client in [&alice, &bob] {
        client.wait("SELECT count(*) = 0 FROM items WHERE note IS NOT NULL").await.unwrap();
    }
    service.sql("UPDATE items SET note = 'later'").await;
    for client in [alice, bob] {
        client.wait("SELECT count(*) = 1 FROM items WHERE note = 'later'").await.unwrap();
        let applied = client
            .sql("SELECT version FROM _electric_migrations WHERE version <> '0' ORDER BY id", &[])
            .await
            .unwrap();
        let applied: Vec<_> =
            applied.as_array().unwrap().iter().map(|row| row["version"].as_str().unwrap()).collect();
        assert_eq!(applied[..2], versions[..]);
        assert_eq!(applied.len(), 3);
        client.close().await.unwrap();
    }
}

/// `--watch` asks again and again, generates when there is something new, and asks after that from there.
#[tokio::test(flavor = "multi_thread")]
async fn generate_watches_for_migrations() {
    let (service, app, _) = start().await;
    service.sql("CREATE TABLE items (id uuid PRIMARY KEY); CALL electric.electrify('items')").await;
    let mut watching = app.start(&["generate", "--watch", "100"]);
    let first = watching.says("Discovered new migrations: ").await;
    watching.says("Successfully built migrations").await;
    assert_eq!(app.versions("migrations.ts"), std::slice::from_ref(&first));
    service
        .sql("BEGIN; CALL electric.migration_version('29991231_1'); ALTER TABLE items ADD COLUMN content text; COMMIT")
        .await;
    assert_eq!(watching.says("Discovered new migrations: ").await, "29991231_1");
    watching.says("Successfully built migrations").await;
    assert_eq!(app.versions("migrations.ts"), [first, "29991231_1".to_owned()]);
    assert!(std::fs::read_to_string(app.generated("index.ts")).unwrap().contains("content"));
}

/// A project generates before it has anything to generate from.
#[tokio::test(flavor = "multi_thread")]
async fn without_tables_prisma_says_so() {
    let (service, app, _) = start().await;
    service.sql("CREATE TABLE secrets (id uuid PRIMARY KEY)").await;
    let done = app.electric_sql(&["generate"]).stderr(std::process::Stdio::piped()).output().await.unwrap();
    let error = String::from_utf8_lossy(&done.stderr);
    assert!(!done.status.success() && error.contains("The introspected database was empty"), "{error}");
}

/// Migrations through the tool's own tunnel, and the generator too.
#[tokio::test(flavor = "multi_thread")]
async fn a_tunnel_leads_to_the_proxy() {
    let (service, app, _) = start().await;
    let local = free_port();
    let mut tunnel = app.start(&["proxy-tunnel", "--local-port", &local.to_string()]);
    tunnel.says("ElectricSQL Postgres Proxy Tunnel listening on port ").await;
    let url = format!("postgresql://postgres:{PASSWORD}@127.0.0.1:{local}/app");
    let (client, connection) = tokio_postgres::connect(&url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
        .batch_execute("CREATE TABLE items (id uuid PRIMARY KEY); ALTER TABLE items ENABLE ELECTRIC")
        .await
        .unwrap();
    let long = client.query_one("SELECT repeat('x', 3000000)", &[]).await.unwrap();
    assert_eq!(long.get::<_, &str>(0).len(), 3_000_000);
    let wrong = tokio_postgres::connect(&url.replace(PASSWORD, "wrong"), NoTls).await;
    assert_eq!(
        wrong.err().and_then(|error| error.code().cloned()).map(|code| code.code().to_owned()).as_deref(),
        Some("28P01")
    );
    drop(client);
    service.wait("SELECT count(*) = 0 FROM pg_stat_activity WHERE query LIKE 'SELECT repeat%' AND pid <> pg_backend_pid()").await;

    let through = App::new(&service, local);
    through.run(&["generate"]).await;
    assert_eq!(through.versions("migrations.ts").len(), 1);
}

/// `npm run db:migrate`: a tool of the app's own gets the proxy's address.
#[tokio::test(flavor = "multi_thread")]
async fn with_config_runs_migrations() {
    let (service, app, proxy) = start().await;
    let psql = testkit::Binaries::find().unwrap().program("psql");
    let script = "CREATE TABLE items (id uuid PRIMARY KEY); ALTER TABLE items ENABLE ELECTRIC;";
    app.write("migration.sql", script);
    let command =
        format!("{} -v ON_ERROR_STOP=1 -f src/migration.sql {{{{ELECTRIC_PROXY}}}}", psql.display());
    let said = app.run(&["with-config", &command]).await;
    assert!(said.contains("CREATE TABLE\nELECTRIC ENABLE\n"), "{said}");
    service.wait("SELECT count(*) = 1 FROM electric.electrified WHERE table_name = 'items'").await;
    let shown = app.run(&["show-config"]).await;
    assert!(shown.contains(&format!("'{proxy}'")) || shown.contains(&proxy.to_string()), "{shown}");
}

//! `tieline dev --demo`: two real clients and psql, each change seen by the others, with timings.

use std::{
    path::Path,
    process::Stdio,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use cluster::Binaries;
use node_client::{LocalDatabase, NodeClient};
use serde_json::json;
use tokio_postgres::Client;

use super::{database, token};

/// How long Postgres may take to have what a client wrote.
const PATIENCE: Duration = Duration::from_secs(10);

/// Everyone who takes part.
struct Stage {
    alice: NodeClient,
    bob: NodeClient,
    postgres: Client,
    url: String,
}

/// Plays the demo; fails if any change does not arrive within ten seconds.
pub async fn show(scripts: &Path, service: &str, url: &str) -> Result<()> {
    let scripts = scripts.canonicalize().with_context(|| format!("{} is not there", scripts.display()))?;
    let scratch = tempfile::tempdir().context("making a scratch directory")?;
    let tables = json!({ "items": { "id": "UUID", "content": "TEXT" } });
    let began = Instant::now();
    println!("\nstarting two clients (electric-sql 0.12.1 on Node.js, each with its own SQLite file)");
    let client = |name: &str| {
        let file = scratch.path().join(format!("{name}.db"));
        let (scripts, tables) = (&scripts, &tables);
        async move { NodeClient::start(scripts, service, (LocalDatabase::Sqlite, &file), tables).await }
    };
    let (alice, bob) = tokio::try_join!(client("alice"), client("bob"))?;
    let stage = Stage { alice, bob, postgres: database::connect(url).await?, url: url.to_owned() };
    stage.postgres.batch_execute("TRUNCATE items").await?;
    step("alice and bob sign in and sync `items`", async {
        tokio::try_join!(async { stage.alice.connect(&token::unsigned("alice")).await }, async {
            stage.bob.connect(&token::unsigned("bob")).await
        },)?;
        tokio::try_join!(stage.alice.sync(&["items"]), stage.bob.sync(&["items"])).map(drop)
    })
    .await?;
    stage.psql_inserts().await?;
    stage.alice_inserts().await?;
    stage.both_at_once().await?;
    stage.offline().await?;
    for client in [stage.alice, stage.bob] {
        client.close().await?;
    }
    println!("\nall seen by all, in {:.1} s. It works.", began.elapsed().as_secs_f64());
    Ok(())
}

/// Says what happens, does it, and says how long it took.
async fn step(what: &str, action: impl Future<Output = Result<()>>) -> Result<()> {
    let started = Instant::now();
    action.await.with_context(|| what.to_owned())?;
    println!("  {what:<76} {:>7.1} ms", started.elapsed().as_secs_f64() * 1000.0);
    Ok(())
}

const ONE: &str = "00000000-0000-4000-8000-000000000001";
const TWO: &str = "00000000-0000-4000-8000-000000000002";

impl Stage {
    /// A row of psql's goes to both clients.
    async fn psql_inserts(&self) -> Result<()> {
        println!("\npsql: INSERT INTO items …");
        let (alice, bob) = tokio::join!(self.alice.wait(has(ONE, "from psql")), async {
            let sql = format!("INSERT INTO items VALUES ('{ONE}', 'from psql')");
            step("psql has committed (its own start included)", psql(&self.url, &sql)).await?;
            step("alice and bob have the row", self.bob.wait(has(ONE, "from psql"))).await
        });
        alice.and(bob)
    }

    /// A row of one client's goes to Postgres and to the other client.
    async fn alice_inserts(&self) -> Result<()> {
        println!("\nalice: INSERT INTO items …, in her local database");
        let sql = "INSERT INTO items (id, content) VALUES (?, ?)";
        self.alice.sql(sql, &[TWO.into(), "from alice".into()]).await?;
        let (postgres, bob) = (self.postgres_has(TWO, "from alice"), self.bob.wait(has(TWO, "from alice")));
        step("Postgres and bob have the row", async { tokio::try_join!(postgres, bob).map(drop) }).await
    }

    /// Two change the same row; everybody ends with the same.
    async fn both_at_once(&self) -> Result<()> {
        println!("\nbob: UPDATE items …; then alice: UPDATE items …, the same row");
        let sql = "UPDATE items SET content = ? WHERE id = ?";
        self.bob.sql(sql, &["bob was here".into(), TWO.into()]).await?;
        step("alice and Postgres have bob's", async {
            tokio::try_join!(
                self.alice.wait(has(TWO, "bob was here")),
                self.postgres_has(TWO, "bob was here")
            )
            .map(drop)
        })
        .await?;
        self.alice.sql(sql, &["alice, last".into(), TWO.into()]).await?;
        step("bob and Postgres have alice's", async {
            tokio::try_join!(self.bob.wait(has(TWO, "alice, last")), self.postgres_has(TWO, "alice, last"))
                .map(drop)
        })
        .await
    }

    /// One works offline, and catches up in both directions.
    async fn offline(&self) -> Result<()> {
        println!("\nbob goes offline and writes; psql deletes a row meanwhile; bob comes back");
        self.bob.disconnect().await?;
        self.bob
            .sql("UPDATE items SET content = ? WHERE id = ?", &["written offline".into(), TWO.into()])
            .await?;
        psql(&self.url, &format!("DELETE FROM items WHERE id = '{ONE}'")).await?;
        self.alice.wait(format!("SELECT count(*) = 0 FROM items WHERE id = '{ONE}'")).await?;
        step("bob is back, and all three agree", async {
            self.bob.connect(&token::unsigned("bob")).await?;
            let gone = format!("SELECT count(*) = 0 FROM items WHERE id = '{ONE}'");
            tokio::try_join!(
                self.bob.wait(&gone),
                self.alice.wait(has(TWO, "written offline")),
                self.postgres_has(TWO, "written offline"),
            )
            .map(drop)
        })
        .await
    }

    async fn postgres_has(&self, id: &str, content: &str) -> Result<()> {
        let until = Instant::now() + PATIENCE;
        let sql = format!("SELECT EXISTS (SELECT FROM items WHERE id = '{id}' AND content = '{content}')");
        while !self.postgres.query_one(&sql, &[]).await?.get::<_, bool>(0) {
            ensure!(Instant::now() < until, "Postgres still does not have {content:?}");
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        Ok(())
    }
}

/// The query that is true once a client has a row.
fn has(id: &str, content: &str) -> String {
    format!("SELECT count(*) = 1 FROM items WHERE id = '{id}' AND content = '{content}'")
}

/// Runs one statement in psql.
async fn psql(url: &str, sql: &str) -> Result<()> {
    let program = Binaries::find()?.program("psql");
    let output = tokio::process::Command::new(program)
        .args(["-X", "-q", "-v", "ON_ERROR_STOP=1", url, "-c", sql])
        .stdin(Stdio::null())
        .output()
        .await
        .context("starting psql")?;
    ensure!(output.status.success(), "psql failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

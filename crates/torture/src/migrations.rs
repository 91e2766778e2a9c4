//! The schema changes while everything runs: tables are given columns, and tables are made.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use anyhow::Result;
use fastrand::Rng;
use tokio_postgres::Client;

use crate::{
    notes::Notes,
    rig::Rig,
    tables::{LATE, Table, cell},
};

/// How often the schema is changed at most.
const CHANGES: u32 = 6;

/// Changes the schema now and then until told to stop; what fails is tried again the next time. `processes` is how many there are that
/// write, each of which has a column of its own of those that are added; `length` is how long everything takes.
pub(crate) async fn work(
    rig: Arc<Rig>,
    notes: Notes,
    processes: u16,
    length: Duration,
    mut rng: Rng,
    stop: Arc<AtomicBool>,
) {
    let pace = (length / (CHANGES + 1)).max(Duration::from_millis(1_500));
    let mut next = Instant::now() + pace.min(Duration::from_secs(3)).mul_f64(rng.f64());
    for change in 0..CHANGES {
        while Instant::now() < next {
            if stop.load(Ordering::Relaxed) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        next = Instant::now() + pace.mul_f64(0.5 + rng.f64());
        let made = match change % 2 {
            0 => columns(&rig, processes).await,
            _ => table(&rig).await,
        };
        match made {
            Ok(what) => notes.event("schema changed", &what),
            Err(error) => notes.event("schema not changed", &format!("{error:#}")),
        }
    }
}

async fn connect(rig: &Rig) -> Result<Client> {
    let client = rig.connect().await?;
    // Whoever waits for a table keeps everybody else from it.
    client.batch_execute("SET lock_timeout = '2s'").await?;
    Ok(client)
}

/// Gives columns to two tables in one migration, and values to one of them in the same transaction.
async fn columns(rig: &Rig, processes: u16) -> Result<String> {
    let client = connect(rig).await?;
    let sql =
        "SELECT count(*) FROM pg_attribute WHERE attrelid = 'drafts'::regclass AND attname LIKE 'note%'";
    let generation = u32::try_from(client.query_one(sql, &[]).await?.get::<_, i64>(0))? + 1;
    let cells: Vec<_> =
        (0..processes).map(|process| format!("ADD COLUMN {} INT4", cell(generation, process))).collect();
    let sql = format!(
        "BEGIN;
         ALTER TABLE shared {};
         ALTER TABLE drafts ADD COLUMN note{generation} TEXT;
         UPDATE drafts SET note{generation} = 'of ' || process;
         COMMIT",
        cells.join(", ")
    );
    client.batch_execute(&sql).await?;
    Ok(format!("generation {generation} of columns"))
}

/// Makes a table with a row, and adds another row once it is synced.
async fn table(rig: &Rig) -> Result<String> {
    let client = connect(rig).await?;
    let made = late(&client).await?.len();
    let Some(name) = LATE.get(made) else { return Ok("no more tables".into()) };
    let sql = format!(
        "BEGIN;
         CREATE TABLE {name} (id UUID PRIMARY KEY, nth INT4);
         INSERT INTO {name} VALUES (gen_random_uuid(), 1);
         CALL electric.electrify('{name}');
         INSERT INTO {name} VALUES (gen_random_uuid(), 2);
         COMMIT;
         INSERT INTO {name} VALUES (gen_random_uuid(), 3)"
    );
    client.batch_execute(&sql).await?;
    Ok(format!("table {name}"))
}

/// The tables that were made so far.
async fn late(client: &Client) -> Result<Vec<&'static str>> {
    let rows = client.query("SELECT table_name FROM electric.electrified", &[]).await?;
    let names: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    Ok(LATE.into_iter().filter(|table| names.iter().any(|name| name == table)).collect())
}

/// The tables as they are in the end, from those that were there in the beginning; and those that came later.
pub(crate) async fn in_the_end(client: &Client, tables: &[Table]) -> Result<(Vec<Table>, Vec<&'static str>)> {
    let late = late(client).await?;
    let mut tables = tables.to_vec();
    tables.extend(late.iter().map(|name| Table { name, columns: Vec::new(), whole: true }));
    for table in &mut tables {
        let sql = "SELECT attname::text FROM pg_attribute
            WHERE attrelid = $1::text::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum";
        let columns = client.query(sql, &[&table.name]).await?;
        table.columns = columns.iter().map(|row| (row.get(0), "")).collect();
    }
    Ok((tables, late))
}

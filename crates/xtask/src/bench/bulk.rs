//! A million rows loaded into a synced table by a native client, against the same load into a plain one.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bytes::BytesMut;
use futures_util::SinkExt;
use tokio_postgres::Client;

use super::{baseline, report::Report, rig::Rig};

const ROWS: usize = 1_000_000;
const ROUNDS: usize = 3;
/// Bytes handed to `COPY` at a time.
const CHUNK: usize = 64 << 10;

/// How the rows get in.
#[derive(Clone, Copy)]
enum Load {
    /// `INSERT … SELECT`, made inside Postgres.
    Insert,
    /// `COPY … FROM STDIN` over loopback.
    Copy,
}

impl Load {
    fn name(self) -> &'static str {
        match self {
            Load::Insert => "INSERT … SELECT",
            Load::Copy => "COPY",
        }
    }

    async fn run(self, client: &Client, table: &str) -> Result<Duration> {
        let started = Instant::now();
        match self {
            Load::Insert => {
                let insert = format!(
                    "INSERT INTO {table} SELECT i, 'content of row ' || i FROM generate_series(1, {ROWS}) i"
                );
                client.batch_execute(&insert).await?;
            }
            Load::Copy => {
                let mut sink = Box::pin(client.copy_in(&format!("COPY {table} FROM STDIN")).await?);
                let mut chunk = BytesMut::with_capacity(CHUNK + 64);
                for row in 1..=ROWS {
                    chunk.extend_from_slice(format!("{row}\tcontent of row {row}\n").as_bytes());
                    if chunk.len() >= CHUNK {
                        sink.send(chunk.split().freeze()).await?;
                    }
                }
                sink.send(chunk.freeze()).await?;
                let rows = sink.as_mut().finish().await?;
                ensure!(rows == ROWS as u64, "{rows} rows were copied");
            }
        }
        Ok(started.elapsed())
    }
}

/// The service runs meanwhile, and reads what is written. Rounds alternate, each into new tables.
pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    let client = rig.connect().await?;
    for load in [Load::Insert, Load::Copy] {
        let (mut plain, mut synced) = (Vec::new(), Vec::new());
        for round in 0..ROUNDS {
            let name =
                format!("bulk_{}_{round}", if matches!(load, Load::Insert) { "insert" } else { "copy" });
            client
                .batch_execute(&format!(
                    "CREATE TABLE {name}_plain (id int8 PRIMARY KEY, content text NOT NULL);
                     CREATE TABLE {name} (id int8 PRIMARY KEY, content text NOT NULL);
                     CALL electric.electrify('{name}'); CHECKPOINT"
                ))
                .await?;
            plain.push(load.run(&client, &format!("{name}_plain")).await?);
            client.batch_execute("CHECKPOINT").await?;
            synced.push(load.run(&client, &name).await?);
            rig.settle(&client).await?;
        }
        let (plain, synced) = (baseline::median(&mut plain), baseline::median(&mut synced));
        report.row(
            &format!(
                "native load of 1,000,000 rows into a synced table, {} (median of {ROUNDS})",
                load.name()
            ),
            format!("{synced:.2?}"),
            format!("into a plain table: {plain:.2?}; at most 2.5 × the time"),
            Some(synced.as_secs_f64() / plain.as_secs_f64()),
        );
    }
    Ok(())
}

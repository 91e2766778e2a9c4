//! Transactions of clients, applied to Postgres and echoed.

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::future::try_join_all;
use testkit::Satellite;

use super::{
    baseline,
    clients::{self, Tally},
    report::Report,
    rig::Rig,
};

/// What is written: so many clients, each with so many transactions of so many operations.
struct Load {
    clients: u32,
    transactions: usize,
    operations: usize,
}

/// The goal of the design is for the first.
const LOADS: [Load; 6] = [
    Load { clients: 8, transactions: 1_500, operations: 1 },
    Load { clients: 1, transactions: 2_000, operations: 1 },
    Load { clients: 64, transactions: 250, operations: 1 },
    Load { clients: 8, transactions: 60, operations: 100 },
    Load { clients: 1, transactions: 100, operations: 100 },
    Load { clients: 64, transactions: 10, operations: 100 },
];

/// Transactions that a client sends ahead of their echoes.
const AHEAD: usize = 16;

/// The same of a backlog: a client sends what it has, and reads beside that.
const BACKLOG_AHEAD: usize = 256;

/// Operations of an offline backlog.
const BACKLOG: usize = 10_000;

pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    clients::make_table(rig, "writes").await?;
    let admin = rig.connect().await?;
    admin
        .batch_execute(
            "DROP TABLE IF EXISTS plain; CREATE TABLE plain (id int8 PRIMARY KEY, content text NOT NULL)",
        )
        .await?;
    let mut first_client = 100;
    for load in &LOADS {
        let limit = baseline::pgbench(rig, &plain_inserts(load.operations), load.clients, 4)?;
        let took = run(rig, load, first_client, AHEAD).await?;
        first_client += load.clients;
        let rate = f64::from(load.clients) * load.transactions as f64 / took.as_secs_f64();
        let Load { clients, operations, .. } = load;
        report.row(
            &format!(
                "client transactions applied and echoed (clients: {clients}, rows in each: {operations})"
            ),
            format!("{rate:.0} /s"),
            format!("pgbench, as many INSERT statements over {clients} connections: {limit:.0}/s"),
            Some(rate / limit),
        );
    }
    for operations in [1, 100, BACKLOG] {
        let load = Load { clients: 1, transactions: BACKLOG / operations, operations };
        let took = run(rig, &load, first_client, BACKLOG_AHEAD).await?;
        first_client += 1;
        report.row(
            &format!("an offline backlog of {BACKLOG} operations, {operations} in a transaction"),
            format!("{took:.2?}"),
            "3 s at most",
            None,
        );
    }
    Ok(())
}

/// The same in plain SQL: as many statements as there are operations, in one transaction.
fn plain_inserts(operations: usize) -> String {
    let insert = "INSERT INTO plain VALUES ((random() * 1e18)::int8, 'content of a row of plain inserts');\n";
    match operations {
        1 => insert.to_owned(),
        many => format!("BEGIN;\n{}END;\n", insert.repeat(many)),
    }
}

/// How long it takes from the first transaction sent to the last echo received.
async fn run(rig: &Rig, load: &Load, first_client: u32, ahead: usize) -> Result<Duration> {
    let admin = rig.connect().await?;
    admin.batch_execute("TRUNCATE writes").await?;
    let mut all = Vec::new();
    for number in 0..load.clients {
        let mut client = clients::connect(rig, first_client + number).await?;
        client.announce(0, "writes", &["id", "content"]).await?;
        all.push(client);
    }
    rig.settle(&admin).await?;
    let started = Instant::now();
    let each = all.iter_mut().enumerate();
    try_join_all(each.map(|(number, client)| write(number, client, load, ahead))).await?;
    let took = started.elapsed();
    let count: i64 = admin.query_one("SELECT count(*) FROM writes", &[]).await?.get(0);
    let expected = load.clients as usize * load.transactions * load.operations;
    anyhow::ensure!(count == expected as i64, "{count} rows arrived");
    for client in all {
        client.close().await;
    }
    Ok(took)
}

/// Sends transactions, some ahead of their echoes, until all have come back.
async fn write(number: usize, client: &mut Satellite, load: &Load, ahead: usize) -> Result<()> {
    let mut tally = Tally::default();
    for sent in 0..load.transactions {
        while sent >= tally.echoes + ahead {
            tally.receive(client).await?;
        }
        let ids = (0..load.operations).map(|n| (number * 1_000_000 + sent * load.operations + n).to_string());
        let ids: Vec<String> = ids.collect();
        let inserts = ids.iter().map(|id| {
            let row = [Some(id.as_bytes()), Some(b"content of a row of a client".as_slice())];
            Satellite::insert(0, &row, &[])
        });
        // Timestamps of one client differ, as the real client's do; its positions count operations.
        let timestamp = 1_700_000_000_000 + sent as u64;
        let position = ((sent + 1) * load.operations) as u32;
        client.write_at(position, timestamp, inserts.collect()).await?;
    }
    while tally.echoes < load.transactions {
        tally.receive(client).await?;
    }
    Ok(())
}

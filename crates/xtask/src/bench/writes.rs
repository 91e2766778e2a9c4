//! Transactions of clients, applied to Postgres and echoed.

use std::time::{Duration, Instant};

use anyhow::Result;
use change::Tag;
use futures_util::future::try_join_all;
use protocol::wire::{SatOpDelete, SatOpUpdate, sat_trans_op};
use testkit::{Satellite, satellite::wire_row};

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
    does: Does,
}

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Does {
    /// It makes a row.
    Insert,
    /// It changes a row that was there before its table was synced.
    Update,
    /// It deletes such a row.
    Delete,
    /// It makes a row again that has been deleted.
    Remake,
}

impl Does {
    /// As the report calls it.
    fn name(self) -> &'static str {
        match self {
            Does::Insert => "inserts",
            Does::Update => "updates",
            Does::Delete => "deletes",
            Does::Remake => "inserts of rows deleted before",
        }
    }

    /// What is done before, to rows `$1` up to but not including `$2`.
    fn before(self) -> &'static [&'static str] {
        const ROWS: &str =
            "INSERT INTO writes SELECT n, 'as it was' FROM generate_series($1::int8, $2::int8 - 1) n";
        const UNTOUCHED: &str =
            "DELETE FROM electric.shadow__public__writes WHERE id >= $1::int8 AND id < $2::int8";
        const GONE: &str = "DELETE FROM writes WHERE id >= $1::int8 AND id < $2::int8";
        match self {
            Does::Insert => &[],
            Does::Update | Does::Delete => &[ROWS, UNTOUCHED],
            Does::Remake => &[ROWS, GONE],
        }
    }

    /// The operation on the row with this id.
    fn operation(self, id: &[u8]) -> sat_trans_op::Op {
        let row = [Some(id), Some(b"content of a row of a client".as_slice())];
        let old = [Some(id), Some(b"as it was".as_slice())];
        let seen = || vec![Tag::EPOCH.to_string()];
        match self {
            Does::Insert | Does::Remake => Satellite::insert(0, &row, &[]),
            Does::Update => sat_trans_op::Op::Update(SatOpUpdate {
                relation_id: 0,
                row_data: Some(wire_row(&row)),
                old_row_data: Some(wire_row(&old)),
                tags: seen(),
            }),
            Does::Delete => sat_trans_op::Op::Delete(SatOpDelete {
                relation_id: 0,
                old_row_data: Some(wire_row(&old)),
                tags: seen(),
            }),
        }
    }
}

/// The goal of the design is for the first.
const LOADS: [Load; 6] = [
    Load { clients: 8, transactions: 1_500, operations: 1, does: Does::Insert },
    Load { clients: 1, transactions: 2_000, operations: 1, does: Does::Insert },
    Load { clients: 64, transactions: 250, operations: 1, does: Does::Insert },
    Load { clients: 8, transactions: 60, operations: 100, does: Does::Insert },
    Load { clients: 1, transactions: 100, operations: 100, does: Does::Insert },
    Load { clients: 64, transactions: 10, operations: 100, does: Does::Insert },
];

/// Transactions that a client sends ahead of their echoes.
const AHEAD: usize = 16;

/// The same of a backlog: a client sends what it has, and reads beside that.
const BACKLOG_AHEAD: usize = 2_048;

/// Operations of an offline backlog.
const BACKLOG: usize = 10_000;

/// Makes the table.
pub(super) async fn prepare(rig: &Rig) -> Result<()> {
    clients::make_table(rig, "writes").await
}

/// The rates, with so many clients at once.
pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
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
    Ok(())
}

/// What one client has written offline.
pub(super) async fn backlog(rig: &Rig, report: &mut Report) -> Result<()> {
    let backlogs = [
        (1, Does::Insert),
        (100, Does::Insert),
        (BACKLOG, Does::Insert),
        (1, Does::Update),
        (1, Does::Delete),
        (1, Does::Remake),
    ];
    for (client, (operations, does)) in (1_000..).zip(backlogs) {
        let load = Load { clients: 1, transactions: BACKLOG / operations, operations, does };
        let took = run(rig, &load, client, BACKLOG_AHEAD).await?;
        report.row(
            &format!("an offline backlog of {BACKLOG} {}, {operations} in a transaction", does.name()),
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
    let expected = load.clients as usize * load.transactions * load.operations;
    let first = i64::from(first_client) * 1_000_000;
    for sql in load.does.before() {
        admin.execute(*sql, &[&first, &(first + expected as i64)]).await?;
    }
    let mut all = Vec::new();
    for number in 0..load.clients {
        let mut client = clients::connect(rig, first_client + number).await?;
        client.announce(0, "writes", &["id", "content"]).await?;
        all.push(client);
    }
    rig.settle(&admin).await?;
    let started = Instant::now();
    let each = all.iter_mut().enumerate();
    let first = |number: usize| (first_client as usize + number) * 1_000_000;
    try_join_all(each.map(|(number, client)| write(first(number), client, load, ahead))).await?;
    let took = started.elapsed();
    let written = "SELECT count(*) FILTER (WHERE content = 'as it was'), count(*) FROM writes";
    let row = admin.query_one(written, &[]).await?;
    let (left, count): (i64, i64) = (row.get(0), row.get(1));
    let arrived = if load.does == Does::Delete { 0 } else { expected as i64 };
    anyhow::ensure!((left, count) == (0, arrived), "{count} rows are there, {left} as they were");
    for client in all {
        client.close().await;
    }
    Ok(took)
}

/// Sends transactions, some ahead of their echoes, until all have come back. Nobody has had their keys before.
async fn write(first: usize, client: &mut Satellite, load: &Load, ahead: usize) -> Result<()> {
    let mut tally = Tally::default();
    for sent in 0..load.transactions {
        while sent >= tally.echoes + ahead {
            tally.receive(client).await?;
        }
        let ids = (0..load.operations).map(|n| (first + sent * load.operations + n).to_string());
        let ids: Vec<String> = ids.collect();
        let ops = ids.iter().map(|id| load.does.operation(id.as_bytes()));
        // Timestamps of one client differ, as the real client's do; its positions count operations. All come after
        // what was done before.
        let base = 4_000_000_000_000;
        let timestamp = base + sent as u64;
        let position = ((sent + 1) * load.operations) as u32;
        client.write_at(position, timestamp, ops.collect()).await?;
    }
    while tally.echoes < load.transactions {
        tally.receive(client).await?;
    }
    Ok(())
}

//! Clients for measurements: many at once, and no work on what they receive but counting.

use std::time::Instant;

use anyhow::{Result, bail};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use protocol::{
    Message,
    wire::{SatOpLogAck, sat_trans_op::Op},
};
use testkit::{
    Satellite,
    satellite::{Incoming, Op as RowOp, Select, unsigned_token},
};

use super::{report::Report, rig::Rig};

/// The origin of what Postgres wrote itself.
const POSTGRES_ORIGIN: &str = "postgres_1";

/// A table made and synced, with an id and a text.
pub(super) async fn make_table(rig: &Rig, name: &str) -> Result<()> {
    let sql = format!(
        "DROP TABLE IF EXISTS {name}; CREATE TABLE {name} (id int8 PRIMARY KEY, content text NOT NULL); \
         CALL electric.electrify('{name}')"
    );
    Ok(rig.connect().await?.batch_execute(&sql).await?)
}

/// A client signed in and streaming; `number` makes its id.
pub(super) async fn connect(rig: &Rig, number: u32) -> Result<Satellite> {
    let mut client = sign_in(rig, number).await?;
    client.start(&[]).await?;
    Ok(client)
}

/// A client signed in.
pub(super) async fn sign_in(rig: &Rig, number: u32) -> Result<Satellite> {
    let id = format!("00000000-0000-4000-8000-{number:012}");
    Satellite::sign_in(rig.port, &id, &unsigned_token(&format!("user-{number}"))).await
}

/// The subscription id that [`subscribe`] uses.
pub(super) const SUBSCRIPTION: &str = "11111111-1111-4111-8111-111111111111";

/// Subscribes to a table and waits for its data.
pub(super) async fn subscribe(client: &mut Satellite, table: &str) -> Result<()> {
    client.subscribe(SUBSCRIPTION, &[table]).await?;
    client.data_of(SUBSCRIPTION).await.map(drop)
}

/// Subscribes to shapes, the i-th request named `i`; their data is to be waited for.
pub(super) async fn request(client: &mut Satellite, subscription: &str, shapes: Vec<Select>) -> Result<()> {
    let requests = shapes.into_iter().enumerate().map(|(number, shape)| shape.request(number.to_string()));
    match client.request_shapes(subscription, requests.collect()).await?.err {
        Some(err) => bail!("subscribe was refused: {} {:?}", err.message, err.shape_request_error),
        None => Ok(()),
    }
}

/// Waits for the data of the only subscription under way, and counts its rows.
///
/// Counting is cheap, and decoding is not what is measured.
pub(super) async fn count_data(client: &mut Satellite) -> Result<usize> {
    let (mut rows, mut begun) = (0, false);
    loop {
        match client.socket().receive().await? {
            Incoming::Message(Message::SubsDataBegin(_)) => begun = true,
            Incoming::Message(Message::OpLog(log)) if begun => rows += log.count(),
            Incoming::Message(Message::SubsDataEnd(_)) => return Ok(rows),
            Incoming::Message(Message::SubsDataError(error)) => bail!("the service said {error:?}"),
            Incoming::Message(_) => {}
            Incoming::Closed(closed) => bail!("the service closed: {closed:?}"),
        }
    }
}

/// Waits until everything committed so far has reached a client, by a row of its own that comes back.
pub(super) async fn catch_up(rig: &Rig, client: &mut Satellite) -> Result<()> {
    rig.connect().await?.batch_execute("CREATE TABLE IF NOT EXISTS catch_up (id int8 PRIMARY KEY)").await?;
    rig.connect().await?.batch_execute("CALL electric.electrify('catch_up')").await?;
    let row: i64 = rig.connect().await?.query_one("SELECT count(*) FROM catch_up", &[]).await?.get(0);
    const SUBSCRIPTION: &str = "33333333-3333-4333-8333-333333333333";
    while client.subscribe(SUBSCRIPTION, &["catch_up"]).await.is_err() {}
    client.data_of(SUBSCRIPTION).await?;
    rig.connect().await?.batch_execute(&format!("INSERT INTO catch_up VALUES ({row})")).await?;
    loop {
        let (_, ops) = client.next_transaction().await?;
        if ops.iter().any(|op| matches!(op, RowOp::Insert { table, .. } if table == "catch_up")) {
            return Ok(());
        }
    }
}

/// Many clients connected at once, in parallel as far as a small machine can.
pub(super) async fn crowd(rig: &Rig, count: u32, first: u32, table: Option<&str>) -> Result<Vec<Satellite>> {
    stream::iter(first..first + count)
        .map(|number| async move {
            let mut client = connect(rig, number).await?;
            if let Some(table) = table {
                subscribe(&mut client, table).await?;
            }
            anyhow::Ok(client)
        })
        .buffer_unordered(32)
        .try_collect()
        .await
}

/// What has been received.
#[derive(Default)]
pub(super) struct Tally {
    /// Row operations.
    pub(super) rows: usize,
    /// Transactions that came from clients: echoes.
    pub(super) echoes: usize,
    unacknowledged: usize,
}

impl Tally {
    /// Receives one message, counts what is in it and acknowledges transactions in good time.
    pub(super) async fn receive(&mut self, client: &mut Satellite) -> Result<()> {
        let log = match client.socket().receive().await? {
            Incoming::Message(Message::OpLog(log)) => log,
            Incoming::Message(Message::Error(error)) => bail!("the service said {error:?}"),
            Incoming::Message(_) => return Ok(()),
            Incoming::Closed(closed) => bail!("the service closed: {closed:?}"),
        };
        let mut last: Option<(Bytes, u64)> = None;
        let mut open = None;
        for op in log.decode()?.ops {
            match op.op {
                Some(Op::Begin(begin)) => {
                    self.echoes += usize::from(begin.origin() != POSTGRES_ORIGIN);
                    open = Some((begin.lsn, begin.transaction_id.unwrap_or_default()));
                }
                Some(Op::Commit(_)) => {
                    self.unacknowledged += 1;
                    last = open.take();
                }
                Some(_) => self.rows += 1,
                None => {}
            }
        }
        if let Some((lsn, transaction_id)) = last.filter(|_| self.unacknowledged >= 10) {
            self.unacknowledged = 0;
            let ack = SatOpLogAck { lsn, transaction_id, ..Default::default() };
            client.socket().send(&Message::OpLogAck(ack)).await?;
        }
        Ok(())
    }
}

/// Connections per second, each to the point where it has its first data.
pub(super) async fn measure(rig: &Rig, report: &mut Report) -> Result<()> {
    const COUNT: u32 = 1000;
    make_table(rig, "connects").await?;
    let started = Instant::now();
    let clients = crowd(rig, COUNT, 500_000, Some("connects")).await?;
    let rate = f64::from(COUNT) / started.elapsed().as_secs_f64();
    for client in clients {
        client.close().await;
    }
    report.row("connect, sign in, subscribe (32 at a time)", format!("{rate:.0} /s"), "", None);
    Ok(())
}

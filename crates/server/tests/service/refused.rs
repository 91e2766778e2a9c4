//! What clients write that is refused before it comes to Postgres: kept for an operator like what Postgres refuses.

use protocol::{
    ErrorCode, Message,
    wire::{SatErrorResp, SatOpUpdate, sat_trans_op},
};
use server::rejected::{Desk, DeskError, Entry};
use testkit::{Satellite, satellite::wire_row};

use super::{streaming::subscriber, support::*};

/// A table with columns that not every value fits.
const THINGS: &str = "
    CREATE TABLE things (id uuid PRIMARY KEY, rank int4, label text NOT NULL);
    CALL electric.electrify('things')";

fn id(n: u8) -> String {
    format!("00000000-0000-4000-8000-0000000000{n:02}")
}

async fn desk(url: &str) -> Desk {
    let config = config(url, &[]);
    Desk::open(config.database, config.writer).await.expect("a desk")
}

/// The last word that a client hears.
async fn refusal(client: &mut Satellite) -> SatErrorResp {
    let (errors, close) = within(client.closed()).await.expect("an end");
    assert_eq!(close.code, Some(1007));
    let [Message::Error(error)] = &errors[..] else { panic!("{errors:?}") };
    assert_eq!(error.error_type, ErrorCode::InvalidRequest as i32);
    error.clone()
}

/// The entries, once there are so many.
async fn entries(desk: &Desk, count: usize) -> Vec<Entry> {
    within(async {
        loop {
            let entries = desk.list(false).await.expect("a list");
            if entries.len() >= count {
                return entries;
            }
        }
    })
    .await
}

/// Signs in again and announces the tables; the client has been told that its transactions up to `acknowledged` are in.
async fn again(running: &Running, acknowledged: u32) -> Satellite {
    let (mut client, _) = subscriber(running.port, "author").await;
    assert_eq!(client.asked_from.as_deref(), Some(acknowledged.to_be_bytes().as_slice()));
    announce(&mut client).await;
    client
}

async fn announce(client: &mut Satellite) {
    client.announce(0, "things", &["id", "rank", "label"]).await.expect("it is sent");
    client.announce(1, "items", &["id", "content"]).await.expect("it is sent");
}

fn thing(n: u8, rank: &[u8], label: Option<&[u8]>) -> sat_trans_op::Op {
    Satellite::insert(0, &[Some(id(n).as_bytes()), Some(rank), label], &[])
}

fn key_change(from: u8, to: u8) -> sat_trans_op::Op {
    let row = |n: u8| Some(wire_row(&[Some(id(n).as_bytes()), Some(b"1"), Some(b"one")]));
    sat_trans_op::Op::Update(SatOpUpdate {
        relation_id: 0,
        row_data: row(to),
        old_row_data: row(from),
        tags: Vec::new(),
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_refused_before_postgres_is_kept_and_an_operator_decides() {
    let (database, postgres, running) = start_with_items().await;
    postgres.batch_execute(THINGS).await.unwrap();
    stream_has_caught_up(running.port).await;
    let mut desk = desk(&database.url).await;
    let (mut author, _) = subscriber(running.port, "author").await;
    let (mut other, _) = subscriber(running.port, "other").await;
    other.announce(0, "items", &["id", "content"]).await.unwrap();
    announce(&mut author).await;

    // A value that is not of its column's type. What came before it is applied, and the entry comes after that.
    author.write_at(1, 1000, vec![thing(1, b"1", Some(b"one"))]).await.unwrap();
    author.write_at(2, 2000, vec![thing(2, b"many", Some(b"two"))]).await.unwrap();
    let error = refusal(&mut author).await;
    assert!(error.lsn.is_none() && error.message().contains("many"), "{}", error.message());
    other.write(vec![Satellite::insert(0, &[Some(b"1"), Some(b"goes on")], &[])]).await.unwrap();
    assert_eq!(within(other.next_transaction()).await.unwrap().1.len(), 1);
    let entry = entries(&desk, 1).await.remove(0);
    assert_eq!((entry.client.as_str(), entry.lsn, entry.timestamp_ms), ("author", 2, 2000));
    assert_eq!((entry.sqlstate.as_str(), entry.column.as_deref()), ("22P02", Some("rank")));
    assert_eq!((entry.tries, entry.complete), (1, true));
    let shown = desk.show(entry.id).await.unwrap().operations.unwrap();
    assert!(shown.contains("\"many\"") && shown.contains(&id(2)), "{shown}");
    // Sent again it is the same entry; Postgres does not take it either.
    let mut author = again(&running, 1).await;
    author.write_at(2, 2000, vec![thing(2, b"many", Some(b"two"))]).await.unwrap();
    refusal(&mut author).await;
    within(async { while entries(&desk, 1).await[0].tries != 2 {} }).await;
    assert!(matches!(desk.retry(entry.id).await, Err(DeskError::Refused(_))));
    assert_eq!(entries(&desk, 1).await[0].tries, 3);
    desk.discard(entry.id).await.unwrap();

    // A value is missing.
    let mut author = again(&running, 2).await;
    author.write_at(3, 3000, vec![thing(3, b"3", None)]).await.unwrap();
    refusal(&mut author).await;
    let entry = entries(&desk, 1).await.remove(0);
    assert_eq!((entry.lsn, entry.sqlstate.as_str(), entry.column.as_deref()), (3, "23502", Some("label")));
    desk.discard(entry.id).await.unwrap();

    // A key is changed: what that amounts to can be done by the operator.
    let mut author = again(&running, 3).await;
    author.write_at(4, 4000, vec![key_change(1, 9)]).await.unwrap();
    let error = refusal(&mut author).await;
    assert_eq!(error.lsn.as_deref(), Some([0, 0, 0, 4].as_slice()));
    let entry = entries(&desk, 1).await.remove(0);
    assert_eq!((entry.lsn, entry.sqlstate.as_str(), entry.operation_count), (4, "0A000", 2));
    desk.retry(entry.id).await.unwrap();
    let there = "SELECT string_agg(id::text, ',' ORDER BY id) FROM things";
    assert!(postgres.query_one(there, &[]).await.unwrap().get::<_, &str>(0).contains(&id(9)));

    // A table that is not synced any more: it can be retried once it is again.
    let mut author = again(&running, 4).await;
    postgres.batch_execute("CALL electric.disable('items')").await.unwrap();
    stream_has_caught_up(running.port).await;
    let late = Satellite::insert(1, &[Some(b"late"), Some(b"kept")], &[]);
    author.write_at(5, 5000, vec![thing(5, b"5", Some(b"five")), late]).await.unwrap();
    let error = refusal(&mut author).await;
    assert!(error.message().contains("not synced any more"), "{}", error.message());
    let entry = entries(&desk, 1).await.remove(0);
    assert_eq!((entry.lsn, entry.sqlstate.as_str(), entry.table.as_deref()), (5, "42P01", Some("items")));
    assert!(matches!(desk.retry(entry.id).await, Err(DeskError::Changed)));
    postgres.batch_execute("CALL electric.electrify('items')").await.unwrap();
    desk.retry(entry.id).await.unwrap();
    let rows: i64 = postgres
        .query_one("SELECT count(*) FROM things JOIN items ON label = 'five' AND content = 'kept'", &[])
        .await
        .unwrap()
        .get(0);
    assert_eq!(rows, 1);

    // A breach of the protocol leaves nothing to decide about.
    stream_has_caught_up(running.port).await;
    let mut author = again(&running, 5).await;
    author.write_at(6, 6000, vec![Satellite::insert(0, &[Some(id(6).as_bytes())], &[])]).await.unwrap();
    refusal(&mut author).await;
    // Whatever was being done for it is over when it is let in again.
    again(&running, 5).await;
    assert!(desk.list(false).await.unwrap().is_empty());
}
